/// From values as snapshots have them to values as keys hold them, and back.
enum StoredValues {
    /// Gives a key a value, whatever it held.
    static func store(_ value: SnapshotValue, at key: Key, _ change: Database.DeadlineChange, _ call: Call) {
        switch value {
        case .string(let bytes): bytes.withUnsafeBytes { call.setString(key, $0, change) }
        case .list, .set, .hash, .sortedSet, .stream: preconditionFailure("not made yet")
        }
    }

    static func snapshot(_ entry: Entry) -> SnapshotValue {
        entry.type == .string ? .string([UInt8](entry.value)) : entry.object(as: StoredObject.self).snapshot()
    }
}
