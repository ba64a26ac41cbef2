import RESPWire

/// Values as bytes, the way Redis writes them.
/// - Source: redis.io/commands, `DUMP`, `RESTORE`; Redis `cluster.c`.
enum DumpCommands {
    static let rows: [Command] = [
        .init(
            "dump", 2, [.readonly], .generic, "2.6.0",
            "Returns a serialized representation of the value stored at a key.", dump),
        .init(
            "restore", -4, [.write, .denyoom], .generic, "2.6.0",
            "Creates a key from the serialized representation of a value.", restore),
    ]

    private static func dump(_ call: Call) throws(CommandFailure) {
        guard let entry = call.read(call.key(1)) else { return call.out.null() }
        call.out.bulk(DumpPayload.make(StoredValues.snapshot(entry)))
    }

    /// `RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME s] [FREQ n]`.
    private static func restore(_ call: Call) throws(CommandFailure) {
        var (replaces, isAbsolute) = (false, false)
        var (idle, frequency): (Int64?, Int64?)
        var index = 4
        while index < call.count {
            if call.matches(index, "replace") {
                replaces = true
            } else if call.matches(index, "absttl") {
                isAbsolute = true
            } else if call.matches(index, "idletime"), index + 1 < call.count, frequency == nil {
                let value = try call.integer(index + 1)
                guard value >= 0 else { throw .err("Invalid IDLETIME value, must be >= 0") }
                idle = value
                index += 1
            } else if call.matches(index, "freq"), index + 1 < call.count, idle == nil {
                let value = try call.integer(index + 1)
                guard (0...255).contains(value) else { throw .err("Invalid FREQ value, must be >= 0 and <= 255") }
                frequency = value
                index += 1
            } else {
                throw .syntax
            }
            index += 1
        }
        let key = call.key(1)
        let old = call.write(key)
        if old != nil, !replaces { throw .text("BUSYKEY Target key name already exists.") }
        guard let ttl = DecimalText.parse(call[2]) else { throw .notInteger }
        guard ttl >= 0 else { throw .err("Invalid TTL value, must be >= 0") }
        let value: SnapshotValue
        do throws(DumpPayload.Refusal) {
            value = try DumpPayload.read(call[3], now: call.now)
        } catch {
            switch error {
            case .envelope: throw .err("DUMP payload version or checksum are wrong")
            case .value: throw .err("Bad data format")
            }
        }
        var change = Database.DeadlineChange.clear
        if ttl > 0 {
            // Beyond what 64 bits hold it is a time that has passed, as in Redis.
            change = .set(ttl &+ (isAbsolute ? 0 : call.now))
        }
        if let old { call.remove(key, old) }
        if case .set(let deadline) = change, deadline <= call.now {
            call.changes = max(call.changes, old == nil ? 0 : 1)
            if old != nil { call.notify(.generic, "del", key) }
            call.rewrite(Array("DEL".utf8), key.copy)
            return call.out.ok()
        }
        StoredValues.store(value, at: key, change, call)
        if let entry = call.peek(key) {
            if let idle { entry.lastUse = KeyEviction.tick(call.now &- min(idle, 1 << 40) * 1000) }
            if let frequency { entry.frequency = UInt8(truncatingIfNeeded: frequency) }
        }
        call.notify(.generic, "restore", key)
        call.elementsAdded(key)
        if case .set(let deadline) = change {
            call.rewrite(
                Array("RESTORE".utf8), key.copy, DecimalText.bytes(deadline), call.bytes(3), Array("REPLACE".utf8), Array("ABSTTL".utf8))
        }
        call.out.ok()
    }
}
