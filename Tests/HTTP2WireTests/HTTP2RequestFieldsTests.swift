import HTTPSemantics
import Testing

@testable import HTTP2Wire

/// What a request of HTTP/2 must be, by section of RFC 9113.
@Suite struct HTTP2RequestFieldsTests {
    private static let good = [(":method", "GET"), (":scheme", "https"), (":path", "/a?b"), (":authority", "a.example")]

    private static func read(
        _ fields: [(String, String)], endsStream: Bool = true, limits: HTTP2RequestFields.Limits = .init(headBytesMax: 4096, fieldCountMax: 20, targetBytesMax: 200),
        isTrailers: Bool = false
    ) -> (verdict: HTTP2RequestFields.Verdict, head: RequestHead, fields: HTTP2RequestFields) {
        var head = RequestHead()
        var reading = HTTP2RequestFields(limits: limits, isTrailers: isTrailers)
        for (name, value) in fields {
            let (name, value) = (Array(name.utf8), Array(value.utf8))
            reading.add(FieldName(name.span), name.span, value.span, to: &head.fields)
        }
        return (reading.finish(&head, endsStream: endsStream), head, reading)
    }

    private static func text(_ head: RequestHead, _ range: Range<Int>) -> String { String(copying: head.fields.bytes.span.extracting(range)) }

    @Test func `a request has what HTTP-1 would have brought`() {
        let (verdict, head, _) = Self.read(Self.good + [("accept", "*/*"), ("cookie", "a=1"), ("te", "trailers"), ("cookie", "b=2")])
        #expect(verdict == .good && head.method == .get && head.majorVersion == 2 && head.framing == .none)
        #expect(Self.text(head, head.target) == "/a?b" && Self.text(head, head.authority) == "a.example" && Self.text(head, head.methodRange) == "GET")
        #expect(head.fields.string(.host) == "a.example" && head.fields.string(.accept) == "*/*")
        #expect(head.fields.string(.cookie) == "a=1; b=2" && head.fields.count(of: .cookie) == 1)
    }

    @Test func `Host stands in for an authority, and says the same as one`() {
        #expect(Self.read(Array(Self.good.dropLast()) + [("host", "b.example")]).head.fields.string(.host) == "b.example")
        #expect(Self.read(Self.good + [("host", "A.example")]).verdict == .good)
        #expect(Self.read(Self.good + [("host", "b.example")]).verdict == .malformed(.host))
        #expect(Self.read(Array(Self.good.dropLast())).verdict == .malformed(.target))
    }

    struct Malformed: Sendable, CustomTestStringConvertible {
        let claim: String
        let fields: [(String, String)]
        let fault: HTTP2RequestFields.Fault

        init(_ claim: String, _ fields: [(String, String)], _ fault: HTTP2RequestFields.Fault) {
            (self.claim, self.fields, self.fault) = (claim, fields, fault)
        }

        var testDescription: String { claim }
    }

    // A statement each: as one literal the compiler needs minutes for it.
    private static let malformed: [Malformed] = {
        var all: [Malformed] = []
        func add(_ claim: String, _ fields: [(String, String)], _ fault: HTTP2RequestFields.Fault) { all.append(Malformed(claim, fields, fault)) }
        add("§8.2.1 capitals", good + [("Accept", "a")], .field)
        add("§8.2.1 no token", good + [("a b", "a")], .field)
        add("§8.2.1 an empty name", good + [("", "a")], .field)
        add("§8.2.1 a line end in a value", good + [("a", "b\r\nc: d")], .field)
        add("§8.2.1 NUL", good + [("a", "b\u{0}")], .field)
        add("§8.2.1 white space before a value", good + [("a", " b")], .field)
        add("§8.2.1 white space behind a value", good + [("a", "b\t")], .field)
        add("§8.2.2 Connection", good + [("connection", "close")], .connectionSpecific)
        add("§8.2.2 Keep-Alive", good + [("keep-alive", "5")], .connectionSpecific)
        add("§8.2.2 Proxy-Connection", good + [("proxy-connection", "close")], .connectionSpecific)
        add("§8.2.2 Transfer-Encoding", good + [("transfer-encoding", "chunked")], .connectionSpecific)
        add("§8.2.2 Upgrade", good + [("upgrade", "websocket")], .connectionSpecific)
        add("§8.2.2 TE", good + [("te", "gzip")], .connectionSpecific)
        add("§8.3 not a request's", good + [(":status", "200")], .pseudoField)
        add("§8.3 not known", good + [(":other", "a")], .pseudoField)
        add("§8.3 behind a field", [("a", "b")] + good, .pseudoField)
        add("§8.3.1 twice", good + [(":path", "/b")], .pseudoField)
        add("§8.3.1 an empty path", [(":method", "GET"), (":scheme", "https"), (":path", ""), (":authority", "a")], .pseudoField)
        add("§8.3.1 no method", Array(good.dropFirst()), .target)
        add("§8.3.1 no scheme", [(":method", "GET"), (":path", "/"), (":authority", "a")], .target)
        add("§8.3.1 no path", [(":method", "GET"), (":scheme", "https"), (":authority", "a")], .target)
        add("§8.3.1 another scheme", [(":method", "GET"), (":scheme", "ftp"), (":path", "/"), (":authority", "a")], .target)
        add("§8.3.1 a path without a slash", [(":method", "GET"), (":scheme", "https"), (":path", "a"), (":authority", "a")], .target)
        add("§8.3.1 an asterisk that is no OPTIONS", [(":method", "GET"), (":scheme", "https"), (":path", "*"), (":authority", "a")], .target)
        add("§8.3.1 a space in a path", [(":method", "GET"), (":scheme", "https"), (":path", "/a b"), (":authority", "a")], .target)
        add("§8.3.1 user information", [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "u@a")], .target)
        add("§8.3.1 a method that is no token", [(":method", "G T"), (":scheme", "https"), (":path", "/"), (":authority", "a")], .target)
        add("§8.5 CONNECT with a path", [(":method", "CONNECT"), (":scheme", "https"), (":path", "/"), (":authority", "a:1")], .target)
        add("§8.5 CONNECT without a port", [(":method", "CONNECT"), (":authority", "a")], .target)
        add("§8.1.1 no number", good + [("content-length", "-1")], .contentLength)
        add("§8.1.1 twice", good + [("content-length", "1"), ("content-length", "1")], .contentLength)
        add("§8.1.1 a length and no body", good + [("content-length", "1")], .contentLength)
        add("RFC 8441 §4 a protocol without CONNECT", good + [(":protocol", "websocket")], .pseudoField)
        return all
    }()

    @Test(arguments: malformed) func `what is malformed is told`(example: Malformed) {
        #expect(Self.read(example.fields).verdict == .malformed(example.fault))
    }

    @Test func `a length frames the body, and without one its end does`() {
        #expect(Self.read(Self.good + [("content-length", "12")], endsStream: false).head.framing == .length(12))
        #expect(Self.read(Self.good, endsStream: false).head.framing == .chunked)
        #expect(Self.read(Self.good + [("content-length", "0")]).head.framing == .length(0))
    }

    @Test func `limits hold at their bound and not one beyond`() {
        // §6.5.2: 32 bytes for each field.
        let bytes = Self.good.reduce(0) { $0 + $1.0.utf8.count + $1.1.utf8.count + 32 }
        func verdict(_ bytesMax: Int, _ countMax: Int) -> HTTP2RequestFields.Verdict {
            Self.read(Self.good, limits: .init(headBytesMax: bytesMax, fieldCountMax: countMax, targetBytesMax: 4)).verdict
        }
        #expect(verdict(bytes, 4) == .good)
        #expect(verdict(bytes - 1, 4) == .tooLarge)
        #expect(verdict(bytes, 3) == .tooLarge)
        #expect(Self.read(Self.good, limits: .init(headBytesMax: 4096, fieldCountMax: 9, targetBytesMax: 3)).verdict == .tooLarge)
    }

    @Test func `trailers have no pseudo-fields, and keep what may be forwarded`() {
        #expect(Self.read([(":path", "/")], isTrailers: true).verdict == .malformed(.trailers))
        let (verdict, head, _) = Self.read([("x-sum", "1"), ("content-length", "3"), ("authorization", "x")], isTrailers: true)
        #expect(verdict == .good && head.fields.lines.count == 1)
    }

    @Test func `an extended CONNECT says which protocol, RFC 8441`() {
        let (verdict, head, fields) = Self.read(
            [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/chat"), (":authority", "a")], endsStream: false)
        #expect(verdict == .good && fields.connectProtocol(head) == "websocket" && Self.text(head, head.target) == "/chat")
    }

    @Test(arguments: [
        ("u=5, i", HTTP2Priority(urgency: 5, isIncremental: true)), ("i=?0,u=0", HTTP2Priority(urgency: 0, isIncremental: false)),
        ("u=8", HTTP2Priority()), ("u=-1", HTTP2Priority()), ("u=1;x=2", HTTP2Priority(urgency: 1, isIncremental: false)), ("", HTTP2Priority()),
        ("i;a", HTTP2Priority(urgency: 3, isIncremental: true)),
    ]) func `priorities are read as RFC 9218 has them`(text: String, priority: HTTP2Priority) {
        #expect(Self.read(Self.good + [("priority", text)]).fields.priority == priority)
    }
}
