import Testing

@testable import HTTPSemantics

private func asking(_ method: Method = .get, _ lines: [(String, String)] = []) -> RequestHead {
    var head = RequestHead()
    head.method = method
    for (name, value) in lines { head.fields.append(name, value) }
    return head
}

private func answering(_ status: Int, _ lines: [(String, String)] = []) -> ResponseHead {
    var head = ResponseHead()
    head.status = status
    for (name, value) in lines { head.fields.append(name, value) }
    return head
}

@Suite struct StorabilityTests {
    private struct Row {
        var reason: NotStoredReason?
        var request: RequestHead
        var response: ResponseHead

        init(_ reason: NotStoredReason?, _ status: Int, _ lines: (String, String)..., to request: RequestHead = asking()) {
            self.reason = reason
            self.request = request
            response = answering(status, lines)
        }

        var decided: NotStoredReason? {
            Storability.decide(request: request, response: response, cacheControl: CacheControl(response.fields))
        }
    }

    private static let fresh = ("Cache-Control", "max-age=60")
    private static let date = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT")
    private static let later = ("Expires", "Sun, 06 Nov 1994 08:50:37 GMT")
    private static let withCredentials = asking(.get, [("Authorization", "Basic x")])

    private static let rows: [Row] = [
        // A lifetime or a validator.
        Row(nil, 200, fresh), Row(nil, 200, ("Cache-Control", "s-maxage=60")), Row(nil, 200, date, later), Row(nil, 404, fresh),
        Row(nil, 500, fresh), Row(nil, 301, fresh),
        Row(nil, 200, ("ETag", "\"1\"")), Row(nil, 200, ("Last-Modified", "x")),
        Row(nil, 200, ("Cache-Control", "max-age=0"), ("ETag", "\"1\"")),
        Row(nil, 200, ("Cache-Control", "no-cache, max-age=60")),
        Row(nil, 200, ("Cache-Control", "no-cache"), ("ETag", "\"1\"")), Row(nil, 999, fresh),
        Row(.noLifetime, 200), Row(.noLifetime, 200, ("Cache-Control", "max-age=0")),
        Row(.noLifetime, 200, ("Cache-Control", "public")),
        Row(.noLifetime, 200, ("Cache-Control", "s-maxage=0, max-age=60")), Row(.noLifetime, 200, later),
        Row(.noLifetime, 200, date, ("Expires", "0")),
        Row(.noLifetime, 404, ("ETag", "\"1\"")), Row(.noLifetime, 500, ("ETag", "\"1\"")),
        Row(.noLifetime, 200, ("Cache-Control", "max-age=x")),
        // The request.
        Row(.method, 200, fresh, to: asking(.head)), Row(.method, 200, fresh, to: asking(.post)),
        Row(.method, 200, fresh, to: asking(.other)),
        Row(.requestNoStore, 200, fresh, to: asking(.get, [("Cache-Control", "no-store")])),
        Row(.authorization, 200, fresh, to: withCredentials), Row(.authorization, 200, ("ETag", "\"1\""), to: withCredentials),
        // RFC 9111 §3.5: three directives open it.
        Row(nil, 200, ("Cache-Control", "max-age=60, public"), to: withCredentials),
        Row(nil, 200, ("Cache-Control", "max-age=60, must-revalidate"), to: withCredentials),
        Row(nil, 200, ("Cache-Control", "s-maxage=60"), to: withCredentials),
        Row(.noLifetime, 200, ("Cache-Control", "s-maxage=0"), to: withCredentials),
        // The response.
        Row(.noStore, 200, ("Cache-Control", "no-store, max-age=60")), Row(.noStore, 200, fresh, ("Cache-Control", "No-Store")),
        Row(.isPrivate, 200, ("Cache-Control", "private, max-age=60")),
        Row(nil, 200, ("Cache-Control", "private=\"X\", max-age=60")), Row(.isPrivate, 200, ("Cache-Control", "private=X, max-age=60")),
        Row(nil, 200, ("Cache-Control", "no-cache=\"Set-Cookie\", max-age=60"), ("Set-Cookie", "a=b")),
        Row(.isPrivate, 200, ("Cache-Control", "private, public, s-maxage=60"), to: withCredentials),
        Row(.setCookie, 200, fresh, ("Set-Cookie", "a=b")),
        Row(.setCookie, 200, ("Cache-Control", "public, max-age=60"), ("Set-Cookie", "a=b")),
        Row(.varyAny, 200, fresh, ("Vary", "*")), Row(.varyAny, 200, fresh, ("Vary", "Accept, *")),
        Row(nil, 200, fresh, ("Vary", "Accept")),
        Row(.partial, 206, fresh), Row(.partial, 200, fresh, ("Content-Range", "bytes 0-1/2")),
        Row(.status, 103, fresh), Row(.status, 101, fresh), Row(.status, 304, fresh), Row(.status, 416, fresh),
        // RFC 9111 §5.2.2.3: must-understand lifts no-store for who understands the status.
        Row(nil, 200, ("Cache-Control", "no-store, must-understand, max-age=60")),
        Row(.noStore, 299, ("Cache-Control", "no-store, must-understand, max-age=60")),
        Row(.status, 299, ("Cache-Control", "must-understand, max-age=60")),
        Row(nil, 404, ("Cache-Control", "must-understand, max-age=60")),
        // Two reasons: the one that says more comes first.
        Row(.method, 206, ("Cache-Control", "no-store"), to: asking(.post)),
        Row(.noStore, 200, ("Cache-Control", "no-store, private"), ("Set-Cookie", "a")),
    ]

    @Test func `each row of the table is decided as it says`() {
        for row in Self.rows {
            #expect(row.decided == row.reason, "\(row.response.status) \(String(copying: row.response.fields.bytes.span))")
        }
    }

    @Test func `every reason has a row, but for those that only who holds the body knows`() {
        #expect(Set(Self.rows.compactMap(\.reason)).union([.tooLarge, .tags, .lengthUnknown, .buffersFull, .ambiguousFields]) == Set(NotStoredReason.allCases))
    }

    private func posting(_ lines: [(String, String)] = [], method: Method = .post) -> RequestHead {
        var head = asking(method, lines)
        head.target = head.fields.appendBytes("/a?b=1")
        head.authority = head.fields.appendBytes("a.example")
        return head
    }

    @Test(arguments: [
        (200, ["Content-Location: /a?b=1"], nil), (200, ["Content-Location: http://a.example/a?b=1"], nil), (200, ["Content-Location: "], nil),
        (200, ["Content-Location: ?b=1"], nil), (200, ["Content-Location: /a"], .method), (200, ["Content-Location: /a?b=2"], .method),
        (200, ["Content-Location: //b.example/a?b=1"], .method), (200, [], .method), (201, ["Content-Location: /a?b=1"], .method),
        (200, ["Content-Location: /a?b=1", "Content-Location: /a?b=1"], .method), (206, ["Content-Location: /a?b=1"], .method),
        (200, ["Content-Location: /a?b=1", "Cache-Control: private"], .isPrivate), (200, ["Content-Location: /a?b=1", "Set-Cookie: a=b"], .setCookie),
        (200, ["Content-Location: /a?b=1", "Cache-Control: max-age=0"], .method), (200, ["Content-Location: /a?b=1", "Vary: *"], .varyAny),
    ] as [(Int, [String], NotStoredReason?)])
    func `RFC 9110 §9.3.3: POST brings what GET would, if the response names its target and has a lifetime`(
        status: Int, lines: [String], expected: NotStoredReason?
    ) {
        let response = answering(status, [Self.fresh] + lines.map { line in
            let colon = line.firstIndex(of: ":") ?? line.endIndex
            return (String(line[..<colon]), String(line[colon...].dropFirst(2)))
        })
        var rules = StoringRules()
        func decide(_ request: RequestHead) -> NotStoredReason? {
            Storability.decide(request: request, response: response, cacheControl: CacheControl(response.fields), rules: rules, received: 0)
        }
        #expect(decide(posting()) == .method, "unless the route says so")
        rules.storesPosts = true
        // The added lifetimes of a route are for what GET brings.
        rules.defaultLifetimeSeconds = 60
        #expect(decide(posting()) == expected)
        #expect(decide(posting(method: .put)) == .method)
        if expected == nil {
            #expect(decide(posting([("Authorization", "Basic x")])) == .authorization)
            #expect(decide(posting([("Cache-Control", "no-store")])) == .requestNoStore)
        }
    }

    @Test func `what the response itself says will most likely be said of the next`() {
        let next = NotStoredReason.allCases.filter(\.saysAboutNext)
        #expect(next == [.noStore, .isPrivate, .setCookie, .varyAny, .noLifetime, .tooLarge, .tags, .lengthUnknown])
    }

    @Test func `words for logs are small letters and hyphens, each once`() {
        let words = NotStoredReason.allCases.map(\.rawValue)
        #expect(Set(words).count == words.count)
        #expect(words.allSatisfy { $0.allSatisfy { $0.isLowercase || $0 == "-" } })
    }
}

@Suite struct FreshnessTests {
    private static let date = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT")
    private static let expires = ("Expires", "Sun, 06 Nov 1994 08:50:37 GMT")

    private func lifetime(_ lines: (String, String)...) -> Int {
        let head = answering(200, lines)
        return Freshness.lifetimeSeconds(response: head, cacheControl: CacheControl(head.fields))
    }

    @Test func `RFC 9111 §4.2.1: s-maxage, max-age, Expires less Date, in this order`() {
        #expect(lifetime(("Cache-Control", "max-age=10, s-maxage=20"), Self.date, Self.expires) == 20)
        #expect(lifetime(("Cache-Control", "s-maxage=0, max-age=10"), Self.date, Self.expires) == 0)
        #expect(lifetime(("Cache-Control", "max-age=10"), Self.date, Self.expires) == 10)
        #expect(lifetime(("Cache-Control", "max-age=0"), Self.date, Self.expires) == 0)
        #expect(lifetime(("Cache-Control", "public"), Self.date, Self.expires) == 60)
        #expect(lifetime() == 0)
    }

    @Test func `an Expires that is no date, repeated, past, or cannot be compared is in the past`() {
        #expect(lifetime(Self.date, ("Expires", "0")) == 0)
        #expect(lifetime(Self.date, ("Expires", "-1")) == 0)
        #expect(lifetime(Self.date, ("Expires", "")) == 0)
        #expect(lifetime(Self.date, Self.expires, Self.expires) == 0)
        #expect(lifetime(Self.date, ("Expires", "Sun, 06 Nov 1994 08:49:36 GMT")) == 0)
        #expect(lifetime(Self.expires) == 0)
        #expect(lifetime(("Date", "yesterday"), Self.expires) == 0)
        #expect(lifetime(("Date", "Mon, 01 Jan 0001 00:00:00 GMT"), ("Expires", "Fri, 31 Dec 9999 23:59:59 GMT")) == 1 << 31)
    }

    @Test func `a lifetime is explicit when it is longer than nothing`() {
        func isExplicit(_ lines: (String, String)...) -> Bool {
            let head = answering(200, lines)
            return Freshness.hasExplicitLifetime(response: head, cacheControl: CacheControl(head.fields))
        }
        #expect(
            isExplicit(("Cache-Control", "max-age=1")) && isExplicit(("Cache-Control", "s-maxage=1"))
                && isExplicit(Self.date, Self.expires))
        #expect(
            !isExplicit() && !isExplicit(("Cache-Control", "max-age=0")) && !isExplicit(Self.date) && !isExplicit(Self.expires))
        #expect(!isExplicit(("Cache-Control", "max-age=0"), Self.date, Self.expires))
    }

    @Test func `RFC 9110 §6.6.1: without a Date, Expires is compared with the time of receipt`() {
        let head = answering(200, [Self.expires])
        #expect(Freshness.lifetimeSeconds(response: head, cacheControl: CacheControl(), received: 784_111_777) == 60)
        let invalid = answering(200, [Self.expires, ("Date", "yesterday")])
        #expect(Freshness.lifetimeSeconds(response: invalid, cacheControl: CacheControl(), received: 784_111_777) == 0)
    }

    @Test func `RFC 9213 §2.1: beside a targeted field, Expires counts for nothing`() {
        var targeted = CacheControl()
        targeted.isTargeted = true
        #expect(Freshness.lifetimeSeconds(response: answering(200, [Self.date, Self.expires]), cacheControl: targeted) == 0)
    }

    @Test func `what a route says of a status holds where the application says nothing, whatever the status`() {
        func negative(_ rules: inout StoringRules) {
            rules.negativeLifetimes = [.init(status: 404, seconds: 10), .init(status: 503, seconds: 2)]
            rules.defaultLifetimeSeconds = 60
        }
        #expect(added(404, change: negative) == 10 && added(503, change: negative) == 2)
        #expect(added(502, change: negative) == 0, "not listed, and not cacheable by heuristic")
        #expect(added(410, change: negative) == 60)
        #expect(added(404, ("Cache-Control", "no-cache"), change: negative) == 0)
        #expect(added(404, ("Cache-Control", "max-age=0"), change: negative) == 0)
        #expect(added(404, Self.date, Self.expires, change: negative) == 0, "the application said how long")
        func reason(_ lines: (String, String)...) -> NotStoredReason? {
            var rules = StoringRules()
            negative(&rules)
            let head = answering(503, lines)
            return Storability.decide(
                request: asking(), response: head, cacheControl: CacheControl(head.fields), rules: rules, received: 784_111_777)
        }
        #expect(reason() == nil)
        #expect(reason(("Cache-Control", "no-store")) == .noStore)
        #expect(reason(("Cache-Control", "private")) == .isPrivate)
        #expect(reason(("Set-Cookie", "a=b")) == .setCookie)
    }

    @Test func `jitter takes at most its share of what is left, and adds nothing`() {
        func jittered(_ lifetime: Int, age: Int = 0, share: Double = 0.1, random: UInt64) -> Int {
            Freshness.jittered(lifetime, age: age, share: share, random: random)
        }
        #expect(jittered(100, random: 0) == 100)
        #expect(jittered(100, random: .max) == 91, "less than the share")
        #expect(jittered(100, age: 50, share: 1, random: 1 << 63) == 75)
        #expect(jittered(100, age: 100, share: 1, random: .max) == 100 && jittered(100, age: 200, share: 1, random: .max) == 100)
        #expect(jittered(100, share: 0, random: .max) == 100)
        #expect(jittered(1, share: 1, random: .max) == 1, "a response that was fresh stays so for a second")
        #expect(jittered(1 << 31, age: .min, share: 1, random: .max) == 1 << 31)
        for random in stride(from: UInt64.min, to: .max / 2, by: 1 << 58) {
            #expect((91...100).contains(jittered(100, random: random)))
        }
    }

    private func added(_ status: Int, _ lines: (String, String)..., change: (inout StoringRules) -> Void) -> Int {
        var rules = StoringRules()
        change(&rules)
        let head = answering(status, lines)
        return Freshness.addedLifetimeSeconds(response: head, cacheControl: CacheControl(head.fields), rules: rules, received: 784_111_777)
    }

    @Test func `RFC 9111 §4.2.2: a lifetime is added only where the route says so, and nothing was said`() {
        let modified = ("Last-Modified", "Sun, 06 Nov 1994 08:32:57 GMT")
        func tenth(_ rules: inout StoringRules) { rules.heuristicShare = 0.1 }
        func minute(_ rules: inout StoringRules) { rules.defaultLifetimeSeconds = 60 }
        #expect(added(200, Self.date, modified) { _ in } == 0)
        #expect(added(200, Self.date, modified, change: tenth) == 100)
        #expect(added(200, modified, change: tenth) == 100, "the time of receipt stands for a Date that is missing")
        #expect(added(200, Self.date, modified) { $0.heuristicShare = 0.1; $0.heuristicSecondsMax = 7 } == 7)
        #expect(added(200, Self.date, change: tenth) == 0)
        #expect(added(200, change: minute) == 60 && added(404, change: minute) == 60 && added(301, change: minute) == 60)
        for status in [201, 206, 302, 307, 400, 401, 403, 500, 503] { #expect(added(status, change: minute) == 0, "\(status)") }
        #expect(added(302, ("Cache-Control", "public"), change: minute) == 60)
        for said in [("Cache-Control", "max-age=0"), ("Cache-Control", "no-cache"), ("Expires", "0"), ("Cache-Control", "s-maxage=x")] {
            #expect(added(200, said, change: minute) == 0, "\(said)")
        }
        #expect(added(200, Self.date, ("Last-Modified", "Sun, 06 Nov 1994 08:49:38 GMT")) { $0.heuristicShare = 0.1 } == 0, "from the future")
    }

    @Test func `what a route adds makes a response storable`() {
        var rules = StoringRules()
        rules.defaultLifetimeSeconds = 60
        #expect(Storability.decide(request: asking(), response: answering(200), cacheControl: CacheControl(), rules: rules, received: 0) == nil)
        #expect(
            Storability.decide(request: asking(), response: answering(500), cacheControl: CacheControl(), rules: rules, received: 0)
                == .noLifetime)
        rules.storesCookies = true
        let cookie = answering(200, [("Set-Cookie", "a=b")])
        #expect(Storability.decide(request: asking(), response: cookie, cacheControl: CacheControl(), rules: rules, received: 0) == nil)
        rules.heedsRequests = false
        let request = asking(.get, [("Cache-Control", "no-store")])
        #expect(Storability.decide(request: request, response: answering(200), cacheControl: CacheControl(), rules: rules, received: 0) == nil)
    }

    // MARK: Age

    private func age(_ lines: (String, String)..., sent: Int64 = 784_111_777, received: Int64 = 784_111_777) -> Int {
        Freshness.initialAgeSeconds(response: answering(200, lines), requestSent: sent, responseReceived: received)
    }

    @Test func `RFC 9111 §4.2.3: the age is Age and the delay, or what the clocks say if that is more`() {
        #expect(age() == 0)
        #expect(age(("Age", "5")) == 5)
        #expect(age(("Age", "5"), received: 784_111_780) == 8)
        #expect(age(Self.date, received: 784_111_787) == 10)
        #expect(age(Self.date, ("Age", "3"), sent: 784_111_785, received: 784_111_787) == 10)
        #expect(age(Self.date, ("Age", "30"), sent: 784_111_785, received: 784_111_787) == 32)
        // A clock that is behind the origin's, and one that was set back in between.
        #expect(age(Self.date, sent: 784_111_700, received: 784_111_700) == 0)
        #expect(age(sent: 784_111_777, received: 784_111_700) == 0)
    }

    @Test(arguments: ["", "-1", "x", "5x", "1.5", "99999999999999999999"]) func `an Age that is no number is too old to use`(
        value: String
    ) {
        #expect(age(("Age", value)) == 1 << 31)
    }

    @Test func `of several ages the largest counts`() {
        #expect(age(("Age", "5"), ("Age", "7"), ("Age", "6")) == 7)
    }

    @Test func `times far apart do not overflow`() {
        #expect(age(Self.date, ("Age", "9999999999"), sent: 0, received: .max / 2) == 1 << 32)
    }
}
