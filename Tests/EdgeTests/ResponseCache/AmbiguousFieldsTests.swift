import HTTPSemantics
import Testing

@testable import Edge

@Suite struct AmbiguousFieldsTests {
    @Test(arguments: [
        // RFC 9110 §7.6.1: what Connection names goes no further.
        (["Connection: Accept-Language", "Accept-Language: de"], true), (["Connection: close, COOKIE", "Cookie: a=b"], true),
        (["Connection: x-custom", "X-Custom: 1"], true), (["Connection: X-Custom"], false), (["Connection: keep-alive", "Cookie: a=b"], false),
        // What is of the connection is no field that an application reads.
        (["Connection: TE, Upgrade, HTTP2-Settings", "TE: trailers", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"], false),
        (["Connection: Host"], false), (["Connection: Keep-Alive", "Keep-Alive: 5"], false),
        // RFC 3875 §4.1.18: one name for both.
        (["X_Custom: 1"], true), (["Accept_Language: de"], true), (["_: 1"], true), (["X-Custom: a_b"], false),
        // Unless the key has it.
        (["Device_ID: 1"], false), (["device_id: 1"], false), (["Device-ID: 1"], true), (["X-Region: 1"], false), (["X_Region: 1"], true),
    ])
    func `what an application may read otherwise is ambiguous, and what it is asked for by name is not`(fields: [String], expected: Bool) throws {
        let head = try RequestHead.get("/", fields)
        #expect(AmbiguousFields.contains(head.fields, keyed: ["device_id", "x-region"].map { Array($0.utf8) }) == expected, "\(fields)")
    }

    @Test(arguments: [
        ("X_Forwarded_For", true), ("x-forwarded_host", true), ("X_REAL_IP", true), ("X_Forwarded_Proto", true), ("X_Forwarded_Fo", false),
        ("X_Custom", false), ("X.Forwarded.For", false),
    ])
    func `the edge's own words are known in every spelling`(name: String, expected: Bool) {
        #expect(ForwardedFields.isImitated(by: name.utf8.span) == expected)
    }

    @Test func `a hostile head costs no more than its bytes`() throws {
        // As many as the parser lets through.
        let named = (0..<64).map { "x-\($0)" }.joined(separator: ",")
        let head = try RequestHead.get("/", ["Connection: \(named)"] + (100..<190).map { "X-\($0): 1" })
        let elapsed = ContinuousClock().measure {
            for _ in 0..<100 { _ = AmbiguousFields.contains(head.fields, keyed: []) }
        }
        #expect(elapsed < .seconds(10))
    }
}
