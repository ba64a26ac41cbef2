/// Writes a snapshot file in pieces: whoever writes it to disk takes the bytes when they are enough.
package struct RDBWriter {
    private var values: RDBValueWriter
    private var crc = CRC64()
    private var database: Int?

    /// - Parameters:
    ///   - auxiliary: notes in front of the keys, names and values; `aof-base` 1 in the base file of an append log.
    ///   - compresses: whether long strings are compressed (`rdbcompression`).
    package init(auxiliary: [(name: String, value: String)] = [], compresses: Bool = true) {
        values = RDBValueWriter(compresses: compresses)
        for byte in "REDIS000\(RDBFormat.versionWritten)".utf8 { values.writeByte(byte) }
        for note in auxiliary {
            values.write(.auxiliary)
            values.writeString(Array(note.name.utf8))
            values.writeString(Array(note.value.utf8))
        }
    }

    /// Bytes that were not taken yet.
    package var pendingByteCount: Int { values.bytes.count }

    /// Says which database the entries that follow are of, and how many there will be about.
    package mutating func beginDatabase(_ number: Int, keyCount: Int, expiryCount: Int) {
        select(number)
        values.write(.resize)
        values.writeLength(keyCount)
        values.writeLength(expiryCount)
    }

    package mutating func write(_ entry: SnapshotEntry) {
        // No collection without elements is ever written: a Redis that reads it would refuse the file or drop the key.
        guard !entry.value.isEmptyCollection else { return }
        select(entry.database)
        if let expiry = entry.expiry {
            values.write(.expiryMilliseconds)
            values.writeInteger(expiry.littleEndian)
        }
        if let idle = entry.idleSeconds {
            values.write(.idle)
            values.writeLength(idle)
        }
        if let frequency = entry.frequency {
            values.write(.frequency)
            values.writeByte(frequency)
        }
        values.writeType(of: entry.value)
        values.writeString(entry.key)
        values.writeBody(of: entry.value)
    }

    private mutating func select(_ number: Int) {
        guard database != number else { return }
        database = number
        values.write(.selectDatabase)
        values.writeLength(number)
    }

    /// What was written since the last time.
    package mutating func takeBytes() -> [UInt8] {
        let bytes = values.takeBytes()
        bytes.withUnsafeBytes { crc.update($0) }
        return bytes
    }

    /// The last bytes, with the checksum over all that was taken.
    package consuming func finish() -> [UInt8] {
        values.write(.end)
        var bytes = takeBytes()
        withUnsafeBytes(of: crc.value.littleEndian) { bytes += $0 }
        return bytes
    }
}
