public import Transport

/// Everything the keyspace is told, as one immutable value.
public struct KeyspaceConfiguration: Sendable, Equatable {
    /// Where clients connect. Without any address there is no keyspace.
    public var listen: [SocketEndpoint] = []
    public var tls = KeyspaceTLSConfiguration()
    /// Event loops; 0 is one per core.
    public var threads = 0
    public var databases = 16
    /// Memory of all keys, values and bookkeeping; 0 for no bound.
    public var bytesMax = 256 << 20
    /// The one that finds most on web traces: `Benchmarks/keyspace --only hits`.
    public var policy = EvictionPolicy.allkeysS3FIFO
    /// What clients must say in AUTH; empty for nothing.
    public var password = ""
    /// Users besides `default`, each as `ACL SETUSER` takes it: a name, then rules. See ``problem(ofUser:)``.
    public var users: [String] = []
    public var clientsMax = 10_000
    /// Keys that are a cache's, as patterns of `KEYS`: those that may be missing for a while. See ``KeyspaceServer/goWithoutCache(milliseconds:)``.
    public var cachePatterns: [String] = []
    /// Answers that a client has not taken yet; one that lets more pile up is closed.
    public var outputBytesMax = 256 << 20
    /// Requests that have been read and not carried out.
    public var inputBytesMax = 1 << 30

    /// Where snapshot and append log are; empty for a keyspace that is gone with its process.
    public var directory = ""
    public var snapshotName = "dump.rdb"
    /// Whether every change is logged.
    public var appendOnly = false
    public var fsync = FsyncPolicy.everysec
    /// When a snapshot is written by itself; empty for never. Redis' own.
    public var savePoints = [
        SavePoint(seconds: 3600, changes: 1), SavePoint(seconds: 300, changes: 100), SavePoint(seconds: 60, changes: 10_000),
    ]
    /// Whether a log that ends within a command is cut there at the start; it is refused otherwise (`aof-load-truncated`).
    public var cutsTornTail = true
    /// The log is rewritten when it has grown by so many hundredths since the last time, 0 for never by itself; but not below
    /// `rewriteBytesMin`.
    public var rewritePercentage = 100
    public var rewriteBytesMin = 64 << 20
    /// What `CONFIG SET` can change besides, under Redis' names, in order: see ``problem(of:)``.
    public var settings: [Setting] = []

    public init() {}

    /// A directive of Redis' and its value, as `CONFIG SET` takes them.
    public struct Setting: Sendable, Equatable {
        public var name: String
        public var value: String

        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    /// Directives that have a property above, under which they are set.
    public static let ownDirectives: Set<String> = [
        "maxmemory", "maxmemory-policy", "maxclients", "requirepass", "save", "appendfsync", "auto-aof-rewrite-percentage", "auto-aof-rewrite-min-size",
    ]

    /// What is wrong with a setting; `nil` when nothing is.
    public static func problem(of setting: Setting) -> String? {
        guard !ownDirectives.contains(setting.name) else { return "has a key of its own" }
        guard let set = ServerSettings.rows.first(where: { $0.name == setting.name })?.set else { return "is nothing that CONFIG SET changes" }
        return set(Keyspace(KeyspaceConfiguration()), setting.value)
    }

    /// A snapshot is written when there were so many changes and so much time has passed since the last one: `save` of Redis.
    public struct SavePoint: Sendable, Equatable {
        public var seconds: Int
        public var changes: Int

        public init(seconds: Int, changes: Int) {
            self.seconds = seconds
            self.changes = changes
        }
    }

    /// What is wrong with a user's line; `nil` when nothing is.
    public static func problem(ofUser line: String) -> String? {
        let words = line.split(separator: " ")
        guard let name = words.first else { return "has no name" }
        guard name.utf8.allSatisfy({ (33...126).contains($0) }) else { return "the name has other characters than ASCII's" }
        var rules = AccessRules()
        for rule in words.dropFirst() {
            if let problem = rules.apply(Array(rule.utf8)) { return "\(rule): \(problem)" }
        }
        return nil
    }

    public typealias SocketEndpoint = Transport.SocketEndpoint
}

/// Which keys make room when the memory is full; the names are `maxmemory-policy`'s.
public enum EvictionPolicy: String, Sendable, CaseIterable {
    case noeviction
    case allkeysLRU = "allkeys-lru"
    case allkeysLFU = "allkeys-lfu"
    /// What is asked for once makes room first: S3-FIFO, which Redis has not.
    case allkeysS3FIFO = "allkeys-s3fifo"
    case allkeysRandom = "allkeys-random"
    case volatileLRU = "volatile-lru"
    case volatileLFU = "volatile-lfu"
    case volatileRandom = "volatile-random"
    case volatileTTL = "volatile-ttl"

    var isVolatile: Bool {
        switch self {
        case .volatileLRU, .volatileLFU, .volatileRandom, .volatileTTL: true
        case .noeviction, .allkeysLRU, .allkeysLFU, .allkeysS3FIFO, .allkeysRandom: false
        }
    }
}

/// Writes a keyspace's configuration where it came from.
/// - Parameters: the configuration as it is now; and Redis' names of what `CONFIG SET` has set since the start, all else stays as it stands there.
/// - Throws: an error whose description says why nothing was written.
public typealias ConfigurationRewriting = @Sendable (KeyspaceConfiguration, _ changed: Set<String>) throws -> Void
