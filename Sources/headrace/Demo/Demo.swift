import Foundation
import Telemetry

/// The main job end to end: the sample application with its own PostgreSQL, driven past the edge and through it.
///
/// 1. The application starts on a free port, and the edge in front of it, each in a process of its own.
/// 2. Every page through the edge must be byte for byte the application's, and the measured one must be compressed well.
/// 3. In each round, at each number of users, the application alone and the edge are measured one right after the other, in
///    alternating order, by `headrace bench` in a process of its own.
/// 4. The same for the application's way to its database: directly, and through the pooler (``PoolerDemo``).
/// 5. The same for its results: computed for each request, and kept in a keyspace (``KeyspaceDemo``).
/// 6. `headrace prove --quick`, in a process of its own, on the same pages: what all layers are worth together, with an interval, and the
///    exact figures of each.
/// 7. The tables, or one document (``DemoReport``).
/// 8. All layers in one process, with a little traffic, for the dashboard (``DemoStand``); it stays up until it is cancelled.
final class Demo: Sendable {
    struct Options: Sendable {
        var application: URL
        var listen: String
        var state: URL?
        var users = [5, 20, 50]
        var rounds = 3
        var duration = "3s"
        /// Of `headrace prove` at the end; 0 for none of it.
        var proofRounds = 12
        var isOnce = false
        var isJSON = false
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// What the sample application serves that must be the same through the edge.
    static let pages = [
        "/", "/scans/400", "/scans/401", "/scans/402", "/api/scans/400", "/login", "/static/scanner.css", "/static/scanner.js",
        "/static/logo.svg", "/static/favicon.png", "/static/DejaVuSansMono.ttf",
    ]
    /// What the load asks for, in rotation.
    static let loadedPages = ["/scans/400", "/scans/401", "/scans/402", "/api/scans/400"]
    /// The page whose sizes are shown: about 39 KB, as the one of the system that Headrace replaces.
    static let measuredPage = "/scans/400"
    private let options: Options
    private let stage: DemoStage
    private let isMeasuredFlag = Lock(false)

    /// Whether the tables are printed, and nothing was wrong: who ends the demo now breaks nothing off.
    var isMeasured: Bool { isMeasuredFlag.withLock { $0 } }

    init(_ options: Options) throws {
        self.options = options
        let folder = options.state ?? FileManager.default.temporaryDirectory.appending(path: "headrace-demo-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
        stage = DemoStage(options: options, folder: folder)
    }

    /// - Throws: `Failure` when something differs, is not compressed or failed, or a program does not do its part.
    func run() async throws {
        var children: [ChildProcess] = []
        // The edge before the application that it needs.
        defer {
            for child in children.reversed() { child.stop() }
            if options.state == nil { try? FileManager.default.removeItem(at: stage.folder) }
        }
        Terminal.say("starting the sample application with its own PostgreSQL …")
        let application = try await stage.application("application", seconds: 120)
        children.append(application.child)
        let edge = try await stage.serve(
            "edge",
            [
                "--app", application.address, "--listen", freeAddress(), "--set",
                "edge.access_log=\(stage.folder.appending(path: "access.log").path)",
            ])
        children.append(edge.child)
        let (origin, front) = (application.address, edge.address)
        Terminal.say("application: \(origin)\nedge:        \(front)")

        let sizes = try await compare(origin: origin, front: front)
        if let problem = sizes.problem { throw Failure(description: problem) }
        try FileManager.default.createDirectory(at: DemoStand.state(in: stage.folder), withIntermediateDirectories: true)
        let table = try await measure(origin: origin, front: front)
        var report = DemoReport(
            rounds: options.rounds, duration: options.duration, edge: table, sizes: sizes, pooler: try await PoolerDemo(stage: stage).run(),
            keyspace: try await KeyspaceDemo(stage: stage).run())
        if options.isJSON {
            if options.proofRounds > 0 {
                report.proof = try ProofReport.Document(text: try await prove(origin: origin, ["--json"]))
            }
            Terminal.print(try report.json())
        } else {
            // Before the proof, which takes minutes.
            Terminal.print("\n" + report.rendered())
            if options.proofRounds > 0 { Terminal.print("\n" + (try await prove(origin: origin))) }
        }
        guard report.failed == 0 else { throw Failure(description: "\(report.failed) requests failed") }
        guard !options.isOnce else { return }
        isMeasuredFlag.withLock { $0 = true }
        // All layers in one process take the edge's place, on its address.
        edge.child.stop()
        children.removeAll { $0 === edge.child }
        children += try await DemoStand(stage: stage).start(front: front, origin: origin)
        Terminal.say(
            """

            Open  \(front)/performance what each layer does, live, with a little traffic
                  \(front)/            the application through the edge
                  \(front)/scans/400   a page of 39 KB; look at Cache-Status and Server-Timing in the browser's tools
                  \(front)/metrics     the edge's numbers
                  \(origin)/           the application alone
            Ctrl-C ends all of it.
            """)
        while true {
            try await Task.sleep(for: .milliseconds(500))
            for child in children where !child.isRunning {
                throw Failure(description: "\(child.name) has ended:\n\(child.errors.suffix(2000))")
            }
        }
    }

    /// The address that was asked for; if somebody has it, any port.
    private func freeAddress() -> String {
        guard let port = options.listen.split(separator: ":").last.flatMap({ Int($0) }) else { return options.listen }
        return RunningServices.takenPorts().contains(port) ? "127.0.0.1:0" : options.listen
    }

    /// Holds every page through the edge, in each coding, to the application's own bytes.
    private func compare(origin: String, front: String) async throws -> PageSizes {
        let (direct, edge) = (LoopbackClient(url: origin), LoopbackClient(url: front))
        var measured: [(String, Int)] = []
        for page in Self.pages {
            let own = try await direct.get(page)
            guard own.status == 200 else { throw Failure(description: "the application answers \(page) with \(own.status)") }
            for coding in ["identity", "gzip", "br", "zstd"] {
                let response = try await settled(edge, page, coding)
                guard response.status == own.status else {
                    throw Failure(description: "\(page) through the edge: \(response.status) instead of \(own.status)")
                }
                let body = try? Decoding.decoded(response.body, response.fields["content-encoding"] ?? "identity", bytes: own.body.count)
                guard body == own.body else { throw Failure(description: "\(page) through the edge (\(coding)) is not the application's") }
                if page == Self.measuredPage { measured.append((coding, response.body.count)) }
            }
        }
        Terminal.say("\(Self.pages.count) pages through the edge are byte for byte the application's, in 4 codings")
        return PageSizes(target: Self.measuredPage, sizes: measured)
    }

    /// The page as it is served in the long run: once it is compressed well, which is done in the background.
    private func settled(_ edge: LoopbackClient, _ page: String, _ coding: String) async throws -> LoopbackClient.Response {
        var response = try await edge.get(page, [("Accept-Encoding", coding)])
        guard page == Self.measuredPage, coding != "identity" else { return response }
        for _ in 0..<20 {
            try await Task.sleep(for: .milliseconds(50))
            let next = try await edge.get(page, [("Accept-Encoding", coding)])
            if next.body.count < response.body.count { return next }
            response = next
        }
        return response
    }

    private func measure(origin: String, front: String) async throws -> DemoTable {
        let measured = try await stage.measure([DemoTable.Way.application: origin, .edge: front], users: options.users) { origin, users, _ in
            let level = try await stage.bench(
                origin, users: users, fields: ["Accept-Encoding: gzip"],
                history: origin == front ? DemoStand.history(in: stage.folder) : HistoryOptions.none)
            return (level, (), "p99 \(DemoRow.number(level.p99Ms)) ms")
        }
        return DemoTable(measured: measured)
    }

    /// - Returns: what `headrace prove` has to say of the application.
    private func prove(origin: String, _ arguments: [String] = []) async throws -> String {
        Terminal.say("\nheadrace prove --app \(origin) --quick \(Self.loadedPages.joined(separator: " "))")
        let child = try ChildProcess(
            "prove", ChildProcess.ownBinary,
            ["prove", "--app", origin, "--quick", "--rounds", "\(options.proofRounds)", "--history", DemoStand.history(in: stage.folder)] + arguments
                + Self.loadedPages, folder: stage.folder)
        defer { child.stop(seconds: 10) }
        let status = try await child.waitForExit(seconds: 1200)
        guard !child.output.isEmpty else { throw Failure(description: "headrace prove ended with \(status):\n\(child.errors.suffix(2000))") }
        return child.output
    }
}
