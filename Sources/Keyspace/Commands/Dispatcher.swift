import RESPWire
import Telemetry

/// Carries out requests: finds the command, asks whether this client may, takes the locks, runs it, and answers.
///
/// - Source: Redis `server.c`, `processCommand`, whose order of checks this keeps, since clients see it in the errors.
enum Dispatcher {
    /// Carries out the request in ``Call/arguments`` for ``Call/session``; the reply is in ``Call/out`` afterwards, unless
    /// ``Call/waiter`` says that the client has to wait, or ``Call/isPostponed`` that nothing was done and it is to be tried again.
    static func execute(_ call: Call) {
        let session = call.session
        guard let index = CommandTable.shared.index(call[0]) else { return refuseUnknown(call) }
        call.commandIndex = index
        let command = call.command
        call.nanoseconds = 0
        call.database = session.database
        guard command.arity > 0 ? call.count == command.arity : call.count >= -command.arity else {
            return refuse(call, .err("wrong number of arguments for '\(command.name)' command"))
        }
        if command.flags.contains(.container), let failure = Subcommands.refusal(call) { return refuse(call, failure) }
        if !session.isAuthenticated, !command.flags.contains(.noAuth) {
            return refuse(call, .text("NOAUTH Authentication required."))
        }
        if let refusal = AccessCheck.refusal(call, index) { return refuse(call, refusal) }
        if !command.flags.isDisjoint(with: [.denyoom, .wantsRoom]), isFull(call) {
            switch makeRoom(call) {
            case .made: break
            case .none:
                if command.flags.contains(.denyoom) { return refuse(call, .outOfMemory) }
                if let transaction = endingTransaction(call), transaction.wantsRoom { return refuse(call, TransactionCommands.discarded(call, .outOfMemory)) }
            case .later:
                guard !call.mayPostpone else {
                    call.isPostponed = true
                    return
                }
            }
        }
        if command.flags.contains(.write), call.keyspace.persistence.isLogging, let refusal = call.keyspace.persistence.refusal() {
            return refuse(call, .text(refusal))
        }
        if session.isSubscribed, !session.isRESP3, !SubscribedCommands.allows(command.name) {
            return refuse(
                call,
                .err(
                    "Can't execute '\(command.name)': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"))
        }
        if session.transaction != nil, !command.flags.contains(.notQueued) {
            if command.flags.contains(.noMulti) {
                return refuse(call, .err("Command not allowed inside a transaction"))
            }
            session.transaction?.queue(call)
            call.out.simple("QUEUED")
            return
        }
        if session.isTracking { track(call) }
        run(call)
        if !call.readyKeys.isEmpty { call.keyspace.serveWaiters(call) }
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
        } else if let growth = call.command.growth, call.session.transaction == nil {
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
        let started = MonotonicClock.nanoseconds()
        carryOut(call)
        call.nanoseconds = MonotonicClock.nanoseconds() &- started
        // Who waited was counted when it came.
        if !call.retries { call.counters.ran(index, nanoseconds: call.nanoseconds) }
    }

    private static func carryOut(_ call: Call) {
        let command = call.command
        call.changes = 0
        call.firstHash = nil
        if call.keyspace.hub.isMonitored { call.keyspace.hub.monitor(call) }
        if call.holdsAll { return perform(call) }
        switch command.locks {
        case .none: perform(call)
        case .all: call.keyspace.withAllShards(call) { perform(call) }
        case .keys:
            switch command.keys {
            case .none: perform(call)
            case .range(first: 1, last: 1, step: _):
                let hash = KeyHash.hash(call[1])
                call.firstHash = hash
                let shard = call.keyspace.shard(of: hash)
                shard.lock.withLock { _ in
                    perform(call)
                    if command.flags.contains(.write) { call.keyspace.publish(shard, call.database) }
                }
            default:
                var places: ContiguousArray<Int> = []
                command.keyPlaces(call, &places)
                var mask: UInt64 = 0
                for place in places { mask |= 1 << UInt64(call.keyspace.shardIndex(of: KeyHash.hash(call[place]))) }
                call.keyspace.withShards(mask) {
                    perform(call)
                    if command.flags.contains(.write) { call.keyspace.publish(mask, call.database) }
                }
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
            call.keyspace.observer?.commandExecuted(call)
        }
        call.rewritten = nil
    }

    /// Remembers what the command is about to read for a client that caches.
    private static func track(_ call: Call) {
        if call.command.flags.contains(.readonly) {
            var places: ContiguousArray<Int> = []
            call.command.keyPlaces(call, &places)
            call.keyspace.hub.keysWillBeRead(places.map { call.bytes($0) }, by: call.session.id)
        }
        // `CLIENT CACHING` itself is not the command that it is about.
        if call.session.hasSaidCaching, call.command.name != "client" {
            call.session.hasSaidCaching = false
            call.keyspace.hub.tracking.withLock { $0.commandEnded(call.session.id) }
        }
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
    func keyPlaces(_ call: Call, _ places: inout ContiguousArray<Int>) {
        switch keys {
        case .none: return
        case .range(let first, let last, let step):
            let end = last < 0 ? call.count + last : last
            var place = first
            while place <= end, place < call.count {
                places.append(place)
                place += step
            }
        case .counted(let at, let also):
            if also > 0, also < call.count { places.append(also) }
            guard at < call.count, let count = DecimalText.parse(call[at]), count > 0, count <= call.count - at - 1 else { return }
            for place in (at + 1)...(at + Int(count)) { places.append(place) }
        case .found(let find): find(call, &places)
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
