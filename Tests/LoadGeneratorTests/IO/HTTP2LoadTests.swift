import HTTP2Wire
import Synchronization
import Telemetry
import TestSupport
import Testing

@testable import LoadGenerator

/// Load over HTTP/2, at a server that says frame by frame what a test tells it to.
@Suite(.serialized) struct HTTP2LoadTests {
    private typealias F = HTTP2Frames

    /// - Parameter requests: that are measured, without a warm-up.
    private func plan(
        _ origin: HTTP2Origin, users: Int, streams: Int, requests: Int, timeout: Duration = .seconds(60), paths: [String] = ["/"],
        body: [UInt8] = [], keepsAlive: Bool = true, keepsCookies: Bool = false, followsRedirects: Bool = false,
        expecting expectation: ResponseExpectation = .init()
    ) throws -> LoadPlan {
        let specifications = try paths.map {
            RequestSpecification(try HTTPURL("http://127.0.0.1:\(origin.port)\($0)"), method: body.isEmpty ? "GET" : "POST", body: body)
        }
        let workload = try Workload(
            specifications, keepsAlive: keepsAlive, keepsCookies: keepsCookies, followsRedirects: followsRedirects, http2Streams: streams,
            expecting: expectation)
        return LoadPlan(workload: workload, users: users, warmUp: .zero, duration: .seconds(120), requestsMax: requests, timeout: timeout)
    }

    private func hello() throws -> HTTP2Origin {
        try HTTP2Origin { event, link in
            if case .headers(let stream, _, _) = event { link.send(F.answer(stream, "hello")) }
        }
    }

    @Test(arguments: [(20, 10, 2), (20, 100, 1), (3, 1, 3)])
    func `users share connections, so many on each, and every request is the server's, too`(users: Int, streams: Int, connections: Int) async throws {
        let origin = try hello()
        let report = try await LoadRun(plan(origin, users: users, streams: streams, requests: 300, expecting: .init(body: .length(5)))).run()
        #expect(report.succeeded == 300 && report.failures == [:] && report.bodyBytes == 1500 && report.streams == streams)
        #expect(report.connections == connections && origin.requests.count == 300)
        let fields = try #require(origin.requests.first)
        #expect(fields.map(\.0) == [":method", ":scheme", ":authority", ":path", "user-agent", "accept"])
        #expect(fields[2].1 == "127.0.0.1:\(origin.port)" && fields[3].1 == "/")
    }

    @Test func `an open loop sends by its schedule, over one connection while one is enough`() async throws {
        let origin = try hello()
        let workload = try Workload([RequestSpecification(try HTTPURL("http://127.0.0.1:\(origin.port)/"))], http2Streams: 100)
        let plan = LoadPlan(workload: workload, open: .init(.init(steady: 20, seconds: 1)), warmUp: .fixed(.zero), timeout: .seconds(60))
        let report = try await LoadRun(plan).run()
        #expect(report.succeeded == 20 && report.failures == [:] && report.open?.scheduled == 20 && origin.requests.count == 20)
        #expect(report.connections == 1)
    }

    /// Answers in pairs: to the first of two when the second is there.
    private final class Pairs: Sendable {
        let state = Mutex<(held: UInt32?, atOnce: Int, most: Int)>((nil, 0, 0))

        func received(_ stream: UInt32) -> [UInt32] {
            state.withLock { state in
                state.atOnce += 1
                state.most = max(state.most, state.atOnce)
                guard let held = state.held else {
                    state.held = stream
                    return []
                }
                state.held = nil
                state.atOnce -= 2
                return [held, stream]
            }
        }
    }

    @Test func `the server's limit holds, who is over it waits, and the wait counts`() async throws {
        let pairs = Pairs()
        let origin = try HTTP2Origin(settings: [(3, 2)]) { event, link in
            guard case .headers(let stream, _, _) = event else { return }
            for stream in pairs.received(stream) { link.send(F.answer(stream, "hello")) }
        }
        let report = try await LoadRun(plan(origin, users: 8, streams: 8, requests: 80)).run()
        #expect(report.succeeded == 80 && report.failures == [:] && report.connections == 1)
        #expect(pairs.state.withLock { $0.most } == 2)
        // Each waits for three pairs before it.
        #expect(report.responseTimes.mean > 1.5 * report.serviceTimes.mean, "\(report.responseTimes.mean) \(report.serviceTimes.mean)")
    }

    @Test func `what waits until its time is up was never sent`() async throws {
        let origin = try HTTP2Origin(settings: [(3, 1)]) { _, _ in }
        let report = try await LoadRun(plan(origin, users: 2, streams: 2, requests: 2, timeout: .seconds(10))).run()
        #expect(report.failures[.timeout] == 1 && report.failures[.unsent] == 1, "\(report.failures)")
        // The place of the one that was given up is free, and the server is told: the run is over before anything takes it.
        #expect(origin.frames(3).count <= 1)
    }

    @Test func `who waits for a server that has said nothing goes to another connection with the first whose time is up`() async throws {
        // Two connections look whether there is a server and how fast it is; the third is silent.
        let origin = try HTTP2Origin(settings: nil) { event, link in
            switch event {
            case .other(let frame) where frame.type == 4 && frame.flags & 1 == 0 && link.number != 2: link.send(F.settings())
            case .headers(let stream, _, _): link.send(F.answer(stream, "hello"))
            default: break
            }
        }
        let workload = try Workload([RequestSpecification(try HTTPURL("http://127.0.0.1:\(origin.port)/"))], http2Streams: 100)
        // Five seconds apart.
        let plan = LoadPlan(workload: workload, open: .init(.init(steady: 0.2, seconds: 10)), warmUp: .fixed(.zero), timeout: .seconds(10))
        let report = try await LoadRun(plan).run()
        #expect(report.failures == [.timeout: 1] && report.succeeded == 1 && report.connections == 2, "\(report.failures) \(report.succeeded) \(report.connections)")
    }

    @Test func `a request that is given up is reset, and its place taken`() async throws {
        let origin = try HTTP2Origin(settings: [(3, 1)]) { event, link in
            if case .headers(let stream, _, _) = event, stream > 1 { link.send(F.answer(stream, "hello")) }
        }
        let report = try await LoadRun(plan(origin, users: 1, streams: 1, requests: 4, timeout: .seconds(10))).run()
        #expect(report.failures == [.timeout: 1] && report.succeeded == 3 && report.connections == 1)
        #expect(origin.frames(3).map { $0.number(at: 0) } == [HTTP2ErrorCode.cancel.rawValue])
    }

    @Test func `requests that GOAWAY says nobody looked at are asked on another connection, and their time runs on`() async throws {
        let counts = Mutex<[Int: Int]>([:])
        let origin = try HTTP2Origin { event, link in
            guard case .headers(let stream, _, _) = event else { return }
            let count = counts.withLock { counts in
                counts[link.number, default: 0] += 1
                return counts[link.number] ?? 0
            }
            if count <= 5 { link.send(F.answer(stream, "hello")) }
            if count == 5 { link.send(F.goAway(last: stream)) }
        }
        let report = try await LoadRun(plan(origin, users: 4, streams: 4, requests: 40)).run()
        #expect(report.succeeded == 40 && report.failures == [:], "\(report.failures)")
        #expect(report.connections == 8)
    }

    @Test func `a server that leaves every connection before it answers is named`() async throws {
        let origin = try HTTP2Origin { event, link in
            if case .headers = event { link.send(F.goAway(last: 0)) }
        }
        let report = try await LoadRun(plan(origin, users: 1, streams: 1, requests: 3)).run()
        #expect(report.failures == [.closed: 3] && report.connections == 3 * (1 + LoadClient.resendsMax))
    }

    @Test(arguments: [
        ("a stream that is reset", FailureKind.reset), ("refused", .reset), ("too short", .malformed), ("a wrong field", .malformed),
        ("a torn frame", .malformed), ("500", .status), ("closed", .closed), ("cut", .truncated), ("silent", .timeout), ("another text", .content),
    ])
    func `what goes wrong has the name that it has over HTTP-1`(what: String, kind: FailureKind) async throws {
        let origin = try HTTP2Origin { event, link in
            guard case .headers(let stream, _, _) = event else { return }
            switch what {
            case "a stream that is reset": link.send(F.response(stream), F.reset(stream, 2))
            case "refused": link.send(F.reset(stream, 7))
            case "too short": link.send(F.answer(stream, "hello", [("content-length", "50")]))
            case "a wrong field": link.send(F.headers(stream, [(":status", "2oo")]))
            case "a torn frame": link.send(F.response(stream), F.frame(9, flags: 4, stream: stream, [1]))
            case "500": link.send(F.answer(stream, "hello", status: 500))
            case "closed": link.close()
            case "cut":
                link.send(F.response(stream), F.data(stream, [1, 2, 3]))
                link.close()
            case "another text": link.send(F.answer(stream, "good bye"))
            default: break
            }
        }
        // Both wait for nothing at the same time.
        let users = kind == .timeout ? 2 : 1
        let plan = try plan(
            origin, users: users, streams: users, requests: 2, timeout: kind == .timeout ? .seconds(10) : .seconds(60),
            expecting: .init(body: .text(Array("hello".utf8))))
        let report = try await LoadRun(plan).run()
        #expect(report.failures == [kind: 2] && report.succeeded == 0, "\(what): \(report.failures)")
    }

    @Test func `who does not speak HTTP-2 is told so before the load`() async throws {
        let server = try await DelayingServer()
        let workload = try Workload([RequestSpecification(try HTTPURL(server.url + "/"))], http2Streams: 10)
        let unreachable = await #expect(throws: LoadRun.Unreachable.self) {
            _ = try await LoadRun(LoadPlan(workload: workload, users: 1)).run()
        }
        #expect(unreachable?.description.contains("does not speak HTTP/2") == true)
        await server.stop()
    }

    @Test func `bodies go both ways, further than the windows are wide at first`() async throws {
        let piece = [UInt8](repeating: 0x61, count: 16_000)
        let origin = try HTTP2Origin { event, link in
            guard case .data(let stream, _, true) = event else { return }
            // 160,000 bytes: within the stream's window; ten of them pass the connection's first one.
            link.send(F.response(stream))
            for number in 0..<10 { link.send(F.data(stream, piece, endsStream: number == 9)) }
        }
        let body = [UInt8](repeating: 0x62, count: 200_000)
        let report = try await LoadRun(plan(origin, users: 2, streams: 2, requests: 30, body: body, expecting: .init(body: .length(160_000)))).run()
        #expect(report.succeeded == 30 && report.failures == [:], "\(report.failures)")
        #expect(origin.bodyBytes == 30 * body.count && report.bodyBytes == 30 * 160_000)
        let opened = origin.frames(8).filter { $0.stream == 0 }.reduce(0) { $0 + Int($1.number(at: 0)) }
        // What was received is given back, a quarter of the window at a time.
        #expect(opened + 65_535 >= 30 * 160_000, "\(opened)")
    }

    @Test func `a connection is one visitor: its cookies go with all that share it`() async throws {
        let origin = try HTTP2Origin { event, link in
            guard case .headers(let stream, _, _) = event else { return }
            link.send(F.answer(stream, "hello", [("set-cookie", "visitor=\(link.number); Path=/")]))
        }
        _ = try await LoadRun(plan(origin, users: 1, streams: 5, requests: 3, keepsCookies: true)).run()
        let cookies = origin.requests.map { $0.first { $0.0 == "cookie" }?.1 }
        #expect(cookies.count == 3 && cookies[0] == nil && cookies[1]?.hasPrefix("visitor=") == true && cookies[2] == cookies[1])
    }

    @Test func `redirections are followed on the same connection, as one request`() async throws {
        let origin = try HTTP2Origin { event, link in
            guard case .headers(let stream, let fields, _) = event else { return }
            let isFirst = fields.contains { $0 == (":path", "/old") }
            link.send(isFirst ? F.answer(stream, "", status: 302, [("location", "/new")]) : F.answer(stream, "hello"))
        }
        let report = try await LoadRun(plan(origin, users: 1, streams: 1, requests: 5, paths: ["/old"], followsRedirects: true, expecting: .init(status: .exactly(200), body: .length(5)))).run()
        #expect(report.succeeded == 5 && origin.requests.count == 10 && report.connections == 1)
    }

    @Test func `without keep-alive each request has a connection`() async throws {
        let origin = try hello()
        let report = try await LoadRun(plan(origin, users: 2, streams: 1, requests: 10, keepsAlive: false)).run()
        #expect(report.succeeded == 10 && report.connections == 10)
    }
}
