import RESPWire

/// `COMMAND`: the table, told to clients.
enum CommandCommand {
    static func command(_ call: Call) throws(CommandFailure) {
        let table = CommandTable.shared
        if call.count == 1 {
            call.out.array(table.commands.count)
            for command in table.commands { describe(command, call) }
            return
        }
        switch (call.lowercased(1), call.count) {
        case ("count", 2): call.out.integer(table.commands.count)
        case ("info", 2...):
            let named = call.count == 2 ? table.commands.map(Optional.some) : (2..<call.count).map { table.command(call[$0]) }
            call.out.array(named.count)
            for command in named { if let command { describe(command, call) } else { call.out.null() } }
        case ("docs", 2...):
            let named = call.count == 2 ? table.commands : (2..<call.count).compactMap { table.command(call[$0]) }
            call.out.map(named.count)
            for command in named { document(command, call) }
        case ("list", 2): names(table.commands, call)
        case ("list", 5) where call.matches(2, "filterby"):
            if call.matches(3, "aclcat") {
                let category = "@" + call.lowercased(4)
                names(table.commands.filter { $0.categories.contains(category) }, call)
            } else if call.matches(3, "pattern") {
                let pattern = GlobPattern(call[4])
                names(
                    table.commands.filter { command in
                        var name = command.name
                        return name.withUTF8 { pattern.matches(UnsafeRawBufferPointer($0)) }
                    }, call)
            } else if call.matches(3, "module") {
                names([], call)
            } else {
                throw .syntax
            }
        case ("getkeys", 4...): try keys(call)
        case ("list", _): throw .syntax
        case ("help", 2):
            ServerCommands.help(
                call, "COMMAND", ["COUNT", "DOCS [<command-name> ...]", "GETKEYS <full-command>", "INFO [<command-name> ...]", "LIST"])
        default: throw Subcommands.misused(call)
        }
    }

    private static func names(_ commands: [Command], _ call: Call) {
        call.out.array(commands.count)
        for command in commands { call.out.bulk(command.name) }
    }

    /// `COMMAND GETKEYS command …`.
    /// - Source: Redis `db.c`, `getKeysSubcommandImpl`, whose order of questions this keeps.
    private static func keys(_ call: Call) throws(CommandFailure) {
        let all = call.arguments
        defer { call.arguments = all }
        guard let command = CommandTable.shared.command(call[2]) else { throw .err("Invalid command specified") }
        call.arguments = ContiguousArray(all.dropFirst(2))
        let problem = Subcommands.problem(call, of: command)
        if case .unknown = problem { throw .err("Invalid command specified") }
        guard hasKeys(command, call) else { throw .err("The command has no key arguments") }
        guard problem == nil, command.arity > 0 ? call.count == command.arity : call.count >= -command.arity else {
            throw .err("Invalid number of arguments specified for command")
        }
        var places: ContiguousArray<Int> = []
        var isCountRight = true
        if case .counted(let at, _) = command.keys {
            let count = DecimalText.parse(call[at]) ?? -1
            isCountRight = count >= 0 && count <= Int64(call.count - at - 1) && (count > 0 || command.group == .scripting)
        }
        if isCountRight { command.keyPlaces(call, &places) }
        // A script needs none, and has none when their count is wrong.
        guard !places.isEmpty || command.group == .scripting else { throw .err("Invalid arguments specified for command") }
        call.out.array(places.count)
        for place in places { call.out.bulk(call[place]) }
    }

    /// Whether it could have any. Of containers Redis asks the subcommand; `DEBUG` has none that it would tell.
    private static func hasKeys(_ command: Command, _ call: Call) -> Bool {
        if case .none = command.keys { return false }
        switch command.name {
        case "debug": return false
        case "memory": return call.count > 1 && call.matches(1, "usage")
        case "object": return call.count > 1 && !call.matches(1, "help")
        default: return true
        }
    }

    /// Name, arity, flags, first key, last key, step, categories, tips, key specifications, subcommands.
    private static func describe(_ command: Command, _ call: Call) {
        let flags = Command.Flags.names.filter { command.flags.contains($0.0) }
        var (first, last, step) = (0, 0, 0)
        switch command.keys {
        case .range(let a, let b, let c): (first, last, step) = (a, b, c)
        // The one that is always in the same place.
        case .counted(_, let also) where also > 0: (first, last, step) = (also, also, 1)
        case .found where command.name == "sort": (first, last, step) = (1, 1, 1)
        default: break
        }
        // Channels that Redis takes for keys, since they have a slot in a cluster.
        if command.name == "spublish" { (first, last, step) = (1, 1, 1) }
        if command.name == "ssubscribe" || command.name == "sunsubscribe" { (first, last, step) = (1, -1, 1) }
        // They have none by themselves: their subcommands have.
        if ["object", "memory", "debug"].contains(command.name) { (first, last, step) = (0, 0, 0) }
        call.out.array(10)
        call.out.bulk(command.name)
        call.out.integer(command.arity)
        call.out.set(flags.count)
        for flag in flags { call.out.simple(flag.1) }
        call.out.integer(first)
        call.out.integer(last)
        call.out.integer(step)
        let categories = command.categories
        call.out.set(categories.count)
        for category in categories { call.out.simple(category) }
        call.out.array(0)
        call.out.array(0)
        call.out.array(0)
    }

    private static func document(_ command: Command, _ call: Call) {
        call.out.bulk(command.name)
        call.out.map(3)
        call.out.bulk("summary")
        call.out.bulk("\(command.summary)")
        call.out.bulk("since")
        call.out.bulk("\(command.since)")
        call.out.bulk("group")
        call.out.bulk(command.group.rawValue)
    }
}
