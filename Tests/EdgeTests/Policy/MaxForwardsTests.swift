import HTTPSemantics
import NIOCore
import Testing

@testable import Edge

/// RFC 9110 §7.6.2.
@Suite struct MaxForwardsTests {
    @Test(arguments: [
        ("OPTIONS * HTTP/1.1", "0", 0), ("TRACE / HTTP/1.1", "7", 7), ("GET / HTTP/1.1", "0", nil), ("POST / HTTP/1.1", "3", nil),
        ("OPTIONS / HTTP/1.1", "", nil), ("OPTIONS / HTTP/1.1", "-1", nil), ("OPTIONS / HTTP/1.1", "999999999", 999_999_999),
        ("OPTIONS / HTTP/1.1", "1000000000", nil), ("OPTIONS / HTTP/1.1", "1 2", nil),
    ])
    func `only OPTIONS and TRACE count their hops, and only with a number`(line: String, value: String, expected: Int?) throws {
        #expect(MaxForwards.hopsLeft(try .parsed(line, ["Max-Forwards: \(value)"])) == expected)
    }

    @Test func `each hop takes one off`() throws {
        func forwarded(_ line: String) throws -> [String] {
            var output = ByteBuffer()
            let trace = TraceParent(traceID: (1, 2), parentID: 3, flags: 0)
            UpstreamRequest().write(try .parsed(line, ["max-forwards: 3"]), client: ClientIdentity(peer: "192.0.2.7"), trace: trace, into: &output)
            return lines(output).filter { $0.lowercased().hasPrefix("max-forwards") }
        }
        #expect(try forwarded("OPTIONS / HTTP/1.1") == ["Max-Forwards: 2"])
        #expect(try forwarded("GET / HTTP/1.1") == ["max-forwards: 3"], "for other methods it says nothing")
    }

    @Test func `what is sent back has no secret in it`() throws {
        let request = try RequestHead.parsed("TRACE /a?b HTTP/1.1", ["Cookie: sid=1", "Authorization: Basic x", "X-Mine: 1"])
        #expect(MaxForwards.reflection(request) == "TRACE /a?b HTTP/1.1\r\nHost: a.example\r\nX-Mine: 1\r\n\r\n")
    }
}
