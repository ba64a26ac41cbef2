import Telemetry
import Testing

@testable import LoadGenerator

/// Open loops against servers whose truth is known. They run one at a time: each other's load would be measured.
@Suite(.serialized) struct OpenLoopTests {
    private static func plan(
        _ server: DelayingServer, _ profile: RateProfile, shape: ArrivalShape = .constant, connectionsMax: Int = 2000, warmUp: WarmUp = .fixed(.zero),
        requestsMax: Int? = nil, timeout: Duration = .seconds(10), threads: Int = 1
    ) throws -> LoadPlan {
        LoadPlan(
            workload: try Workload(urls: [try HTTPURL(server.url + "/")]), open: .init(profile, shape: shape, connectionsMax: connectionsMax),
            warmUp: warmUp, requestsMax: requestsMax, timeout: timeout, threads: threads)
    }

    /// What is wrong with a measurement, if it still is at the third time. The machine is shared: what it does to one run is no fault of the
    /// generator's, and a generator that is wrong is wrong each time.
    private static func complaints(_ measure: () async throws -> [String]) async throws -> [String] {
        var complaints: [String] = []
        for _ in 0..<3 {
            complaints = try await measure()
            if complaints.isEmpty { break }
        }
        return complaints
    }

    @Test(arguments: [1, 2])
    func `every request of the schedule is sent once, answered and counted`(threads: Int) async throws {
        let server = try await DelayingServer()
        let report = try await LoadRun(Self.plan(server, RateProfile(steady: 1000, seconds: 0.5), threads: threads)).run()
        #expect(report.succeeded == 500)
        #expect(report.open?.scheduled == 500)
        #expect(server.requestCount == 500)
        #expect(report.failures == [:])
        #expect(report.responseTimes.count == 500 && report.serviceTimes.count == 500)
        #expect(report.open?.scheduleLag.count == 500)
        #expect(report.bodyBytes == 2500)
        #expect(report.seconds == 0.5)
        await server.stop()
    }

    @Test func `a ramp begins as many requests as its area has`() async throws {
        let server = try await DelayingServer()
        let report = try await LoadRun(Self.plan(server, RateProfile([.init(seconds: 0.5, from: 0, to: 400), .init(seconds: 0.25, from: 400, to: 400)]))).run()
        #expect(report.succeeded == 200 && server.requestCount == 200)
        await server.stop()
    }

    @Test func `the warm-up's requests are sent and do not count, and the measured schedule is whole`() async throws {
        let server = try await DelayingServer()
        let report = try await LoadRun(
            Self.plan(server, RateProfile(steady: 1000, seconds: 0.3), warmUp: .untilSteady(block: .milliseconds(100), blocksMax: 5))
        ).run()
        #expect(report.succeeded == 300 && report.open?.scheduled == 300)
        #expect(server.requestCount > 300 + 100)
        let warmUp = try #require(report.warmUp)
        #expect(warmUp.isSteady != nil && warmUp.seconds >= 0.2)
        await server.stop()
    }

    /// The server answers nothing for a second, then all at once. A request that began `x` before the thaw takes `x`; all others take
    /// next to nothing.
    @Test func `a server frozen for a second shows in the percentiles as it was`() async throws {
        let (freezes, thaws): (UInt64, UInt64) = (1_000_000_000, 2_000_000_000)
        let frozen: @Sendable (DelayingServer.Request) -> UInt64 = { request in
            (freezes..<thaws).contains(request.elapsed) ? thaws - request.elapsed : 0
        }
        let truth = Histogram()
        for number in 0..<400 {
            let start = UInt64(number) * 10_000_000
            truth.record(nanoseconds: (freezes..<thaws).contains(start) ? thaws - start : 0)
        }
        let complaints = try await Self.complaints {
            let server = try await DelayingServer(delay: frozen)
            let report = try await LoadRun(Self.plan(server, RateProfile(steady: 100, seconds: 4))).run()
            await server.stop()
            #expect(report.succeeded == 400 && server.requestCount == 400)
            return [80.0, 90, 95, 99].compactMap { percentile in
                let expected = Double(truth.snapshot().percentile(percentile))
                let measured = Double(report.responseTimes.percentile(percentile))
                // A twentieth, as promised for the 99th; of the shorter ones, what a timer of the server may be late.
                let isRight = abs(measured - expected) <= (percentile == 99 ? 0.05 * expected : max(0.05 * expected, 30e6))
                return isRight ? nil : "p\(percentile): \(measured / 1e6) ms instead of \(expected / 1e6)"
            }
        }
        #expect(complaints.isEmpty, "\(complaints)")

        // What everybody else measures: five users who wait politely.
        let second = try await DelayingServer(delay: frozen)
        let polite = try await LoadRun(
            LoadPlan(
                workload: try Workload(urls: [try HTTPURL(second.url + "/")]), users: 5, thinkTime: .milliseconds(10), warmUp: .zero,
                duration: .seconds(3))
        ).run()
        await second.stop()
        #expect(polite.responseTimes.percentile(99) < 300_000_000, "a closed loop does not see it")
    }

    /// What a server takes, by the number of the request: always the same; one in ten ten times as much; a Pareto distribution's long tail.
    enum Injected: String, CaseIterable {
        case constant, bimodal, heavyTailed

        func nanoseconds(_ number: Int) -> UInt64 {
            switch self {
            case .constant: return 20_000_000
            case .bimodal: return number % 10 == 7 ? 100_000_000 : 10_000_000
            case .heavyTailed:
                // Quantiles in a scattered order; 5 ms · (1 − u)^(−1/1.5): 5 ms at least, 108 ms at the 99th percentile.
                let share = Double((number * 617) % 1000) / 1000
                var value = 5e6
                // (1 − u)^(−2/3), by a cube root that needs no library: Newton on x³ = (1 − u)^−2.
                let target = 1 / ((1 - share) * (1 - share))
                var root = 1.0
                for _ in 0..<60 { root -= (root * root * root - target) / (3 * root * root) }
                value *= root
                return UInt64(value)
            }
        }
    }

    @Test(arguments: Injected.allCases)
    func `injected latencies are recovered`(injected: Injected) async throws {
        let complaints = try await Self.complaints {
            let server = try await DelayingServer(delay: { injected.nanoseconds($0.number) })
            let report = try await LoadRun(Self.plan(server, RateProfile(steady: 100, seconds: 2), shape: .poisson)).run()
            await server.stop()
            let actual = server.times.snapshot()
            #expect(report.succeeded == server.requestCount && actual.count == UInt64(report.succeeded))
            // The server's own clock says what it really took, for timers are late on a busy machine; between that and what we measured
            // lie the histogram's error twice, the socket, and a turn of each event loop.
            return [25.0, 50, 75, 90].compactMap { percentile in
                let (truth, measured) = (Double(actual.percentile(percentile)), Double(report.serviceTimes.percentile(percentile)))
                let isRight = measured >= truth * 0.984 && measured <= truth * 1.016 + 5e6
                return isRight ? nil : "p\(percentile): \(measured / 1e6) ms, the server says \(truth / 1e6)"
            }
        }
        #expect(complaints.isEmpty, "\(complaints)")
    }

    @Test func `a server slower than the schedule is not caught up with at once, and the wait counts`() async throws {
        // One connection, 20 ms each: 50 requests/s; 100 are asked for.
        let server = try await DelayingServer(delay: { _ in 20_000_000 })
        let report = try await LoadRun(Self.plan(server, RateProfile(steady: 100, seconds: 1), connectionsMax: 1)).run()
        await server.stop()
        #expect(report.succeeded == 100)
        #expect(report.connections == 1)
        #expect((report.open?.delayed ?? 0) > 80)
        #expect(report.responseTimes.max > 900_000_000, "the last began a second late")
        #expect(report.serviceTimes.percentile(50) < 60_000_000)
        #expect(report.limits.contains(.connections), "the server was no slower than it ever was")
    }

    @Test func `what cannot be sent in its time is a failure of its own kind`() async throws {
        let server = try await DelayingServer(delay: { _ in 60_000_000_000 })
        let report = try await LoadRun(
            Self.plan(server, RateProfile(steady: 20, seconds: 0.5), connectionsMax: 1, timeout: .milliseconds(2000))
        ).run()
        await server.stop()
        // The first takes the connection for its whole time; those behind it expire in turn, or take it over and time out.
        #expect(report.failed == 10)
        #expect((report.failures[.timeout] ?? 0) >= 1)
        #expect((report.failures[.timeout] ?? 0) + (report.failures[.unsent] ?? 0) == 10)
    }

    @Test func `a run ends with its last request when that is asked for`() async throws {
        let server = try await DelayingServer()
        let report = try await LoadRun(Self.plan(server, RateProfile(steady: 1000, seconds: 60), requestsMax: 50)).run()
        await server.stop()
        #expect(report.requests == 50 && server.requestCount == 50)
        #expect(report.seconds < 10)
    }

    @Test func `a stopped run says what it has`() async throws {
        let server = try await DelayingServer()
        let stop = LoadStop()
        let report = try await LoadRun(Self.plan(server, RateProfile(steady: 200, seconds: 600)), stop: stop) { _ in stop.set() }.run()
        await server.stop()
        #expect(report.isCutShort && report.succeeded > 10)
        #expect(report.seconds > 0.5 && report.seconds < 60)
        #expect(report.samples.count >= 1)
    }

    @Test func `the schedule goes on when the server is not there`() async throws {
        let server = try await DelayingServer()
        let plan = try Self.plan(server, RateProfile(steady: 200, seconds: 0.5))
        let report = try await LoadRun(plan, onSample: { _ in }).run()
        #expect(report.failures == [:])
        await server.stop()
        await #expect(throws: LoadRun.Unreachable.self) { _ = try await LoadRun(plan).run() }
    }

    @Test func `several URLs are asked for by weight, and counted by class`() async throws {
        let server = try await DelayingServer()
        let workload = try Workload([
            RequestSpecification(try HTTPURL(server.url + "/a/1"), weight: 3), RequestSpecification(try HTTPURL(server.url + "/b"), method: "POST", body: [65]),
        ])
        let report = try await LoadRun(LoadPlan(workload: workload, open: .init(.init(steady: 400, seconds: 0.5)), warmUp: .fixed(.zero))).run()
        await server.stop()
        #expect(report.classes.map(\.name) == ["/a/*", "/b"])
        #expect(report.classes.map { Int($0.responseTimes.count) } == [150, 50])
        #expect(server.texts.count { $0.hasPrefix("POST /b ") && $0.hasSuffix("\r\n\r\nA") } == 50)
    }

    @Test func `cookies come back on the connection that was given them, when they are kept`() async throws {
        for keeps in [true, false] {
            let server = try await DelayingServer(answer: { _ in "HTTP/1.1 200 OK\r\nSet-Cookie: id=7; Path=/\r\nContent-Length: 0\r\n\r\n" })
            let workload = try Workload([RequestSpecification(try HTTPURL(server.url + "/"))], keepsCookies: keeps)
            _ = try await LoadRun(LoadPlan(workload: workload, users: 1, warmUp: .zero, duration: .seconds(60), requestsMax: 5)).run()
            await server.stop()
            #expect(server.texts.count { $0.contains("\r\nCookie: id=7\r\n") } == (keeps ? 4 : 0))
        }
    }

    @Test func `redirections are followed within the origin when that is asked for, and are one request`() async throws {
        let answer: @Sendable (DelayingServer.Request) -> String = { request in
            switch request.target {
            case "/": "HTTP/1.1 302 Found\r\nLocation: next\r\nContent-Length: 2\r\n\r\nab"
            case "/next": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
            case "/away": "HTTP/1.1 301 Moved Permanently\r\nLocation: http://example.com/\r\nContent-Length: 0\r\n\r\n"
            default: "HTTP/1.1 307 Temporary Redirect\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n"
            }
        }
        for (path, follows, failures, requests) in [
            ("/", false, [:], 1), ("/", true, [:], 2), ("/away", true, [.redirect: 1], 1), ("/away", false, [:], 1),
            ("/loop", true, [.redirect: 1], 1 + LoadClient.redirectsMax),
        ] as [(String, Bool, [FailureKind: Int], Int)] {
            let server = try await DelayingServer(answer: answer)
            let workload = try Workload([RequestSpecification(try HTTPURL(server.url + path))], followsRedirects: follows)
            let report = try await LoadRun(LoadPlan(workload: workload, users: 1, warmUp: .zero, duration: .seconds(60), requestsMax: 1)).run()
            await server.stop()
            #expect(report.requests == 1 && report.failures == failures, "\(path) \(follows)")
            #expect(server.requestCount == requests, "\(path) \(follows)")
            if path == "/", follows { #expect(report.bodyBytes == 7) }
        }
    }

    @Test func `a closed loop's users think between requests when they are told to`() async throws {
        let server = try await DelayingServer()
        let workload = try Workload(urls: [try HTTPURL(server.url + "/")])
        let report = try await LoadRun(
            LoadPlan(workload: workload, users: 2, thinkTime: .milliseconds(100), warmUp: .zero, duration: .milliseconds(950))
        ).run()
        await server.stop()
        #expect(report.succeeded <= 20 && report.succeeded >= 8)
        #expect(report.open == nil)
    }
}
