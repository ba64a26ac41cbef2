public import NIOCore
public import Transport

/// Everything the edge is told, as one immutable value: composed from flags, environment and file before the start, and
/// swapped whole at a reload.
///
/// The defaults here are the defaults of `docs/configuration.md`: a compressing, caching reverse proxy that follows the
/// application's own header fields and adds no lifetimes of its own.
public struct EdgeConfiguration: Sendable, Equatable {
    /// Where the edge accepts connections. Loopback unless told otherwise.
    public var listen: [SocketEndpoint] = [.tcp(host: "127.0.0.1", port: 8080)]
    /// The application. `nil` together with a ``root`` makes a static server.
    public var upstream: Upstream?
    /// The folder of static files. With an upstream too, files come first and the application answers what is no file.
    public var root: String?
    /// How many event loops serve; 0 means one per core.
    public var threads = 0
    public var compression = Compression()
    public var cache = Cache()
    public var limits = Limits()
    public var deadlines = Deadlines()
    public var accessLog = AccessLog.stdout
    /// The path that answers with the metrics in Prometheus' text format; `nil` switches it off.
    public var metricsPath: String? = "/metrics"
    /// Who sends it as `Authorization: Bearer …` may read the metrics from anywhere; without one, only this machine may.
    public var metricsToken: String?

    public init() {}

    /// This configuration with what may change while a server runs taken from another; the rest needs a restart.
    public func adopting(_ new: EdgeConfiguration) -> EdgeConfiguration {
        var adopted = self
        adopted.deadlines = new.deadlines
        adopted.limits = new.limits
        adopted.limits.connectionsMax = limits.connectionsMax
        adopted.cache.isEnabled = new.cache.isEnabled
        adopted.cache.objectBytesMax = new.cache.objectBytesMax
        adopted.compression.isEnabled = new.compression.isEnabled
        adopted.compression.bytesMin = new.compression.bytesMin
        adopted.compression.extraTypes = new.compression.extraTypes
        return adopted
    }

    public typealias SocketEndpoint = Transport.SocketEndpoint

    /// The application behind the edge.
    public struct Upstream: Sendable, Equatable {
        public var endpoint: SocketEndpoint
        /// What `Host` says upstream; `nil` passes the client's own on.
        public var host: String?
        /// Connections in all, idle or busy, from all event loops together.
        public var connectionsMax = 1024
        /// Kept-alive connections waiting for use, per event loop.
        public var idleConnectionsMax = 64
        /// How long an unused connection is kept.
        public var idleTimeout = TimeAmount.seconds(60)
        public var connectTimeout = TimeAmount.seconds(5)
        /// From the request's last byte to the response's first.
        public var firstByteTimeout = TimeAmount.seconds(60)
        /// Between two reads of a response's body.
        public var readTimeout = TimeAmount.seconds(60)

        public init(endpoint: SocketEndpoint) {
            self.endpoint = endpoint
        }
    }

    public struct Compression: Sendable, Equatable {
        public var isEnabled = true
        /// Codings we offer, best first; the client's q-values decide before this order does.
        public var codings: [String] = ["br", "zstd", "gzip"]
        /// Smaller bodies go out as they are.
        public var bytesMin = 256
        /// Media types besides the built-in table, as `type/subtype`.
        public var extraTypes: [String] = []
        /// Level of what is compressed while the client waits: gzip 1…12, brotli 0…11, zstd 1…19.
        public var gzipLevelFast = 1
        public var brotliLevelFast = 1
        public var zstdLevelFast = 1
        /// Level of what is compressed once, in the background, and served many times.
        public var gzipLevelHigh = 9
        public var brotliLevelHigh = 9
        public var zstdLevelHigh = 15
        /// The share of one core that background compression may take, 0…1.
        public var backgroundShare = 0.25
        /// Jobs that may wait for background compression; more are dropped, and come again with the next hit.
        public var backgroundQueueMax = 64

        public init() {}
    }

    public struct Cache: Sendable, Equatable {
        public var isEnabled = true
        /// Memory of all stored responses together, keys, variants and bookkeeping included.
        public var bytesMax = 256 << 20
        /// The largest body that is stored.
        public var objectBytesMax = 8 << 20

        public init() {}
    }

    public struct Limits: Sendable, Equatable {
        public var requestLineBytesMax = 8 << 10
        /// Request line and header section together.
        public var headBytesMax = 32 << 10
        public var fieldCountMax = 100
        public var requestBodyBytesMax = 64 << 20
        /// Open client connections.
        public var connectionsMax = 10_000

        public init() {}
    }

    public struct Deadlines: Sendable, Equatable {
        /// From a request's first byte (on a new connection: from its opening) to the end of its header section.
        public var requestHead = TimeAmount.seconds(10)
        /// Between two reads of a request's body.
        public var requestBody = TimeAmount.seconds(30)
        /// Between two requests on a kept-alive connection.
        public var keepAlive = TimeAmount.seconds(75)
        /// A response of which the client takes nothing for so long is given up.
        public var write = TimeAmount.seconds(60)
        /// After SIGTERM: how long exchanges in flight may take to finish.
        public var drain = TimeAmount.seconds(30)

        public init() {}
    }

    /// Where one JSON line per exchange goes.
    public enum AccessLog: Sendable, Equatable {
        case off
        case stdout
        case stderr
        case file(String)
    }
}
