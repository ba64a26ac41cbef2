/// The keyspace's part of the demo: the sample application computes its results for each request, or keeps them in a keyspace with
/// `@cache_response`. Nothing but the address of the cache differs.
struct KeyspaceDemo {
    let stage: DemoStage

    /// Starts a keyspace and two applications, holds their pages to each other, measures them in turn, and ends them.
    func run() async throws -> KeyspaceTable {
        let database = try DemoDatabase(state: stage.state)
        var children: [ChildProcess] = []
        defer { for child in children.reversed() { child.stop() } }
        let keyspace = try await stage.serve("keyspace", ["--keyspace", "127.0.0.1:0"])
        children.append(keyspace.child)
        let port = keyspace.address.split(separator: ":").last.flatMap { Int($0) } ?? 0
        var origins: [KeyspaceTable.Way: String] = [:]
        for way in KeyspaceTable.Way.allCases {
            let cache = way == .kept ? ["--cache-url", "redis://\(keyspace.address)/0"] : []
            let application = try await stage.application(
                "application-\(way == .computed ? "computing" : "keeping")", ["--database-url", database.url] + cache)
            children.append(application.child)
            origins[way] = application.address
        }
        Terminal.say("keyspace:    \(keyspace.address), for the results of the application")
        try await compare(computed: origins[.computed] ?? "", kept: origins[.kept] ?? "")
        let measured = try await stage.measure(origins, users: stage.options.users) { origin, users, way in
            // The application finds an empty cache each time: the rows are each other's equals.
            if way == .kept { _ = try await KeyspaceNumbers.ask(port: port, "FLUSHALL") }
            let (numbersBefore, queriesBefore) = (try await KeyspaceNumbers(port: port), try queries(database))
            let level = try await stage.bench(origin, users: users)
            let queries = max(try queries(database) - queriesBefore, 0)
            let numbers = try await KeyspaceNumbers(port: port).since(numbersBefore)
            // Of all requests, those of the warm-up too: the database counts them as well.
            let share = level.seconds / max(level.seconds + level.warmUpSeconds, 0.001)
            let perRequest = Double(queries) * share / Double(max(level.requests, 1))
            let note = KeyspaceTable.Note(queriesPerRequest: perRequest, keyspace: way == .kept ? numbers : nil)
            return (level, note, "\(DemoRow.number(perRequest)) queries per request")
        }
        return KeyspaceTable(measured: measured)
    }

    /// A page from the cache, and the one that fills it, must be byte for byte the computed one.
    private func compare(computed: String, kept: String) async throws {
        for page in Demo.loadedPages {
            let own = try await LoopbackClient(url: computed).get(page)
            for _ in 0..<2 {
                let answer = try await LoopbackClient(url: kept).get(page)
                guard answer.status == own.status, answer.body == own.body else {
                    throw Demo.Failure(description: "\(page) with the keyspace is not the page without")
                }
            }
        }
    }

    /// Statements of the application's that PostgreSQL has carried out so far.
    private func queries(_ database: DemoDatabase) throws -> Int {
        try database.number(
            "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE userid = 'scanner'::regrole AND query ILIKE 'SELECT%'")
    }
}

/// What the keyspace's part of the demo measured.
struct KeyspaceTable: Sendable {
    enum Way: String, DemoWay {
        case computed = "computed each time"
        case kept = "kept in the keyspace"
    }

    struct Note: Sendable {
        let queriesPerRequest: Double
        /// `nil` when nothing was kept.
        let keyspace: KeyspaceNumbers?
    }

    var measured = MeasuredWays<Way, Note>()

    /// The share of the database's queries that the keyspace spares a request, 0…1.
    func queriesSaved(_ users: Int) -> Double {
        func queries(_ way: Way) -> Double { Median.of(measured.of(users, way).map(\.note.queriesPerRequest)) }
        let computed = queries(.computed)
        return computed > 0 ? max(0, 1 - queries(.kept) / computed) : 0
    }

    func rows() -> [DemoRow] {
        measured.rows().map { row, notes in
            var row = row
            row.queriesPerRequest = Median.of(notes.map(\.queriesPerRequest))
            let numbers = notes.compactMap(\.keyspace)
            guard !numbers.isEmpty else { return row }
            row.queriesSaved = queriesSaved(row.users)
            row.hitRate = Median.of(numbers.map(\.hitRate))
            row.keyspaceBytes = numbers.map(\.bytes).max()
            return row
        }
    }

    func rendered() -> String {
        var table = TextTable(columns: [
            .right("users"), .left("the application's results"), .right("requests/s"), .right("p50 ms"), .right("p95 ms"), .right("p99 ms"),
            .right("hits"), .right("queries/request"), .right("queries saved"), .right("memory"), .right("failed"), .right("ratio (spread)"),
        ])
        for row in rows() {
            table.add(
                ["\(row.users)", row.way] + [row.requestsPerSecond, row.p50Ms, row.p95Ms, row.p99Ms].map(DemoRow.number)
                    + [
                        row.hitRate.map(DemoRow.percent) ?? "", DemoRow.number(row.queriesPerRequest ?? 0),
                        row.queriesSaved.map(DemoRow.percent) ?? "", row.keyspaceBytes.map { "\($0 >> 10) KB" } ?? "", "\(row.failed)",
                        row.ratioText,
                    ])
        }
        return table.rendered()
    }
}
