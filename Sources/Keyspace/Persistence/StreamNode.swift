/// A node of a stream: entries packed against a master entry, whose ID and field names the others need not repeat.
///
/// The list begins with the counts of live and deleted entries, the number of the master's fields, their names, 0. Each entry is
/// flags, the distance of its ID to the master's in both parts, its fields (values only if its names are the master's), and the
/// number of elements that it took.
/// - Source: the comment above `streamAppendItem` in `t_stream.c` of Redis 5 and later.
enum StreamNode {
    private static let isDeleted: Int64 = 1
    private static let hasMasterFields: Int64 = 2

    /// The ID that a node's entries count from: its key.
    static func masterID(_ bytes: UnsafeRawBufferPointer) throws(RDBError) -> SnapshotStream.ID {
        var cursor = ByteCursor(bytes)
        let id = SnapshotStream.ID(try cursor.bigEndian(UInt64.self), try cursor.bigEndian(UInt64.self))
        guard cursor.isAtEnd else { throw cursor.failure(.streamMalformed) }
        return id
    }

    /// Adds a node's live entries to those of the nodes before it.
    static func append(
        _ bytes: UnsafeRawBufferPointer, master: SnapshotStream.ID, to entries: inout [SnapshotStream.Entry]
    ) throws(RDBError) {
        var elements = Elements(rest: try Listpack.elements(of: bytes)[...])
        let liveCount = try elements.integer()
        let deletedCount = try elements.integer()
        let masterFields = try elements.take(try elements.count()).map(\.text)
        guard liveCount >= 0, deletedCount >= 0, try elements.integer() == 0 else { throw malformed }
        var live: Int64 = 0
        var deleted: Int64 = 0
        while !elements.rest.isEmpty {
            let before = elements.rest.count
            let flags = try elements.integer()
            let id = SnapshotStream.ID(
                master.milliseconds &+ UInt64(bitPattern: try elements.integer()),
                master.sequence &+ UInt64(bitPattern: try elements.integer()))
            var fields: [[UInt8]] = []
            if flags & hasMasterFields != 0 {
                for (name, value) in zip(masterFields, try elements.take(masterFields.count)) { fields += [name, value.text] }
            } else {
                let fieldCount = try elements.count()
                guard fieldCount <= elements.rest.count / 2 else { throw malformed }
                fields = try elements.take(2 * fieldCount).map(\.text)
            }
            let taken = before - elements.rest.count
            guard try elements.integer() == taken else { throw malformed }
            if flags & isDeleted != 0 {
                deleted += 1
            } else {
                live += 1
                if let last = entries.last, last.id >= id { throw malformed }
                entries.append(SnapshotStream.Entry(id: id, fields: fields))
            }
        }
        guard live == liveCount, deleted == deletedCount else { throw malformed }
    }

    private static var malformed: RDBError { RDBError(.streamMalformed, at: 0) }

    private struct Elements {
        var rest: ArraySlice<PackedElement>

        mutating func integer() throws(RDBError) -> Int64 {
            guard let value = rest.popFirst()?.integer else { throw malformed }
            return value
        }

        /// A count of elements that are to follow.
        mutating func count() throws(RDBError) -> Int {
            let value = try integer()
            guard value >= 0, value <= rest.count else { throw malformed }
            return Int(value)
        }

        mutating func take(_ count: Int) throws(RDBError) -> ArraySlice<PackedElement> {
            guard count <= rest.count else { throw malformed }
            defer { rest = rest.dropFirst(count) }
            return rest.prefix(count)
        }
    }

    /// The entries as nodes of at most 4,096 bytes or 100 entries, which are Redis' own limits.
    /// - Returns: each node's key and list.
    static func nodes(of entries: [SnapshotStream.Entry]) -> [(key: [UInt8], list: [UInt8])] {
        var nodes: [(key: [UInt8], list: [UInt8])] = []
        var start = 0
        while start < entries.count {
            var end = start
            var bytes = 0
            while end < entries.count, end - start < 100, bytes < 4096 {
                bytes += entries[end].fields.reduce(24) { $0 + $1.count + 8 }
                end += 1
            }
            nodes.append(node(of: entries[start..<end]))
            start = end
        }
        return nodes
    }

    private static func node(of entries: ArraySlice<SnapshotStream.Entry>) -> (key: [UInt8], list: [UInt8]) {
        let master = entries[entries.startIndex]
        let names = stride(from: 0, to: master.fields.count, by: 2).map { master.fields[$0] }
        var list = ListpackWriter()
        list.append(Int64(entries.count))
        list.append(0)
        list.append(Int64(names.count))
        for name in names { list.append(name) }
        list.append(0)
        for entry in entries {
            let hasMasterNames =
                entry.fields.count == master.fields.count && names.indices.allSatisfy { entry.fields[2 * $0] == names[$0] }
            list.append(hasMasterNames ? hasMasterFields : 0)
            list.append(Int64(bitPattern: entry.id.milliseconds &- master.id.milliseconds))
            list.append(Int64(bitPattern: entry.id.sequence &- master.id.sequence))
            if hasMasterNames {
                for index in names.indices { list.append(entry.fields[2 * index + 1]) }
                list.append(Int64(names.count + 3))
            } else {
                list.append(Int64(entry.fields.count / 2))
                for field in entry.fields { list.append(field) }
                list.append(Int64(entry.fields.count + 4))
            }
        }
        var key: [UInt8] = []
        withUnsafeBytes(of: master.id.milliseconds.bigEndian) { key += $0 }
        withUnsafeBytes(of: master.id.sequence.bigEndian) { key += $0 }
        return (key, list.finish())
    }
}
