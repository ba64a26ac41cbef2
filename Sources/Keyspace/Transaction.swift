/// What a client has queued since MULTI.
struct Transaction {
    /// Redis has no bound here but the client's buffer; this is ours.
    static let bytesMax = 1 << 30
    static let commandsMax = 1 << 20

    private(set) var commands: [[[UInt8]]] = []
    private(set) var hasFailed = false
    private(set) var bytes = 0
    /// Whether a command is among them that may make the memory fuller.
    private(set) var wantsRoom = false
    /// Whether one of them writes.
    private(set) var writes = false
    /// Whether one of them may add more than was said: ``Growth``.
    private(set) var grows = false

    mutating func queue(_ call: Call) {
        let copy = call.arguments.map { [UInt8]($0) }
        bytes += copy.reduce(0) { $0 + $1.count + 32 }
        guard bytes <= Self.bytesMax, commands.count < Self.commandsMax else {
            hasFailed = true
            return
        }
        commands.append(copy)
        if !call.command.flags.isDisjoint(with: [.denyoom, .wantsRoom]) { wantsRoom = true }
        if call.command.flags.contains(.write) { writes = true }
        if call.command.growth != nil { grows = true }
    }

    /// A command was refused when it was to be queued: EXEC will refuse all.
    mutating func fail() { hasFailed = true }
}
