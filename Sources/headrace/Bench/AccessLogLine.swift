import Foundation

/// The request that a line of an access log speaks of.
///
/// Three kinds are read: the "combined" format of Apache and nginx, a JSON object per line as nginx is often told to write (`request`, or
/// `request_method` and `request_uri` or `uri`), and Headrace's own (`method` and `target`).
struct AccessLogLine: Equatable {
    var method: String
    /// In origin-form; what was logged in another is not replayed.
    var target: String

    /// - Returns: `nil` for a line that names no request.
    init?(_ line: some StringProtocol) {
        let line = line.trimmingCharacters(in: .whitespaces)
        guard let parts = line.hasPrefix("{") ? Self.object(line) : Self.combined(line) else { return nil }
        guard parts.target.hasPrefix("/"), !parts.method.isEmpty, parts.method.allSatisfy({ $0.isASCII && $0.isLetter }) else { return nil }
        method = parts.method
        target = parts.target
    }

    /// `… [date] "GET /path HTTP/1.1" status …`: the first quoted part behind the date.
    private static func combined(_ line: String) -> (method: String, target: String)? {
        guard let date = line.firstIndex(of: "]"), let open = line[date...].firstIndex(of: "\"") else { return nil }
        let rest = line[line.index(after: open)...]
        guard let close = rest.firstIndex(of: "\"") else { return nil }
        return request(String(rest[..<close]))
    }

    private static func object(_ line: String) -> (method: String, target: String)? {
        guard let object = (try? JSONSerialization.jsonObject(with: Data(line.utf8))) as? [String: Any] else { return nil }
        func text(_ keys: String...) -> String? { keys.lazy.compactMap { object[$0] as? String }.first }
        if let method = text("method", "request_method"), let target = text("target", "request_uri", "uri") { return (method, target) }
        return text("request").flatMap { request($0) }
    }

    private static func request(_ text: String) -> (method: String, target: String)? {
        let words = text.split(separator: " ")
        guard words.count == 3, words[2].hasPrefix("HTTP/") else { return nil }
        return (String(words[0]), String(words[1]))
    }
}
