import NIOCore
import NIOPosix
import Telemetry

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Carries out a ``LoadPlan``, on event loops of its own.
public struct LoadRun: Sendable {
    /// The origin could not be reached at all, before the first request. What fails later is counted, not thrown.
    public struct Unreachable: Error, CustomStringConvertible {
        public let description: String
    }

    private let plan: LoadPlan

    /// - Precondition: `users` and `threads` are at least 1.
    public init(_ plan: LoadPlan) {
        precondition(plan.users > 0 && plan.threads > 0, "a run without users or threads")
        self.plan = plan
    }

    /// Sends requests until the plan's time is over, and waits for the last responses.
    ///
    /// It ends, at the latest, one ``LoadPlan/timeout`` after the plan's time, whatever the server does. A cancelled task ends
    /// it within a tenth of a second.
    /// - Throws: ``Unreachable``; `CancellationError`.
    public func run() async throws -> LoadReport {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: min(plan.threads, plan.users))
        do {
            let report = try await run(on: group)
            try await group.shutdownGracefully()
            return report
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    private func run(on group: MultiThreadedEventLoopGroup) async throws -> LoadReport {
        let address = try await lookUp(on: group)
        let window = LoadWindow(from: MonotonicClock.nanoseconds(), warmUp: plan.warmUp, duration: plan.duration)
        let shared = LoadWorker.Shared(window: window, requestsMax: plan.requestsMax)
        let loops = Array(group.makeIterator())
        let tallies = loops.enumerated().map { index, loop in
            let plan = self.plan
            return loop.flatSubmit {
                let worker = LoadWorker(plan: plan, address: address, shared: shared, eventLoop: loop)
                return worker.run(users: Array(stride(from: index, to: plan.users, by: loops.count)))
            }
        }
        let cpuAtStart = loops[0].scheduleTask(deadline: .uptimeNanoseconds(window.measuredFrom)) {
            ProcessClock.nanoseconds()
        }
        let all = try await withTaskCancellationHandler {
            try await EventLoopFuture.whenAllSucceed(tallies, on: loops[0]).get()
        } onCancel: {
            shared.stop()
        }
        try Task.checkCancellation()
        let cpuNanoseconds = ProcessClock.nanoseconds() - (try await cpuAtStart.futureResult.get())
        return report(all, window: window, isSpent: shared.isSpent, cpuNanoseconds: cpuNanoseconds)
    }

    private func report(_ tallies: [LoadWorker.Tally], window: LoadWindow, isSpent: Bool, cpuNanoseconds: Int64) -> LoadReport {
        var report = LoadReport(users: plan.users)
        for tally in tallies {
            report.succeeded += tally.succeeded
            report.failures.merge(tally.failures, uniquingKeysWith: +)
            report.bodyBytes += tally.bodyBytes
            report.responseTimes.merge(tally.responseTimes)
        }
        let lastEnd = tallies.map(\.lastEnd).max() ?? 0
        let end = isSpent && lastEnd > window.measuredFrom ? lastEnd : window.end
        report.seconds = Double(end - window.measuredFrom) / 1e9
        report.generatorCPUSeconds = Double(cpuNanoseconds) / 1e9
        report.generatorSeconds = Double(MonotonicClock.nanoseconds() - window.measuredFrom) / 1e9
        return report
    }

    /// Finds the one address that all users connect to, by connecting to it: a name may have several, of which only one
    /// answers, and no request should wait for a look-up.
    private func lookUp(on group: MultiThreadedEventLoopGroup) async throws -> SocketAddress {
        let timeout = TimeAmount.nanoseconds(Int64(clamping: plan.timeout.nanosecondsClamped))
        let bootstrap = ClientBootstrap(group: group).connectTimeout(timeout)
        do {
            let channel =
                switch plan.endpoint {
                case .tcp(let host, let port): try await bootstrap.connect(host: host, port: port).get()
                case .unix(let path): try await bootstrap.connect(unixDomainSocketPath: path).get()
                }
            let address = channel.remoteAddress
            try? await channel.close()
            guard let address else { throw ChannelError.unknownLocalAddress }
            return address
        } catch {
            try Task.checkCancellation()
            throw Unreachable(description: "cannot connect to \(plan.endpoint): \(Self.reason(error))")
        }
    }

    private static func reason(_ error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            if let last = error.connectionErrors.last { return reason(last.error) }
            return "the name \(error.host) is not known"
        case let error as IOError: return String(cString: strerror(error.errnoCode))
        case ChannelError.connectTimeout: return "no answer in time"
        default: return "\(error)"
        }
    }

    /// Connections read once per tick: with one request at a time a second read mostly finds nothing.
    static func bootstrap(_ loop: any EventLoop, timeout: TimeAmount, to address: SocketAddress) -> ClientBootstrap {
        let bootstrap = ClientBootstrap(group: loop)
            .connectTimeout(timeout)
            .channelOption(.maxMessagesPerRead, value: 1)
            // The buffer is used again for each read, so that its size costs nothing; a page of 39 KB fits one read.
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 65536))
        if case .unixDomainSocket = address { return bootstrap }
        return bootstrap.channelOption(.tcpOption(.tcp_nodelay), value: 1)
    }
}
