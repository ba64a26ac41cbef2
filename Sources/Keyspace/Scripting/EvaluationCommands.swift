import RESPWire

/// EVAL, EVALSHA, their read-only forms, and SCRIPT.
/// - Source: Redis `eval.c`; redis.io, "Scripting with Lua".
enum EvaluationCommands {
    static let rows: [Command] = [
        .init("eval", -3, [.wantsRoom, .noMandatoryKeys, .stale, .noscript, .skipMonitor, .movableKeys], .scripting, keys: .counted(at: 2, also: 0), locks: .none, "2.6.0", "Executes a server-side Lua script.") { call throws(CommandFailure) in try evaluate(call, isDigest: false, isReadOnly: false) },
        .init("evalsha", -3, [.wantsRoom, .noMandatoryKeys, .stale, .noscript, .skipMonitor, .movableKeys], .scripting, keys: .counted(at: 2, also: 0), locks: .none, "2.6.0", "Executes a server-side Lua script by SHA1 digest.") { call throws(CommandFailure) in try evaluate(call, isDigest: true, isReadOnly: false) },
        .init("eval_ro", -3, [.noMandatoryKeys, .stale, .readonly, .noscript, .skipMonitor, .movableKeys], .scripting, keys: .counted(at: 2, also: 0), locks: .none, "7.0.0", "Executes a read-only server-side Lua script.") { call throws(CommandFailure) in try evaluate(call, isDigest: false, isReadOnly: true) },
        .init("evalsha_ro", -3, [.noMandatoryKeys, .stale, .readonly, .noscript, .skipMonitor, .movableKeys], .scripting, keys: .counted(at: 2, also: 0), locks: .none, "7.0.0", "Executes a read-only server-side Lua script by SHA1 digest.") { call throws(CommandFailure) in try evaluate(call, isDigest: true, isReadOnly: true) },
        .init("script", -2, [.noscript], .scripting, keys: .none, locks: .none, "2.6.0", "A container for Lua scripts management commands.", script),
    ]

    private static func evaluate(_ call: Call, isDigest: Bool, isReadOnly: Bool) throws(CommandFailure) {
        let count = try call.integer(2)
        guard count <= call.count - 3 else { throw .err("Number of keys can't be greater than number of args") }
        guard count >= 0 else { throw .err("Number of keys can't be negative") }
        let interpreter = call.keyspace.scripts
        let script: ScriptInterpreter.Script
        if isDigest {
            guard let known = interpreter.script(call[1]) else { throw .noScript }
            script = known
        } else {
            script = try interpreter.compile(call[1], isLoaded: false)
        }
        call.keyspace.withAllShards(call) {
            interpreter.run(
                script, source: isDigest ? nil : call[1], call, keys: 3..<(3 + Int(count)), isReadOnly: isReadOnly,
                milliseconds: call.keyspace.settings.scriptMilliseconds.load(ordering: .relaxed))
        }
        // What the script's commands changed each of them has told already.
        call.changes = 0
    }

    private static func script(_ call: Call) throws(CommandFailure) {
        let interpreter = call.keyspace.scripts
        switch (call.lowercased(1), call.count) {
        case ("load", 3): call.out.bulk(try interpreter.compile(call[2], isLoaded: true).digest)
        case ("exists", 3...):
            call.out.array(call.count - 2)
            for place in 2..<call.count { call.out.integer(interpreter.script(call[place]) == nil ? 0 : 1) }
        case ("flush", 2):
            interpreter.flush()
            call.out.ok()
        case ("flush", 3...):
            guard call.count == 3, call.matches(2, "sync") || call.matches(2, "async") else {
                throw .err("SCRIPT FLUSH only support SYNC|ASYNC option")
            }
            interpreter.flush()
            call.out.ok()
        case ("kill", 2):
            guard interpreter.interrupt() else { throw .text("NOTBUSY No scripts in execution right now.") }
            call.out.ok()
        case ("debug", 3): throw .err("the debugger of scripts is not part of this server")
        case ("help", 2):
            let lines = [
                "SCRIPT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", "EXISTS <sha1> [<sha1> ...]",
                "    Return information about the existence of the scripts in the script cache.", "FLUSH [ASYNC|SYNC]",
                "    Flush the Lua scripts cache. Very dangerous on replicas.", "KILL", "    Kill the currently executing Lua script.",
                "LOAD <script>", "    Load a script into the scripts cache without executing it.", "HELP", "    Print this help.",
            ]
            call.out.array(lines.count)
            for line in lines { call.out.simple(line) }
        default:
            throw Subcommands.misused(call)
        }
    }
}
