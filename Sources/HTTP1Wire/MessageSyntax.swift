package import HTTPSemantics

/// What every version of HTTP asks of the parts of a message: one place, so that a request is judged alike however it came.
package enum MessageSyntax {
    /// A token without capitals.
    /// - Source: RFC 9113 §8.2.1: a field name with capitals makes a message malformed.
    package static func isLowercaseToken(_ name: Span<UInt8>) -> Bool {
        guard !name.isEmpty else { return false }
        for index in name.indices {
            let byte = name[index]
            if !Octets.is(byte, Octets.token) || byte &- 0x41 < 26 { return false }
        }
        return true
    }

    package static func isToken(_ name: Span<UInt8>) -> Bool {
        !name.isEmpty && OctetScan.endOfToken(in: name, from: 0, to: name.count) == name.count
    }

    /// Without white space around it, which HTTP/1 trims and HTTP/2 forbids.
    /// - Source: RFC 9110 §5.5; RFC 9113 §8.2.1.
    package static func isFieldValue(_ value: Span<UInt8>) -> Bool {
        guard !value.isEmpty else { return true }
        for byte in [value[0], value[value.count - 1]] where byte == Octets.space || byte == Octets.tab { return false }
        return OctetScan.endOfFieldValue(in: value, from: 0, to: value.count) == value.count
    }

    /// A path with or without a query; `*` for OPTIONS.
    package static func isTarget(_ target: Span<UInt8>, method: Method) -> Bool {
        guard !target.isEmpty, OctetScan.endOfTarget(in: target, from: 0, to: target.count) == target.count else { return false }
        return target[0] == UInt8(ascii: "/") || method == .options && target.count == 1 && target[0] == UInt8(ascii: "*")
    }

    package static func isAuthority(_ text: Span<UInt8>) -> Bool { HostValue(text, 0..<text.count) != nil }

    /// What CONNECT names: a host and a port.
    package static func isAuthorityWithPort(_ text: Span<UInt8>) -> Bool { HostValue(text, 0..<text.count)?.port != nil }

    /// The value of `Content-Length`.
    package static func length(_ value: Span<UInt8>) -> Int? { try? MessageFraming.parseLength(value, 0, value.count) }

    /// Whether the bytes spell a word in any case. The word is in small letters.
    package static func equals(_ bytes: Span<UInt8>, _ word: StaticString) -> Bool { MessageFraming.equals(bytes, 0, bytes.count, word) }
}
