#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A document that is written and never read. Everything beyond plain text is escaped, `<` and `&` too, so that no text of anybody's is
/// markup wherever the document ends up.
enum JSON: Sendable {
    case null
    case boolean(Bool)
    case number(Double)
    case text(String)
    case array([JSON])
    /// In this order.
    case object([(String, JSON)])

    static func integer<Number: BinaryInteger>(_ number: Number) -> JSON { .number(Double(number)) }
    static func optional(_ number: Double?) -> JSON { number.map(JSON.number) ?? .null }
    static func optional(_ text: String?) -> JSON { text.map(JSON.text) ?? .null }

    var rendered: String {
        var text = ""
        write(to: &text)
        return text
    }

    private func write(to out: inout String) {
        switch self {
        case .null: out += "null"
        case .boolean(let value): out += value ? "true" : "false"
        case .number(let value): out += Self.digits(value)
        case .text(let text): Self.quote(text, to: &out)
        case .array(let members):
            out += "["
            for (index, member) in members.enumerated() {
                if index > 0 { out += "," }
                member.write(to: &out)
            }
            out += "]"
        case .object(let members):
            out += "{"
            for (index, (name, member)) in members.enumerated() {
                if index > 0 { out += "," }
                Self.quote(name, to: &out)
                out += ":"
                member.write(to: &out)
            }
            out += "}"
        }
    }

    /// Whole numbers as they are, others to six digits: nobody reads more off a chart. `null` for what is no number.
    static func digits(_ value: Double) -> String {
        guard value.isFinite else { return "null" }
        if value == value.rounded(), abs(value) < 9e15 { return String(Int64(value)) }
        let scale = pow(10, 5 - floor(log10(abs(value))))
        guard scale.isFinite, scale > 0 else { return "0" }
        let rounded = (value * scale).rounded() / scale
        if rounded == rounded.rounded(), abs(rounded) < 9e15 { return String(Int64(rounded)) }
        return "\(rounded)"
    }

    private static func quote(_ text: String, to out: inout String) {
        out += "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "<", ">", "&", "\u{7F}"..."\u{9F}", "\u{2028}", "\u{2029}", "\u{200E}", "\u{200F}", "\u{202A}"..."\u{202E}", "\u{2066}"..."\u{2069}",
                "\0"..."\u{1F}":
                let digits = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: out.unicodeScalars.append(scalar)
            }
        }
        out += "\""
    }
}
