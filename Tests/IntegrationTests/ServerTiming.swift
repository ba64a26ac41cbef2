/// What the edge says of an answer's time.
/// - Source: W3C Server Timing, §2.
enum ServerTiming {
    static var form: Regex<Substring> {
        get throws { try Regex(#"edge;dur=\d+\.\d{3}(?:, (?:lookup|queue|connect|first_byte|compress|write);dur=\d+\.\d{3})*"#) }
    }

    /// By name.
    static func milliseconds(_ field: String) -> [String: Double] {
        let parts = field.split(separator: ", ").map { $0.split(separator: ";dur=") }
        return Dictionary(parts.compactMap { part in part.count == 2 ? Double(part[1]).map { (String(part[0]), $0) } : nil }) { first, _ in first }
    }
}
