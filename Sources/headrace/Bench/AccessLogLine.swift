import Foundation

/// The request that a line of an access log speaks of.
///
/// Three kinds are read: the "combined" format of Apache and nginx, a JSON object per line as nginx is often told to write (`request`, or
/// `request_method` and `request_uri` or `uri`), and Headrace's own (`method` and `target`).
struct AccessLogLine: Equatable {
    var method: String
    /// In origin-form; what was logged in another is not replayed.
    var target: String
    /// Seconds since 1970; `nil` when the line has no time, or one that is not known here.
    var time: Double?

    /// - Returns: `nil` for a line that names no request.
    init?(_ line: some StringProtocol) {
        let line = line.trimmingCharacters(in: .whitespaces)
        guard let parts = line.hasPrefix("{") ? Self.object(line) : Self.combined(line) else { return nil }
        guard parts.target.hasPrefix("/"), !parts.method.isEmpty, parts.method.allSatisfy({ $0.isASCII && $0.isLetter }) else { return nil }
        method = parts.method
        target = parts.target
        time = parts.time.flatMap { LogTime.seconds($0) }
    }

    /// `… [date] "GET /path HTTP/1.1" status …`: the first quoted part behind the date.
    private static func combined(_ line: String) -> (method: String, target: String, time: String?)? {
        guard let date = line.firstIndex(of: "]"), let open = line[date...].firstIndex(of: "\"") else { return nil }
        let rest = line[line.index(after: open)...]
        guard let close = rest.firstIndex(of: "\"") else { return nil }
        let time = line[..<date].lastIndex(of: "[").map { String(line[line.index(after: $0)..<date]) }
        return request(String(rest[..<close])).map { ($0.method, $0.target, time) }
    }

    private static func object(_ line: String) -> (method: String, target: String, time: String?)? {
        guard let object = (try? JSONSerialization.jsonObject(with: Data(line.utf8))) as? [String: Any] else { return nil }
        func text(_ keys: String...) -> String? { keys.lazy.compactMap { object[$0] as? String }.first }
        let time = text("time", "time_iso8601", "time_local", "msec") ?? (object["msec"] as? Double).map { "\($0)" }
        if let method = text("method", "request_method"), let target = text("target", "request_uri", "uri") { return (method, target, time) }
        return text("request").flatMap { request($0) }.map { ($0.method, $0.target, time) }
    }

    private static func request(_ text: String) -> (method: String, target: String)? {
        let words = text.split(separator: " ")
        guard words.count == 3, words[2].hasPrefix("HTTP/") else { return nil }
        return (String(words[0]), String(words[1]))
    }
}
