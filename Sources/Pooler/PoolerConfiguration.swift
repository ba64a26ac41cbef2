public import NIOCore
import PostgresWire
public import Transport

/// Everything the pooler is told, as one immutable value. The defaults are the defaults of `docs/configuration.md`.
public struct PoolerConfiguration: Sendable, Equatable {
    /// Where clients connect; with no address there is no pooler.
    public var listen: [SocketEndpoint] = []
    /// Load balancers in front, which say with the PROXY protocol who the client is.
    public var proxies: [IPNetwork] = []

    /// Whether who comes from there has to say first for whom.
    public func isProxy(_ address: String) -> Bool {
        guard !proxies.isEmpty, let address = IPAddress(address) else { return false }
        return proxies.contains { $0.contains(address) }
    }
    /// Whether a client's address is told to the server, behind its application name.
    public var addsClientAddress = false
    /// How many event loops serve; 0 means one per core.
    public var threads = 0
    /// Whether a loop that carries one conversation looks for its next message for a moment before it sleeps.
    public var busyPolls = true
    /// By the name that clients ask for; `*` is any other, under its own name.
    public var databases: [String: Database] = [:]
    public var mode = PoolMode.transaction
    /// What is done about what sessions leave behind; without a meaning in session mode.
    public var sessionState = SessionMode.strict
    public var limits = Limits()
    public var timeouts = Timeouts()
    public var authentication = AuthenticationConfiguration()
    public var tls = PoolerTLSConfiguration()

    public init() {}

    public typealias SocketEndpoint = Transport.SocketEndpoint

    /// Addresses beyond loopback on which everybody is believed to be whoever he says.
    public var trustingAddresses: [SocketEndpoint] {
        guard authentication.method == .trust, authentication.rules == nil else { return [] }
        return listen.filter { endpoint in
            guard case .tcp(let host, _) = endpoint else { return false }
            return host != "localhost" && IPAddress(host)?.isLoopback != true
        }
    }

    /// Where a database's server connections go.
    public struct Database: Sendable, Equatable {
        /// Tried in turn until one answers.
        public var hosts: [SocketEndpoint]
        /// The database's name at the server; `nil`: the one that the client asks for.
        public var name: String?
        /// As whom all clients are logged in there; `nil`: each under its own name.
        public var user: String?
        /// For the server's login.
        public var password: String?
        /// Which of the hosts may have the connections.
        public var target = TargetSession.any

        public init(
            hosts: [SocketEndpoint], name: String? = nil, user: String? = nil, password: String? = nil, target: TargetSession = .any
        ) {
            self.target = target
            self.hosts = hosts
            self.name = name
            self.user = user
            self.password = password
        }
    }

    /// Where a client's database is; for one that replicates a whole server, and so names none, the first that is offered.
    /// - Returns: `nil` when it is not offered.
    // Not inlined, it would be called with a copy of all that is here.
    @inline(__always)
    func offered(_ startup: StartupMessage) -> (name: String, database: Database)? {
        if let database = databases[startup.database] ?? databases["*"] { return (startup.database, database) }
        guard startup.isPhysicalReplication, let first = databases.min(by: { $0.key < $1.key }) else { return nil }
        return (first.key, first.value)
    }

    public struct Limits: Sendable, Equatable {
        /// Server connections of one pool: one database and user.
        public var poolSize = 25
        /// Server connections that are kept ready of a pool that has been used.
        public var minPoolSize = 5
        /// Server connections beyond ``poolSize``, once a client has waited for ``Timeouts/reserve``.
        public var reserveSize = 5
        /// Server connections to one database, from all users together; 0: no limit of its own.
        public var databaseConnectionsMax = 0
        /// Server connections as one user, to all databases together; 0: no limit of its own.
        public var userConnectionsMax = 0
        /// Server connections in all.
        public var serverConnectionsMax = 1_000
        /// Server connections of a pool that log in at a time.
        public var loginsMax = 10
        /// Client connections in all.
        public var clientConnectionsMax = 5_000
        /// Server connections of one pool that clients may keep between transactions.
        public var pinnedMax = 20
        /// Server connections of one client each that a database and user may have while it is measured what sharing them is worth
        /// (``PoolerServer/dedicate(milliseconds:)``); 0: it may not be.
        public var dedicatedMax = 0
        /// Pools that there may be at a time: pairs of database and user.
        public var poolsMax = 1_000
        /// Statements that are kept prepared on each server connection.
        public var preparedStatementsMax = 200
        /// The longest Parse message with a name, whose text is kept to prepare it elsewhere.
        public var preparedTextBytesMax = 1 << 20
        /// Statements that one client may have prepared.
        public var clientStatementsMax = 1_000

        public init() {}
    }

    /// Zero switches one off, where it says so.
    public struct Timeouts: Sendable, Equatable {
        /// How long a client waits for a server connection.
        public var queryWait = TimeAmount.seconds(120)
        /// After how long a wait the reserve is touched.
        public var reserve = TimeAmount.seconds(5)
        /// For a TCP or Unix connection to a server.
        public var serverConnect = TimeAmount.seconds(15)
        /// For the login that follows.
        public var serverLogin = TimeAmount.seconds(15)
        /// How old a server connection may grow. 0: any age.
        public var serverLifetime = TimeAmount.seconds(3_600)
        /// How long a server connection beyond the minimum is kept unused. 0: for ever.
        public var serverIdle = TimeAmount.seconds(600)
        /// From a client's connecting to the end of its login.
        public var clientLogin = TimeAmount.seconds(60)
        /// A client that asks nothing for so long is disconnected. 0: never.
        public var clientIdle = TimeAmount.zero
        /// A client that is idle in a transaction for so long is disconnected. 0: never.
        public var idleTransaction = TimeAmount.zero
        /// A query that takes so long is cancelled with its client. 0: never.
        public var query = TimeAmount.zero
        /// A transaction that takes so long is ended with its client. 0: never.
        public var transaction = TimeAmount.zero
        /// Not a limit: a statement that takes so long, waiting for a server connection and at the server, is logged. 0: none is.
        public var slowStatement = TimeAmount.zero
        /// After SIGTERM: how long transactions may take to finish.
        public var drain = TimeAmount.seconds(30)

        public init() {}
    }
}
