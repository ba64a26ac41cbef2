import HTTPSemantics

/// How soon a client wants a response: 0 is the most urgent, 3 the default; and whether parts of it are of use before it is whole.
/// - Source: RFC 9218 §4.
public struct HTTP2Priority: Equatable, Sendable {
    public static let urgencyMax: UInt8 = 7

    public var urgency: UInt8 = 3
    public var isIncremental = false

    public init() {}

    public init(urgency: UInt8, isIncremental: Bool) {
        (self.urgency, self.isIncremental) = (min(urgency, Self.urgencyMax), isIncremental)
    }

    /// Takes over what a `priority` field says. What is out of range, of another type or not known is passed by (§4).
    public mutating func update(_ text: Span<UInt8>) {
        // Longer ones say nothing that we know.
        guard text.count <= 256 else { return }
        for member in String(copying: text).split(separator: ",") {
            let item = member.split(separator: ";", omittingEmptySubsequences: false).first.map { $0.filter { $0 != " " && $0 != "\t" } } ?? ""
            switch item {
            case "i", "i=?1": isIncremental = true
            case "i=?0": isIncremental = false
            default:
                guard item.hasPrefix("u="), item.utf8.count == 3, let digit = item.utf8.last, (0x30...0x37).contains(digit) else { continue }
                urgency = digit - 0x30
            }
        }
    }
}
