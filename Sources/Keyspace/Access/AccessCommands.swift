import RESPWire

/// `ACL` and its subcommands.
/// - Source: redis.io/commands, `ACL`; Redis `acl.c`, `aclCommand`.
enum AccessCommands {
    static let rows: [Command] = [
        .init(
            "acl", -2, [.admin, .noscript, .loading, .stale, .skipSlowlog], .server, keys: .none, locks: .none, "6.0.0",
            "A container for Access List Control commands.", acl)
    ]

    private static func acl(_ call: Call) throws(CommandFailure) {
        let access = call.keyspace.access
        switch (call.lowercased(1), call.count) {
        case ("whoami", 2): call.out.bulk(call.session.user.name)
        case ("users", 2):
            let users = access.users
            call.out.array(users.count)
            for user in users { call.out.bulk(user.name) }
        case ("list", 2):
            let users = access.users
            call.out.array(users.count)
            for user in users { call.out.bulk("user \(user.name) \(user.rules.text)") }
        case ("getuser", 3): getUser(call)
        case ("setuser", 3...): try setUser(call)
        case ("deluser", 3...): try deleteUsers(call)
        case ("cat", 2):
            call.out.array(AccessCategory.names.count)
            for name in AccessCategory.names { call.out.bulk(name) }
        case ("cat", 3):
            let name = call.lowercased(2)
            guard AccessCategory.names.contains(name) else { throw .err("Unknown category '\(call.text(2))'") }
            let members = AccessCategory.members("@" + name)
            call.out.array(members.count)
            for index in members { call.out.bulk(CommandTable.shared.commands[index].name) }
        case ("genpass", 2), ("genpass", 3): try generate(call)
        case ("log", 2), ("log", 3): try log(call)
        case ("dryrun", 4...): try dryRun(call)
        case ("load", 2), ("save", 2):
            throw .err(
                "This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.")
        case ("help", 2):
            ServerCommands.help(
                call, "ACL",
                [
                    "CAT [<category>]", "DELUSER <username> [<username> ...]", "DRYRUN <username> <command> [<arg> ...]", "GETUSER <username>",
                    "GENPASS [<bits>]", "LIST", "LOG [<count> | RESET]", "SETUSER <username> <attribute> [<attribute> ...]", "USERS", "WHOAMI",
                ])
        default: throw Subcommands.misused(call)
        }
    }

    private static func getUser(_ call: Call) {
        guard let rules = call.keyspace.access[call.text(2)]?.rules else { return call.out.null() }
        call.out.map(6)
        call.out.bulk("flags")
        call.out.set(rules.flags.count)
        for flag in rules.flags { call.out.bulk(flag) }
        call.out.bulk("passwords")
        call.out.array(rules.passwords.count)
        for password in rules.passwords { call.out.bulk(password) }
        call.out.bulk("commands")
        call.out.bulk(rules.commandsText)
        call.out.bulk("keys")
        call.out.bulk(rules.keysText)
        call.out.bulk("channels")
        call.out.bulk(rules.channelsText)
        call.out.bulk("selectors")
        call.out.array(0)
    }

    private static func setUser(_ call: Call) throws(CommandFailure) {
        guard call[2].allSatisfy({ (33...126).contains($0) }) else { throw .err("Usernames can't contain spaces or null characters") }
        let rules = (3..<call.count).map { call.bytes($0) }
        if let wrong = call.keyspace.access.set(call.text(2), rules) {
            throw .err("Error in ACL SETUSER modifier '\(String(decoding: wrong.rule.prefix(128), as: UTF8.self))': \(wrong.problem)")
        }
        call.out.ok()
    }

    /// Connections of a deleted user end.
    private static func deleteUsers(_ call: Call) throws(CommandFailure) {
        let names = (2..<call.count).map { call.text($0) }
        guard !names.contains("default") else { throw .err("The 'default' user cannot be removed") }
        let deleted = names.filter { call.keyspace.access.delete($0) }
        ClientCommands.end(call.keyspace.clients.all.filter { client in deleted.contains(client.text.withLock { $0.user }) }, call)
        call.out.integer(deleted.count)
    }

    private static func generate(_ call: Call) throws(CommandFailure) {
        var bits: Int64 = 256
        if call.count == 3 {
            bits = try call.integer(2)
            guard (1...4096).contains(bits) else {
                throw .err("ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096")
            }
        }
        var random = SystemRandomNumberGenerator()
        call.out.bulk(String((0..<(bits + 3) / 4).map { _ in "0123456789abcdef".randomElement(using: &random) ?? "0" }))
    }

    private static func log(_ call: Call) throws(CommandFailure) {
        var count: Int64 = 10
        if call.count == 3 {
            if call.matches(2, "reset") {
                call.keyspace.access.forgetRefusals()
                return call.out.ok()
            }
            count = max(try call.integer(2), 0)
        }
        let refusals = call.keyspace.access.refusals.prefix(Int(clamping: count))
        call.out.array(refusals.count)
        for refusal in refusals {
            call.out.map(10)
            call.out.bulk("count")
            call.out.integer(refusal.count)
            for (name, value) in [("reason", refusal.reason.rawValue), ("context", refusal.context)] {
                call.out.bulk(name)
                call.out.bulk(value)
            }
            call.out.bulk("object")
            call.out.bulk(refusal.object)
            call.out.bulk("username")
            call.out.bulk(refusal.user)
            call.out.bulk("age-seconds")
            call.out.double(Double(max(call.now - refusal.created, 0)) / 1000)
            call.out.bulk("client-info")
            call.out.bulk(refusal.client)
            call.out.bulk("entry-id")
            call.out.integer(refusal.id)
            call.out.bulk("timestamp-created")
            call.out.integer(refusal.created)
            call.out.bulk("timestamp-last-updated")
            call.out.integer(refusal.updated)
        }
    }

    private static func dryRun(_ call: Call) throws(CommandFailure) {
        guard let user = call.keyspace.access[call.text(2)] else { throw .err("User '\(call.text(2))' not found") }
        guard let index = CommandTable.shared.index(call[3]) else { throw .err("Command '\(call.text(3))' not found") }
        let (arguments, own) = (call.arguments, call.commandIndex)
        defer { (call.arguments, call.commandIndex) = (arguments, own) }
        call.arguments.removeFirst(3)
        call.commandIndex = index
        let arity = call.command.arity
        guard arity > 0 ? call.count == arity : call.count >= -arity else {
            throw .err("wrong number of arguments for '\(call.command.name)' command")
        }
        guard var denial = AccessCheck.denied(user.rules, call, index) else { return call.out.ok() }
        denial.isVerbose = true
        call.out.bulk(denial.text(user.name))
    }
}
