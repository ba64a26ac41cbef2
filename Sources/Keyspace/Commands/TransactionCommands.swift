import RESPWire

/// MULTI, EXEC and what belongs to them.
/// - Source: Redis `multi.c`.
enum TransactionCommands {
    static let rows: [Command] = [
        .init(
            "multi", 1, [.allowBusy, .noscript, .loading, .stale, .fast, .notQueued], .transactions, keys: .none, locks: .none, "1.2.0",
            "Starts a transaction.", multi),
        .init(
            "exec", 1, [.noscript, .loading, .stale, .skipSlowlog, .notQueued, .wantsRoom], .transactions, keys: .none, locks: .none, "1.2.0",
            "Executes all commands in a transaction.", exec),
        .init(
            "discard", 1, [.allowBusy, .noscript, .loading, .stale, .fast, .notQueued], .transactions, keys: .none, locks: .none, "2.0.0",
            "Discards a transaction.", discard),
        .init(
            "watch", -2, [.allowBusy, .noscript, .loading, .stale, .fast, .notQueued], .transactions, keys: .all, "2.2.0",
            "Monitors changes to keys to determine the execution of a transaction.", watch),
        .init(
            "unwatch", 1, [.allowBusy, .noscript, .loading, .stale, .fast], .transactions, keys: .none, locks: .none, "2.2.0",
            "Forgets about watched keys of a transaction.", unwatch),
    ]

    private static func multi(_ call: Call) throws(CommandFailure) {
        guard call.session.transaction == nil else { throw .err("MULTI calls can not be nested") }
        call.session.transaction = Transaction()
        call.out.ok()
    }

    private static func discard(_ call: Call) throws(CommandFailure) {
        guard call.session.transaction != nil else { throw .err("DISCARD without MULTI") }
        end(call)
        call.out.ok()
    }

    private static func end(_ call: Call) {
        call.session.transaction = nil
        forgetWatched(call)
    }

    private static func exec(_ call: Call) throws(CommandFailure) {
        guard let transaction = call.session.transaction else { throw .err("EXEC without MULTI") }
        if transaction.hasFailed {
            end(call)
            throw .text("EXECABORT Transaction discarded because of previous errors.")
        }
        let (arguments, index) = (call.arguments, call.commandIndex)
        call.session.transaction = nil
        // CLIENT INFO among the commands tells of the transaction.
        call.session.record.queuedCount.store(transaction.commands.count, ordering: .relaxed)
        call.session.record.command.store(index, ordering: .relaxed)
        call.keyspace.withAllShards(call) {
            // Under the locks: nobody changes a watched key between the question and the commands.
            if isBroken(call) { return call.out.nullArray() }
            call.out.array(transaction.commands.count)
            call.mayBlock = false
            for words in transaction.commands {
                call.database = call.session.database
                call.run(words)
                call.out.isRESP3 = call.session.isRESP3
            }
            call.mayBlock = true
        }
        end(call)
        call.arguments = arguments
        call.commandIndex = index
        // What the commands changed each of them has told already.
        call.changes = 0
    }

    /// Gives the transaction up for a reason that lies with none of its commands.
    /// - Source: Redis `multi.c`, `execCommandAbort`.
    static func discarded(_ call: Call, _ failure: CommandFailure) -> CommandFailure {
        end(call)
        return .text("EXECABORT Transaction discarded because of: \(failure.text)")
    }

    /// Whether a watched key was changed, or has expired since.
    private static func isBroken(_ call: Call) -> Bool {
        guard let flag = call.session.watchFlag else { return false }
        if flag.isRaised { return true }
        for watched in call.session.watched {
            let hasExpired = watched.key.withUnsafeBytes { bytes in
                let key = Key(bytes)
                guard let entry = call.shard(key)[watched.database].find(key) else { return false }
                return entry.expires && entry.deadline <= call.now
            }
            if hasExpired { return true }
        }
        return false
    }

    /// Keys that one client may watch.
    static let watchedMax = 1 << 16
    /// Of their names, with 128 for each.
    static let watchedBytesMax = 16 << 20

    private static func watch(_ call: Call) throws(CommandFailure) {
        guard call.session.transaction == nil else { throw .err("WATCH inside MULTI is not allowed") }
        guard call.session.watched.count + call.count - 1 <= watchedMax else { throw .err("too many watched keys") }
        let flag = call.session.watchFlag ?? WatchFlag()
        call.session.watchFlag = flag
        for index in 1..<call.count {
            let watched = WatchedKey(database: call.database, key: call.bytes(index))
            guard !call.session.watched.contains(watched) else { continue }
            let bytes = watched.key.count + 128
            guard call.session.watchedBytes + bytes <= watchedBytesMax else { throw .err("too many watched keys") }
            call.session.watchedBytes += bytes
            call.session.watched.insert(watched)
            // What has expired is not there: were it removed later, nothing would have changed.
            _ = call.peek(call.key(index))
            call.shard(call.key(index)).watches.watch(watched, flag)
        }
        call.out.ok()
    }

    private static func unwatch(_ call: Call) throws(CommandFailure) {
        forgetWatched(call)
        call.out.ok()
    }

    /// Takes the client's marks away.
    static func forgetWatched(_ call: Call) {
        guard let flag = call.session.watchFlag else { return }
        for watched in call.session.watched {
            let shard = watched.key.withUnsafeBytes { call.keyspace.shard(of: KeyHash.hash($0)) }
            call.keyspace.withShard(shard, call) { shard.watches.unwatch(watched, flag) }
        }
        (call.session.watched, call.session.watchedBytes) = ([], 0)
        call.session.watchFlag = nil
    }
}
