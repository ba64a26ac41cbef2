import Foundation

/// What all parts of the demo start, ask and measure in the same way.
struct DemoStage: Sendable {
    let options: Demo.Options
    /// Of everything that the demo writes.
    let folder: URL

    /// A program that answers, and where.
    struct Running: Sendable {
        let child: ChildProcess
        let address: String
    }

    /// Where the application that started PostgreSQL keeps its things.
    var state: URL { folder.appending(path: "application") }

    /// Starts the sample application on a free port and waits until it answers.
    /// - Parameter arguments: besides the folder, which has its name.
    func application(_ name: String, _ arguments: [String] = [], seconds: Double = 60) async throws -> Running {
        let child = try ChildProcess(
            name, options.application,
            ["--state", folder.appending(path: name).path, "--port", "0", "--until-eof"] + arguments, folder: folder)
        return try await running(child, within: seconds) { child in
            child.output.firstMatch(of: /ready (http:\/\/127\.0\.0\.1:\d+)/).map { String($0.1) }
        }
    }

    /// Starts this same program's `serve` and waits until it says where a product listens.
    /// - Parameter product: `edge`, `pooler` or `keyspace`, the first word of what it says.
    func serve(_ product: String, _ arguments: [String]) async throws -> Running {
        let child = try ChildProcess(product, ChildProcess.ownBinary, ["serve", "--until-eof"] + arguments, folder: folder)
        return try await running(child, within: 20) { $0.listeningAddress(of: product) }
    }

    /// Who is not ready in time is ended here: nobody else knows of it yet.
    private func running(_ child: ChildProcess, within seconds: Double, _ address: (ChildProcess) -> String?) async throws -> Running {
        do {
            return Running(child: child, address: try await child.wait(seconds: seconds, for: "readiness", address))
        } catch {
            child.stop()
            throw error
        }
    }

    /// Measures each way at each number of users in each round, and says what comes of it as it comes.
    /// - Parameters:
    ///   - origins: where each way begins.
    ///   - one: measures one; what it gives besides the level is a note, and words for who waits.
    func measure<Way: DemoWay, Note: Sendable>(
        _ origins: [Way: String], users: [Int],
        _ one: (_ origin: String, _ users: Int, _ way: Way) async throws -> (BenchDocument.Level, Note, words: String)
    ) async throws -> MeasuredWays<Way, Note> {
        var measured = MeasuredWays<Way, Note>()
        for turn in MeasuredWays<Way, Note>.turns(rounds: options.rounds, users: users) {
            guard let origin = origins[turn.way] else { continue }
            let (level, note, words) = try await one(origin, turn.users, turn.way)
            measured.add(.init(users: turn.users, way: turn.way, level: level, note: note))
            Terminal.say(
                "round \(turn.round) of \(options.rounds), \(turn.users) users, \(turn.way.rawValue): "
                    + "\(DemoRow.number(level.requestsPerSecond)) requests/s, \(words), \(level.failed) failed")
        }
        return measured
    }

    /// One measurement by a load generator in a process of its own.
    /// - Parameters:
    ///   - fields: header fields of each request, `Name: value`.
    ///   - history: the file that keeps it.
    ///   - meanwhile: called five times a second while it runs.
    func bench(
        _ origin: String, users: Int, fields: [String] = [], history: String = HistoryOptions.none, meanwhile: () -> Void = {}
    ) async throws -> BenchDocument.Level {
        let child = try ChildProcess(
            "bench", ChildProcess.ownBinary,
            [
                "bench", "--json", "--concurrency", "\(users)", "--duration", options.duration, "--warm-up", "500ms", "--history", history,
            ] + fields.flatMap { ["--header", $0] } + Demo.loadedPages.map { origin + $0 }, folder: folder)
        defer { child.stop(seconds: 1) }
        let end = ContinuousClock.now + .seconds(600)
        while child.isRunning {
            guard ContinuousClock.now < end else { throw Demo.Failure(description: "the load generator has not ended within 600 s") }
            meanwhile()
            try await Task.sleep(for: .milliseconds(200))
        }
        guard let level = try? BenchDocument(text: child.output).levels.first else {
            throw Demo.Failure(description: "the load generator gave no result:\n\(child.errors.suffix(2000))")
        }
        return level
    }
}

/// The sample application's PostgreSQL, asked past everything that is measured.
struct DemoDatabase: Sendable {
    /// As the application connects to it.
    let url: String
    let port: Int
    private let adminURL: String

    /// - Parameter state: the folder of the application that started it.
    init(state: URL) throws {
        url = try String(contentsOf: state.appending(path: "database-url"), encoding: .utf8)
        adminURL = try String(contentsOf: state.appending(path: "admin-url"), encoding: .utf8)
        guard let port = url.firstMatch(of: /127\.0\.0\.1:(\d+)\//).flatMap({ Int($0.1) }) else {
            throw Demo.Failure(description: "the application's database has no port: its address begins with \(url.prefix(12))")
        }
        self.port = port
    }

    /// The same database on another port of this machine: through a pooler.
    func url(port other: String) -> String { url.replacing("127.0.0.1:\(port)/", with: "127.0.0.1:\(other)/") }

    /// The one number that a query gives.
    func number(_ sql: String) throws -> Int {
        let psql = Process()
        let output = Pipe()
        psql.executableURL = URL(filePath: "/usr/bin/psql")
        psql.arguments = ["-X", "-A", "-t", "-d", adminURL, "-c", sql]
        psql.standardOutput = output
        psql.standardError = FileHandle.nullDevice
        psql.standardInput = FileHandle.nullDevice
        try psql.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        psql.waitUntilExit()
        guard let number = Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) else {
            throw Demo.Failure(description: "PostgreSQL gives no number to: \(sql)")
        }
        return number
    }
}
