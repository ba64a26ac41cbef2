/// Reads lengths, strings and values as snapshots and payloads write them.
///
/// What is read takes memory in proportion to the bytes that are really there: a count is never believed before its elements
/// are, and compressed strings give at most 88 times their size. Packed lists whose elements of two bytes become arrays could still
/// make much of little; how much may be unpacked has a bound where the bytes come from a client.
struct RDBValueReader {
    var cursor: ByteCursor
    /// Fields of hashes that had an expiry of their own, which the keyspace has not: they stay until their key goes.
    private(set) var fieldExpiryCount = 0
    /// Milliseconds since 1970-01-01 UTC: fields whose expiry has passed are left out.
    let now: Int64
    /// So many bytes of compressed packed lists may still be unpacked.
    private var unpackedBytesLeft: Int

    init(_ bytes: UnsafeRawBufferPointer, now: Int64, unpackedBytesMax: Int = .max) {
        cursor = ByteCursor(bytes)
        self.now = now
        unpackedBytesLeft = unpackedBytesMax
    }

    // MARK: Lengths and strings

    private enum Length {
        case plain(UInt64)
        /// The six bits of another encoding.
        case encoded(UInt8)
    }

    private mutating func lengthOrEncoding() throws(RDBError) -> Length {
        let first = try cursor.byte()
        switch first >> 6 {
        case 0: return .plain(UInt64(first & 0x3F))
        case 1: return .plain(UInt64(first & 0x3F) << 8 | UInt64(try cursor.byte()))
        case 2:
            switch first {
            case 0x80: return .plain(UInt64(try cursor.bigEndian(UInt32.self)))
            case 0x81: return .plain(try cursor.bigEndian(UInt64.self))
            default: throw cursor.failure(.lengthMalformed)
            }
        default: return .encoded(first & 0x3F)
        }
    }

    /// A number written as a length.
    mutating func number() throws(RDBError) -> UInt64 {
        guard case .plain(let value) = try lengthOrEncoding() else { throw cursor.failure(.lengthMalformed) }
        return value
    }

    /// A count of things that take so many bytes each, at least.
    mutating func count(bytesEach: Int = 1) throws(RDBError) -> Int {
        let value = try number()
        guard value <= UInt64(cursor.remaining / bytesEach) else { throw cursor.failure(.truncated) }
        return Int(value)
    }

    /// A string, in the memory of the file or in `storage`.
    private mutating func string(storage: inout [UInt8]) throws(RDBError) -> UnsafeRawBufferPointer? {
        switch try lengthOrEncoding() {
        case .plain(let count):
            guard count <= UInt64(cursor.remaining) else { throw cursor.failure(.truncated) }
            return try cursor.take(Int(count))
        case .encoded(let encoding):
            switch encoding {
            case 0: storage = Array(String(try cursor.littleEndian(Int8.self)).utf8)
            case 1: storage = Array(String(try cursor.littleEndian(Int16.self)).utf8)
            case 2: storage = Array(String(try cursor.littleEndian(Int32.self)).utf8)
            case 3:
                let compressedCount = try count()
                let wholeCount = try number()
                let compressed = try cursor.take(compressedCount)
                guard let count = Int(exactly: wholeCount), let whole = LZF.decompress(compressed, count: count) else {
                    throw cursor.failure(.compressionMalformed)
                }
                storage = whole
            default: throw cursor.failure(.stringMalformed)
            }
            return nil
        }
    }

    /// A string's bytes as they lie in the file, and how many they are uncompressed if they are compressed; `nil`, and the cursor anywhere, for a number.
    @inline(__always)
    mutating func mappedString() throws(RDBError) -> (bytes: UnsafeRawBufferPointer, unpackedCount: Int?)? {
        switch try lengthOrEncoding() {
        case .plain(let count):
            guard count <= UInt64(cursor.remaining) else { throw cursor.failure(.truncated) }
            return (try cursor.take(Int(count)), nil)
        case .encoded(3):
            let compressedCount = try count()
            let wholeCount = try number()
            let compressed = try cursor.take(compressedCount)
            guard let count = Int(exactly: wholeCount), LZF.mayGive(count, from: compressed) else { throw cursor.failure(.compressionMalformed) }
            return (compressed, count)
        case .encoded: return nil
        }
    }

    mutating func string() throws(RDBError) -> [UInt8] {
        var storage: [UInt8] = []
        if let bytes = try string(storage: &storage) { return Array(bytes) }
        return storage
    }

    /// Gives a string's bytes without copying them, where they lie uncompressed in the file.
    private mutating func withString<Result>(
        _ body: (UnsafeRawBufferPointer) throws(RDBError) -> Result
    ) throws(RDBError) -> Result {
        var storage: [UInt8] = []
        if let bytes = try string(storage: &storage) { return try body(bytes) }
        guard storage.count <= unpackedBytesLeft else { throw cursor.failure(.compressionMalformed) }
        unpackedBytesLeft -= storage.count
        return try storage.withUnsafeBufferPointer { buffer throws(RDBError) in try body(UnsafeRawBufferPointer(buffer)) }
    }

    private mutating func strings() throws(RDBError) -> [[UInt8]] {
        let count = try count()
        var strings: [[UInt8]] = []
        strings.reserveCapacity(count)
        for _ in 0..<count { strings.append(try string()) }
        return strings
    }

    // MARK: Values

    /// A value behind its type.
    mutating func value(_ type: RDBFormat.ValueType) throws(RDBError) -> SnapshotValue {
        switch type {
        case .string: .string(try string())
        case .list: .list(try strings())
        case .set: .set(try strings())
        case .sortedSet: .sortedSet(try members { (reader) throws(RDBError) in try reader.scoreInDigits() })
        case .sortedSet2: .sortedSet(try members { (reader) throws(RDBError) in try reader.score() })
        case .hash: .hash(try fields())
        case .hashZipmap: .hash(try fields(in: try packed(Zipmap.elements)))
        case .hashZiplist: .hash(try fields(in: try packed(Ziplist.elements)))
        case .hashListpack: .hash(try fields(in: try packed(Listpack.elements)))
        case .listZiplist: .list(try packed(Ziplist.elements))
        case .setListpack: .set(try packed(Listpack.elements))
        case .setIntset:
            .set(try withString { (bytes) throws(RDBError) in try Intset.elements(of: bytes).map { Array(String($0).utf8) } })
        case .sortedSetZiplist: .sortedSet(try members(in: try packed(Ziplist.elements)))
        case .sortedSetListpack: .sortedSet(try members(in: try packed(Listpack.elements)))
        case .listQuicklist: .list(try quicklist())
        case .listQuicklist2: .list(try quicklist2())
        case .streamListpacks, .streamListpacks2, .streamListpacks3: .stream(try stream(type))
        case .hashMetadata, .hashMetadataPreGA: .hash(try fieldsWithExpiry(hasSoonest: type == .hashMetadata))
        case .hashListpackEx, .hashListpackExPreGA: .hash(try packedFieldsWithExpiry(hasSoonest: type == .hashListpackEx))
        case .module, .modulePreGA: throw cursor.failure(.moduleValue)
        }
    }

    /// The elements of a packed value, as clients see them.
    private mutating func packed(
        _ elements: (UnsafeRawBufferPointer) throws(RDBError) -> [PackedElement]
    ) throws(RDBError) -> [[UInt8]] {
        try withString { (bytes) throws(RDBError) in try elements(bytes).map(\.text) }
    }

    private mutating func fields() throws(RDBError) -> [SnapshotValue.Field] {
        let count = try count(bytesEach: 2)
        var fields: [SnapshotValue.Field] = []
        fields.reserveCapacity(count)
        for _ in 0..<count { fields.append(SnapshotValue.Field(name: try string(), value: try string())) }
        return fields
    }

    private func fields(in elements: [[UInt8]]) throws(RDBError) -> [SnapshotValue.Field] {
        guard elements.count % 2 == 0 else { throw cursor.failure(.packedMalformed) }
        return stride(from: 0, to: elements.count, by: 2).map {
            SnapshotValue.Field(name: elements[$0], value: elements[$0 + 1])
        }
    }

    /// Names, values and times of expiry. The times are milliseconds since 1970, 0 for none; behind a soonest expiry they are
    /// written as 1 more than the distance to it.
    private mutating func fieldsWithExpiry(hasSoonest: Bool) throws(RDBError) -> [SnapshotValue.Field] {
        let soonest = hasSoonest ? try cursor.littleEndian(UInt64.self) : 0
        let count = try count(bytesEach: 3)
        var fields: [SnapshotValue.Field] = []
        for _ in 0..<count {
            var expiry = try number()
            if hasSoonest, expiry > 0 {
                let (sum, overflow) = (expiry - 1).addingReportingOverflow(soonest)
                guard !overflow else { throw cursor.failure(.lengthMalformed) }
                expiry = sum
            }
            keep(SnapshotValue.Field(name: try string(), value: try string()), expiry: expiry, in: &fields)
        }
        return fields
    }

    private mutating func packedFieldsWithExpiry(hasSoonest: Bool) throws(RDBError) -> [SnapshotValue.Field] {
        if hasSoonest { _ = try cursor.littleEndian(UInt64.self) }
        let elements = try packed(Listpack.elements)
        guard elements.count % 3 == 0 else { throw cursor.failure(.packedMalformed) }
        var fields: [SnapshotValue.Field] = []
        for index in stride(from: 0, to: elements.count, by: 3) {
            guard let expiry = UInt64(String(decoding: elements[index + 2], as: UTF8.self)) else {
                throw cursor.failure(.packedMalformed)
            }
            keep(SnapshotValue.Field(name: elements[index], value: elements[index + 1]), expiry: expiry, in: &fields)
        }
        return fields
    }

    private mutating func keep(_ field: SnapshotValue.Field, expiry: UInt64, in fields: inout [SnapshotValue.Field]) {
        if expiry > 0 {
            if expiry <= UInt64(max(now, 0)) { return }
            fieldExpiryCount += 1
        }
        fields.append(field)
    }

    private mutating func members(
        _ score: (inout RDBValueReader) throws(RDBError) -> Double
    ) throws(RDBError) -> [SnapshotValue.Member] {
        let count = try count(bytesEach: 2)
        var members: [SnapshotValue.Member] = []
        members.reserveCapacity(count)
        for _ in 0..<count {
            let bytes = try string()
            let score = try score(&self)
            guard !score.isNaN else { throw cursor.failure(.scoreMalformed) }
            members.append(SnapshotValue.Member(bytes: bytes, score: score))
        }
        return members
    }

    private func members(in elements: [[UInt8]]) throws(RDBError) -> [SnapshotValue.Member] {
        guard elements.count % 2 == 0 else { throw cursor.failure(.packedMalformed) }
        var members: [SnapshotValue.Member] = []
        members.reserveCapacity(elements.count / 2)
        for index in stride(from: 0, to: elements.count, by: 2) {
            guard let score = elements[index + 1].withUnsafeBytes({ RDBScore.parse($0) }) else { throw cursor.failure(.scoreMalformed) }
            members.append(SnapshotValue.Member(bytes: elements[index], score: score))
        }
        return members
    }

    private mutating func score() throws(RDBError) -> Double {
        Double(bitPattern: try cursor.littleEndian(UInt64.self))
    }

    private mutating func scoreInDigits() throws(RDBError) -> Double {
        switch try cursor.byte() {
        case 255: return -.infinity
        case 254: return .infinity
        case 253: throw cursor.failure(.scoreMalformed)
        case let count:
            guard let score = RDBScore.parse(try cursor.take(Int(count))) else { throw cursor.failure(.scoreMalformed) }
            return score
        }
    }

    private mutating func quicklist() throws(RDBError) -> [[UInt8]] {
        var elements: [[UInt8]] = []
        for _ in 0..<(try count()) { elements += try packed(Ziplist.elements) }
        return elements
    }

    private mutating func quicklist2() throws(RDBError) -> [[UInt8]] {
        var elements: [[UInt8]] = []
        for _ in 0..<(try count(bytesEach: 2)) {
            switch try number() {
            // One element too large to be packed.
            case 1: elements.append(try string())
            case 2: elements += try packed(Listpack.elements)
            default: throw cursor.failure(.packedMalformed)
            }
        }
        return elements
    }

    // MARK: Streams

    private mutating func stream(_ type: RDBFormat.ValueType) throws(RDBError) -> SnapshotStream {
        var stream = SnapshotStream()
        for _ in 0..<(try count(bytesEach: 2)) {
            let master = try withString { (bytes) throws(RDBError) in try StreamNode.masterID(bytes) }
            try withString { (bytes) throws(RDBError) in try StreamNode.append(bytes, master: master, to: &stream.entries) }
        }
        let entryCount = try number()
        stream.lastID = try id()
        stream.entriesAdded = entryCount
        if type != .streamListpacks {
            // The first entry's ID, which the entries say themselves.
            _ = try id()
            stream.maxDeletedID = try id()
            stream.entriesAdded = try number()
        }
        guard entryCount == UInt64(stream.entries.count), stream.entries.last.map({ $0.id <= stream.lastID }) ?? true else {
            throw cursor.failure(.streamMalformed)
        }
        for _ in 0..<(try count(bytesEach: 5)) { stream.groups.append(try group(type)) }
        guard Set(stream.groups.map(\.name)).count == stream.groups.count else { throw cursor.failure(.streamMalformed) }
        return stream
    }

    private mutating func id() throws(RDBError) -> SnapshotStream.ID { SnapshotStream.ID(try number(), try number()) }

    private mutating func rawID() throws(RDBError) -> SnapshotStream.ID {
        SnapshotStream.ID(try cursor.bigEndian(UInt64.self), try cursor.bigEndian(UInt64.self))
    }

    private mutating func group(_ type: RDBFormat.ValueType) throws(RDBError) -> SnapshotStream.Group {
        var group = SnapshotStream.Group(
            name: try string(), lastDelivered: try id(), entriesRead: -1, pending: [], consumers: [])
        // -1, "nobody knows", is written as the largest number.
        if type != .streamListpacks { group.entriesRead = Int64(bitPattern: try number()) }
        var pendingIDs: Set<SnapshotStream.ID> = []
        for _ in 0..<(try count(bytesEach: 25)) {
            let pending = SnapshotStream.Pending(
                id: try rawID(), deliveryTime: try cursor.littleEndian(Int64.self), deliveryCount: try number())
            guard pendingIDs.insert(pending.id).inserted else { throw cursor.failure(.streamMalformed) }
            group.pending.append(pending)
        }
        for _ in 0..<(try count(bytesEach: 10)) {
            var consumer = SnapshotStream.Consumer(
                name: try string(), seenTime: try cursor.littleEndian(Int64.self), activeTime: -1, pending: [])
            if type == .streamListpacks3 { consumer.activeTime = try cursor.littleEndian(Int64.self) }
            for _ in 0..<(try count(bytesEach: 16)) {
                // Every pending entry is one consumer's.
                let id = try rawID()
                guard pendingIDs.remove(id) != nil else { throw cursor.failure(.streamMalformed) }
                consumer.pending.append(id)
            }
            group.consumers.append(consumer)
        }
        guard pendingIDs.isEmpty, Set(group.consumers.map(\.name)).count == group.consumers.count else {
            throw cursor.failure(.streamMalformed)
        }
        return group
    }
}
