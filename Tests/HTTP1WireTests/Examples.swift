import HTTPSemantics
import Testing

@testable import HTTP1Wire

/// Bytes of one connection, and what they are. The split and truncation tests go through all of them.
struct Example: CustomTestStringConvertible, Sendable {
    let name: String
    let wire: [UInt8]
    let sender: Conversation.Sender

    init(_ name: String, _ wire: String, from sender: Conversation.Sender = .client) {
        self.name = name
        self.wire = wire.latin1
        self.sender = sender
    }

    var testDescription: String { name }
}

/// Bytes that are refused, and why.
struct Refusal: CustomTestStringConvertible, Sendable {
    let code: HTTP1Error.Code
    let example: Example

    init(_ code: HTTP1Error.Code, _ wire: String, from sender: Conversation.Sender = .client) {
        self.code = code
        example = Example("\(code): \(wire.debugDescription.prefix(80))", wire, from: sender)
    }

    var testDescription: String { example.name }

    /// A request whose only fault is in its request line.
    static func line(_ code: HTTP1Error.Code, _ line: String) -> Refusal {
        Refusal(code, "\(line)\r\nHost: a\r\n\r\n")
    }

    /// A request and a response that are right but for these field lines.
    static func fields(_ code: HTTP1Error.Code, _ lines: String) -> [Refusal] {
        [
            Refusal(code, "POST / HTTP/1.1\r\nHost: a\r\n\(lines)\r\n\r\n"),
            Refusal(code, "HTTP/1.1 200 OK\r\n\(lines)\r\n\r\n", from: .upstream(.get)),
        ]
    }

    /// A chunked body in a request and in a response.
    static func chunks(_ code: HTTP1Error.Code, _ body: String) -> [Refusal] {
        [
            Refusal(code, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\(body)"),
            Refusal(code, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\(body)", from: .upstream(.get)),
        ]
    }
}

enum Examples {
    static let accepted = requests + responses
    static let all = accepted + refusals.map(\.example)

    static let requests: [Example] = [
        Example("smallest request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Example(
            "RFC 9112 §3.2.1: origin-form",
            "GET /where?q=now HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n"),
        Example(
            "RFC 9112 §3.2.2: absolute-form",
            "GET http://www.example.org/pub/WWW/T.html HTTP/1.1\r\nHost: www.example.org\r\n\r\n"),
        Example("RFC 9112 §3.2.3: authority-form", "CONNECT www.example.com:80 HTTP/1.1\r\nHost: www.example.com:80\r\n\r\n"),
        Example("RFC 9112 §3.2.4: asterisk-form", "OPTIONS * HTTP/1.1\r\nHost: www.example.org:8001\r\n\r\n"),
        Example(
            "RFC 9112 §3.2.4: OPTIONS of a server",
            "OPTIONS http://www.example.org:8001 HTTP/1.1\r\nHost: www.example.org:8001\r\n\r\n"),
        Example("absolute-form with a query and no path", "GET HTTP://a?q=1 HTTP/1.1\r\nHost: A:80\r\n\r\n"),
        Example("HTTP/1.0", "GET / HTTP/1.0\r\n\r\n"),
        Example("HTTP/1.0 with keep-alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"),
        Example("a later minor version", "GET / HTTP/1.7\r\nHost: a\r\n\r\n"),
        Example("RFC 9112 §2.2: one empty line before", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Example("a body with its length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
        Example("a body of nothing", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
        Example(
            "an expectation",
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab"),
        Example(
            "a chunked body with extensions and trailers",
            "POST /x HTTP/1.1\r\nHost: [::1]:8080\r\ntransfer-encoding:\tChunked \r\n\r\n"
                + "3\r\nabc\r\n0A ; name ; a=b;c=\"d;\\\" \"\r\n0123456789\r\n"
                + "00;last\r\nETag: \"x\"\r\nContent-Length: 3\r\nX-Sum:  7 \r\n\r\n"
        ),
        Example(
            "three requests in a row",
            "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n123"
                + "DELETE /3 HTTP/1.1\r\nHost: a\r\n\r\n"),
        Example(
            "every byte that a value may have",
            "GET /\"<>[]^`{|}\\~!$&'()*+,;=:@%41 HTTP/1.1\r\nHost: a-._~!$&'()*+,;=%41:\r\n"
                + "X: \t \u{80}\u{FF} !\"#[]{}~\t \r\nY:\r\n"
                + "!#$%&'*+-.^_`|~09AZaz: token\r\n\r\n"),
        Example("an unknown method", "M-SEARCH /x HTTP/1.1\r\nHost: a\r\n\r\n"),
    ]

    static let responses: [Example] = [
        Example("smallest response", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", from: .upstream(.get)),
        Example("no reason", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nab", from: .upstream(.get)),
        Example("no reason and no space", "HTTP/1.0 404\r\nContent-Length: 2\r\n\r\nab", from: .upstream(.get)),
        Example(
            "a reason in another language", "HTTP/1.1 200 Tr\u{E8}s\tbien\r\nContent-Length: 1\r\n\r\na", from: .upstream(.get)),
        Example("a body that ends with its connection", "HTTP/1.1 200 OK\r\n\r\nall of it", from: .upstream(.get)),
        Example("HEAD has no body", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", from: .upstream(.head)),
        Example("304 has no body", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", from: .upstream(.get)),
        Example(
            "interim, then final", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            from: .upstream(.get)),
        Example("a tunnel", "HTTP/1.1 200 Connected\r\n\r\n", from: .upstream(.connect)),
        Example(
            "RFC 9112 §7.1: chunked",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                + "4\r\nWiki\r\n5\r\npedia\r\nE\r\n in\r\n\r\nchunks.\r\n0\r\n\r\n",
            from: .upstream(.get)),
        Example(
            "two responses in a row",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"
                + "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n",
            from: .upstream(.get)),
    ]

    /// What issue 2 and RFC 9112 name, on both sides where both can commit it.
    static let refusals: [Refusal] =
        requestLines + hosts + statusLines + fieldLines + framings + bodies
        + [
            // An empty line may precede a request, but not a response.
            Refusal(.emptyLines, "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            Refusal(.bareLF, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            Refusal(.bareCR, "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            Refusal(.versionMalformed, "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", from: .upstream(.get)),
        ]

    private static let requestLines: [Refusal] = [
        .line(.methodNotToken, " / HTTP/1.1"), .line(.methodNotToken, "GE(T / HTTP/1.1"),
        .line(.methodNotToken, "GET\t/ HTTP/1.1"),
        .line(.methodNotToken, "G\u{0}T / HTTP/1.1"), .line(.methodNotToken, "G\u{C9}T / HTTP/1.1"),
        .line(.targetMissing, "GET"), .line(.targetMissing, "GET "), .line(.targetByte, "GET  / HTTP/1.1"),
        .line(.targetByte, "GET /\t HTTP/1.1"), .line(.targetByte, "GET /\u{0} HTTP/1.1"),
        .line(.targetByte, "GET /\u{7F} HTTP/1.1"),
        .line(.targetByte, "GET /\u{E9} HTTP/1.1"), .line(.targetFragment, "GET /a#b HTTP/1.1"),
        .line(.targetForm, "GET a HTTP/1.1"), .line(.targetForm, "GET * HTTP/1.1"), .line(.targetForm, "GET ftp://a/ HTTP/1.1"),
        .line(.targetForm, "GET http:/a/ HTTP/1.1"), .line(.targetForm, "GET a:80 HTTP/1.1"),
        .line(.targetForm, "CONNECT / HTTP/1.1"),
        .line(.targetForm, "CONNECT a HTTP/1.1"), .line(.targetForm, "CONNECT a:x HTTP/1.1"),
        .line(.targetForm, "OPTIONS *a HTTP/1.1"),
        .line(.versionMissing, "GET /"), .line(.versionMalformed, "GET / "), .line(.versionMalformed, "GET /  HTTP/1.1"),
        .line(.versionMalformed, "GET / HTTP/1.1 "), .line(.versionMalformed, "GET / http/1.1"),
        .line(.versionMalformed, "GET / HTTP/1.10"),
        .line(.versionMalformed, "GET / HTTP/1,1"), .line(.versionMalformed, "GET / HTTP/11"),
        .line(.versionMalformed, "GET /a b HTTP/1.1"),
        .line(.versionUnsupported, "GET / HTTP/2.0"), .line(.versionUnsupported, "GET / HTTP/0.9"),
        Refusal(.bareLF, "GET / HTTP/1.1\nHost: a\r\n\r\n"), Refusal(.bareLF, "GET /\nHost: a\r\n\r\n"),
        Refusal(.bareLF, "GET\n"),
        Refusal(.bareCR, "GET / HTTP/1.1\rHost: a\r\n\r\n"), Refusal(.versionMissing, "GET /\rHost: a\r\n\r\n"),
        Refusal(.foldedLine, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
        Refusal(.requestLineTooLong, "GET /\(String(repeating: "a", count: 8192)) HTTP/1.1\r\nHost: a\r\n\r\n"),
        Refusal(.headTooLarge, "GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "a", count: 32768))\r\n\r\n"),
    ]

    private static let hosts: [Refusal] =
        [
            Refusal(.hostMissing, "GET / HTTP/1.1\r\n\r\n"),
            Refusal(.hostMissing, "GET http://a/ HTTP/1.1\r\n\r\n"),
            Refusal(.hostRepeated, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
            Refusal(.hostRepeated, "GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n"),
            Refusal(.hostDisagrees, "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n"),
            Refusal(.hostDisagrees, "GET http://a/ HTTP/1.1\r\nHost: a:8080\r\n\r\n"),
            Refusal(.hostDisagrees, "GET https://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n"),
            Refusal(.hostDisagrees, "CONNECT a:443 HTTP/1.1\r\nHost: a:444\r\n\r\n"),
            Refusal(.hostInvalid, "GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n"),
            Refusal(.hostInvalid, "GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
            Refusal(.hostInvalid, "GET http://a:b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ]
        + [
            "", "a b", "a,b", "a/b", "a@b", "user:secret@a", "a:b", "a:65536", "a:-1", ":80", "[]", "[::1", "::1", "[::1]a",
            "[v1.x]", "a%",
            "a%4", "a%zz", "h\u{E9}", "a?b", "a\\b", "\"a\"",
        ].map { host in
            host == "a,b"
                ? Refusal(.hostDisagrees, "GET http://a/ HTTP/1.1\r\nHost: a,b\r\n\r\n")
                : Refusal(.hostInvalid, "GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n")
        }

    private static let statusLines: [Refusal] = [
        ("HTTP/1.1 20 OK", .statusMalformed), ("HTTP/1.1 2000 OK", .statusMalformed), ("HTTP/1.1 099 No", .statusMalformed),
        ("HTTP/1.1 2x0 OK", .statusMalformed), ("HTTP/1.1  200 OK", .statusMalformed), ("HTTP/1.1\t200 OK", .statusMalformed),
        ("HTTP/1.1 200\tOK", .statusMalformed), ("HTTP/1.1 -20 OK", .statusMalformed), ("HTTP/1.1 200 O\u{0}K", .reasonByte),
        ("HTTP/1.1 200 O\u{7F}K", .reasonByte), ("HTTP/2.0 200 OK", .versionUnsupported), ("HTTP/1 200 OK", .versionMalformed),
        ("http/1.1 200 OK", .versionMalformed), ("ICY 200 OK", .versionMalformed), ("HTTP/1.1 200 O\rK", .bareCR),
        ("HTTP/1.1 200 O\nK", .bareLF), ("HTTP/1.1 200\nX: y", .bareLF),
        ("HTTP/1.1 200 \(String(repeating: "a", count: 8192))", .statusLineTooLong),
    ].map { line, code in Refusal(code, "\(line)\r\nContent-Length: 0\r\n\r\n", from: .upstream(.get)) }

    private static let fieldLines: [Refusal] = [
        Refusal.fields(.foldedLine, "X: a\r\n b"), Refusal.fields(.foldedLine, "X: a\r\n\tb"),
        Refusal.fields(.foldedLine, " X: a"),
        Refusal.fields(.spaceBeforeColon, "X : a"), Refusal.fields(.spaceBeforeColon, "X\t: a"),
        Refusal.fields(.spaceBeforeColon, "X y: a"),
        Refusal.fields(.fieldNameMissing, ": a"), Refusal.fields(.fieldNameNotToken, "X(: a"),
        Refusal.fields(.fieldNameNotToken, "X\u{0}: a"),
        Refusal.fields(.fieldNameNotToken, "\u{E9}: a"), Refusal.fields(.fieldNameNotToken, "\"X\": a"),
        Refusal.fields(.colonMissing, "X"),
        Refusal.fields(.fieldValueByte, "X: a\u{0}b"), Refusal.fields(.fieldValueByte, "X: \u{1}"),
        Refusal.fields(.fieldValueByte, "X: \u{7F}"),
        Refusal.fields(.fieldValueByte, "X: \u{B}"), Refusal.fields(.fieldValueByte, "X: \u{1B}[1m"),
        Refusal.fields(.fieldValueByte, "X: \(String(repeating: "a", count: 40))\u{8}\(String(repeating: "b", count: 40))"),
        Refusal.fields(.bareLF, "X: a\nY: b"), Refusal.fields(.bareLF, "X: a\n"), Refusal.fields(.bareLF, "\nX: a"),
        Refusal.fields(.bareLF, "X\n"),
        Refusal.fields(.bareCR, "X: a\rY: b"), Refusal.fields(.bareCR, "X: a\r\rY: b"), Refusal.fields(.bareCR, "\rX: a"),
        Refusal.fields(.bareCR, "X: a\r\n\r"),
        Refusal.fields(.fieldsTooMany, Array(repeating: "X: a", count: 101).joined(separator: "\r\n")),
    ].flatMap { $0 }

    private static let framings: [Refusal] =
        [
            Refusal.fields(.lengthAndTransferEncoding, "Content-Length: 3\r\nTransfer-Encoding: chunked"),
            Refusal.fields(.lengthAndTransferEncoding, "Transfer-Encoding: chunked\r\nContent-Length: 3"),
            Refusal.fields(.lengthRepeated, "Content-Length: 3\r\nContent-Length: 3"),
            Refusal.fields(.lengthRepeated, "Content-Length: 3\r\ncontent-length: 4"),
            Refusal.fields(.connectionMalformed, "Connection: close keep-alive"),
            Refusal.fields(.connectionMalformed, "Connection: \"close\""),
            Refusal.fields(.connectionMalformed, "Connection: close;x"),
            Refusal.fields(.chunkedNotFinal, "Transfer-Encoding: chunked, chunked"),
            Refusal.fields(.chunkedNotFinal, "Transfer-Encoding: chunked, gzip"),
            Refusal.fields(.chunkedNotFinal, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            [
                Refusal(.transferEncodingInOldVersion, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
                Refusal(
                    .transferEncodingInOldVersion, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    from: .upstream(.get)),
                Refusal(.expectationUnknown, "POST / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 1\r\n\r\na"),
                Refusal(
                    .expectationUnknown, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, x\r\nContent-Length: 1\r\n\r\na"),
            ],
        ].flatMap { $0 }
        + [
            "", "+5", "-5", "5, 5", "5,5", "0x5", "5a", "5 5", "5.0", "\"5\"", "\u{FF}15", "9223372036854775808",
            "99999999999999999999",
            "18446744073709551621", "100000000000000000000000000000000000005",
        ].flatMap { Refusal.fields(.lengthMalformed, "Content-Length: \($0)") }
        + ["gzip", "gzip, chunked", "identity", "x-chunked", "chunke", "chunkedd", "xchunked"].flatMap {
            Refusal.fields(.transferCodingUnknown, "Transfer-Encoding: \($0)")
        }
        + ["", ",", ", chunked", "chunked,", "chunked;q=1", "chunked x", "\"chunked\"", "\u{E9}", "chunked\u{80}"].flatMap {
            Refusal.fields(.transferEncodingMalformed, "Transfer-Encoding: \($0)")
        }

    private static let bodies: [Refusal] =
        ["", " 3", "\r", "g", "-1", "+3", "0x3", "3g", "3,", "00000000000000003", "\u{FF}"].flatMap {
            Refusal.chunks(.chunkSizeMalformed, "\($0)\r\nabc\r\n0\r\n\r\n")
        }
        + ["8000000000000000", "FFFFFFFFFFFFFFFF", "ffffffffffffffff"].flatMap {
            Refusal.chunks(.chunkSizeTooLarge, "\($0)\r\nabc\r\n0\r\n\r\n")
        }
        + [
            "3 ", "3;", "3; ", "3;=", "3;a=", "3;a=\"", "3;a=\"\\\"", "3;a b", "3;a=b c", "3;a=\"b\"c", "3;a=\u{0}", "3;\u{0}",
            "3;a=\"\u{0}\"", "3;a;", "3 a",
        ]
        .flatMap { Refusal.chunks(.chunkExtensionMalformed, "\($0)\r\nabc\r\n0\r\n\r\n") }
        + [
            Refusal.chunks(.chunkExtensionTooLong, "3;\(String(repeating: "a", count: 256))\r\nabc\r\n0\r\n\r\n"),
            Refusal.chunks(.bareLF, "3\nabc\r\n0\r\n\r\n"), Refusal.chunks(.bareLF, "\n"),
            Refusal.chunks(.bareLF, "3;a\nabc\r\n0\r\n\r\n"),
            Refusal.chunks(.bareLF, "3;a=\"\n\"\r\nabc\r\n0\r\n\r\n"), Refusal.chunks(.bareLF, "0\n\r\n"),
            Refusal.chunks(.bareCR, "3\rabc\r\n0\r\n\r\n"), Refusal.chunks(.bareCR, "3\r\nabc\r0\r\n\r\n"),
            Refusal.chunks(.bareCR, "3;a\rb\r\n"),
            Refusal.chunks(.chunkEndMissing, "3\r\nabcd\r\n0\r\n\r\n"), Refusal.chunks(.chunkEndMissing, "3\r\nabc0\r\n\r\n"),
            Refusal.chunks(.chunkEndMissing, "3\r\nabc\n0\r\n\r\n"),
            Refusal.chunks(.foldedLine, "0\r\nX: a\r\n b\r\n\r\n"), Refusal.chunks(.bareLF, "0\r\n\n"),
            Refusal.chunks(.bareCR, "0\r\n\rX"),
            Refusal.chunks(.spaceBeforeColon, "0\r\nX : a\r\n\r\n"), Refusal.chunks(.fieldNameMissing, "0\r\n: a\r\n\r\n"),
            Refusal.chunks(.fieldValueByte, "0\r\nX: \u{0}\r\n\r\n"),
            Refusal.chunks(.fieldsTooMany, "0\r\n" + String(repeating: "X: a\r\n", count: 101) + "\r\n"),
            Refusal.chunks(.trailersTooLarge, "0\r\nX: \(String(repeating: "a", count: 8192))\r\n\r\n"),
        ].flatMap { $0 }
}
