/// What DUMP gives and RESTORE takes: a value's type and bytes as in a snapshot, the version in two bytes, a checksum in eight.
///
/// - Source: `createDumpPayload`, `verifyDumpPayload` in `cluster.c` of Redis 7.
package enum DumpPayload {
    package static func make(_ value: SnapshotValue) -> [UInt8] {
        var writer = RDBValueWriter()
        writer.writeType(of: value)
        writer.writeBody(of: value)
        var bytes = writer.bytes
        withUnsafeBytes(of: UInt16(RDBFormat.versionWritten).littleEndian) { bytes += $0 }
        withUnsafeBytes(of: CRC64.checksum(bytes).littleEndian) { bytes += $0 }
        return bytes
    }

    package enum Refusal: Error, Equatable, Sendable {
        /// Redis answers `DUMP payload version or checksum are wrong`.
        case envelope
        /// Redis answers `Bad data format`.
        case value(RDBError.Code)
    }

    /// - Parameter now: milliseconds since 1970-01-01 UTC.
    package static func read(_ payload: UnsafeRawBufferPointer, now: Int64) throws(Refusal) -> SnapshotValue {
        guard payload.count > 10 else { throw .envelope }
        let end = payload.count - 10
        let version = Int(UInt16(littleEndian: payload.loadUnaligned(fromByteOffset: end, as: UInt16.self)))
        let checksum = UInt64(littleEndian: payload.loadUnaligned(fromByteOffset: end + 2, as: UInt64.self))
        // Older than any is what Redis takes as well: the type alone says how the value is written.
        guard version <= RDBFormat.versionsRead.upperBound else { throw .envelope }
        // Zero: the maker was told not to compute one.
        guard checksum == 0 || checksum == CRC64.checksum(UnsafeRawBufferPointer(rebasing: payload[..<(end + 2)])) else { throw .envelope }
        do throws(RDBError) {
            return try value(UnsafeRawBufferPointer(rebasing: payload[..<end]), now: now)
        } catch {
            throw .value(error.code)
        }
    }

    /// How much packed lists may unpack to besides 16 times the payload: a client's few bytes must not become gigabytes.
    private static let unpackedBytesMax = 16 << 20

    private static func value(_ bytes: UnsafeRawBufferPointer, now: Int64) throws(RDBError) -> SnapshotValue {
        var reader = RDBValueReader(bytes, now: now, unpackedBytesMax: unpackedBytesMax + 16 * bytes.count)
        guard let type = RDBFormat.ValueType(rawValue: try reader.cursor.byte()) else { throw RDBError(.typeUnknown, at: 0) }
        let value = try reader.value(type)
        guard reader.cursor.isAtEnd else { throw reader.cursor.failure(.trailingBytes) }
        guard !value.isEmptyCollection, !value.hasRepeatedElements else { throw reader.cursor.failure(.elementsMalformed) }
        return value
    }
}
