/// Why the figures may be the generator's own and not the server's. The raw value is the word in tables and in JSON.
public enum GeneratorLimit: String, Sendable, CaseIterable, Comparable {
    /// Its event loops had no CPU time left.
    case cpu
    /// Requests went out late although a connection was free: the machine gave the generator no time.
    case scheduleLag = "schedule-lag"
    /// The system gave it no more sockets: descriptors, ports or memory.
    case sockets
    /// All connections that it may have were busy although the server answered as fast as ever: by Little's law the rate needs more.
    case connections

    public static func < (one: Self, other: Self) -> Bool { one.rawValue < other.rawValue }

    /// What an operator can do about it.
    public var advice: String {
        switch self {
        case .cpu: "the generator's CPU was busy: lower the rate, add --threads, or run it on a machine of its own"
        case .scheduleLag: "requests went out late: something else took the CPU; run the generator on a machine of its own"
        case .sockets: "the system gave no more sockets: raise `ulimit -n`, or keep connections alive"
        case .connections: "all connections were busy while the server was no slower than before: raise --connections"
        }
    }
}

extension LoadReport {
    /// The share of one core per thread from which on an event loop is the bottleneck.
    static let cpuShareMax = 0.9
    /// A lag below a millisecond is the scheduler's, and one below a tenth of what is measured does not change it.
    static let lagMin: UInt64 = 1_000_000
    static let lagShareMax = 0.1
    /// Of connections that are busy on average.
    static let busyShareMax = 0.95
    /// A server whose median is so many times its fastest answer lets requests wait: then it is the limit, not the connections.
    static let queueingRatio = 5.0

    /// What limited the generator, empty when nothing did: then the figures are the server's.
    ///
    /// - CPU: the process took more than nine tenths of a core for each of its threads.
    /// - Schedule lag: its 99th percentile is over 1 ms and over a tenth of the response time's.
    /// - Sockets: the system refused one.
    /// - Connections: Little's law, busy connections = rate × service time, says that 95 % were busy, and the median service time is
    ///   less than five times the shortest: the server did not queue, so it was not the one who made us wait.
    /// - Source: Little, "A proof for the queuing formula L = λW", Operations Research 9 (1961).
    public var limits: [GeneratorLimit] {
        var limits: [GeneratorLimit] = []
        if generatorCPUShare > Self.cpuShareMax * Double(max(threads, 1)) { limits.append(.cpu) }
        if let open {
            let lag = open.scheduleLag.percentile(99)
            if lag > Self.lagMin, Double(lag) > Self.lagShareMax * Double(responseTimes.percentile(99)) { limits.append(.scheduleLag) }
            let isQueueing = Double(serviceTimes.percentile(50)) > Self.queueingRatio * Double(min(serviceTimes.min, serviceTimes.max))
            if busyConnections >= Self.busyShareMax * Double(open.connectionsMax * (streams ?? 1)), serviceTimes.count > 0, !isQueueing {
                limits.append(.connections)
            }
        }
        if socketShortages > 0 { limits.append(.sockets) }
        return limits
    }

    public var isGeneratorLimited: Bool { !limits.isEmpty }

    /// Connections that were busy on average: Little's law.
    public var busyConnections: Double { requestsPerSecond * serviceTimes.mean / 1e9 }
}
