import Synchronization
import Telemetry

/// The way back to a client, from any thread.
protocol ReplyPort: AnyObject, Sendable {
    /// Sends bytes that answer a command which waited, and lets the client's next commands be read.
    func answer(_ waiter: Waiter, _ bytes: [UInt8])
    /// Sends bytes besides the answers, unless the client has given up meanwhile what they are of.
    func push(_ notice: Notice)
    func close()
}

/// What a client is told besides its answers.
struct Notice: Sendable {
    enum Kind: Sendable {
        /// A message of a subscription: its channel, or its pattern.
        case message([UInt8], PubSub.Kind)
        /// Of client-side caching, in RESP3.
        case invalidation
        /// A line of MONITOR.
        case command
    }

    let kind: Kind
    let bytes: [UInt8]
}

/// What a client has said of itself and is in the midst of. Belongs to its connection's event loop; knows no socket.
final class ClientSession {
    let id: Int
    let record: ClientRecord
    var database = 0 {
        didSet { record.database.store(database, ordering: .relaxed) }
    }
    var isRESP3 = false
    var isAuthenticated: Bool
    /// As whom the client acts; says nothing before ``isAuthenticated``.
    var user: AccessUser {
        didSet { record.text.withLock { $0.user = user.name } }
    }
    /// Between MULTI and EXEC.
    var transaction: Transaction? {
        didSet { record.queuedCount.store(transaction?.commands.count ?? -1, ordering: .relaxed) }
    }
    var isInTransaction: Bool { transaction != nil }
    /// What WATCH asked for.
    var watched: Set<WatchedKey> = []
    var watchedBytes = 0
    var watchFlag: WatchFlag?
    /// Channels and patterns that the client has subscribed to.
    var subscriptionCount = 0
    var subscriptionBytes = 0
    /// It has ended some of them: of the messages that are on their way not all are wanted.
    var hasUnsubscribed = false
    /// `CLIENT TRACKING` is on.
    var isTracking = false
    /// Of its prefixes.
    var prefixBytes = 0
    /// `CLIENT CACHING` was said: about the next command.
    var hasSaidCaching = false
    var isNoTouch = false {
        didSet { record.isNoTouch.store(isNoTouch, ordering: .relaxed) }
    }
    var isNoEvict = false {
        didSet { record.isNoEvict.store(isNoEvict, ordering: .relaxed) }
    }
    var reply = ReplyMode.on
    var isMonitor = false {
        didSet { record.isMonitor.store(isMonitor, ordering: .relaxed) }
    }
    /// The connection ends once its answers are out.
    var isClosing = false

    /// `CLIENT REPLY`.
    enum ReplyMode {
        case on, off
        /// The next answer is left out.
        case skip
        /// This command said so: its own answer is out of the question, and so is the next.
        case skipNext
    }

    init(id: Int, record: ClientRecord, user: AccessUser, isAuthenticated: Bool) {
        self.id = id
        self.record = record
        self.user = user
        self.isAuthenticated = isAuthenticated
    }

    /// One of the server's own, for what no client has asked for.
    init(internalOf keyspace: Keyspace) {
        id = 0
        record = ClientRecord(id: 0, address: "", localAddress: "", created: 0, port: nil)
        user = keyspace.access.internalUser
        isAuthenticated = true
    }

    var isSubscribed: Bool { subscriptionCount > 0 }
    /// What is kept for it, besides keys, until it lets go of it.
    var keptBytes: Int { subscriptionBytes + watchedBytes + prefixBytes + (transaction?.bytes ?? 0) }

    /// A copy for a command that is carried out elsewhere, on this client's behalf.
    func standIn() -> ClientSession {
        let copy = ClientSession(id: id, record: record, user: user, isAuthenticated: true)
        copy.database = database
        copy.isRESP3 = isRESP3
        copy.isNoTouch = isNoTouch
        copy.isTracking = isTracking
        return copy
    }
}

/// What others may know of a client: `CLIENT LIST`, `CLIENT KILL`.
final class ClientRecord: Sendable {
    let id: Int
    let address: String
    /// Milliseconds since 1970.
    let created: Int64
    let port: (any ReplyPort)?
    let lastUse: Atomic<Int64>
    let command = Atomic<Int>(-1)
    let database = Atomic<Int>(0)
    let text = Lock(Text())
    /// A letter of `CLIENT LIST`'s flags each.
    let isBlocked = Atomic(false)
    /// Blocked, and not for ever.
    let hasDeadline = Atomic(false)
    let isMonitor = Atomic(false)
    let isNoTouch = Atomic(false)
    let isNoEvict = Atomic(false)
    /// What was read and is not yet a whole command, and what was written and not yet taken.
    let inputBytes = Atomic<Int>(0)
    let outputBytes = Atomic<Int>(0)
    /// Commands since MULTI; -1 outside of a transaction.
    let queuedCount = Atomic<Int>(-1)
    let isRESP3 = Atomic(false)
    let subscriptions = Atomic<Int>(0)

    struct Text: Sendable {
        var name = ""
        var libraryName = ""
        var libraryVersion = ""
        var user = "default"
        var localAddress = ""
    }

    var localAddress: String { text.withLock { $0.localAddress } }

    init(id: Int, address: String, localAddress: String, created: Int64, port: (any ReplyPort)?) {
        self.id = id
        self.address = address
        self.created = created
        self.port = port
        lastUse = Atomic(created)
        text.withLock { $0.localAddress = localAddress }
    }
}

/// All clients of all event loops.
final class ClientRegistry: Sendable {
    private let clients = Lock<[Int: ClientRecord]>([:])
    private let next = Atomic<Int>(1)

    func nextID() -> Int { next.wrappingAdd(1, ordering: .relaxed).oldValue }
    func add(_ client: ClientRecord) { clients.withLock { $0[client.id] = client } }
    subscript(id: Int) -> ClientRecord? { clients.withLock { $0[id] } }
    func remove(_ id: Int) { clients.withLock { _ = $0.removeValue(forKey: id) } }
    var count: Int { clients.withLock { $0.count } }
    var all: [ClientRecord] { clients.withLock { Array($0.values) }.sorted { $0.id < $1.id } }
}
