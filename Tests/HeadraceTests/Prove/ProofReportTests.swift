@testable import LoadGenerator
import Telemetry
import Testing

@testable import headrace

@Suite struct ProofReportTests {
    @Test func `counters are read from the edge's own page`() {
        let counters = EdgeUnderTest.counters(
            metrics: """
                # HELP headrace_edge_requests_total Exchanges.
                headrace_edge_requests_total{cache="hit"} 90
                headrace_edge_requests_total{cache="miss"} 10
                headrace_edge_codings_total{coding="identity"} 3
                headrace_edge_codings_total{coding="gzip"} 97
                headrace_edge_upstream_seconds_bucket{le="0.1"} 10
                headrace_edge_upstream_seconds_count 10
                headrace_edge_upstream_connects_total 2
                nonsense
                """)
        #expect(counters.requests == 100 && counters.coded == 97 && counters.upstreamRequests == 10 && counters.upstreamConnects == 2)
        #expect(EdgeUnderTest.counters(metrics: "").requests == 0)
    }

    @Test func `counters of signed requests are those of the same layers alone`() {
        let text = """
            headrace_edge_proved_requests_total{without="none",what="answered"} 50
            headrace_edge_proved_requests_total{without="response-cache",what="answered"} 40
            headrace_edge_proved_requests_total{without="response-cache",what="upstream"} 39
            headrace_edge_proved_requests_total{without="response-cache",what="connected"} 2
            headrace_edge_proved_requests_total{without="response-cache",what="br"} 30
            headrace_edge_proved_requests_total{without="response-cache",what="gzip"} 5
            headrace_edge_proved_requests_total{without="response-cache+br",what="answered"} 7
            headrace_edge_requests_total{cache="hit"} 90
            """
        let counters = ProvedLayer.Counters(metrics: text, without: .responseCache)
        #expect(counters.requests == 40 && counters.upstreamRequests == 39 && counters.upstreamConnects == 2)
        #expect(counters.coded == 35 && counters.brotli == 30 && counters.gzip == 5 && counters.cpuSeconds == nil)
        #expect(ProvedLayer.Counters(metrics: text, without: []).requests == 50)
    }

    @Test func `codings are taken away one by one where another can take their place`() {
        #expect(ProvedLayer.deployed(acceptEncoding: "gzip").map(\.name) == ["response cache", "compression", "coalescing", "upstream keep-alive"])
        #expect(
            ProvedLayer.deployed(acceptEncoding: "gzip, br;q=0.9").map(\.name)
                == ["response cache", "compression", "br", "gzip", "coalescing", "upstream keep-alive"])
    }

    @Test func `it gives up when answers fail, or when what visitors get stays slow, and not for one slow round`() {
        func metrics(_ good: Int, _ bad: Int) -> String {
            "headrace_edge_responses_total{class=\"2xx\"} \(good)\nheadrace_edge_responses_total{class=\"5xx\"} \(bad)\n"
        }
        var failing = DeployedProof.Guard(metrics(1000, 50))
        #expect(failing.judge(everythingOn: .init(milliseconds: 5), metrics: metrics(2000, 55)) == nil)
        #expect(failing.judge(everythingOn: .init(milliseconds: 5), metrics: metrics(2100, 65))?.contains("10 of 110 answers failed") == true)
        var slow = DeployedProof.Guard("")
        for time in [10.0, 12, 11, 90, 12, 90, 90] { #expect(slow.judge(everythingOn: .init(milliseconds: time), metrics: "") == nil) }
        #expect(slow.judge(everythingOn: .init(milliseconds: 90), metrics: "")?.contains("3 rounds") == true)
        var fast = DeployedProof.Guard("")
        for _ in 0..<20 { #expect(fast.judge(everythingOn: .init(milliseconds: 1), metrics: "") == nil) }
        for _ in 0..<20 { #expect(fast.judge(everythingOn: .init(milliseconds: 19), metrics: "") == nil) }
    }

    /// Everything on takes 10 ms, everything off 30, without the cache 25, without compression 9, without keep-alive 10.
    private func report(used: Bool = true, isQuick: Bool = false, control: Double = 10) -> ProofReport {
        let names = ["everything on", "everything off"] + (isQuick ? [] : ProvedLayer.all.map { "without \($0.name)" }) + ["everything on, again"]
        let times = [10.0, 30] + (isQuick ? [] : [25, 9, 10]) + [control]
        var comparison = Comparison(arms: names, reference: 0, control: names.count - 1)
        for round in 0..<20 {
            comparison.add(times.enumerated().map { .init(milliseconds: $1 * (1 + 0.002 * Double((round * 7 + $0) % 5 - 2))) })
        }
        comparison.judgesReference = true
        let counters = ProvedLayer.Counters(
            requests: 100, upstreamRequests: used ? 4 : 100, upstreamConnects: used ? 1 : 100, coded: used ? 100 : 0, cpuSeconds: 0.002)
        return ProofReport(
            application: "http://a", rate: 50, seed: 1, measure: .median, secondsPerRound: 13,
            result: .init(comparison: comparison, reports: names.map { _ in LoadReport(users: 1) }, isInterrupted: false),
            arms: names.dropLast().map { .init(name: $0, counters: counters, bytesPerRequest: 5000) },
            layerArms: ProvedLayer.all.enumerated().map { ($1, isQuick ? nil : $0 + 2) }, offArm: 1)
    }

    @Test func `a layer alone is judged beside nothing, and stands in a table of its own`() throws {
        // Everything off takes 30 ms, with the cache alone 12, with compression alone 31, with keep-alive alone 30.
        let names = ["everything on", "everything off"] + ProvedLayer.all.map { "without \($0.name)" } + ProvedLayer.all.map { "only \($0.name)" }
        let times = [10.0, 30, 25, 9, 10, 12, 34, 30]
        var comparison = Comparison(arms: names, reference: 0)
        for round in 0..<20 { comparison.add(times.enumerated().map { .init(milliseconds: $1 * (1 + 0.002 * Double((round * 7 + $0) % 5 - 2))) }) }
        comparison.judgesReference = true
        var report = ProofReport(
            application: "http://a", rate: 50, seed: 1, measure: .median, secondsPerRound: 13,
            result: .init(comparison: comparison, reports: names.map { _ in LoadReport(users: 1) }, isInterrupted: false),
            arms: names.map { .init(name: $0, counters: .init(requests: 10), bytesPerRequest: 1) },
            layerArms: ProvedLayer.all.enumerated().map { ($1, $0 + 2) }, offArm: 1)
        #expect(report.aloneRows().isEmpty && report.document().alone == nil)
        report.aloneArms = ProvedLayer.all.enumerated().map { ($1, $0 + 5) }
        report.knees = .init(on: 400, off: 30)
        report.coldStart = .init(starts: 3, coldMs: 55, warmMs: 10)
        let rows = report.aloneRows()
        #expect(rows.map(\.layer) == ["response cache", "compression", "upstream keep-alive"])
        #expect(rows[0].words.hasPrefix("faster by 60 %") && rows[1].words.hasPrefix("costs you 13 %") && rows[2].words.hasPrefix("no measurable effect"))
        let text = report.rendered()
        #expect(text.contains("holds up to 400 requests/s with all layers, 30 without") && text.contains("first request takes 55.0 ms, 10.0 once it is warm"))
        let document = try ProofReport.Document(text: ComparisonTable.json(report.document()))
        #expect(document.alone?.count == 3 && document.knees?.on == 400 && document.coldStart?.starts == 3)
    }

    @Test func `the page has a bar for each layer on the side that it moves the response time to, and loads nothing`() throws {
        var report = report()
        let effects = ProofPage.effects(report.document())
        #expect(effects.map(\.name) == ["all layers together", "response cache", "compression", "upstream keep-alive", "control: everything on, again"])
        #expect(effects.map { ($0.percent?.high ?? 0) < 0 } == [true, true, false, false, false], "faster")
        #expect(effects.map { ($0.percent?.low ?? 0) > 0 } == [false, false, true, false, false], "slower")
        #expect(effects[4].isControl && effects.dropLast().allSatisfy { !$0.isControl })
        func page() -> String { ProofPage.text(report.document(), tables: "a < b") }
        #expect(page().components(separatedBy: "class=\"bar faster\"").count == 3 && page().components(separatedBy: "class=\"bar slower\"").count == 2)
        #expect(page().contains("<pre>a &lt; b</pre>") && !page().contains("class=\"stamp\""))
        #expect(!page().contains("http://a\"") && !page().contains("src=") && !page().contains("href=") && !page().contains("<script"))
        // A layer without traffic has words, and no bar, whatever the times say.
        report = self.report(used: false)
        #expect(page().components(separatedBy: "class=\"bar").count == 3 && page().contains("no traffic"))
        report = self.report(control: 12)
        #expect(page().contains("<p class=\"stamp\">ENVIRONMENT TOO NOISY"))
    }

    @Test func `browser caching is judged by the views of those who come again`() throws {
        func returning(_ times: [Double], requests: [Double]) -> ReturningVisitors.Result {
            var comparison = Comparison(arms: ["everything on", "without browser caching", "everything on, again"], reference: 0, control: 2)
            comparison.judgesReference = true
            for round in 0..<20 { comparison.add(times.enumerated().map { .init(milliseconds: $1 * (1 + 0.002 * Double((round * 7 + $0) % 5 - 2))) }) }
            let figures = zip(comparison.arms, requests).map {
                ReturningVisitors.Figures(arm: $0, views: 80, failed: 0, requestsPerView: $1, notModifiedPerView: 0, fromCachePerView: 0, bytesPerView: $1 * 1000)
            }
            return .init(comparison: comparison, figures: figures, secondsPerRound: 6.6)
        }
        var report = report()
        report.returning = returning([1, 5, 1], requests: [1, 6, 1])
        #expect(report.rows().last?.layer == "browser caching" && report.rows().last?.words.hasPrefix("faster by 80 %") == true)
        #expect(report.rendered().contains("a returning visitor's view") && ProofPage.effects(report.document()).contains { $0.name == "browser caching" })
        let document = try ProofReport.Document(text: ComparisonTable.json(report.document()))
        #expect(document.returningVisitors?.map(\.requestsPerView) == [1, 6, 1])
        // What spares nobody a request or a byte was not used, whatever the times say.
        report.returning = returning([1, 5, 1], requests: [6, 6, 6])
        #expect(report.rows().last?.verdict == "no-traffic")
    }

    @Test func `the edge's processor time has a bound, where one is given`() {
        let start = ContinuousClock.now
        func text(_ seconds: Double) -> String { "process_cpu_seconds_total \(seconds)\nheadrace_edge_responses_total{class=\"2xx\"} 5" }
        var bound = DeployedProof.Guard(text(100), coresMax: 0.5, now: start)
        #expect(bound.judge(everythingOn: nil, metrics: text(104), now: start + .seconds(10)) == nil)
        #expect(bound.judge(everythingOn: nil, metrics: text(112), now: start + .seconds(20)) == "the edge took 0.80 cores in the last round, and may take 0.50")
        var free = DeployedProof.Guard(text(100), now: start)
        #expect(free.judge(everythingOn: nil, metrics: text(190), now: start + .seconds(10)) == nil)
    }

    @Test func `a verdict is on having a layer, not on its absence`() {
        let rows = report().rows()
        #expect(rows.map(\.layer) == ["all layers together", "response cache", "compression", "upstream keep-alive"])
        #expect(rows[0].words.hasPrefix("faster by 67 %"))
        #expect(rows[1].words.hasPrefix("faster by 60 %"))
        #expect(rows[2].words.hasPrefix("costs you 11 %"))
        #expect(rows[3].words.hasPrefix("no measurable effect"))
    }

    @Test func `a layer that nothing used is said to carry no traffic, whatever the times`() {
        let rows = report(used: false).rows()
        #expect(rows.dropFirst().allSatisfy { $0.verdict == "no-traffic" && $0.words.hasPrefix("no traffic") })
        #expect(report(used: false).rendered().contains("no traffic: not one request made use of it"))
    }

    @Test func `the quick tier claims no interval for a layer`() {
        #expect(report(isQuick: true).rows().dropFirst().allSatisfy { $0.verdict == "not-measured" })
    }

    @Test func `exact figures are per request, and a noisy control is stamped first`() throws {
        let figures = report().figures()[0]
        #expect(figures.upstreamRequestsPerRequest == 0.04 && figures.edgeCpuMicrosecondsPerRequest.map { abs($0 - 20) < 1e-9 } == true)
        #expect(!report().rendered().contains("NOISY"))
        #expect(report(control: 12).rendered().hasPrefix("ENVIRONMENT TOO NOISY"))
        #expect(try ComparisonTable.json(report().document()).contains("\"headrace\" : \"prove\""))
    }

    @Test func `every layer has an arm, and the tiers say how long they take`() {
        #expect(Prove.arms(isQuick: false).count == 2 + ProvedLayer.all.count && Prove.arms(isQuick: true).count == 2)
        var options = Prove.Options(application: "http://a", paths: ["/"])
        options.rate = 20
        #expect(Prove.arithmetic(options, arms: 6).hasPrefix("6 arms × 2.6 s × 20 rounds: about 6 minutes, up to 60 rounds"))
        #expect(Prove.arithmetic(options, arms: 6).hasSuffix("; then returning visitors, about 3 minutes"))
        (options.isQuick, options.roundsMin, options.roundsMax) = (true, 12, 12)
        #expect(Prove.arithmetic(options, arms: 3) == "3 arms × 2.6 s × 12 rounds: about 2 minutes")
    }
}
