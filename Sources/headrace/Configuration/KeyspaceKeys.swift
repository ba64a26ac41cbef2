import Edge
import Keyspace

/// What can be said of the keyspace.
enum KeyspaceKeys {
    static let all: [ConfigurationKey] = [
        .init(
            "keyspace.listen", \.keyspace.listen, .list("addresses", of: .keyspaceAddress, isEmptyAllowed: true),
            "Where clients of Redis' protocol connect, such as 127.0.0.1:6379; without an address there is no keyspace."),
        .init("keyspace.threads", \.keyspace.threads, .number(0...256), "Event loops of the keyspace's own; 0 is one per core."),
        .init(
            "keyspace.maxmemory", \.keyspace.bytesMax, .size(0...1 << 40),
            "Memory of all keys, values and bookkeeping; 0B is no bound. CONFIG SET maxmemory changes it while it runs."),
        .init(
            "keyspace.policy", \.keyspace.policy, .evictionPolicy,
            "Which keys make room when the memory is full. Queues (Celery, RQ) and locks want noeviction."),
        .init(
            "keyspace.password", \.keyspace.password, .plainSecret, isSecret: true,
            "What clients must say in AUTH, as requirepass of Redis; without one, nothing."),
        .init(
            "keyspace.users", \.keyspace.users, .list("users", of: .accessUser, isEmptyAllowed: true),
            "Further users, each as ACL SETUSER takes it: a name, then rules; passwords best as #SHA-256 (app on #5e88… ~app:* +@all -@dangerous)."),
        .init("keyspace.databases", \.keyspace.databases, .number(1...64), "Databases for SELECT."),
        .init(
            "keyspace.clients", \.keyspace.clientsMax, .number(1...1_000_000), "Connected clients; more are closed at once."),
        .init(
            "keyspace.settings", \.keyspace.settings, .mapping("settings", of: .keyspaceSetting),
            "What CONFIG SET can change besides, under Redis' names, such as {notify-keyspace-events: KEA}; CONFIG REWRITE writes it here."),
        .init(
            "keyspace.limits.output", \.keyspace.outputBytesMax, .size(1 << 16...1 << 32),
            "Answers that wait for a client to take them; it is closed beyond."),
        .init(
            "keyspace.limits.input", \.keyspace.inputBytesMax, .size(1 << 16...1 << 32),
            "Requests that were read of a client and not carried out yet; it is closed beyond."),
    ] + tls + persistence

    private static let tls: [ConfigurationKey] = [
        .init(
            "keyspace.tls.listen", \.keyspace.tls.listen, .list("addresses", of: .keyspaceAddress, isEmptyAllowed: true),
            "Where clients connect with TLS, such as 10.0.0.5:6380. TLS 1.2 and 1.3."),
        .init(
            "keyspace.tls.certificates", \.keyspace.tls.certificates, .list("files", of: .text("file"), isEmptyAllowed: true),
            "Certificates in PEM, each with those that vouch for it. The one that the client asks for by name is shown, or else the first. "
                + "A file that changes is read anew."),
        .init(
            "keyspace.tls.keys", \.keyspace.tls.keys, .list("files", of: .text("file"), isEmptyAllowed: true),
            "Their private keys in PEM, in the same order. Without any, each stands in its certificate's file."),
        .init(
            "keyspace.tls.client_certificates", \.keyspace.tls.clientCertificates, .word("mode"), "Whether clients show a certificate."),
        .init(
            "keyspace.tls.client_authorities", \.keyspace.tls.clientAuthorities, .optional(.text("file")),
            "Whose certificates are believed of clients, in PEM."),
    ]

    private static let persistence: [ConfigurationKey] = [
        .init(
            "keyspace.directory", \.keyspace.directory, .text("folder"),
            "Where snapshot and append log are, in Redis' formats; without one, the keys are gone with the process."),
        .init("keyspace.snapshot_name", \.keyspace.snapshotName, .bareFileName, "The snapshot's file in it (dbfilename)."),
        .init(
            "keyspace.save", \.keyspace.savePoints, .list("save points", of: .savePoint, isEmptyAllowed: true),
            "A snapshot is written when there were so many changes and the last one is so long ago, and at the end; [] is never."),
        .init(
            "keyspace.append_only", \.keyspace.appendOnly, .boolean,
            "Log every change in the directory, and load the log at the start in the place of the snapshot (appendonly)."),
        .init(
            "keyspace.fsync", \.keyspace.fsync, .fsyncPolicy,
            "When the log is forced to the disk: before each reply, once a second, or when the system likes (appendfsync)."),
        .init(
            "keyspace.cut_torn_log", \.keyspace.cutsTornTail, .boolean,
            "Cut off a last command that a crash left in half, and say so; false refuses to start (aof-load-truncated)."),
        .init(
            "keyspace.rewrite.growth", \.keyspace.rewritePercentage, .number(0...100_000),
            "Rewrite the log when it has grown by so many percent since the last time; 0 is never by itself (auto-aof-rewrite-percentage)."),
        .init(
            "keyspace.rewrite.size", \.keyspace.rewriteBytesMin, .size(0...1 << 40),
            "But not while it is smaller than this (auto-aof-rewrite-min-size)."),
    ]
}

extension ValueFormat where Value == String {
    /// A user of the keyspace: `NAME RULE…`.
    static var accessUser: Self {
        Self(
            "users", units: "NAME RULE…",
            parse: { word in
                if let problem = KeyspaceConfiguration.problem(ofUser: word) { throw ValueProblem("\"\(word.prefix { $0 != " " })\": \(problem)") }
                return word
            }, render: { $0 })
    }
}

extension ValueFormat where Value == KeyspaceConfiguration.Setting {
    /// A directive of Redis' and its value: `timeout: 300`.
    static var keyspaceSetting: Self {
        Self(
            "setting", units: "NAME: VALUE",
            parse: { word in
                guard let colon = word.firstIndex(of: ":") else { throw ValueProblem("\"\(word)\" is no setting such as timeout: 300") }
                let value = word[word.index(after: colon)...].drop { $0 == " " }
                let setting = Value(name: word[..<colon].lowercased(), value: String(value))
                if let problem = KeyspaceConfiguration.problem(of: setting) { throw ValueProblem("\"\(setting.name)\": \(problem)") }
                return setting
            }, render: { "\"\($0.name): \($0.value)\"" })
    }
}

extension ValueFormat where Value == FsyncPolicy {
    static var fsyncPolicy: Self {
        let words = ValueFormat<String>.choice(FsyncPolicy.allCases.map(\.rawValue))
        return Self(
            words.name, units: words.units, parse: { word in FsyncPolicy(rawValue: try words.parse([word])) ?? .everysec },
            render: { $0.rawValue })
    }
}

extension ValueFormat where Value == KeyspaceConfiguration.SavePoint {
    /// `5m 100`: after five minutes, if there were a hundred changes.
    static var savePoint: Self {
        Self(
            "save point", units: "TIME CHANGES",
            parse: { word in
                let words = word.split(separator: " ")
                guard words.count == 2, let changes = Int(words[1]), changes >= 1 else {
                    throw ValueProblem("\"\(word)\" is no save point such as 5m 100")
                }
                let seconds = try DurationText.parse(String(words[0])).nanoseconds / 1_000_000_000
                guard seconds >= 1 else { throw ValueProblem("\"\(word)\": a second is the least") }
                return Value(seconds: Int(seconds), changes: changes)
            }, render: { "\(DurationText.render(.seconds(Int64($0.seconds)))) \($0.changes)" })
    }
}

extension ValueFormat where Value == String {
    /// A name without a folder.
    static var bareFileName: Self {
        Self(
            "file name",
            parse: { word in
                guard !word.isEmpty, word != ".", word != "..", word.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "/") }) else {
                    throw ValueProblem("\"\(word)\" is no name of a file")
                }
                return word
            }, render: { $0 })
    }
}

extension ValueFormat where Value == KeyspaceConfiguration.SocketEndpoint {
    /// `127.0.0.1:6379`, `[::1]:6379`, `unix:/run/keyspace.sock`.
    static var keyspaceAddress: Self { .listenAddress }
}

extension ValueFormat where Value == EvictionPolicy {
    static var evictionPolicy: Self {
        let words = ValueFormat<String>.choice(EvictionPolicy.allCases.map(\.rawValue))
        return Self(
            "eviction policy", units: words.units,
            parse: { word in EvictionPolicy(rawValue: try words.parse([word])) ?? .noeviction }, render: { $0.rawValue })
    }
}

extension ValueFormat where Value == String {
    /// A secret that is empty when there is none.
    static var plainSecret: Self {
        Self(
            "password",
            parse: { word in
                guard !word.isEmpty, word.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
                    throw ValueProblem("is empty, or has control characters in it")
                }
                return word
            }, render: { $0 })
    }
}
