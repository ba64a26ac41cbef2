import RESPWire
import Telemetry

/// Carries out requests: finds the command, asks whether this client may, takes the locks, runs it, and answers.
///
/// - Source: Redis `server.c`, `processCommand`, whose order of checks this keeps, since clients see it in the errors.
enum Dispatcher {
    /// Carries out the request in ``Call/arguments`` for ``Call/session``; the reply is in ``Call/out`` afterwards, unless
    /// ``Call/waiter`` says that the client has to wait, or ``Call/isPostponed`` that nothing was done and it is to be tried again.
    static func execute(_ call: Call) {
        guard let index = call.table.index(call[0]) else { return refuseUnknown(call) }
        call.commandIndex = index
        // Numbers, and neither the command nor the session: what is held over other calls has to be retained.
        let (flags, arity) = (call.command.flags, call.command.arity)
        call.nanoseconds = 0
        call.database = call.session.database
        guard arity > 0 ? call.count == arity : call.count >= -arity else {
            return refuse(call, .err("wrong number of arguments for '\(call.command.name)' command"))
        }
        if flags.contains(.container), let failure = Subcommands.refusal(call) { return refuse(call, failure) }
        if !call.session.isAuthenticated, !flags.contains(.noAuth) {
            return refuse(call, .text("NOAUTH Authentication required."))
        }
        if let refusal = AccessCheck.refusal(call, index) { return refuse(call, refusal) }
        if !flags.isDisjoint(with: [.denyoom, .wantsRoom]), isFull(call) {
            call.started = 0
            switch makeRoom(call) {
            case .made: break
            case .none:
                if flags.contains(.denyoom) { return refuse(call, .outOfMemory) }
                if let transaction = endingTransaction(call), transaction.wantsRoom { return refuse(call, TransactionCommands.discarded(call, .outOfMemory)) }
            case .later:
                guard !call.mayPostpone else {
                    call.isPostponed = true
                    return
                }
            }
        }
        if call.keyspace.persistence.isLogging {
            let transaction = endingTransaction(call)
            if flags.contains(.write) || transaction?.writes == true, let refusal = call.keyspace.persistence.refusal() {
                return refuse(call, transaction == nil ? .text(refusal) : TransactionCommands.discarded(call, .text(refusal)))
            }
        }
        if call.session.isSubscribed, !call.session.isRESP3, !SubscribedCommands.allows(call.command.name) {
            return refuse(
                call,
                .err(
                    "Can't execute '\(call.command.name)': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"))
        }
        if call.session.isInTransaction, !flags.contains(.notQueued) {
            if flags.contains(.noMulti) {
                return refuse(call, .err("Command not allowed inside a transaction"))
            }
            call.session.transaction?.queue(call)
            call.out.simple("QUEUED")
            return
        }
        run(call)
        // What `CLIENT CACHING` said is about one command, or about all of a transaction; never about `CLIENT CACHING` itself.
        if call.session.hasSaidCaching, call.command.name != "client", !call.session.isInTransaction {
            call.session.hasSaidCaching = false
            call.keyspace.hub.tracking.withLock { $0.commandEnded(call.session.id) }
        }
        if !call.readyKeys.isEmpty {
            call.keyspace.serveWaiters(call)
            call.ended = 0
        }
    }

    /// The transaction that the command carries out.
    @inline(__always)
    private static func endingTransaction(_ call: Call) -> Transaction? {
        call.command.flags.contains(.wantsRoom) && call.command.name == "exec" ? call.session.transaction : nil
    }

    @inline(__always)
    private static func isFull(_ call: Call) -> Bool {
        // What was queued is written now, all at once.
        if let transaction = endingTransaction(call) {
            guard transaction.wantsRoom else { return false }
            call.requestBytes = transaction.bytes + (transaction.grows ? Growth.bytes(transaction.commands, call) : 0)
        } else if let growth = call.command.growth, !call.session.isInTransaction {
            call.requestBytes += growth.bytes(call)
        }
        return call.keyspace.isFull(adding: call.requestBytes)
    }

    /// Evicts for a command that finds the memory full, for so long as its caller may be kept.
    private static func makeRoom(_ call: Call) -> Keyspace.Room {
        if call.isRoomAwaited {
            guard call.roomCredit >= call.roomCost else { return .later(freed: 0) }
            call.roomCredit -= call.roomCost
            return .made
        }
        return call.keyspace.makeRoom(adding: call.requestBytes, now: call.now, time: call.roomTime)
    }

    /// Runs ``Call/command`` with the locks that it needs, and counts it.
    static func run(_ call: Call) {
        let index = call.commandIndex
        let started = call.started != 0 ? call.started : MonotonicClock.nanoseconds()
        // Those of a transaction begin when it is their turn.
        call.started = 0
        carryOut(call)
        call.ended = MonotonicClock.nanoseconds()
        call.nanoseconds = call.ended &- started
        // Who waited was counted when it came.
        if !call.retries { call.counters.ran(index, nanoseconds: call.nanoseconds) }
    }

    private static func carryOut(_ call: Call) {
        let (flags, locks, hasOneKey) = (call.command.flags, call.command.locks, call.command.hasOneKey)
        call.changes = 0
        call.forgetHashes()
        if call.keyspace.hub.isMonitored { call.keyspace.hub.monitor(call) }
        if call.session.isTracking { track(call) }
        if call.holdsAll { return perform(call) }
        switch locks {
        case .none: perform(call)
        case .all: call.keyspace.withAllShards(call) { perform(call) }
        case .keys where hasOneKey:
            let shard = call.keyspace.shard(of: call.hash(1))
            shard.withLock {
                perform(call)
                if flags.contains(.write) { call.keyspace.publish(shard, call.database) }
            }
        case .keys:
            var mask: UInt64 = 0
            call.command.forEachKeyPlace(call) { mask |= 1 << UInt64(call.keyspace.shardIndex(of: call.hash($0))) }
            call.keyspace.withShards(mask) {
                perform(call)
                if flags.contains(.write) { call.keyspace.publish(mask, call.database) }
            }
        }
    }

    private static func perform(_ call: Call) {
        let (start, index) = (call.out.count, call.commandIndex)
        if call.command.flags.contains(.write), call.keyspace.persistence.isSnapshotting { call.keyspace.persistence.willRun(call) }
        do {
            try call.command.run(call)
        } catch {
            call.out.truncate(to: start)
            if call.retries, error == .wrongType {
                // Somebody made the key, of a type that the waiter does not want: it waits on.
                call.findNothing()
            } else {
                call.keyspace.errors.failed(error.text)
                call.counters.failed.add(index)
                call.out.error(error.text)
            }
        }
        if call.changes > 0 {
            call.counters.changes.add(call.changes)
            if call.keyspace.persistence.isLogging { call.keyspace.persistence.executed(call) }
        }
        call.rewritten = nil
    }

    /// Remembers what the command is about to read for a client that caches: by itself, in a transaction, or in a script.
    private static func track(_ call: Call) {
        guard call.command.flags.contains(.readonly) else { return }
        var places: ContiguousArray<Int> = []
        call.command.keyPlaces(call, &places)
        call.keyspace.hub.keysWillBeRead(places.map { call.bytes($0) }, by: call.session.id)
    }

    private static func refuse(_ call: Call, _ failure: CommandFailure) {
        call.session.transaction?.fail()
        call.keyspace.errors.failed(failure.text)
        call.counters.rejected.add(call.commandIndex)
        call.out.error(failure.text)
    }

    /// The words are the client's bytes up to a zero byte, whatever they are.
    /// - Source: Redis `server.c`, `commandCheckExistence`.
    private static func refuseUnknown(_ call: Call) {
        // A web page made somebody's browser send this: what stands in the request's body is not carried out.
        if call[0].count <= 5, ["post", "host:"].contains(call.lowercased(0)) {
            call.session.isClosing = true
            return
        }
        call.session.transaction?.fail()
        call.keyspace.errors.failed("ERR")
        var words: [UInt8] = []
        for index in 1..<max(call.count, 1) where words.count < 128 {
            words += Array("'".utf8) + call[index].prefix(128 - words.count).prefix { $0 != 0 } + Array("' ".utf8)
        }
        call.out.error(Array("ERR unknown command '".utf8) + call[0].prefix(128).prefix { $0 != 0 } + Array("', with args beginning with: ".utf8) + words)
    }
}

extension Command {
    /// Where this command's keys are in a request, which has the arguments that the arity asks for.
    func keyPlaces(_ call: Call, _ places: inout ContiguousArray<Int>) { forEachKeyPlace(call) { places.append($0) } }

    /// ``keyPlaces(_:_:)`` without a list of them.
    @inline(__always)
    func forEachKeyPlace(_ call: Call, _ body: (Int) -> Void) {
        switch keys {
        case .none: return
        case .range(let first, let last, let step):
            let end = last < 0 ? call.count + last : last
            var place = first
            while place <= end, place < call.count {
                body(place)
                place += step
            }
        case .counted(let at, let also):
            if also > 0, also < call.count { body(also) }
            guard at < call.count, let count = DecimalText.parse(call[at]), count > 0, count <= call.count - at - 1 else { return }
            for place in (at + 1)...(at + Int(count)) { body(place) }
        case .found(let find):
            var places: ContiguousArray<Int> = []
            find(call, &places)
            for place in places { body(place) }
        }
    }
}

/// What a subscribed client may say in RESP2.
private enum SubscribedCommands {
    static let names: Set<String> = [
        "subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ssubscribe", "sunsubscribe", "ping", "quit", "reset",
    ]
    static func allows(_ name: String) -> Bool { names.contains(name) }
}
