import Glibc
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import LoadGenerator

/// Runs against a server that does what a test says, with the counts of both sides compared.
@Suite struct LoadRunTests {
    /// A run without warm-up that ends with its last request. The time is a bound for a test that goes wrong.
    private static func run(
        _ server: PlannedServer, users: Int = 2, requests: Int = 20, timeout: Duration = .seconds(10), keepsAlive: Bool = true,
        expecting expectation: ResponseExpectation = .init()
    ) async throws -> LoadReport {
        let workload = try Workload(
            urls: [try HTTPURL("http://\(server.host):\(server.port)/")], keepsAlive: keepsAlive, expecting: expectation)
        let plan = LoadPlan(
            workload: workload, users: users, warmUp: .zero, duration: .seconds(60), requestsMax: requests, timeout: timeout)
        return try await LoadRun(plan).run()
    }

    /// Of servers that go away: on the usual address their port would soon be another test's.
    private static let lonelyHost = "127.7.0.1"
    private static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

    @Test func `as many requests are sent, answered and counted as were asked for, on one connection per user`() async throws {
        let server = try await PlannedServer { _ in .send(Self.ok) }
        let report = try await Self.run(server, users: 3, requests: 100, expecting: .init(body: .bytes(Array("hello".utf8))))
        #expect(report.users == 3)
        #expect(report.succeeded == 100)
        #expect(report.failures == [:])
        #expect(report.bodyBytes == 500)
        #expect(report.responseTimes.count == 100)
        #expect(report.seconds > 0 && report.seconds < 60)
        #expect(report.generatorCPUShare > 0)
        #expect(server.requestCount == 100)
        // One more connection finds the address.
        #expect(server.connectionCount == 4)
        await server.stop()
    }

    @Test func `users are spread over event loops, and the budget is shared`() async throws {
        let server = try await PlannedServer { _ in .send(Self.ok) }
        let workload = try Workload(urls: [try HTTPURL("http://localhost:\(server.port)/")])
        let report = try await LoadRun(
            LoadPlan(workload: workload, users: 5, warmUp: .zero, duration: .seconds(60), requestsMax: 200, threads: 2)
        ).run()
        #expect(report.succeeded == 200)
        #expect(server.requestCount == 200)
        await server.stop()
    }

    @Test func `requests of the warm-up are sent, but do not count`() async throws {
        let server = try await PlannedServer { _ in .send(Self.ok) }
        let workload = try Workload(urls: [try HTTPURL("http://127.0.0.1:\(server.port)/")])
        let report = try await LoadRun(
            LoadPlan(workload: workload, users: 1, warmUp: .milliseconds(100), duration: .seconds(60), requestsMax: 10)
        ).run()
        #expect(report.requests == 10)
        #expect(server.requestCount > 10)
        await server.stop()
    }

    @Test func `several URLs are asked for in rotation`() async throws {
        let server = try await PlannedServer { _ in .send(Self.ok) }
        let urls = try ["a", "b", "c"].map { try HTTPURL("http://127.0.0.1:\(server.port)/\($0)") }
        let plan = LoadPlan(workload: try Workload(urls: urls), users: 3, warmUp: .zero, duration: .seconds(60), requestsMax: 30)
        _ = try await LoadRun(plan).run()
        let targets = server.requests.map { $0.split(separator: " ")[1] }
        #expect(Set(targets) == ["/a", "/b", "/c"])
        #expect(targets.count == 30)
        await server.stop()
    }

    @Test func `without keep-alive each request has its connection`() async throws {
        let server = try await PlannedServer { _ in .send(Self.ok) }
        let report = try await Self.run(server, requests: 10, keepsAlive: false)
        #expect(report.succeeded == 10)
        #expect(server.connectionCount == 11)
        #expect(server.requests.allSatisfy { $0.contains("\r\nConnection: close\r\n") })
        await server.stop()
    }

    @Test func `a connection that the server closes is made anew, without a failure`() async throws {
        let server = try await PlannedServer { number in
            number % 5 == 4
                ? .sendAndClose("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello") : .send(Self.ok)
        }
        let report = try await Self.run(server, users: 1, requests: 20)
        #expect(report.succeeded == 20)
        #expect(report.failures == [:])
        #expect(server.connectionCount == 1 + 4)
        await server.stop()
    }

    @Test func `a chunked and a close-delimited body are complete`() async throws {
        let server = try await PlannedServer { number in
            number % 2 == 0
                ? .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")
                : .sendAndClose("HTTP/1.1 200 OK\r\n\r\nhello")
        }
        let report = try await Self.run(server, requests: 20, expecting: .init(body: .length(5)))
        #expect(report.succeeded == 20)
        #expect(report.bodyBytes == 100)
        await server.stop()
    }

    /// What every second request meets, and what it is called.
    private static let faults: [(PlannedServer.Answer, FailureKind)] = [
        (.sendAndClose("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"), .truncated),
        (.sendAndClose("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n"), .truncated),
        (.sendAndClose(""), .closed),
        (.reset, .reset),
        (.send("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 5\r\n\r\nhello"), .status),
        (.send("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), .status),
        (.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhallo"), .content),
        (.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!"), .malformed),
        (.send("nonsense\r\n\r\n"), .malformed),
        (.hang, .timeout),
    ]

    @Test(arguments: faults.indices)
    func `a failure is counted once, by its kind, and the user goes on`(index: Int) async throws {
        let (answer, kind) = Self.faults[index]
        let server = try await PlannedServer { number in number % 2 == 0 ? .send(Self.ok) : answer }
        // The time that a hanging server takes must be longer than a busy machine needs for an answer, and passes once per fault.
        let (faults, timeout): (Int, Duration) = kind == .timeout ? (2, .seconds(2)) : (5, .seconds(30))
        let report = try await Self.run(
            server, users: 1, requests: 2 * faults, timeout: timeout, expecting: .init(body: .bytes(Array("hello".utf8))))
        #expect(report.failures == [kind: faults])
        #expect(report.succeeded == faults)
        #expect(report.responseTimes.count == UInt64(faults))
        #expect(server.requestCount == 2 * faults)
        await server.stop()
    }

    @Test func `a run against a server that hangs ends with its last request's time`() async throws {
        let server = try await PlannedServer { _ in .hang }
        let workload = try Workload(urls: [try HTTPURL("http://127.0.0.1:\(server.port)/")])
        let report = try await LoadRun(
            LoadPlan(
                workload: workload, users: 4, warmUp: .zero, duration: .milliseconds(50), timeout: .milliseconds(200))
        ).run()
        #expect(report.failures == [.timeout: 4])
        #expect(report.succeeded == 0)
        #expect(report.seconds == 0.05)
        await server.stop()
    }

    @Test func `a server that hangs from the warm-up on is not let off`() async throws {
        let server = try await PlannedServer { _ in .hang }
        let workload = try Workload(urls: [try HTTPURL("http://127.0.0.1:\(server.port)/")])
        let report = try await LoadRun(
            LoadPlan(
                workload: workload, users: 4, warmUp: .milliseconds(20), duration: .milliseconds(20), timeout: .milliseconds(200))
        ).run()
        #expect(report.failures == [.timeout: 4])
        await server.stop()
    }

    @Test func `a server that goes away during the run costs connect failures, at a bounded rate`() async throws {
        let server = try await PlannedServer(host: Self.lonelyHost) { _ in .stopListening }
        let report = try await Self.run(server, users: 1, requests: 4)
        #expect(report.failures == [.closed: 1, .connect: 3])
        await server.stop()
    }

    @Test func `an origin that cannot be reached at all is an error, with its reason`() async throws {
        let server = try await PlannedServer(host: Self.lonelyHost) { _ in .hang }
        await server.stop()
        let error = await #expect(throws: LoadRun.Unreachable.self) { _ = try await Self.run(server) }
        #expect(error?.description.hasPrefix("cannot connect to \(Self.lonelyHost):\(server.port): ") == true)
    }

    @Test func `a cancelled run ends soon, and says so`() async throws {
        let server = try await PlannedServer { _ in .hang }
        let task = Task { try await Self.run(server, users: 3) }
        await server.waitForRequests(3)
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        await server.stop()
    }
}

/// A server that answers its n-th request as a test plans it.
final class PlannedServer: Sendable {
    enum Answer: Sendable {
        case send(String)
        case sendAndClose(String)
        case reset
        case hang
        /// Closes the listening socket and, when that is done, the connection.
        case stopListening
    }

    private struct Seen {
        var requests: [String] = []
        var connectionCount = 0
        var listener: (any Channel)?
        var waiter: (count: Int, continuation: CheckedContinuation<Void, Never>)?
    }

    let host: String
    let port: Int
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let seen: Mutex<Seen>

    init(host: String = "127.0.0.1", _ plan: @escaping @Sendable (Int) -> Answer) async throws {
        self.host = host
        seen = Mutex(Seen())
        let box = Box()
        let listener = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 256)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let server = box.server.withLock({ $0 }) else { return }
                    server.seen.withLock { $0.connectionCount += 1 }
                    try channel.pipeline.syncOperations.addHandler(PlannedHandler(server: server, plan: plan))
                }
            }
            .bind(host: host, port: 0).get()
        port = listener.localAddress?.port ?? 0
        seen.withLock { $0.listener = listener }
        box.server.withLock { $0 = self }
    }

    var requests: [String] { seen.withLock { $0.requests } }
    var requestCount: Int { seen.withLock { $0.requests.count } }
    var connectionCount: Int { seen.withLock { $0.connectionCount } }

    func stop() async {
        try? await group.shutdownGracefully()
    }

    func waitForRequests(_ count: Int) async {
        await withCheckedContinuation { continuation in
            let isThere = seen.withLock { seen in
                if seen.requests.count < count { seen.waiter = (count, continuation) }
                return seen.requests.count >= count
            }
            if isThere { continuation.resume() }
        }
    }

    fileprivate func requestReceived(_ request: String) -> Int {
        let (number, waiter) = seen.withLock { seen in
            seen.requests.append(request)
            let isDue = seen.waiter.map { seen.requests.count >= $0.count } ?? false
            let waiter = isDue ? seen.waiter?.continuation : nil
            if isDue { seen.waiter = nil }
            return (seen.requests.count - 1, waiter)
        }
        waiter?.resume()
        return number
    }

    fileprivate func stopListening() -> EventLoopFuture<Void>? {
        seen.withLock { $0.listener }?.close()
    }

    private final class Box: Sendable {
        let server = Mutex<PlannedServer?>(nil)
    }
}

private final class PlannedHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let server: PlannedServer
    private let plan: @Sendable (Int) -> PlannedServer.Answer

    init(server: PlannedServer, plan: @escaping @Sendable (Int) -> PlannedServer.Answer) {
        self.server = server
        self.plan = plan
    }

    /// Each request comes in one piece: the generator writes it with one system call, and waits for the answer.
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let request = String(buffer: unwrapInboundIn(data))
        precondition(request.hasSuffix("\r\n\r\n"))
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        switch plan(server.requestReceived(request)) {
        case .send(let text): context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
        case .sendAndClose(let text):
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text))).whenComplete { _ in bound.value.close(promise: nil) }
        case .reset:
            // A close without lingering sends RST.
            let linger = linger(l_onoff: 1, l_linger: 0)
            let channel = context.channel as? any SocketOptionProvider
            channel?.setSoLinger(linger).whenComplete { _ in bound.value.close(promise: nil) }
        case .hang: break
        case .stopListening: server.stopListening()?.whenComplete { _ in bound.value.close(promise: nil) }
        }
    }
}
