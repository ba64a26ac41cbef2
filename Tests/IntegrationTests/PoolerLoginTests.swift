import Foundation
import Synchronization
import TestSupport
import Testing

/// Logins, TLS and the console of the release binary, with psql as the client and a PostgreSQL that asks for SCRAM.
@Suite(
    .enabled(
        if: PostgresCluster.programs != nil && Command.find("psql") != nil && Command.find("openssl") != nil,
        "PostgreSQL or openssl is not installed: run scripts/setup test"))
struct PoolerLoginTests {
    private let postgres: PostgresCluster
    private let folder: URL

    /// The cluster lets in over TCP: `plain…` by SCRAM, `md5…` by MD5, `postgres` as it is.
    private static let guarded: Result<PostgresCluster, any Error> = Result {
        let cluster = try PostgresCluster()
        try cluster.query("CREATE ROLE plain LOGIN PASSWORD 'pencil'")
        try cluster.query("CREATE ROLE \"größe\" LOGIN PASSWORD 'Übergröße ½'")
        try cluster.query("SET password_encryption = md5; CREATE ROLE old LOGIN PASSWORD 'pencil'")
        let rules = "local all all trust\nhost all postgres all trust\nhost all old all md5\nhost all all all scram-sha-256\n"
        // In place: the file belongs to the server's user.
        let file = try FileHandle(forWritingTo: cluster.folder.appending(path: "data/pg_hba.conf"))
        try file.truncate(atOffset: 0)
        try file.write(contentsOf: Data(rules.utf8))
        try file.close()
        try cluster.query("SELECT pg_reload_conf()")
        return cluster
    }

    init() throws {
        postgres = try Self.guarded.get()
        folder = FileManager.default.temporaryDirectory.appending(path: "logins-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    private func file(_ name: String, _ text: String) throws -> String {
        let url = folder.appending(path: name)
        try text.write(to: url, atomically: true, encoding: .utf8)
        return url.path
    }

    private func pooler(_ settings: [String: String]) throws -> HeadraceProcess {
        let all = settings.merging(["limits.min_pool_size": "0"]) { own, _ in own }
        return try HeadraceProcess(
            ["--pooler", "127.0.0.1:0", "--postgres", postgres.url(user: nil)]
                + all.sorted { $0.key < $1.key }.flatMap { ["--set", "pooler.\($0.key)=\($0.value)"] }, saying: "pooler: ")
    }

    private func psql(
        _ pooler: HeadraceProcess, _ sql: String..., user: String, password: String?, database: String = "shop", options: String = "sslmode=disable"
    ) throws -> Command.Result {
        var target = "host=127.0.0.1 port=\(pooler.port) user=\(user) dbname=\(database) \(options)"
        if let password { target += " password='\(password)'" }
        return try Command.run("psql", ["-X", "-A", "-t", "-q", "-w", "-d", target] + sql.flatMap { ["-c", $0] })
    }

    @Test func `users whom the file does not know are asked of the database`() throws {
        try postgres.query(
            "DROP ROLE IF EXISTS asker; CREATE ROLE asker LOGIN PASSWORD 'may ask' IN ROLE pg_read_all_data; GRANT SELECT ON pg_authid TO asker; "
                + "DROP ROLE IF EXISTS asked; CREATE ROLE asked LOGIN PASSWORD 'pencil'",
            database: "shop")
        let users = try file("users", "\"asker\" \"may ask\"\n")
        let pooler = try pooler([
            "auth.method": "scram-sha-256", "auth.users_file": users, "auth.query_user": "asker",
            "auth.query": "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1 AND rolcanlogin",
        ])
        #expect(try psql(pooler, "SELECT current_user", user: "asked", password: "pencil").text == "asked\n")
        let wrong = try psql(pooler, "SELECT 1", user: "asked", password: "pen")
        #expect(wrong.errors.contains("password authentication failed for user \"asked\""), "\(wrong.errors)")
        let nobody = try psql(pooler, "SELECT 1", user: "nobody-such", password: "x")
        #expect(nobody.errors.contains("password authentication failed"), "\(nobody.errors)")
        // A new password is known at once: the old one's refusal has the database asked again.
        try postgres.query("ALTER ROLE asked PASSWORD 'crayon'")
        _ = try psql(pooler, "SELECT 1", user: "asked", password: "crayon")
        let new = try psql(pooler, "SELECT current_user", user: "asked", password: "crayon")
        #expect(new.text == "asked\n", "\(new.errors)")
    }

    private func openssl(_ arguments: String...) throws {
        let result = try Command.run("openssl", arguments)
        try #require(result.status == 0, "openssl: \(result.errors)")
    }

    /// An authority of our own, a certificate for the pooler, one for the user `plain`.
    private func certificates() throws -> [String: String] {
        func path(_ name: String) -> String { folder.appending(path: name).path }
        for name in ["authority", "pooler", "plain"] {
            try openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path("\(name).key"))
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path("\(name).key"))
        }
        try openssl("req", "-new", "-x509", "-days", "30", "-key", path("authority.key"), "-subj", "/CN=authority", "-out", path("authority.crt"))
        for (name, subject, extensions) in [("pooler", "/CN=pooler", "subjectAltName=IP:127.0.0.1"), ("plain", "/CN=plain", "keyUsage=digitalSignature")] {
            try openssl("req", "-new", "-key", path("\(name).key"), "-subj", subject, "-out", path("\(name).csr"))
            let file = try file("\(name).ext", extensions)
            try openssl(
                "x509", "-req", "-in", path("\(name).csr"), "-CA", path("authority.crt"), "-CAkey", path("authority.key"), "-CAcreateserial", "-days", "30",
                "-extfile", file, "-out", path("\(name).crt"))
        }
        return [
            "tls.certificate": path("pooler.crt"), "tls.key": path("pooler.key"), "tls.client_authorities": path("authority.crt"),
        ]
    }

    @Test func `clients log in by SCRAM with what is on file, whatever its form, and the server is logged in to with what they proved`() throws {
        let secrets = try postgres.query("SELECT rolpassword FROM pg_authid WHERE rolname IN ('plain', 'größe') ORDER BY rolname", database: "postgres")
            .split(separator: "\n")
        let users = try file("users", "\"größe\" \"\(secrets[0])\"\n\"plain\" \"\(secrets[1])\"\n\"old\" \"pencil\"\n")
        let pooler = try pooler(["auth.method": "scram-sha-256", "auth.users_file": users])
        #expect(try psql(pooler, "SELECT current_user", user: "plain", password: "pencil").text == "plain\n")
        #expect(try psql(pooler, "SELECT current_user", user: "größe", password: "Übergröße ½").text == "größe\n")
        #expect(try psql(pooler, "SELECT current_user", user: "old", password: "pencil").text == "old\n")
        for (user, password) in [("plain", "pencils"), ("nobody", "pencil"), ("größe", "Ubergroße ½")] {
            let refused = try psql(pooler, "SELECT 1", user: user, password: password)
            #expect(refused.status != 0 && refused.errors.contains("password authentication failed for user \"\(user)\""), "\(refused.errors)")
        }
    }

    @Test func `clients log in by MD5, from the digest as well`() throws {
        let digest = try postgres.query("SELECT rolpassword FROM pg_authid WHERE rolname = 'old'", database: "postgres")
        let pooler = try pooler(["auth.method": "md5", "auth.users_file": try file("users", "\"old\" \"\(digest)\"\n\"plain\" \"pencil\"\n")])
        #expect(try psql(pooler, "SELECT current_user", user: "old", password: "pencil").text == "old\n")
        #expect(try psql(pooler, "SELECT current_user", user: "plain", password: "pencil").text == "plain\n")
        #expect(try psql(pooler, "SELECT 1", user: "old", password: "x").errors.contains("password authentication failed"))
    }

    @Test func `TLS is offered, believed by its authority, and SCRAM is bound to it`() throws {
        let settings = try certificates().merging([
            "auth.method": "scram-sha-256", "auth.users_file": try file("users", "\"plain\" \"pencil\"\n"), "tls.clients": "require",
        ]) { $1 }
        let pooler = try pooler(settings)
        let root = "sslrootcert=\(folder.appending(path: "authority.crt").path)"
        let bound = try psql(
            pooler, "SELECT 1", user: "plain", password: "pencil", options: "sslmode=verify-full \(root) channel_binding=require")
        #expect(bound.text == "1\n", "\(bound.errors)")
        let plain = try psql(pooler, "SELECT 1", user: "plain", password: "pencil")
        #expect(plain.errors.contains("TLS required"), "\(plain.errors)")
    }

    @Test(.enabled(if: (try? Command.run("python3", ["-c", "import psycopg2"]).status) == 0, "psycopg2 is not installed: run scripts/setup test"))
    func `clients that come all at once, with TLS and SCRAM, are served, and who was there before is not kept waiting`() throws {
        let count = ProcessInfo.processInfo.environment["HEADRACE_LONG"] == nil ? 200 : 1000
        let settings = try certificates().merging([
            "auth.method": "scram-sha-256", "auth.users_file": try file("users", "\"plain\" \"pencil\"\n"), "tls.clients": "require",
            "limits.pool_size": "5", "limits.server_logins": "2", "threads": "2", "timeouts.client_login": "5m",
        ]) { $1 }
        let pooler = try pooler(settings)
        let script = """
            import sys, threading, time, psycopg2
            def connect():
                return psycopg2.connect(
                    host="127.0.0.1", port=int(sys.argv[1]), user="plain", password="pencil", dbname="shop", sslmode="require", connect_timeout=200)
            held, waits, answers, done = connect(), [], [], threading.Event()
            def regular():
                while not done.is_set():
                    start = time.monotonic()
                    held.cursor().execute("SELECT 1")
                    held.commit()
                    waits.append(time.monotonic() - start)
                    time.sleep(0.02)
            def storm(number):
                try:
                    client = connect()
                    cursor = client.cursor()
                    cursor.execute("SELECT %s", (number,))
                    answers.append(cursor.fetchone()[0] == number)
                    client.close()
                except psycopg2.Error as error:
                    answers.append(str(error))
            threading.stack_size(1 << 18)
            steady = threading.Thread(target=regular)
            steady.start()
            clients = [threading.Thread(target=storm, args=(number,)) for number in range(int(sys.argv[2]))]
            for client in clients: client.start()
            for client in clients: client.join()
            done.set()
            steady.join()
            waits.sort()
            print(answers.count(True), [answer for answer in answers if answer is not True][:3], len(waits) >= 3 and waits[len(waits) // 2] < 10)
            """
        let result = try Command.run("timeout", ["250", Command.python, "-c", script, "\(pooler.port)", "\(count)"])
        #expect(result.text == "\(count) [] True\n", "\(result.text)\(result.errors)")
        #expect(try Int(postgres.query("SELECT count(*) FROM pg_stat_activity WHERE usename = 'plain'")).map { $0 <= 5 + 5 } == true)
    }

    @Test func `a client certificate is enough where the rules say so`() throws {
        let rules = try file("rules", "hostssl all plain 127.0.0.1/32 cert\nhost shop postgres 127.0.0.0/8 trust\n")
        let settings = try certificates().merging([
            "auth.rules_file": rules, "auth.users_file": try file("users", "\"plain\" \"pencil\"\n"), "tls.clients": "allow",
        ]) { $1 }
        let pooler = try pooler(settings)
        let own = "sslcert=\(folder.appending(path: "plain.crt").path) sslkey=\(folder.appending(path: "plain.key").path)"
        #expect(try psql(pooler, "SELECT current_user", user: "plain", password: nil, options: "sslmode=require \(own)").text == "plain\n")
        let without = try psql(pooler, "SELECT 1", user: "plain", password: nil, options: "sslmode=require")
        #expect(without.errors.contains("valid client certificate"), "\(without.errors)")
        #expect(try psql(pooler, "SELECT 1", user: "postgres", password: nil).text == "1\n")
        let elsewhere = try psql(pooler, "SELECT 1", user: "postgres", password: nil, database: "other")
        #expect(elsewhere.errors.contains("no authentication rule for user \"postgres\", database \"other\""), "\(elsewhere.errors)")
    }

    @Test func `the console shows, pauses, resumes, disables`() throws {
        let pooler = try pooler(["auth.admins": "postgres", "auth.observers": "plain", "threads": "2"])
        #expect(try psql(pooler, "SELECT 1", user: "postgres", password: nil).text == "1\n")
        func console(_ commands: String, user: String = "postgres", database: String = "pgbouncer") throws -> Command.Result {
            try psql(pooler, commands, user: user, password: nil, database: database)
        }
        let pools = try console("SHOW POOLS")
        #expect(pools.text.hasPrefix("shop|postgres|0|0|0|0|0|0|0|1|"), "\(pools.text) \(pools.errors)")
        #expect(try console("SHOW CLIENTS", database: "headrace").text.split(separator: "\n").count == 1)
        #expect(try console("SHOW SERVERS").text.contains("|idle|127.0.0.1|\(postgres.port)|"))
        #expect(try console("SHOW STATE").text == "active|yes\npaused|no\nsuspended|no\n")
        #expect(try console("SHOW NOTHING").errors.contains("unknown table"))
        #expect(try console("PAUSE", user: "plain").errors.contains("admin access needed"))
        #expect(try console("SHOW LISTS", user: "plain").text.contains("pools|1\n"))
        #expect(try console("SHOW LISTS", user: "old").errors.contains("the console is not for user \"old\""))

        #expect(try console("PAUSE shop").errors == "")
        #expect(try console("SHOW SERVERS").text == "")
        #expect(try console("RESUME shop").errors == "")
        #expect(try psql(pooler, "SELECT 2", user: "postgres", password: nil).text == "2\n")
        #expect(try console("DISABLE shop").errors == "")
        #expect(try psql(pooler, "SELECT 1", user: "postgres", password: nil).errors.contains("is disabled"))
        #expect(try console("ENABLE shop").errors == "")
        #expect(try psql(pooler, "SELECT 3", user: "postgres", password: nil).text == "3\n")
    }

    @Test func `who comes as the one before is let in as that one was: with a session of its own, and not where the database has been disabled meanwhile`() throws {
        let pooler = try pooler(["auth.admins": "postgres", "threads": "1"])
        let console = try PostgresSession(port: pooler.port, database: "pgbouncer")
        var sessions: [PostgresSession] = []
        for number in 1...3 {
            sessions.append(try PostgresSession(port: pooler.port))
            #expect(try sessions[number - 1].value("SHOW work_mem") == "4MB")
            try sessions[number - 1].value("SET work_mem = '\(number)MB'")
        }
        for number in 1...3 { #expect(try sessions[number - 1].value("SHOW work_mem") == "\(number)MB") }
        try console.value("DISABLE shop")
        let refusal = #expect(throws: PostgresSession.Failure.self) { try PostgresSession(port: pooler.port) }
        #expect(refusal?.description.contains("is disabled") == true)
        try console.value("ENABLE shop")
        #expect(try PostgresSession(port: pooler.port).value("SHOW work_mem") == "4MB")
    }

    @Test func `the console changes sizes and times while it runs, and RELOAD brings the configuration's back`() throws {
        let pooler = try pooler(["auth.admins": "postgres", "threads": "2", "limits.pool_size": "3", "limits.reserve_pool_size": "0"])
        func console(_ command: String) throws -> Command.Result { try psql(pooler, command, user: "postgres", password: nil, database: "pgbouncer") }
        func setting(_ name: String) throws -> String? {
            try console("SHOW CONFIG").text.split(separator: "\n").first { $0.hasPrefix("\(name)|") }.map(String.init)
        }
        #expect(try setting("default_pool_size") == "default_pool_size|3|25|yes" && setting("pool_mode") == "pool_mode|transaction|transaction|no")
        for (command, error) in [
            ("SET default_pool_size = 0", "expected a number from 1 to 10000"), ("SET query_timeout = 'soon'", "expected seconds from 0 to 2592000"),
            ("SET pool_mode = session", "cannot be changed"), ("SET nothing = 1", "unknown setting 'nothing'"),
        ] {
            #expect(try console(command).errors.contains(error))
        }
        #expect(try console("SET default_pool_size = 1").errors == "")
        let sessions = try (0..<3).map { _ in try PostgresSession(port: pooler.port) }
        try sessions[0].value("BEGIN")
        #expect(try console("SET query_wait_timeout = 0.5").errors == "")
        #expect(try setting("query_wait_timeout") == "query_wait_timeout|0.5|120|yes")
        let late = #expect(throws: PostgresSession.Failure.self) { try sessions[1].value("SELECT 1") }
        #expect(late?.description.contains("query_wait_timeout") == true)
        // Larger: there is room at once. Smaller: what is too many goes.
        _ = try console("SET query_wait_timeout = 60")
        _ = try console("SET default_pool_size = 2")
        #expect(try sessions[2].value("SELECT 2") == "2")
        _ = try console("SET default_pool_size = 1")
        try sessions[0].value("COMMIT")
        #expect(try eventually { try console("SHOW SERVERS").text.split(separator: "\n").count == 1 })
        #expect(try sessions[2].value("SELECT 3") == "3")
        _ = try console("RELOAD")
        #expect(try eventually { try setting("default_pool_size") == "default_pool_size|3|25|yes" })
        #expect(try setting("query_wait_timeout") == "query_wait_timeout|120|120|yes")
    }

    @Test func `while it is suspended nothing passes, and nothing is lost`() throws {
        let pooler = try pooler(["auth.admins": "postgres", "threads": "2"])
        func console(_ command: String) throws -> Command.Result { try psql(pooler, command, user: "postgres", password: nil, database: "pgbouncer") }
        let sessions = try (0..<4).map { _ in try PostgresSession(port: pooler.port) }
        for session in sessions { try session.value("BEGIN") }
        let answers = Mutex<[String]>([])
        func ask(_ session: PostgresSession, _ sql: String) {
            nonisolated(unsafe) let session = session
            Thread.detachNewThread {
                let answer = (try? session.value(sql)) ?? "failed"
                answers.withLock { $0.append(answer) }
            }
        }
        // Its answer comes while nothing is read.
        ask(sessions[0], "SELECT 0 FROM pg_sleep(2)")
        #expect(try eventually { try postgres.query("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT 0 FROM pg_sleep%' AND state = 'active'") == "1" })
        #expect(try console("SUSPEND").errors == "")
        #expect(try console("SHOW STATE").text == "active|no\npaused|no\nsuspended|yes\n")
        for number in 1..<4 { ask(sessions[number], "SELECT \(number)") }
        Thread.sleep(forTimeInterval: 3)
        #expect(answers.withLock { $0 } == [])
        #expect(try console("RESUME").errors == "")
        #expect(eventually { answers.withLock { $0.sorted() } == ["0", "1", "2", "3"] })
        #expect(try console("SHOW STATE").text == "active|yes\npaused|no\nsuspended|no\n")
    }
}
