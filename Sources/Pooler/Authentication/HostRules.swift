/// How a client has to show who it is. The raw value is the word in the rules and in logs.
public enum AuthenticationMethod: String, Sendable, CaseIterable {
    /// It is believed.
    case trust
    /// It is not let in.
    case reject
    /// The password in the clear: over TLS only, if you can.
    case password
    /// MD5; for users whose password is stored as a SCRAM secret, SCRAM (as in PostgreSQL).
    case md5
    case scramSHA256 = "scram-sha-256"
    /// A client certificate whose common name is the user's.
    case cert
    /// A Unix socket whose other end runs as the system user of the same name.
    case peer
}

/// Which client may log in to what, and how: rules in the format of PostgreSQL's `pg_hba.conf`. The first that fits decides; if
/// none does, nobody is let in.
///
/// Understood are `local`, `host`, `hostssl`, `hostnossl`; names, quoted names, lists, `all`, `sameuser`, `replication`; addresses
/// with a prefix length or a mask, `all`. What PostgreSQL knows besides (host names, `samenet`, `+group`, `@file`, options behind the
/// method) is refused with its line, for a rule that is read half is a hole.
/// - Source: PostgreSQL 15, "The pg_hba.conf File".
public struct HostRules: Sendable, Equatable {
    private(set) var rules: [Rule]

    /// An operator's mistake.
    public typealias Problem = UserList.Problem

    struct Rule: Sendable, Equatable {
        var transport: Transport
        var databases: [Name]
        var users: [Name]
        var addresses: Addresses
        var method: AuthenticationMethod
        /// Where it stands, from 1.
        var line: Int
    }

    enum Transport: String, Sendable, CaseIterable {
        /// Unix sockets.
        case local
        /// TCP, with or without TLS.
        case host
        case hostssl
        case hostnossl
    }

    enum Name: Sendable, Equatable {
        /// Of a database: all but replication (PostgreSQL's rule).
        case all
        /// The database that is named as the user.
        case sameUser
        /// Connections that ask for physical replication.
        case replication
        case exactly(String)
    }

    enum Addresses: Sendable, Equatable {
        case all
        case network(IPNetwork)
    }

    /// What is known of a client when it is asked which rule fits.
    struct Client: Sendable, Equatable {
        var user: String
        var database: String
        var isReplication = false
        /// `nil`: a Unix socket.
        var address: IPAddress?
        var hasTLS: Bool
    }

    public init(_ text: String) throws(Problem) {
        rules = []
        for (index, line) in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            let number = index + 1
            guard let fields = Self.fields(of: line) else { throw Problem(line: number, expected: "a closing double quote") }
            guard !fields.isEmpty else { continue }
            rules.append(try Self.rule(fields, line: number))
        }
    }

    /// The rule that decides.
    func first(for client: Client) -> Rule? {
        rules.first { rule in
            let transportFits =
                switch rule.transport {
                case .local: client.address == nil
                case .host: client.address != nil
                case .hostssl: client.address != nil && client.hasTLS
                case .hostnossl: client.address != nil && !client.hasTLS
                }
            guard transportFits else { return false }
            if case .network(let network) = rule.addresses {
                guard let address = client.address, network.contains(address) else { return false }
            }
            return rule.users.contains { $0 == .all || $0 == .exactly(client.user) }
                && rule.databases.contains { Self.fits($0, client) }
        }
    }

    private static func fits(_ database: Name, _ client: Client) -> Bool {
        if client.isReplication { return database == .replication }
        return switch database {
        case .all: true
        case .sameUser: client.database == client.user
        case .replication: false
        case .exactly(let name): client.database == name
        }
    }

    // MARK: Reading

    /// One field: the values between commas, and which of them were quoted.
    private typealias Field = [(text: String, isQuoted: Bool)]

    private static func rule(_ fields: [Field], line: Int) throws(Problem) -> Rule {
        var rest = fields[...]
        func next(_ what: String) throws(Problem) -> Field {
            guard let field = rest.popFirst() else { throw Problem(line: line, expected: what) }
            return field
        }
        func word(_ what: String) throws(Problem) -> String {
            let field = try next(what)
            guard field.count == 1 else { throw Problem(line: line, expected: what) }
            return field[0].text
        }
        let kinds = Transport.allCases.map(\.rawValue).joined(separator: ", ")
        guard let transport = Transport(rawValue: try word(kinds)) else { throw Problem(line: line, expected: "one of \(kinds)") }
        let databases = try names(try next("a database"), isDatabase: true, line: line)
        let users = try names(try next("a user"), isDatabase: false, line: line)
        let addresses: Addresses
        if transport == .local {
            addresses = .all
        } else {
            let text = try word("an address")
            if text == "all" {
                addresses = .all
            } else if let slash = text.firstIndex(of: "/") {
                guard let address = IPAddress(text[..<slash]), let length = Int(text[text.index(after: slash)...]),
                    let network = IPNetwork(address: address, prefixLength: length)
                else { throw Problem(line: line, expected: "an address and a prefix length, such as 10.0.0.0/8") }
                addresses = .network(network)
            } else {
                let expected = "an address with a prefix length or a mask; host names are not looked up"
                guard let address = IPAddress(text), let mask = IPAddress(try word(expected)), mask.bytes.count == address.bytes.count,
                    let length = mask.prefixLength, let network = IPNetwork(address: address, prefixLength: length)
                else { throw Problem(line: line, expected: expected) }
                addresses = .network(network)
            }
        }
        let methods = AuthenticationMethod.allCases.map(\.rawValue).joined(separator: ", ")
        guard let method = AuthenticationMethod(rawValue: try word("a method")) else {
            throw Problem(line: line, expected: "one of the methods \(methods)")
        }
        guard rest.isEmpty else { throw Problem(line: line, expected: "nothing behind the method: options are not understood") }
        guard method != .peer || transport == .local else { throw Problem(line: line, expected: "peer with local only") }
        guard method != .cert || transport == .hostssl else { throw Problem(line: line, expected: "cert with hostssl only") }
        return Rule(transport: transport, databases: databases, users: users, addresses: addresses, method: method, line: line)
    }

    private static func names(_ field: Field, isDatabase: Bool, line: Int) throws(Problem) -> [Name] {
        var names: [Name] = []
        for (text, isQuoted) in field {
            if isQuoted {
                names.append(.exactly(text))
            } else if text == "all" {
                names.append(.all)
            } else if isDatabase, text == "sameuser" {
                names.append(.sameUser)
            } else if isDatabase, text == "replication" {
                names.append(.replication)
            } else if text.hasPrefix("+") || text.hasPrefix("@") || text.hasPrefix("/") || text == "samerole" || text == "samegroup" {
                throw Problem(line: line, expected: "a name: roles' members, files and patterns are not understood (\(text))")
            } else {
                names.append(.exactly(text))
            }
        }
        return names
    }

    /// White space parts fields, commas part values, `#` begins a comment.
    /// - Returns: `nil` when a quote stays open.
    private static func fields(of line: Substring.UTF8View) -> [Field]? {
        var fields: [Field] = []
        var continues = false
        var rest = line[...]
        while true {
            rest = rest.drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: "\r") }
            guard let first = rest.first, first != UInt8(ascii: "#") else { return fields }
            var value: [UInt8] = []
            var isQuoted = false
            if first == UInt8(ascii: "\"") {
                isQuoted = true
                rest = rest.dropFirst()
                guard let end = rest.firstIndex(of: UInt8(ascii: "\"")) else { return nil }
                value = Array(rest[..<end])
                rest = rest[rest.index(after: end)...]
            } else {
                let end = rest.firstIndex { " \t\r,#\"".utf8.contains($0) } ?? rest.endIndex
                value = Array(rest[..<end])
                rest = rest[end...]
            }
            let text = String(decoding: value, as: UTF8.self)
            if continues, !fields.isEmpty {
                fields[fields.count - 1].append((text, isQuoted))
            } else {
                fields.append([(text, isQuoted)])
            }
            continues = false
            let behind = rest.drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
            if behind.first == UInt8(ascii: ",") {
                continues = true
                rest = behind.dropFirst()
            }
        }
    }
}
