import HTTPSemantics
import NIOCore
import Testing

@testable import Edge

@Suite struct SharedCachePolicyTests {
    @Test(
        arguments: [
            ("GET", [], true, nil), ("HEAD", [], true, nil), ("GET", [], false, .disabled),
            ("POST", ["Content-Length: 0"], true, .method),
            ("OPTIONS", [], true, .method), ("get", [], true, .method), ("GET", ["Content-Length: 3"], true, .requestBody),
            ("GET", ["Transfer-Encoding: chunked"], true, .requestBody), ("GET", ["Range: bytes=0-1"], true, .range), ("GET", ["Content-Length: 0"], true, nil),
            ("HEAD", ["Range: bytes=0-1"], true, nil),
        ] as [(String, [String], Bool, SharedCachePolicy.BypassReason?)])
    func `each reason to go past the cache has its case`(
        method: String, fields: [String], isEnabled: Bool, expected: SharedCachePolicy.BypassReason?
    ) throws {
        var configuration = EdgeConfiguration.Cache()
        configuration.isEnabled = isEnabled
        #expect(SharedCachePolicy.bypassReason(try .parsed("\(method) / HTTP/1.1", fields), configuration) == expected)
    }

    @Test(arguments: [
        ([], true), (["Cookie: a=b"], true), (["Authorization: Basic x"], false),
        (["Cache-Control: no-store"], false), (["Cache-Control: no-cache"], true),
    ])
    func `others wait only for what would be the same for all`(fields: [String], expected: Bool) throws {
        let head = try RequestHead.get("/", fields)
        #expect(SharedCachePolicy.mayLead(head, CacheControl(head.fields)) == expected)
    }

    @Test func `HEAD fetches for itself`() throws {
        #expect(!SharedCachePolicy.mayLead(try .parsed("HEAD / HTTP/1.1"), CacheControl()))
    }

    @Test(arguments: [
        ("max-age=60", false), ("public, max-age=60", true), ("s-maxage=60", true), ("must-revalidate, max-age=60", true),
        ("private", false),
    ])
    func `credentials are answered from the store only by what is for everybody (RFC 9111 §3.5)`(value: String, expected: Bool)
        throws
    {
        let response = try StoredResponse.make(["Cache-Control: \(value)"])
        #expect(SharedCachePolicy.mayAnswer(response, try .get("/", ["Authorization: Basic x"])) == expected)
        #expect(SharedCachePolicy.mayAnswer(response, try .get()))
    }
}

@Suite struct RevalidationPolicyTests {
    private let t0 = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func verdict(
        _ request: [String] = [], response: [String] = [], lifetime: Int = 60, age: Int = 0, after seconds: Int64 = 0
    ) throws -> RevalidationPolicy.Verdict {
        let head = try RequestHead.get("/", request)
        let stored = try StoredResponse.make(response, lifetime: lifetime, age: age, received: t0)
        return RevalidationPolicy.verdict(stored, CacheControl(head.fields), head.fields, now: t0 + .seconds(seconds))
    }

    @Test func `fresh until its lifetime is over, not a second longer`() throws {
        #expect(try verdict() == .fresh(secondsLeft: 60))
        #expect(try verdict(after: 59) == .fresh(secondsLeft: 1))
        #expect(try verdict(after: 60) == .stale(.expired))
        #expect(try verdict(age: 59) == .fresh(secondsLeft: 1))
        #expect(try verdict(age: 60) == .stale(.expired), "age from other caches counts (RFC 9111 §4.2.3)")
        #expect(try verdict(lifetime: 0) == .stale(.expired))
    }

    @Test func `each reason has its case`() throws {
        #expect(try verdict(response: ["Cache-Control: no-cache"]) == .stale(.responseNoCache))
        #expect(try verdict(["Cache-Control: no-cache"]) == .stale(.requestNoCache))
        #expect(try verdict(["Pragma: no-cache"]) == .stale(.requestNoCache))
        #expect(try verdict(["Cache-Control: max-age=10"], after: 10) == .stale(.requestMaxAge))
        #expect(try verdict(["Cache-Control: max-age=10"], after: 9) == .fresh(secondsLeft: 51))
        #expect(try verdict(["Cache-Control: max-age=0"]) == .stale(.requestMaxAge), "a browser's reload")
        #expect(try verdict(["Cache-Control: min-fresh=10"], after: 51) == .stale(.requestMinFresh))
        #expect(try verdict(["Cache-Control: min-fresh=10"], after: 50) == .fresh(secondsLeft: 10))
        #expect(try verdict(lifetime: 5, after: 9) == .stale(.expired))
    }

    @Test func `Pragma says nothing beside Cache-Control (RFC 9111 §5.4)`() throws {
        #expect(try verdict(["Pragma: no-cache", "Cache-Control: max-age=30"]) == .fresh(secondsLeft: 60))
        #expect(try verdict(["Pragma: something"]) == .fresh(secondsLeft: 60))
    }

    @Test func `a clock that seems to go back makes nothing older`() throws {
        #expect(try verdict(after: -5) == .fresh(secondsLeft: 60))
    }
}

@Suite struct ConditionalPolicyTests {
    private func outcome(_ request: [String], tag: String? = "\"abc\"", coding: ContentCoding = .identity, method: String = "GET")
        throws
        -> Preconditions.Outcome
    {
        let response = try StoredResponse.make(
            (tag.map { ["ETag: \($0)"] } ?? []) + ["Last-Modified: Sat, 31 Jan 2026 12:00:00 GMT"])
        let representation = Representation(
            response: response, coding: coding, effort: .high, head: ByteBuffer(), body: ByteBuffer(),
            entityTag: response.entityTag.map { EntityTagVariants.variant(of: $0, coding: coding, effort: .high) })
        return ConditionalPolicy.evaluate(try .parsed("\(method) / HTTP/1.1", request), representation)
    }

    @Test(arguments: [
        "\"abc\"", "W/\"abc\"", "\"abc~gz\"", "\"abc~gz1\"", "\"abc~br\"", "W/\"abc~zst1\"", "\"old\", \"abc~gz\"", "*",
    ])
    func `any variant of the current response is current, whichever coding is sent today`(tags: String) throws {
        for coding in ContentCoding.allCases { #expect(try outcome(["If-None-Match: \(tags)"], coding: coding) == .notModified) }
    }

    @Test(arguments: ["\"old\"", "\"old~gz\"", "\"abc~xx\"", "nonsense"])
    func `another version is not current`(tags: String) throws {
        #expect(try outcome(["If-None-Match: \(tags)"]) == .proceed)
    }

    @Test func `a tag counts before a date (RFC 9110 §13.2.2)`() throws {
        let date = "If-Modified-Since: Sat, 31 Jan 2026 12:00:00 GMT"
        #expect(try outcome([date]) == .notModified)
        #expect(try outcome(["If-Modified-Since: Sat, 31 Jan 2026 11:59:59 GMT"]) == .proceed)
        #expect(try outcome(["If-None-Match: \"old\"", date]) == .proceed)
        #expect(try outcome(["If-None-Match: \"abc\""], tag: nil) == .proceed)
    }

    @Test func `If-Match speaks of the bytes of this very representation`() throws {
        #expect(try outcome(["If-Match: \"abc~gz\""], coding: .gzip) == .proceed)
        #expect(try outcome(["If-Match: \"abc\""], coding: .gzip) == .failed)
        #expect(try outcome(["If-Match: W/\"abc\""]) == .failed, "it compares strongly (RFC 9110 §13.1.1)")
        #expect(try outcome(["If-Match: *"]) == .proceed)
    }
}
