import Foundation

/// What all arms of a proof share and what an arm's blocks took of it: read before and after each block, as nothing else tells the arms apart.
/// Growing numbers, or what was added to them between two readings; `nil` what cannot be read here.
///
/// Processor time is of the whole process: of an application that visitors use, too, it has their share in every arm.
struct BlockReadings: Sendable, Equatable {
    /// Seconds of processor time: of who listens on the application's port, and of PostgreSQL's processes, where they are on this machine.
    var applicationSeconds: Double?
    var databaseSeconds: Double?
    /// SQL statements: PostgreSQL's own count (``DatabaseCounters``), or the pooler's, which counts queries as PgBouncer does.
    var statements: Double?
    /// Of the pooler: times that a client was given a server connection, which in transaction mode are transactions, and statements in statement
    /// mode.
    var transactions: Double?
    /// Server connections that the pooler made; without one, sessions that PostgreSQL counted.
    var databaseConnections: Double?
    /// Commands that the keyspace ran.
    var keyspaceCommands: Double?

    static let columns: [(title: String, digits: Int, value: @Sendable (BlockReadings) -> Double?)] = [
        ("application CPU µs", 0, { $0.applicationSeconds.map { $0 * 1e6 } }),
        ("PostgreSQL CPU µs", 0, { $0.databaseSeconds.map { $0 * 1e6 } }),
        ("SQL statements", 4, { $0.statements }),
        ("transactions", 4, { $0.transactions }),
        ("database connections", 4, { $0.databaseConnections }),
        ("keyspace commands", 4, { $0.keyspaceCommands }),
    ]

    private func combined(_ other: Self, _ operation: (Double, Double) -> Double) -> Self {
        func one(_ path: KeyPath<Self, Double?>) -> Double? {
            guard let mine = self[keyPath: path], let theirs = other[keyPath: path] else { return nil }
            return operation(mine, theirs)
        }
        return Self(
            applicationSeconds: one(\.applicationSeconds), databaseSeconds: one(\.databaseSeconds), statements: one(\.statements),
            transactions: one(\.transactions), databaseConnections: one(\.databaseConnections), keyspaceCommands: one(\.keyspaceCommands))
    }

    static func + (one: Self, other: Self) -> Self { one.combined(other, +) }
    /// A process that has ended took what it had counted with it: that is nothing, and not less than nothing.
    static func - (later: Self, earlier: Self) -> Self { later.combined(earlier) { max($0 - $1, 0) } }
    static func / (sum: Self, count: Double) -> Self { sum.combined(sum) { value, _ in value / count } }

    /// Those of this machine's processes.
    /// - Parameter port: the application's; `nil` when it is not on this machine.
    init(applicationPort port: Int?) {
        applicationSeconds = port.flatMap { ProcessorTime.seconds(of: SocketOwners.listeners(port: $0)) }
        databaseSeconds = ProcessorTime.seconds(of: ProcessorTime.processes(named: "postgres"))
    }

    /// With what the edge's own page of metrics says of the pooler and the keyspace.
    mutating func add(metrics text: String) {
        let lines = text.split(separator: "\n")
        func value(_ name: String) -> Double? {
            lines.first { $0.hasPrefix(name + " ") }.flatMap { Double($0.dropFirst(name.count + 1)) }
        }
        // Of each database; those of the console are no databases.
        let queries = lines.filter { $0.hasPrefix("pgbouncer_stats_totals_queries_pooled_total{") }
        if !queries.isEmpty {
            let served = queries.filter { !$0.contains("database=\"pgbouncer\"") && !$0.contains("database=\"headrace\"") }
            statements = served.reduce(0) { sum, line in sum + (line.lastIndex(of: " ").flatMap { Double(line[line.index(after: $0)...]) } ?? 0) }
        }
        transactions = value("headrace_pooler_leases_total")
        databaseConnections = value("headrace_pooler_server_logins_total")
        keyspaceCommands = value("headrace_keyspace_commands_total")
    }

    /// With what PostgreSQL itself says, and without what it took to ask.
    mutating func add(_ database: DatabaseCounters.Reading) {
        databaseSeconds = databaseSeconds.map { $0 - database.ownSeconds }
        statements = database.statements ?? statements
        databaseConnections = databaseConnections ?? database.sessions
    }

    init(
        applicationSeconds: Double? = nil, databaseSeconds: Double? = nil, statements: Double? = nil, transactions: Double? = nil,
        databaseConnections: Double? = nil, keyspaceCommands: Double? = nil
    ) {
        (self.applicationSeconds, self.databaseSeconds, self.statements) = (applicationSeconds, databaseSeconds, statements)
        (self.transactions, self.databaseConnections, self.keyspaceCommands) = (transactions, databaseConnections, keyspaceCommands)
    }
}

/// Readings around blocks, added up for each arm.
struct BlockSums: Sendable {
    private var sums: [BlockReadings?]

    init(armCount: Int) {
        sums = Array(repeating: nil, count: armCount)
    }

    /// Of one more block.
    mutating func add(_ readings: BlockReadings, arm: Int) {
        sums[arm] = sums[arm].map { $0 + readings } ?? readings
    }

    /// - Parameters:
    ///   - arms: the places of arms that are the same thing: one, or the reference and its control.
    ///   - requests: that all their blocks sent together, those of wash-outs included: these cost as much as what is measured.
    /// - Returns: `nil` where nobody read anything, or nothing was sent.
    func perRequest(_ arms: [Int], requests: Double) -> BlockReadings? {
        let read = arms.compactMap { sums.indices.contains($0) ? sums[$0] : nil }
        guard let first = read.first, requests > 0 else { return nil }
        return read.dropFirst().reduce(first, +) / requests
    }
}

/// Processor time of other processes, as the kernel tells anybody.
/// - Source: proc(5), /proc/PID/stat, fields 14 to 17, counted behind the name in parentheses.
enum ProcessorTime {
    /// User's and system's, with that of children that have ended; `nil` without processes.
    static func seconds(of processes: [Int32]) -> Double? {
        guard !processes.isEmpty else { return nil }
        var ticks = 0.0
        for process in processes {
            guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8), let close = text.lastIndex(of: ")") else { continue }
            let fields = text[text.index(after: close)...].split(separator: " ")
            guard fields.count > 14 else { continue }
            ticks += fields[11...14].compactMap { Double($0) }.reduce(0, +)
        }
        return ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    static func processes(named name: String) -> [Int32] {
        ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { Int32($0) }.filter { process in
            (try? String(contentsOfFile: "/proc/\(process)/comm", encoding: .utf8))?.trimmingCharacters(in: .newlines) == name
        }
    }
}
