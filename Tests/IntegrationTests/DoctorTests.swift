import Foundation
import Synchronization
import TestSupport
import Testing

/// `headrace doctor` at a Headrace that serves, with a real PostgreSQL behind it: silent when all is well, and not when it is not.
@Suite(.serialized, .enabled(if: PostgresCluster.programs != nil && Command.find("openssl") != nil, "PostgreSQL or openssl is not installed: run scripts/setup"))
struct DoctorTests {
    /// Another address of this machine: what listens on all of them answers there.
    private static let outside = "127.0.0.2"
    private static let secret = "0123456789abcdef0123456789abcdef"

    /// Where the application finds its pooler and its keyspace.
    private final class Addresses: Sendable {
        let ports = Mutex<(pooler: Int, keyspace: Int)?>(nil)
    }

    /// A whole deployment: application, edge, pooler, keyspace, database.
    private final class Deployment {
        let cluster: PostgresCluster
        let origin: ScriptedOrigin
        let process: HeadraceProcess
        /// The configuration as it is in fact, with the ports that were free.
        let file: TemporaryFile
        private let files: [TemporaryFile]

        /// - Parameters:
        ///   - isUsed: whether the application asks its pooler and its keyspace.
        ///   - page: what the application answers with, by target.
        ///   - host: where pooler and keyspace listen.
        ///   - more: lines of the configuration's edge section.
        init(
            isUsed: Bool, host: String = "127.0.0.1", database: [String: String] = [:], edge more: [String] = [], others: [String] = [],
            page: @escaping @Sendable (ScriptedOrigin.Request) -> String
        ) throws {
            let cluster = try PostgresCluster(settings: database)
            let addresses = Addresses()
            let origin = try ScriptedOrigin(host: host == "127.0.0.1" ? host : "0.0.0.0") { request in
                if isUsed, let ports = addresses.ports.withLock({ $0 }) {
                    _ = try? RedisClient(port: ports.keyspace).call("GET", "page")
                    _ = try? Command.run("psql", ["-X", "-q", "-w", "-h", "127.0.0.1", "-p", "\(ports.pooler)", "-U", "postgres", "-d", "shop", "-c", "SELECT 1"])
                }
                return [.send(page(request))]
            }
            let secret = try TemporaryFile(DoctorTests.secret, name: "secret")
            func text(edge: String, pooler: String, keyspace: String) -> String {
                let lines = [
                    "edge:", "  app: \(origin.url)", "  listen: \(edge)"] + more.map { "  " + $0 } + [
                        "pooler:", "  listen: \(pooler)", "  postgres: \(cluster.url())", "keyspace:", "  listen: \(keyspace)", "prove:",
                        "  secret: file:\(secret.path)",
                    ] + others
                return lines.joined(separator: "\n") + "\n"
            }
            let started = try TemporaryFile(text(edge: "127.0.0.1:0", pooler: "\(host):0", keyspace: "\(host):0"), name: "headrace.yaml")
            let process = try HeadraceProcess(["--config", started.path])
            func port(_ product: String) throws -> Int {
                let pattern = try Regex("\(product): [0-9.]+:(\\d+) ", as: (Substring, Substring).self)
                var port: Int?
                _ = eventually(seconds: 30) {
                    port = process.errorOutput.firstMatch(of: pattern).flatMap { Int($0.1) }
                    return port != nil
                }
                return try #require(port, "\(process.errorOutput)")
            }
            let (pooler, keyspace) = (try port("pooler"), try port("keyspace"))
            // What the application asks for is there: a cache that only misses is a finding of its own.
            if isUsed { _ = try RedisClient(port: keyspace).call("SET", "page", "kept") }
            addresses.ports.withLock { $0 = (pooler, keyspace) }
            file = try TemporaryFile(text(edge: "127.0.0.1:\(process.port)", pooler: "\(host):\(pooler)", keyspace: "\(host):\(keyspace)"), name: "headrace.yaml")
            (self.cluster, self.origin, self.process, files) = (cluster, origin, process, [secret, started])
        }

        func examined(_ arguments: [String] = []) throws -> (problems: [String: [String]], result: Command.Result) {
            let result = try Command.run(
                "env", [HeadraceProcess.binary.path, "doctor", "--json", "--config", file.path, "--outside", DoctorTests.outside] + arguments)
            let document = try #require(try JSONSerialization.jsonObject(with: result.output) as? [String: Any], "\(result.errors)")
            var problems: [String: [String]] = [:]
            for check in try #require(document["checks"] as? [[String: Any]]) where check["outcome"] as? String == "problem" {
                problems[try #require(check["name"] as? String)] = check["evidence"] as? [String]
            }
            return (problems, result)
        }

        /// The same until it is so: what the dashboard knows, and the probes of the first seconds, are some seconds old.
        func examined(until isSo: ([String: [String]]) -> Bool) throws -> (problems: [String: [String]], result: Command.Result) {
            for _ in 0..<6 {
                let found = try examined()
                if isSo(found.problems) { return found }
                Thread.sleep(forTimeInterval: 3)
            }
            return try examined()
        }
    }

    private static let style = String(repeating: "p { color: #123456 }\n", count: 300)
    private static let text = "<link rel=stylesheet href=/site.css>" + String(repeating: "<p>a line that compresses well</p>\n", count: 200)

    private static func good(_ request: ScriptedOrigin.Request) -> String {
        let isStyle = request.target == "/site.css"
        let fields = isStyle
            ? ["Content-Type: text/css", "Cache-Control: max-age=86400", "ETag: \"s\""]
            : ["Content-Type: text/html", "Cache-Control: public, max-age=600", "ETag: \"p\""]
        return ScriptedOrigin.response(fields: fields, body: isStyle ? style : text)
    }

    private static func bad(_ request: ScriptedOrigin.Request) -> String {
        switch request.target {
        case "/site.css": ScriptedOrigin.response(fields: ["Content-Type: text/css", "Set-Cookie: a=b"], body: style)
        case "/missing.js": ScriptedOrigin.response(status: "404 Not Found", body: "")
        default:
            ScriptedOrigin.response(fields: ["Content-Type: text/html", "Cache-Control: no-store"], body: "<script src=/missing.js></script>" + text)
        }
    }

    @Test func `is silent where all is well, and sees the marked requests in every layer`() throws {
        let deployment = try Deployment(
            isUsed: true, edge: ["limits: {connections: 500}"],
            others: ["dashboard: {access: local}"], page: Self.good)
        // The machine's own limits are not the deployment's.
        let (problems, result) = try deployment.examined { $0.keys.allSatisfy { ["descriptors", "kernel", "memory"].contains($0) } }
        #expect(problems.filter { !["descriptors", "kernel", "memory"].contains($0.key) } == [:], "\(result.text)")
        #expect(result.text.contains("a signed request came back with this edge's answer"))
        #expect(result.text.contains("transactions while 20 marked requests reached the application"))
        #expect(result.text.contains("commands while 20 marked requests reached the application"))
        #expect(result.text.contains("all of them the pooler's"))
    }

    @Test func `finds more than 15 planted misconfigurations, and names them`() throws {
        let folder = try TemporaryFolder()
        let (certificate, key) = (folder.url.appending(path: "c.pem").path, folder.url.appending(path: "k.pem").path)
        let made = try Command.run(
            "openssl",
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3", "-subj", "/CN=a", "-keyout", key, "-out",
                certificate,
            ])
        try #require(made.status == 0, "\(made.errors)")
        let deployment = try Deployment(
            isUsed: false, host: "0.0.0.0", database: ["listen_addresses": "127.0.0.1,\(Self.outside)"],
            edge: [
                "compression: {enabled: false}", "cache: {size: 1000GB}", "limits: {connections: 1000000}",
                "tls: {listen: \"127.0.0.1:0\", certificates: [\(certificate)], keys: [\(key)]}", "upstreams: {spare: {members: [\"http://127.0.0.1:1\"]}}",
            ], page: Self.bad)
        let client = try RawClient(port: deployment.process.port)
        for _ in 0..<120 {
            client.send("GET /page HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readResponse().status == 200)
        }
        // The application, still on the database's own port.
        let session = Program()
        session.executableURL = Command.find("psql")
        session.environment = ProcessInfo.processInfo.environment.merging(["PGAPPNAME": "nightly-report"]) { $1 }
        session.arguments = ["-X", "-q", "-w", "-h", "127.0.0.1", "-p", "\(deployment.cluster.port)", "-U", "postgres", "-d", "shop", "-c", "SELECT pg_sleep(600)"]
        session.standardOutput = FileHandle.nullDevice
        session.standardError = FileHandle.nullDevice
        try session.start()
        defer { if session.isRunning { kill(session.processIdentifier, SIGKILL) } }
        let isThere = try eventually(seconds: 30) {
            try deployment.cluster.query("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nightly-report'") == "1"
        }
        #expect(isThere)

        let (problems, result) = try deployment.examined {
            // A connection that the pooler opens while it is asked is taken for one past it, until the next time.
            $0["services"] != nil && $0["sessions"]?.count == 1 && $0["hit-rate"]?.contains { $0.contains("no-store") } == true
        }
        #expect(result.status == 1)
        let expected = [
            "page-compression", "file-compression", "page-cacheable", "file-lifetime", "validators", "file-cookies", "broken",
            "services", "idle-layers", "pooler-crossed", "sessions", "keyspace-crossed", "hit-rate", "certificates", "application-door", "postgresql-door",
            "pooler-door", "keyspace-door", "memory",
        ]
        #expect(Set(expected).subtracting(problems.keys) == [], "\(result.text)")
        #expect(problems["sessions"]?.contains { $0.contains("\"nightly-report\"") && $0.contains("postgres@shop from 127.0.0.1:") } == true, "\(problems["sessions"] ?? [])")
        #expect(problems["sessions"]?.count == 1, "the pooler's own are not among them: \(problems["sessions"] ?? [])")
        #expect(problems["postgresql-door"] == ["\(Self.outside):\(deployment.cluster.port): whoever connects is in, without a password"])
        #expect(problems["hit-rate"]?.contains { $0.contains("/page") && $0.contains("no-store") } == true, "\(problems["hit-rate"] ?? [])")

        // The public name still leads to the application: everything is green, and nobody goes through it.
        let past = try deployment.examined([deployment.origin.url + "/", "--only", "passage"])
        #expect(past.problems.keys.sorted() == ["passage"], "\(past.result.text)")
    }
}
