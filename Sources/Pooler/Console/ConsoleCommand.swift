/// A command of the console, as an operator types it into psql.
/// - Source: pgbouncer.org, "Admin console".
enum ConsoleCommand: Sendable, Equatable {
    case show(ConsoleTable)
    /// Changes a setting until the next start. Values may be quoted.
    case set(key: String, value: String)
    case reload
    /// Lets the transactions of a database, or of all, end and starts no new ones.
    case pause(database: String?)
    case resume(database: String?)
    /// Refuses new clients of a database.
    case disable(database: String)
    case enable(database: String)
    /// Replaces server connections as they become free.
    case reconnect(database: String?)
    /// Drops all connections of a database, or of all, at once.
    case kill(database: String?)
    /// Drops one client, by the `id` of `SHOW CLIENTS`.
    case killClient(id: UInt64)
    case suspend
    case shutdown(Shutdown)
    /// Answers when the server connections that `RECONNECT` gave up are gone.
    case waitClose(database: String?)
    /// A session command that drivers send by themselves, such as BEGIN or `SET extra_float_digits = 3`: taken, without effect. With
    /// the tag of its answer.
    case courtesy(tag: String)
    /// Nothing but white space, comments and `;`: what drivers send to see whether somebody is there.
    case empty

    enum Shutdown: Sendable, Equatable {
        case now
        /// When all server connections are free.
        case waitForServers
        /// When all clients have gone.
        case waitForClients
    }

    /// What an operator can be told.
    enum Problem: Error, Equatable, Sendable {
        case unknown(command: String)
        case unknownTable(String)
        /// With what should stand there.
        case argument(String)
        /// More than one command in a query.
        case several

        /// - Source: PostgreSQL 15, Appendix A: syntax_error.
        var sqlState: String { "42601" }

        var message: String {
            switch self {
            case .unknown(let command): "invalid command '\(command)', use SHOW HELP;"
            case .unknownTable(let name): "unknown table '\(name)' to show, use SHOW HELP;"
            case .argument(let expected): "invalid command: expected \(expected)"
            case .several: "one command at a time"
            }
        }
    }

    /// Longer ones are no commands.
    static let textBytesMax = 4096

    init(_ text: String) throws(Problem) {
        guard text.utf8.count <= Self.textBytesMax else { throw .argument("a command of at most \(Self.textBytesMax) bytes") }
        var words = try Self.words(of: text)[...]
        guard let first = words.popFirst() else {
            self = .empty
            return
        }
        switch first.keyword {
        // PgBouncer takes SELECT for SHOW, too.
        case "SHOW", "SELECT":
            guard let name = words.popFirst() else { throw .argument("what to show, use SHOW HELP;") }
            // As psql completes it, and PgBouncer understands it: SHOW STATS TOTALS.
            var table = name.keyword
            if table == "STATS" || table == "PEER" || table == "ACTIVE" || table == "DNS", let second = words.popFirst() {
                table += "_" + second.keyword
            }
            guard let table = ConsoleTable(rawValue: table) else {
                if first.keyword == "SELECT" { throw .unknown(command: first.text) }
                throw .unknownTable(name.text)
            }
            self = .show(table)
        case "SET": self = try Self.set(&words)
        case "RELOAD": self = .reload
        case "PAUSE": self = .pause(database: words.popFirst()?.text)
        case "RESUME": self = .resume(database: words.popFirst()?.text)
        case "DISABLE": self = .disable(database: try Self.database(&words))
        case "ENABLE": self = .enable(database: try Self.database(&words))
        case "RECONNECT": self = .reconnect(database: words.popFirst()?.text)
        case "KILL": self = .kill(database: words.popFirst()?.text)
        case "KILL_CLIENT":
            guard let id = words.popFirst().flatMap({ UInt64($0.text) }) else { throw .argument("the id of a client, see SHOW CLIENTS;") }
            self = .killClient(id: id)
        case "SUSPEND": self = .suspend
        case "SHUTDOWN":
            switch words.popFirst()?.keyword {
            case nil: self = .shutdown(.now)
            case "WAIT_FOR_SERVERS": self = .shutdown(.waitForServers)
            case "WAIT_FOR_CLIENTS": self = .shutdown(.waitForClients)
            default: throw .argument("WAIT_FOR_SERVERS or WAIT_FOR_CLIENTS")
            }
        case "WAIT_CLOSE": self = .waitClose(database: words.popFirst()?.text)
        case "BEGIN", "START": self = Self.courtesy("BEGIN", &words)
        case "COMMIT", "END": self = Self.courtesy("COMMIT", &words)
        case "ROLLBACK", "ABORT": self = Self.courtesy("ROLLBACK", &words)
        case "DISCARD": self = Self.courtesy("DISCARD ALL", &words)
        default: throw .unknown(command: first.text)
        }
        if let surplus = words.first { throw .argument("nothing before '\(surplus.text)'") }
    }

    private static func courtesy(_ tag: String, _ words: inout ArraySlice<Word>) -> ConsoleCommand {
        words = []
        return .courtesy(tag: tag)
    }

    private static func database(_ words: inout ArraySlice<Word>) throws(Problem) -> String {
        guard let name = words.popFirst() else { throw .argument("the name of a database") }
        return name.text
    }

    /// What drivers set on every connection: of no meaning to the console.
    private static let driverParameters: Set<String> = [
        "extra_float_digits", "application_name", "client_encoding", "datestyle", "timezone", "standard_conforming_strings", "session",
        "client_min_messages", "names", "bytea_output", "intervalstyle",
    ]

    private static func set(_ words: inout ArraySlice<Word>) throws(Problem) -> ConsoleCommand {
        guard let key = words.popFirst(), !key.isQuoted else { throw .argument("SET key = value") }
        let name = key.text.lowercased()
        if driverParameters.contains(name) { return courtesy("SET", &words) }
        guard let sign = words.popFirst(), sign.text == "=" || sign.keyword == "TO" else { throw .argument("SET key = value") }
        guard let value = words.popFirst() else { throw .argument("SET key = value") }
        // A value of several words, such as a list of servers, needs no quotes with PgBouncer.
        let all = [value.text] + words.map(\.text)
        words = []
        return .set(key: name, value: all.joined(separator: " "))
    }

    // MARK: Words

    private struct Word {
        var text: String
        var isQuoted = false

        var keyword: String { isQuoted ? "" : text.uppercased() }
    }

    /// Parts a command into words, `=` and quoted texts; comments and one `;` at the end are dropped.
    private static func words(of text: String) throws(Problem) -> [Word] {
        var words: [Word] = []
        var rest = text.utf8[...]
        var hasEnded = false
        while let byte = rest.first {
            if byte == 0x20 || (0x09...0x0D).contains(byte) {
                rest = rest.dropFirst()
            } else if rest.starts(with: "--".utf8) {
                rest = rest.drop { $0 != UInt8(ascii: "\n") }
            } else if rest.starts(with: "/*".utf8) {
                guard let end = Self.endOfComment(rest) else { throw .argument("*/") }
                rest = rest[end...]
            } else if byte == UInt8(ascii: ";") {
                hasEnded = hasEnded || !words.isEmpty
                rest = rest.dropFirst()
            } else {
                guard !hasEnded else { throw .several }
                words.append(try word(&rest))
            }
        }
        return words
    }

    private static func word(_ rest: inout Substring.UTF8View) throws(Problem) -> Word {
        guard let first = rest.first else { throw .argument("a word") }
        if first == UInt8(ascii: "=") {
            rest = rest.dropFirst()
            return Word(text: "=")
        }
        guard first == UInt8(ascii: "\"") || first == UInt8(ascii: "'") else {
            let end = rest.firstIndex { $0 <= 0x20 || $0 == UInt8(ascii: ";") || $0 == UInt8(ascii: "=") } ?? rest.endIndex
            defer { rest = rest[end...] }
            return Word(text: String(decoding: Array(rest[..<end]), as: UTF8.self))
        }
        var text: [UInt8] = []
        rest = rest.dropFirst()
        while let byte = rest.first {
            rest = rest.dropFirst()
            if byte == first {
                guard rest.first == first else { return Word(text: String(decoding: text, as: UTF8.self), isQuoted: true) }
                rest = rest.dropFirst()
            }
            text.append(byte)
        }
        throw .argument("a closing quote")
    }

    private static func endOfComment(_ rest: Substring.UTF8View) -> Substring.UTF8View.Index? {
        var index = rest.index(rest.startIndex, offsetBy: 2)
        while index < rest.endIndex {
            let next = rest.index(after: index)
            if rest[index] == UInt8(ascii: "*"), next < rest.endIndex, rest[next] == UInt8(ascii: "/") { return rest.index(after: next) }
            index = next
        }
        return nil
    }
}

/// Who may do what on the console.
struct ConsoleAccess: Sendable, Equatable {
    /// May do everything.
    var admins: Set<String>
    /// May look at everything but SHOW FDS.
    var observers: Set<String>

    enum Verdict: Sendable, Equatable {
        case allowed
        /// 42501 insufficient_privilege.
        case adminOnly
        /// The console is not for this user: 28000.
        case noAccess
    }

    func verdict(on command: ConsoleCommand, user: String) -> Verdict {
        if admins.contains(user) { return .allowed }
        guard observers.contains(user) else { return .noAccess }
        switch command {
        case .show(.fds): return .adminOnly
        case .show, .courtesy, .empty: return .allowed
        case .set, .reload, .pause, .resume, .disable, .enable, .reconnect, .kill, .killClient, .suspend, .shutdown, .waitClose:
            return .adminOnly
        }
    }

    /// Whether a user may connect to the console at all.
    func mayConnect(_ user: String) -> Bool { admins.contains(user) || observers.contains(user) }

    /// The databases that are the console: PgBouncer's name, so that its users' tools go on working, and ours.
    static let databases: Set<String> = ["headrace", "pgbouncer"]
}
