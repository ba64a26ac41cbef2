import Synchronization
import Telemetry

/// A user, as all of its connections know it: a change of its rules is theirs with their next command.
final class AccessUser: Sendable {
    let name: String
    private let box: Lock<AccessRules>
    /// Asked before every command: one load. Nearly every server has only users that may do all.
    let allowsAll: Atomic<Bool>

    init(_ name: String, _ rules: AccessRules) {
        self.name = name
        box = Lock(rules)
        allowsAll = Atomic(rules.allowsAll)
    }

    var rules: AccessRules {
        get { box.withLock { $0 } }
        set {
            box.withLock { $0 = newValue }
            allowsAll.store(newValue.allowsAll, ordering: .relaxed)
        }
    }
}

/// The users, and what was refused them lately.
final class AccessList: Sendable {
    static let usersMax = 10_000
    /// `acllog-max-len`.
    static let refusalsMax = 128

    struct Refusal: Sendable {
        enum Reason: String, Sendable { case command, key, channel, auth }
        var id: Int
        var count = 1
        var reason: Reason
        var context: String
        var object: [UInt8]
        var user: String
        /// Milliseconds since 1970.
        var created: Int64
        var updated: Int64
        var client: String
    }

    private struct State: Sendable {
        var users: [String: AccessUser] = [:]
        var refusals: [Refusal] = []
        var nextRefusal = 0
    }

    private let state: Lock<State>
    /// Whoever says nothing is this user.
    let standard: AccessUser
    /// Whom nobody can be, and who may do all.
    let internalUser = AccessUser("", .open)
    /// `requirepass`, as it was said last.
    private let standardPassword: Lock<String>

    init(password: String) {
        var rules = AccessRules.open
        if !password.isEmpty { _ = rules.apply(Array(">\(password)".utf8)) }
        standard = AccessUser("default", rules)
        standardPassword = Lock(password)
        state = Lock(State(users: ["default": standard]))
    }

    /// Whether clients need not say who they are.
    var isOpen: Bool {
        let rules = standard.rules
        return rules.isOn && rules.needsNoPassword
    }

    var requiredPassword: String {
        get { standardPassword.withLock { $0 } }
        set {
            standardPassword.withLock { $0 = newValue }
            var rules = standard.rules
            _ = rules.apply(Array((newValue.isEmpty ? "nopass" : "resetpass").utf8))
            if !newValue.isEmpty { _ = rules.apply(Array(">\(newValue)".utf8)) }
            standard.rules = rules
        }
    }

    var users: [AccessUser] { state.withLock { Array($0.users.values) }.sorted { $0.name < $1.name } }

    subscript(name: String) -> AccessUser? { state.withLock { $0.users[name] } }

    func authenticated(_ name: [UInt8], _ password: [UInt8]) -> AccessUser? {
        guard let user = self[String(decoding: name, as: UTF8.self)], user.rules.accepts(password) else { return nil }
        return user
    }

    /// Applies rules to a user, who is made if there is none. All of them, or none.
    /// - Returns: which one is wrong, and why.
    func set(_ name: String, _ rules: [[UInt8]]) -> (rule: [UInt8], problem: String)? {
        let user = self[name]
        var changed = user?.rules ?? AccessRules()
        for rule in rules {
            if let problem = changed.apply(rule) { return (rule, problem) }
        }
        if let user {
            user.rules = changed
        } else {
            let isFull = state.withLock { [changed] state in
                guard state.users.count < Self.usersMax else { return true }
                state.users[name] = AccessUser(name, changed)
                return false
            }
            if isFull { return (Array(name.utf8), "too many users") }
        }
        return nil
    }

    /// - Returns: whether there was one.
    func delete(_ name: String) -> Bool { state.withLock { $0.users.removeValue(forKey: name) != nil } }

    // MARK: Refusals

    func refused(_ reason: Refusal.Reason, _ object: [UInt8], _ call: Call, user: String, isInScript: Bool = false) {
        let context = isInScript ? "lua" : call.session.transaction != nil ? "multi" : "toplevel"
        let now = call.now
        let client = ClientCommands.line(call.session.record, call)
        // What was refused may be as long as a request.
        let object = Array(object.prefix(256))
        state.withLock { state in
            if let index = state.refusals.firstIndex(where: {
                $0.reason == reason && $0.context == context && $0.object == object && $0.user == user && now - $0.updated < 60_000
            }) {
                var refusal = state.refusals.remove(at: index)
                refusal.count += 1
                refusal.updated = now
                state.refusals.insert(refusal, at: 0)
                return
            }
            let refusal = Refusal(
                id: state.nextRefusal, reason: reason, context: context, object: object, user: user, created: now, updated: now, client: client)
            state.nextRefusal += 1
            state.refusals.insert(refusal, at: 0)
            if state.refusals.count > Self.refusalsMax { state.refusals.removeLast() }
        }
    }

    var refusals: [Refusal] { state.withLock { $0.refusals } }
    func forgetRefusals() { state.withLock { $0.refusals = [] } }
}

/// May this client do that?
enum AccessCheck {
    /// Commands that change their first key and tell what was in it; other commands that change it need no right to read.
    private static let telling: Set<String> = [
        "getset", "getdel", "getex", "incr", "incrby", "incrbyfloat", "decr", "decrby", "hincrby", "hincrbyfloat", "lpop", "rpop", "spop",
        "lmpop", "blmpop", "blpop", "brpop", "zpopmin", "zpopmax", "zmpop", "bzmpop", "bzpopmin", "bzpopmax", "zincrby", "setbit", "rename",
        "renamenx", "move", "lmove", "blmove", "rpoplpush", "brpoplpush", "smove",
    ]
    /// The first key is read, the second written; of those above, read and written.
    private static let moving: Set<String> = ["copy", "rename", "renamenx", "lmove", "blmove", "rpoplpush", "brpoplpush", "smove"]
    /// The first key is written, the others are read.
    private static let storing: Set<String> = [
        "sunionstore", "sinterstore", "sdiffstore", "zunionstore", "zinterstore", "zdiffstore", "zrangestore", "bitop",
    ]

    /// - Parameter index: of ``Call/command`` in the table.
    /// - Returns: the refusal, which is noted; `nil` when it may.
    @inline(__always)
    static func refusal(_ call: Call, _ index: Int, isInScript: Bool = false) -> CommandFailure? {
        call.session.user.allowsAll.load(ordering: .relaxed) ? nil : look(call, index, isInScript)
    }

    /// The same, and nothing is noted.
    static func allows(_ call: Call, _ index: Int) -> Bool {
        let user = call.session.user
        return user.allowsAll.load(ordering: .relaxed) || call.command.flags.contains(.noAuth) || denied(user.rules, call, index) == nil
    }

    private static func look(_ call: Call, _ index: Int, _ isInScript: Bool) -> CommandFailure? {
        let user = call.session.user
        let command = call.command
        // Without these nobody could say who they are.
        if command.flags.contains(.noAuth) { return nil }
        let rules = user.rules
        guard let found = denied(rules, call, index) else { return nil }
        call.keyspace.access.refused(found.reason, found.object, call, user: user.name, isInScript: isInScript)
        return .text("NOPERM " + found.text(user.name))
    }

    struct Denial {
        var reason: AccessList.Refusal.Reason
        var object: [UInt8]
        var isVerbose = false

        func text(_ user: String) -> String {
            let object = String(decoding: object.prefix(128), as: UTF8.self)
            switch reason {
            case .command, .auth: return "User \(user) has no permissions to run the '\(object)' command"
            case .key: return isVerbose ? "User \(user) has no permissions to access the '\(object)' key" : "No permissions to access a key"
            case .channel:
                return isVerbose ? "User \(user) has no permissions to access the '\(object)' channel" : "No permissions to access a channel"
            }
        }
    }

    static func denied(_ rules: AccessRules, _ call: Call, _ index: Int) -> Denial? {
        let command = call.command
        guard rules.allows(index, subcommand: { call.count > 1 ? call.lowercased(1) : "" }) else {
            return Denial(reason: .command, object: Array(command.name.utf8))
        }
        if !rules.allowsAllKeys {
            var places: ContiguousArray<Int> = []
            command.keyPlaces(call, &places)
            for (position, place) in places.enumerated() where place < call.count {
                let (reads, writes) = needs(command, call, position)
                guard rules.allowsKey(call[place], reads: reads, writes: writes) else { return Denial(reason: .key, object: call.bytes(place)) }
            }
        }
        if !rules.allowsAllChannels, command.group == .pubsub {
            for place in channelPlaces(command.name, call) {
                guard rules.allowsChannel(call[place], isPattern: command.name == "psubscribe") else {
                    return Denial(reason: .channel, object: call.bytes(place))
                }
            }
        }
        return nil
    }

    private static func needs(_ command: Command, _ call: Call, _ position: Int) -> (reads: Bool, writes: Bool) {
        guard command.flags.contains(.write) else { return (true, false) }
        if moving.contains(command.name) { return position == 0 ? (true, command.name != "copy") : (false, true) }
        if storing.contains(command.name) { return position == 0 ? (false, true) : (true, false) }
        if command.name == "sort" { return position == 0 ? (true, false) : (false, true) }
        if command.name == "set" { return ((3..<max(call.count, 3)).contains { call.matches($0, "get") }, true) }
        // A script may do anything with its keys.
        if command.group == .scripting { return (true, true) }
        return (telling.contains(command.name), true)
    }

    private static func channelPlaces(_ name: String, _ call: Call) -> Range<Int> {
        switch name {
        case "subscribe", "psubscribe", "ssubscribe": 1..<max(call.count, 1)
        case "publish", "spublish": 1..<min(2, call.count)
        default: 0..<0
        }
    }
}
