import Foundation
import TestSupport
import Testing

/// The release binary between real clients and a real PostgreSQL.
@Suite(.serialized, .enabled(if: PostgresCluster.programs != nil && Command.find("psql") != nil, "PostgreSQL is not installed: run scripts/setup test"))
struct PoolerTests {
    private let postgres: PostgresCluster

    init() throws {
        postgres = try PostgresCluster.shared.get()
    }

    private func pooler(_ more: [String: String] = [:], url: String? = nil) throws -> HeadraceProcess {
        let settings = more.sorted { $0.key < $1.key }.flatMap { ["--set", "pooler.\($0.key)=\($0.value)"] }
        return try HeadraceProcess(
            ["--pooler", "127.0.0.1:0", "--postgres", url ?? postgres.url(user: nil)] + settings, saying: "pooler: ")
    }

    private static func psql(
        _ pooler: HeadraceProcess, _ sql: String, user: String = "postgres", database: String = "shop", options: String = "", input: String? = nil
    ) throws -> Command.Result {
        let arguments = ["-X", "-A", "-t", "-q", "-w", "-v", "ON_ERROR_STOP=1"]
        let target = "host=127.0.0.1 port=\(pooler.port) user=\(user) dbname=\(database) \(options)"
        return try Command.run("psql", arguments + ["-d", target] + (input == nil ? ["-c", sql] : ["-f", "-"]), input: input.map { Data($0.utf8) })
    }

    private static func pgbench(_ pooler: HeadraceProcess, _ more: [String]) throws -> Command.Result {
        try Command.run("pgbench", ["-h", "127.0.0.1", "-p", "\(pooler.port)", "-U", "postgres", "-n"] + more + ["shop"])
    }

    @Test func `psql asks and is answered, on one server connection after the other`() throws {
        let pooler = try pooler()
        for number in 1...3 {
            let result = try Self.psql(pooler, "SELECT \(number), current_database(), current_user")
            #expect(result.text == "\(number)|shop|postgres\n", "\(result.errors)")
        }
    }

    @Test func `errors come as PostgreSQL says them, and the session goes on`() throws {
        let pooler = try pooler()
        let result = try Self.psql(pooler, "", input: "\\set ON_ERROR_STOP 0\n\\set VERBOSITY verbose\nSELECT 1/0;\nSELECT 2;\n")
        #expect(result.errors.contains("22012"))
        #expect(result.text == "2\n")
    }

    @Test(arguments: ["simple", "extended", "prepared"]) func `pgbench loses nothing with more clients than server connections`(protocol: String) throws {
        let pooler = try pooler(["limits.pool_size": "3", "limits.min_pool_size": "0", "limits.reserve_pool_size": "0"])
        try postgres.query("DROP TABLE IF EXISTS counters_\(`protocol`); CREATE TABLE counters_\(`protocol`) (n int); INSERT INTO counters_\(`protocol`) VALUES (0)")
        let script = FileManager.default.temporaryDirectory.appending(path: "script-\(UUID().uuidString)")
        try "BEGIN;\nUPDATE counters_\(`protocol`) SET n = n + 1;\nSELECT n FROM counters_\(`protocol`);\nCOMMIT;\n".write(to: script, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(at: script) }
        // A thread for each client: pgbench prepares with a call that blocks its thread, and others' transactions with it.
        let result = try Self.pgbench(pooler, ["-M", `protocol`, "-c", "12", "-j", "12", "-t", "25", "-f", script.path])
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.text.contains("300/300"), "\(result.text)")
        #expect(try postgres.query("SELECT n FROM counters_\(`protocol`)") == "300")
        let connections = try postgres.query("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'")
        #expect(Int(connections).map { $0 <= 3 } == true, "\(connections) server connections")
    }

    @Test func `prepared statements survive the change of server connections`() throws {
        let pooler = try pooler(["limits.pool_size": "2", "limits.prepared_statements": "2"])
        let script = FileManager.default.temporaryDirectory.appending(path: "script-\(UUID().uuidString)")
        let lines = (1...5).map { "SELECT \($0) + :client_id;\n" }.joined()
        try lines.write(to: script, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(at: script) }
        let result = try Self.pgbench(pooler, ["-M", "prepared", "-c", "8", "-t", "20", "-f", script.path])
        #expect(result.status == 0 && result.text.contains("160/160"), "\(result.errors)")
    }

    @Test func `COPY goes both ways`() throws {
        let pooler = try pooler()
        let rows = (1...20_000).map { "\($0)\trow \($0)\n" }.joined()
        let copied = try Self.psql(
            pooler, "", input: "DROP TABLE IF EXISTS copied; CREATE TABLE copied (n int, t text);\nCOPY copied FROM STDIN;\n\(rows)\\.\nCOPY copied TO STDOUT;\n")
        #expect(copied.status == 0, "\(copied.errors)")
        #expect(copied.text == rows)
    }

    @Test func `a large answer comes whole`() throws {
        let pooler = try pooler()
        let result = try Self.psql(pooler, "SELECT repeat('x', 5000000)")
        #expect(result.text.utf8.count == 5_000_001)
    }

    @Test func `startup parameters and options follow the client, and do not leak to the next`() throws {
        let pooler = try pooler(["limits.pool_size": "1", "limits.min_pool_size": "0"])
        let mine = try Self.psql(
            pooler, "SHOW search_path; SHOW extra_float_digits; SHOW application_name", options: "options='-c search_path=a,b -c extra_float_digits=2' application_name=mine")
        #expect(mine.text == "a,b\n2\nmine\n", "\(mine.errors)")
        let other = try Self.psql(pooler, "SHOW search_path; SHOW extra_float_digits")
        #expect(other.text == "\"$user\", public\n1\n", "\(other.errors)")
        let again = try Self.psql(pooler, "SHOW search_path", options: "options='-c search_path=a,b'")
        #expect(again.text == "a,b\n")
    }

    @Test func `a parameter that PostgreSQL does not take is refused in its words`() throws {
        let result = try Self.psql(try pooler(), "SELECT 1", options: "options='-c statement_timeout=soon'")
        #expect(result.status != 0)
        #expect(result.errors.contains("invalid value for parameter \"statement_timeout\""), "\(result.errors)")
    }

    @Test func `a user or database that PostgreSQL does not know is refused in its words`() throws {
        let pooler = try pooler(url: "postgres://127.0.0.1:\(postgres.port)")
        #expect(try Self.psql(pooler, "SELECT 1", user: "nobody-such").errors.contains("role \"nobody-such\" does not exist"))
        #expect(try Self.psql(pooler, "SELECT 1", database: "nowhere").errors.contains("database \"nowhere\" does not exist"))
        #expect(try Self.psql(pooler, "SELECT 1").text == "1\n")
    }

    @Test func `cancelling reaches the query that runs, and the session goes on`() throws {
        let pooler = try pooler()
        let result = try Command.run(
            "timeout", ["-s", "INT", "1", "psql", "-X", "-w", "-d", "host=127.0.0.1 port=\(pooler.port) user=postgres dbname=shop", "-c", "SELECT pg_sleep(30)"])
        #expect(result.errors.contains("canceling statement due to user request"), "\(result.errors)")
    }

    @Test func `passwords: in the clear, MD5 and SCRAM at the server`() throws {
        let own = try PostgresCluster()
        for (method, encryption) in [("password", "scram-sha-256"), ("md5", "md5"), ("scram-sha-256", "scram-sha-256")] {
            let user = "user_\(method.prefix(2))"
            try own.query("SET password_encryption = '\(encryption)'; CREATE ROLE \(user) LOGIN PASSWORD 'open sesame'")
            let file = own.folder.appending(path: "data/pg_hba.conf")
            try "host all \(user) 127.0.0.1/32 \(method)\nhost all all 127.0.0.1/32 trust\n".write(to: file, atomically: false, encoding: .utf8)
            try own.query("SELECT pg_reload_conf()")
            let right = try pooler(url: "postgres://\(user):open%20sesame@127.0.0.1:\(own.port)/shop")
            let answer = try Self.psql(right, "SELECT current_user")
            #expect(answer.text == "\(user)\n", "\(method): \(answer.errors)")
            let wrong = try pooler(url: "postgres://\(user):guess@127.0.0.1:\(own.port)/shop")
            #expect(try Self.psql(wrong, "SELECT 1").errors.contains("password authentication failed"), "\(method)")
        }
    }

    @Test func `a server that restarts is waited for, and other clients do not notice`() throws {
        let own = try PostgresCluster()
        let pooler = try pooler(url: own.url(user: nil))
        #expect(try Self.psql(pooler, "SELECT 1").text == "1\n")
        try own.stop()
        let waiting = Program()
        let output = Pipe()
        waiting.executableURL = Command.find("psql")
        waiting.arguments = ["-X", "-A", "-t", "-w", "-d", "host=127.0.0.1 port=\(pooler.port) user=postgres dbname=shop", "-c", "SELECT 2"]
        waiting.standardOutput = output
        try waiting.start()
        try own.start()
        waiting.waitForEnd()
        #expect(waiting.terminationStatus == 0)
        #expect(String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self) == "2\n")
    }

    @Test func `a server connection that is killed in a transaction fails that client with a proper error`() throws {
        let pooler = try pooler()
        let result = try Self.psql(
            pooler, "", input: "BEGIN;\nSELECT pg_terminate_backend(pg_backend_pid());\nSELECT 1;\n")
        #expect(result.errors.contains("terminating connection due to administrator command"), "\(result.errors)")
        #expect(try Self.psql(pooler, "SELECT 3").text == "3\n")
    }

    @Test func `who finds no server connection in time is told so`() throws {
        let pooler = try pooler([
            "limits.pool_size": "1", "limits.min_pool_size": "0", "limits.reserve_pool_size": "0", "timeouts.query_wait": "300ms",
        ])
        let holder = try PsqlSession(port: pooler.port)
        #expect(try holder.ask("BEGIN; SELECT 'begun'") == "begun")
        #expect(try Self.psql(pooler, "SELECT 1").errors.contains("query_wait_timeout"))
        #expect(try holder.ask("COMMIT") == "")
        #expect(try Self.psql(pooler, "SELECT 1").text == "1\n")
    }

    @Test func `a client that is one too many is told so, until another leaves`() throws {
        let pooler = try pooler(["limits.client_connections": "1"])
        let only = try PsqlSession(port: pooler.port)
        #expect(try only.ask("SELECT 1") == "1")
        #expect(try Self.psql(pooler, "SELECT 1").errors.contains("no more connections allowed"))
        only.end()
        #expect(try eventually { try Self.psql(pooler, "SELECT 1").text == "1\n" })
    }

    @Test func `SIGTERM lets a transaction finish and takes no new one`() throws {
        let pooler = try pooler()
        let client = Program()
        let (input, output) = (Pipe(), Pipe())
        client.executableURL = Command.find("psql")
        client.arguments = ["-X", "-A", "-t", "-q", "-w", "-d", "host=127.0.0.1 port=\(pooler.port) user=postgres dbname=shop", "-f", "-"]
        client.standardInput = input
        client.standardOutput = output
        try client.start()
        var text = ""
        input.fileHandleForWriting.write(Data("BEGIN;\nSELECT 'one';\n".utf8))
        while !text.contains("one") { text += String(decoding: output.fileHandleForReading.availableData, as: UTF8.self) }
        pooler.terminate()
        #expect(try eventually { try Self.psql(pooler, "SELECT 1").status != 0 })
        input.fileHandleForWriting.write(Data("SELECT 'two';\nCOMMIT;\n".utf8))
        while !text.contains("two") { text += String(decoding: output.fileHandleForReading.availableData, as: UTF8.self) }
        #expect(pooler.waitForExit() == 0)
        try input.fileHandleForWriting.close()
        client.waitForEnd()
    }

    @Test func `of several hosts the one that is meant gets the connections`() throws {
        // A standby without a primary: it is in recovery, and says so.
        let standby = try PostgresCluster()
        try standby.stop()
        try Data().write(to: standby.folder.appending(path: "data/standby.signal"))
        try standby.start()
        for (target, expected) in [("primary", "f"), ("read-write", "f"), ("standby", "t"), ("prefer-standby", "t")] {
            let url = "postgres://127.0.0.1:\(standby.port),127.0.0.1:\(postgres.port)/shop?target_session_attrs=\(target)"
            #expect(try Self.psql(try pooler(url: url), "SELECT pg_is_in_recovery()").text == "\(expected)\n", "\(target)")
        }
        // Promoted, it gets the connections of who wants a primary.
        let pooler = try pooler(
            ["timeouts.query_wait": "20s"], url: "postgres://127.0.0.1:\(standby.port)/shop?target_session_attrs=primary")
        let waiting = Program()
        let output = Pipe()
        waiting.executableURL = Command.find("psql")
        waiting.arguments = ["-X", "-A", "-t", "-w", "-d", "host=127.0.0.1 port=\(pooler.port) user=postgres dbname=shop", "-c", "SELECT 2"]
        waiting.standardOutput = output
        try waiting.start()
        try standby.query("SELECT pg_promote()")
        waiting.waitForEnd()
        #expect(String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self) == "2\n")
    }

    @Test func `a load balancer says who the client is, and the server hears it`() throws {
        let pooler = try pooler(["proxies": "127.0.0.0/8", "client_address": "true"])
        let script = """
            import socket, struct, sys
            connection = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
            connection.sendall(b'PROXY TCP4 192.0.2.7 192.0.2.8 4711 6432\\r\\n')
            start = b'user\\0postgres\\0database\\0shop\\0application_name\\0mine\\0\\0'
            query = b"SELECT current_setting('application_name')\\0"
            connection.sendall(struct.pack('!ii', len(start) + 8, 196608) + start)
            connection.sendall(b'Q' + struct.pack('!i', len(query) + 4) + query)
            answer = b''
            while b'SELECT 1' not in answer:
                piece = connection.recv(4096)
                if not piece: break
                answer += piece
            print(b'mine - 192.0.2.7:4711' in answer.split(b'SELECT 1')[0].split(b'current_setting')[1])
            """
        let result = try Command.run("timeout", ["20", Command.python, "-c", script, "\(pooler.port)"])
        #expect(result.text == "True\n", "\(result.errors)")
        // Without the header nobody gets in from there.
        #expect(try Self.psql(pooler, "SELECT 1").status != 0)
    }

    @Test func `slow statements are logged: the wait apart from the run, with the trace, without values`() throws {
        let pooler = try pooler([
            "timeouts.slow_statement": "400ms", "limits.pool_size": "1", "limits.min_pool_size": "0", "limits.reserve_pool_size": "0",
            "auth.admins": "postgres",
        ])
        let comment = "/*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/"
        #expect(try Self.psql(pooler, "SELECT 'secret', pg_sleep(0.5), 4711 \(comment)", options: "application_name=web").status == 0)
        #expect(try Self.psql(pooler, "SELECT 'quick'").text == "quick\n")
        func line(_ word: String) -> Substring? { pooler.errorOutput.split(separator: "\n").first { $0.contains("slow statement") && $0.contains(word) } }
        #expect(eventually { line("pg_sleep") != nil })
        let slow = try #require(line("pg_sleep"))
        for part in [
            "application_name=web", "database=shop", "user=postgres", "end=complete", "rows=1", "query=select ?,pg_sleep(?),?",
            "trace_id=0af7651916cd43dd8448eb211c80319c",
        ] { #expect(slow.contains(part), "\(slow)") }
        #expect(!slow.contains("secret") && !slow.contains("4711"), "\(slow)")
        func milliseconds(_ line: Substring, _ name: String) -> Double {
            line.split(separator: " ").first { $0.hasPrefix(name + "=") }.flatMap { Double($0.dropFirst(name.count + 1)) } ?? -1
        }
        #expect(milliseconds(slow, "run_ms") >= 500, "\(slow)")
        #expect(milliseconds(slow, "wait_ms") >= 0, "\(slow)")
        // One that is quick at the server, and had to wait for the connection.
        let holder = try PsqlSession(port: pooler.port)
        #expect(try holder.ask("BEGIN; SELECT 'begun'") == "begun")
        let waiting = try PsqlSession(port: pooler.port)
        waiting.send("SELECT 'waited' AS waited")
        #expect(try eventually { try Self.psql(pooler, "SHOW WAITERS", database: "pgbouncer").text.contains("postgres") })
        holder.send("SELECT pg_sleep(0.6); COMMIT")
        #expect(try waiting.ask("SELECT 1").hasPrefix("waited"))
        #expect(eventually { line("as waited") != nil })
        let waited = try #require(line("as waited"))
        #expect(milliseconds(waited, "wait_ms") >= 400 && milliseconds(waited, "run_ms") < milliseconds(waited, "wait_ms"), "\(waited)")
        #expect(pooler.errorOutput.split(separator: "\n").count { $0.contains("slow statement") && $0.contains("query=select ? [") } == 0)
    }

    @Test func `after a migration a client hears of an outdated plan once, however many server connections there are`() throws {
        let pooler = try pooler(["limits.pool_size": "3", "limits.min_pool_size": "0", "limits.reserve_pool_size": "0"])
        try postgres.query("DROP TABLE IF EXISTS migrated; CREATE TABLE migrated (a int); INSERT INTO migrated VALUES (1)")
        // Three clients in transactions at a time have the three server connections, whichever: all prepare there.
        let script = """
            import socket, struct, sys
            class Client:
                def __init__(self):
                    self.socket = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
                    start = b'user\\0postgres\\0database\\0shop\\0\\0'
                    self.socket.sendall(struct.pack('!ii', len(start) + 8, 196608) + start)
                    self.buffer = b''
                    self.answer()
                def answer(self):
                    kinds, state = '', ''
                    while True:
                        while len(self.buffer) < 5 or len(self.buffer) < 1 + struct.unpack('!i', self.buffer[1:5])[0]:
                            piece = self.socket.recv(65536)
                            if not piece: return kinds + '!'
                            self.buffer += piece
                        length = 1 + struct.unpack('!i', self.buffer[1:5])[0]
                        message, self.buffer = self.buffer[:length], self.buffer[length:]
                        if message[:1] == b'E' : kinds += '(' + message.split(b'\\0C')[1][:5].decode() + ')'
                        elif message[:1] not in b'NSKR': kinds += message[:1].decode()
                        if message[:1] == b'Z': return kinds
                def ask(self, *messages):
                    self.socket.sendall(b''.join(kind + struct.pack('!i', len(body) + 4) + body for kind, body in messages))
                    return self.answer()
                def prepare(self): return self.ask((b'P', b's\\0SELECT * FROM migrated\\0\\0\\0'), (b'D', b'Ss\\0'), (b'S', b''))
                def run(self): return self.ask((b'B', b'\\0s\\0\\0\\0\\0\\0\\0\\0'), (b'E', b'\\0\\0\\0\\0\\0'), (b'S', b''))
                def describe(self): return self.ask((b'D', b'Ss\\0'), (b'S', b''))
                def query(self, text): return self.ask((b'Q', text.encode() + b'\\0'))
            clients = [Client() for _ in range(3)]
            for client in clients: client.query('BEGIN')
            for client in clients: assert client.prepare() == '1tTZ'
            for client in clients: assert client.run() == '2DCZ', 'before'
            for client in clients: client.query('COMMIT')
            admin = Client()
            admin.query('ALTER TABLE migrated ADD b int')
            first, second = clients[0], clients[1]
            # Each of the three server connections has the outdated plan.
            print(first.run())
            print(first.describe())
            print(first.run())
            # Another's transaction has the connection that is fresh: the next one is outdated, and nobody hears of it.
            holders = []
            for _ in range(2):
                second_holder = Client()
                second_holder.query('BEGIN')
                holders.append(second_holder)
                print(first.run())
            # In a transaction it is told.
            for holder in holders: holder.query('COMMIT')
            """
        let result = try Command.run("timeout", ["60", Command.python, "-c", script, "\(pooler.port)"])
        #expect(result.text == "(0A000)Z\ntTZ\n2DCZ\n2DCZ\n2DCZ\n", "\(result.text) \(result.errors)")
    }

    @Test func `session mode keeps what belongs to a session, and resets it afterwards`() throws {
        let pooler = try pooler(["mode": "session", "limits.pool_size": "1", "limits.min_pool_size": "0"])
        let kept = try Self.psql(pooler, "", input: "CREATE TEMPORARY TABLE t AS SELECT 7 AS n;\nSET search_path = pg_temp;\nSELECT n FROM t;\n")
        #expect(kept.text == "7\n", "\(kept.errors)")
        let next = try Self.psql(pooler, "SHOW search_path; SELECT to_regclass('pg_temp.t') IS NULL")
        #expect(next.text == "\"$user\", public\nt\n", "\(next.errors)")
    }

    @Test func `statement mode refuses transactions`() throws {
        let pooler = try pooler(["mode": "statement"])
        #expect(try Self.psql(pooler, "SELECT 1").text == "1\n")
        #expect(try Self.psql(pooler, "", input: "BEGIN;\nSELECT 1;\n").errors.contains("statement pooling"))
    }
}
