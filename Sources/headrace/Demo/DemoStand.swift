import Foundation

/// What stays up at the end of the demo: one process with all layers, the sample application behind its pooler and its keyspace, a little
/// traffic, and the runs that were measured. So that the dashboard has something to show in every block.
struct DemoStand {
    /// Requests per second that go on: what a small site has.
    private static let rate = 12
    /// Visitors per second who come back with what their browsers kept.
    private static let returning = 0.5
    /// Longer than its pages may be kept without asking, 10 s: then they ask whether theirs is current.
    private static let returningPause = "12s"
    /// Of pages that nobody else asks for: they come out of the cache less often, so that the application and its database are seen, too.
    private static let scans = 1...60

    let stage: DemoStage

    static func state(in folder: URL) -> URL { folder.appending(path: "state") }
    /// Where the demo's runs are kept.
    static func history(in folder: URL) -> String { state(in: folder).appending(path: "history.sqlite").path }

    /// - Parameters:
    ///   - front: where it listens: `http://127.0.0.1:8080`.
    ///   - origin: an application to begin with; its own one needs the addresses of pooler and keyspace first.
    /// - Returns: what was started, in the order of starting.
    func start(front: String, origin: String) async throws -> [ChildProcess] {
        var children: [ChildProcess] = []
        do {
            try await start(front: front, origin: origin, &children)
            return children
        } catch {
            for child in children.reversed() { child.stop() }
            throw error
        }
    }

    private func start(front: String, origin: String, _ children: inout [ChildProcess]) async throws {
        let direct = try String(contentsOf: stage.state.appending(path: "database-url"), encoding: .utf8)
        guard let port = direct.firstMatch(of: /127\.0\.0\.1:(\d+)\//).flatMap({ Int($0.1) }) else {
            throw Demo.Failure(description: "the application's database has no port: its address begins with \(direct.prefix(12))")
        }
        let file = stage.folder.appending(path: "headrace.yaml")
        func write(application: String) throws {
            let text = """
                edge:
                  listen: \(front.replacing("http://", with: ""))
                  app: \(application)
                  access_log: \(stage.folder.appending(path: "access.log").path)
                  browser_caching: standard
                pooler:
                  listen: 127.0.0.1:0
                  postgres: postgres://scanner@127.0.0.1:\(port)/scanner
                  password: file:\(stage.state.appending(path: "scanner-password").path)
                keyspace:
                  listen: 127.0.0.1:0
                dashboard:
                  state: \(Self.state(in: stage.folder).path)
                  traffic_price: 0.08EUR
                schedule:
                  load: "@hourly"

                """
            try Data(text.utf8).write(to: file)
        }
        try write(application: origin)
        let serve = try ChildProcess("headrace", ChildProcess.ownBinary, ["serve", "--config", file.path, "--until-eof"], folder: stage.folder)
        children.append(serve)
        let (pooler, keyspace) = try await serve.wait(seconds: 20, for: "its addresses") { child -> (String, String)? in
            guard child.listeningAddress(of: "edge") != nil, let pooler = child.listeningAddress(of: "pooler"),
                let keyspace = child.listeningAddress(of: "keyspace")
            else { return nil }
            return (pooler, keyspace)
        }
        let application = try await stage.application(
            "application-behind",
            [
                "--database-url", direct.replacing("127.0.0.1:\(port)/", with: "\(pooler)/"), "--cache-url", "redis://\(keyspace)/0",
            ])
        children.append(application.child)
        let behind = application.address
        try write(application: behind)
        kill(serve.processIdentifier, SIGHUP)
        _ = try await serve.wait(seconds: 20, for: "its configuration") { $0.errors.contains("configuration read anew") ? true : nil }
        let pages = Demo.loadedPages + ["/", "/login"] + Self.scans.map { "/scans/\($0)" }
        children.append(
            try ChildProcess(
                "visitors", ChildProcess.ownBinary,
                [
                    "bench", "--rate", "\(Self.rate)", "--duration", "24h", "--warm-up", "0s", "--history", HistoryOptions.none, "--header",
                    "Accept-Encoding: gzip",
                ] + pages.map { front + $0 }, folder: stage.folder))
        children.append(
            try ChildProcess(
                "returning-visitors", ChildProcess.ownBinary,
                [
                    "bench", "--visitor", "--rate", "\(Self.returning)", "--view-pause", Self.returningPause, "--duration", "24h", "--history", HistoryOptions.none,
                ] + ["/", Demo.measuredPage].map { front + $0 }, folder: stage.folder))
    }
}
