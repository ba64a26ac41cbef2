/// What is known beside the numbers: lists and settings, gathered every few seconds.
public struct Facts: Sendable {
    public var version = ""
    /// Seconds since 1970.
    public var startedAt: Int64 = 0
    public var cores = 1
    public var openFilesMax = 0
    public var switches = LayerSwitches()
    public var cacheBytesMax = 0
    public var keyspaceBytesMax = 0
    public var keyspacePolicy = ""
    public var poolMode = ""
    public var routes: [Route] = []
    public var paths: [Path] = []
    public var reasons: [Reason] = []
    public var upstreams: [Member] = []
    public var pools: [Pool] = []
    public var statements: [Statement] = []
    public var benches: [BenchRun] = []
    public var proof: ProofRun?
    public var proofs: Int = 0
    public var heldOut: [HeldOut] = []

    public init() {}

    /// A route of the configuration.
    public struct Route: Sendable {
        public var name: String
        /// By the first digit of the status, from 0.
        public var classes: [Double]

        public init(name: String, classes: [Double]) {
            self.name = name
            self.classes = classes
        }
    }

    /// Requests for targets that differ in numbers only.
    public struct Path: Sendable {
        /// `/scans/*`.
        public var pattern: String
        public var requests: Double
        public var seconds: Double
        public var bytes: Double
        public var hitShare: Double
        /// What could be done about it, if anything is seen.
        public var hint: String?
        /// Of the pages that asked the database and say so, on average; `nil` when none does: see ``PageStatements``.
        public var statementsPerPage: Double?
        public var sqlSecondsPerPage: Double?

        public init(pattern: String, requests: Double, seconds: Double, bytes: Double, hitShare: Double, hint: String?) {
            self.pattern = pattern
            self.requests = requests
            self.seconds = seconds
            self.bytes = bytes
            self.hitShare = hitShare
            self.hint = hint
        }
    }

    /// Why the response cache had no answer, or did not keep one.
    public struct Reason: Sendable {
        public var outcome: String
        public var reason: String
        public var count: Double

        public init(outcome: String, reason: String, count: Double) {
            self.outcome = outcome
            self.reason = reason
            self.count = count
        }
    }

    public struct Member: Sendable {
        public var group: String
        public var address: String
        public var isUp: Bool
        public var active: Int
        public var requests: Double
        public var failures: Double

        public init(group: String, address: String, isUp: Bool, active: Int, requests: Double, failures: Double) {
            self.group = group
            self.address = address
            self.isUp = isUp
            self.active = active
            self.requests = requests
            self.failures = failures
        }
    }

    public struct Pool: Sendable {
        public var database: String
        public var user: String
        public var clientsWaiting: Int
        public var serversActive: Int
        public var serversIdle: Int
        public var maxWaitSeconds: Double

        public init(database: String, user: String, clientsWaiting: Int, serversActive: Int, serversIdle: Int, maxWaitSeconds: Double) {
            self.database = database
            self.user = user
            self.clientsWaiting = clientsWaiting
            self.serversActive = serversActive
            self.serversIdle = serversIdle
            self.maxWaitSeconds = maxWaitSeconds
        }
    }

    /// A normalised statement: no value of anybody's is in it.
    public struct Statement: Sendable {
        public var text: String
        public var database: String
        public var calls: Double
        public var rows: Double
        public var errors: Double
        public var seconds: Double
        public var waitSeconds: Double
        public var p95Seconds: Double
        /// Of the pages that ask it and say so, on average.
        public var callsPerPage: Double?
        /// What could be done about it, if anything is seen.
        public var hint: String?

        public init(text: String, database: String, calls: Double, rows: Double, errors: Double, seconds: Double, waitSeconds: Double, p95Seconds: Double) {
            self.text = text
            self.database = database
            self.calls = calls
            self.rows = rows
            self.errors = errors
            self.seconds = seconds
            self.waitSeconds = waitSeconds
            self.p95Seconds = p95Seconds
        }
    }

    /// What a layer is worth on visitors' requests, of which a share goes past it.
    public struct HeldOut: Sendable {
        /// ``Layer/name``: `response_cache`.
        public var layer: String
        public var words: String
        public var past: Double
        public var through: Double
        /// Of those that went past; and of all the others.
        public var pastSeconds: Double
        public var throughSeconds: Double
        public var pastBytes: Double
        public var throughBytes: Double
        /// Hundredths of the response time, and the ends of their interval at 95 %; `nil` until enough went past.
        public var change: Double?
        public var low: Double?
        public var high: Double?

        public init(layer: String, words: String) {
            (self.layer, self.words) = (layer, words)
            (past, through, pastSeconds, throughSeconds, pastBytes, throughBytes) = (0, 0, 0, 0, 0, 0)
        }
    }

    /// A run of `headrace bench`.
    public struct BenchRun: Sendable {
        public var number: Int64
        /// Seconds since 1970.
        public var startedAt: Double
        public var subject: String
        public var levels: [Level]

        public init(number: Int64, startedAt: Double, subject: String, levels: [Level]) {
            self.number = number
            self.startedAt = startedAt
            self.subject = subject
            self.levels = levels
        }

        public struct Level: Sendable {
            public var users: Int
            public var requestsPerSecond: Double
            /// Of the seconds of the run: the tenth and the ninetieth hundredth.
            public var band: ClosedRange<Double>?
            public var meanMs: Double
            public var p95Ms: Double
            public var failed: Double

            public init(users: Int, requestsPerSecond: Double, band: ClosedRange<Double>?, meanMs: Double, p95Ms: Double, failed: Double) {
                self.users = users
                self.requestsPerSecond = requestsPerSecond
                self.band = band
                self.meanMs = meanMs
                self.p95Ms = p95Ms
                self.failed = failed
            }
        }
    }

    /// A run of `headrace prove`.
    public struct ProofRun: Sendable {
        public var number: Int64
        /// Seconds since 1970.
        public var startedAt: Double
        public var subject: String
        public var rate: Double
        public var rounds: Int
        public var isTooNoisy: Bool
        public var rows: [Row]

        public init(number: Int64, startedAt: Double, subject: String, rate: Double, rounds: Int, isTooNoisy: Bool, rows: [Row]) {
            self.number = number
            self.startedAt = startedAt
            self.subject = subject
            self.rate = rate
            self.rounds = rounds
            self.isTooNoisy = isTooNoisy
            self.rows = rows
        }

        public struct Row: Sendable {
            /// As `headrace prove` names it: `response cache`.
            public var layer: String
            public var verdict: String
            public var words: String
            /// Hundredths of the median response time; `nil` when it was not measured.
            public var change: Double?
            public var low: Double?
            public var high: Double?

            public init(layer: String, verdict: String, words: String, change: Double?, low: Double?, high: Double?) {
                self.layer = layer
                self.verdict = verdict
                self.words = words
                self.change = change
                self.low = low
                self.high = high
            }
        }
    }
}

/// What PostgreSQL says of itself, asked past the pooler.
public struct DatabaseFacts: Sendable {
    public var version: String?
    /// Seconds since 1970, by its own clock.
    public var startedAt: Int64?
    /// Sessions of clients: those of the pooler, and those of whoever connects past it.
    public var sessionsPooled = 0
    public var sessionsPast = 0
    public var isStandby = false
    /// How far it is behind, or its slowest standby; `nil` when nobody follows anybody.
    public var lagSeconds: Double?
    /// By how much its clock is ahead of ours.
    public var clockAheadSeconds: Double?
    /// Of all its databases, since its statistics began; `nil` when it does not tell.
    public var transactions: Double?
    /// Of its processes since it began, and what they have of the memory; `nil` where they are not seen: on another machine.
    public var cpuSeconds: Double?
    public var memoryBytes: Double?
    /// They may be on this machine, and are hidden.
    public var areProcessesHidden = false
    /// What became of these lately.
    public var load = DatabaseLoad()
    /// `nil` without pg_stat_statements.
    public var statementsByTotal: [Facts.Statement]?
    public var statementsByMean: [Facts.Statement]?

    public init() {}
}

/// Which layers are there, and on.
public struct LayerSwitches: Sendable, Equatable {
    public var edge = false
    public var compression = false
    public var browserCaching = false
    public var responseCache = false
    public var keyspace = false
    public var pooler = false
    public var upstreams = false
    public var postgres = false

    public init() {}
}
