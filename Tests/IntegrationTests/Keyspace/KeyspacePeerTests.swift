import Foundation
import TestSupport
import Testing

/// The programs and libraries that people use with Redis, on the keyspace.
@Suite(.serialized) struct KeyspacePeerTests {
    private static let folder = HeadraceProcess.repository.appending(path: "Tests/IntegrationTests/Keyspace")
    /// Debian's: a developer's own may have none of the modules.
    private static let python = "/usr/bin/python3"

    private static func hasModule(_ name: String) -> Bool {
        (try? Command.run("env", [python, "-c", "import \(name)"]).status) == 0
    }

    private func start(_ arguments: [String] = []) throws -> HeadraceProcess {
        try HeadraceProcess(["--keyspace", "127.0.0.1:0"] + arguments, saying: "keyspace: ")
    }

    @Test(arguments: [("redis-py", "redis"), ("rq", "rq"), ("django", "django_redis")])
    func `Python's libraries find a Redis`(peer: String, module: String) throws {
        guard Self.hasModule(module) else {
            Issue.record("Python's module \(module) is not installed: run scripts/setup")
            return
        }
        let headrace = try start()
        let script = Self.folder.appending(path: "peers.py").path
        let result = try Command.run("env", [Self.python, "-B", script, peer, "\(headrace.port)"])
        #expect(result.status == 0, "\(result.text)\(result.errors)")
    }

    /// `clients/python`: against Headrace and against Redis the same.
    @Test(arguments: [true, false])
    func `the Python package works`(onRedis: Bool) throws {
        guard Self.hasModule("redis") else {
            Issue.record("Python's module redis is not installed: run scripts/setup")
            return
        }
        let package = HeadraceProcess.repository.appending(path: "clients/python").path
        func run(_ url: String) throws {
            let result = try Command.run(
                "env", ["-C", package, "CACHE_TEST_URL=\(url)", Self.python, "-B", "-W", "ignore", "-m", "unittest", "discover", "-s", "tests"])
            #expect(result.status == 0, "\(result.text)\(result.errors)")
        }
        if onRedis {
            let redis = try RedisPeer()
            try run("unix://\(redis.folder.path)/redis.sock?db=3")
            withExtendedLifetime(redis) {}
        } else {
            let headrace = try start()
            try run("redis://127.0.0.1:\(headrace.port)/3")
            #expect(headrace.isRunning)
        }
    }

    @Test(.enabled(if: Command.find("prometheus-redis-exporter") != nil, "prometheus-redis-exporter is not installed: run scripts/setup"))
    func `redis_exporter says that it is up, and counts what was asked`() throws {
        let headrace = try start()
        let client = try RedisClient(port: headrace.port)
        #expect(try client.call("SET", "k", "v") == .status("OK"))
        for key in ["k", "k", "k", "absent"] { _ = try client.call("GET", key) }
        let port = try freePort()
        let exporter = Process()
        exporter.executableURL = Command.find("prometheus-redis-exporter")
        exporter.arguments = ["-redis.addr", "redis://127.0.0.1:\(headrace.port)", "-web.listen-address", "127.0.0.1:\(port)"]
        exporter.standardOutput = FileHandle.nullDevice
        exporter.standardError = FileHandle.nullDevice
        try Starter.shared.start(exporter)
        defer { kill(exporter.processIdentifier, SIGKILL) }
        var text = ""
        #expect(
            eventually(seconds: 15) {
                text = (try? RawClient.getOwnPage(port: port, "/metrics").text) ?? ""
                return text.contains("\nredis_up 1")
            })
        for line in ["redis_keyspace_hits_total 3", "redis_keyspace_misses_total 1", "redis_db_keys{db=\"db0\"} 1", "redis_memory_max_bytes 2.68435456e+08"] {
            #expect(text.contains("\n\(line)\n"), "\(line)")
        }
        #expect(text.contains("\nredis_exporter_last_scrape_error{err=\"\"} 0"))
    }

    private func freePort() throws -> Int {
        let result = try Command.run("env", [Self.python, "-c", "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])"])
        return try #require(Int(result.text.trimmingCharacters(in: .whitespacesAndNewlines)))
    }

    @Test(.enabled(if: Command.find("redis-cli") != nil, "redis-cli is not installed: run scripts/setup"))
    func `redis-cli finds big keys and hot keys, and measures latency`() throws {
        let headrace = try start(["--set", "keyspace.policy=allkeys-lfu"])
        let client = try RedisClient(port: headrace.port)
        #expect(try client.call("SET", "big", String(repeating: "x", count: 5000)) == .status("OK"))
        for number in 0..<50 { #expect(try client.call("RPUSH", "list", "\(number)") != .null) }
        for _ in 0..<300 { _ = try client.call("GET", "big") }
        func run(_ arguments: String...) throws -> String {
            let result = try Command.run("redis-cli", ["-p", "\(headrace.port)"] + arguments)
            #expect(result.status == 0, "\(result.errors)")
            return result.text
        }
        let keys = try run("--bigkeys")
        #expect(keys.contains("Biggest string found '\"big\"' has 5000 bytes"), "\(keys)")
        #expect(keys.contains("Biggest   list found '\"list\"' has 50 items"), "\(keys)")
        #expect(try run("--hotkeys").contains("keyname: \"big\""))
        #expect(try run("--latency").split(separator: " ").count >= 4)
        #expect(try run("--memkeys").contains("\"big\""))
    }
}
