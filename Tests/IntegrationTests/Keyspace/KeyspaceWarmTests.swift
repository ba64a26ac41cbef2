import Foundation
import TestSupport
import Testing

/// `headrace warm --keyspace` and `CONFIG REWRITE`, on the binary, beside Redis and PostgreSQL.
@Suite struct KeyspaceWarmTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "warm-\(UUID().uuidString)")

    init() throws { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) }

    private func warm(_ address: String, _ arguments: [String], environment: [String] = []) throws -> (status: Int32, document: [String: Any], errors: String) {
        let result = try Command.run("env", environment + [HeadraceProcess.binary.path, "warm", "--keyspace", address, "--json"] + arguments)
        let document = (try? JSONSerialization.jsonObject(with: Data(result.text.utf8))) as? [String: Any] ?? [:]
        return (result.status, document, result.errors)
    }

    private func file(_ name: String, _ text: String) throws -> String {
        let file = folder.appending(path: name)
        try Data(text.utf8).write(to: file)
        return file.path
    }

    /// Runs the same with a Headrace and with a Redis.
    private func eachServer(_ body: (_ address: String, _ client: RedisClient) throws -> Void) throws {
        let headrace = try HeadraceProcess(["--keyspace", "127.0.0.1:0"], saying: "keyspace: ")
        try body("127.0.0.1:\(headrace.port)", try RedisClient(port: headrace.port))
        #expect(headrace.isRunning)
        guard RedisPeer.isInstalled else { return }
        let redis = try RedisPeer()
        try body("unix:\(redis.socketPath)", try redis.client())
        withExtendedLifetime(redis) {}
    }

    @Test func `a file fills keys with their lifetimes, and each bad line is named`() throws {
        let path = try file("keys.tsv", "a\tone\nb\ttwo\\nlines\t7200\nbad\nc\t3\tsoon\n\nd\t4\t2h\r\n")
        try eachServer { address, client in
            let result = try warm(address, ["--file", path, "--ttl", "1h", "--jitter", "0"])
            #expect(result.status == 1, "\(result.errors)")
            #expect(result.document["stored"] as? Int == 3 && result.document["failed"] as? Int == 2 && result.document["keys"] as? Int == 5)
            #expect(result.errors.contains("keys.tsv:3: no tab") && result.errors.contains("keys.tsv:4: the lifetime \"soon\""))
            #expect(try client.call("GET", "b").text == "two\nlines")
            for (key, lifetime) in [("a", 3600), ("b", 7200), ("d", 7200)] as [(String, Int64)] {
                let left = try #require(try client.call("TTL", key).integer)
                #expect((lifetime - 300...lifetime).contains(left), "\(key): \(left)")
            }
            #expect(try client.call("EXISTS", "bad", "c") == .integer(0))
        }
    }

    @Test func `a command's lines fill keys, its failure is told, and what is there may stay`() throws {
        try eachServer { address, client in
            #expect(try client.call("SET", "k:2", "newer") == .status("OK"))
            let command = #"for i in 1 2 3; do echo "{\"key\": \"k:$i\", \"value\": {\"n\": 1.0$i}}"; done"#
            let result = try warm(address, ["--command", command, "--format", "jsonl", "--only-missing"])
            #expect(result.status == 0, "\(result.errors)")
            #expect(result.document["stored"] as? Int == 2 && result.document["there"] as? Int == 1)
            #expect(try client.call("GET", "k:2").text == "newer" && client.call("GET", "k:3").text == #"{"n": 1.03}"#)
            #expect(try client.call("TTL", "k:1") == .integer(-1))
            let failing = try warm(address, ["--command", "printf 'x\\t1\\n'; exit 7"])
            #expect(failing.status == 69 && failing.errors.contains("the command ended with status 7, after 1 lines"), "\(failing.errors)")
            #expect(try client.call("GET", "x").text == "1")
        }
    }

    @Test(.enabled(if: PostgresCluster.programs != nil, "PostgreSQL is not installed: run scripts/setup"))
    func `a query's rows fill keys`() throws {
        let cluster = try PostgresCluster.shared.get()
        try eachServer { address, client in
            let sql = """
                SELECT 'p:' || i, repeat('v', 1000) || i, CASE WHEN i % 2 = 0 THEN 600 END FROM generate_series(1, 5000) i -- the shop's
                """
            let result = try warm(address, ["--postgres", cluster.url(), "--sql", sql, "--jitter", "0"])
            #expect(result.status == 0 && result.document["stored"] as? Int == 5000, "\(result.errors)")
            #expect(try client.call("DBSIZE") == .integer(5000) && client.call("TTL", "p:1") == .integer(-1))
            #expect(try client.call("STRLEN", "p:5000") == .integer(1004) && (try client.call("TTL", "p:5000").integer ?? 0) > 300)
            for (sql, words) in [
                ("SELECT 1", "the query gives one column"), ("SELECT 1, 2, 3, 4", "the query gives 4 columns"), ("SELECT * FROM nowhere", "42P01"),
                ("SELECT i, 1 / (3 - i) FROM generate_series(1, 5) i", "(22012)"), ("COPY (SELECT 1, 2) TO STDOUT", "COPY gives no rows"),
                ("SET work_mem = '1MB'", "gives no rows at all"),
            ] {
                let result = try warm(address, ["--postgres", cluster.url(), "--sql", sql])
                #expect(result.status == 69 && result.errors.contains(words), "\(sql): \(result.errors)")
            }
            let null = try warm(address, ["--postgres", cluster.url(), "--sql", "VALUES ('n:1', 'v'), (NULL, 'v'), ('n:3', NULL)"])
            #expect(null.status == 1 && null.errors.contains("row 2: the key is NULL") && null.errors.contains("row 3: the value is NULL"))
        }
    }

    /// With the pooler's own login, and SCRAM, which the server asks for.
    @Test(.enabled(if: PostgresCluster.programs != nil, "PostgreSQL is not installed: run scripts/setup"))
    func `a database that asks for a password is logged in to`() throws {
        let cluster = try PostgresCluster()
        try cluster.query("CREATE ROLE warmer LOGIN PASSWORD 'se cret'")
        let hba = "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        try Data(hba.utf8).write(to: cluster.folder.appending(path: "data/pg_hba.conf"))
        try cluster.query("SELECT pg_reload_conf()")
        let headrace = try HeadraceProcess(["--keyspace", "127.0.0.1:0"], saying: "keyspace: ")
        let (address, arguments) = ("127.0.0.1:\(headrace.port)", ["--postgres", cluster.url(user: "warmer"), "--sql", "SELECT 'k', 'v'"])
        #expect(
            try eventually(seconds: 30) {
                let refused = try warm(address, arguments, environment: ["PGPASSWORD=wrong"])
                return refused.status == 69 && refused.errors.contains("28P01")
            })
        let result = try warm(address, arguments, environment: ["PGPASSWORD=se cret"])
        #expect(result.status == 0 && result.document["stored"] as? Int == 1, "\(result.errors)")
    }

    @Test func `a rate is kept, only the first are filled, and a password may come from the environment`() throws {
        let headrace = try HeadraceProcess(
            ["--keyspace", "127.0.0.1:0", "--set", "keyspace.password=file:\(try file("password", "secret"))"], saying: "keyspace: ")
        let path = try file("many.tsv", (0..<1000).map { "k:\($0)\t\($0)\n" }.joined())
        let address = "127.0.0.1:\(headrace.port)"
        let refused = try warm(address, ["--file", path])
        #expect(refused.status == 69 && refused.errors.contains("NOAUTH"), "\(refused.errors)")
        let began = ContinuousClock.now
        let result = try warm("redis://\(address)/3", ["--file", path, "--rate", "100", "--top", "101", "--concurrency", "7"], environment: ["REDISCLI_AUTH=secret"])
        #expect(result.status == 0 && result.document["stored"] as? Int == 101, "\(result.errors)")
        // The 101st is due after one second.
        #expect(ContinuousClock.now - began >= .seconds(1))
        let client = try RedisClient(port: headrace.port)
        for command in [["AUTH", "secret"], ["SELECT", "3"]] { #expect(try client.call(command.map { Array($0.utf8) }) == .status("OK")) }
        #expect(try client.call("DBSIZE") == .integer(101))
    }

    @Test func `a server's refusal is told with the line, and one that is away is no success`() throws {
        let headrace = try HeadraceProcess(
            ["--keyspace", "127.0.0.1:0", "--set", "keyspace.maxmemory=1MB", "--set", "keyspace.policy=noeviction"], saying: "keyspace: ")
        let path = try file("full.tsv", (0..<30).map { "k:\($0)\t\(String(repeating: "v", count: 100_000))\n" }.joined())
        let full = try warm("127.0.0.1:\(headrace.port)", ["--file", path])
        #expect(full.status == 1 && full.errors.contains("OOM command not allowed"), "\(full.errors)")
        #expect((full.document["failures"] as? [[String: String]])?.first?["place"]?.hasPrefix("\(path):") == true)
        #expect((full.document["failures"] as? [Any])?.count == 10 && full.document["failed"] as? Int ?? 0 > 15)
        let away = try warm("unix:\(folder.path)/nobody.sock", ["--file", path])
        #expect(away.status == 69 && away.errors.contains("No such file"))
        #expect(try warm("unix:\(folder.path)/nobody.sock", ["--file", path, "--sql", "x"]).status == 64)
        #expect(try warm("127.0.0.1", ["--file", path]).status == 64)
    }

    @Test(.enabled(if: RedisPeer.isInstalled, "redis-server is not installed: run scripts/setup"))
    func `a server that goes in the middle is waited for, and the run goes on`() throws {
        let shared = folder.appending(path: "redis")
        try FileManager.default.createDirectory(at: shared, withIntermediateDirectories: true)
        var redis: RedisPeer? = try RedisPeer(folder: shared)
        let path = redis?.socketPath ?? ""
        // The second half is printed once the first is there and the server has been replaced.
        let go = folder.appending(path: "go").path
        let wait = "n=0; until [ -e \(go) ] || [ $n -ge 9000 ]; do sleep 0.02; n=$((n+1)); done"
        let command = "for i in 1 2 3; do printf \"a:$i\\tv\\n\"; done; \(wait); for i in 1 2 3; do printf \"b:$i\\tv\\n\"; done"
        let outcome = Handover<(status: Int32, document: [String: Any], errors: String)>()
        Thread.detachNewThread { outcome.give(Result { try warm("unix:\(path)", ["--command", command, "--rate", "1000", "--concurrency", "1"]) }) }
        #expect(try eventually(seconds: 60) { try redis?.client().call("DBSIZE") == .integer(3) })
        redis = nil
        redis = try RedisPeer(folder: shared)
        try Data().write(to: URL(filePath: go))
        let result = try outcome.take()
        #expect(result.status == 0 && result.document["stored"] as? Int == 6, "\(result.errors)")
        #expect(try redis?.client().call("EXISTS", "b:1", "b:2", "b:3") == .integer(3))
    }

    @Test func `the Python helper reads what is filled for it`() throws {
        guard (try? Command.run("env", ["/usr/bin/python3", "-c", "import redis"]).status) == 0 else {
            Issue.record("Python's module redis is not installed: run scripts/setup")
            return
        }
        let path = try file("values.jsonl", #"{"key":"shop:a","value":{"x":[1,"ä"]}}"# + "\n" + #"{"key":"shop:b","value":"text","ttl":"1h"}"# + "\nno\n")
        let program = """
            import sys; sys.path.insert(0, sys.argv[1])
            from headrace_cache import RedisCache
            cache = RedisCache(sys.argv[2], prefix="shop:")
            assert cache.get("a") == {"x": [1, "ä"]}, cache.get("a")
            assert cache.remember("b", lambda: 1 / 0, ttl=60) == "text"
            """
        try eachServer { address, client in
            #expect(try warm(address, ["--file", path, "--for-helper"]).status == 1)
            let url = address.hasPrefix("unix:") ? "unix://\(address.dropFirst(5))" : "redis://\(address)/0"
            let clients = HeadraceProcess.repository.appending(path: "clients/python").path
            let result = try Command.run("env", ["/usr/bin/python3", "-B", "-c", program, clients, url])
            #expect(result.status == 0, "\(result.errors)")
            #expect(try client.call("DBSIZE") == .integer(2))
        }
    }

    @Test func `CONFIG REWRITE keeps the file's comments, and a restart has what CONFIG SET said`() throws {
        let socket = folder.appending(path: "k.sock").path
        let path = try file("headrace.yaml", "# Mine.\nkeyspace:\n  listen: [unix:\(socket), 127.0.0.1:0]\n  maxmemory: 64MB  # small\n")
        for round in 0..<2 {
            let headrace = try HeadraceProcess(["--config", path], saying: "keyspace: ")
            let client = try RedisClient(path: socket)
            if round == 0 {
                let set = ["CONFIG", "SET", "maxmemory", "100mb", "notify-keyspace-events", "KEA", "maxmemory-policy", "allkeys-lru"]
                #expect(try client.call(set.map { Array($0.utf8) }) == .status("OK"))
                #expect(try client.call("CONFIG", "REWRITE") == .status("OK"))
                let text = try String(contentsOfFile: path, encoding: .utf8)
                #expect(text.hasPrefix("# Mine.\nkeyspace:\n  listen: [unix:\(socket), 127.0.0.1:0]\n  maxmemory: 100MB  # small\n"), "\(text)")
                #expect(text.contains("\n  policy: allkeys-lru\n  settings: {notify-keyspace-events: AKE}\n"), "\(text)")
                #expect(try client.call("CONFIG", "SET", "requirepass", "x") == .status("OK"))
                guard case .error(let refusal) = try client.call("CONFIG", "REWRITE") else {
                    Issue.record("a password was written")
                    return
                }
                #expect(refusal.hasPrefix("ERR Rewriting config file: "))
                #expect(try String(contentsOfFile: path, encoding: .utf8) == text)
            } else {
                for (name, value) in [("maxmemory", "104857600"), ("notify-keyspace-events", "AKE"), ("maxmemory-policy", "allkeys-lru")] {
                    #expect(try client.call("CONFIG", "GET", name).array?.last?.text == value)
                }
                #expect(try client.call("CONFIG", "REWRITE") == .status("OK"))
            }
            headrace.terminate()
            #expect(headrace.waitForExit() == 0)
        }
        let bare = try HeadraceProcess(["--keyspace", "127.0.0.1:0"], saying: "keyspace: ")
        #expect(try RedisClient(port: bare.port).call("CONFIG", "REWRITE") == .error("ERR The server is running without a config file"))
    }
}

/// A value that one thread gives and another waits for.
///
/// `@unchecked Sendable`: `value` is touched only while `condition` is locked.
private final class Handover<Value>: @unchecked Sendable {
    private let condition = NSCondition()
    private var value: Result<Value, any Error>?

    func give(_ value: Result<Value, any Error>) {
        condition.lock()
        self.value = value
        condition.signal()
        condition.unlock()
    }

    func take() throws -> Value {
        condition.lock()
        defer { condition.unlock() }
        while value == nil { condition.wait() }
        return try value!.get()
    }
}
