public import Logging
public import NIOCore
import Telemetry
public import Transport

/// The pooler as a whole: listeners, event loops, pools.
///
/// `start`, then `drain` once; a server is not started twice.
public final class PoolerServer: Sendable {
    /// Connections beyond the limit that are told so; more are closed at once.
    private static let overLimitMax = 100

    private let configuration: PoolerConfiguration
    private let logger: Logger
    private let loops: [SocketLoop]
    private let limit: ConnectionLimit
    private let overLimit: ConnectionLimit
    private let pressure: MemoryPressure
    private let runner: PoolRunner
    private let running = Lock(Running())
    /// What a small query takes on the same machine, there and back.
    private static let busyPollLimit = TimeAmount.microseconds(100)

    private struct Running: Sendable {
        var workers: [(eventLoop: SocketLoop, worker: NIOLoopBound<PoolerWorker>)] = []
        var listeners: [Listener] = []
        var isEnding = false
    }

    /// - Parameter pressure: how near the process is to its memory's bound, all layers together.
    /// - Throws: when a certificate or a key cannot be read.
    public init(configuration: PoolerConfiguration, pressure: MemoryPressure = MemoryPressure(), logger: Logger) throws {
        self.pressure = pressure
        var configuration = configuration
        if configuration.threads <= 0 { configuration.threads = System.coreCount }
        self.configuration = configuration
        self.logger = logger
        overLimit = ConnectionLimit(max: Self.overLimitMax)
        runner = try PoolRunner(configuration: configuration, loops: configuration.threads, pressure: pressure, logger: logger)
        limit = runner.clientLimit
        // On a single core a poll would keep it from those who are waited for.
        let busyPoll = configuration.busyPolls && System.coreCount > 1 ? BusyPoll(limit: Self.busyPollLimit) : nil
        loops = (0..<configuration.threads).map { _ in SocketLoop(busyPoll: busyPoll) }
    }

    /// Binds all listeners and serves.
    /// - Returns: the addresses in use, in the order of the configuration.
    /// - Throws: when an address cannot be bound; nothing is left open then.
    public func start() async throws -> [SocketAddress] {
        var byLoop: [ObjectIdentifier: NIOLoopBound<PoolerWorker>] = [:]
        for (index, eventLoop) in loops.enumerated() {
            let worker = try await eventLoop.submit { [runner] in
                let worker = PoolerWorker(index: index, eventLoop: eventLoop, runner: runner)
                let bound = NIOLoopBound(worker, eventLoop: eventLoop)
                runner.add(bound, on: eventLoop)
                return bound
            }.get()
            running.withLock { $0.workers.append((eventLoop, worker)) }
            byLoop[ObjectIdentifier(eventLoop)] = worker
        }
        for (eventLoop, worker) in running.withLock({ $0.workers }) { try await eventLoop.submit { worker.value.start() }.get() }
        let (limit, overLimit, pressure, workers) = (self.limit, self.overLimit, self.pressure, byLoop)
        var listeners: [Listener] = []
        do {
            for endpoint in configuration.listen {
                let listener = try await Listener.bind(endpoint, loops: loops, awaitsData: true) { channel in
                    guard let worker = workers[ObjectIdentifier(channel.eventLoop)] else { throw ClientRefused() }
                    guard pressure.level == .none else {
                        worker.value.metrics.clientsRefused.add()
                        throw ClientRefused()
                    }
                    let place = limit.admit() ? limit : overLimit
                    guard place === limit || overLimit.admit() else { throw ClientRefused() }
                    channel.owner = ClientHandler(worker: worker.value, channel: channel, limit: place, isOverLimit: place === overLimit)
                }
                listeners.append(listener)
            }
        } catch {
            for listener in listeners { await listener.close() }
            await stop()
            throw error
        }
        running.withLock { [listeners] in $0.listeners = listeners }
        return listeners.map(\.address)
    }

    /// The `application_name` by which this process' own probe is known: what it asks is not counted, so that a pooler without traffic is
    /// seen to have none.
    public var probeName: String { runner.probeName }

    /// Returns once each event loop has had its turn, which it has within its longest step; never, when one of them hangs.
    public func pulse() async {
        for eventLoop in loops { try? await eventLoop.submit {}.get() }
    }

    /// Gives each client a server connection of its own for so long, within ``PoolerConfiguration/Limits/dedicatedMax``, so that it shows what
    /// sharing them is worth; in transaction mode alone. May be called on any thread.
    public func dedicate(milliseconds: Int64) {
        runner.dedication.begin(for: .milliseconds(milliseconds), now: .now())
    }

    /// Limits and timeouts from now on. What is over a limit goes when nobody uses it; how old a server connection may grow, how many statements it
    /// keeps and how many a client may have is for those that are made from now on. What sharing is worth is measured within the limit of the
    /// start (``PoolerConfiguration/Limits/dedicatedMax``). May be called on any thread; once it drains, nothing changes.
    public func adopt(_ limits: PoolerConfiguration.Limits, _ timeouts: PoolerConfiguration.Timeouts) {
        guard !running.withLock({ $0.isEnding }) else { return }
        runner.adopt {
            let dedicatedMax = $0.limits.dedicatedMax
            ($0.limits, $0.timeouts) = (limits, timeouts)
            $0.limits.dedicatedMax = dedicatedMax
        }
    }

    /// Stops accepting, ends clients that have nothing under way, lets transactions finish (at most as long as the configuration
    /// says), and ends.
    public func drain() async {
        let (listeners, workers) = running.withLock { running in
            running.isEnding = true
            return (running.listeners, running.workers)
        }
        for listener in listeners { await listener.close() }
        // What is under way is to end.
        runner.resume()
        for (eventLoop, worker) in workers { try? await eventLoop.submit { worker.value.beginDraining() }.get() }
        let end = NIODeadline.now() + runner.current.timeouts.drain
        while limit.count > 0, NIODeadline.now() < end {
            try? await Task.sleep(for: .milliseconds(20))
        }
        if limit.count > 0 { logger.warning("drain deadline passed", metadata: ["clients": "\(limit.count)"]) }
        await stop()
    }

    /// Its numbers now, gathered from one event loop after the other.
    /// - Parameter withStatements: What each statement has cost, too.
    /// - Returns: `nil` before it has started, and once it drains: its loops may be gone.
    public func figures(withStatements: Bool) async -> PoolerFigures? {
        let (workers, runner) = gathering()
        guard !workers.isEmpty else { return nil }
        var figures = PoolerFigures(runner.inspect { ($0.pools, $0.connections) }, now: .now())
        for (eventLoop, worker) in workers {
            let before = figures
            let next = try? await eventLoop.submit { () -> PoolerFigures in
                var after = before
                worker.value.describe(in: &after, withStatements: withStatements)
                return after
            }.get()
            guard let next else { return nil }
            figures = next
        }
        figures.mergeStatements()
        return figures
    }

    /// Which HTTP requests' statements have ended since the last time that this was asked: who asks takes them away.
    /// - Returns: `nil` before it has started, and once it drains.
    public func takeTraces() async -> PoolerTraces? {
        let (workers, _) = gathering()
        guard !workers.isEmpty else { return nil }
        var traces = PoolerTraces()
        for (eventLoop, worker) in workers {
            let before = traces
            let next = try? await eventLoop.submit { () -> PoolerTraces in
                var after = before
                worker.value.takeTraces(into: &after)
                return after
            }.get()
            guard let next else { return nil }
            traces = next
        }
        return traces
    }

    /// Who is asked for numbers: nobody before the start, and none once it drains.
    func gathering() -> (workers: [(eventLoop: SocketLoop, worker: NIOLoopBound<PoolerWorker>)], runner: PoolRunner) {
        (running.withLock { $0.isEnding ? [] : $0.workers }, runner)
    }

    private func stop() async {
        for (eventLoop, worker) in running.withLock({ $0.workers }) { try? await eventLoop.submit { worker.value.stop() }.get() }
        for loop in loops { try? await loop.shutdownGracefully() }
    }
}

/// Even the places for those who are told that there is none are taken: closed without a word.
struct ClientRefused: Error {}
