import CCodecs
import Foundation

/// The main job end to end: the sample application with its own PostgreSQL, driven past the edge and through it.
///
/// 1. The application starts on a free port, and the edge in front of it, each in a process of its own.
/// 2. Every page through the edge must be byte for byte the application's.
/// 3. In each round, at each number of users, the application alone and the edge are measured one right after the other, in
///    alternating order, by `headrace bench` in a process of its own.
/// 4. The same for the application's way to its database: directly, and through the pooler (``PoolerDemo``).
/// 5. The same for its results: computed for each request, and kept in a keyspace (``KeyspaceDemo``).
/// 6. The tables.
/// 7. `headrace prove --quick`, in a process of its own, on the same pages: what all layers are worth together, with an interval, and the
///    exact figures of each; then it stays up until it is cancelled.
struct Demo {
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
    /// Less than this share saved by gzip would mean that compression does not work.
    static let savedMin = 0.8

    private let options: Options
    private let folder: URL

    init(_ options: Options) throws {
        self.options = options
        folder = options.state ?? FileManager.default.temporaryDirectory.appending(path: "headrace-demo-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
    }

    func run() async throws {
        var children: [ChildProcess] = []
        // The edge before the application that it needs.
        defer {
            for child in children.reversed() { child.stop() }
            if options.state == nil { try? FileManager.default.removeItem(at: folder) }
        }
        Terminal.say("starting the sample application with its own PostgreSQL …")
        let application = try ChildProcess(
            "application", options.application,
            ["--state", folder.appending(path: "application").path, "--port", "0", "--until-eof"], folder: folder)
        children.append(application)
        let origin = try await application.wait(seconds: 120, for: "readiness") { child in
            child.output.firstMatch(of: /ready (http:\/\/127\.0\.0\.1:\d+)/).map { String($0.1) }
        }
        let edge = try ChildProcess(
            "edge", Self.ownBinary,
            [
                "serve", "--app", origin, "--listen", try await freeAddress(), "--until-eof", "--set",
                "edge.access_log=\(folder.appending(path: "access.log").path)",
            ], folder: folder)
        children.append(edge)
        let front = try await edge.wait(seconds: 20, for: "an address") { child in
            child.errors.firstMatch(of: /edge: (http:\/\/\S+:\d+)/).map { String($0.1) }
        }
        Terminal.say("application: \(origin)\nedge:        \(front)")

        let sizes = try await compare(origin: origin, front: front)
        let table = try await measure(origin: origin, front: front)
        let pooled = try await PoolerDemo(options: options, folder: folder, binary: Self.ownBinary)
            .run(state: folder.appending(path: "application"))
        let kept = try await KeyspaceDemo(options: options, folder: folder, binary: Self.ownBinary)
            .run(state: folder.appending(path: "application"))
        report(table, pooled, kept, sizes)
        if options.proofRounds > 0, !options.isJSON { try await prove(origin: origin) }
        let failed = table.failed + pooled.failed + kept.failed
        guard failed == 0 else { throw Failure(description: "\(failed) requests failed") }
        guard sizes.savedByGzip >= Self.savedMin else {
            let (saved, least) = (Int(sizes.savedByGzip * 100), Int(Self.savedMin * 100))
            throw Failure(description: "gzip saves \(saved) % of \(sizes.target), less than \(least) %")
        }
        guard !options.isOnce else { return }
        Terminal.say(
            """

            Open  \(front)/            the application through the edge
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

    private static let ownBinary = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()

    /// The address that was asked for; if somebody has it, any port.
    private func freeAddress() async throws -> String {
        guard let port = options.listen.split(separator: ":").last.flatMap({ Int($0) }) else { return options.listen }
        let isTaken = (try? await LoopbackClient(port: port, seconds: 1).get("/")) != nil
        return isTaken ? "127.0.0.1:0" : options.listen
    }

    // MARK: Sameness

    /// Holds every page through the edge, in each coding, to the application's own bytes.
    private func compare(origin: String, front: String) async throws -> PageSizes {
        let (direct, edge) = (client(origin), client(front))
        var measured: [(String, Int)] = []
        for page in Self.pages {
            let own = try await direct.get(page)
            guard own.status == 200 else { throw Failure(description: "the application answers \(page) with \(own.status)") }
            for coding in ["identity", "gzip", "br", "zstd"] {
                let response = try await settled(edge, page, coding)
                guard response.status == own.status else {
                    throw Failure(description: "\(page) through the edge: \(response.status) instead of \(own.status)")
                }
                let body = try Decoding.decoded(response.body, response.fields["content-encoding"] ?? "identity", bytes: own.body.count)
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

    private func client(_ url: String) -> LoopbackClient {
        LoopbackClient(port: url.split(separator: ":").last.flatMap { Int($0) } ?? 0)
    }

    // MARK: Load

    private func measure(origin: String, front: String) async throws -> DemoTable {
        var table = DemoTable()
        for round in 1...options.rounds {
            for users in options.users {
                // Whoever comes second finds a warmer machine: they take turns.
                let ways = round % 2 == 1 ? DemoTable.Way.allCases : DemoTable.Way.allCases.reversed()
                for way in ways {
                    let level = try await bench(way == .edge ? front : origin, users: users)
                    table.add(.init(users: users, way: way, level: level))
                    let figures = "\(DemoTable.number(level.requestsPerSecond)) requests/s, p99 \(DemoTable.number(level.p99Ms)) ms"
                    Terminal.say("round \(round) of \(options.rounds), \(users) users, \(way.rawValue): \(figures), \(level.failed) failed")
                }
            }
        }
        return table
    }

    private func bench(_ base: String, users: Int) async throws -> BenchDocument.Level {
        let child = try ChildProcess(
            "bench", Self.ownBinary,
            [
                "bench", "--json", "--concurrency", "\(users)", "--duration", options.duration, "--warm-up", "500ms", "--history", HistoryOptions.none,
                "--header", "Accept-Encoding: gzip",
            ] + Self.loadedPages.map { base + $0 }, folder: folder)
        defer { child.stop(seconds: 1) }
        _ = try await child.waitForExit(seconds: 600)
        guard let level = try? BenchDocument(text: child.output).levels.first else {
            throw Failure(description: "the load generator gave no result:\n\(child.errors.suffix(2000))")
        }
        return level
    }

    /// Prints what `headrace prove` has to say of the application.
    private func prove(origin: String) async throws {
        Terminal.say("\nheadrace prove --app \(origin) --quick \(Self.loadedPages.joined(separator: " "))")
        let child = try ChildProcess(
            "prove", Self.ownBinary, ["prove", "--app", origin, "--quick", "--rounds", "\(options.proofRounds)"] + Self.loadedPages, folder: folder)
        defer { child.stop(seconds: 10) }
        let status = try await child.waitForExit(seconds: 1200)
        guard !child.output.isEmpty else { throw Failure(description: "headrace prove ended with \(status):\n\(child.errors.suffix(2000))") }
        Terminal.print("\n" + child.output)
    }

    // MARK: Report

    private struct Document: Encodable {
        let headrace = "demo"
        let users: [Int]
        let ratio: [String: Double]
        let levels: [Row]
        let pooler: [PoolerRow]
        let keyspace: [KeyspaceRow]
        let page: [String: Int]

        struct Row: Encodable {
            let way: String
            let level: BenchDocument.Level
        }

        struct KeyspaceRow: Encodable {
            let way: String
            let queriesPerRequest: Double
            let hitRate: Double?
            let bytes: Int?
            let level: BenchDocument.Level
        }

        struct PoolerRow: Encodable {
            let way: String
            let serverConnections: Int
            let level: BenchDocument.Level
        }
    }

    private func report(_ table: DemoTable, _ pooled: PoolerTable, _ kept: KeyspaceTable, _ sizes: PageSizes) {
        guard options.isJSON else {
            Terminal.print(
                """

                \(table.rendered())
                Closed loop: each user waits for its response before the next request, so stalls are under-reported. Medians of \(options.rounds) \
                rounds of \(options.duration); the ratio is of requests/s.

                \(sizes.rendered())

                \(pooled.rendered())
                The application connects to its database once per request; with the pooler its port differs, and nothing else.

                \(kept.rendered())
                The application keeps its results with @cache_response; hits are of the keyspace's lookups, queries the database's own count.
                """)
            return
        }
        let document = Document(
            users: table.users,
            ratio: Dictionary(uniqueKeysWithValues: table.users.map { ("\($0)", DemoTable.median(table.ratios($0))) }),
            levels: table.measurements.map { .init(way: $0.way.rawValue, level: $0.level) },
            pooler: pooled.measurements.map {
                .init(way: $0.way.rawValue, serverConnections: $0.serverConnections, level: $0.level)
            },
            keyspace: kept.measurements.map {
                .init(
                    way: $0.way.rawValue, queriesPerRequest: $0.queriesPerRequest, hitRate: $0.keyspace?.hitRate, bytes: $0.keyspace?.bytes,
                    level: $0.level)
            },
            page: Dictionary(uniqueKeysWithValues: sizes.sizes.map { ($0.coding, $0.bytes) }))
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(document) else { return }
        Terminal.print(String(decoding: data, as: UTF8.self))
    }
}

/// Undoes a content coding, with the codecs' own decoders and not with anything of the edge.
enum Decoding {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// - Parameter bytes: how many the result must have.
    static func decoded(_ body: [UInt8], _ coding: String, bytes: Int) throws -> [UInt8] {
        var result = [UInt8](repeating: 0, count: bytes)
        var count = bytes
        let isDone: Bool
        switch coding {
        case "identity":
            return body
        case "gzip":
            let decompressor = libdeflate_alloc_decompressor()
            defer { libdeflate_free_decompressor(decompressor) }
            isDone = libdeflate_gzip_decompress(decompressor, body, body.count, &result, bytes, &count) == LIBDEFLATE_SUCCESS
        case "br":
            isDone = BrotliDecoderDecompress(body.count, body, &count, &result) == BROTLI_DECODER_RESULT_SUCCESS
        case "zstd":
            count = ZSTD_decompress(&result, bytes, body, body.count)
            isDone = ZSTD_isError(count) == 0
        default:
            throw Failure(description: "a content coding that nobody asked for: \(coding)")
        }
        guard isDone, count == bytes else { throw Failure(description: "a \(coding) body that does not decode to its \(bytes) bytes") }
        return result
    }
}
