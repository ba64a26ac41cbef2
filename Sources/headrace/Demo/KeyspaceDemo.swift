import Foundation

/// The keyspace's part of the demo: the sample application computes its results for each request, or keeps them in a keyspace with
/// `@cache_response`. Nothing but the address of the cache differs.
struct KeyspaceDemo {
    let options: Demo.Options
    let folder: URL
    let binary: URL

    /// Starts a keyspace and two applications, holds their pages to each other, measures them in turn, and ends them.
    /// - Parameter state: the folder of the application that started PostgreSQL.
    func run(state: URL) async throws -> KeyspaceTable {
        let database = try String(contentsOf: state.appending(path: "database-url"), encoding: .utf8)
        let admin = try String(contentsOf: state.appending(path: "admin-url"), encoding: .utf8)
        var children: [ChildProcess] = []
        defer { for child in children.reversed() { child.stop() } }
        let keyspace = try ChildProcess("keyspace", binary, ["serve", "--keyspace", "127.0.0.1:0", "--until-eof"], folder: folder)
        children.append(keyspace)
        let port = try await keyspace.wait(seconds: 20, for: "an address") { child in
            child.errors.firstMatch(of: /keyspace: 127\.0\.0\.1:(\d+)\s/).flatMap { Int($0.1) }
        }
        var origins: [KeyspaceTable.Way: String] = [:]
        for way in KeyspaceTable.Way.allCases {
            let name = "application-\(way == .computed ? "computing" : "keeping")"
            let cache = way == .kept ? ["--cache-url", "redis://127.0.0.1:\(port)/0"] : []
            let child = try ChildProcess(
                name, options.application,
                ["--state", folder.appending(path: name).path, "--port", "0", "--database-url", database, "--until-eof"] + cache, folder: folder)
            children.append(child)
            origins[way] = try await child.wait(seconds: 60, for: "readiness") { child in
                child.output.firstMatch(of: /ready (http:\/\/127\.0\.0\.1:\d+)/).map { String($0.1) }
            }
        }
        Terminal.say("keyspace:    127.0.0.1:\(port), for the results of the application")
        try await compare(origins)
        return try await measure(origins, port: port, admin: admin)
    }

    /// A page from the cache, and the one that fills it, must be byte for byte the computed one.
    private func compare(_ origins: [KeyspaceTable.Way: String]) async throws {
        func client(_ way: KeyspaceTable.Way) -> LoopbackClient {
            LoopbackClient(port: origins[way]?.split(separator: ":").last.flatMap { Int($0) } ?? 0)
        }
        for page in Demo.loadedPages {
            let computed = try await client(.computed).get(page)
            for _ in 0..<2 {
                let kept = try await client(.kept).get(page)
                guard kept.status == computed.status, kept.body == computed.body else {
                    throw Demo.Failure(description: "\(page) with the keyspace is not the page without")
                }
            }
        }
    }

    private func measure(_ origins: [KeyspaceTable.Way: String], port: Int, admin: String) async throws -> KeyspaceTable {
        var table = KeyspaceTable()
        for round in 1...options.rounds {
            for users in options.users {
                let ways = round % 2 == 1 ? KeyspaceTable.Way.allCases : KeyspaceTable.Way.allCases.reversed()
                for way in ways {
                    guard let origin = origins[way] else { continue }
                    // The application finds an empty cache each time: the rows are each other's equals.
                    if way == .kept { _ = try KeyspaceNumbers.ask(port: port, "FLUSHALL") }
                    let numbersBefore = try KeyspaceNumbers(port: port)
                    let queriesBefore = try queries(admin)
                    let level = try await bench(origin, users: users)
                    let queriesAfter = try queries(admin)
                    let numbers = try KeyspaceNumbers(port: port).since(numbersBefore)
                    // Of all requests, those of the warm-up too: the database counts them as well.
                    let share = level.seconds / max(level.seconds + level.warmUpSeconds, 0.001)
                    let perRequest = Double(max(queriesAfter - queriesBefore, 0)) * share / Double(max(level.requests, 1))
                    table.add(
                        .init(users: users, way: way, level: level, queriesPerRequest: perRequest, keyspace: way == .kept ? numbers : nil))
                    let figures = "\(DemoTable.number(level.requestsPerSecond)) requests/s, \(DemoTable.number(perRequest)) queries per request"
                    Terminal.say("round \(round) of \(options.rounds), \(users) users, \(way.rawValue): \(figures), \(level.failed) failed")
                }
            }
        }
        return table
    }

    private func bench(_ base: String, users: Int) async throws -> BenchDocument.Level {
        let child = try ChildProcess(
            "bench", binary,
            ["bench", "--json", "--concurrency", "\(users)", "--duration", options.duration, "--warm-up", "500ms"]
                + Demo.loadedPages.map { base + $0 }, folder: folder)
        defer { child.stop(seconds: 1) }
        _ = try await child.waitForExit(seconds: 600)
        guard let level = try? BenchDocument(text: child.output).levels.first else {
            throw Demo.Failure(description: "the load generator gave no result:\n\(child.errors.suffix(2000))")
        }
        return level
    }

    /// Statements of the application's that PostgreSQL has carried out so far.
    private func queries(_ admin: String) throws -> Int {
        let psql = Process()
        let output = Pipe()
        psql.executableURL = URL(filePath: "/usr/bin/psql")
        psql.arguments = [
            "-X", "-A", "-t", "-d", admin, "-c",
            "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE userid = 'scanner'::regrole AND query ILIKE 'SELECT%'",
        ]
        psql.standardOutput = output
        psql.standardError = FileHandle.nullDevice
        psql.standardInput = FileHandle.nullDevice
        try psql.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        psql.waitUntilExit()
        guard let count = Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) else {
            throw Demo.Failure(description: "PostgreSQL does not say how many queries there were")
        }
        return count
    }
}

/// What a keyspace says of itself in `INFO`.
struct KeyspaceNumbers: Sendable {
    var hits: Int
    var misses: Int
    var bytes: Int

    /// The share of lookups that found their key, 0…1.
    var hitRate: Double { Double(hits) / Double(max(hits + misses, 1)) }

    init(port: Int) throws {
        let text = try Self.ask(port: port, "INFO")
        func field(_ name: String) throws -> Int {
            let line = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix(name + ":") }
            guard let value = line.flatMap({ Int($0.dropFirst(name.count + 1)) }) else {
                throw Demo.Failure(description: "the keyspace does not say \(name)")
            }
            return value
        }
        hits = try field("keyspace_hits")
        misses = try field("keyspace_misses")
        bytes = try field("used_memory")
    }

    /// The same, counted from an earlier time on; memory is what it is.
    func since(_ earlier: KeyspaceNumbers) -> KeyspaceNumbers {
        var change = self
        change.hits -= earlier.hits
        change.misses -= earlier.misses
        return change
    }

    /// Sends one inline command and reads all that is answered to it and to the `QUIT` behind it.
    static func ask(port: Int, _ command: String) throws -> String {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw Demo.Failure(description: "no socket: \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var time = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let isConnected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        let request = Array("\(command)\r\nQUIT\r\n".utf8)
        guard isConnected, send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) == request.count else {
            throw Demo.Failure(description: "the keyspace at port \(port) does not answer: \(String(cString: strerror(errno)))")
        }
        var answer: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        // An INFO has some 10 KB.
        while answer.count < 1 << 20 {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            guard count > 0 else { break }
            answer += chunk[..<count]
        }
        return String(decoding: answer, as: UTF8.self)
    }
}

/// What the keyspace's part of the demo measured. A figure is the median over the rounds, memory the most that was seen.
struct KeyspaceTable {
    enum Way: String, CaseIterable, Sendable {
        case computed = "computed each time"
        case kept = "kept in the keyspace"
    }

    struct Measurement: Sendable {
        let users: Int
        let way: Way
        let level: BenchDocument.Level
        let queriesPerRequest: Double
        let keyspace: KeyspaceNumbers?
    }

    private(set) var measurements: [Measurement] = []

    mutating func add(_ measurement: Measurement) { measurements.append(measurement) }

    var failed: Int { measurements.reduce(0) { $0 + $1.level.failed } }

    private func of(_ users: Int, _ way: Way) -> [Measurement] { measurements.filter { $0.users == users && $0.way == way } }

    func ratios(_ users: Int) -> [Double] {
        zip(of(users, .kept), of(users, .computed)).map { $0.level.requestsPerSecond / max($1.level.requestsPerSecond, 0.001) }
    }

    /// The share of the database's queries that the keyspace spares a request, 0…1.
    func queriesSaved(_ users: Int) -> Double {
        let computed = DemoTable.median(of(users, .computed).map(\.queriesPerRequest))
        return computed > 0 ? max(0, 1 - DemoTable.median(of(users, .kept).map(\.queriesPerRequest)) / computed) : 0
    }

    func rendered() -> String {
        var table = TextTable(columns: [
            .right("users"), .left("the application's results"), .right("requests/s"), .right("p50 ms"), .right("p95 ms"), .right("p99 ms"),
            .right("hits"), .right("queries/request"), .right("queries saved"), .right("memory"), .right("failed"), .right("ratio (spread)"),
        ])
        for users in Set(measurements.map(\.users)).sorted() {
            for way in Way.allCases {
                let rows = of(users, way)
                func median(_ value: (BenchDocument.Level) -> Double) -> String {
                    DemoTable.number(DemoTable.median(rows.map { value($0.level) }))
                }
                let ratios = ratios(users)
                let spread = "(\(DemoTable.number(ratios.min() ?? 0))…\(DemoTable.number(ratios.max() ?? 0)))"
                let numbers = rows.compactMap(\.keyspace)
                func percent(_ share: Double) -> String { String(format: "%.1f %%", share * 100) }
                table.add([
                    "\(users)", way.rawValue, median(\.requestsPerSecond), median(\.p50Ms), median(\.p95Ms), median(\.p99Ms),
                    numbers.isEmpty ? "" : percent(DemoTable.median(numbers.map(\.hitRate))),
                    String(format: "%.2f", DemoTable.median(rows.map(\.queriesPerRequest))), way == .computed ? "" : percent(queriesSaved(users)),
                    numbers.map(\.bytes).max().map { "\($0 >> 10) KB" } ?? "", "\(rows.reduce(0) { $0 + $1.level.failed })",
                    way == .computed ? "1 ×" : "\(DemoTable.number(DemoTable.median(ratios))) × \(spread)",
                ])
            }
        }
        return table.rendered()
    }
}
