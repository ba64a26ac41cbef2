import Crypto

/// What one user may do: `ACL SETUSER`'s rules, applied one after the other.
///
/// - Source: redis.io/docs, "ACL"; Redis `acl.c`, `ACLSetUser`.
struct AccessRules: Sendable {
    struct KeyPattern: Sendable, Equatable {
        var bytes: [UInt8]
        var reads = true
        var writes = true

        var text: String {
            let pattern = String(decoding: bytes, as: UTF8.self)
            return reads && writes ? "~\(pattern)" : "%\(reads ? "R" : "")\(writes ? "W" : "")~\(pattern)"
        }
    }

    /// Bounds on what an administrator's mistake can make of a user.
    static let passwordsMax = 64
    static let patternsMax = 1024

    private(set) var isOn = false
    private(set) var needsNoPassword = false
    /// SHA-256, in hexadecimal.
    private(set) var passwords: [String] = []
    private(set) var keys: [KeyPattern] = []
    private(set) var channels: [[UInt8]] = []
    private(set) var allowsAllKeys = false
    private(set) var allowsAllChannels = false
    /// What a payload of `RESTORE` is, is looked at whatever this says; it is kept for who reads the rules.
    private var sanitizesPayload = true
    /// By the command's place in the table.
    private var allowed = [Bool](repeating: false, count: CommandTable.rows.count)
    /// Subcommands that differ from their command, which is written with a bar: `config|get`.
    private var exceptions: [String: Bool] = [:]
    /// Rules about commands since the last that was about all of them, as they were said.
    private var commandRules = ["-@all"]

    init() {}

    /// What a server without any user has: all, for everybody.
    static var open: AccessRules {
        var rules = AccessRules()
        for rule in ["on", "nopass", "~*", "&*", "+@all"] { _ = rules.apply(Array(rule.utf8)) }
        return rules
    }

    /// Whether nothing need be asked.
    var allowsAll: Bool { allowsAllKeys && allowsAllChannels && exceptions.isEmpty && !allowed.contains(false) }

    static func hash(_ password: some Sequence<UInt8>) -> String {
        SHA256.hash(data: Array(password)).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    func accepts(_ password: [UInt8]) -> Bool {
        guard isOn else { return false }
        if needsNoPassword { return true }
        let hash = Self.hash(password)
        return passwords.contains(hash)
    }

    // MARK: Rules

    /// - Returns: what is wrong with it; `nil` when it is applied.
    mutating func apply(_ rule: [UInt8]) -> String? {
        let text = String(decoding: rule, as: UTF8.self)
        switch text.lowercased() {
        case "on": isOn = true
        case "off": isOn = false
        case "nopass": (needsNoPassword, passwords) = (true, [])
        case "resetpass": (needsNoPassword, passwords) = (false, [])
        case "allkeys", "~*": (allowsAllKeys, keys) = (true, [KeyPattern(bytes: [UInt8(ascii: "*")])])
        case "resetkeys": (allowsAllKeys, keys) = (false, [])
        case "allchannels", "&*": (allowsAllChannels, channels) = (true, [[UInt8(ascii: "*")]])
        case "resetchannels": (allowsAllChannels, channels) = (false, [])
        case "allcommands", "+@all": setAll(true)
        case "nocommands", "-@all": setAll(false)
        case "reset": self = AccessRules()
        case "sanitize-payload": sanitizesPayload = true
        case "skip-sanitize-payload": sanitizesPayload = false
        case "clearselectors": break
        default: return applyLonger(rule, text)
        }
        return nil
    }

    private mutating func setAll(_ isAllowed: Bool) {
        allowed = allowed.map { _ in isAllowed }
        exceptions = [:]
        commandRules = [isAllowed ? "+@all" : "-@all"]
    }

    private mutating func applyLonger(_ rule: [UInt8], _ text: String) -> String? {
        guard let first = rule.first, !rule.contains(0) else { return "Syntax error" }
        let rest = Array(rule.dropFirst())
        // Rules are written one behind the other, in ACL LIST and in files: one with a space in it would be read as two.
        guard !"~%&+-".utf8.contains(first) || !rest.contains(where: { $0 == 0x20 || (0x09...0x0D).contains($0) }) else { return "Syntax error" }
        switch first {
        case UInt8(ascii: ">"): return addPassword(Self.hash(rest))
        case UInt8(ascii: "#"):
            let hash = String(decoding: rest, as: UTF8.self)
            guard hash.utf8.count == 64, hash.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) }) else {
                return "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            return addPassword(hash)
        case UInt8(ascii: "<"), UInt8(ascii: "!"):
            let hash = first == UInt8(ascii: "<") ? Self.hash(rest) : String(decoding: rest, as: UTF8.self)
            guard let index = passwords.firstIndex(of: hash) else { return "The password you are trying to remove from the user does not exist" }
            passwords.remove(at: index)
            return nil
        case UInt8(ascii: "~"): return addPattern(KeyPattern(bytes: rest))
        case UInt8(ascii: "%"):
            guard let tilde = rest.firstIndex(of: UInt8(ascii: "~")), tilde > 0 else { return "Syntax error" }
            let letters = String(decoding: rest[..<tilde], as: UTF8.self).uppercased()
            guard letters.allSatisfy({ $0 == "R" || $0 == "W" }) else { return "Syntax error" }
            return addPattern(
                KeyPattern(bytes: Array(rest[(tilde + 1)...]), reads: letters.contains("R"), writes: letters.contains("W")))
        case UInt8(ascii: "&"):
            guard !allowsAllChannels else {
                return "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels"
            }
            guard channels.count < Self.patternsMax else { return "too many patterns" }
            if !channels.contains(rest) { channels.append(rest) }
            return nil
        case UInt8(ascii: "+"): return setCommand(text.dropFirst().lowercased(), true)
        case UInt8(ascii: "-"): return setCommand(text.dropFirst().lowercased(), false)
        default: return "Syntax error"
        }
    }

    private mutating func addPassword(_ hash: String) -> String? {
        guard passwords.count < Self.passwordsMax else { return "too many passwords" }
        needsNoPassword = false
        if !passwords.contains(hash) { passwords.append(hash) }
        return nil
    }

    private mutating func addPattern(_ pattern: KeyPattern) -> String? {
        guard !allowsAllKeys else {
            return "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns"
        }
        guard keys.count < Self.patternsMax else { return "too many patterns" }
        if !keys.contains(pattern) { keys.append(pattern) }
        return nil
    }

    private mutating func setCommand(_ name: String, _ isAllowed: Bool) -> String? {
        let table = CommandTable.shared
        let rule = (isAllowed ? "+" : "-") + name
        if name.hasPrefix("@") {
            let members = AccessCategory.members(String(name))
            guard !members.isEmpty else { return "Unknown command or category name in ACL" }
            for index in members {
                allowed[index] = isAllowed
                forgetExceptions(of: table.commands[index].name)
            }
        } else {
            let parts = name.split(separator: "|", omittingEmptySubsequences: false)
            guard let index = Array(parts[0].utf8).withUnsafeBytes({ table.index($0) }) else { return "Unknown command or category name in ACL" }
            switch parts.count {
            case 1:
                allowed[index] = isAllowed
                forgetExceptions(of: table.commands[index].name)
            case 2 where !parts[1].isEmpty && exceptions.count < Self.patternsMax:
                if let known = Subcommands.arities[String(parts[0])], known[String(parts[1])] == nil { return "Unknown command or category name in ACL" }
                if allowed[index] == isAllowed { exceptions[name] = nil } else { exceptions[name] = isAllowed }
            default: return "Unknown command or category name in ACL"
            }
        }
        // The same command's earlier rule means nothing any more.
        commandRules.removeAll { $0.dropFirst() == name }
        guard commandRules.count < Self.patternsMax else { return "too many rules" }
        commandRules.append(rule)
        return nil
    }

    private mutating func forgetExceptions(of name: String) {
        guard !exceptions.isEmpty else { return }
        exceptions = exceptions.filter { !$0.key.hasPrefix(name + "|") }
    }

    // MARK: Questions

    func allows(_ command: Int, subcommand: () -> String) -> Bool {
        if exceptions.isEmpty { return allowed[command] }
        return exceptions["\(CommandTable.shared.commands[command].name)|\(subcommand())"] ?? allowed[command]
    }

    func allowsKey(_ key: UnsafeRawBufferPointer, reads: Bool, writes: Bool) -> Bool {
        if allowsAllKeys { return true }
        return keys.contains { pattern in
            guard pattern.reads || !reads, pattern.writes || !writes else { return false }
            return pattern.bytes.withUnsafeBytes { GlobPattern($0).matches(key) }
        }
    }

    /// - Parameter isPattern: a subscription's pattern is allowed when it is one of the user's, word for word.
    func allowsChannel(_ channel: UnsafeRawBufferPointer, isPattern: Bool) -> Bool {
        if allowsAllChannels { return true }
        return channels.contains { pattern in
            isPattern ? pattern.elementsEqual(channel) : pattern.withUnsafeBytes { GlobPattern($0).matches(channel) }
        }
    }

    // MARK: Texts

    var flags: [String] {
        [isOn ? "on" : "off"] + (needsNoPassword ? ["nopass"] : []) + [sanitizesPayload ? "sanitize-payload" : "skip-sanitize-payload"]
    }
    var commandsText: String { commandRules.joined(separator: " ") }
    var keysText: String { keys.map(\.text).joined(separator: " ") }
    var channelsText: String { channels.map { "&" + String(decoding: $0, as: UTF8.self) }.joined(separator: " ") }

    /// As `ACL LIST` has it, behind `user NAME`. Some channels are said behind `resetchannels`: a server may begin with all (`acl-pubsub-default`),
    /// and takes none besides.
    var text: String {
        (flags + passwords.map { "#" + $0 } + (keys.isEmpty ? [] : [keysText]) + (allowsAllChannels ? [] : ["resetchannels"])
            + (channels.isEmpty ? [] : [channelsText]) + [commandsText])
            .joined(separator: " ")
    }
}

/// `@read`, `@hash`, `@dangerous`: which commands are of a category.
enum AccessCategory {
    static let names = [
        "keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo", "stream", "pubsub", "admin",
        "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting",
    ]

    /// - Parameter category: with its `@`.
    static func members(_ category: String) -> [Int] {
        if category == "@all" { return Array(CommandTable.shared.commands.indices) }
        guard names.contains(String(category.dropFirst())) else { return [] }
        return CommandTable.shared.commands.indices.filter { index in
            CommandTable.shared.commands[index].categories.contains(category)
        }
    }
}
