import CLua
import RESPWire

/// Carries out the commands of one run of a script, with the locks that its `EVAL` holds.
///
/// Each command is logged by itself: the append log gets a script's effects, in one transaction, and never the script.
final class ScriptCommands {
    private let call: Call
    private let isReadOnly: Bool

    init(_ outer: Call, isReadOnly: Bool) {
        call = Call(keyspace: outer.keyspace, session: outer.session.standIn(), counters: outer.counters, outputCapacity: 1024)
        call.now = outer.now
        call.database = outer.database
        call.holdsAll = true
        call.mayBlock = false
        call.isInScript = true
        self.isReadOnly = isReadOnly
    }

    /// Keys that got an element for which somebody waits.
    var readyKeys: [WatchedKey] { call.readyKeys }
    /// What the append log gets.
    var effects: [AppendLogReplay.Command] { call.effects }

    /// `redis.log`, with its level from 0 (debug) to 3 (warning).
    func log(_ level: Int, _ line: String) { call.keyspace.hub.scriptLogged(level, line) }

    /// `redis.acl_check_cmd`. A command with too few arguments is not refused for that.
    /// - Returns: `nil` when there is no such command.
    func allows(_ words: UnsafeBufferPointer<headrace_slice>) -> Bool? {
        call.arguments.removeAll(keepingCapacity: true)
        for word in words { call.arguments.append(UnsafeRawBufferPointer(start: word.bytes, count: word.count)) }
        defer { call.arguments.removeAll(keepingCapacity: true) }
        guard let index = CommandTable.shared.index(call[0]) else { return nil }
        call.commandIndex = index
        if case .unknown = Subcommands.problem(call, of: call.command) { return nil }
        return AccessCheck.allows(call, index)
    }

    /// - Source: Redis `script_call.c`, `scriptCall`, and its checks in their order.
    func execute(_ words: UnsafeBufferPointer<headrace_slice>, isRESP3: Bool, _ reply: UnsafeMutablePointer<headrace_buffer>) {
        call.out.clear()
        call.out.isRESP3 = isRESP3
        call.session.isRESP3 = isRESP3
        call.arguments.removeAll(keepingCapacity: true)
        for word in words { call.arguments.append(UnsafeRawBufferPointer(start: word.bytes, count: word.count)) }
        if let refusal = refusal() {
            if let index = CommandTable.shared.index(call[0]) { call.counters.rejected.add(index) }
            call.out.error(refusal)
        } else {
            // SELECT within a script is the script's own.
            call.database = call.session.database
            Dispatcher.run(call)
        }
        call.arguments.removeAll(keepingCapacity: true)
        headrace_buffer_append(reply, call.out.bytes.baseAddress, call.out.count)
    }

    private func refusal() -> String? {
        guard let index = CommandTable.shared.index(call[0]) else { return "ERR Unknown Redis command called from script" }
        call.commandIndex = index
        let command = call.command
        guard command.arity > 0 ? call.count == command.arity : call.count >= -command.arity else {
            return "ERR Wrong number of args calling Redis command from script"
        }
        switch Subcommands.problem(call, of: command) {
        case nil: break
        case .unknown: return "ERR Unknown Redis command called from script"
        case .argumentCount: return "ERR Wrong number of args calling Redis command from script"
        }
        if let refusal = AccessCheck.refusal(call, index, isInScript: true) { return refusal.text }
        if command.flags.contains(.noscript) { return "ERR This Redis command is not allowed from script" }
        if isReadOnly, command.flags.contains(.write) { return "ERR Write commands are not allowed from read-only scripts." }
        if command.flags.contains(.write), call.keyspace.persistence.isLogging, let refusal = call.keyspace.persistence.refusal() { return refusal }
        // No room can be made with all shards held: that was done before the script began.
        if command.flags.contains(.denyoom), call.keyspace.isFull(), call.keyspace.eviction.policy == .noeviction {
            return CommandFailure.outOfMemory.text
        }
        return nil
    }
}
