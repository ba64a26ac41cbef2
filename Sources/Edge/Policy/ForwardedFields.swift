import HTTPSemantics
import NIOCore

/// The fields that tell the application for whom the edge asks. What a client says in them goes no further; see ``ForwardedPolicy``.
/// - Source: RFC 7239 §4.
enum ForwardedFields {
    /// Writes `X-Forwarded-For`, `X-Real-IP`, `X-Forwarded-Proto`, `X-Forwarded-Host` and `Forwarded`, whole lines.
    /// - Parameter authority: the request's own.
    static func write(_ client: ClientIdentity, authority: Span<UInt8>, into output: inout ByteBuffer) {
        let hostCount = client.host?.count ?? authority.count
        let chainCount = client.chain.reduce(0) { $0 + $1.count + 12 }
        // 160: the names, twice the host, and the two schemes.
        output.writeText(bytesMax: 160 + client.address.count + 2 * chainCount + 2 * hostCount) { output in
            output.text("X-Forwarded-For: ")
            for (index, hop) in client.chain.enumerated() {
                if index > 0 { output.text(", ") }
                output.bytes(hop.span)
            }
            output.text("\r\nX-Real-IP: ")
            output.bytes(client.address.span)
            output.text(client.isSecure ? "\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: " : "\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: ")
            host(client, authority, into: &output)
            output.text("\r\nForwarded: ")
            for (index, hop) in client.chain.enumerated() {
                output.text(index > 0 ? ", for=" : "for=")
                node(hop, into: &output)
                // Scheme and host are those that the client itself used.
                if index == 0 {
                    output.text(client.isSecure ? ";proto=https;host=\"" : ";proto=http;host=\"")
                    host(client, authority, into: &output)
                    output.text("\"")
                }
            }
            output.text("\r\n")
        }
    }

    /// Whether a field that is none of these is one to an application whose interface has underscores for hyphens: in CGI, WSGI, Rack and PHP
    /// `X_Forwarded_For` and `X-Forwarded-For` are both `HTTP_X_FORWARDED_FOR`.
    /// - Source: RFC 3875 §4.1.18.
    static func isImitated(by spelled: Span<UInt8>) -> Bool {
        own.contains { AmbiguousFields.isSame(spelled, $0, anyHyphen: true) }
    }

    private static let own: [[UInt8]] = [FieldName.xForwardedFor, .xForwardedHost, .xForwardedProto, .xRealIP].map {
        Array("\($0.spelling)".lowercased().utf8)
    }

    /// Whether a field says what proxies say besides, of which the edge writes nothing itself: the port, the scheme, the name and the path that
    /// the client used. Applications make URLs of them, and of a client that is no trusted proxy they are its own invention.
    static func isSaidByProxies(_ spelled: Span<UInt8>) -> Bool {
        guard spelled.count >= 15, spelled.count <= 18, spelled[0] | 0x20 == UInt8(ascii: "x") else { return false }
        return others.contains { AmbiguousFields.isSame(spelled, $0, anyHyphen: true) }
    }

    private static let others = ["port", "ssl", "scheme", "server", "prefix"].map { Array("x-forwarded-\($0)".utf8) }

    private static func host(_ client: ClientIdentity, _ authority: Span<UInt8>, into output: inout TextOutput) {
        if let host = client.host { output.bytes(host.span) } else { output.bytes(authority) }
    }

    /// - Source: RFC 7239 §6: IPv6 in brackets and quotes; a peer without an address is `unknown`.
    private static func node(_ hop: [UInt8], into output: inout TextOutput) {
        if hop.elementsEqual("unix:".utf8) || hop.elementsEqual("unknown".utf8) { return output.text("unknown") }
        guard hop.contains(UInt8(ascii: ":")) else { return output.bytes(hop.span) }
        output.text("\"[")
        output.bytes(hop.span)
        output.text("]\"")
    }
}
