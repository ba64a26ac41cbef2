/// The entries of a stream, in the order of their IDs, with whatever a file knew of its consumer groups.
final class StreamObject: StoredObject {
    private(set) var stream: SnapshotStream
    private var entryBytes: Int

    init(_ stream: SnapshotStream = SnapshotStream()) {
        self.stream = stream
        entryBytes = stream.entries.reduce(0) { $0 + Self.bytes($1) }
    }

    /// An entry with the arrays that it is made of, each with its header of 32 bytes.
    private static func bytes(_ entry: SnapshotStream.Entry) -> Int {
        entry.fields.reduce(MemoryLayout<SnapshotStream.Entry>.stride + 48) { $0 + 16 + 32 + $1.count }
    }

    override var elementBytes: Int { entryBytes }
    /// Never none: a stream stays when its last entry goes.
    override var count: Int { max(stream.entries.count, 1) }
    var length: Int { stream.entries.count }
    override var encoding: StaticString { "stream" }
    override func snapshot() -> SnapshotValue { .stream(stream) }

    func append(_ entry: SnapshotStream.Entry) {
        assert(entry.id > stream.lastID)
        stream.entries.append(entry)
        stream.lastID = entry.id
        stream.entriesAdded &+= 1
        entryBytes += Self.bytes(entry)
    }

    /// The place of the first entry whose ID is not below another.
    func index(of id: SnapshotStream.ID) -> Int {
        var (low, high) = (0, stream.entries.count)
        while low < high {
            let middle = (low + high) / 2
            if stream.entries[middle].id < id { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func remove(_ id: SnapshotStream.ID) -> Bool {
        let index = index(of: id)
        guard index < stream.entries.count, stream.entries[index].id == id else { return false }
        entryBytes -= Self.bytes(stream.entries[index])
        stream.entries.remove(at: index)
        stream.maxDeletedID = max(stream.maxDeletedID, id)
        return true
    }

    /// Takes the oldest entries away.
    func removeFirst(_ count: Int) {
        guard count > 0 else { return }
        for entry in stream.entries.prefix(count) { entryBytes -= Self.bytes(entry) }
        if let last = stream.entries.prefix(count).last { stream.maxDeletedID = max(stream.maxDeletedID, last.id) }
        stream.entries.removeFirst(count)
    }
}
