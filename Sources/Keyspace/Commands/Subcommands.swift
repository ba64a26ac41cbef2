import RESPWire

/// The subcommands of containers and how many arguments they take, so that a wrong one is refused before anything else is asked: in a transaction when
/// it is queued, not when it runs.
/// - Source: `COMMAND INFO` of Redis 7.0; `CLIENT NO-TOUCH` and `SETINFO` are of 7.2.
enum Subcommands {
    /// By container: arguments with both names; negative for at least so many.
    static let arities: [String: [String: Int]] = [
        "acl": [
            "cat": -2, "deluser": -3, "dryrun": -4, "genpass": -2, "getuser": 3, "help": 2, "list": 2, "load": 2, "log": -2, "save": 2, "setuser": -3,
            "users": 2, "whoami": 2,
        ],
        "client": [
            "caching": 3, "getname": 2, "getredir": 2, "help": 2, "id": 2, "info": 2, "kill": -3, "list": -2, "no-evict": 3, "no-touch": 3, "pause": -3,
            "reply": 3, "setinfo": 4, "setname": 3, "tracking": -3, "trackinginfo": 2, "unblock": -3, "unpause": 2,
        ],
        "command": ["count": 2, "docs": -2, "getkeys": -4, "help": 2, "info": -2, "list": -2],
        "config": ["get": -3, "help": 2, "resetstat": 2, "rewrite": 2, "set": -4],
        "latency": ["doctor": 2, "graph": 3, "help": 2, "histogram": -2, "history": 3, "latest": 2, "reset": -2],
        "memory": ["doctor": 2, "help": 2, "malloc-stats": 2, "purge": 2, "stats": 2, "usage": -3],
        "object": ["encoding": 3, "freq": 3, "help": 2, "idletime": 3, "refcount": 3],
        "pubsub": ["channels": -2, "help": 2, "numpat": 2, "numsub": -2, "shardchannels": -2, "shardnumsub": -2],
        "script": ["debug": 3, "exists": -3, "flush": -2, "help": 2, "kill": 2, "load": 3],
        "slowlog": ["get": -2, "help": 2, "len": 2, "reset": 2],
    ]

    /// Of containers that have both, those that are an operator's; of the others all are, or none.
    private static let operators: [String: Set<String>] = [
        "acl": ["deluser", "dryrun", "getuser", "list", "load", "log", "save", "setuser", "users"],
        "client": ["kill", "list", "no-evict", "pause", "unblock", "unpause"],
    ]

    /// Whether what a call does is an operator's, and so is not shown to who monitors.
    static func isForOperators(_ call: Call) -> Bool {
        if call.count > 1, let own = operators[call.command.name] { return own.contains(call.lowercased(1)) }
        return call.command.flags.contains(.admin)
    }

    enum Problem {
        case unknown
        case argumentCount(subcommand: String)
    }

    /// - Returns: what is wrong with the second word, or with how many follow it; `nil` for a container by itself, and for what is none.
    static func problem(_ call: Call, of command: Command) -> Problem? {
        guard call.count > 1, let arities = arities[command.name] else { return nil }
        let name = call.lowercased(1)
        guard let arity = arities[name] else { return .unknown }
        return (arity > 0 ? call.count == arity : call.count >= -arity) ? nil : .argumentCount(subcommand: name)
    }

    static func refusal(_ call: Call) -> CommandFailure? {
        let name = call.command.name
        switch problem(call, of: call.command) {
        case nil: return nil
        case .unknown: return .err("unknown subcommand '\(call.text(1).prefix(128))'. Try \(name.uppercased()) HELP.")
        case .argumentCount(let subcommand): return .err("wrong number of arguments for '\(name)|\(subcommand)' command")
        }
    }

    /// For a subcommand that is known, with arguments that it does not know.
    static func misused(_ call: Call) -> CommandFailure {
        .err("unknown subcommand or wrong number of arguments for '\(call.text(1).prefix(128))'. Try \(call.command.name.uppercased()) HELP.")
    }
}
