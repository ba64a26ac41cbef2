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
            ("GET", ["Transfer-Encoding: chunked"], true, .requestBody), ("GET", ["Range: bytes=0-1"], true, nil), ("GET", ["Content-Length: 0"], true, nil),
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
    @Test(arguments: [
        (60, 0, 6, 0.1, true), (60, 0, 7, 0.1, false), (60, 40, 2, 0.1, true), (60, 40, 3, 0.1, false),
        // Whole seconds: the last one at least, and no lifetime that has no other.
        (5, 0, 1, 0.1, true), (5, 0, 2, 0.1, false), (1, 0, 1, 1, false), (2, 0, 1, 0.1, true), (60, 0, 60, 1, true), (60, 0, 1, 0, false),
    ])
    func `near its end is the last share of what it had when it came`(lifetime: Int, age: Int, left: Int, share: Double, isNear: Bool) throws {
        var rules = ReuseRules()
        rules.refreshAheadShare = share
        let stored = try StoredResponse.make(lifetime: lifetime, age: age)
        #expect(RevalidationPolicy.isNearItsEnd(stored, secondsLeft: left, rules) == isNear)
    }

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

    // MARK: Stale

    private func stale(
        _ response: String, request: [String] = [], over seconds: Int64, rules: (inout ReuseRules) -> Void = { _ in }
    ) throws -> RevalidationPolicy.Verdict {
        let head = try RequestHead.get("/", request)
        let stored = try StoredResponse.make(["Cache-Control: \(response)"], received: t0)
        var reuse = ReuseRules()
        rules(&reuse)
        return RevalidationPolicy.verdict(stored, CacheControl(head.fields), head.fields, reuse, now: t0 + .seconds(60 + seconds))
    }

    @Test func `RFC 5861 §3: a stale response is served while a new one is fetched, for as long as that is said`() throws {
        #expect(try stale("stale-while-revalidate=30", over: 0) == .servedStale(secondsOver: 0, .whileRevalidate))
        #expect(try stale("stale-while-revalidate=30", over: 29) == .servedStale(secondsOver: 29, .whileRevalidate))
        #expect(try stale("stale-while-revalidate=30", over: 30) == .stale(.expired))
        #expect(try stale("public", over: 5) { $0.staleWhileRevalidateSeconds = 10 } == .servedStale(secondsOver: 5, .whileRevalidate))
        #expect(
            try stale("stale-while-revalidate=0", over: 5) { $0.staleWhileRevalidateSeconds = 10 } == .stale(.expired),
            "the application's own word counts before the route's")
    }

    @Test func `RFC 9111 §5.2.1.2: max-stale takes what is stale by less`() throws {
        #expect(try stale("public", request: ["Cache-Control: max-stale=10"], over: 9) == .servedStale(secondsOver: 9, .requestMaxStale))
        #expect(try stale("public", request: ["Cache-Control: max-stale=10"], over: 10) == .stale(.expired))
        #expect(try stale("public", request: ["Cache-Control: max-stale"], over: 100_000) == .servedStale(secondsOver: 100_000, .requestMaxStale))
        #expect(try stale("public", request: ["Cache-Control: max-stale, max-age=10"], over: 5) == .stale(.expired))
    }

    @Test(arguments: ["must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache"])
    func `RFC 9111 §4.2.4: what forbids stale answers forbids them whoever permits them`(directive: String) throws {
        let permitted = directive + ", stale-while-revalidate=1000, stale-if-error=1000"
        let verdict = try stale(permitted, request: ["Cache-Control: max-stale"], over: 1)
        #expect(verdict == .stale(directive == "no-cache" ? .responseNoCache : .expired))
        let stored = try StoredResponse.make(["Cache-Control: \(permitted)"], received: t0)
        #expect(RevalidationPolicy.secondsOverOnError(stored, CacheControl(), FieldSection(), ReuseRules(), now: t0 + .seconds(61)) == nil)
        #expect(stored.forbidsStale && stored.demandsValidation == (directive != "no-cache"))
    }

    @Test(arguments: [["Cache-Control: no-cache"], ["Pragma: no-cache"], ["Cache-Control: max-age=10"], ["Cache-Control: min-fresh=1"]])
    func `who asks for better gets nothing stale`(request: [String]) throws {
        #expect(try stale("stale-while-revalidate=30", request: request, over: 1) == .stale(.expired))
        #expect(
            try stale("stale-while-revalidate=30", request: request, over: 1) { $0.heedsRequests = false }
                == .servedStale(secondsOver: 1, .whileRevalidate), "unless the route heeds no requests")
    }

    @Test func `a route that heeds no requests lets none of them pass the cache`() throws {
        var rules = ReuseRules()
        rules.heedsRequests = false
        for line in ["Cache-Control: no-cache", "Cache-Control: max-age=0", "Cache-Control: min-fresh=100", "Pragma: no-cache"] {
            let head = try RequestHead.get("/", [line])
            let stored = try StoredResponse.make([], received: t0)
            #expect(RevalidationPolicy.verdict(stored, CacheControl(head.fields), head.fields, rules, now: t0) == .fresh(secondsLeft: 60))
        }
    }

    @Test func `RFC 8246 §2: immutable gets no better by asking for something younger`() throws {
        let immutable = ["Cache-Control: immutable"]
        #expect(try verdict(["Cache-Control: max-age=0"], response: immutable) == .fresh(secondsLeft: 60))
        #expect(try verdict(["Cache-Control: no-cache"], response: immutable) == .stale(.requestNoCache))
    }

    @Test func `RFC 5861 §4: an error is answered by what is stale for less, as response, request or route say`() throws {
        func over(_ response: String, _ request: [String] = [], rules: Int = 0, after seconds: Int64) throws -> Int? {
            let head = try RequestHead.get("/", request)
            let stored = try StoredResponse.make(["Cache-Control: \(response)"], received: t0)
            var reuse = ReuseRules()
            reuse.staleIfErrorSeconds = rules
            return RevalidationPolicy.secondsOverOnError(stored, CacheControl(head.fields), head.fields, reuse, now: t0 + .seconds(seconds))
        }
        #expect(try over("stale-if-error=30", after: 89) == 29)
        #expect(try over("stale-if-error=30", after: 90) == nil)
        #expect(try over("public", after: 61) == nil)
        #expect(try over("public", rules: 5, after: 61) == 1)
        #expect(try over("stale-if-error=0", rules: 5, after: 61) == nil)
        #expect(try over("public", ["Cache-Control: stale-if-error=5"], after: 61) == 1)
        #expect(try over("stale-if-error=30", ["Cache-Control: no-cache"], after: 61) == nil)
        for status in [500, 502, 503, 504] { #expect(RevalidationPolicy.isError(status)) }
        for status in [200, 404, 501, 505] { #expect(!RevalidationPolicy.isError(status)) }
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

    @Test func `RFC 9111 §4.3.2: without Last-Modified the Date is compared`() throws {
        let response = try StoredResponse.make([])
        let representation = Representation(
            response: response, coding: .identity, effort: .asReceived, head: ByteBuffer(), body: ByteBuffer(), entityTag: nil)
        func outcome(_ line: String) throws -> Preconditions.Outcome { ConditionalPolicy.evaluate(try .get("/", [line]), representation) }
        #expect(try outcome("If-Modified-Since: Sat, 31 Jan 2026 12:00:00 GMT") == .notModified)
        #expect(try outcome("If-Modified-Since: Sat, 31 Jan 2026 11:59:59 GMT") == .proceed)
        #expect(try outcome("If-Unmodified-Since: Sat, 31 Jan 2026 11:59:59 GMT") == .proceed)
    }

    @Test func `RFC 9110 §13.2.1: conditions are about what would succeed`() throws {
        for status in [301, 404, 410, 500] {
            let response = try StoredResponse.make(["ETag: \"abc\""], status: status)
            let representation = Representation(
                response: response, coding: .identity, effort: .asReceived, head: ByteBuffer(), body: ByteBuffer(),
                entityTag: response.entityTag)
            for line in ["If-None-Match: *", "If-Match: \"x\""] {
                #expect(ConditionalPolicy.evaluate(try .get("/", [line]), representation) == .proceed, "\(status) \(line)")
            }
        }
    }

    @Test func `If-Match speaks of the bytes of this very representation`() throws {
        #expect(try outcome(["If-Match: \"abc~gz\""], coding: .gzip) == .proceed)
        #expect(try outcome(["If-Match: \"abc\""], coding: .gzip) == .failed)
        #expect(try outcome(["If-Match: W/\"abc\""]) == .failed, "it compares strongly (RFC 9110 §13.1.1)")
        #expect(try outcome(["If-Match: *"]) == .proceed)
    }
}
