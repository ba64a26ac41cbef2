import RESPWire

/// Sets.
/// - Source: redis.io/commands, "Set"; Redis `t_set.c`.
enum SetCommands {
    static let rows: [Command] = [
        .init(
            "sadd", -3, [.write, .denyoom, .fast], .set, "1.0.0",
            "Adds one or more members to a set. Creates the key if it doesn't exist.", sadd),
        .init(
            "srem", -3, [.write, .fast], .set, "1.0.0",
            "Removes one or more members from a set. Deletes the set if the last member was removed.", srem),
        .init("sismember", 3, [.readonly, .fast], .set, "1.0.0", "Determines whether a member belongs to a set.", sismember),
        .init(
            "smismember", -3, [.readonly, .fast], .set, "6.2.0",
            "Determines whether multiple members belong to a set.", smismember),
        .init("scard", 2, [.readonly, .fast], .set, "1.0.0", "Returns the number of members in a set.", scard),
        .init("smembers", 2, [.readonly], .set, "1.0.0", "Returns all members of a set.", smembers),
        .init(
            "smove", 4, [.write, .fast], .set, keys: .range(first: 1, last: 2, step: 1), "1.0.0",
            "Moves a member from one set to another.", smove),
        .init(
            "spop", -2, [.write, .fast], .set, "1.0.0",
            "Returns one or more random members from a set after removing them. Deletes the set if the last member was popped.", spop),
        .init("srandmember", -2, [.readonly], .set, "1.0.0", "Get one or multiple random members from a set", srandmember),
        .init(
            "sinter", -2, [.readonly], .set, keys: .all, "1.0.0",
            "Returns the intersect of multiple sets."
        ) { call throws(CommandFailure) in
            reply(call, try combine(call, .intersection, 1..<call.count))
        },
        .init(
            "sunion", -2, [.readonly], .set, keys: .all, "1.0.0",
            "Returns the union of multiple sets."
        ) { call throws(CommandFailure) in
            reply(call, try combine(call, .union, 1..<call.count))
        },
        .init(
            "sdiff", -2, [.readonly], .set, keys: .all, "1.0.0",
            "Returns the difference of multiple sets."
        ) { call throws(CommandFailure) in
            reply(call, try combine(call, .difference, 1..<call.count))
        },
        .init(
            "sinterstore", -3, [.write, .denyoom], .set, keys: .all, "1.0.0",
            "Stores the intersect of multiple sets in a key."
        ) { call throws(CommandFailure) in
            store(call, try combine(call, .intersection, 2..<call.count))
        },
        .init(
            "sunionstore", -3, [.write, .denyoom], .set, keys: .all, "1.0.0",
            "Stores the union of multiple sets in a key."
        ) { call throws(CommandFailure) in
            store(call, try combine(call, .union, 2..<call.count))
        },
        .init(
            "sdiffstore", -3, [.write, .denyoom], .set, keys: .all, "1.0.0",
            "Stores the difference of multiple sets in a key."
        ) { call throws(CommandFailure) in
            store(call, try combine(call, .difference, 2..<call.count))
        },
        .init(
            "sintercard", -3, [.readonly, .movableKeys], .set, keys: .counted(at: 1, also: 0), "7.0.0",
            "Returns the number of members of the intersect of multiple sets.", sintercard),
        .init("sscan", -3, [.readonly], .set, "2.8.0", "Iterates over members of a set.", sscan),
    ]

    private static func object(_ call: Call) throws(CommandFailure) -> SetObject? { try call.read(call.key(1), .set) }

    static func make(_ call: Call) -> SetObject {
        call.keyspace.settings.values.withLock {
            SetObject(.init(integerEntries: $0.setIntegerEntries, packedEntries: $0.setPackedEntries, packedBytes: $0.setPackedBytes))
        }
    }

    private static func sadd(_ call: Call) throws(CommandFailure) {
        let key = call.key(1)
        let set: SetObject = try call.write(key, .set) ?? make(call)
        var added = 0
        for index in 2..<call.count where set.insert(call[index]) { added += 1 }
        if added > 0 {
            if !set.isStored { call.setObject(key, set, .set) }
            call.settle(key, set, .set, "sadd")
        }
        call.out.integer(added)
    }

    private static func srem(_ call: Call) throws(CommandFailure) {
        let key = call.key(1)
        guard let set: SetObject = try call.write(key, .set) else { return call.out.integer(0) }
        var removed = 0
        for index in 2..<call.count where set.remove(call[index]) { removed += 1 }
        if removed > 0 { call.settle(key, set, .set, "srem") }
        call.out.integer(removed)
    }

    private static func sismember(_ call: Call) throws(CommandFailure) {
        call.out.integer(try object(call)?.contains(call[2]) == true ? 1 : 0)
    }

    private static func smismember(_ call: Call) throws(CommandFailure) {
        let set = try object(call)
        call.out.array(call.count - 2)
        for index in 2..<call.count { call.out.integer(set?.contains(call[index]) == true ? 1 : 0) }
    }

    private static func scard(_ call: Call) throws(CommandFailure) { call.out.integer(try object(call)?.count ?? 0) }

    private static func smembers(_ call: Call) throws(CommandFailure) {
        let set = try object(call)
        call.out.set(set?.count ?? 0)
        set?.forEach { call.out.bulk($0) }
    }

    private static func smove(_ call: Call) throws(CommandFailure) {
        let (source, target) = (call.key(1), call.key(2))
        guard let set: SetObject = try call.write(source, .set) else { return call.out.integer(0) }
        let found: SetObject? = try call.write(target, .set)
        if source.bytes.elementsEqual(target.bytes) { return call.out.integer(set.contains(call[3]) ? 1 : 0) }
        guard set.remove(call[3]) else { return call.out.integer(0) }
        call.settle(source, set, .set, "srem")
        let other = found ?? make(call)
        if other.insert(call[3]) {
            if !other.isStored { call.setObject(target, other, .set) }
            call.settle(target, other, .set, "sadd")
        }
        call.out.integer(1)
    }

    private static func spop(_ call: Call) throws(CommandFailure) {
        guard call.count <= 3 else { throw .syntax }
        let key = call.key(1)
        if call.count == 2 {
            guard let set: SetObject = try call.write(key, .set), let found = set.random(&call.shard(key).random) else {
                return call.out.null()
            }
            call.out.bulk(found)
            found.withUnsafeBytes { _ = set.remove($0) }
            call.settle(key, set, .set, "spop")
            return call.rewrite(Array("SREM".utf8), key.copy, found)
        }
        guard let count = DecimalText.parse(call[2]), count >= 0 else { throw .err("value is out of range, must be positive") }
        guard let set: SetObject = try call.write(key, .set), count > 0 else { return call.out.set(0) }
        var chosen: [[UInt8]] = []
        set.forEach { chosen.append([UInt8]($0)) }
        RandomPick.shorten(&chosen, to: Int(min(count, Int64(chosen.count))), &call.shard(key).random)
        call.out.set(chosen.count)
        for member in chosen {
            call.out.bulk(member)
            member.withUnsafeBytes { _ = set.remove($0) }
        }
        call.settle(key, set, .set, "spop")
        call.rewritten = [[Array("SREM".utf8), key.copy] + chosen]
    }

    private static func srandmember(_ call: Call) throws(CommandFailure) {
        guard call.count <= 3 else { throw .syntax }
        let key = call.key(1)
        if call.count == 2 {
            guard let set = try object(call), let found = set.random(&call.shard(key).random) else { return call.out.null() }
            return call.out.bulk(found)
        }
        let count = try RandomPick.count(call)
        guard let set = try object(call) else { return call.out.array(0) }
        var chosen: [[UInt8]] = []
        if count < 0 {
            for _ in 0..<RandomPick.repeats(count) { if let found = set.random(&call.shard(key).random) { chosen.append(found) } }
        } else {
            set.forEach { chosen.append([UInt8]($0)) }
            RandomPick.shorten(&chosen, to: count, &call.shard(key).random)
        }
        call.out.array(chosen.count)
        for member in chosen { call.out.bulk(member) }
    }

    // MARK: Several sets

    private enum Combination {
        case union, intersection, difference
    }

    private static func sets(_ call: Call, _ places: Range<Int>) throws(CommandFailure) -> [SetObject?] {
        var sets: [SetObject?] = []
        for index in places { sets.append(try call.read(call.key(index), .set)) }
        return sets
    }

    private static func combine(_ call: Call, _ combination: Combination, _ places: Range<Int>) throws(CommandFailure) -> SetObject {
        let sets = try sets(call, places)
        let result = make(call)
        switch combination {
        case .union: for set in sets { set?.forEach { result.insert($0) } }
        case .intersection:
            let there = sets.compactMap { $0 }
            guard there.count == sets.count, let smallest = there.min(by: { $0.count < $1.count }) else { break }
            smallest.forEach { member in if there.allSatisfy({ $0 === smallest || $0.contains(member) }) { result.insert(member) } }
        case .difference:
            let others = sets.dropFirst().compactMap { $0 }
            sets[0]?.forEach { member in if !others.contains(where: { $0.contains(member) }) { result.insert(member) } }
        }
        return result
    }

    private static func reply(_ call: Call, _ set: SetObject) {
        call.out.set(set.count)
        set.forEach { call.out.bulk($0) }
    }

    private static func store(_ call: Call, _ set: SetObject) {
        let target = call.key(1)
        StoredValues.replace(call, target, set.count > 0 ? set : nil, .set, .set, call.command.name == "sinterstore" ? "sinterstore" : call.command.name == "sunionstore" ? "sunionstore" : "sdiffstore")
        call.out.integer(set.count)
    }

    private static func sintercard(_ call: Call) throws(CommandFailure) {
        guard let keys = DecimalText.parse(call[1]), keys > 0 else { throw .err("numkeys should be greater than 0") }
        guard keys <= Int64(call.count - 2) else { throw .err("Number of keys can't be greater than number of args") }
        var limit: Int64 = 0
        let rest = 2 + Int(keys)
        if rest < call.count {
            guard call.count == rest + 2, call.matches(rest, "limit") else { throw .syntax }
            guard let value = DecimalText.parse(call[rest + 1]), value >= 0 else { throw .err("LIMIT can't be negative") }
            limit = value
        }
        let sets = try sets(call, 2..<rest)
        let there = sets.compactMap { $0 }
        var count: Int64 = 0
        if there.count == sets.count, let smallest = there.min(by: { $0.count < $1.count }) {
            smallest.forEach { member in
                if limit == 0 || count < limit, there.allSatisfy({ $0 === smallest || $0.contains(member) }) { count += 1 }
            }
        }
        call.out.integer(count)
    }

    private static func sscan(_ call: Call) throws(CommandFailure) {
        _ = try ScanOptions.cursor(call, 2)
        guard let set = try object(call) else { return ElementScan.nothing(call) }
        let options = try ScanOptions(call, cursorAt: 2, from: 3)
        ElementScan.run(call, options) { cursor, add in
            set.scan(cursor) { add(options.pattern?.matches($0) != false ? [[UInt8]($0)] : []) }
        }
    }
}
