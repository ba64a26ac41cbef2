public import Transport

/// An `http:` or `https:` URL, as far as a request needs it.
/// - Source: RFC 3986 §3; RFC 9110 §4.2.1.
public struct HTTPURL: Sendable, Equatable {
    /// Host name or address, an IPv6 address without its brackets.
    public let host: String
    public let port: Int
    /// Whether the scheme is `https`.
    public let isSecure: Bool
    /// What goes into `Host`: as it was written, in brackets if it has them.
    public let authority: String
    /// Path and query; what the request line asks for. A fragment is never sent.
    public let target: String

    /// Why a text is no URL that can be asked for; the description is for the operator.
    public enum Invalid: Error, Equatable, CustomStringConvertible {
        case schemeMissing(String)
        case schemeUnknown(String)
        case userInformation(String)
        case host(String)
        case port(String)
        /// A byte that a request line cannot have: it must be percent-encoded.
        case target(String)

        public var description: String {
            switch self {
            case .schemeMissing(let text): "\(text): write the whole URL, as in http://\(text)"
            case .schemeUnknown(let text): "\(text): only http:// and https:// URLs can be measured"
            case .userInformation(let text): "\(text): a user name in the URL is not sent; use --header 'Authorization: …'"
            case .host(let text): "\(text): the URL has no valid host"
            case .port(let text): "\(text): the port is not a number from 1 to 65535"
            case .target(let text): "\(text): the path has a character that must be percent-encoded"
            }
        }
    }

    public init(_ text: String) throws(Invalid) {
        guard let mark = text.range(of: "://") else { throw .schemeMissing(text) }
        switch text[..<mark.lowerBound].lowercased() {
        case "http": isSecure = false
        case "https": isSecure = true
        default: throw .schemeUnknown(text)
        }
        let rest = text[mark.upperBound...].prefix { $0 != "#" }
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        guard !authority.contains("@") else { throw .userInformation(text) }

        let afterHost: Substring
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { throw .host(text) }
            host = String(authority[authority.index(after: authority.startIndex)..<end])
            guard host.utf8.allSatisfy({ Self.isHexDigit($0) || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: ".") }) else {
                throw .host(text)
            }
            afterHost = authority[authority.index(after: end)...]
        } else {
            host = String(authority.prefix { $0 != ":" })
            guard host.utf8.allSatisfy({ Self.isHostByte($0) }) else { throw .host(text) }
            afterHost = authority.dropFirst(host.count)
        }
        guard !host.isEmpty else { throw .host(text) }
        if afterHost.isEmpty {
            port = isSecure ? 443 : 80
        } else {
            let digits = afterHost.dropFirst()
            guard afterHost.first == ":", digits.utf8.allSatisfy({ $0 &- 0x30 < 10 }), let number = Int(digits),
                (1...65535).contains(number)
            else { throw .port(text) }
            port = number
        }
        self.authority = String(authority)

        let path = rest[authority.endIndex...]
        target = path.hasPrefix("/") ? String(path) : "/" + path
        guard target.utf8.allSatisfy({ 0x21...0x7E ~= $0 }) else { throw .target(text) }
    }

    /// Scheme and authority, in which an origin differs from another.
    public var origin: String { "\(isSecure ? "https" : "http")://\(authority)" }

    /// The URL that a reference in a document or a `Location` field means, seen from this one.
    /// - Returns: `nil` when it leads to something else than a page: another scheme, a part of this page.
    /// - Source: RFC 3986 §5.2, without its empty and fragment-only references.
    public func resolving(_ reference: String) -> HTTPURL? {
        let text = String(reference.prefix { $0 != "#" })
        guard !text.isEmpty else { return nil }
        if text.hasPrefix("//") { return try? HTTPURL((isSecure ? "https:" : "http:") + text) }
        let scheme = text.prefix { $0 != ":" && $0 != "/" && $0 != "?" }
        if scheme.count < text.count, text[scheme.endIndex] == ":" { return try? HTTPURL(text) }
        let path = target.prefix { $0 != "?" }
        if text.hasPrefix("?") { return try? HTTPURL(origin + path + text) }
        if text.hasPrefix("/") { return try? HTTPURL(origin + Self.withoutDots(text)) }
        let folder = path[...(path.lastIndex(of: "/") ?? path.startIndex)]
        return try? HTTPURL(origin + Self.withoutDots(folder + text))
    }

    /// - Source: RFC 3986 §5.2.4.
    private static func withoutDots(_ text: String) -> String {
        let path = text.prefix { $0 != "?" }
        guard path.contains(".") else { return text }
        var kept: [Substring] = []
        let segments = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        for (index, segment) in segments.enumerated() {
            let isLast = index == segments.count - 1
            switch segment {
            case ".": if isLast { kept.append("") }
            case "..":
                kept = kept.dropLast()
                if isLast { kept.append("") }
            default: kept.append(segment)
            }
        }
        return "/" + kept.joined(separator: "/") + text[path.endIndex...]
    }

    /// Where to connect to.
    public var endpoint: SocketEndpoint { .tcp(host: host, port: port) }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 6
    }

    /// Letters, digits, and what names and IPv4 addresses are parted with.
    private static func isHostByte(_ byte: UInt8) -> Bool {
        byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 26 || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-")
            || byte == UInt8(ascii: "_")
    }
}

extension StringProtocol {
    /// The first place where a text stands; Foundation's, without Foundation.
    fileprivate func range(of text: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }
}
