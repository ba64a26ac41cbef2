import Foundation
import TestSupport
import Testing

/// `headrace bench` against a real Redis and a real PostgreSQL: what it counts is what they counted.
@Suite(.serialized) struct BenchProtocolTests {
    private func bench(_ arguments: [String]) throws -> (level: [String: Any], result: Command.Result) {
        let result = try Command.run("env", [HeadraceProcess.binary.path, "bench", "--json"] + arguments)
        let document = try #require(try? JSONSerialization.jsonObject(with: result.output) as? [String: Any], "\(result.errors)")
        return (try #require((document["levels"] as? [[String: Any]])?.first), result)
    }

    @Test(.enabled(if: RedisPeer.isInstalled, "redis-server is not installed: run scripts/setup test"))
    func `commands are counted as Redis counts them, each with its mix`() throws {
        let redis = try RedisPeer()
        let (level, result) = try bench([
            "redis://127.0.0.1", "--unix-socket", redis.socketPath, "--command", "3@GET {{key}}", "--command", "SET {{key}} {{value}}",
            "--rate", "400", "--duration", "1s", "--warm-up", "0s",
        ])
        #expect(level["requests"] as? Int == 400 && level["failed"] as? Int == 0, "\(result.errors)")
        // One of each before the load, to see that they are taken.
        let counted = try redis.client().call("INFO", "commandstats").text ?? ""
        #expect(counted.contains("cmdstat_get:calls=301,") && counted.contains("cmdstat_set:calls=101,"), "\(counted)")
    }

    @Test(.enabled(if: RedisPeer.isInstalled, "redis-server is not installed: run scripts/setup test"))
    func `a pipeline is one request; an error is a failure that is told before the load`() throws {
        let redis = try RedisPeer()
        let (level, _) = try bench([
            "redis://127.0.0.1/3", "--unix-socket", redis.socketPath, "--command", "RPUSH list {{value}}", "--pipeline", "16", "--concurrency", "2",
            "--requests", "50", "--warm-up", "0s",
        ])
        #expect(level["requests"] as? Int == 50)
        let client = try redis.client()
        _ = try client.call("SELECT", "3")
        #expect(try client.call("LLEN", "list").integer == 51 * 16)
        let refused = try Command.run(
            "env", [HeadraceProcess.binary.path, "bench", "redis://127.0.0.1", "--unix-socket", redis.socketPath, "--command", "LPUSH"])
        #expect(refused.status == 1 && refused.errors.contains("wrong number of arguments for 'lpush'"), "\(refused.errors)")
    }

    @Test(.enabled(if: PostgresCluster.programs != nil && Command.find("pgbench") != nil, "PostgreSQL is not installed: run scripts/setup test"))
    func `transactions are counted as PostgreSQL has them, in each mode`() throws {
        let postgres = try PostgresCluster.shared.get()
        for mode in ["simple", "extended", "prepared"] {
            try postgres.query("DROP TABLE IF EXISTS bench_\(mode); CREATE TABLE bench_\(mode) (n bigint)")
            let script = FileManager.default.temporaryDirectory.appending(path: "bench-\(UUID().uuidString).sql")
            defer { try? FileManager.default.removeItem(at: script) }
            try Data("\\set n random(1, 10)\nBEGIN;\nINSERT INTO bench_\(mode) VALUES (:n);\nSELECT max(n) FROM bench_\(mode);\nEND;\n".utf8).write(to: script)
            let (level, result) = try bench([
                postgres.url(), "--script", script.path, "--protocol", mode, "--rate", "100", "--duration", "1s", "--warm-up", "0s",
            ])
            #expect(level["requests"] as? Int == 100 && level["failed"] as? Int == 0, "\(result.errors)")
            #expect(try postgres.query("SELECT count(*), min(n) >= 1, max(n) <= 10 FROM bench_\(mode)") == "101|t|t")
        }
    }

    @Test(.enabled(if: PostgresCluster.programs != nil, "PostgreSQL is not installed: run scripts/setup test"))
    func `a connection per transaction, and mistakes in the server's own words`() throws {
        let postgres = try PostgresCluster.shared.get()
        let (level, _) = try bench([postgres.url(), "--no-keep-alive", "--concurrency", "2", "--requests", "20", "--warm-up", "0s"])
        #expect(level["requests"] as? Int == 20 && level["failed"] as? Int == 0 && level["connections"] as? Int == 20)
        let refused = try Command.run("env", [HeadraceProcess.binary.path, "bench", postgres.url(), "--query", "SELECT nothing_like_it"])
        #expect(refused.status == 1 && refused.errors.contains("column \"nothing_like_it\" does not exist"), "\(refused.errors)")
        let unknown = try Command.run("env", [HeadraceProcess.binary.path, "bench", postgres.url(user: "nobody_known")])
        #expect(unknown.status == 1 && unknown.errors.contains("nobody_known"), "\(unknown.errors)")
    }
}
