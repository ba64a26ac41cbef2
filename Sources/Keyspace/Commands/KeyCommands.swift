import RESPWire

/// What works on keys whatever they hold.
/// - Source: redis.io/commands, "Generic"; Redis `db.c`, `expire.c`, `object.c`.
enum KeyCommands {
    static let rows: [Command] = [
        .init("del", -2, [.write], .generic, keys: .all, "1.0.0", "Deletes one or more keys.", del),
        .init("unlink", -2, [.write, .fast], .generic, keys: .all, "4.0.0", "Asynchronously deletes one or more keys.", del),
        .init(
            "exists", -2, [.readonly, .fast], .generic, keys: .all, "1.0.0",
            "Determines whether one or more keys exist.", exists),
        .init(
            "touch", -2, [.readonly, .fast], .generic, keys: .all, "3.2.1",
            "Returns the number of existing keys out of those specified after updating the time they were last accessed.", touch),
        .init("type", 2, [.readonly, .fast], .generic, "1.0.0", "Determines the type of value stored at a key.", type),
        .init(
            "expire", -3, [.write, .fast], .generic, "1.0.0",
            "Sets the expiration time of a key in seconds."
        ) { call throws(CommandFailure) in
            try expire(call, .ex)
        },
        .init(
            "pexpire", -3, [.write, .fast], .generic, "2.6.0",
            "Sets the expiration time of a key in milliseconds."
        ) { call throws(CommandFailure) in
            try expire(call, .px)
        },
        .init(
            "expireat", -3, [.write, .fast], .generic, "1.2.0",
            "Sets the expiration time of a key to a Unix timestamp."
        ) { call throws(CommandFailure) in
            try expire(call, .exat)
        },
        .init(
            "pexpireat", -3, [.write, .fast], .generic, "2.6.0",
            "Sets the expiration time of a key to a Unix milliseconds timestamp."
        ) { call throws(CommandFailure) in
            try expire(call, .pxat)
        },
        .init(
            "ttl", 2, [.readonly, .fast], .generic, "1.0.0",
            "Returns the expiration time in seconds of a key."
        ) { call in
            deadline(call) { ($0 - call.now + 500) / 1000 }
        },
        .init(
            "pttl", 2, [.readonly, .fast], .generic, "2.6.0",
            "Returns the expiration time in milliseconds of a key."
        ) { call in
            deadline(call) { $0 - call.now }
        },
        .init(
            "expiretime", 2, [.readonly, .fast], .generic, "7.0.0",
            "Returns the expiration time of a key as a Unix timestamp."
        ) { call in
            deadline(call) { $0 / 1000 + ($0 % 1000 >= 500 ? 1 : 0) }
        },
        .init(
            "pexpiretime", 2, [.readonly, .fast], .generic, "7.0.0",
            "Returns the expiration time of a key as a Unix milliseconds timestamp."
        ) { call in
            deadline(call) { $0 }
        },
        .init("persist", 2, [.write, .fast], .generic, "2.2.0", "Removes the expiration time of a key.", persist),
        .init(
            "rename", 3, [.write], .generic, keys: .range(first: 1, last: 2, step: 1), "1.0.0",
            "Renames a key and overwrites the destination."
        ) { call throws(CommandFailure) in
            try rename(call, onlyNew: false)
        },
        .init(
            "renamenx", 3, [.write, .fast], .generic, keys: .range(first: 1, last: 2, step: 1), "1.0.0",
            "Renames a key only when the target key name doesn't exist."
        ) { call throws(CommandFailure) in
            try rename(call, onlyNew: true)
        },
        .init(
            "copy", -3, [.write, .denyoom], .generic, keys: .range(first: 1, last: 2, step: 1), "6.2.0",
            "Copies the value of a key to a new key.", copy),
        .init("move", 3, [.write, .fast], .generic, "1.0.0", "Moves a key to another database.", move),
        .init(
            "randomkey", 1, [.readonly], .generic, keys: .none, locks: .none, "1.0.0",
            "Returns a random key name from the database.", randomkey),
        .init(
            "keys", 2, [.readonly], .generic, keys: .none, locks: .none, "1.0.0",
            "Returns all key names that match a pattern.", keys),
        .init(
            "scan", -2, [.readonly], .generic, keys: .none, locks: .none, "2.8.0",
            "Iterates over the key names in the database.", scan),
        .init(
            "object", -2, [.readonly], .generic, keys: .range(first: 2, last: 2, step: 1), "2.2.3",
            "A container for object introspection commands.", object),
        .init(
            "wait", 3, [.noscript], .generic, keys: .none, "3.0.0",
            "Blocks until the asynchronous replication of all preceding write commands sent by the connection is completed.", wait),
    ]

    private static func del(_ call: Call) throws(CommandFailure) {
        var count = 0
        for index in 1..<call.count {
            let key = call.key(index)
            guard let entry = call.peek(key) else { continue }
            call.remove(key, entry)
            call.notify(.generic, "del", key)
            count += 1
        }
        call.out.integer(count)
    }

    /// Whether a key is there is no use of it.
    private static func exists(_ call: Call) throws(CommandFailure) {
        var count = 0
        for index in 1..<call.count {
            count += call.ask(call.key(index)) != nil ? 1 : 0
        }
        call.out.integer(count)
    }

    /// A use whatever `CLIENT NO-TOUCH` says: that is what it is for.
    private static func touch(_ call: Call) throws(CommandFailure) {
        let isNoTouch = call.session.isNoTouch
        call.session.isNoTouch = false
        defer { call.session.isNoTouch = isNoTouch }
        var count = 0
        for index in 1..<call.count where call.read(call.key(index)) != nil { count += 1 }
        call.out.integer(count)
    }

    private static func type(_ call: Call) throws(CommandFailure) {
        call.out.simple(call.ask(call.key(1)).map(\.type.name) ?? "none")
    }

    // MARK: Deadlines

    /// `EXPIRE key n [NX | XX | GT | LT]` and its kin.
    private static func expire(_ call: Call, _ unit: ExpiryUnit) throws(CommandFailure) {
        let key = call.key(1)
        var (nx, xx, gt, lt) = (false, false, false, false)
        for index in 3..<max(call.count, 3) {
            if call.matches(index, "nx") {
                nx = true
            } else if call.matches(index, "xx") {
                xx = true
            } else if call.matches(index, "gt") {
                gt = true
            } else if call.matches(index, "lt") {
                lt = true
            } else {
                throw .err("Unsupported option \(call.text(index))")
            }
        }
        if nx, xx || gt || lt { throw .err("NX and XX, GT or LT options at the same time are not compatible") }
        if gt, lt { throw .err("GT and LT options at the same time are not compatible") }
        let value = try call.integer(2)
        guard let deadline = unit.milliseconds(value, now: call.now) else {
            throw .err("invalid expire time in '\(call.command.name)' command")
        }
        guard let entry = call.write(key) else { return call.out.integer(0) }
        let current = entry.expires ? entry.deadline : nil
        // Without a deadline the key lives for ever, which is longer than any.
        let isRefused =
            nx && current != nil || xx && current == nil || gt && (current == nil || deadline <= current!)
            || lt && current != nil && deadline >= current!
        if isRefused { return call.out.integer(0) }
        if deadline <= call.now {
            call.remove(key, entry)
            call.notify(.generic, "del", key)
            call.rewrite(Array("DEL".utf8), key.copy)
        } else {
            call.shard(key)[call.database].setDeadline(entry, key.hash, deadline)
            call.changed(key)
            call.notify(.generic, "expire", key)
            call.rewrite(Array("PEXPIREAT".utf8), key.copy, DecimalText.bytes(deadline))
        }
        call.out.integer(1)
    }

    private static func deadline(_ call: Call, _ render: (Int64) -> Int64) {
        guard let entry = call.ask(call.key(1)) else { return call.out.integer(-2) }
        call.out.integer(entry.expires ? render(entry.deadline) : -1)
    }

    private static func persist(_ call: Call) throws(CommandFailure) {
        let key = call.key(1)
        guard let entry = call.write(key), entry.expires else { return call.out.integer(0) }
        call.shard(key)[call.database].setDeadline(entry, key.hash, nil)
        call.changed(key)
        call.notify(.generic, "persist", key)
        call.out.integer(1)
    }

    // MARK: Other names, other places

    private static func rename(_ call: Call, onlyNew: Bool) throws(CommandFailure) {
        let (source, target) = (call.key(1), call.key(2))
        guard let entry = call.write(source) else { throw .noSuchKey }
        if source.bytes.elementsEqual(target.bytes) { return onlyNew ? call.out.integer(0) : call.out.ok() }
        if let old = call.write(target) {
            if onlyNew { return call.out.integer(0) }
            call.remove(target, old)
        }
        transfer(call, entry, source, to: target, database: call.database)
        call.changed(target)
        call.changed(source)
        call.notify(.generic, "rename_from", source)
        call.notify(.generic, "rename_to", target)
        call.elementsAdded(target)
        onlyNew ? call.out.integer(1) : call.out.ok()
    }

    /// Moves a value with its deadline to a key that is not there.
    private static func transfer(_ call: Call, _ entry: Entry, _ source: Key, to target: Key, database: Int) {
        let change: Database.DeadlineChange = entry.expires ? .set(entry.deadline) : .clear
        let shard = call.shard(target)
        let (frequency, lastUse) = (entry.frequency, entry.lastUse)
        if entry.type == .string {
            // The value stays where it is until its entry is removed: another key is another block.
            _ = shard[database].setString(target, entry.value, change)
            call.shard(source)[call.database].remove(entry, source.hash)
        } else {
            let type = entry.type
            let object = call.shard(source)[call.database].detach(entry, source.hash)
            shard[database].setObject(target, object, type, change)
        }
        if let new = shard[database].find(target) {
            call.keyspace.eviction.added(new, target.hash, now: call.now, shard, database)
            new.frequency = frequency
            new.lastUse = lastUse
            call.keyspace.hub.happened(.new, "new", target.bytes, database: database)
        }
    }

    /// `COPY source destination [DB n] [REPLACE]`.
    private static func copy(_ call: Call) throws(CommandFailure) {
        let (source, target) = (call.key(1), call.key(2))
        var database = call.database
        var replaces = false
        var index = 3
        while index < call.count {
            if call.matches(index, "replace") {
                replaces = true
            } else if call.matches(index, "db"), index + 1 < call.count {
                database = try Self.database(call, index + 1)
                index += 1
            } else {
                throw .syntax
            }
            index += 1
        }
        if database == call.database, source.bytes.elementsEqual(target.bytes) { throw .err("source and destination objects are the same") }
        guard let entry = call.read(source) else { return call.out.integer(0) }
        let change: Database.DeadlineChange = entry.expires ? .set(entry.deadline) : .clear
        let value = entry.type == .string ? SnapshotValue.string([UInt8](entry.value)) : entry.object(as: StoredObject.self).snapshot()
        let own = call.database
        call.database = database
        defer { call.database = own }
        if let old = call.write(target) {
            guard replaces else { return call.out.integer(0) }
            call.remove(target, old)
        }
        StoredValues.store(value, at: target, change, call)
        call.notify(.generic, "copy_to", target)
        call.elementsAdded(target)
        call.keyspace.publish(call.shard(target), database)
        call.out.integer(1)
    }

    private static func move(_ call: Call) throws(CommandFailure) {
        let key = call.key(1)
        let database = try Self.database(call, 2)
        guard database != call.database else { throw .err("source and destination objects are the same") }
        guard let entry = call.write(key) else { return call.out.integer(0) }
        let shard = call.shard(key)
        if let other = shard[database].find(key) {
            guard other.expires, other.deadline <= call.now else { return call.out.integer(0) }
            call.keyspace.expire(other, key.hash, shard, database, call)
        }
        transfer(call, entry, key, to: key, database: database)
        call.changed(key)
        call.notify(.generic, "move_from", key)
        let own = call.database
        call.database = database
        call.changed(key)
        call.notify(.generic, "move_to", key)
        call.elementsAdded(key)
        call.database = own
        call.keyspace.publish(shard, database)
        call.out.integer(1)
    }

    static func database(_ call: Call, _ index: Int) throws(CommandFailure) -> Int {
        guard let value = DecimalText.parse(call[index]) else { throw .notInteger }
        guard value >= 0, value < Int64(call.keyspace.configuration.databases) else { throw .err("DB index is out of range") }
        return Int(value)
    }

    // MARK: Walks

    private static func randomkey(_ call: Call) throws(CommandFailure) {
        var random = XorShift(seed: .random(in: 1 ... .max))
        let start = Int.random(in: 0..<Keyspace.shardCount, using: &random)
        var found: [UInt8]?
        for offset in 0..<Keyspace.shardCount where found == nil {
            let shard = call.keyspace.shards[(start + offset) % Keyspace.shardCount]
            call.keyspace.withShard(shard, call) {
                // As often as Redis: a database full of expired keys has an end.
                for _ in 0..<100 {
                    guard let entry = shard[call.database].random(&shard.random) else { return }
                    if !(entry.expires && entry.deadline <= call.now) {
                        found = [UInt8](entry.key)
                        return
                    }
                    call.keyspace.expire(entry, KeyHash.hash(entry.key), shard, call.database, call)
                }
            }
        }
        if let found { call.out.bulk(found) } else { call.out.null() }
    }

    private static func keys(_ call: Call) throws(CommandFailure) {
        let pattern = GlobPattern(call[1])
        var found: [[UInt8]] = []
        for shard in call.keyspace.shards {
            call.keyspace.withShard(shard, call) {
                shard[call.database].forEach { entry in
                    if !(entry.expires && entry.deadline <= call.now), pattern.matches(entry.key) { found.append([UInt8](entry.key)) }
                }
            }
        }
        call.out.array(found.count)
        for key in found { call.out.bulk(key) }
    }

    /// `SCAN cursor [MATCH pattern] [COUNT n] [TYPE type]`. The cursor is the shard and the hash to go on at.
    private static func scan(_ call: Call) throws(CommandFailure) {
        let options = try ScanOptions(call, cursorAt: 1, from: 2, takesType: true)
        var (index, hash) = (Int(truncatingIfNeeded: options.cursor >> 32), UInt32(truncatingIfNeeded: options.cursor))
        var found: [[UInt8]] = []
        var visited = 0
        while index < Keyspace.shardCount, visited < options.count {
            let shard = call.keyspace.shards[index]
            call.keyspace.withShard(shard, call) {
                let next = shard[call.database].scan(hash) { entry in
                    visited += 1
                    guard !(entry.expires && entry.deadline <= call.now), options.pattern?.matches(entry.key) != false else { return }
                    if let type = options.type, type != entry.type.name { return }
                    found.append([UInt8](entry.key))
                }
                if let next {
                    hash = next
                } else {
                    hash = 0
                    index += 1
                }
            }
        }
        let cursor = index >= Keyspace.shardCount ? 0 : UInt64(index) << 32 | UInt64(hash)
        call.out.array(2)
        call.out.bulk("\(cursor)")
        call.out.array(found.count)
        for key in found { call.out.bulk(key) }
    }

    // MARK: Introspection

    private static func object(_ call: Call) throws(CommandFailure) {
        if call.matches(1, "help"), call.count == 2 {
            return ServerCommands.help(call, "OBJECT", ["ENCODING <key>", "FREQ <key>", "IDLETIME <key>", "REFCOUNT <key>"])
        }
        let name = call.lowercased(1)
        guard ["encoding", "freq", "idletime", "refcount"].contains(name) else { throw Subcommands.misused(call) }
        guard call.count == 3 else { throw .err("wrong number of arguments for 'object|\(name)' command") }
        guard let entry = call.peek(call.key(2)) else { return call.out.null() }
        switch name {
        case "encoding": call.out.bulk("\(encoding(entry))")
        case "refcount": call.out.integer(1)
        case "idletime":
            guard ![.allkeysLFU, .volatileLFU].contains(call.keyspace.eviction.policy) else {
                throw .err(
                    "An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.")
            }
            call.out.integer(Int64(KeyEviction.tick(call.now) &- entry.lastUse) * 128 / 1000)
        default:
            guard [.allkeysLFU, .volatileLFU].contains(call.keyspace.eviction.policy) else {
                throw .err(
                    "An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.")
            }
            call.out.integer(Int(call.keyspace.eviction.decayed(entry, KeyEviction.tick(call.now))))
        }
    }

    /// What Redis would keep such a value as.
    static func encoding(_ entry: Entry) -> StaticString {
        guard entry.type == .string else { return entry.object(as: StoredObject.self).encoding }
        if entry.flags.contains(.raw) { return "raw" }
        if DecimalText.parse(entry.value) != nil { return "int" }
        return entry.valueCount <= 44 ? "embstr" : "raw"
    }

    /// There are no replicas to wait for.
    private static func wait(_ call: Call) throws(CommandFailure) {
        _ = try call.integer(1)
        guard try call.integer(2) >= 0 else { throw .err("timeout is negative") }
        call.out.integer(0)
    }
}

/// What `SCAN`, `HSCAN`, `SSCAN` and `ZSCAN` are told.
struct ScanOptions {
    let cursor: UInt64
    private(set) var pattern: GlobPattern?
    /// Elements to look at, more or less.
    private(set) var count = 10
    private(set) var type: String?

    /// What C takes for an unsigned number: nothing is 0, and a negative one is counted from the end.
    /// - Source: Redis `db.c`, `parseScanCursorOrReply`.
    static func cursor(_ call: Call, _ index: Int) throws(CommandFailure) -> UInt64 {
        let text = call[index].prefix { $0 != 0 }
        guard let first = text.first else { return 0 }
        let isNegative = first == UInt8(ascii: "-")
        let digits = isNegative || first == UInt8(ascii: "+") ? text.dropFirst() : text
        guard !digits.isEmpty, digits.allSatisfy({ (48...57).contains($0) }), let cursor = UInt64(String(decoding: digits, as: UTF8.self)) else {
            throw .err("invalid cursor")
        }
        return isNegative ? 0 &- cursor : cursor
    }

    init(_ call: Call, cursorAt: Int, from: Int, takesType: Bool = false) throws(CommandFailure) {
        cursor = try Self.cursor(call, cursorAt)
        var index = from
        while index < call.count {
            guard index + 1 < call.count else { throw .syntax }
            if call.matches(index, "match") {
                pattern = GlobPattern(call[index + 1])
            } else if call.matches(index, "count") {
                let value = try call.integer(index + 1)
                guard value >= 1 else { throw .syntax }
                count = Int(value)
            } else if takesType, call.matches(index, "type") {
                type = call.lowercased(index + 1)
            } else {
                throw .syntax
            }
            index += 2
        }
        if pattern?.isAny == true { pattern = nil }
    }
}
