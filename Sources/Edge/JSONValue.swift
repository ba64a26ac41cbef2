/// A small document that the edge answers operators with; not for what is on every request's path.
indirect enum JSONValue: Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral {
    case string(String)
    case number(Int)
    case boolean(Bool)
    case list([JSONValue])
    /// In this order.
    case object([(String, JSONValue)])

    init(stringLiteral value: String) { self = .string(value) }
    init(integerLiteral value: Int) { self = .number(value) }
    init(booleanLiteral value: Bool) { self = .boolean(value) }

    /// Bytes that a client chose: what is not UTF-8 becomes U+FFFD.
    static func bytes(_ bytes: some Sequence<UInt8>) -> JSONValue { .string(String(decoding: Array(bytes), as: UTF8.self)) }

    var rendered: String {
        var text = ""
        append(to: &text)
        return text
    }

    private func append(to text: inout String) {
        switch self {
        case .string(let string): Self.append(string, to: &text)
        case .number(let number): text += "\(number)"
        case .boolean(let isTrue): text += isTrue ? "true" : "false"
        case .list(let values):
            text += "["
            for (index, value) in values.enumerated() {
                if index > 0 { text += "," }
                value.append(to: &text)
            }
            text += "]"
        case .object(let members):
            text += "{"
            for (index, (name, value)) in members.enumerated() {
                if index > 0 { text += "," }
                Self.append(name, to: &text)
                text += ":"
                value.append(to: &text)
            }
            text += "}"
        }
    }

    /// - Source: RFC 8259 §7.
    private static func append(_ string: String, to text: inout String) {
        text += "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}
