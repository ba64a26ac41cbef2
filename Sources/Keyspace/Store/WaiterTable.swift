/// A client that waits for a key to have elements: its command, to be tried again.
///
/// `@unchecked Sendable`: what changes is touched only under the locks of the shards of all its keys.
final class Waiter: @unchecked Sendable {
    let arguments: [[UInt8]]
    let keys: [WatchedKey]
    /// The shards of all its keys, as bits.
    let shards: UInt64
    /// When it gives up, in milliseconds since 1970; `nil` for never.
    let deadline: Int64?
    /// What its client is to the command: a copy, since the client's own belongs to its loop.
    let session: ClientSession
    let port: any ReplyPort
    /// What it is told when it gives up.
    let answerWhenLate: [UInt8]
    /// Whether nobody has answered it yet, and it has not given up.
    var isWaiting = true

    init(
        arguments: [[UInt8]], keys: [WatchedKey], shards: UInt64, deadline: Int64?, session: ClientSession, port: any ReplyPort,
        answerWhenLate: [UInt8]
    ) {
        self.arguments = arguments
        self.keys = keys
        self.shards = shards
        self.deadline = deadline
        self.session = session
        self.port = port
        self.answerWhenLate = answerWhenLate
    }
}

/// Who waits for which keys of a shard, the longest first.
struct WaiterTable {
    private var waiters: [WatchedKey: [Waiter]] = [:]

    var isEmpty: Bool { waiters.isEmpty }
    var keyCount: Int { waiters.count }

    func contains(_ key: WatchedKey) -> Bool { waiters[key] != nil }
    func waiting(for key: WatchedKey) -> [Waiter] { waiters[key] ?? [] }
    var all: [Waiter] { waiters.values.flatMap { $0 } }

    mutating func add(_ waiter: Waiter, for key: WatchedKey) { waiters[key, default: []].append(waiter) }

    mutating func remove(_ waiter: Waiter, for key: WatchedKey) {
        guard var all = waiters[key] else { return }
        all.removeAll { $0 === waiter }
        waiters[key] = all.isEmpty ? nil : all
    }
}
