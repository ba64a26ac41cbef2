import Foundation

/// The pooler's part of the demo: the sample application, which connects to its database once per request, directly and through a
/// pooler. Nothing but the port in its database's address differs.
struct PoolerDemo {
    /// Threads of the application, in two processes: as many requests may be at the database at a time.
    private static let threads = 50
    /// As many clients as the application has threads, on the pooler's 25 + 5 server connections.
    private static let clients = 100

    let options: Demo.Options
    let folder: URL
    let binary: URL

    /// Starts a pooler and two applications, measures them in turn, and ends them.
    /// - Parameter state: the folder of the application that started PostgreSQL.
    func run(state: URL) async throws -> PoolerTable {
        let direct = try String(contentsOf: state.appending(path: "database-url"), encoding: .utf8)
        guard let port = direct.firstMatch(of: /127\.0\.0\.1:(\d+)\//).flatMap({ Int($0.1) }) else {
            throw Demo.Failure(description: "the application's database has no port: its address begins with \(direct.prefix(12))")
        }
        var children: [ChildProcess] = []
        defer { for child in children.reversed() { child.stop() } }
        let pooler = try ChildProcess(
            "pooler", binary,
            [
                "serve", "--pooler", "127.0.0.1:0", "--postgres", "postgres://scanner@127.0.0.1:\(port)/scanner", "--until-eof", "--set",
                "pooler.password=file:\(state.appending(path: "scanner-password").path)",
            ], folder: folder)
        children.append(pooler)
        let front = try await pooler.wait(seconds: 20, for: "an address") { child in
            child.errors.firstMatch(of: /pooler: 127\.0\.0\.1:(\d+)\s/).flatMap { Int($0.1) }
        }
        let pooled = direct.replacing("127.0.0.1:\(port)/", with: "127.0.0.1:\(front)/")
        var origins: [PoolerTable.Way: String] = [:]
        for (way, url) in [(PoolerTable.Way.direct, direct), (.pooler, pooled)] {
            let name = "application-\(way == .direct ? "direct" : "pooled")"
            let child = try ChildProcess(
                name, options.application,
                [
                    "--state", folder.appending(path: name).path, "--port", "0", "--threads", "\(Self.threads)", "--database-url", url,
                    "--until-eof",
                ], folder: folder)
            children.append(child)
            origins[way] = try await child.wait(seconds: 60, for: "readiness") { child in
                child.output.firstMatch(of: /ready (http:\/\/127\.0\.0\.1:\d+)/).map { String($0.1) }
            }
        }
        Terminal.say("pooler:      127.0.0.1:\(front), before PostgreSQL at 127.0.0.1:\(port)")
        return try await measure(origins, admin: try String(contentsOf: state.appending(path: "admin-url"), encoding: .utf8))
    }

    private func measure(_ origins: [PoolerTable.Way: String], admin: String) async throws -> PoolerTable {
        var table = PoolerTable()
        for round in 1...options.rounds {
            for users in options.users + [Self.clients] {
                let ways = round % 2 == 1 ? PoolerTable.Way.allCases : PoolerTable.Way.allCases.reversed()
                for way in ways {
                    guard let origin = origins[way] else { continue }
                    let (level, connections) = try await bench(origin, users: users, admin: admin)
                    table.add(.init(users: users, way: way, level: level, serverConnections: connections))
                    let figures = "\(DemoTable.number(level.requestsPerSecond)) requests/s, \(connections) server connections"
                    Terminal.say("round \(round) of \(options.rounds), \(users) users, \(way.rawValue): \(figures), \(level.failed) failed")
                }
            }
        }
        return table
    }

    private func bench(_ base: String, users: Int, admin: String) async throws -> (BenchDocument.Level, Int) {
        let child = try ChildProcess(
            "bench", binary,
            ["bench", "--json", "--concurrency", "\(users)", "--duration", options.duration, "--warm-up", "500ms", "--history", HistoryOptions.none]
                + Demo.loadedPages.map { base + $0 }, folder: folder)
        defer { child.stop(seconds: 1) }
        var peak = 0
        while child.isRunning {
            peak = max(peak, serverConnections(admin))
            try await Task.sleep(for: .milliseconds(200))
        }
        guard let level = try? BenchDocument(text: child.output).levels.first else {
            throw Demo.Failure(description: "the load generator gave no result:\n\(child.errors.suffix(2000))")
        }
        return (level, peak)
    }

    /// What PostgreSQL counts of the application's sessions now.
    private func serverConnections(_ admin: String) -> Int {
        let psql = Process()
        let output = Pipe()
        psql.executableURL = URL(filePath: "/usr/bin/psql")
        psql.arguments = ["-X", "-A", "-t", "-d", admin, "-c", "SELECT count(*) FROM pg_stat_activity WHERE usename = 'scanner'"]
        psql.standardOutput = output
        psql.standardError = FileHandle.nullDevice
        psql.standardInput = FileHandle.nullDevice
        guard (try? psql.run()) != nil else { return 0 }
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        psql.waitUntilExit()
        return Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
    }
}

/// What the pooler's part of the demo measured. A figure is the median over the rounds, server connections are the most that were seen.
struct PoolerTable {
    enum Way: String, CaseIterable, Sendable {
        case direct = "to PostgreSQL"
        case pooler = "through the pooler"
    }

    struct Measurement: Sendable {
        let users: Int
        let way: Way
        let level: BenchDocument.Level
        let serverConnections: Int
    }

    private(set) var measurements: [Measurement] = []

    mutating func add(_ measurement: Measurement) { measurements.append(measurement) }

    /// Requests that failed through the pooler. Without it, more clients than PostgreSQL has connections for must fail.
    var failed: Int { measurements.filter { $0.way == .pooler }.reduce(0) { $0 + $1.level.failed } }

    private func of(_ users: Int, _ way: Way) -> [Measurement] { measurements.filter { $0.users == users && $0.way == way } }

    func ratios(_ users: Int) -> [Double] {
        zip(of(users, .pooler), of(users, .direct)).map { $0.level.requestsPerSecond / max($1.level.requestsPerSecond, 0.001) }
    }

    func rendered() -> String {
        var table = TextTable(columns: [
            .right("users"), .left("the application connects"), .right("requests/s"), .right("p50 ms"), .right("p95 ms"), .right("p99 ms"),
            .right("server connections"), .right("failed"), .right("ratio (spread)"),
        ])
        for users in Set(measurements.map(\.users)).sorted() {
            for way in Way.allCases {
                let rows = of(users, way)
                func median(_ value: (BenchDocument.Level) -> Double) -> String {
                    DemoTable.number(DemoTable.median(rows.map { value($0.level) }))
                }
                let ratios = ratios(users)
                let spread = "(\(DemoTable.number(ratios.min() ?? 0))…\(DemoTable.number(ratios.max() ?? 0)))"
                table.add([
                    "\(users)", way.rawValue, median(\.requestsPerSecond), median(\.p50Ms), median(\.p95Ms), median(\.p99Ms),
                    "\(rows.map(\.serverConnections).max() ?? 0)", "\(rows.reduce(0) { $0 + $1.level.failed })",
                    way == .direct ? "1 ×" : "\(DemoTable.number(DemoTable.median(ratios))) × \(spread)",
                ])
            }
        }
        return table.rendered()
    }
}
