import RESPWire

/// From values as snapshots have them to values as keys hold them, and back.
enum StoredValues {
    /// Gives a key a value, whatever it held.
    static func store(_ value: SnapshotValue, at key: Key, _ change: Database.DeadlineChange, _ call: Call) {
        switch value {
        case .string(let bytes): bytes.withUnsafeBytes { call.setString(key, $0, change) }
        case .list(let elements):
            let list = ListObject()
            for element in elements { element.withUnsafeBytes { list.append($0) } }
            call.setObject(key, list, .list, change)
        case .set(let members):
            let set = SetCommands.make(call)
            for member in members { member.withUnsafeBytes { _ = set.insert($0) } }
            call.setObject(key, set, .set, change)
        case .hash(let fields):
            let hash = call.keyspace.settings.values.withLock {
                HashObject(entriesMax: $0.hashPackedEntries, valueBytesMax: $0.hashPackedBytes)
            }
            for field in fields { field.name.withUnsafeBytes { name in field.value.withUnsafeBytes { _ = hash.set(name, $0) } } }
            call.setObject(key, hash, .hash, change)
        case .sortedSet(let members):
            let set = SortedSetCommands.make(call)
            for member in members { member.bytes.withUnsafeBytes { _ = set.set($0, member.score) } }
            call.setObject(key, set, .zset, change)
        case .stream(let stream): call.setObject(key, StreamObject(stream), .stream, change)
        }
    }

    static func snapshot(_ entry: Entry) -> SnapshotValue {
        entry.type == .string ? .string([UInt8](entry.value)) : entry.object(as: StoredObject.self).snapshot()
    }

    /// Gives a key an object that a command has made, or nothing when it has made none.
    static func replace(
        _ call: Call, _ key: Key, _ object: StoredObject?, _ type: ValueType, _ kind: KeyspaceEvents.Class, _ event: StaticString
    ) {
        guard let object else {
            guard let old = call.write(key) else { return }
            call.remove(key, old)
            return call.notify(.generic, "del", key)
        }
        call.setObject(key, object, type)
        call.notify(kind, event, key)
        call.elementsAdded(key)
    }
}
