#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
internal import HTTP1Wire
public import HTTPSemantics
public import NIOCore

// Header blocks that go out.
//
// Nothing is put into the peer's table: a block says the same whenever it is sent, so that it needs no state and no order. Names of the
// static table are sent by their number, values as they are.

extension ByteBuffer {
    /// Says that the table stays empty, once, before the first block: also to a peer that allows less than the default (RFC 7541 §4.2).
    public mutating func writeHPACKTableSizeZero() {
        writeInteger(UInt8(0x20))
    }

    /// Writes a head that was made for HTTP/1.1, but for what is of HTTP/1.1 alone: its `Connection` and `Transfer-Encoding`.
    ///
    /// Stored heads, header rules and everything that is said of a single answer are lines of text; they are brought into this form in
    /// one walk over them, in the place of a second form of each of them.
    /// - Parameter head: status line and field lines as ``HTTP1Wire`` writes them, with or without the empty line.
    /// - Source: RFC 9113 §8.2.2, §8.3.2.
    public mutating func writeHPACKHead(_ head: ByteBuffer) {
        let text = head.readableBytesUInt8Span
        // `HTTP/1.1 200`.
        guard text.count >= 12 else { return }
        writeHPACKStatus(Int(text[9] &- 0x30) * 100 + Int(text[10] &- 0x30) * 10 + Int(text[11] &- 0x30))
        var start = Self.endOfLine(text, 0) + 2
        while start < text.count {
            let end = Self.endOfLine(text, start)
            if end == start { break }
            var colon = start
            while colon < end, text[colon] != UInt8(ascii: ":") { colon += 1 }
            let name = text.extracting(start..<colon)
            var valueStart = min(colon + 1, end)
            while valueStart < end, text[valueStart] == 0x20 || text[valueStart] == 0x09 { valueStart += 1 }
            var valueEnd = end
            while valueEnd > valueStart, text[valueEnd - 1] == 0x20 || text[valueEnd - 1] == 0x09 { valueEnd -= 1 }
            let known = FieldName(name)
            switch known {
            case .connection, .transferEncoding, .keepAlive, .proxyConnection, .upgrade: break
            default: writeHPACKField(known, name, text.extracting(valueStart..<valueEnd))
            }
            start = end + 2
        }
    }

    /// Writes the head of a request that was made for HTTP/1.1: pseudo-fields first, then what is not of HTTP/1.1 alone. `Host` becomes
    /// `:authority`.
    /// - Parameter head: request line and field lines as ``HTTP1Wire`` writes them, with or without the empty line.
    /// - Source: RFC 9113 §8.2, §8.3.1.
    public mutating func writeHPACKRequest(_ head: ByteBuffer, isSecure: Bool) {
        let text = head.readableBytesUInt8Span
        let lineEnd = Self.endOfLine(text, 0)
        var methodEnd = 0
        while methodEnd < lineEnd, text[methodEnd] != 0x20 { methodEnd += 1 }
        // ` HTTP/1.1` ends the line.
        let targetStart = min(methodEnd + 1, lineEnd)
        let target = text.extracting(targetStart..<max(targetStart, lineEnd - 9))
        switch Method(text.extracting(0..<methodEnd)) {
        case .get: writeInteger(UInt8(0x82))
        case .post: writeInteger(UInt8(0x83))
        default: writeHPACKValue(nameIndex: 2, text.extracting(0..<methodEnd))
        }
        writeInteger(UInt8(isSecure ? 0x87 : 0x86))
        Self.forEachLine(text, from: lineEnd + 2) { known, _, value in
            guard known == .host else { return true }
            writeHPACKValue(nameIndex: 1, value)
            return false
        }
        if target.count == 1, target[0] == UInt8(ascii: "/") { writeInteger(UInt8(0x84)) } else { writeHPACKValue(nameIndex: 4, target) }
        Self.forEachLine(text, from: lineEnd + 2) { known, name, value in
            switch known {
            case .host, .connection, .transferEncoding, .keepAlive, .proxyConnection, .upgrade: break
            // Anything else that it may say is of one connection of HTTP/1.1 (RFC 9113 §8.2.2).
            case .te: if Self.isTrailersWord(value) { writeHPACKField(known, name, value) }
            default: writeHPACKField(known, name, value)
            }
            return true
        }
    }

    private static func isTrailersWord(_ value: Span<UInt8>) -> Bool {
        let word: StaticString = "trailers"
        guard value.count == word.utf8CodeUnitCount else { return false }
        for index in 0..<value.count where value[index] | 0x20 != word.utf8Start[index] { return false }
        return true
    }

    /// A literal that is not put into the table, with a name of the static table.
    private mutating func writeHPACKValue(nameIndex: UInt8, _ value: Span<UInt8>) {
        writeInteger(nameIndex)
        writeWithUnsafeMutableBytes(minimumWritableBytes: value.count + 6) { room in
            var count = 0
            Self.put(value.count, prefixBits: 7, room, &count)
            value.withUnsafeBytes { source in
                guard let from = source.baseAddress, let to = room.baseAddress else { return }
                precondition(source.count <= room.count - count, "more was written than was asked for")
                (to + count).copyMemory(from: from, byteCount: source.count)
            }
            return count + value.count
        }
    }

    /// Walks over field lines until there are no more, or `visit` wants none.
    private static func forEachLine(
        _ text: Span<UInt8>, from: Int, _ visit: (_ known: FieldName, _ name: Span<UInt8>, _ value: Span<UInt8>) -> Bool
    ) {
        var start = from
        while start < text.count {
            let end = endOfLine(text, start)
            if end == start { return }
            var colon = start
            while colon < end, text[colon] != UInt8(ascii: ":") { colon += 1 }
            let name = text.extracting(start..<colon)
            var valueStart = min(colon + 1, end)
            while valueStart < end, text[valueStart] == 0x20 || text[valueStart] == 0x09 { valueStart += 1 }
            var valueEnd = end
            while valueEnd > valueStart, text[valueEnd - 1] == 0x20 || text[valueEnd - 1] == 0x09 { valueEnd -= 1 }
            guard visit(FieldName(name), name, text.extracting(valueStart..<valueEnd)) else { return }
            start = end + 2
        }
    }

    private static func endOfLine(_ text: Span<UInt8>, _ start: Int) -> Int {
        text.extracting(start..<text.count).withUnsafeBytes { bytes -> Int in
            guard let base = bytes.baseAddress, let found = memchr(base, 0x0D, bytes.count) else { return start + bytes.count }
            return start + (UnsafeRawPointer(found) - base)
        }
    }

    public mutating func writeHPACKStatus(_ status: Int) {
        switch status {
        case 200: writeInteger(UInt8(0x88))
        case 204: writeInteger(UInt8(0x89))
        case 206: writeInteger(UInt8(0x8A))
        case 304: writeInteger(UInt8(0x8B))
        case 400: writeInteger(UInt8(0x8C))
        case 404: writeInteger(UInt8(0x8D))
        case 500: writeInteger(UInt8(0x8E))
        default:
            writeInteger(UInt8(0x08))
            writeInteger(UInt8(3))
            for digit in [status / 100 % 10, status / 10 % 10, status % 10] { writeInteger(UInt8(ascii: "0") + UInt8(digit)) }
        }
    }

    /// Writes a trailer section.
    public mutating func writeHPACKFields(_ fields: FieldSection) {
        for index in fields.lines.indices where !fields.lines[index].name.isHopByHop {
            writeHPACKField(fields.lines[index].name, fields.name(at: index), fields.value(at: index))
        }
    }

    /// A literal that is not put into the table.
    private mutating func writeHPACKField(_ known: FieldName, _ name: Span<UInt8>, _ value: Span<UInt8>) {
        // 12: a first byte and two lengths of at most five.
        writeWithUnsafeMutableBytes(minimumWritableBytes: name.count + value.count + 12) { room in
            var count = 0
            let index = HPACKStaticTable.nameIndices[Int(known.rawValue)]
            if index > 0 {
                Self.put(Int(index), prefixBits: 4, room, &count)
            } else {
                room[count] = 0
                count += 1
                Self.put(name.count, prefixBits: 7, room, &count)
                for byte in 0..<name.count {
                    let byte = name[byte]
                    room[count] = byte &- 0x41 < 26 ? byte | 0x20 : byte
                    count += 1
                }
            }
            Self.put(value.count, prefixBits: 7, room, &count)
            value.withUnsafeBytes { source in
                guard let from = source.baseAddress, let to = room.baseAddress else { return }
                precondition(source.count <= room.count - count, "more was written than was asked for")
                (to + count).copyMemory(from: from, byteCount: source.count)
            }
            return count + value.count
        }
    }

    private static func put(_ value: Int, prefixBits: Int, _ room: UnsafeMutableRawBufferPointer, _ count: inout Int) {
        let mask = (1 << prefixBits) - 1
        guard value >= mask else {
            room[count] = UInt8(truncatingIfNeeded: value)
            count += 1
            return
        }
        room[count] = UInt8(truncatingIfNeeded: mask)
        count += 1
        var rest = value - mask
        while rest >= 128 {
            room[count] = UInt8(truncatingIfNeeded: rest & 0x7F) | 0x80
            count += 1
            rest >>= 7
        }
        room[count] = UInt8(truncatingIfNeeded: rest)
        count += 1
    }
}
