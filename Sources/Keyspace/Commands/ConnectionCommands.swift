import RESPWire

/// What a client says about itself and its connection.
/// - Source: redis.io/commands, "Connection"; Redis `networking.c`.
enum ConnectionCommands {
    static let rows: [Command] = [
        .init(
            "ping", -1, [.fast], .connection, keys: .none, locks: .none, "1.0.0",
            "Returns the server's liveliness response.", ping),
        .init(
            "echo", 2, [.loading, .stale, .fast], .connection, keys: .none, locks: .none, "1.0.0",
            "Returns the given string."
        ) { $0.out.bulk($0[1]) },
        .init("quit", -1, [.allowBusy, .noscript, .loading, .stale, .fast, .noAuth, .notQueued], .connection, keys: .none, locks: .none, "1.0.0", "Closes the connection.") { call in
            call.session.isClosing = true
            call.out.ok()
        },
        .init(
            "select", 2, [.loading, .stale, .fast], .connection, keys: .none, locks: .none, "1.0.0",
            "Changes the selected database.", select),
        .init(
            "hello", -1, [.allowBusy, .noscript, .loading, .stale, .fast, .noAuth], .connection, keys: .none, locks: .none, "6.0.0",
            "Handshakes with the Redis server.", hello),
        .init(
            "auth", -2, [.allowBusy, .noscript, .loading, .stale, .fast, .noAuth], .connection, keys: .none, locks: .none, "1.0.0",
            "Authenticates the connection.", auth),
        .init(
            "reset", 1, [.allowBusy, .noscript, .loading, .stale, .fast, .noAuth, .notQueued], .connection, keys: .none, locks: .none, "6.2.0",
            "Resets the connection.", reset),
        .init(
            "client", -2, [.noscript, .loading, .stale], .connection, keys: .none, locks: .none, "2.4.0",
            "A container for client connection commands.", ClientCommands.client),
    ]

    private static func ping(_ call: Call) throws(CommandFailure) {
        guard call.count <= 2 else { throw .err("wrong number of arguments for 'ping' command") }
        if call.session.isSubscribed, !call.session.isRESP3 {
            call.out.array(2)
            call.out.bulk("pong")
            return call.count == 2 ? call.out.bulk(call[1]) : call.out.bulk([])
        }
        call.count == 2 ? call.out.bulk(call[1]) : call.out.simple("PONG")
    }

    private static func select(_ call: Call) throws(CommandFailure) {
        let value = try call.integer(1)
        guard value >= 0, value < Int64(call.keyspace.configuration.databases) else { throw .err("DB index is out of range") }
        call.session.database = Int(value)
        call.out.ok()
    }

    /// `HELLO [version [AUTH user password] [SETNAME name]]`.
    private static func hello(_ call: Call) throws(CommandFailure) {
        var version: Int64?
        if call.count > 1 {
            guard let value = DecimalText.parse(call[1]) else { throw .err("Protocol version is not an integer or out of range") }
            guard value == 2 || value == 3 else { throw .text("NOPROTO unsupported protocol version") }
            version = value
        }
        var name: [UInt8]?
        var index = 2
        while index < call.count {
            if call.matches(index, "auth"), index + 2 < call.count {
                try authenticate(call, user: call.bytes(index + 1), password: call.bytes(index + 2))
                index += 3
            } else if call.matches(index, "setname"), index + 1 < call.count {
                name = call.bytes(index + 1)
                try ClientCommands.checkName(call[index + 1])
                index += 2
            } else {
                throw .err("Syntax error in HELLO option '\(call.text(index))'")
            }
        }
        guard call.session.isAuthenticated else {
            throw .text(
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
        }
        if let name { call.session.record.text.withLock { $0.name = String(decoding: name, as: UTF8.self) } }
        if let version {
            call.session.isRESP3 = version == 3
            call.session.record.isRESP3.store(version == 3, ordering: .relaxed)
            call.out.isRESP3 = version == 3
        }
        call.out.map(7)
        call.out.bulk("server")
        call.out.bulk("redis")
        call.out.bulk("version")
        call.out.bulk(ServerCommands.redisVersion)
        call.out.bulk("proto")
        call.out.integer(call.session.isRESP3 ? 3 : 2)
        call.out.bulk("id")
        call.out.integer(call.session.id)
        call.out.bulk("mode")
        call.out.bulk("standalone")
        call.out.bulk("role")
        call.out.bulk("master")
        call.out.bulk("modules")
        call.out.array(0)
    }

    private static func auth(_ call: Call) throws(CommandFailure) {
        guard call.count <= 3 else { throw .syntax }
        if call.count == 2, call.keyspace.access.standard.rules.needsNoPassword {
            throw .err(
                "AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?")
        }
        let user = call.count == 3 ? call.bytes(1) : Array("default".utf8)
        try authenticate(call, user: user, password: call.bytes(call.count - 1))
        call.out.ok()
    }

    /// Where a request has names of users and passwords, which nobody is shown.
    static func credentials(_ call: Call) -> Set<Int> {
        if call.command.name == "auth" { return Set(1..<max(call.count, 1)) }
        guard call.command.name == "hello" else { return [] }
        var places: Set<Int> = []
        var index = 2
        while index < call.count {
            if call.matches(index, "auth") {
                places.formUnion(index + 1..<min(index + 3, call.count))
                index += 3
            } else {
                index += call.matches(index, "setname") ? 2 : 1
            }
        }
        return places
    }

    private static func authenticate(_ call: Call, user: [UInt8], password: [UInt8]) throws(CommandFailure) {
        guard let user = call.keyspace.access.authenticated(user, password) else {
            call.keyspace.access.refused(.auth, Array(call.command.name.utf8), call, user: String(decoding: user.prefix(128), as: UTF8.self))
            throw .text("WRONGPASS invalid username-password pair or user is disabled.")
        }
        call.session.user = user
        call.session.isAuthenticated = true
    }

    private static func reset(_ call: Call) throws(CommandFailure) {
        call.session.transaction = nil
        TransactionCommands.forgetWatched(call)
        call.keyspace.hub.closed(call.session.id)
        (call.session.subscriptionCount, call.session.subscriptionBytes) = (0, 0)
        call.session.hasUnsubscribed = true
        call.session.record.subscriptions.store(0, ordering: .relaxed)
        (call.session.isTracking, call.session.prefixBytes) = (false, 0)
        call.session.database = 0
        call.session.isRESP3 = false
        call.out.isRESP3 = false
        call.session.record.isRESP3.store(false, ordering: .relaxed)
        call.session.reply = .on
        call.session.isNoTouch = false
        call.session.isNoEvict = false
        call.session.record.text.withLock { $0.name = "" }
        call.session.user = call.keyspace.access.standard
        call.session.isAuthenticated = call.keyspace.access.isOpen
        call.session.isMonitor = false
        call.out.simple("RESET")
    }
}
