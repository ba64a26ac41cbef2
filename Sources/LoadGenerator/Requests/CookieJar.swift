import HTTPSemantics

/// The cookies of one connection, which stands for one visitor of one origin.
///
/// `Path`, `Secure`, `Max-Age` and `Expires` are heeded; `Domain` and `SameSite` make no difference within one origin.
/// - Source: RFC 6265 §5.2, §5.3, §5.4.
struct CookieJar {
    /// As RFC 6265 §6.1 asks of a browser; more is not kept.
    static let cookiesMax = 50
    static let cookieBytesMax = 4096

    private struct Cookie {
        var name: Substring
        var value: Substring
        var path: Substring
        var isSecure: Bool
        /// Seconds since 1970; `nil` for as long as the connection.
        var expiry: Int64?
    }

    private var cookies: [Cookie] = []

    var isEmpty: Bool { cookies.isEmpty }

    /// Takes a `Set-Cookie` field's value.
    /// - Parameters:
    ///   - target: of the request that was answered.
    ///   - now: seconds since 1970.
    mutating func received(_ text: String, target: String, now: Int64) {
        guard text.utf8.count <= Self.cookieBytesMax else { return }
        let parts = text.split(separator: ";", omittingEmptySubsequences: false).map { Self.trimmed($0) }
        guard let equals = parts[0].firstIndex(of: "=") else { return }
        let name = Self.trimmed(parts[0][..<equals])
        guard !name.isEmpty, text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else { return }
        var cookie = Cookie(
            name: name, value: Self.trimmed(parts[0][parts[0].index(after: equals)...]), path: Self.defaultPath(target), isSecure: false)
        var age: Int64?
        for part in parts.dropFirst() {
            let key = part.prefix { $0 != "=" }
            let value = Self.trimmed(part.dropFirst(key.count + 1))
            switch Self.trimmed(key).lowercased() {
            case "path": if value.hasPrefix("/") { cookie.path = value }
            case "secure": cookie.isSecure = true
            case "max-age": age = Int64(value) ?? age
            case "expires": cookie.expiry = HTTPDate.parse(Array(value.utf8).span) ?? cookie.expiry
            default: break
            }
        }
        if let age { cookie.expiry = age <= 0 ? .min : now.addingReportingOverflow(age).overflow ? nil : now + age }
        cookies.removeAll { $0.name == cookie.name && $0.path == cookie.path }
        guard cookie.expiry ?? .max > now else { return }
        if cookies.count >= Self.cookiesMax { cookies.removeFirst() }
        cookies.append(cookie)
    }

    /// The `Cookie` field's value for a request; `nil` when none belongs to it.
    func field(target: String, isSecure: Bool, now: Int64) -> String? {
        let path = target.prefix { $0 != "?" }
        let sent = cookies.filter { cookie in
            (cookie.expiry ?? .max) > now && (isSecure || !cookie.isSecure)
                && (path == cookie.path || path.hasPrefix(cookie.path) && (cookie.path.hasSuffix("/") || path.dropFirst(cookie.path.count).first == "/"))
        }
        guard !sent.isEmpty else { return nil }
        // Longer paths first, as §5.4 asks.
        return sent.sorted { $0.path.count > $1.path.count }.map { "\($0.name)=\($0.value)" }.joined(separator: "; ")
    }

    /// - Source: RFC 6265 §5.1.4.
    private static func defaultPath(_ target: String) -> Substring {
        let path = target.prefix { $0 != "?" }
        guard path.hasPrefix("/"), let last = path.lastIndex(of: "/"), last != path.startIndex else { return "/" }
        return path[..<last]
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return text
    }
}
