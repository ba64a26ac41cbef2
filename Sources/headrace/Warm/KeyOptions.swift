import ArgumentParser
import Foundation
import LoadGenerator
import Transport

/// Which keys are filled, from where and how: the part of `headrace warm`'s command line that is for `--keyspace`.
struct KeyOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Fill keys here: HOST:PORT, unix:/PATH or redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE].", valueName: "address"))
    var keyspace: String?

    @Option(help: ArgumentHelp("A file with an entry on each line; - is standard input.", valueName: "file"))
    var file: String?

    @Option(help: ArgumentHelp("A command for the shell, which prints an entry on each line.", valueName: "command"))
    var command: String?

    @Option(help: ArgumentHelp("A query whose rows are entries: key, value and perhaps a lifetime in seconds.", valueName: "query"))
    var sql: String?

    @Option(help: ArgumentHelp("Where --sql is asked; the password may be in PGPASSWORD.", valueName: "url"))
    var postgres: String?

    @Option(help: "How lines are written: tsv, or jsonl. As the file's name says, else tsv.")
    var format: KeyLineFormat?

    @Option(help: ArgumentHelp("How long a key lives that says nothing itself: 1h, 5m. Unless said, for ever.", valueName: "duration"))
    var ttl: String?

    @Option(help: ArgumentHelp("Shorten lifetimes by up to this share, 0 to 1.", valueName: "share"))
    var jitter = 0.1

    @Flag(help: "Leave a key as it is that is there.")
    var onlyMissing = false

    @Flag(help: "Values are JSON, stored so that RedisCache, cache_response and HeadraceCache read them.")
    var forHelper = false

    func validate() throws {
        let sources = [file, command, sql].compactMap(\.self)
        guard keyspace != nil else {
            let other: [(String, Bool)] = [
                ("--file", file != nil), ("--command", command != nil), ("--sql", sql != nil), ("--postgres", postgres != nil), ("--format", format != nil),
                ("--ttl", ttl != nil), ("--only-missing", onlyMissing), ("--for-helper", forHelper),
            ]
            if let (name, _) = other.first(where: \.1) { throw ValidationError("\(name): --keyspace says where the keys belong") }
            return
        }
        guard sources.count == 1 else { throw ValidationError("--keyspace is filled from one of --file, --command and --sql") }
        guard (sql == nil) == (postgres == nil) else { throw ValidationError("--sql and --postgres belong together") }
        guard (0...1).contains(jitter) else { throw ValidationError("--jitter: from 0 to 1") }
        if sql != nil, format != nil { throw ValidationError("--format is for lines; rows have columns") }
        _ = try address()
        _ = try lifetime()
        if let postgres { _ = try Self.value("--postgres") { () throws(ValueProblem) in try PostgresURL(postgres) } }
    }

    private static func value<Value>(_ option: String, _ parse: () throws(ValueProblem) -> Value) throws -> Value {
        do {
            return try parse()
        } catch {
            throw ValidationError("\(option): \(error.text)")
        }
    }

    private func address() throws -> (endpoint: SocketEndpoint, login: KeyspaceLogin) {
        let text = keyspace ?? ""
        var (endpoint, login) = try Self.value("--keyspace") { () throws(ValueProblem) in
            guard text.hasPrefix(RedisURL.scheme) else { return (try AddressText.parse(text), KeyspaceLogin()) }
            let url = try RedisURL(text)
            return (url.endpoint, url.login)
        }
        // As redis-cli takes it: a command line is for all to read.
        if login.password == nil { login.password = ProcessInfo.processInfo.environment["REDISCLI_AUTH"] }
        return (endpoint, login)
    }

    private func lifetime() throws -> Int? {
        guard let ttl else { return nil }
        let milliseconds = try Self.value("--ttl") { () throws(ValueProblem) in try DurationText.parse(ttl).nanoseconds / 1_000_000 }
        guard (1...Int64(KeyEntry.lifetimeSecondsMax) * 1000).contains(milliseconds) else { throw ValidationError("--ttl: from 1ms to 100 years") }
        return Int(milliseconds)
    }

    /// What is to be done; `nil` when it is about pages.
    func fill(concurrency: Int?, rate: Double?, countMax: Int?, timeout: Duration, json: Bool) throws -> KeyWarming? {
        guard keyspace != nil else { return nil }
        var rules = KeyFillRules()
        rules.lifetimeMilliseconds = try lifetime()
        rules.jitter = jitter
        rules.isOnlyMissing = onlyMissing
        rules.isForHelper = forHelper
        rules.rate = rate
        if let concurrency { rules.concurrency = concurrency }
        let (endpoint, login) = try address()
        return KeyWarming(
            options: self, endpoint: endpoint, login: login, rules: rules, countMax: countMax ?? .max,
            seconds: max(1, Int(timeout.components.seconds)), json: json)
    }
}

extension KeyLineFormat: ExpressibleByArgument {}

/// `headrace warm --keyspace`: fills the keys and tells of it.
struct KeyWarming: Sendable {
    let options: KeyOptions
    let endpoint: SocketEndpoint
    let login: KeyspaceLogin
    let rules: KeyFillRules
    let countMax: Int
    let seconds: Int
    let json: Bool

    /// On a thread of its own: all of it blocks.
    func run() async throws {
        let start = ContinuousClock.now
        let outcome: KeyspaceFill.Outcome
        do {
            outcome = try await withCheckedThrowingContinuation { continuation in
                Thread.detachNewThread { continuation.resume(with: Result { try fill() }) }
            }
        } catch {
            Terminal.fail("\(error)")
            throw ExitCode.unavailable
        }
        try report(outcome, seconds: (ContinuousClock.now - start) / .seconds(1))
    }

    private func fill() throws -> KeyspaceFill.Outcome {
        // The keyspace first: when it is not there, no command is run and no query asked.
        let fill = try KeyspaceFill(endpoint, login, rules, seconds: seconds)
        let source: any KeySource
        if let file = options.file {
            source = try LineSource(file: file, format: options.format, keepsJSON: rules.isForHelper)
        } else if let command = options.command {
            source = try LineSource(command: command, format: options.format, keepsJSON: rules.isForHelper)
        } else {
            source = try RowSource(try PostgresURL(options.postgres ?? ""), query: options.sql ?? "", seconds: seconds)
        }
        let progress = WarmProgress(total: nil)
        defer { progress.end() }
        return fill.run(
            source, countMax: countMax, failed: { progress.note("\($0): \($1)") },
            show: { progress.show(done: $0.count, share: source.share, failed: $0.failed) })
    }

    private struct Document: Encodable {
        struct Failure: Encodable {
            var place: String
            var reason: String
        }

        var headrace = "warm"
        var schema = 1
        var keyspace: String
        var keys: Int
        var stored: Int
        var there: Int
        var failed: Int
        var reasons: [String: Int]
        var failures: [Failure]
        var end: String?
        var seconds: Double
    }

    private func report(_ outcome: KeyspaceFill.Outcome, seconds: Double) throws {
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            let document = Document(
                keyspace: RedisURL.withoutPassword(options.keyspace ?? ""), keys: outcome.count, stored: outcome.stored, there: outcome.there,
                failed: outcome.failed, reasons: outcome.reasons.mapValues(\.count), failures: outcome.failures.map { .init(place: $0.place, reason: $0.reason) },
                end: outcome.end, seconds: seconds)
            Terminal.print(String(decoding: try encoder.encode(document), as: UTF8.self))
        } else {
            var table = TextTable(columns: [.left("outcome"), .right("keys"), .left("such as")])
            table.add(["stored", "\(outcome.stored)", ""])
            if rules.isOnlyMissing { table.add(["there already", "\(outcome.there)", ""]) }
            for (reason, found) in outcome.reasons.sorted(by: { ($1.value.count, $0.key) < ($0.value.count, $1.key) }) {
                table.add(["failed: \(reason)", "\(found.count)", found.example])
            }
            Terminal.print(table.rendered())
        }
        if let end = outcome.end {
            Terminal.fail(end)
            throw ExitCode.unavailable
        }
        if outcome.failed > 0 { throw ExitCode.failure }
    }
}
