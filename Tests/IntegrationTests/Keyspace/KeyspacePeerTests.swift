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

    @Test(arguments: [("redis-py", "redis"), ("rq", "rq"), ("django", "django_redis"), ("hiredis", "ctypes")])
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
        let port = try FreePort.find()
        let exporter = Program()
        exporter.executableURL = Command.find("prometheus-redis-exporter")
        exporter.arguments = ["-redis.addr", "redis://127.0.0.1:\(headrace.port)", "-web.listen-address", "127.0.0.1:\(port)"]
        exporter.standardOutput = FileHandle.nullDevice
        exporter.standardError = FileHandle.nullDevice
        try exporter.start()
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
        // It goes on until it is ended.
        let stat = try Command.run("stdbuf", ["-oL", "timeout", "3", "redis-cli", "-p", "\(headrace.port)", "--stat", "-i", "0.2"])
        #expect(stat.text.contains("requests") && stat.text.split(separator: "\n").contains { $0.contains("2 ") }, "\(stat.text)")
        #expect(try run("--csv", "LRANGE", "list", "0", "1").contains("\"0\",\"1\"") && run("-3", "HELLO").contains("redis"))
    }

    /// All that `redis-benchmark` does by itself; an error reply ends it with a status of its own.
    @Test(.enabled(if: Command.find("redis-benchmark") != nil, "redis-benchmark is not installed: run scripts/setup"), arguments: ["1", "16"])
    func `redis-benchmark's tests run without an error`(pipeline: String) throws {
        let headrace = try start()
        let result = try Command.run("redis-benchmark", ["-p", "\(headrace.port)", "-n", "3000", "-P", pipeline, "-r", "1000", "-q"])
        #expect(result.status == 0, "\(result.errors)")
        #expect(!result.text.lowercased().contains("error") && !result.errors.lowercased().contains("error"), "\(result.text)\(result.errors)")
        for name in ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "LPUSH", "RPUSH", "LPOP", "RPOP", "SADD", "HSET", "SPOP", "ZADD", "ZPOPMIN", "LRANGE_600", "MSET (10 keys)"] {
            #expect(result.text.contains(name), "\(name)")
        }
        let client = try RedisClient(port: headrace.port)
        let stats = try client.call("INFO", "stats").text ?? ""
        #expect(stats.contains("total_error_replies:0"), "\(stats)")
    }

    /// Keys whose time has passed leave by themselves. How soon, on a quiet machine, is `Benchmarks/keyspace --only expiry`.
    @Test func `a hundred thousand keys that end at one instant leave unread, while others are served`() throws {
        let headrace = try start()
        let client = try RedisClient(port: headrace.port)
        let end = (Int(Date().timeIntervalSince1970) + 5) * 1000
        for start in stride(from: 0, to: 100_000, by: 1000) {
            for number in start..<start + 1000 {
                try client.send([Array("SET".utf8), Array("k:\(number)".utf8), Array("v".utf8), Array("PXAT".utf8), Array("\(end)".utf8)])
            }
            for _ in 0..<1000 { #expect(try client.reply() == .status("OK")) }
        }
        #expect(try client.call("SET", "stays", "v") == .status("OK"))
        #expect(try eventually(seconds: 60) { try client.call("DBSIZE") == .integer(1) })
        #expect(try client.call("GET", "stays").text == "v")
        // What a slow machine has sent after the end was never there.
        let expired = try client.call("INFO", "stats").text?.firstMatch(of: /expired_keys:(\d+)/).flatMap { Int($0.1) } ?? 0
        #expect(expired > 0 && expired <= 100_000, "\(expired)")
    }
}
