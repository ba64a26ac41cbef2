import Foundation
import TestSupport
import Testing

/// `headrace init` beside real servers, at ports of the tests' own.
@Suite struct InitTests {
    private static func isFound(_ services: [String], writing line: String = "", by arguments: [String]) throws -> (file: String, said: String) {
        var result = try Command.run("env", [HeadraceProcess.binary.path, "init", "--output", "-"] + arguments)
        // What answers within three seconds is found; beside a thousand other tests that may take more than one try.
        for _ in 0..<20 where !(services.allSatisfy { result.errors.contains("found \($0)\n") } && result.text.contains(line)) {
            result = try Command.run("env", [HeadraceProcess.binary.path, "init", "--output", "-"] + arguments)
        }
        #expect(result.status == 0, "\(result.errors)")
        for service in services { #expect(result.errors.contains("found \(service)\n"), "\(result.errors)") }
        return (result.text, result.errors)
    }

    @Test(.enabled(if: PostgresCluster.programs != nil && RedisPeer.isInstalled, "PostgreSQL or Redis is not installed: run scripts/setup"))
    func `the sections for a running PostgreSQL and Redis work as soon as their comment signs are off`() throws {
        let postgres = try PostgresCluster.shared.get()
        let (redis, redisPort) = try Self.redisOnPort(["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"])
        let origin = try ScriptedOrigin(body: "hello")
        let (file, _) = try Self.isFound(
            [
                "PostgreSQL at 127.0.0.1:\(postgres.port)", "Redis at 127.0.0.1:\(redisPort)",
            ], writing: "  app: http://127.0.0.1:\(origin.port)\n", by: ["--port", "\(postgres.port)", "--port", "\(redisPort)", "--port", "\(origin.port)"])
        #expect(try redis.client().call("PING") == .status("PONG"), "it lives on")
        #expect(file.contains("\n  app: http://127.0.0.1:\(origin.port)\n"))
        // As it is, only the edge is there.
        let asItIs = try TemporaryFile(file, name: "headrace.yaml")
        let check = try Command.run("env", [HeadraceProcess.binary.path, "check", "--config", asItIs.path])
        #expect(check.status == 0, "\(check.errors)")
        // What a user does who wants the rest: only that the ports are free ones here.
        var switched = file
        for (commented, line) in [
            (#/  # listen: \[127\.0\.0\.1:64\d\d\]\n/#, "  listen: [127.0.0.1:0]\n"), (#/  # listen: \[127\.0\.0\.1:63\d\d\]\n/#, "  listen: [127.0.0.1:0]\n"),
        ] {
            #expect(switched.matches(of: commented).count == 1)
            switched.replace(commented, with: line)
        }
        for line in ["postgres: postgres://127.0.0.1:\(postgres.port)", "maxmemory: 64MB", "policy: allkeys-lru"] {
            #expect(switched.contains("  # \(line)\n"), "\(line)")
            switched.replace("  # \(line)\n", with: "  \(line)\n")
        }
        let configuration = try TemporaryFile(switched, name: "headrace.yaml")
        let headrace = try HeadraceProcess(["--config", configuration.path])
        #expect(eventually { headrace.errorOutput.contains("pooler: ") && headrace.errorOutput.contains("keyspace: ") }, "\(headrace.errorOutput)")
        #expect(try RawClient.get(port: headrace.port, "/").text == "hello")
        let pooler = try #require(headrace.errorOutput.firstMatch(of: /pooler: 127\.0\.0\.1:(\d+)\s/)).1
        let answer = try Command.run(
            "psql", ["-X", "-A", "-t", "-w", "-h", "127.0.0.1", "-p", "\(pooler)", "-U", "postgres", "-d", "shop", "-c", "SELECT 6 * 7"])
        #expect(answer.text == "42\n", "\(answer.errors)")
        let keyspace = try #require(headrace.errorOutput.firstMatch(of: /keyspace: 127\.0\.0\.1:(\d+)\s/).flatMap { Int($0.1) })
        let client = try RedisClient(port: keyspace)
        #expect(try client.call("CONFIG", "GET", "maxmemory").array?.last?.text == "\(64 << 20)")
        #expect(try client.call("CONFIG", "GET", "maxmemory-policy").array?.last?.text == "allkeys-lru")
        headrace.terminate()
        #expect(headrace.waitForExit() == 0)
    }

    @Test(.enabled(if: RedisPeer.isInstalled, "\(RedisPeer.isMissing)")) func `a Redis that asks for a password is found, and nothing is asked of it`() throws {
        let (redis, port) = try Self.redisOnPort(["--requirepass", "open-sesame"], password: "open-sesame")
        let (file, said) = try Self.isFound(["Redis at 127.0.0.1:\(port)"], by: ["--port", "\(port)"])
        #expect(file.contains("  # It asks for a password") && said.contains("no application found"))
        #expect(!file.contains("open-sesame"))
        _ = redis
    }

    /// PostgreSQL's log has no line of it: init leaves no trace that an operator would wonder about.
    @Test(.enabled(if: PostgresCluster.programs != nil, "PostgreSQL is not installed: run scripts/setup"))
    func `being looked for leaves nothing in PostgreSQL's log`() throws {
        let cluster = try PostgresCluster(settings: ["log_connections": "off"])
        let log = cluster.folder.appending(path: "log")
        let before = try String(contentsOf: log, encoding: .utf8)
        _ = try Self.isFound(["PostgreSQL at 127.0.0.1:\(cluster.port)"], by: ["--port", "\(cluster.port)"])
        // Behind it a line that must come.
        try cluster.query("DO $$ BEGIN RAISE LOG 'after init'; END $$", database: "postgres")
        #expect(try eventually { try String(contentsOf: log, encoding: .utf8).contains("after init") })
        let lines = try String(contentsOf: log, encoding: .utf8).dropFirst(before.count).split(separator: "\n")
        #expect(lines.first?.contains("after init") == true, "\(lines)")
    }

    /// A Redis at a port below those that the system gives out by itself: nobody takes it in between.
    private static func redisOnPort(_ arguments: [String], password: String? = nil) throws -> (RedisPeer, Int) {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<20 {
            let port = Int.random(in: 20_000..<30_000, using: &random)
            let redis = try RedisPeer(arguments, password: password)
            let client = try redis.client()
            if let password { try client.call("AUTH", password) }
            // Refused when somebody has it.
            if try client.call("CONFIG", "SET", "port", "\(port)") == .status("OK") { return (redis, port) }
        }
        throw RawClient.Failure(description: "no port for Redis")
    }
}
