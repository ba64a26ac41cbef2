import RESPWire

/// `CLIENT` and its subcommands.
/// - Source: redis.io/commands, `CLIENT`; Redis `networking.c`, `clientCommand`.
enum ClientCommands {
    static func client(_ call: Call) throws(CommandFailure) {
        let record = call.session.record
        switch (call.lowercased(1), call.count) {
        case ("id", 2): call.out.integer(call.session.id)
        case ("getname", 2):
            let name = record.text.withLock { $0.name }
            if name.isEmpty { call.out.null() } else { call.out.bulk(name) }
        case ("setname", 3):
            try checkName(call[2])
            let name = call.text(2)
            record.text.withLock { $0.name = name }
            call.out.ok()
        case ("setinfo", 4): try setInfo(call)
        case ("info", 2): call.out.verbatim(line(record, call) + "\n")
        case ("list", _): try list(call)
        case ("kill", 3...): try kill(call)
        case ("reply", 3): try reply(call)
        case ("no-evict", 3):
            call.session.isNoEvict = try onOrOff(call)
            call.out.ok()
        case ("no-touch", 3):
            call.session.isNoTouch = try onOrOff(call)
            call.out.ok()
        case ("pause", 3), ("pause", 4): try pause(call)
        case ("unpause", 2):
            call.keyspace.pause.finish()
            call.out.ok()
        case ("unblock", 3), ("unblock", 4): try unblock(call)
        case ("tracking", 3...): try TrackingCommands.tracking(call)
        case ("caching", 3): try TrackingCommands.caching(call)
        case ("getredir", 2): TrackingCommands.redirection(call)
        case ("trackinginfo", 2): TrackingCommands.information(call)
        case ("help", 2):
            ServerCommands.help(
                call, "CLIENT",
                [
                    "CACHING (YES|NO)", "GETNAME", "GETREDIR", "ID", "INFO", "KILL <option>", "LIST [TYPE <type>] [ID <id> ...]", "NO-EVICT (ON|OFF)",
                    "NO-TOUCH (ON|OFF)", "PAUSE <timeout> [WRITE|ALL]", "REPLY (ON|OFF|SKIP)", "SETINFO <option> <value>", "SETNAME <name>",
                    "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]] [OPTIN] [OPTOUT] [NOLOOP]", "TRACKINGINFO",
                    "UNBLOCK <id> [TIMEOUT|ERROR]", "UNPAUSE",
                ])
        default: throw Subcommands.misused(call)
        }
    }

    private static func onOrOff(_ call: Call) throws(CommandFailure) -> Bool {
        if call.matches(2, "on") { return true }
        if call.matches(2, "off") { return false }
        throw .syntax
    }

    /// Names go into lines of `CLIENT LIST`, which spaces would break.
    static func checkName(_ name: UnsafeRawBufferPointer) throws(CommandFailure) {
        guard name.allSatisfy({ (33...126).contains($0) }) else {
            throw .err("Client names cannot contain spaces, newlines or special characters.")
        }
    }

    private static func setInfo(_ call: Call) throws(CommandFailure) {
        let value = call.text(3)
        let option = call.lowercased(2)
        guard option == "lib-name" || option == "lib-ver" else { throw .err("Unrecognized option '\(call.text(2))'") }
        guard call[3].allSatisfy({ (33...126).contains($0) }) else {
            throw .err("\(option) cannot contain spaces, newlines or special characters.")
        }
        call.session.record.text.withLock { if option == "lib-name" { $0.libraryName = value } else { $0.libraryVersion = value } }
        call.out.ok()
    }

    private static func reply(_ call: Call) throws(CommandFailure) {
        if call.matches(2, "on") {
            call.session.reply = .on
            call.out.ok()
        } else if call.matches(2, "off") {
            call.session.reply = .off
        } else if call.matches(2, "skip") {
            if call.session.reply != .off { call.session.reply = .skipNext }
        } else {
            throw .syntax
        }
    }

    private static func pause(_ call: Call) throws(CommandFailure) {
        guard let milliseconds = DecimalText.parse(call[2]) else { throw .err("timeout is not an integer or out of range") }
        guard milliseconds >= 0 else { throw .err("timeout is negative") }
        var isForWrites = false
        if call.count == 4 {
            if call.matches(3, "write") { isForWrites = true } else if !call.matches(3, "all") { throw .err("CLIENT PAUSE mode must be WRITE or ALL") }
        }
        let (end, isOver) = call.now.addingReportingOverflow(milliseconds)
        call.keyspace.pause.begin(until: isOver ? .max : end, isForWrites: isForWrites)
        call.out.ok()
    }

    private static func unblock(_ call: Call) throws(CommandFailure) {
        var isError = false
        if call.count == 4 {
            if call.matches(3, "error") {
                isError = true
            } else if !call.matches(3, "timeout") {
                throw .err("CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
            }
        }
        let id = try call.integer(2)
        var waiter: Waiter?
        for shard in call.keyspace.shards where waiter == nil {
            call.keyspace.withShard(shard, call) { waiter = shard.waiters.all.first { $0.session.id == id } }
        }
        guard let waiter, call.keyspace.cancel(waiter, call) else { return call.out.integer(0) }
        let answer = isError ? Array("-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n".utf8) : waiter.answerWhenLate
        waiter.port.answer(waiter, answer)
        call.out.integer(1)
    }

    // MARK: LIST, KILL

    private static func list(_ call: Call) throws(CommandFailure) {
        var clients = call.keyspace.clients.all
        if call.count >= 4, call.matches(2, "id") {
            var ids: Set<Int> = []
            for index in 3..<call.count {
                guard let id = DecimalText.parse(call[index]) else { throw .err("Invalid client ID") }
                ids.insert(Int(id))
            }
            clients = clients.filter { ids.contains($0.id) }
        } else if call.count == 4, call.matches(2, "type") {
            let type = call.lowercased(3)
            guard ["normal", "master", "replica", "slave", "pubsub"].contains(type) else {
                throw .err("Unknown client type '\(call.text(3))'")
            }
            clients = clients.filter { Self.type($0) == type }
        } else if call.count > 2 {
            throw .syntax
        }
        call.out.verbatim(clients.map { line($0, call) + "\n" }.joined())
    }

    private static func type(_ client: ClientRecord) -> String {
        client.subscriptions.load(ordering: .relaxed) > 0 ? "pubsub" : "normal"
    }

    /// One line of `CLIENT LIST`. `fd` is 0: a client is not told by its descriptor here.
    static func line(_ client: ClientRecord, _ call: Call) -> String {
        let (now, hub) = (call.now, call.keyspace.hub)
        let text = client.text.withLock { $0 }
        let (channels, patterns, shardChannels) = hub.pubSub.withLock {
            ($0.names(client.id, .channel).count, $0.names(client.id, .pattern).count, $0.names(client.id, .shardChannel).count)
        }
        let tracking = hub.tracking.withLock { $0.options(client.id) }
        let queued = client.queuedCount.load(ordering: .relaxed)
        let index = client.command.load(ordering: .relaxed)
        var command = index >= 0 ? CommandTable.shared.commands[index].name : "NULL"
        // Who asks is at this very command; in a transaction that is the EXEC.
        if client.id == call.session.id, queued < 0 { command = call.command.name == "client" ? "client|" + call.lowercased(1) : call.command.name }
        let (input, output) = (client.inputBytes.load(ordering: .relaxed), client.outputBytes.load(ordering: .relaxed))
        let redirection = tracking.map { $0.redirect ?? 0 } ?? -1
        return
            "id=\(client.id) addr=\(client.address) laddr=\(client.localAddress) fd=0 name=\(text.name) age=\(max(now - client.created, 0) / 1000) "
            + "idle=\(max(now - client.lastUse.load(ordering: .relaxed), 0) / 1000) flags=\(flags(client, tracking, call)) "
            + "db=\(client.database.load(ordering: .relaxed)) sub=\(channels) psub=\(patterns) ssub=\(shardChannels) multi=\(queued) "
            + "qbuf=\(input) qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=\(output > 0 ? 1 : 0) omem=\(output) tot-mem=\(input + output) "
            + "events=r cmd=\(command) user=\(text.user) redir=\(redirection) "
            + "resp=\(client.isRESP3.load(ordering: .relaxed) ? 3 : 2) lib-name=\(text.libraryName) lib-ver=\(text.libraryVersion)"
    }

    /// - Source: Redis `networking.c`, `catClientInfoString`.
    private static func flags(_ client: ClientRecord, _ tracking: Tracking.Options?, _ call: Call) -> String {
        var flags = ""
        if client.isMonitor.load(ordering: .relaxed) { flags += "O" }
        if client.subscriptions.load(ordering: .relaxed) > 0 { flags += "P" }
        if client.queuedCount.load(ordering: .relaxed) >= 0 { flags += "x" }
        if client.isBlocked.load(ordering: .relaxed) { flags += "b" }
        if let tracking {
            flags += "t"
            if let redirect = tracking.redirect, call.keyspace.clients[redirect] == nil { flags += "R" }
            if case .broadcast = tracking.mode { flags += "B" }
        }
        if client.address.hasPrefix("/") { flags += "U" }
        if client.isNoEvict.load(ordering: .relaxed) { flags += "e" }
        if client.isNoTouch.load(ordering: .relaxed) { flags += "T" }
        return flags.isEmpty ? "N" : flags
    }

    private static func kill(_ call: Call) throws(CommandFailure) {
        if call.count == 3 {
            let address = call.text(2)
            guard let client = call.keyspace.clients.all.first(where: { $0.address == address }) else { throw .err("No such client") }
            end([client], call)
            return call.out.ok()
        }
        guard call.count % 2 == 0 else { throw .syntax }
        var clients = call.keyspace.clients.all
        var skipsMe = true
        for index in stride(from: 2, to: call.count, by: 2) {
            let value = call.text(index + 1)
            switch call.lowercased(index) {
            case "id":
                guard let id = Int(value), id > 0 else { throw .err("client-id should be greater than 0") }
                clients = clients.filter { $0.id == id }
            case "addr": clients = clients.filter { $0.address == value }
            case "laddr": clients = clients.filter { $0.localAddress == value }
            case "user":
                guard call.keyspace.access[value] != nil else { throw .err("No such user '\(value)'") }
                clients = clients.filter { $0.text.withLock { $0.user } == value }
            case "type":
                guard ["normal", "master", "replica", "slave", "pubsub"].contains(value.lowercased()) else {
                    throw .err("Unknown client type '\(value)'")
                }
                clients = clients.filter { type($0) == value.lowercased() }
            case "skipme":
                guard ["yes", "no"].contains(value.lowercased()) else { throw .syntax }
                skipsMe = value.lowercased() == "yes"
            default: throw .syntax
            }
        }
        if skipsMe { clients = clients.filter { $0.id != call.session.id } }
        end(clients, call)
        call.out.integer(clients.count)
    }

    /// A client that ends itself still gets the answer. Who waits for a key waits no more, whatever comes next.
    static func end(_ clients: [ClientRecord], _ call: Call) {
        if !clients.isEmpty { call.keyspace.cancelWaiters(of: Set(clients.map(\.id)), call) }
        for client in clients {
            if client.id == call.session.id { call.session.isClosing = true } else { client.port?.close() }
        }
    }
}
