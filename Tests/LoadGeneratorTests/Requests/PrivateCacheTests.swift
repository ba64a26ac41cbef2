import HTTP1Wire
import HTTPSemantics
import NIOCore
import Testing

@testable import LoadGenerator

/// What a browser may answer by itself, and what it must ask.
@Suite struct PrivateCacheTests {
    private static let now: Int64 = 1_769_860_800

    private func page(_ fields: [String], status: Int = 200, body: String = "x", at time: Int64 = Self.now) throws -> PageFetch.Page {
        var buffer = ByteBuffer(string: (["HTTP/1.1 \(status) X"] + fields).joined(separator: "\r\n") + "\r\n\r\n")
        var parser = HTTP1ResponseParser(limits: HTTP1Limits())
        var head = ResponseHead()
        #expect(try parser.parse(&buffer, into: &head, answering: .get))
        return PageFetch.Page(
            url: try HTTPURL("http://a/"), head: head, body: Array(body.utf8), connectTime: 0, firstByteTime: 0, wholeTime: 0, certificateExpiry: nil,
            receivedAt: time)
    }

    /// What is answered some seconds behind the response.
    private func answer(_ fields: [String], after seconds: Int64, sent: [Workload.Field] = [], then: [Workload.Field] = []) throws -> String {
        var cache = PrivateCache()
        _ = cache.received(try page(fields), "http://a/", fields: sent, requestSent: Self.now)
        switch cache.answer("http://a/", fields: then, now: Self.now + seconds) {
        case .fresh: return "fresh"
        case .validate(let conditions): return conditions.map(\.name).joined(separator: " ")
        case .missing: return "missing"
        }
    }

    /// A stored page's `Date` is old, and no clock is wrong.
    @Test(arguments: [
        ([], nil), (["Date: Sat, 31 Jan 2026 12:00:00 GMT"], 0), (["Date: Sat, 31 Jan 2026 11:59:09 GMT"], -51),
        (["Date: Sat, 31 Jan 2026 11:59:09 GMT", "Age: 51"], 0), (["Date: Sat, 31 Jan 2026 12:00:09 GMT", "Age: 0"], 9),
        (["Date: Sat, 31 Jan 2026 12:00:00 GMT", "Age: -1"], 0), (["Date: Sat, 31 Jan 2026 12:00:00 GMT", "Age: 99999999999999999999"], 0), (["Date: soon"], nil),
    ] as [([String], Int64?)])
    func `a server's clock is told from its Date and what a cache adds`(_ fields: [String], _ ahead: Int64?) throws {
        #expect(try page(fields).clockAheadSeconds == ahead)
    }

    @Test(arguments: [
        (["Cache-Control: max-age=60"], 59, "fresh"), (["Cache-Control: max-age=60"], 60, "missing"), (["Cache-Control: max-age=60", "ETag: \"a\""], 60, "If-None-Match"),
        (["Cache-Control: private, max-age=60"], 1, "fresh"), (["Cache-Control: no-store"], 0, "missing"), (["Cache-Control: no-cache", "ETag: \"a\""], 0, "If-None-Match"),
        // Another cache's lifetime is not ours, and time that another has held it counts.
        (["Cache-Control: s-maxage=60", "ETag: \"a\""], 0, "If-None-Match"), (["Cache-Control: max-age=60", "Age: 50"], 11, "missing"),
        (["Expires: Sat, 31 Jan 2026 12:01:00 GMT", "Date: Sat, 31 Jan 2026 12:00:00 GMT"], 59, "fresh"), (["Expires: 0", "ETag: \"a\""], 0, "If-None-Match"),
        // Silent: a tenth of its age.
        (["Last-Modified: Sat, 31 Jan 2026 11:00:00 GMT", "Date: Sat, 31 Jan 2026 12:00:00 GMT"], 359, "fresh"),
        (["Last-Modified: Sat, 31 Jan 2026 11:00:00 GMT", "Date: Sat, 31 Jan 2026 12:00:00 GMT"], 361, "If-Modified-Since"), ([], 0, "missing"),
        (["Cache-Control: max-age=60", "Vary: *"], 0, "missing"),
    ] as [([String], Int64, String)])
    func `it answers for as long as it may, and asks with what it has`(fields: [String], after: Int64, expected: String) throws {
        #expect(try answer(fields, after: after) == expected)
    }

    @Test func `another cookie is another response where Vary says so`() throws {
        let (one, other) = ([Workload.Field("Cookie", "a=1")], [Workload.Field("Cookie", "a=2")])
        #expect(try answer(["Cache-Control: max-age=60", "Vary: Cookie"], after: 1, sent: one, then: one) == "fresh")
        #expect(try answer(["Cache-Control: max-age=60", "Vary: Cookie"], after: 1, sent: one, then: other) == "missing")
        #expect(try answer(["Cache-Control: max-age=60"], after: 1, sent: one, then: other) == "fresh")
    }

    @Test func `"not modified" gives what was kept, for as long as it says now`() throws {
        var cache = PrivateCache()
        _ = cache.received(try page(["Cache-Control: max-age=10", "ETag: \"a\""], body: "kept"), "http://a/", fields: [], requestSent: Self.now)
        let confirmed = cache.received(
            try page(["Cache-Control: max-age=100"], status: 304, body: "", at: Self.now + 20), "http://a/", fields: [], requestSent: Self.now + 20)
        #expect(confirmed.body == Array("kept".utf8))
        guard case .fresh = cache.answer("http://a/", fields: [], now: Self.now + 119) else {
            Issue.record("it is fresh again")
            return
        }
    }

    @Test func `what is too large is not kept, and room comes back`() throws {
        var cache = PrivateCache()
        let large = String(repeating: "x", count: PrivateCache.bytesMax)
        _ = cache.received(try page(["Cache-Control: max-age=60"], body: large), "http://a/1", fields: [], requestSent: Self.now)
        _ = cache.received(try page(["Cache-Control: max-age=60"], body: "y"), "http://a/2", fields: [], requestSent: Self.now)
        guard case .missing = cache.answer("http://a/2", fields: [], now: Self.now) else {
            Issue.record("it is beyond the bound")
            return
        }
        _ = cache.received(try page(["Cache-Control: no-store"]), "http://a/1", fields: [], requestSent: Self.now)
        _ = cache.received(try page(["Cache-Control: max-age=60"], body: "y"), "http://a/2", fields: [], requestSent: Self.now)
        guard case .fresh = cache.answer("http://a/2", fields: [], now: Self.now) else {
            Issue.record("there is room again")
            return
        }
    }

    @Test func `a style sheet names fonts, pictures and others of its kind`() {
        let css = """
            @import "reset.css"; @import url('print.css') print; /* url(no.png) */
            @font-face { src: url( "f.woff2" ) format("woff2"), URL(f.woff) } body { background: url(a.png) } p { background: url(a.png) } i { content: "x"
            """
        #expect(PageLinks.styleReferences(Array(css.utf8)) == ["reset.css", "print.css", "f.woff2", "f.woff", "a.png"])
        for text in ["url(", "url(\"", "@import", "@import \"", "/*", "/* *", "u", ""] { _ = PageLinks.styleReferences(Array(text.utf8)) }
    }
}
