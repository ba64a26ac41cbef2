import RESPWire

/// Lists, with the commands that wait for an element.
/// - Source: redis.io/commands, "List"; Redis `t_list.c`.
enum ListCommands {
    static let rows: [Command] = [
        .init(
            "lpush", -3, [.write, .denyoom, .fast], .list, "1.0.0",
            "Prepends one or more elements to a list. Creates the key if it doesn't exist."
        ) { call throws(CommandFailure) in
            try push(call, atHead: true, onlyThere: false)
        },
        .init(
            "rpush", -3, [.write, .denyoom, .fast], .list, "1.0.0",
            "Appends one or more elements to a list. Creates the key if it doesn't exist."
        ) { call throws(CommandFailure) in
            try push(call, atHead: false, onlyThere: false)
        },
        .init(
            "lpushx", -3, [.write, .denyoom, .fast], .list, "2.2.0",
            "Prepends one or more elements to a list only when the list exists."
        ) { call throws(CommandFailure) in
            try push(call, atHead: true, onlyThere: true)
        },
        .init(
            "rpushx", -3, [.write, .denyoom, .fast], .list, "2.2.0",
            "Appends an element to a list only when the list exists."
        ) { call throws(CommandFailure) in
            try push(call, atHead: false, onlyThere: true)
        },
        .init(
            "lpop", -2, [.write, .fast], .list, "1.0.0",
            "Returns the first elements in a list after removing it. Deletes the list if the last element was popped."
        ) { call throws(CommandFailure) in
            try pop(call, atHead: true)
        },
        .init(
            "rpop", -2, [.write, .fast], .list, "1.0.0",
            "Returns and removes the last elements of a list. Deletes the list if the last element was popped."
        ) { call throws(CommandFailure) in
            try pop(call, atHead: false)
        },
        .init("llen", 2, [.readonly, .fast], .list, "1.0.0", "Returns the length of a list.", llen),
        .init("lindex", 3, [.readonly], .list, "1.0.0", "Returns an element from a list by its index.", lindex),
        .init("lset", 4, [.write, .denyoom], .list, "1.0.0", "Sets the value of an element in a list by its index.", lset),
        .init(
            "linsert", 5, [.write, .denyoom], .list, "2.2.0",
            "Inserts an element before or after another element in a list.", linsert),
        .init("lrange", 4, [.readonly], .list, "1.0.0", "Returns a range of elements from a list.", lrange),
        .init(
            "ltrim", 4, [.write], .list, "1.0.0",
            "Removes elements from both ends a list. Deletes the list if all elements were trimmed.", ltrim),
        .init(
            "lrem", 4, [.write], .list, "1.0.0",
            "Removes elements from a list. Deletes the list if the last element was removed.", lrem),
        .init("lpos", -3, [.readonly], .list, "6.0.6", "Returns the index of matching elements in a list.", lpos),
        .init(
            "lmove", 5, [.write, .denyoom], .list, keys: .range(first: 1, last: 2, step: 1), "6.2.0",
            "Returns an element after popping it from one list and pushing it to another. Deletes the list if the last element was moved."
        ) { call throws(CommandFailure) in
            try move(call, try end(call, 3), try end(call, 4), timeout: nil)
        },
        .init(
            "rpoplpush", 3, [.write, .denyoom], .list, keys: .range(first: 1, last: 2, step: 1), "1.2.0",
            "Returns the last element of a list after removing and pushing it to another list. Deletes the list if the last element was popped."
        ) { call throws(CommandFailure) in
            try move(call, false, true, timeout: nil)
        },
        .init(
            "blmove", 6, [.write, .denyoom, .noscript, .blocking], .list, keys: .range(first: 1, last: 2, step: 1), "6.2.0",
            "Pops an element from a list, pushes it to another list and returns it. Blocks until an element is available otherwise. Deletes the list if the last element was moved."
        ) { call throws(CommandFailure) in
            try move(call, try end(call, 3), try end(call, 4), timeout: try WaitTime.seconds(call, 5))
        },
        .init(
            "brpoplpush", 4, [.write, .denyoom, .noscript, .blocking], .list, keys: .range(first: 1, last: 2, step: 1), "2.2.0",
            "Pops an element from a list, pushes it to another list and returns it. Block until an element is available otherwise. Deletes the list if the last element was popped."
        ) { call throws(CommandFailure) in
            try move(call, false, true, timeout: try WaitTime.seconds(call, 3))
        },
        .init(
            "blpop", -3, [.write, .noscript, .blocking], .list, keys: .range(first: 1, last: -2, step: 1), "2.0.0",
            "Removes and returns the first element in a list. Blocks until an element is available otherwise. Deletes the list if the last element was popped."
        ) { call throws(CommandFailure) in
            try blockingPop(call, atHead: true)
        },
        .init(
            "brpop", -3, [.write, .noscript, .blocking], .list, keys: .range(first: 1, last: -2, step: 1), "2.0.0",
            "Removes and returns the last element in a list. Blocks until an element is available otherwise. Deletes the list if the last element was popped."
        ) { call throws(CommandFailure) in
            try blockingPop(call, atHead: false)
        },
        .init(
            "lmpop", -4, [.write, .movableKeys], .list, keys: .counted(at: 1, also: 0), "7.0.0",
            "Returns multiple elements from a list after removing them. Deletes the list if the last element was popped."
        ) { call throws(CommandFailure) in
            try popMany(call, countAt: 1, waits: false)
        },
        .init(
            "blmpop", -5, [.write, .blocking, .movableKeys], .list, keys: .counted(at: 2, also: 0), "7.0.0",
            "Pops the first element from one of multiple lists. Blocks until an element is available otherwise. Deletes the list if the last element was popped."
        ) { call throws(CommandFailure) in
            try popMany(call, countAt: 2, waits: true)
        },
    ]

    private static func object(_ call: Call) throws(CommandFailure) -> ListObject? { try call.read(call.key(1), .list) }

    private static func end(_ call: Call, _ index: Int) throws(CommandFailure) -> Bool {
        if call.matches(index, "left") { return true }
        if call.matches(index, "right") { return false }
        throw .syntax
    }

    // MARK: Ends

    private static func push(_ call: Call, atHead: Bool, onlyThere: Bool) throws(CommandFailure) {
        let key = call.key(1)
        let found: ListObject? = try call.write(key, .list)
        if found == nil, onlyThere { return call.out.integer(0) }
        let list = found ?? ListObject()
        for index in 2..<call.count { if atHead { list.prepend(call[index]) } else { list.append(call[index]) } }
        store(call, key, list, atHead ? "lpush" : "rpush")
        call.out.integer(list.count)
    }

    private static func store(_ call: Call, _ key: Key, _ list: ListObject, _ event: StaticString) {
        if !list.isStored { call.setObject(key, list, .list) }
        call.settle(key, list, .list, event)
        call.elementsAdded(key)
    }

    /// Writes elements of one end into the reply and takes them away.
    private static func take(_ call: Call, _ key: Key, _ list: ListObject, _ count: Int, atHead: Bool) {
        if atHead {
            list.forEach(0..<count) { call.out.bulk($0) }
            list.remove(0..<count)
        } else {
            for index in stride(from: list.count - 1, through: list.count - count, by: -1) { if let element = list.element(index) { call.out.bulk(element) } }
            list.remove(list.count - count..<list.count)
        }
        call.settle(key, list, .list, atHead ? "lpop" : "rpop")
    }

    private static func pop(_ call: Call, atHead: Bool) throws(CommandFailure) {
        guard call.count <= 3 else { throw .err("wrong number of arguments for '\(call.command.name)' command") }
        var count: Int64?
        if call.count == 3 {
            guard let value = DecimalText.parse(call[2]), value >= 0 else { throw .err("value is out of range, must be positive") }
            count = value
        }
        let key = call.key(1)
        guard let list: ListObject = try call.write(key, .list) else { return count == nil ? call.out.null() : call.out.nullArray() }
        guard let count else { return take(call, key, list, 1, atHead: atHead) }
        let taken = Int(min(count, Int64(list.count)))
        call.out.array(taken)
        if taken > 0 { take(call, key, list, taken, atHead: atHead) }
    }

    private static func blockingPop(_ call: Call, atHead: Bool) throws(CommandFailure) {
        let seconds = try WaitTime.seconds(call, call.count - 1)
        for index in 1..<call.count - 1 {
            let key = call.key(index)
            guard let list: ListObject = try call.write(key, .list) else { continue }
            call.out.array(2)
            call.out.bulk(key.bytes)
            take(call, key, list, 1, atHead: atHead)
            return call.rewrite(Array((atHead ? "LPOP" : "RPOP").utf8), key.copy)
        }
        call.wait(on: 1..<call.count - 1, seconds: seconds) { $0.nullArray() }
    }

    /// `LMPOP numkeys key… LEFT|RIGHT [COUNT n]`.
    private static func popMany(_ call: Call, countAt: Int, waits: Bool) throws(CommandFailure) {
        guard let keys = DecimalText.parse(call[countAt]), keys > 0 else { throw .err("numkeys should be greater than 0") }
        guard keys < Int64(call.count - countAt - 1) else { throw .syntax }
        let places = countAt + 1..<countAt + 1 + Int(keys)
        let atHead = try end(call, places.upperBound)
        var count: Int64 = 1
        var rest = places.upperBound + 1
        if rest < call.count {
            guard call.count == rest + 2, call.matches(rest, "count") else { throw .syntax }
            guard let value = DecimalText.parse(call[rest + 1]), value > 0 else { throw .err("count should be greater than 0") }
            count = value
            rest += 2
        }
        // Redis looks at it last.
        let timeout = waits ? try WaitTime.seconds(call, 1) : nil
        for index in places {
            let key = call.key(index)
            guard let list: ListObject = try call.write(key, .list) else { continue }
            let taken = Int(min(count, Int64(list.count)))
            call.out.array(2)
            call.out.bulk(key.bytes)
            call.out.array(taken)
            take(call, key, list, taken, atHead: atHead)
            return call.rewrite(Array((atHead ? "LPOP" : "RPOP").utf8), key.copy, DecimalText.bytes(Int64(taken)))
        }
        if let timeout { return call.wait(on: places, seconds: timeout) { $0.nullArray() } }
        call.out.nullArray()
    }

    private static func move(_ call: Call, _ fromHead: Bool, _ toHead: Bool, timeout: Double?) throws(CommandFailure) {
        let (source, target) = (call.key(1), call.key(2))
        guard let list: ListObject = try call.write(source, .list) else {
            if let timeout { return call.wait(on: 1..<2, seconds: timeout) { $0.null() } }
            return call.out.null()
        }
        if call.retries, let entry = call.peek(target), entry.type != .list {
            // There is an element, but nowhere to put it: the one who waited is told so.
            throw .text(CommandFailure.wrongType.text)
        }
        let found: ListObject? = try call.write(target, .list)
        guard let element = list.element(fromHead ? 0 : list.count - 1).map({ [UInt8]($0) }) else { return call.out.null() }
        let isSame = source.bytes.elementsEqual(target.bytes)
        let other = isSame ? list : found ?? ListObject()
        list.remove(fromHead ? 0..<1 : list.count - 1..<list.count)
        element.withUnsafeBytes { if toHead { other.prepend($0) } else { other.append($0) } }
        store(call, target, other, toHead ? "lpush" : "rpush")
        if !isSame { call.settle(source, list, .list, fromHead ? "lpop" : "rpop") }
        call.rewrite(
            Array("LMOVE".utf8), source.copy, target.copy, Array((fromHead ? "LEFT" : "RIGHT").utf8), Array((toHead ? "LEFT" : "RIGHT").utf8))
        call.out.bulk(element)
    }

    // MARK: Anywhere

    private static func llen(_ call: Call) throws(CommandFailure) { call.out.integer(try object(call)?.count ?? 0) }

    /// An index from the head, of one that may count from the tail.
    private static func index(_ value: Int64, _ count: Int) -> Int? {
        let index = value < 0 ? value &+ Int64(count) : value
        return index >= 0 && index < Int64(count) ? Int(index) : nil
    }

    private static func lindex(_ call: Call) throws(CommandFailure) {
        guard let list = try object(call) else { return call.out.null() }
        guard let index = index(try call.integer(2), list.count), let element = list.element(index) else { return call.out.null() }
        call.out.bulk(element)
    }

    private static func lset(_ call: Call) throws(CommandFailure) {
        let key = call.key(1)
        guard let list: ListObject = try call.write(key, .list) else { throw .noSuchKey }
        guard let index = index(try call.integer(2), list.count) else { throw .outOfRange }
        list.set(index, call[3])
        call.settle(key, list, .list, "lset")
        call.out.ok()
    }

    private static func linsert(_ call: Call) throws(CommandFailure) {
        let isAfter = call.matches(2, "after")
        guard isAfter || call.matches(2, "before") else { throw .syntax }
        let key = call.key(1)
        guard let list: ListObject = try call.write(key, .list) else { return call.out.integer(0) }
        var found: Int?
        list.walk(fromTail: false) { index, element in
            if element.elementsEqual(call[3]) { found = index }
            return found == nil
        }
        guard let found else { return call.out.integer(-1) }
        list.insert(call[4], at: isAfter ? found + 1 : found)
        call.settle(key, list, .list, "linsert")
        call.out.integer(list.count)
    }

    private static func lrange(_ call: Call) throws(CommandFailure) {
        let (first, last) = (try call.integer(2), try call.integer(3))
        guard let list = try object(call), let range = IndexRange.elements(first, last, count: list.count) else { return call.out.array(0) }
        call.out.array(range.count)
        list.forEach(range) { call.out.bulk($0) }
    }

    private static func ltrim(_ call: Call) throws(CommandFailure) {
        let (first, last) = (try call.integer(2), try call.integer(3))
        let key = call.key(1)
        guard let list: ListObject = try call.write(key, .list) else { return call.out.ok() }
        let kept = IndexRange.elements(first, last, count: list.count) ?? 0..<0
        list.remove(kept.upperBound..<list.count)
        list.remove(0..<kept.lowerBound)
        call.settle(key, list, .list, "ltrim")
        call.out.ok()
    }

    private static func lrem(_ call: Call) throws(CommandFailure) {
        let count = try call.integer(2)
        let key = call.key(1)
        guard let list: ListObject = try call.write(key, .list) else { return call.out.integer(0) }
        let countMax = count == 0 ? UInt64.max : count.magnitude
        var found: [Int] = []
        list.walk(fromTail: count < 0) { index, element in
            if element.elementsEqual(call[3]) { found.append(index) }
            return UInt64(found.count) < countMax
        }
        guard !found.isEmpty else { return call.out.integer(0) }
        list.remove(at: found)
        call.settle(key, list, .list, "lrem")
        call.out.integer(found.count)
    }

    /// `LPOS key element [RANK rank] [COUNT n] [MAXLEN n]`.
    private static func lpos(_ call: Call) throws(CommandFailure) {
        var (rank, lengthMax): (Int64, Int64) = (1, 0)
        var count: Int64?
        var index = 3
        while index < call.count {
            guard index + 1 < call.count else { throw .syntax }
            if call.matches(index, "rank") {
                rank = try call.integer(index + 1)
                guard rank != 0 else {
                    throw .err("RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list")
                }
                guard rank != .min else { throw .err("value is out of range, value must between -9223372036854775807 and 9223372036854775807") }
            } else if call.matches(index, "count") {
                guard let value = DecimalText.parse(call[index + 1]), value >= 0 else { throw .err("COUNT can't be negative") }
                count = value
            } else if call.matches(index, "maxlen") {
                guard let value = DecimalText.parse(call[index + 1]), value >= 0 else { throw .err("MAXLEN can't be negative") }
                lengthMax = value
            } else {
                throw .syntax
            }
            index += 2
        }
        guard let list = try object(call) else { return count == nil ? call.out.null() : call.out.array(0) }
        var skip = rank.magnitude - 1
        var found: [Int] = []
        var visited: Int64 = 0
        let wanted = count ?? 1
        list.walk(fromTail: rank < 0) { index, element in
            visited += 1
            if element.elementsEqual(call[2]) { if skip > 0 { skip -= 1 } else { found.append(index) } }
            if wanted > 0, Int64(found.count) >= wanted { return false }
            return lengthMax == 0 || visited < lengthMax
        }
        guard count != nil else { return found.first.map { call.out.integer($0) } ?? call.out.null() }
        call.out.array(found.count)
        for index in found { call.out.integer(index) }
    }
}

/// How long a command waits.
enum WaitTime {
    /// - Source: Redis `timeout.c`, `getTimeoutFromObjectOrReply`.
    static func seconds(_ call: Call, _ index: Int) throws(CommandFailure) -> Double {
        guard let seconds = DoubleText.parse(call[index]), seconds.isFinite else { throw .err("timeout is not a float or out of range") }
        guard seconds >= 0 else { throw .err("timeout is negative") }
        guard seconds * 1000 < 9.2e18 - Double(call.now) else { throw .err("timeout is out of range") }
        return seconds
    }
}
