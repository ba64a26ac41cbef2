/// The answer of a name server, as far as it is wanted: addresses and services. Every length and offset in it is a stranger's word.
/// - Source: RFC 1035 §4; AAAA: RFC 3596 §2; SRV: RFC 2782.
struct DNSMessage: Equatable {
    enum RecordType: UInt16, Sendable {
        case a = 1
        case aaaa = 28
        case srv = 33
    }

    enum Record: Equatable {
        /// Four bytes or sixteen.
        case address([UInt8], seconds: UInt32)
        case service(priority: UInt16, weight: UInt16, port: UInt16, target: String, seconds: UInt32)
    }

    enum Fault: Error, Equatable {
        case truncated
        case malformed
    }

    /// The records that are read; more are passed over. 256: as many as a group may have members.
    static let recordsMax = UpstreamGroup.membersMax
    /// Labels of a name, pointers included. 128: a name has at most 127 (RFC 1035 §2.3.4); pointers may lead in a circle.
    private static let labelsMax = 128

    private(set) var records: [Record] = []

    /// - Parameter bytes: a whole message, as it comes in UDP.
    init(_ bytes: [UInt8]) throws(Fault) {
        var reader = Reader(bytes: bytes)
        // Id, flags.
        _ = try reader.uint32()
        let questions = try reader.uint16()
        let answers = try reader.uint16()
        // Name servers and additional records are not looked at.
        _ = try reader.uint32()
        for _ in 0..<questions {
            try reader.skipName()
            _ = try reader.uint32()
        }
        for _ in 0..<answers where records.count < Self.recordsMax {
            try reader.skipName()
            let type = try reader.uint16()
            let recordClass = try reader.uint16()
            let seconds = try reader.uint32()
            let length = Int(try reader.uint16())
            let end = reader.position + length
            guard end <= bytes.count else { throw .truncated }
            if recordClass == 1, let type = RecordType(rawValue: type) {
                switch type {
                case .a, .aaaa:
                    guard length == (type == .a ? 4 : 16) else { throw .malformed }
                    records.append(.address(Array(bytes[reader.position..<end]), seconds: seconds))
                case .srv:
                    let priority = try reader.uint16()
                    let weight = try reader.uint16()
                    let port = try reader.uint16()
                    let target = try reader.name()
                    guard reader.position == end else { throw .malformed }
                    records.append(.service(priority: priority, weight: weight, port: port, target: target, seconds: seconds))
                }
            }
            reader.position = end
        }
    }

    private struct Reader {
        let bytes: [UInt8]
        var position = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        mutating func uint16() throws(Fault) -> UInt16 {
            guard position + 2 <= bytes.count else { throw .truncated }
            defer { position += 2 }
            return UInt16(bytes[position]) << 8 | UInt16(bytes[position + 1])
        }

        mutating func uint32() throws(Fault) -> UInt32 {
            let high = try uint16()
            return UInt32(high) << 16 | UInt32(try uint16())
        }

        /// Steps over a name without following its pointer.
        mutating func skipName() throws(Fault) {
            while true {
                guard position < bytes.count else { throw .truncated }
                let length = Int(bytes[position])
                if length & 0xC0 == 0xC0 {
                    position += 2
                    return
                }
                guard length & 0xC0 == 0 else { throw .malformed }
                position += 1 + length
                if length == 0 { return }
            }
        }

        /// Reads a name, and stands behind it.
        mutating func name() throws(Fault) -> String {
            var labels: [String] = []
            var place = position
            var behind: Int?
            for _ in 0..<DNSMessage.labelsMax {
                guard place < bytes.count else { throw .truncated }
                let length = Int(bytes[place])
                if length & 0xC0 == 0xC0 {
                    guard place + 1 < bytes.count else { throw .truncated }
                    if behind == nil { behind = place + 2 }
                    place = (length & 0x3F) << 8 | Int(bytes[place + 1])
                    continue
                }
                guard length & 0xC0 == 0 else { throw .malformed }
                if length == 0 {
                    position = behind ?? place + 1
                    return labels.joined(separator: ".")
                }
                guard place + 1 + length <= bytes.count else { throw .truncated }
                let label = bytes[(place + 1)..<(place + 1 + length)]
                // Host names only: a dot, a NUL or a byte over 127 in a label would read as something else in text.
                guard label.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: ".") }) else { throw .malformed }
                labels.append(String(decoding: label, as: UTF8.self))
                place += 1 + length
            }
            throw .malformed
        }
    }
}
