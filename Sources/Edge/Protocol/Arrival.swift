/// How a client's connection came in.
enum Arrival: Sendable, Equatable {
    case plain
    /// Without TLS, at an address whose clients are sent to HTTPS on this port; those of this machine perhaps not, which look after it or
    /// stand before it.
    case redirected(port: Int, sparesLocal: Bool)
    case tls

    /// Where a client is sent instead of being served.
    /// - Parameters:
    ///   - authority: `example.org`, `example.org:8080`, `[2001:db8::1]:80`; never empty.
    ///   - target: in origin form.
    static func secureURL(authority: String, target: String, port: Int) -> String {
        var host = Substring(authority)
        // The last colon, unless it is one of an IPv6 address.
        if let colon = host.lastIndex(of: ":"), !host[colon...].contains("]") { host = host[..<colon] }
        return "https://\(host)\(port == 443 ? "" : ":\(port)")\(target)"
    }

    /// Asked for by certificate authorities, and always without TLS.
    /// - Source: RFC 8555 §8.3.
    static func isChallenge(_ target: String) -> Bool {
        let path = "/.well-known/acme-challenge/"
        // A token has letters, digits, hyphens and underscores.
        return target.hasPrefix(path) && target.dropFirst(path.count).allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") }
    }
}
