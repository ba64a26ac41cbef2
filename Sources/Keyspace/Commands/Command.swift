/// One row of the command table: everything about a command. `COMMAND`, `COMMAND DOCS` and `docs/keyspace.md` are read off it.
///
/// A class: to copy a value of so many parts for each command that is carried out would cost more than to find it.
final class Command: Sendable {
    struct Flags: OptionSet, Sendable {
        let rawValue: UInt32
        static let write = Flags(rawValue: 1 << 0)
        static let readonly = Flags(rawValue: 1 << 1)
        /// May add memory: refused when there is none to be had.
        static let denyoom = Flags(rawValue: 1 << 2)
        static let admin = Flags(rawValue: 1 << 3)
        static let pubsub = Flags(rawValue: 1 << 4)
        static let noscript = Flags(rawValue: 1 << 5)
        static let blocking = Flags(rawValue: 1 << 6)
        static let loading = Flags(rawValue: 1 << 7)
        static let stale = Flags(rawValue: 1 << 8)
        static let fast = Flags(rawValue: 1 << 9)
        /// Allowed before authentication.
        static let noAuth = Flags(rawValue: 1 << 10)
        /// Refused in a transaction.
        static let noMulti = Flags(rawValue: 1 << 11)
        static let skipMonitor = Flags(rawValue: 1 << 12)
        static let skipSlowlog = Flags(rawValue: 1 << 13)
        static let movableKeys = Flags(rawValue: 1 << 14)
        /// Carried out at once even in a transaction: MULTI, EXEC, DISCARD, WATCH, QUIT, RESET.
        static let notQueued = Flags(rawValue: 1 << 15)
        /// Told to clients and nothing to us: Redis answers it while a script runs for too long; not while a replica loads; may have no keys.
        static let allowBusy = Flags(rawValue: 1 << 16)
        static let noAsyncLoading = Flags(rawValue: 1 << 17)
        static let noMandatoryKeys = Flags(rawValue: 1 << 18)
        /// Told to nobody: there is to be room before it, but it is refused for want of room only where it writes. Scripts.
        static let wantsRoom = Flags(rawValue: 1 << 19)
        /// Has ``Subcommands``, without being told so.
        static let container = Flags(rawValue: 1 << 20)

        static let names: [(Flags, StaticString)] = [
            (.write, "write"), (.readonly, "readonly"), (.denyoom, "denyoom"), (.admin, "admin"), (.pubsub, "pubsub"),
            (.noscript, "noscript"), (.blocking, "blocking"), (.loading, "loading"), (.stale, "stale"), (.fast, "fast"),
            (.noAuth, "no_auth"), (.noMulti, "no_multi"), (.skipMonitor, "skip_monitor"), (.skipSlowlog, "skip_slowlog"),
            (.movableKeys, "movablekeys"), (.allowBusy, "allow_busy"), (.noAsyncLoading, "no_async_loading"), (.noMandatoryKeys, "no_mandatory_keys"),
        ]
    }

    enum Group: String, Sendable {
        case string, generic, hash, list, set, sortedSet = "sorted-set", stream, connection, server, transactions, pubsub, scripting
        case bitmap

        /// The group's access category, if it is one.
        var category: StaticString? {
            switch self {
            case .string: "@string"
            case .hash: "@hash"
            case .list: "@list"
            case .set: "@set"
            case .sortedSet: "@sortedset"
            case .stream: "@stream"
            case .connection: "@connection"
            case .transactions: "@transaction"
            case .pubsub: "@pubsub"
            case .scripting: "@scripting"
            case .bitmap: "@bitmap"
            case .generic: "@keyspace"
            case .server: nil
            }
        }
    }

    /// Where a command's keys are among its arguments.
    enum Keys: Sendable {
        case none
        /// From the first on, each so many arguments apart, to the last; -1 is the last argument, -2 the one before it.
        case range(first: Int, last: Int, step: Int)
        /// A count at a place, so many keys behind it; and one more key at another place, 0 for none.
        case counted(at: Int, also: Int)
        /// Found by looking; the function appends places.
        case found(@Sendable (Call, inout ContiguousArray<Int>) -> Void)

        static let first = Keys.range(first: 1, last: 1, step: 1)
        static let all = Keys.range(first: 1, last: -1, step: 1)
    }

    /// Which shards a command holds while it runs.
    enum Locks: Sendable {
        /// Those of its keys.
        case keys
        case all
        /// None: it takes them one by one as it goes.
        case none
    }

    typealias Run = @Sendable (Call) throws(CommandFailure) -> Void

    let name: String
    /// Arguments with the name; negative for at least so many.
    let arity: Int
    let flags: Flags
    let group: Group
    let keys: Keys
    let locks: Locks
    let since: StaticString
    let summary: StaticString
    let run: Run
    /// `nil` for one that adds no more memory than its request is long.
    let growth: Growth?
    /// Whether its only key is its first argument.
    let hasOneKey: Bool

    init(
        _ name: String, _ arity: Int, _ flags: Flags, _ group: Group, keys: Keys = .first, locks: Locks = .keys,
        _ since: StaticString, _ summary: StaticString, _ run: @escaping Run
    ) {
        self.name = name
        self.arity = arity
        self.flags = Subcommands.arities[name] == nil ? flags : flags.union(.container)
        self.group = group
        self.keys = keys
        self.locks = locks
        self.since = since
        self.summary = summary
        self.run = run
        growth = Growth.ofCommands[name]
        if case .range(first: 1, last: 1, step: _) = keys { hasOneKey = true } else { hasOneKey = false }
    }

    /// Access categories, as `COMMAND INFO` and access rules name them.
    var categories: [String] {
        var names: [String] = []
        if let category = group.category { names.append("\(category)") }
        if flags.contains(.write) { names.append("@write") }
        if flags.contains(.readonly) { names.append("@read") }
        if flags.contains(.admin) { names += ["@admin", "@dangerous"] }
        if flags.contains(.blocking) { names.append("@blocking") }
        names.append(flags.contains(.fast) ? "@fast" : "@slow")
        if let others = Self.otherCategories[name] { names = names.filter { !others.without.contains($0) } + others.with }
        return names
    }

    /// Where a group and the flags do not say it all. Dangerous is also what costs all others time, or shows all there is.
    /// - Source: `COMMAND INFO` of Redis 7.
    private static let otherCategories: [String: (with: [String], without: [String])] = [
        "keys": (["@dangerous"], []), "restore": (["@dangerous"], []), "info": (["@dangerous"], []), "command": (["@connection"], []),
        "sort": (["@set", "@sortedset", "@list", "@dangerous"], ["@keyspace"]), "sort_ro": (["@set", "@sortedset", "@list", "@dangerous"], ["@keyspace"]),
        "wait": (["@connection"], ["@keyspace"]), "dbsize": (["@keyspace"], []), "flushdb": (["@keyspace", "@dangerous"], []),
        "flushall": (["@keyspace", "@dangerous"], []), "swapdb": (["@keyspace", "@dangerous"], []), "role": (["@admin", "@dangerous"], []),
        "lastsave": (["@admin", "@dangerous"], []), "eval_ro": ([], ["@read"]), "evalsha_ro": ([], ["@read"]),
    ]
}
