internal import HTTPSemantics

/// The parts of a request target.
/// - Source: RFC 9112 §3.2.
struct RequestTargetForm {
    /// Path and query; `*`; for CONNECT the authority. Empty for an absolute-form without a path.
    var target: Range<Int>
    /// The target's own authority, if it has one.
    var authority: Range<Int>?
    /// The port that the scheme implies; zero when the target has no scheme.
    var defaultPort = 0

    /// - Parameter range: where the target lies; all its bytes are ``Octets/target``.
    init(_ bytes: Span<UInt8>, _ range: Range<Int>, method: Method) throws(HTTP1Error) {
        target = range
        if bytes[range.lowerBound] == UInt8(ascii: "/") {
            if method == .connect { throw HTTP1Error(.targetForm) }
            return
        }
        if method == .connect {
            guard HostValue(bytes, range)?.port != nil else { throw HTTP1Error(.targetForm) }
            authority = range
            return
        }
        if range.count == 1, bytes[range.lowerBound] == UInt8(ascii: "*"), method == .options { return }

        let rest: Int
        if range.count > 7, MessageFraming.equals(bytes, range.lowerBound, range.lowerBound + 7, "http://") {
            rest = range.lowerBound + 7
            defaultPort = 80
        } else if range.count > 8, MessageFraming.equals(bytes, range.lowerBound, range.lowerBound + 8, "https://") {
            rest = range.lowerBound + 8
            defaultPort = 443
        } else {
            throw HTTP1Error(.targetForm)
        }
        var end = rest
        while end < range.upperBound, bytes[end] != UInt8(ascii: "/"), bytes[end] != UInt8(ascii: "?") { end += 1 }
        guard HostValue(bytes, rest..<end) != nil else { throw HTTP1Error(.hostInvalid) }
        authority = rest..<end
        target = end..<range.upperBound
    }
}

/// A host and perhaps a port, as in `Host` and in an authority. User information is not allowed: RFC 9110 §4.2.4.
/// - Source: RFC 9110 §7.2; RFC 3986 §3.2.2, §3.2.3.
struct HostValue {
    var host: Range<Int>
    /// The port's digits, `nil` without a colon or with none behind it.
    var port: Int?

    /// `nil` when the bytes are no valid host, or empty: a URI of `http` always has one (RFC 9110 §4.2.1).
    init?(_ bytes: Span<UInt8>, _ range: Range<Int>) {
        guard !range.isEmpty else { return nil }
        var index = range.lowerBound
        if bytes[index] == UInt8(ascii: "[") {
            index += 1
            while index < range.upperBound, Octets.hexValue(bytes[index]) != nil || bytes[index] == UInt8(ascii: ":")
                || bytes[index] == UInt8(ascii: ".")
            {
                index += 1
            }
            guard index - range.lowerBound > 2, index < range.upperBound, bytes[index] == UInt8(ascii: "]") else { return nil }
            index += 1
        } else {
            while index < range.upperBound, bytes[index] != UInt8(ascii: ":") {
                if Octets.is(bytes[index], Octets.host) {
                    index += 1
                } else if bytes[index] == UInt8(ascii: "%"), range.upperBound - index > 2,
                    Octets.hexValue(bytes[index + 1]) != nil, Octets.hexValue(bytes[index + 2]) != nil
                {
                    index += 3
                } else {
                    return nil
                }
            }
            guard index > range.lowerBound else { return nil }
        }
        host = range.lowerBound..<index
        guard index < range.upperBound else { return }
        guard bytes[index] == UInt8(ascii: ":") else { return nil }
        index += 1
        var value = 0
        for digit in index..<range.upperBound {
            guard Octets.isDigit(bytes[digit]) else { return nil }
            value = value * 10 + Int(bytes[digit] &- 0x30)
            guard value <= 65535 else { return nil }
        }
        if index < range.upperBound { port = value }
    }

    /// Whether both name one authority: the host in any case, the port with the scheme's default filled in.
    func isSame(as other: HostValue, in bytes: Span<UInt8>, defaultPort: Int) -> Bool {
        guard host.count == other.host.count, port ?? defaultPort == other.port ?? defaultPort else { return false }
        for offset in 0..<host.count
        where Octets.lowercased(bytes[host.lowerBound + offset]) != Octets.lowercased(bytes[other.host.lowerBound + offset]) {
            return false
        }
        return true
    }
}
