/// A pattern of file names that carry a hash of their content, such as `app.3f2a9c1b.js`.
///
/// | part | stands for |
/// |---|---|
/// | `{hex}`, `{hex:N}` | a whole run of at least 8 (N) hexadecimal digits of one case, letters and digits among them |
/// | `{base64}`, `{base64:N}` | a whole run of at least 8 (N) of `A…Z a…z 0…9 _`, with capitals, small letters and digits among them |
/// | `*` | anything, also nothing |
/// | all else | itself |
///
/// A run of digits alone is more often a date, and one of letters alone a word; to take either for a hash would let browsers keep a
/// file that changes under its name. For the same reason `{base64}` is in no standard pattern: `photo-Holiday1.jpg` has one.
struct HashedNamePattern: Sendable, Equatable {
    private enum Part: Equatable {
        case byte(UInt8)
        case anything
        case hex(min: Int)
        case base64(min: Int)
    }

    /// Longer names carry no hash for us, so that what a client sends bounds the work.
    static let nameBytesMax = 255
    private static let patternBytesMax = 128
    /// Two: with each, the work may be multiplied by the length of the name.
    private static let anythingMax = 2

    private let parts: [Part]

    /// - Returns: `nil` when ``problem(_:)`` has something to say.
    init?(_ text: String) {
        guard Self.problem(text) == nil, let parts = Self.parse(text) else { return nil }
        self.parts = parts
    }

    /// What is wrong with a pattern, as the rest of a sentence.
    static func problem(_ text: String) -> String? {
        guard text.utf8.count <= patternBytesMax else { return "is longer than \(patternBytesMax) bytes" }
        guard let parts = parse(text) else { return "is no pattern: its parts are {hex}, {hex:N}, {base64}, {base64:N} with N 6…64, * and text" }
        let hashes = parts.count { part in
            switch part {
            case .hex, .base64: true
            case .byte, .anything: false
            }
        }
        guard hashes == 1 else { return "has \(hashes) hashes; one {hex} or {base64} is needed" }
        guard parts.count(where: { $0 == .anything }) <= anythingMax else { return "has more than \(anythingMax) *" }
        return nil
    }

    private static func parse(_ text: String) -> [Part]? {
        var parts: [Part] = []
        var rest = text[...]
        while let first = rest.first {
            if first == "{" {
                guard let end = rest.firstIndex(of: "}") else { return nil }
                let words = rest[rest.index(after: rest.startIndex)..<end].split(separator: ":", omittingEmptySubsequences: false)
                guard words.count <= 2 else { return nil }
                var count = 8
                if words.count == 2 {
                    // Six hexadecimal digits are as many as one name in sixteen million by chance.
                    guard let number = Int(words[1]), (6...64).contains(number) else { return nil }
                    count = number
                }
                switch words[0] {
                case "hex": parts.append(.hex(min: count))
                case "base64": parts.append(.base64(min: count))
                default: return nil
                }
                rest = rest[rest.index(after: end)...]
            } else {
                if first == "*" {
                    if parts.last != .anything { parts.append(.anything) }
                } else {
                    guard first != "}", first != "/" else { return nil }
                    parts.append(contentsOf: first.utf8.map { .byte($0) })
                }
                rest = rest.dropFirst()
            }
        }
        return parts
    }

    /// - Parameter name: a file name, as it stands in a request target.
    func matches(_ name: Span<UInt8>) -> Bool {
        name.count <= Self.nameBytesMax && matches(name, from: 0, part: 0)
    }

    private func matches(_ name: Span<UInt8>, from start: Int, part first: Int) -> Bool {
        var (index, part) = (start, first)
        while part < parts.count {
            switch parts[part] {
            case .byte(let byte):
                guard index < name.count, name[index] == byte else { return false }
                index += 1
            case .anything:
                if part + 1 == parts.count { return true }
                return (index...name.count).contains { matches(name, from: $0, part: part + 1) }
            case .hex(let count):
                guard let end = Self.run(name, from: index, min: count, isHex: true) else { return false }
                index = end
            case .base64(let count):
                guard let end = Self.run(name, from: index, min: count, isHex: false) else { return false }
                index = end
            }
            part += 1
        }
        return index == name.count
    }

    /// The end of the whole run at `start`, if it looks like a hash.
    private static func run(_ name: Span<UInt8>, from start: Int, min count: Int, isHex: Bool) -> Int? {
        func isOfRun(_ byte: UInt8) -> Bool {
            switch byte {
            case 0x30...0x39: true
            case 0x41...0x5A: !isHex || byte <= 0x46
            case 0x61...0x7A: !isHex || byte <= 0x66
            case UInt8(ascii: "_"): !isHex
            default: false
            }
        }
        // In the middle of a longer run is no hash.
        if start > 0, isOfRun(name[start - 1]), isHex || name[start - 1] != UInt8(ascii: "_") { return nil }
        var (end, digits, capitals, smalls) = (start, false, false, false)
        while end < name.count, isOfRun(name[end]) {
            switch name[end] {
            case 0x30...0x39: digits = true
            case 0x41...0x5A: capitals = true
            case 0x61...0x7A: smalls = true
            default: break
            }
            end += 1
        }
        guard end - start >= count, digits, isHex ? capitals != smalls : capitals && smalls else { return nil }
        return end
    }
}
