import NIOCore
import NIOPosix
import Synchronization
import Telemetry

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Ends a run before its time, from anywhere; what was measured until then is kept.
public final class LoadStop: Sendable {
    private let shared = Mutex<(worker: LoadWorker.Shared?, isSet: Bool)>((nil, false))

    public init() {}

    public var isSet: Bool { shared.withLock { $0.isSet } }

    public func set() {
        shared.withLock { state in
            state.isSet = true
            state.worker?.stop()
        }
    }

    func attach(_ worker: LoadWorker.Shared) {
        shared.withLock { state in
            state.worker = worker
            if state.isSet { worker.stop() }
        }
    }
}

/// Carries out a ``LoadPlan``, on event loops of its own.
public struct LoadRun: Sendable {
    /// The origin could not be reached at all, or refused a login, a command or a statement, before the first request. What fails later is counted, not thrown.
    public struct Unreachable: Error, CustomStringConvertible {
        public let description: String
    }

    /// How long before its beginning the measured time is announced to the event loops.
    private static let lead: UInt64 = 20_000_000

    private let plan: LoadPlan
    private let stop: LoadStop
    private let onSample: @Sendable (LoadSample) -> Void

    /// - Parameters:
    ///   - stop: ends the run within a tenth of a second.
    ///   - onSample: is told once a second how it goes; on no event loop.
    /// - Precondition: connections and threads are at least 1.
    public init(_ plan: LoadPlan, stop: LoadStop = LoadStop(), onSample: @escaping @Sendable (LoadSample) -> Void = { _ in }) {
        precondition(plan.connectionsMax > 0 && plan.threads > 0, "a run without connections or threads")
        self.plan = plan
        self.stop = stop
        self.onSample = onSample
    }

    /// Sends requests until the plan's time is over, and waits for the last responses.
    ///
    /// It ends, at the latest, one ``LoadPlan/timeout`` after the plan's time, whatever the server does. A cancelled task ends
    /// it within a tenth of a second.
    /// - Throws: ``Unreachable``; `CancellationError`.
    public func run() async throws -> LoadReport {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: min(plan.threads, plan.connectionsMax))
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
        switch plan.workload.speech {
        case .http: break
        case .http2: try await Rehearsal.greet(address, tls: plan.tls, timeout: plan.timeout, on: group.next())
        case .keyspace, .database: try await Rehearsal(plan.workload, at: address, timeout: plan.timeout).run(on: group)
        }
        let start = MonotonicClock.nanoseconds()
        let window =
            switch plan.warmUp {
            case .fixed(let warmUp): LoadWindow(from: start, warmUp: warmUp, duration: plan.duration)
            case .untilSteady: LoadWindow.notBegun
            }
        let shared = LoadWorker.Shared(window: window, requestsMax: plan.requestsMax)
        stop.attach(shared)
        let loops = Array(group.makeIterator())
        let counts = loops.map { _ in LoadCounts(classCount: plan.workload.classNames.count) }
        let course = LoadCourse(start: start, counts: counts, shared: shared, eventLoop: loops[0])
        if window != .notBegun { course.measuredTimeBegins(window) }
        let ends = zip(loops, counts).enumerated().map { index, worker in
            let (loop, counts) = worker
            let plan = self.plan
            let share = (index: index, count: loops.count)
            return loop.flatSubmit {
                LoadWorker(plan: plan, address: address, shared: shared, counts: counts, share: share, eventLoop: loop).run()
            }
        }
        let (samples, warmUp) = try await withTaskCancellationHandler {
            async let observed = observe(course)
            do {
                try await EventLoopFuture.andAllSucceed(ends, on: loops[0]).get()
            } catch {
                course.end()
                throw error
            }
            course.end()
            return await observed
        } onCancel: {
            shared.stop()
        }
        try Task.checkCancellation()
        return report(counts, shared: shared, course: course, samples: samples, warmUp: warmUp)
    }

    /// Takes a sample for each block of the warm-up, then one a second, and ends a warm-up that has become steady.
    private func observe(_ course: LoadCourse) async -> ([LoadSample], LoadReport.WarmUpEnd?) {
        var samples: [LoadSample] = []
        var end: LoadReport.WarmUpEnd?
        var block = UInt64(1_000_000_000)
        var blocks: WarmUpBlocks?
        switch plan.warmUp {
        case .fixed(let duration): end = .init(seconds: Double(duration.nanosecondsClamped) / 1e9, isSteady: nil)
        case .untilSteady(let length, let blocksMax):
            block = max(length.nanosecondsClamped, 10_000_000)
            blocks = WarmUpBlocks(blocksMax: blocksMax)
        }
        while await course.wait(nanoseconds: block) {
            let (sample, median) = course.sample()
            samples.append(sample)
            onSample(sample)
            guard case .begin(let isSteady, _) = blocks?.blockEnded(median: median) else { continue }
            blocks = nil
            block = 1_000_000_000
            let window = LoadWindow(from: MonotonicClock.nanoseconds() + Self.lead, warmUp: .zero, duration: plan.duration)
            end = .init(seconds: Double(window.measuredFrom - course.start) / 1e9, isSteady: isSteady)
            course.measuredTimeBegins(window)
        }
        return (samples, end)
    }

    private func report(
        _ counts: [LoadCounts], shared: LoadWorker.Shared, course: LoadCourse, samples: [LoadSample], warmUp: LoadReport.WarmUpEnd?
    ) -> LoadReport {
        var report = LoadReport(users: plan.connectionsMax)
        let now = MonotonicClock.nanoseconds()
        let window = shared.window
        if case .open(let open) = plan.arrivals {
            report.open = .init(
                scheduledRate: open.profile.arrivals / open.profile.seconds, shape: open.shape, seed: open.seed,
                connectionsMax: open.connectionsMax)
        }
        for counts in counts { report.add(counts, classNames: plan.workload.classNames) }
        report.threads = counts.count
        if case .http2(let streams) = plan.workload.speech { report.streams = streams }
        report.samples = samples
        report.warmUp = warmUp
        report.isCutShort = shared.isStopped
        guard now > window.measuredFrom else { return report }
        let lastEnd = shared.lastEnd.load(ordering: .relaxed)
        let isSpent = shared.isSpent && lastEnd > window.measuredFrom
        let end = isSpent ? lastEnd : shared.isStopped ? min(now, window.end) : window.end
        report.seconds = Double(end - window.measuredFrom) / 1e9
        report.generatorSeconds = Double(now - window.measuredFrom) / 1e9
        report.generatorCPUSeconds = Double(course.cpuNanoseconds()) / 1e9
        report.startedAt = WallClock.nanoseconds() - Int64(clamping: now - window.measuredFrom)
        return report
    }

    /// Finds the one address that all clients connect to, by connecting to it: a name may have several, of which only one
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
            var address = channel.remoteAddress
            // What the server is bound to may be relative to a folder of its own.
            if case .unix(let path) = plan.endpoint { address = try SocketAddress(unixDomainSocketPath: path) }
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
    /// - Parameter buffers: what they read into; without any each has memory of its own.
    static func bootstrap(_ loop: any EventLoop, timeout: TimeAmount, to address: SocketAddress, into buffers: ReadBuffers? = nil) -> ClientBootstrap {
        let allocator: any RecvByteBufferAllocator =
            buffers.map { ReadBuffers.Allocator($0) } ?? FixedSizeRecvByteBufferAllocator(capacity: ReadBuffers.bytes)
        let bootstrap = ClientBootstrap(group: loop)
            .connectTimeout(timeout)
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelOption(.recvAllocator, value: allocator)
        if case .unixDomainSocket = address { return bootstrap }
        return bootstrap.channelOption(.tcpOption(.tcp_nodelay), value: 1)
    }
}
