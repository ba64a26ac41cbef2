import Foundation
import History
import Synchronization
import Testing

@testable import Dashboard

@Suite struct DashboardTests {
    private static let start: Int64 = 1_700_000_000

    private func dashboard(path: String? = nil, now: Int64 = start, _ change: (inout Dashboard.Options) -> Void = { _ in }) throws -> Dashboard {
        var options = Dashboard.Options()
        change(&options)
        let history = try SampleHistory(path: path, values: Series.allCases.map(\.rawValue), distributions: Timed.allCases.map(\.rawValue))
        return Dashboard(options: options, history: history, now: now) { Issue.record("\($0)") }
    }

    /// Ten requests a second, of which one fails.
    private func run(_ dashboard: Dashboard, seconds: Int) {
        for second in 0...seconds {
            var reading = Reading(time: Self.start + Int64(second))
            reading[.requests] = Double(10 * second)
            reading[.responses_2xx] = Double(9 * second)
            reading[.responses_5xx] = Double(second)
            reading[.cache_hits] = Double(6 * second)
            reading[.cache_misses] = Double(3 * second)
            reading[.cache_not_asked] = Double(second)
            reading[.connections] = 5
            dashboard.add(reading)
        }
    }

    private func body(_ answer: DashboardAnswer, status: Int = 200) throws -> [String: Any] {
        guard case .whole(let found, _, _, let body) = answer else {
            Issue.record("a stream")
            return [:]
        }
        #expect(found == status, "\(String(decoding: body, as: UTF8.self))")
        return try #require(try JSONSerialization.jsonObject(with: Data(body)) as? [String: Any])
    }

    private func ask(_ dashboard: Dashboard, _ path: String, _ query: String = "", seconds: Int64, isOperator: Bool = true, status: Int = 200) throws
        -> [String: Any]
    {
        try body(
            dashboard.answer(DashboardRequest(path: path, query: query, isOperator: isOperator, now: Self.start + seconds)), status: status)
    }

    @Test func `the old page's figures are there under their plain names`() throws {
        let dashboard = try dashboard()
        run(dashboard, seconds: 30)
        var facts = Facts()
        facts.benches = [
            .init(
                number: 1, startedAt: 1_795_914_727.75, subject: "x",
                levels: [.init(users: 20, requestsPerSecond: 123, band: 100...130, meanMs: 7, p95Ms: 9, failed: 0)])
        ]
        dashboard.know(facts)
        var reading = Reading(time: Self.start + 31)
        reading[.requests] = 310
        reading[.responses_5xx] = 31
        dashboard.add(reading)
        let document = try ask(dashboard, "/latest.json", seconds: 31)
        #expect(document["schema"] as? Int == Dashboard.schema)
        #expect(document["requests_per_second"] as? Double == 10)
        #expect(document["failed_requests"] as? Double == 31)
        let level = try #require((document["load_levels"] as? [[String: Any]])?.first)
        #expect(level["users"] as? Int == 20 && level["requests_per_second"] as? Double == 123)
        #expect(level["measured_at"] as? Int == 1_795_914_727, "to the second, not to six digits")
        #expect((document["benches"] as? [[String: Any]])?.first?["started_at"] as? Int == 1_795_914_727)
        let totals = try #require(document["totals"] as? [String: Any])
        #expect(totals["requests"] as? Int == 310)
        #expect(totals["pool_queries"] is NSNull, "what is not there is null")
        #expect((document["layers"] as? [[String: Any]])?.count == 8)
    }

    @Test func `a layer that was never proven has no worth, and one without traffic is idle`() throws {
        let dashboard = try dashboard()
        var facts = Facts()
        facts.switches.edge = true
        facts.switches.responseCache = true
        facts.switches.keyspace = true
        facts.proof = .init(
            number: 3, startedAt: 1, subject: "", rate: 10, rounds: 20, isTooNoisy: false,
            rows: [.init(layer: "response cache", verdict: "faster", words: "61 % faster", change: -61, low: -65, high: -57)])
        dashboard.know(facts)
        run(dashboard, seconds: 5)
        let document = try ask(dashboard, "/latest.json", seconds: 5)
        let layers = try #require(document["layers"] as? [[String: Any]])
        func layer(_ name: String) -> [String: Any] { layers.first { $0["name"] as? String == name } ?? [:] }
        #expect(layer("response_cache")["state"] as? String == "on")
        // 6 of the 9 requests that it was asked for.
        #expect(abs((layer("response_cache")["share"] as? Double ?? 0) - 6.0 / 9) < 1e-5)
        #expect((layer("response_cache")["worth"] as? [String: Any])?["change_percent"] as? Double == -61)
        #expect(layer("edge")["worth"] is NSNull)
        #expect(layer("keyspace")["state"] as? String == "idle")
        #expect(layer("keyspace")["share"] is NSNull)
        #expect(layer("pooler")["state"] as? String == "off")
    }

    @Test func `a series has a point for each second, counters per second`() throws {
        let dashboard = try dashboard()
        run(dashboard, seconds: 100)
        let document = try ask(dashboard, "/api/series", "range=50s&names=requests,connections", seconds: 100)
        let series = try #require(document["series"] as? [String: [Double]])
        #expect(series.keys.sorted() == ["connections", "requests"])
        #expect(series["requests"] == Array(repeating: 10, count: 50))
        #expect((document["times"] as? [Int64])?.first == Self.start + 50)
        #expect(document["step"] as? Int == 1)
    }

    @Test(arguments: [
        "range=16d", "range=0s", "range=5", "range=-1h", "range=99999999999999999999d", "points=1", "points=601", "points=x", "to=0", "to=99999999999",
        "names=nonsense", "names=%3Cscript%3E",
    ])
    func `what cannot be answered is refused in words`(query: String) throws {
        let dashboard = try dashboard()
        let document = try ask(dashboard, "/api/series", query, seconds: 1, status: 400)
        #expect((document["error"] as? String)?.isEmpty == false)
    }

    @Test func `days are read from the history, with what is not written yet`() throws {
        let dashboard = try dashboard()
        run(dashboard, seconds: 125)
        for range in ["2h", "2d"] {
            let document = try ask(dashboard, "/api/series", "range=\(range)&names=requests", seconds: 125)
            let step = try #require(document["step"] as? Double)
            let rates = try #require((document["series"] as? [String: [Double]])?["requests"])
            // The stretch in which it began had begun before it.
            let first = try #require(rates.first)
            #expect(first > 0 && first <= 10 && rates.dropFirst().allSatisfy { $0 == 10 }, "\(rates) by \(step)")
        }
    }

    @Test func `numbers outlive the process, and a mark shows where it began`() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "dashboard-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "samples.sqlite").path
        do {
            let first = try dashboard(path: path)
            first.mark(Marker(time: Self.start, kind: "start", text: "a"))
            run(first, seconds: 30)
            // No end is announced: what was handed over by then is there.
        }
        let second = try dashboard(path: path, now: Self.start + 30)
        let document = try ask(second, "/api/series", "range=60s&names=requests&to=\(Self.start + 30)", seconds: 30)
        let count = try #require((document["times"] as? [Int])?.count)
        #expect(count >= 20, "\(count) of 30 seconds; a batch is ten")
        #expect((document["markers"] as? [[String: Any]])?.first?["kind"] as? String == "start")
    }

    @Test func `a start with another version is a deploy, and says which was before`() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "dashboard-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        for (index, version) in ["1.0", "1.0", "1.1", "1.1", "1.2"].enumerated() {
            let dashboard = try dashboard(path: folder.appending(path: "samples.sqlite").path, now: Self.start + Int64(index))
            dashboard.markStart(version: version, now: Self.start + Int64(index))
            dashboard.finish(now: Self.start + Int64(index))
        }
        let last = try dashboard(path: folder.appending(path: "samples.sqlite").path, now: Self.start + 9)
        let document = try ask(last, "/api/series", "range=60s&names=requests", seconds: 10)
        let marks = try #require(document["markers"] as? [[String: Any]]).map { "\($0["kind"] ?? ""): \($0["text"] ?? "")" }
        #expect(marks == [
            "start: Headrace 1.0", "start: Headrace 1.0", "deploy: Headrace 1.1, Headrace 1.0 before", "start: Headrace 1.1",
            "deploy: Headrace 1.2, Headrace 1.1 before",
        ])
    }

    @Test func `hostile text stays text`() throws {
        let dashboard = try dashboard()
        run(dashboard, seconds: 2)
        let hostile = "</script><img src=x onerror=alert(1)>\u{2028}\u{202E}\"\\\u{0}"
        var facts = Facts()
        facts.paths = [.init(pattern: hostile, requests: 1, seconds: 1, bytes: 1, hitShare: 0, hint: hostile)]
        facts.statements = [.init(text: hostile, database: hostile, calls: 1, rows: 1, errors: 0, seconds: 1, waitSeconds: 0, p95Seconds: 1)]
        dashboard.know(facts)
        dashboard.add(Reading(time: Self.start + 3))
        guard case .whole(_, _, _, let bytes) = dashboard.answer(.init(path: "/latest.json", query: "", isOperator: true, now: Self.start)) else { return }
        let text = String(decoding: bytes, as: UTF8.self)
        for mark in ["<", ">", "&", "\u{2028}", "\u{202E}", "\0"] { #expect(!text.contains(mark)) }
        let document = try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
        #expect((document["paths"] as? [[String: Any]])?.first?["pattern"] as? String == hostile, "and is the same when it is read")
    }

    @Test func `everybody sees no address, path, statement, user or error`() throws {
        let dashboard = try dashboard()
        var facts = Facts()
        facts.paths = [.init(pattern: "/secret-path", requests: 1, seconds: 1, bytes: 1, hitShare: 0, hint: nil)]
        facts.statements = [.init(text: "secret-sql", database: "secret-db", calls: 1, rows: 1, errors: 0, seconds: 1, waitSeconds: 0, p95Seconds: 1)]
        facts.pools = [.init(database: "secret-db", user: "secret-user", clientsWaiting: 0, serversActive: 0, serversIdle: 0, maxWaitSeconds: 0)]
        facts.upstreams = [.init(group: "secret-group", address: "secret-address", isUp: true, active: 0, requests: 0, failures: 0)]
        facts.routes = [.init(name: "secret-route", classes: [])]
        facts.benches = [.init(number: 1, startedAt: 1, subject: "secret-url", levels: [])]
        dashboard.know(facts)
        var health = ServiceHealth()
        health.probed(error: "secret-error", now: 1)
        dashboard.know([ServiceReport(name: "postgresql", health: health, version: "secret-version", detail: "secret-place")])
        var schedule = TestSchedule([(.load, try CronExpression("@hourly"))], limits: .init(), now: Self.start) { _ in 0 }
        _ = schedule.secondPassed(now: Self.start + 3600, traffic: .init()) { _ in 0 }
        schedule.refused("another instance measures: secret-machine", now: Self.start + 3600)
        dashboard.know(schedule)
        for kind in ["reload", "mark"] { dashboard.mark(Marker(time: Self.start + 1, kind: kind, text: "secret-\(kind)")) }
        run(dashboard, seconds: 2)
        func text(_ isOperator: Bool) -> String { String(decoding: dashboard.latest(isOperator: isOperator), as: UTF8.self) }
        #expect(!text(false).contains("secret"), "\(text(false))")
        for word in ["path", "sql", "db", "user", "address", "route", "url", "error", "place", "version", "machine", "reload", "mark"] {
            #expect(text(true).contains("secret-\(word)"), "\(word)")
        }
        guard case .whole(_, _, _, let series) = dashboard.answer(.init(path: "/api/series", query: "range=60s", isOperator: false, now: Self.start + 3)) else { return }
        #expect(!String(decoding: series, as: UTF8.self).contains("secret") && String(decoding: series, as: UTF8.self).contains("\"mark\""))
        guard case .whole(let status, _, _, let ready) = dashboard.readiness(nil, isDraining: false, isOperator: false) else { return }
        #expect(status == 503 && !String(decoding: ready, as: UTF8.self).contains("secret"))
    }

    @Test func `ready is who is not down, one by one or all`() throws {
        let dashboard = try dashboard()
        func report(_ name: String, error: String?) -> ServiceReport {
            var health = ServiceHealth()
            health.probed(error: error, now: 1)
            return ServiceReport(name: name, health: health)
        }
        dashboard.know([report("edge", error: nil), report("postgresql", error: "Connection refused")])
        func status(_ name: String?, isDraining: Bool = false) -> Int {
            guard case .whole(let status, _, _, _) = dashboard.readiness(name, isDraining: isDraining, isOperator: true) else { return 0 }
            return status
        }
        #expect(status(nil) == 503)
        #expect(status("edge") == 200)
        #expect(status("edge", isDraining: true) == 503)
        #expect(status("postgresql") == 503)
        #expect(status("nobody") == 404)
        dashboard.know([report("edge", error: nil)])
        #expect(status(nil) == 200)
    }

    @Test func `who watches gets each second; one more than the bound is refused`() throws {
        let dashboard = try dashboard { $0.watchersMax = 2 }
        let seen = Mutex<[String]>([])
        let first = try #require(dashboard.watch(client: nil) { bytes in seen.withLock { $0.append(String(decoding: bytes, as: UTF8.self)) } })
        _ = try #require(dashboard.watch(client: nil) { _ in })
        #expect(dashboard.watch(client: nil) { _ in } == nil)
        run(dashboard, seconds: 3)
        let events = seen.withLock { $0 }
        #expect(events.count == 3)
        #expect(events.allSatisfy { $0.hasPrefix("event: sample\nid: ") && $0.hasSuffix("\n\n") })
        let data = try #require(events.last?.split(separator: "\n").first { $0.hasPrefix("data: ") }?.dropFirst(6))
        let document = try #require(try JSONSerialization.jsonObject(with: Data(data.utf8)) as? [String: Any])
        #expect((document["series"] as? [String: Any])?["requests"] as? [Double] == [10])
        dashboard.unwatch(first)
        #expect(dashboard.watch(client: nil) { _ in } != nil)
    }

    @Test func `an event says what was marked since the last, to operators in words`() throws {
        let dashboard = try dashboard()
        let seen = Mutex<[Bool: [String]]>([:])
        for isOperator in [true, false] {
            _ = try #require(
                dashboard.watch(client: isOperator ? nil : "") { bytes in
                    let text = String(decoding: bytes, as: UTF8.self)
                    let marks = text.firstMatch(of: /"markers":(\[[^\]]*\])/).map { String($0.1) }
                    seen.withLock { $0[isOperator, default: []].append(marks ?? "none") }
                })
        }
        run(dashboard, seconds: 1)
        dashboard.mark(Marker(time: Self.start + 1, kind: "reload", text: "edge.listen"))
        var reading = Reading(time: Self.start + 2)
        reading[.requests] = 20
        dashboard.add(reading)
        dashboard.add(Reading(time: Self.start + 3))
        let mark = { (text: String) in "[{\"time\":\(Self.start + 1),\"kind\":\"reload\",\"text\":\"\(text)\"}]" }
        #expect(seen.withLock { $0 } == [true: ["[]", mark("edge.listen"), "[]"], false: ["[]", mark(""), "[]"]])
    }

    @Test func `an operator marks a moment, nobody else does, and no page in a browser for one`() throws {
        let dashboard = try dashboard()
        run(dashboard, seconds: 2)
        func post(_ mark: String, _ path: String = "/api/marks", isOperator: Bool = true, isFromPage: Bool = false) -> Int {
            let post = DashboardRequest.Post(mark: mark, isFromPage: isFromPage)
            let request = DashboardRequest(path: path, query: "", isOperator: isOperator, now: Self.start + 1, post: post)
            #expect(dashboard.answerAtHand(request) == nil, "nothing that lies ready")
            guard case .whole(let status, _, let fields, _) = dashboard.answer(request) else { return 0 }
            #expect((status == 405) == fields.contains { $0 == ("Allow", "GET, HEAD") })
            return status
        }
        _ = try ask(dashboard, "/latest.json", seconds: 2)
        #expect(post("v1", isOperator: false) == 403 && post("v1", isFromPage: true) == 403)
        for path in ["", "/latest.json", "/api/series", "/events"] { #expect(post("v1", path) == 405) }
        let longest = String(repeating: "ü", count: 100)
        for text in ["", "  ", longest + "x", "a\nb", "a\u{7F}", "a\u{85}b", "a\u{2028}b", "e" + String(repeating: "\u{301}", count: 100)] { #expect(post(text) == 400, "\(text)") }
        #expect(try ask(dashboard, "/api/series", "range=60s", seconds: 3)["markers"] as? [[String: String]] == [])
        #expect(post(longest) == 200 && post("  v1.2 <b> ") == 200)
        let marks = try #require(try ask(dashboard, "/api/series", "range=60s", seconds: 3)["markers"] as? [[String: Any]])
        #expect(marks.map { $0["text"] as? String } == [longest, "v1.2 <b>"] && marks.allSatisfy { $0["kind"] as? String == "mark" && $0["time"] as? Int64 == Self.start + 1 })
        for _ in 2..<Dashboard.freshMarksMax { #expect(post("x") == 200) }
        #expect(post("one more") == 429, "until they are written")
        run(dashboard, seconds: 20)
        #expect(post("one more") == 200)
    }

    @Test func `marks of before are in the document, and an own deploy is told from an operator's mark`() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "dashboard-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "samples.sqlite").path
        for index in 0..<2 as Range<Int64> {
            let dashboard = try dashboard(path: path, now: Self.start + index)
            dashboard.markStart(version: "1.0", now: Self.start + index)
            dashboard.mark(Marker(time: Self.start + index, kind: "mark", text: "Headrace 9"))
            dashboard.finish(now: Self.start + index)
        }
        let last = try dashboard(path: path, now: Self.start + 5)
        let marks = try #require(try ask(last, "/latest.json", seconds: 5)["marks"] as? [[String: Any]])
        #expect(marks.map { $0["kind"] as? String } == ["start", "mark", "start", "mark"])
        for number in 0..<30 { last.mark(Marker(time: Self.start + 6, kind: "mark", text: "\(number)")) }
        last.add(Reading(time: Self.start + 7))
        #expect((try ask(last, "/latest.json", seconds: 7)["marks"] as? [[String: Any]])?.compactMap { $0["text"] as? String } == (10..<30).map { "\($0)" })
    }

    @Test func `one client takes its places and no more; operators are not counted by address`() throws {
        let dashboard = try dashboard { ($0.watchersMax, $0.watchersPerClientMax) = (5, 2) }
        let first = try #require(dashboard.watch(client: "192.0.2.7") { _ in })
        _ = try #require(dashboard.watch(client: "192.0.2.7") { _ in })
        #expect(dashboard.watch(client: "192.0.2.7") { _ in } == nil)
        #expect(dashboard.watch(client: "192.0.2.8") { _ in } != nil)
        #expect(dashboard.watch(client: nil) { _ in } != nil)
        dashboard.unwatch(first)
        dashboard.unwatch(first)
        #expect(dashboard.watch(client: "192.0.2.7") { _ in } != nil)
        #expect(dashboard.watch(client: "192.0.2.7") { _ in } == nil)
        #expect(dashboard.watch(client: nil) { _ in } != nil)
        #expect(dashboard.watch(client: nil) { _ in } == nil, "the whole bound holds for all")
    }

    @Test func `few points of many days keep the oldest day`() throws {
        for (range, points) in [("15d", 2), ("15d", 10), ("15d", 600), ("7d", 3), ("5m", 2)] {
            let length: Int64 = ["15d": 1_296_000, "7d": 604_800, "5m": 300][range] ?? 0
            for begin in [Self.start, Self.start + 12_345] {
                let samples = stride(from: begin, to: begin + length, by: 60).map { time in
                    var reading = Reading(time: time + 60)
                    reading[.requests] = 1
                    return reading.sample(since: Reading(time: time))
                }
                let made = SampleRollup.points(samples, begin..<begin + length, countMax: points, tier: .minute)
                #expect(made.points.count <= points)
                let sum = made.points.reduce(0) { $0 + $1.values[Series.requests.place] }
                #expect(sum == Double(samples.count), "\(range) in \(points) points: \(made.points.count) of step \(made.step)")
            }
        }
    }

    @Test func `sessions past the pooler, money and the schedule are in the document, and addresses for operators only`() throws {
        let dashboard = try dashboard { ($0.pricePerGigabyte, $0.currency) = (0.5, "EUR") }
        var facts = Facts()
        facts.switches.pooler = true
        dashboard.know(facts)
        var database = DatabaseFacts()
        (database.sessionsPooled, database.sessionsPast) = (6, 2)
        database.statementsByTotal = [
            .init(text: "SELECT $1", database: "", calls: 2, rows: 2, errors: 0, seconds: 4, waitSeconds: 0, p95Seconds: .nan)
        ]
        dashboard.know(database)
        var schedule = TestSchedule([(.load, try CronExpression("@hourly"))], limits: .init(), now: Self.start) { _ in 0 }
        let next = try #require(schedule.jobs.first?.nextAt)
        _ = schedule.secondPassed(now: next, traffic: .init()) { _ in 0 }
        schedule.ended(problem: "it ended with status 69", log: ["http://10.0.0.1/ refused"], now: next + 5)
        dashboard.know(schedule)
        for second in 0...2 {
            var reading = Reading(time: Self.start + Int64(second))
            reading[.requests] = 1
            reading[.saved_by_compression_bytes] = 3e9
            reading[.saved_by_not_modified_bytes] = 1e9
            dashboard.add(reading)
        }
        let document = try ask(dashboard, "/latest.json", seconds: 3)
        let spared = try #require(document["spared"] as? [String: Any])
        #expect(spared["money"] as? Double == 2 && spared["currency"] as? String == "EUR")
        let layers = try #require(document["layers"] as? [[String: Any]])
        #expect(layers.first { $0["name"] as? String == "pooler" }?["share"] as? Double == 0.75)
        #expect((document["database"] as? [String: Any])?["sessions_past_the_pooler"] as? Int == 2)
        let statement = try #require((document["pg_stat_statements_by_total"] as? [[String: Any]])?.first)
        #expect(statement["mean_ms"] as? Double == 2000 && statement["p95_ms"] is NSNull)
        #expect(document["pg_stat_statements_by_mean"] is NSNull)
        let job = try #require((document["schedule"] as? [[String: Any]])?.first)
        #expect(job["cron"] as? String == "@hourly" && job["next_at"] as? Int64 == next + 3600)
        let last = try #require(job["last"] as? [String: Any])
        #expect(last["ending"] as? String == "failed" && (last["log"] as? [String])?.count == 1)
        let less = try ask(dashboard, "/latest.json", seconds: 3, isOperator: false)
        let public_ = try #require(((less["schedule"] as? [[String: Any]])?.first)?["last"] as? [String: Any])
        #expect(public_["log"] is NSNull && less["pg_stat_statements_by_total"] == nil)
    }

    @Test func `a clock that is set back ends nothing`() throws {
        let dashboard = try dashboard()
        run(dashboard, seconds: 5)
        for second in 0..<3 {
            var reading = Reading(time: Self.start - 1000 + Int64(second))
            reading[.requests] = 100 + Double(second)
            dashboard.add(reading)
        }
        #expect(try ask(dashboard, "/latest.json", seconds: 5)["time"] as? Int64 == Self.start - 998)
    }

    @Test func `the page is one small file that no markup of others gets into`() throws {
        let (bytes, policy) = DashboardPage.rendered(path: "/a\"><script>")
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(bytes.count < 60 << 10, "\(bytes.count)")
        #expect(!text.contains("/a\">"))
        let nonce = try #require(policy.firstMatch(of: /script-src 'nonce-([0-9a-f]+)'/)?.1)
        #expect(text.contains("<script nonce=\"\(nonce)\">") && policy.contains("default-src 'none'"))
        for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "http://127", "https://", " style=\"", " onclick"] {
            #expect(!text.contains(word), "\(word)")
        }
        #expect(DashboardPage.rendered(path: "/p").policy != policy, "a number is used once")
    }

    @Test func `what is advice takes nobody out of service, and is told to who asks for it`() throws {
        let dashboard = try dashboard()
        func report(_ name: String, error: String?, isRequired: Bool) -> ServiceReport {
            var health = ServiceHealth()
            health.probed(error: error, now: 1)
            return ServiceReport(name: name, health: health, isRequired: isRequired)
        }
        dashboard.know([report("edge", error: nil, isRequired: true), report("clock", error: "90 s behind", isRequired: false)])
        func status(_ name: String?) -> Int {
            guard case .whole(let status, _, _, _) = dashboard.readiness(name, isDraining: false, isOperator: true) else { return 0 }
            return status
        }
        #expect(status(nil) == 200 && status("edge") == 200 && status("clock") == 503)
        dashboard.know([report("edge", error: "gone", isRequired: true), report("clock", error: nil, isRequired: false)])
        #expect(status(nil) == 503 && status("clock") == 200)
    }

    @Test func `the document is at hand once an event says that it is there, for the kinds of readers that watch`() throws {
        let dashboard = try dashboard()
        func atHand(isOperator: Bool, _ path: String = "/latest.json") -> Bool {
            dashboard.answerAtHand(.init(path: path, query: "", isOperator: isOperator, now: Self.start)) != nil
        }
        run(dashboard, seconds: 2)
        #expect(!atHand(isOperator: true), "nobody watches")
        _ = try ask(dashboard, "/latest.json", seconds: 2)
        #expect(atHand(isOperator: true) && !atHand(isOperator: false))
        let wasAtHand = Mutex<[Bool]>([])
        let number = try #require(
            dashboard.watch(client: "192.0.2.7") { _ in
                wasAtHand.withLock { $0.append(dashboard.answerAtHand(.init(path: "/api/latest", query: "", isOperator: false, now: 0)) != nil) }
            })
        dashboard.add(Reading(time: Self.start + 3))
        #expect(wasAtHand.withLock { $0 } == [true])
        #expect(!atHand(isOperator: true), "a second later it is another document, and no operator watches")
        dashboard.unwatch(number)
        #expect(!atHand(isOperator: false, "/api/series"))
    }

    @Test func `a layer says what it is worth to visitors where some are held out of it`() throws {
        let dashboard = try dashboard()
        var facts = Facts()
        facts.switches.responseCache = true
        var held = Facts.HeldOut(layer: "response_cache", words: "faster by 61 %")
        (held.past, held.pastSeconds, held.through, held.throughSeconds, held.change) = (10, 1, 90, 0.9, -61)
        facts.heldOut = [held]
        facts.paths = [.init(pattern: "/a", requests: 1, seconds: 1, bytes: 1, hitShare: 0, hint: nil)]
        facts.paths[0].statementsPerPage = 24
        dashboard.know(facts)
        run(dashboard, seconds: 2)
        let document = try ask(dashboard, "/latest.json", seconds: 2)
        let layers = try #require(document["layers"] as? [[String: Any]])
        let found = try #require(layers.first { $0["name"] as? String == "response_cache" }?["held_out"] as? [String: Any])
        #expect(found["words"] as? String == "faster by 61 %" && found["mean_ms"] as? Double == 100 && found["through_mean_ms"] as? Double == 10)
        #expect(layers.first?["held_out"] is NSNull)
        #expect((document["paths"] as? [[String: Any]])?.first?["statements_per_page"] as? Double == 24)
        #expect(String(decoding: DashboardPage.rendered(path: "/p").bytes, as: UTF8.self).contains("l.held_out.words"))
    }
}
