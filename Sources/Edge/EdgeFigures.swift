public import Telemetry

/// All numbers of the edge at one moment, summed over its event loops: what ``EdgeReport/text()`` says, as values. Counters since the start.
public struct EdgeFigures: Sendable {
    public var requests: UInt64 = 0
    /// By what the response cache had to do with them; the words are those of the access log.
    public var results: [String: UInt64] = [:]
    /// By the first digit of the status, from 0.
    public var statusClasses: [UInt64] = []
    /// By the content coding that the edge applied.
    public var codings: [String: UInt64] = [:]
    public var refused: UInt64 = 0
    public var upstreamFailures: UInt64 = 0
    public var notModified: UInt64 = 0
    public var bodyBytes: UInt64 = 0
    /// Bytes of bodies that compression, and 304 answers from the store, spared.
    public var savedByCompressionBytes: UInt64 = 0
    public var savedByNotModifiedBytes: UInt64 = 0
    public var compressionInBytes: UInt64 = 0
    public var compressionOutBytes: UInt64 = 0
    /// Of the event loops while clients waited, and of the background's thread.
    public var compressionNanoseconds: UInt64 = 0
    /// Where the time of requests went, by the words of `Server-Timing`: `lookup`, `queue`, `connect`, `first_byte`, `compress`, `write`.
    public var stageNanoseconds: [String: UInt64] = [:]
    public var response = HistogramSnapshot()
    public var upstream = HistogramSnapshot()
    public var upstreamConnects: UInt64 = 0
    public var upstreamConnections = 0
    public var upstreamWaiting = 0
    public var connections = 0
    public var tunnels = 0
    public var cacheEntries = 0
    public var cacheBytes = 0
    public var cacheEvictions: UInt64 = 0
    /// CPU time of the event loops' threads.
    public var cpuNanoseconds: UInt64 = 0
    /// The most that any loop came late to its sweep since the last time that this was asked.
    public var loopLagNanoseconds: UInt64 = 0

    /// What each layer is worth on visitors' requests, as far as some are held out of it.
    public var holdOut: [HoldOut.Figures] = []

    public init() {}
}

/// Lists beside the figures: bounded, and made anew each time they are asked for.
public struct EdgeInsight: Sendable {
    public struct Route: Sendable {
        public var name: String
        /// By the first digit of the status, from 0.
        public var classes: [UInt64]
    }

    public struct Path: Sendable {
        public var pattern: String
        public var requests: Int
        public var nanoseconds: UInt64
        public var bytes: Int
        public var hits: Int
        /// A named reason of ``NotStoredReason``, of a bypass, or empty.
        public var detail: String
        /// Of the requests, those whose answer was large enough to be compressed and was not.
        public var uncoded: Int
    }

    public struct Reason: Sendable {
        public var outcome: String
        public var word: String
        public var count: Int
    }

    public struct Member: Sendable {
        public var group: String
        public var address: String
        public var isUp: Bool
        public var active: Int
        public var requests: Int
        public var failures: Int
    }

    public var routes: [Route] = []
    /// The one that took the most time first.
    public var paths: [Path] = []
    /// The most frequent first.
    public var reasons: [Reason] = []
    public var members: [Member] = []
    /// Files of certificates, and when each ends, in seconds since 1970.
    public var certificates: [(file: String, expires: Int64)] = []
    /// Seconds by which the application's clock is ahead of ours; `nil` when it has said nothing of late.
    public var originClockAhead: Int64?

    public init() {}
}
