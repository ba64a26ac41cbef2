import Foundation

/// The pooler's part of the demo: the sample application, which connects to its database once per request, directly and through a
/// pooler. Nothing but the port in its database's address differs.
struct PoolerDemo {
    /// Threads of the application, in two processes: as many requests may be at the database at a time.
    private static let threads = 50
    /// As many clients as the application has threads, on the pooler's 25 + 5 server connections.
    private static let clients = 100

    let stage: DemoStage

    /// Starts a pooler and two applications, measures them in turn, and ends them.
    func run() async throws -> PoolerTable {
        let database = try DemoDatabase(state: stage.state)
        var children: [ChildProcess] = []
        defer { for child in children.reversed() { child.stop() } }
        let pooler = try await stage.serve(
            "pooler",
            [
                "--pooler", "127.0.0.1:0", "--postgres", "postgres://scanner@127.0.0.1:\(database.port)/scanner", "--set",
                "pooler.password=file:\(stage.state.appending(path: "scanner-password").path)",
            ])
        children.append(pooler.child)
        let front = pooler.address.split(separator: ":").last.map(String.init) ?? ""
        var origins: [PoolerTable.Way: String] = [:]
        for (way, name, url) in [(PoolerTable.Way.direct, "direct", database.url), (.pooler, "pooled", database.url(port: front))] {
            let application = try await stage.application(
                "application-\(name)", ["--threads", "\(Self.threads)", "--database-url", url])
            children.append(application.child)
            origins[way] = application.address
        }
        Terminal.say("pooler:      \(pooler.address), before PostgreSQL at 127.0.0.1:\(database.port)")
        let measured = try await stage.measure(origins, users: stage.options.users + [Self.clients]) { origin, users, _ in
            var peak = 0
            let level = try await stage.bench(origin, users: users) {
                // Under 100 clients PostgreSQL has no connection left for us now and then: then the next look counts.
                let now = try? database.number("SELECT count(*) FROM pg_stat_activity WHERE usename = 'scanner'")
                peak = max(peak, now ?? 0)
            }
            return (level, peak, "\(peak) server connections")
        }
        return PoolerTable(measured: measured)
    }
}

/// What the pooler's part of the demo measured, each with the most server connections that were seen.
struct PoolerTable: Sendable {
    enum Way: String, DemoWay {
        case direct = "to PostgreSQL"
        case pooler = "through the pooler"
    }

    var measured = MeasuredWays<Way, Int>()

    /// Requests that failed through the pooler. Without it, more clients than PostgreSQL has connections for must fail.
    var failed: Int { measured.failed([.pooler]) }

    func rows() -> [DemoRow] {
        measured.rows().map { row, connections in
            var row = row
            row.serverConnections = connections.max() ?? 0
            return row
        }
    }

    func rendered() -> String {
        var table = TextTable(columns: [
            .right("users"), .left("the application connects"), .right("requests/s"), .right("p50 ms"), .right("p95 ms"), .right("p99 ms"),
            .right("server connections"), .right("failed"), .right("ratio (spread)"),
        ])
        for row in rows() {
            table.add(
                ["\(row.users)", row.way] + [row.requestsPerSecond, row.p50Ms, row.p95Ms, row.p99Ms].map(DemoRow.number)
                    + ["\(row.serverConnections ?? 0)", "\(row.failed)", row.ratioText])
        }
        return table.rendered()
    }
}
