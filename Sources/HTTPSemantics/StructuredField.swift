/// A value of a structured field.
/// - Source: RFC 9651 §3.3.
public enum StructuredValue: Equatable, Sendable {
    /// At most 15 digits.
    case integer(Int)
    /// In thousandths.
    case decimal(Int)
    case string([UInt8])
    case token([UInt8])
    case bytes([UInt8])
    case boolean(Bool)
    /// Unix seconds.
    case date(Int)
    /// UTF-8.
    case displayString([UInt8])
}

/// A value with its parameters, in the order in which their keys first came; of a repeated key the last value counts.
/// - Source: RFC 9651 §3.1.2, §3.3.
public struct StructuredItem: Equatable, Sendable {
    public var value: StructuredValue
    public var parameters: [StructuredParameter] = []

    public init(_ value: StructuredValue, parameters: [StructuredParameter] = []) {
        self.value = value
        self.parameters = parameters
    }
}

/// - Source: RFC 9651 §3.1.2.
public struct StructuredParameter: Equatable, Sendable {
    public var key: [UInt8]
    public var value: StructuredValue

    public init(_ key: [UInt8], _ value: StructuredValue) {
        self.key = key
        self.value = value
    }
}

/// A member of a dictionary.
/// - Source: RFC 9651 §3.1.1, §3.2.
public enum StructuredMember: Equatable, Sendable {
    case item(StructuredItem)
    case innerList([StructuredItem], parameters: [StructuredParameter])
}

/// A field whose value is a dictionary, read strictly: anything wrong with it makes all of it worthless.
/// - Source: RFC 9651 §3.2, §4.2.
public struct StructuredDictionary: Equatable, Sendable {
    /// In the order in which their keys first came; of a repeated key the last value counts.
    public private(set) var members: [(key: [UInt8], value: StructuredMember)] = []

    /// 1024: as many as a parser must at least take (§3.2); a field with more is malformed here.
    public static let membersMax = 1024

    public static func == (left: Self, right: Self) -> Bool {
        left.members.elementsEqual(right.members) { $0.key == $1.key && $0.value == $1.value }
    }

    /// Reads all lines of that name as one.
    /// - Returns: `nil` when the field is absent or malformed.
    public init?(_ fields: borrowing FieldSection, _ name: FieldName) {
        guard fields.contains(name) else { return nil }
        var text: [UInt8] = []
        for index in fields.lines.indices where fields.lines[index].name == name {
            // §4.2: lines are joined as a list before they are read, which makes an empty one malformed where a member should be.
            if !text.isEmpty { text.append(contentsOf: ", ".utf8) }
            fields.value(at: index).withUnsafeBufferPointer { text.append(contentsOf: $0) }
        }
        self.init(text)
    }

    public init?(_ text: [UInt8]) {
        var parser = StructuredFieldParser(text)
        guard let members = try? parser.dictionary(membersMax: Self.membersMax) else { return nil }
        self.members = members
    }

    public subscript(_ key: String) -> StructuredMember? {
        members.first { $0.key.elementsEqual(key.utf8) }?.value
    }
}

/// The parsing algorithms of RFC 9651 §4.2, one method each.
struct StructuredFieldParser {
    struct Malformed: Error {}

    /// Items of one inner list, and parameters of one item. 256 is what §3.1.1 and §3.1.2 ask for.
    private static let innerMax = 256

    private let text: [UInt8]
    private var position = 0

    init(_ text: [UInt8]) {
        self.text = text
    }

    private var next: UInt8? { position < text.count ? text[position] : nil }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard next == byte else { return false }
        position += 1
        return true
    }

    private mutating func skipSpaces(tabs: Bool = false) {
        while let byte = next, byte == 0x20 || (tabs && byte == 0x09) { position += 1 }
    }

    /// - Source: §4.2.2.
    mutating func dictionary(membersMax: Int) throws(Malformed) -> [(key: [UInt8], value: StructuredMember)] {
        var members: [(key: [UInt8], value: StructuredMember)] = []
        skipSpaces()
        while next != nil {
            let name = try key()
            let member: StructuredMember
            if take(UInt8(ascii: "=")) {
                member = try self.member()
            } else {
                member = .item(StructuredItem(.boolean(true), parameters: try parameters()))
            }
            if let old = members.firstIndex(where: { $0.key == name }) {
                members[old].value = member
            } else {
                guard members.count < membersMax else { throw Malformed() }
                members.append((name, member))
            }
            skipSpaces(tabs: true)
            if next == nil { return members }
            guard take(UInt8(ascii: ",")) else { throw Malformed() }
            skipSpaces(tabs: true)
            if next == nil { throw Malformed() }
        }
        return members
    }

    /// - Source: §4.2.1.1.
    private mutating func member() throws(Malformed) -> StructuredMember {
        guard next == UInt8(ascii: "(") else { return .item(try item()) }
        position += 1
        var items: [StructuredItem] = []
        while true {
            skipSpaces()
            if take(UInt8(ascii: ")")) { return .innerList(items, parameters: try parameters()) }
            guard items.count < Self.innerMax else { throw Malformed() }
            items.append(try item())
            guard next == 0x20 || next == UInt8(ascii: ")") else { throw Malformed() }
        }
    }

    /// - Source: §4.2.3.
    private mutating func item() throws(Malformed) -> StructuredItem {
        let value = try value()
        return StructuredItem(value, parameters: try parameters())
    }

    /// - Source: §4.2.3.2.
    private mutating func parameters() throws(Malformed) -> [StructuredParameter] {
        var parameters: [StructuredParameter] = []
        while take(UInt8(ascii: ";")) {
            skipSpaces()
            let name = try key()
            let value = take(UInt8(ascii: "=")) ? try value() : .boolean(true)
            if let old = parameters.firstIndex(where: { $0.key == name }) {
                parameters[old].value = value
            } else {
                guard parameters.count < Self.innerMax else { throw Malformed() }
                parameters.append(StructuredParameter(name, value))
            }
        }
        return parameters
    }

    /// - Source: §4.2.3.3.
    private mutating func key() throws(Malformed) -> [UInt8] {
        func isLowercase(_ byte: UInt8) -> Bool { byte &- 0x61 < 26 }
        guard let first = next, isLowercase(first) || first == UInt8(ascii: "*") else { throw Malformed() }
        let start = position
        while let byte = next, isLowercase(byte) || ASCII.isDigit(byte) || "_-.*".utf8.contains(byte) { position += 1 }
        return Array(text[start..<position])
    }

    /// - Source: §4.2.3.1.
    private mutating func value() throws(Malformed) -> StructuredValue {
        guard let first = next else { throw Malformed() }
        switch first {
        case UInt8(ascii: "-"), 0x30...0x39: return try number()
        case UInt8(ascii: "\""): return try string()
        case UInt8(ascii: ":"): return try byteSequence()
        case UInt8(ascii: "?"): return try boolean()
        case UInt8(ascii: "@"):
            position += 1
            guard case .integer(let seconds) = try number() else { throw Malformed() }
            return .date(seconds)
        case UInt8(ascii: "%"): return try displayString()
        case UInt8(ascii: "*"), 0x41...0x5A, 0x61...0x7A:
            let start = position
            while let byte = next, ASCII.isToken(byte) || byte == UInt8(ascii: ":") || byte == UInt8(ascii: "/") { position += 1 }
            return .token(Array(text[start..<position]))
        default: throw Malformed()
        }
    }

    /// - Source: §4.2.4.
    private mutating func number() throws(Malformed) -> StructuredValue {
        let isNegative = take(UInt8(ascii: "-"))
        var value = 0
        var digits = 0
        while let byte = next, ASCII.isDigit(byte) {
            digits += 1
            guard digits <= 15 else { throw Malformed() }
            value = value * 10 + Int(byte &- 0x30)
            position += 1
        }
        guard digits > 0 else { throw Malformed() }
        guard take(UInt8(ascii: ".")) else { return .integer(isNegative ? -value : value) }
        guard digits <= 12 else { throw Malformed() }
        var fraction = 0
        while let byte = next, ASCII.isDigit(byte) {
            fraction += 1
            guard fraction <= 3 else { throw Malformed() }
            value = value * 10 + Int(byte &- 0x30)
            position += 1
        }
        guard fraction > 0 else { throw Malformed() }
        for _ in fraction..<3 { value *= 10 }
        return .decimal(isNegative ? -value : value)
    }

    /// - Source: §4.2.5.
    private mutating func string() throws(Malformed) -> StructuredValue {
        position += 1
        var content: [UInt8] = []
        while let byte = next {
            position += 1
            switch byte {
            case UInt8(ascii: "\\"):
                guard let escaped = next, escaped == UInt8(ascii: "\"") || escaped == UInt8(ascii: "\\") else { throw Malformed() }
                position += 1
                content.append(escaped)
            case UInt8(ascii: "\""): return .string(content)
            case 0x20...0x7E: content.append(byte)
            default: throw Malformed()
            }
        }
        throw Malformed()
    }

    /// - Source: §4.2.7. Padding may be missing, as the section allows; other bits than those of the bytes must not be set.
    private mutating func byteSequence() throws(Malformed) -> StructuredValue {
        position += 1
        var content: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        var isPadded = false
        while let byte = next {
            position += 1
            if byte == UInt8(ascii: ":") {
                // A rest of six bits is no byte; of twelve and eighteen the last four and two bits are nothing.
                guard count != 6, bits & ((1 << UInt32(count)) - 1) == 0 else { throw Malformed() }
                return .bytes(content)
            }
            if byte == UInt8(ascii: "=") {
                isPadded = true
                continue
            }
            guard !isPadded, let six = Self.base64(byte) else { throw Malformed() }
            bits = (bits << 6 | UInt32(six)) & 0xFFF
            count += 6
            if count >= 8 {
                count -= 8
                content.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        throw Malformed()
    }

    private static func base64(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x41...0x5A: byte - 0x41
        case 0x61...0x7A: byte - 0x61 + 26
        case 0x30...0x39: byte - 0x30 + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }

    /// - Source: §4.2.8.
    private mutating func boolean() throws(Malformed) -> StructuredValue {
        position += 1
        if take(UInt8(ascii: "1")) { return .boolean(true) }
        if take(UInt8(ascii: "0")) { return .boolean(false) }
        throw Malformed()
    }

    /// - Source: §4.2.10.
    private mutating func displayString() throws(Malformed) -> StructuredValue {
        position += 1
        guard take(UInt8(ascii: "\"")) else { throw Malformed() }
        var content: [UInt8] = []
        while let byte = next {
            position += 1
            switch byte {
            case UInt8(ascii: "%"):
                guard position + 1 < text.count, let high = Self.lowerHexadecimal(text[position]),
                    let low = Self.lowerHexadecimal(text[position + 1])
                else { throw Malformed() }
                position += 2
                content.append(high << 4 | low)
            case UInt8(ascii: "\""):
                guard String(validating: content, as: UTF8.self) != nil else { throw Malformed() }
                return .displayString(content)
            case 0x20...0x7E: content.append(byte)
            default: throw Malformed()
            }
        }
        throw Malformed()
    }

    private static func lowerHexadecimal(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }
}
