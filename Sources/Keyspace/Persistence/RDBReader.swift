/// Reads a snapshot file, one thing after the other.
///
/// The bytes are the whole file, usually mapped: entries are read in order, once. The checksum is over all that comes before it, so
/// it is known to be right only when ``Event/end`` has come; whoever loads into a store throws the store away on an error.
/// - Source: `rdb.c` of Redis 7; versions 1 to 12.
package struct RDBReader {
    package enum Event: Equatable, Sendable {
        case entry(SnapshotEntry)
        /// What the writer noted: `redis-ver`, `ctime`, `aof-base` and the like.
        case auxiliary(name: [UInt8], value: [UInt8])
        /// How many keys, and how many with an expiry, the database that follows has, as the file says.
        case sizes(keyCount: UInt64, expiryCount: UInt64)
        /// A library of functions, as source text. The keyspace cannot call them; whoever loads says so.
        case function([UInt8])
        /// Data that a module keeps beside the keys; skipped.
        case moduleAuxiliary
        /// The file is whole; its checksum, if it has one, is right.
        case end
    }

    /// Of the file.
    package let version: Int
    private let bytes: UnsafeRawBufferPointer
    private var values: RDBValueReader
    /// Of what comes next.
    private(set) var database = 0
    private let databaseCount: Int
    private var crc = CRC64()
    /// How far the checksum has come.
    private var checkedCount = 0
    private var isEnded = false

    /// - Parameters:
    ///   - bytes: the file; it stays where it is as long as the reader is used.
    ///   - now: milliseconds since 1970-01-01 UTC.
    /// - Throws: when the head is not a snapshot's, or the version is unknown.
    package init(_ bytes: UnsafeRawBufferPointer, databaseCount: Int = 16, now: Int64) throws(RDBError) {
        self.bytes = bytes
        self.databaseCount = databaseCount
        values = RDBValueReader(bytes, now: now)
        let head = try values.cursor.take(9)
        guard head.starts(with: "REDIS".utf8) else { throw RDBError(.notASnapshot, at: 0) }
        var version = 0
        for digit in head.dropFirst(5) {
            guard digit >= 0x30, digit <= 0x39 else { throw RDBError(.notASnapshot, at: 5) }
            version = version * 10 + Int(digit - 0x30)
        }
        guard RDBFormat.versionsRead.contains(version) else { throw RDBError(.versionUnknown, at: 5) }
        self.version = version
    }

    /// Bytes read so far.
    package var offset: Int { values.cursor.offset }
    /// Fields of hashes whose own expiry was dropped so far.
    package var fieldExpiryCount: Int { values.fieldExpiryCount }

    /// The next thing in the file. Behind ``Event/end`` there may be more bytes: an append-only file of Redis before 7 begins
    /// with a snapshot.
    package mutating func next() throws(RDBError) -> Event {
        precondition(!isEnded, "nothing comes after the end")
        var entry = SnapshotEntry(database: database, key: [], value: .string([]))
        while true {
            let byte = try values.cursor.byte()
            guard let opcode = RDBFormat.Opcode(rawValue: byte) else {
                guard let type = RDBFormat.ValueType(rawValue: byte) else { throw RDBError(.typeUnknown, at: offset - 1) }
                entry.key = try values.string()
                entry.value = try values.value(type)
                updateChecksum()
                return .entry(entry)
            }
            switch opcode {
            case .expirySeconds:
                entry.expiry = Int64(try values.cursor.littleEndian(Int32.self)) * 1000
            case .expiryMilliseconds:
                entry.expiry = try values.cursor.littleEndian(Int64.self)
            case .idle:
                entry.idleSeconds = try values.number()
            case .frequency:
                entry.frequency = try values.cursor.byte()
            case .selectDatabase:
                let number = try values.number()
                guard number < UInt64(databaseCount) else { throw values.cursor.failure(.databaseUnknown) }
                database = Int(number)
                entry.database = database
            case .slotInfo:
                for _ in 0..<3 { _ = try values.number() }
            case .resize:
                return .sizes(keyCount: try values.number(), expiryCount: try values.number())
            case .auxiliary:
                return .auxiliary(name: try values.string(), value: try values.string())
            case .function2:
                return .function(try values.string())
            case .functionPreGA:
                throw values.cursor.failure(.functionMalformed)
            case .moduleAuxiliary:
                try skipModule()
                return .moduleAuxiliary
            case .end:
                try readChecksum()
                isEnded = true
                return .end
            }
        }
    }

    /// A key that is a string, where such a one comes next: it is not copied.
    /// - Returns: `nil` when something else comes next, which ``next()`` reads, or a key or value in another form than bytes.
    package mutating func mappedString() throws(RDBError) -> MappedString? {
        let start = values.cursor
        var byte = try values.cursor.byte()
        var expiry: Int64?
        if byte == RDBFormat.Opcode.expiryMilliseconds.rawValue {
            expiry = try values.cursor.littleEndian(Int64.self)
            byte = try values.cursor.byte()
        }
        guard byte == RDBFormat.ValueType.string.rawValue, let key = try values.mappedString(), key.unpackedCount == nil,
            let value = try values.mappedString()
        else {
            values.cursor = start
            return nil
        }
        updateChecksum()
        return MappedString(database: database, key: key.bytes, value: value.bytes, unpackedCount: value.unpackedCount, expiry: expiry)
    }

    private mutating func updateChecksum() {
        crc.update(values.cursor.bytes(from: checkedCount, to: offset))
        checkedCount = offset
    }

    /// Since version 5 eight bytes follow the end; all zero when the writer was told not to compute a checksum.
    private mutating func readChecksum() throws(RDBError) {
        updateChecksum()
        guard version >= 5 else { return }
        let place = offset
        let expected = try values.cursor.littleEndian(UInt64.self)
        guard expected == 0 || expected == crc.value else { throw RDBError(.checksumWrong, at: place) }
    }

    /// A module's name, then opcodes, each with what it announces, until 0.
    private mutating func skipModule() throws(RDBError) {
        _ = try values.number()
        while true {
            switch try values.number() {
            case 0: return
            case 1, 2: _ = try values.number()
            case 3: _ = try values.cursor.take(4)
            case 4: _ = try values.cursor.take(8)
            case 5: _ = try values.string()
            default: throw values.cursor.failure(.moduleValue)
            }
        }
    }
}
