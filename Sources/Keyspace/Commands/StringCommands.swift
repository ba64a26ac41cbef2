import RESPWire

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Strings: `GET`, `SET` and their kin.
/// - Source: redis.io/commands; Redis `t_string.c` for the order of errors.
enum StringCommands {
    static let rows: [Command] = [
        .init("get", 2, [.readonly, .fast], .string, "1.0.0", "Returns the string value of a key.", get),
        .init(
            "set", -3, [.write, .denyoom], .string, "1.0.0",
            "Sets the string value of a key, ignoring its type. The key is created if it doesn't exist.", set),
        .init(
            "setnx", 3, [.write, .denyoom, .fast], .string, "1.0.0",
            "Set the string value of a key only when the key doesn't exist.", setnx),
        .init(
            "setex", 4, [.write, .denyoom], .string, "2.0.0",
            "Sets the string value and expiration time of a key. Creates the key if it doesn't exist.", setex),
        .init(
            "psetex", 4, [.write, .denyoom], .string, "2.6.0",
            "Sets both string value and expiration time in milliseconds of a key. The key is created if it doesn't exist.", psetex),
        .init(
            "getset", 3, [.write, .denyoom, .fast], .string, "1.0.0",
            "Returns the previous string value of a key after setting it to a new value.", getset),
        .init(
            "getdel", 2, [.write, .fast], .string, "6.2.0",
            "Returns the string value of a key after deleting the key.", getdel),
        .init(
            "getex", -2, [.write, .fast], .string, "6.2.0",
            "Returns the string value of a key after setting its expiration time.", getex),
        .init(
            "append", 3, [.write, .denyoom, .fast], .string, "2.0.0",
            "Appends a string to the value of a key. Creates the key if it doesn't exist.", append),
        .init("strlen", 2, [.readonly, .fast], .string, "2.2.0", "Returns the length of a string value.", strlen),
        .init(
            "incr", 2, [.write, .denyoom, .fast], .string, "1.0.0",
            "Increments the integer value of a key by one. Uses 0 as initial value if the key doesn't exist."
        ) { call throws(CommandFailure) in
            try add(call, 1)
        },
        .init(
            "decr", 2, [.write, .denyoom, .fast], .string, "1.0.0",
            "Decrements the integer value of a key by one. Uses 0 as initial value if the key doesn't exist."
        ) { call throws(CommandFailure) in
            try add(call, -1)
        },
        .init(
            "incrby", 3, [.write, .denyoom, .fast], .string, "1.0.0",
            "Increments the integer value of a key by a number. Uses 0 as initial value if the key doesn't exist."
        ) { call throws(CommandFailure) in
            try add(call, try call.integer(2))
        },
        .init(
            "decrby", 3, [.write, .denyoom, .fast], .string, "1.0.0",
            "Decrements a number from the integer value of a key. Uses 0 as initial value if the key doesn't exist.", decrby),
        .init(
            "incrbyfloat", 3, [.write, .denyoom, .fast], .string, "2.6.0",
            "Increment the floating point value of a key by a number. Uses 0 as initial value if the key doesn't exist.", incrbyfloat),
        .init(
            "mget", -2, [.readonly, .fast], .string, keys: .all, "1.0.0",
            "Atomically returns the string values of one or more keys.", mget),
        .init(
            "mset", -3, [.write, .denyoom], .string, keys: .range(first: 1, last: -1, step: 2), "1.0.1",
            "Atomically creates or modifies the string values of one or more keys.", mset),
        .init(
            "msetnx", -3, [.write, .denyoom], .string, keys: .range(first: 1, last: -1, step: 2), "1.0.1",
            "Atomically modifies the string values of one or more keys only when all keys don't exist.", msetnx),
        .init("getrange", 4, [.readonly], .string, "2.4.0", "Returns a substring of the string stored at a key.", getrange),
        .init("substr", 4, [.readonly], .string, "1.0.0", "Returns a substring from a string value.", getrange),
        .init(
            "setrange", 4, [.write, .denyoom], .string, "2.2.0",
            "Overwrites a part of a string value with another by an offset. Creates the key if it doesn't exist.", setrange),
        .init(
            "lcs", -3, [.readonly], .string, keys: .range(first: 1, last: 2, step: 1), "7.0.0",
            "Finds the longest common substring.", LongestCommonSubsequence.lcs),
    ]

    private static func get(_ call: Call) throws(CommandFailure) {
        guard let entry = try call.readString(call.key(1)) else { return call.out.null() }
        call.out.bulk(entry.value)
    }

    // MARK: SET

    /// `SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`.
    private static func set(_ call: Call) throws(CommandFailure) {
        let key = call.key(1)
        if call.count == 3 {
            call.setString(key, call[2])
            call.notify(.string, "set", key)
            return call.out.ok()
        }
        var (isNew, isThere, gets) = (false, false, false)
        var change: Database.DeadlineChange?
        var expiry: (unit: ExpiryUnit, place: Int)?
        var isKept = false
        var index = 3
        while index < call.count {
            let hasNext = index + 1 < call.count
            if call.matches(index, "nx"), !isThere {
                isNew = true
            } else if call.matches(index, "xx"), !isNew {
                isThere = true
            } else if call.matches(index, "get") {
                gets = true
            } else if call.matches(index, "keepttl"), expiry == nil {
                isKept = true
            } else if hasNext, expiry == nil, !isKept, let unit = ExpiryUnit(call, index) {
                expiry = (unit, index + 1)
                index += 1
            } else {
                throw .syntax
            }
            index += 1
        }
        if isKept { change = .keep }
        if let expiry { change = .set(try expiry.unit.deadline(call, expiry.place, command: "set")) }
        let old = call.write(key)
        if gets { call.looked(key, isThere: old != nil) }
        if gets, let old, old.type != .string { throw .wrongType }
        let isWritten = isNew ? old == nil : isThere ? old != nil : true
        if gets {
            if let old { call.out.bulk(old.value) } else { call.out.null() }
        } else if !isWritten {
            call.out.null()
        }
        guard isWritten else { return }
        // Also with a deadline that has passed: the key goes as one that has expired, and is told of as such.
        call.setString(key, call[2], change ?? .clear)
        if case .set(let deadline) = change {
            call.rewrite(Array("SET".utf8), key.copy, call.bytes(2), Array("PXAT".utf8), DecimalText.bytes(deadline))
        }
        call.notify(.string, "set", key)
        if case .set = change { call.notify(.generic, "expire", key) }
        if !gets { call.out.ok() }
    }

    private static func setnx(_ call: Call) throws(CommandFailure) {
        let key = call.key(1)
        guard call.write(key) == nil else { return call.out.integer(0) }
        call.setString(key, call[2])
        call.notify(.string, "set", key)
        call.out.integer(1)
    }

    private static func setex(_ call: Call) throws(CommandFailure) { try setWithDeadline(call, .ex) }
    private static func psetex(_ call: Call) throws(CommandFailure) { try setWithDeadline(call, .px) }

    private static func setWithDeadline(_ call: Call, _ unit: ExpiryUnit) throws(CommandFailure) {
        let key = call.key(1)
        let deadline = try unit.deadline(call, 2, command: call.command.name)
        call.setString(key, call[3], .set(deadline))
        call.rewrite(Array("SET".utf8), key.copy, call.bytes(3), Array("PXAT".utf8), DecimalText.bytes(deadline))
        call.notify(.string, "set", key)
        call.notify(.generic, "expire", key)
        call.out.ok()
    }

    private static func getset(_ call: Call) throws(CommandFailure) {
        let key = call.key(1)
        if let old = try call.readString(key) { call.out.bulk(old.value) } else { call.out.null() }
        call.setString(key, call[2])
        call.notify(.string, "set", key)
        call.rewrite(Array("SET".utf8), key.copy, call.bytes(2))
    }

    private static func getdel(_ call: Call) throws(CommandFailure) {
        let key = call.key(1)
        guard let entry = try call.readString(key) else { return call.out.null() }
        call.out.bulk(entry.value)
        call.remove(key, entry)
        call.notify(.generic, "del", key)
        call.rewrite(Array("DEL".utf8), key.copy)
    }

    private static func getex(_ call: Call) throws(CommandFailure) {
        let key = call.key(1)
        var change: Database.DeadlineChange?
        var unit: ExpiryUnit?
        if call.count > 2 {
            if call.count == 3, call.matches(2, "persist") {
                change = .clear
            } else if call.count == 4, let given = ExpiryUnit(call, 2) {
                unit = given
            } else {
                throw .syntax
            }
        }
        guard let entry = try call.readString(key) else { return call.out.null() }
        if let unit { change = .set(try unit.deadline(call, 3, command: "getex")) }
        call.out.bulk(entry.value)
        switch change {
        case .set(let deadline) where deadline <= call.now:
            call.remove(key, entry)
            call.notify(.generic, "del", key)
            call.rewrite(Array("DEL".utf8), key.copy)
        case .set(let deadline):
            call.shard(key)[call.database].setDeadline(entry, key.hash, deadline)
            call.changed(key)
            call.notify(.generic, "expire", key)
            call.rewrite(Array("PEXPIREAT".utf8), key.copy, DecimalText.bytes(deadline))
        case .clear where entry.expires:
            call.shard(key)[call.database].setDeadline(entry, key.hash, nil)
            call.changed(key)
            call.notify(.generic, "persist", key)
            call.rewrite(Array("PERSIST".utf8), key.copy)
        case .clear, .keep, nil: break
        }
    }

    // MARK: Numbers

    private static func decrby(_ call: Call) throws(CommandFailure) {
        let value = try call.integer(2)
        guard value != .min else { throw .err("decrement would overflow") }
        try add(call, -value)
    }

    private static func add(_ call: Call, _ increment: Int64) throws(CommandFailure) {
        let key = call.key(1)
        let entry = try call.writeString(key)
        var value: Int64 = 0
        if let entry {
            guard let old = DecimalText.parse(entry.value) else { throw .notInteger }
            value = old
        }
        let (sum, isOver) = value.addingReportingOverflow(increment)
        guard !isOver else { throw .err("increment or decrement would overflow") }
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: DecimalText.bytesMax) { digits in
            let bytes = UnsafeRawBufferPointer(start: digits.baseAddress, count: DecimalText.write(sum, to: digits.baseAddress!))
            if let entry, entry.valueCount == bytes.count { call.overwrite(key, entry, bytes) } else { call.setString(key, bytes, .keep) }
        }
        call.notify(.string, "incrby", key)
        call.out.integer(sum)
    }

    private static func incrbyfloat(_ call: Call) throws(CommandFailure) {
        let key = call.key(1)
        let entry = try call.writeString(key)
        guard let text = LongDouble.sum(entry?.value, call[2]) else { throw .notFloat }
        guard let bytes = text else { throw .err("increment would produce NaN or Infinity") }
        bytes.withUnsafeBytes { call.setString(key, $0, .keep) }
        call.notify(.string, "incrbyfloat", key)
        call.rewrite(Array("SET".utf8), key.copy, bytes, Array("KEEPTTL".utf8))
        call.out.bulk(bytes)
    }

    // MARK: Many keys

    private static func mget(_ call: Call) throws(CommandFailure) {
        call.out.array(call.count - 1)
        for index in 1..<call.count {
            if let entry = call.read(call.key(index)), entry.type == .string { call.out.bulk(entry.value) } else { call.out.null() }
        }
    }

    private static func mset(_ call: Call) throws(CommandFailure) {
        guard call.count % 2 == 1 else { throw .err("wrong number of arguments for 'mset' command") }
        setAll(call)
        call.out.ok()
    }

    private static func msetnx(_ call: Call) throws(CommandFailure) {
        guard call.count % 2 == 1 else { throw .err("wrong number of arguments for 'msetnx' command") }
        for index in stride(from: 1, to: call.count, by: 2) where call.write(call.key(index)) != nil { return call.out.integer(0) }
        setAll(call)
        call.out.integer(1)
    }

    private static func setAll(_ call: Call) {
        for index in stride(from: 1, to: call.count, by: 2) {
            let key = call.key(index)
            call.setString(key, call[index + 1])
            call.notify(.string, "set", key)
        }
    }

    // MARK: Parts of strings

    private static func strlen(_ call: Call) throws(CommandFailure) {
        call.out.integer(try call.readString(call.key(1))?.valueCount ?? 0)
    }

    private static func append(_ call: Call) throws(CommandFailure) {
        let key = call.key(1)
        guard let entry = try call.writeString(key) else {
            call.setString(key, call[2])
            call.notify(.string, "append", key)
            return call.out.integer(call[2].count)
        }
        let old = entry.valueCount
        try checkLength(old, call[2].count)
        let grown = call.shard(key)[call.database].extend(entry, key.hash, to: old + call[2].count)
        if let start = call[2].baseAddress, call[2].count > 0 { memcpy(grown.mutableValue.baseAddress! + old, start, call[2].count) }
        call.changed(key)
        call.notify(.string, "append", key)
        call.out.integer(old + call[2].count)
    }

    /// - Source: Redis `t_string.c`, `checkStringLength`.
    static func checkLength(_ offset: Int, _ count: Int) throws(CommandFailure) {
        let (sum, isOver) = offset.addingReportingOverflow(count)
        guard !isOver, sum <= Entry.bytesMax else { throw .err("string exceeds maximum allowed size (proto-max-bulk-len)") }
    }

    private static func getrange(_ call: Call) throws(CommandFailure) {
        let (first, last) = (try call.integer(2), try call.integer(3))
        guard let entry = try call.readString(call.key(1)) else { return call.out.bulk([]) }
        guard let range = IndexRange.clamp(first, last, count: entry.valueCount) else { return call.out.bulk([]) }
        call.out.bulk(UnsafeRawBufferPointer(rebasing: entry.value[range]))
    }

    private static func setrange(_ call: Call) throws(CommandFailure) {
        let key = call.key(1)
        let offset = try call.integer(2)
        guard offset >= 0 else { throw .err("offset is out of range") }
        let value = call[3]
        let old = try call.writeString(key)
        guard value.count > 0 else { return call.out.integer(old?.valueCount ?? 0) }
        try checkLength(Int(offset), value.count)
        var entry: Entry
        if let old { entry = old } else { entry = create(call, key) }
        let end = Int(offset) + value.count
        entry = call.shard(key)[call.database].extend(entry, key.hash, to: max(entry.valueCount, end))
        memcpy(entry.mutableValue.baseAddress! + Int(offset), value.baseAddress!, value.count)
        call.changed(key)
        call.notify(.string, "setrange", key)
        call.out.integer(entry.valueCount)
    }

    /// An empty string that is about to be filled.
    static func create(_ call: Call, _ key: Key) -> Entry {
        let shard = call.shard(key)
        let entry = shard[call.database].setString(key, UnsafeRawBufferPointer(start: nil, count: 0), .clear)
        call.added(key, entry, shard)
        return entry
    }
}

/// Indices as Redis takes them: from the end when negative, and cut at both ends.
enum IndexRange {
    /// - Returns: `nil` when nothing is left.
    /// - Parameter allowsCrossed: whether two negative indices in the wrong order are cut first, as `BITPOS` does.
    static func clamp(_ first: Int64, _ last: Int64, count: Int, allowsCrossed: Bool = false) -> Range<Int>? {
        guard count > 0 else { return nil }
        let size = Int64(count)
        if !allowsCrossed, first < 0, last < 0, first > last { return nil }
        let start = max(first < 0 ? first &+ size : first, 0)
        let end = min(max(last < 0 ? last &+ size : last, 0), size - 1)
        // A negative last beyond the start is the first element for strings, and nothing for lists: Redis differs there, too.
        guard start <= end, start < size else { return nil }
        return Int(start)..<Int(end) + 1
    }

    /// The same for lists and sorted sets, where a last before the start means nothing.
    static func elements(_ first: Int64, _ last: Int64, count: Int) -> Range<Int>? {
        let size = Int64(count)
        let start = max(first < 0 ? first &+ size : first, 0)
        let end = last < 0 ? last &+ size : last
        guard start <= end, start < size else { return nil }
        return Int(start)..<Int(min(end, size - 1)) + 1
    }
}
