public import Transport

/// An `http:` URL, as far as a request needs it.
/// - Source: RFC 3986 §3; RFC 9110 §4.2.1.
public struct HTTPURL: Sendable, Equatable {
    /// Host name or address, an IPv6 address without its brackets.
    public let host: String
    public let port: Int
    /// What goes into `Host`: as it was written, in brackets if it has them.
    public let authority: String
    /// Path and query; what the request line asks for. A fragment is never sent.
    public let target: String

    /// Why a text is no URL that can be asked for; the description is for the operator.
    public enum Invalid: Error, Equatable, CustomStringConvertible {
        case schemeMissing(String)
        /// TLS is not part of the generator yet.
        case https(String)
        case schemeUnknown(String)
        case userInformation(String)
        case host(String)
        case port(String)
        /// A byte that a request line cannot have: it must be percent-encoded.
        case target(String)

        public var description: String {
            switch self {
            case .schemeMissing(let text): "\(text): write the whole URL, as in http://\(text)"
            case .https(let text): "\(text): https is not supported yet; measure the plain http:// address behind it"
            case .schemeUnknown(let text): "\(text): only http:// URLs can be measured"
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
        case "http": break
        case "https": throw .https(text)
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
            port = 80
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
