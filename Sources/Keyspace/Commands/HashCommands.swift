import RESPWire

/// Hashes.
/// - Source: redis.io/commands, "Hash"; Redis `t_hash.c`.
enum HashCommands {
    static let rows: [Command] = [
        .init("hset", -4, [.write, .denyoom, .fast], .hash, "2.0.0", "Creates or modifies the value of a field in a hash.", hset),
        .init("hmset", -4, [.write, .denyoom, .fast], .hash, "2.0.0", "Sets the values of multiple fields.", hmset),
        .init(
            "hsetnx", 4, [.write, .denyoom, .fast], .hash, "2.0.0",
            "Sets the value of a field in a hash only when the field doesn't exist.", hsetnx),
        .init("hget", 3, [.readonly, .fast], .hash, "2.0.0", "Returns the value of a field in a hash.", hget),
        .init("hmget", -3, [.readonly, .fast], .hash, "2.0.0", "Returns the values of all fields in a hash.", hmget),
        .init(
            "hdel", -3, [.write, .fast], .hash, "2.0.0",
            "Deletes one or more fields and their values from a hash. Deletes the hash if no fields remain.", hdel),
        .init("hlen", 2, [.readonly, .fast], .hash, "2.0.0", "Returns the number of fields in a hash.", hlen),
        .init("hstrlen", 3, [.readonly, .fast], .hash, "3.2.0", "Returns the length of the value of a field.", hstrlen),
        .init("hexists", 3, [.readonly, .fast], .hash, "2.0.0", "Determines whether a field exists in a hash.", hexists),
        .init("hgetall", 2, [.readonly], .hash, "2.0.0", "Returns all fields and values in a hash.", hgetall),
        .init("hkeys", 2, [.readonly], .hash, "2.0.0", "Returns all fields in a hash.", hkeys),
        .init("hvals", 2, [.readonly], .hash, "2.0.0", "Returns all values in a hash.", hvals),
        .init(
            "hincrby", 4, [.write, .denyoom, .fast], .hash, "2.0.0",
            "Increments the integer value of a field in a hash by a number. Uses 0 as initial value if the field doesn't exist.", hincrby),
        .init(
            "hincrbyfloat", 4, [.write, .denyoom, .fast], .hash, "2.6.0",
            "Increments the floating point value of a field by a number. Uses 0 as initial value if the field doesn't exist.", hincrbyfloat),
        .init("hrandfield", -2, [.readonly], .hash, "6.2.0", "Returns one or more random fields from a hash.", hrandfield),
        .init("hscan", -3, [.readonly], .hash, "2.8.0", "Iterates over fields and values of a hash.", hscan),
    ]

    private static func object(_ call: Call) throws(CommandFailure) -> HashObject? { try call.read(call.key(1), .hash) }

    /// The hash to be changed, made when it is not there.
    private static func writable(_ call: Call, _ key: Key) throws(CommandFailure) -> HashObject {
        if let hash: HashObject = try call.write(key, .hash) { return hash }
        return call.keyspace.settings.values.withLock { HashObject(entriesMax: $0.hashPackedEntries, valueBytesMax: $0.hashPackedBytes) }
    }

    private static func finish(_ call: Call, _ key: Key, _ hash: HashObject, _ event: StaticString) {
        if !hash.isStored { call.setObject(key, hash, .hash) }
        call.settle(key, hash, .hash, event)
    }

    private static func hset(_ call: Call) throws(CommandFailure) { call.out.integer(try setFields(call)) }

    private static func hmset(_ call: Call) throws(CommandFailure) {
        _ = try setFields(call)
        call.out.ok()
    }

    /// - Returns: how many fields are new.
    private static func setFields(_ call: Call) throws(CommandFailure) -> Int {
        guard call.count % 2 == 0 else { throw .err("wrong number of arguments for '\(call.command.name)' command") }
        let key = call.key(1)
        let hash = try writable(call, key)
        var added = 0
        for index in stride(from: 2, to: call.count, by: 2) where hash.set(call[index], call[index + 1]) { added += 1 }
        finish(call, key, hash, "hset")
        return added
    }

    private static func hsetnx(_ call: Call) throws(CommandFailure) {
        let key = call.key(1)
        let hash = try writable(call, key)
        if hash.value(call[2]) != nil { return call.out.integer(0) }
        _ = hash.set(call[2], call[3])
        finish(call, key, hash, "hset")
        call.out.integer(1)
    }

    private static func hget(_ call: Call) throws(CommandFailure) {
        guard let value = try object(call)?.value(call[2]) else { return call.out.null() }
        call.out.bulk(value)
    }

    private static func hmget(_ call: Call) throws(CommandFailure) {
        let hash = try object(call)
        call.out.array(call.count - 2)
        for index in 2..<call.count { if let value = hash?.value(call[index]) { call.out.bulk(value) } else { call.out.null() } }
    }

    private static func hdel(_ call: Call) throws(CommandFailure) {
        let key = call.key(1)
        guard let hash: HashObject = try call.write(key, .hash) else { return call.out.integer(0) }
        var removed = 0
        for index in 2..<call.count where hash.remove(call[index]) { removed += 1 }
        if removed > 0 { call.settle(key, hash, .hash, "hdel") }
        call.out.integer(removed)
    }

    private static func hlen(_ call: Call) throws(CommandFailure) { call.out.integer(try object(call)?.count ?? 0) }
    private static func hstrlen(_ call: Call) throws(CommandFailure) { call.out.integer(try object(call)?.value(call[2])?.count ?? 0) }
    private static func hexists(_ call: Call) throws(CommandFailure) { call.out.integer(try object(call)?.value(call[2]) == nil ? 0 : 1) }

    private static func hgetall(_ call: Call) throws(CommandFailure) {
        let hash = try object(call)
        call.out.map(hash?.count ?? 0)
        hash?.forEach {
            call.out.bulk($0)
            call.out.bulk($1)
        }
    }

    private static func hkeys(_ call: Call) throws(CommandFailure) {
        let hash = try object(call)
        call.out.array(hash?.count ?? 0)
        hash?.forEach { field, _ in call.out.bulk(field) }
    }

    private static func hvals(_ call: Call) throws(CommandFailure) {
        let hash = try object(call)
        call.out.array(hash?.count ?? 0)
        hash?.forEach { _, value in call.out.bulk(value) }
    }

    private static func hincrby(_ call: Call) throws(CommandFailure) {
        let increment = try call.integer(3)
        let key = call.key(1)
        let hash = try writable(call, key)
        var value: Int64 = 0
        if let old = hash.value(call[2]) {
            guard let parsed = DecimalText.parse(old) else { throw .err("hash value is not an integer") }
            value = parsed
        }
        let (sum, isOver) = value.addingReportingOverflow(increment)
        guard !isOver else { throw .err("increment or decrement would overflow") }
        DecimalText.bytes(sum).withUnsafeBytes { _ = hash.set(call[2], $0) }
        finish(call, key, hash, "hincrby")
        call.out.integer(sum)
    }

    private static func hincrbyfloat(_ call: Call) throws(CommandFailure) {
        guard let increment = LongDouble.parse(call[3]) else { throw .notFloat }
        guard increment.isFinite else { throw .err("value is NaN or Infinity") }
        let key = call.key(1)
        let hash = try writable(call, key)
        guard let sum = LongDouble.sum(hash.value(call[2]), call[3]) else { throw .err("hash value is not a float") }
        guard let text = sum else { throw .err("increment would produce NaN or Infinity") }
        text.withUnsafeBytes { _ = hash.set(call[2], $0) }
        finish(call, key, hash, "hincrbyfloat")
        call.rewrite(Array("HSET".utf8), key.copy, call.bytes(2), text)
        call.out.bulk(text)
    }

    /// `HRANDFIELD key [count [WITHVALUES]]`: a negative count may repeat fields.
    private static func hrandfield(_ call: Call) throws(CommandFailure) {
        if call.count == 2 {
            guard let hash = try object(call), let found = hash.random(&call.shard(call.key(1)).random) else { return call.out.null() }
            return call.out.bulk(found.field)
        }
        let (count, withValues) = try RandomPick.count(call, pair: "withvalues")
        guard let hash = try object(call) else { return call.out.array(0) }
        var chosen: [([UInt8], [UInt8])] = []
        if count < 0 {
            for _ in 0..<RandomPick.repeats(count) {
                guard let found = hash.random(&call.shard(call.key(1)).random) else { break }
                chosen.append(([UInt8](found.field), [UInt8](found.value)))
            }
        } else {
            hash.forEach { chosen.append(([UInt8]($0), [UInt8]($1))) }
            RandomPick.shorten(&chosen, to: count, &call.shard(call.key(1)).random)
        }
        call.out.array(withValues && !call.session.isRESP3 ? chosen.count * 2 : chosen.count)
        for (field, value) in chosen {
            if withValues, call.session.isRESP3 { call.out.array(2) }
            call.out.bulk(field)
            if withValues { call.out.bulk(value) }
        }
    }

    private static func hscan(_ call: Call) throws(CommandFailure) {
        _ = try ScanOptions.cursor(call, 2)
        guard let hash = try object(call) else { return ElementScan.nothing(call) }
        let options = try ScanOptions(call, cursorAt: 2, from: 3)
        ElementScan.run(call, options) { cursor, add in
            hash.scan(cursor) { field, value in
                if options.pattern?.matches(field) != false { add([[UInt8](field), [UInt8](value)]) } else { add([]) }
            }
        }
    }
}

/// The loop of `HSCAN`, `SSCAN` and `ZSCAN`.
enum ElementScan {
    static func nothing(_ call: Call) {
        call.out.array(2)
        call.out.bulk("0")
        call.out.array(0)
    }

    /// - Parameter step: hands out some elements, each as what goes into the reply (nothing when it does not match), and says where to go on.
    static func run(_ call: Call, _ options: ScanOptions, _ step: (UInt32, ([[UInt8]]) -> Void) -> UInt32?) {
        var cursor: UInt32? = UInt32(truncatingIfNeeded: options.cursor)
        var found: [[UInt8]] = []
        var visited = 0
        repeat {
            cursor = step(cursor ?? 0) { element in
                visited += 1
                found += element
            }
        } while cursor != nil && visited < options.count
        call.out.array(2)
        call.out.bulk("\(cursor ?? 0)")
        call.out.array(found.count)
        for part in found { call.out.bulk(part) }
    }
}

/// What `HRANDFIELD`, `SRANDMEMBER` and `ZRANDMEMBER` have in common.
enum RandomPick {
    /// Elements that one command may be made to repeat.
    static let repeatsMax = 1 << 20

    /// - Parameter pair: the word behind it that asks for two of each.
    /// - Returns: the count, and whether that word is there.
    /// - Source: Redis `t_hash.c`, `hrandfieldCommand`.
    static func count(_ call: Call, pair: StaticString) throws(CommandFailure) -> (count: Int, isPair: Bool) {
        let count = try count(call)
        guard call.count > 3 else { return (count, false) }
        guard call.count == 4, call.matches(3, pair) else { throw .syntax }
        guard (-(Int.max / 2)...Int.max / 2).contains(count) else { throw .err("value is out of range") }
        return (count, true)
    }

    static func count(_ call: Call) throws(CommandFailure) -> Int {
        let count = Int(try call.integer(2))
        guard count != .min else { throw .err("value is out of range, value must between -9223372036854775807 and 9223372036854775807") }
        return count
    }

    static func repeats(_ count: Int) -> Int { min(-count, repeatsMax) }

    /// Leaves so many, each subset as likely as any other.
    static func shorten<Element>(_ elements: inout [Element], to count: Int, _ random: inout some RandomNumberGenerator) {
        guard count < elements.count else { return }
        for index in 0..<count { elements.swapAt(index, Int.random(in: index..<elements.count, using: &random)) }
        elements.removeLast(elements.count - count)
    }
}
