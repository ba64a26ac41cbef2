/// Writes lengths, strings and values as snapshots of version 9 have them, with the plain types that every Redis since 5.0 reads:
/// no packed forms but a stream's, and strings in digits as integers.
struct RDBValueWriter {
    private(set) var bytes: [UInt8] = []
    /// Whether strings of more than 20 bytes are compressed where that helps (`rdbcompression`).
    var compresses: Bool

    init(compresses: Bool = true) {
        self.compresses = compresses
    }

    /// The bytes written since the last time.
    mutating func takeBytes() -> [UInt8] {
        defer { bytes = [] }
        return bytes
    }

    mutating func write(_ opcode: RDBFormat.Opcode) { bytes.append(opcode.rawValue) }

    mutating func writeByte(_ byte: UInt8) { bytes.append(byte) }

    mutating func writeLength(_ length: UInt64) {
        switch length {
        case ..<64: bytes.append(UInt8(length))
        case ..<16_384:
            bytes.append(0x40 | UInt8(length >> 8))
            bytes.append(UInt8(length & 0xFF))
        case ...UInt64(UInt32.max):
            bytes.append(0x80)
            writeInteger(UInt32(length).bigEndian)
        default:
            bytes.append(0x81)
            writeInteger(length.bigEndian)
        }
    }

    mutating func writeLength(_ count: Int) { writeLength(UInt64(count)) }

    /// As it lies in memory: the caller chooses the order of the bytes.
    mutating func writeInteger<Number: FixedWidthInteger>(_ value: Number) {
        withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
    }

    mutating func writeString(_ string: [UInt8]) {
        // The longest integer that has a form of its own, -2147483648, has 11 characters.
        if string.count <= 11, writeDigits(string) { return }
        if compresses, string.count > 20, let compressed = string.withUnsafeBytes({ LZF.compress($0) }) {
            bytes.append(0xC3)
            writeLength(compressed.count)
            writeLength(string.count)
            bytes += compressed
            return
        }
        writeLength(string.count)
        bytes += string
    }

    /// - Returns: `false` unless the string is exactly what an integer of 32 bits is printed as.
    private mutating func writeDigits(_ string: [UInt8]) -> Bool {
        guard let first = string.first, first == 0x2D || first >= 0x30 && first <= 0x39 else { return false }
        let negative = first == 0x2D
        let digits = string.dropFirst(negative ? 1 : 0)
        guard let leading = digits.first, leading != 0x30 || digits.count == 1 && !negative else { return false }
        var value: Int64 = 0
        for digit in digits {
            guard digit >= 0x30, digit <= 0x39 else { return false }
            value = value * 10 + Int64(digit - 0x30)
        }
        if negative { value = -value }
        if let small = Int8(exactly: value) {
            bytes.append(0xC0)
            writeInteger(small)
        } else if let middle = Int16(exactly: value) {
            bytes.append(0xC1)
            writeInteger(middle.littleEndian)
        } else if let large = Int32(exactly: value) {
            bytes.append(0xC2)
            writeInteger(large.littleEndian)
        } else {
            return false
        }
        return true
    }

    // MARK: Values

    mutating func writeType(of value: SnapshotValue) {
        let type: RDBFormat.ValueType =
            switch value {
            case .string: .string
            case .list: .list
            case .set: .set
            case .hash: .hash
            case .sortedSet: .sortedSet2
            case .stream: .streamListpacks
            }
        bytes.append(type.rawValue)
    }

    mutating func writeBody(of value: SnapshotValue) {
        switch value {
        case .string(let string): writeString(string)
        case .list(let elements), .set(let elements):
            writeLength(elements.count)
            for element in elements { writeString(element) }
        case .hash(let fields):
            writeLength(fields.count)
            for field in fields {
                writeString(field.name)
                writeString(field.value)
            }
        case .sortedSet(let members):
            writeLength(members.count)
            for member in members {
                writeString(member.bytes)
                writeInteger(member.score.bitPattern.littleEndian)
            }
        case .stream(let stream): writeStream(stream)
        }
    }

    /// The form of Redis 5 has no place for the largest deleted ID and the number of entries of all times: a reader takes the
    /// entries that are there for them.
    private mutating func writeStream(_ stream: SnapshotStream) {
        let nodes = StreamNode.nodes(of: stream.entries)
        writeLength(nodes.count)
        for node in nodes {
            writeString(node.key)
            writeString(node.list)
        }
        writeLength(stream.entries.count)
        writeID(stream.lastID)
        writeLength(stream.groups.count)
        for group in stream.groups {
            writeString(group.name)
            writeID(group.lastDelivered)
            writeLength(group.pending.count)
            for pending in group.pending {
                writeRawID(pending.id)
                writeInteger(pending.deliveryTime.littleEndian)
                writeLength(pending.deliveryCount)
            }
            writeLength(group.consumers.count)
            for consumer in group.consumers {
                writeString(consumer.name)
                writeInteger(consumer.seenTime.littleEndian)
                writeLength(consumer.pending.count)
                for id in consumer.pending { writeRawID(id) }
            }
        }
    }

    private mutating func writeID(_ id: SnapshotStream.ID) {
        writeLength(id.milliseconds)
        writeLength(id.sequence)
    }

    private mutating func writeRawID(_ id: SnapshotStream.ID) {
        writeInteger(id.milliseconds.bigEndian)
        writeInteger(id.sequence.bigEndian)
    }
}
