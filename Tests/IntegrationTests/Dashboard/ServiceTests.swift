import Foundation
import Synchronization
import TestSupport
import Testing

/// What is behind a running Headrace, as its page, `/readyz` and `headrace doctor` say it; and whose statements are whose.
@Suite struct ServiceIntegrationTests {
    private static let isInstalled = PostgresCluster.programs != nil && Command.find("psql") != nil

    private func port(_ layer: String, of headrace: HeadraceProcess) throws -> Int {
        #expect(eventually(seconds: 60) { headrace.errorOutput.contains(/\n$/) && headrace.errorOutput.contains("\(layer): 127.0.0.1:") })
        let text = headrace.errorOutput
        let start = try #require(text.range(of: "\(layer): 127.0.0.1:")?.upperBound)
        return try #require(Int(text[start...].prefix { $0.isNumber }))
    }

    /// By name, as `/readyz` has them.
    private func services(_ headrace: HeadraceProcess) throws -> (status: Int, services: [String: [String: Any]]) {
        let answer = try RawClient.getOwnPage(port: headrace.port, "/readyz")
        let document = try #require(try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any])
        let list = document["services"] as? [[String: Any]] ?? []
        return (answer.status, Dictionary(list.map { ($0["name"] as? String ?? "", $0) }) { first, _ in first })
    }

    @Test(.enabled(if: isInstalled, "PostgreSQL is not installed: run scripts/setup"))
    func `PostgreSQL is asked through and past the pooler, goes down in words and comes back; sessions past it are counted; no probe is traffic`() throws {
        // Of its own: it is stopped.
        let postgres = try PostgresCluster()
        let origin = try DashboardIntegrationTests.application()
        let headrace = try HeadraceProcess(["--app", origin.url, "--pooler", "127.0.0.1:0", "--postgres", postgres.url()])
        let pooler = try port("pooler", of: headrace)
        func state(_ name: String) throws -> String? { try services(headrace).services[name]?["state"] as? String }
        #expect(try eventually(seconds: 90) { try state("pooler") == "up" && state("postgresql") == "up" && state("clock") == "up" })
        let good = try services(headrace)
        #expect(good.status == 200)
        #expect((good.services["clock"]?["detail"] as? String)?.contains("PostgreSQL's within a second") == true, "\(good.services["clock"] ?? [:])")
        // Its own start, and not our first probe; our layers have this process' own.
        let began = try postgres.query("SELECT floor(extract(epoch FROM pg_postmaster_start_time()))::bigint")
        #expect(good.services["postgresql"]?["up_since"] as? Int == Int(began), "\(good.services["postgresql"] ?? [:]), \(began)")
        let own = try #require(good.services["pooler"]?["up_since"] as? Int)
        let process = try DashboardIntegrationTests.document(headrace)["headrace"] as? [String: Any]
        #expect(own == good.services["edge"]?["up_since"] as? Int && own == process?["up_since"] as? Int)
        #expect(good.services["application"]?["up_since"] is NSNull, "it does not say")
        #expect(good.services["clock"]?["required"] as? Bool == false && good.services["pooler"]?["required"] as? Bool == true)

        // Several probes by now, and the pooler has seen no traffic.
        #expect(try headrace.metric("headrace_pooler_client_logins_total") >= 1)
        var document = try DashboardIntegrationTests.document(headrace)
        func total(_ name: String) -> Double? { (document["totals"] as? [String: Any])?[name] as? Double }
        #expect(total("pool_queries") == 0 && total("pool_transactions") == 0 && total("pool_wait_seconds") == 0)
        #expect(try headrace.metric("headrace_layer_traffic_total{layer=\"pooler\"}") == 0)
        #expect((document["statements"] as? [Any])?.isEmpty == true)

        // A session past the pooler, as long as it is there.
        let past = Program()
        past.executableURL = Command.find("psql")
        past.arguments = ["-X", "-q", "-w", "-h", "127.0.0.1", "-p", "\(postgres.port)", "-U", "postgres", "-d", "shop", "-c", "SELECT pg_sleep(300)"]
        (past.standardOutput, past.standardError, past.standardInput) = (FileHandle.nullDevice, FileHandle.nullDevice, FileHandle.nullDevice)
        #expect(try eventually(seconds: 90) { try headrace.metric("headrace_postgresql_sessions{path=\"past\"}") == 0 })
        try past.start()
        #expect(try eventually(seconds: 120) { try headrace.metric("headrace_postgresql_sessions{path=\"past\"}") == 1 })
        document = try DashboardIntegrationTests.document(headrace)
        #expect((document["database"] as? [String: Any])?["sessions_past_the_pooler"] as? Int == 1)
        // Its processes are on this machine: what they cost is known. What we ask it is nobody's traffic.
        let layer = try #require((document["layers"] as? [[String: Any]])?.last)
        #expect(layer["cpu_cores"] is Double && layer["memory_bytes"] as? Double ?? 0 > 1e6 && layer["share"] is NSNull, "\(layer)")
        #expect(layer["share_note"] as? String == "it had next to nothing to do", "\(layer)")
        #expect(try headrace.metric("headrace_postgresql_cpu_seconds_total") > 0)
        #expect(good.services["postgresql"]?["version"] as? String == (try postgres.query("SHOW server_version")))
        let inThrough = try Command.run("psql", ["-X", "-A", "-t", "-q", "-w", "-h", "127.0.0.1", "-p", "\(pooler)", "-U", "postgres", "-d", "shop", "-c", "SELECT 7"])
        #expect(inThrough.text == "7\n")
        kill(past.processIdentifier, SIGKILL)
        past.waitForEnd()

        try postgres.stop()
        #expect(try eventually(seconds: 120) { try state("pooler") == "down" && state("postgresql") == "down" })
        let bad = try services(headrace)
        #expect(bad.status == 503)
        #expect((bad.services["postgresql"]?["last_error"] as? String)?.contains("Connection refused") == true, "\(bad.services["postgresql"] ?? [:])")
        #expect((bad.services["pooler"]?["last_error"] as? String)?.hasPrefix("SELECT 1 through it: ") == true, "\(bad.services["pooler"] ?? [:])")
        let strip = try Command.run("env", [HeadraceProcess.binary.path, "status", "--to", "http://127.0.0.1:\(headrace.port)"])
        #expect(strip.status == 1 && strip.text.contains("SELECT 1 through it: "), "\(strip.text) \(strip.errors)")
        try postgres.start()
        #expect(try eventually(seconds: 120) { try state("pooler") == "up" && state("postgresql") == "up" })
        #expect(try services(headrace).status == 200)
        // One query of psql's went through, and neither it nor its fellows are the probe's.
        document = try DashboardIntegrationTests.document(headrace)
        #expect(total("pool_queries") == 1)
    }

    @Test func `a keyspace on a Unix socket alone is asked by it, and says its role; where clients are asked for more, that is said`() throws {
        let folder = try TemporaryFolder()
        let origin = try DashboardIntegrationTests.application()
        let socket = folder.path + "/k.sock"
        let headrace = try HeadraceProcess(["--app", origin.url, "--keyspace", "unix:\(socket)"])
        func service() throws -> [String: Any]? { try services(headrace).services["keyspace"] }
        #expect(try eventually(seconds: 90) { try service()?["state"] as? String == "up" && (service()?["detail"] as? String)?.hasSuffix(", master") == true })
        // Nobody but the probe has asked: no traffic.
        func layer() throws -> [String: Any]? {
            let document = try DashboardIntegrationTests.document(headrace)
            return (document["layers"] as? [[String: Any]])?.first { $0["name"] as? String == "keyspace" }
        }
        #expect(try eventually(seconds: 90) { try layer()?["state"] as? String == "idle" })
        // Its door is gone, which inside nobody would see.
        try FileManager.default.removeItem(atPath: socket)
        #expect(try eventually(seconds: 120) { try service()?["state"] as? String == "down" })
        let found = try service()?["last_error"] as? String ?? ""
        #expect(found.contains("No such file"), "\(found)")
        #expect(try services(headrace).status == 503)

        let closed = try HeadraceProcess(["--app", origin.url, "--keyspace", "127.0.0.1:0", "--set", "keyspace.users=default off"])
        #expect(
            try eventually(seconds: 90) {
                let found = try services(closed).services["keyspace"]
                return found?["state"] as? String == "up" && (found?["detail"] as? String)?.contains("it does not let us in") == true
            })
    }

    @Test func `a keyspace at its limit of clients serves those that are there: that its door closes is said, and no failure`() throws {
        let origin = try DashboardIntegrationTests.application()
        let headrace = try HeadraceProcess(["--app", origin.url, "--keyspace", "127.0.0.1:0", "--set", "keyspace.clients=1"])
        let door = try port("keyspace", of: headrace)
        var only: RawClient?
        // The probe may be there just now.
        #expect(
            try eventually(seconds: 60) {
                let client = try RawClient(port: door)
                client.send("*1\r\n$4\r\nPING\r\n")
                guard client.readAvailable(milliseconds: 500).hasPrefix("+PONG") else { return false }
                only = client
                return true
            })
        #expect(
            try eventually(seconds: 90) {
                let found = try services(headrace).services["keyspace"]
                return found?["state"] as? String == "up" && (found?["detail"] as? String)?.contains("it takes no more of them now") == true
            })
        #expect(try services(headrace).status == 200)
        only?.send("*1\r\n$4\r\nPING\r\n")
        #expect(only?.readAvailable(milliseconds: 500).hasPrefix("+PONG") == true)
    }

    @Test(.enabled(if: RedisPeer.isInstalled, "\(RedisPeer.isMissing)"))
    func `the server of the schedule's lock is asked for its role, and a replica is no place for a lock`() throws {
        let (host, port) = ("127.7.10.3", 20_000 + Int(getpid()) % 30_000)
        let redis = try RedisPeer(["--bind", host, "--port", "\(port)"])
        let origin = try DashboardIntegrationTests.application()
        let folder = try TemporaryFolder()
        let settings = ["schedule.load=0 0 1 1 *", "schedule.lock=redis://\(host):\(port)", "dashboard.state=\(folder.path)"]
        let headrace = try HeadraceProcess(["--app", origin.url] + settings.flatMap { ["--set", $0] })
        func service() throws -> [String: Any]? { try services(headrace).services["schedule-lock"] }
        #expect(try eventually(seconds: 90) { try service()?["state"] as? String == "up" && (service()?["detail"] as? String)?.hasSuffix(", master") == true })
        // Its age and its version are its own.
        let info = try redis.client().call("INFO", "server").text ?? ""
        let age = try #require(info.firstMatch(of: /uptime_in_seconds:(\d+)/).flatMap { Int($0.1) })
        let began = try #require(try service()?["up_since"] as? Int)
        #expect(abs(Int(Date().timeIntervalSince1970) - age - began) < 30)
        let version = try #require(try service()?["version"] as? String)
        #expect(info.contains("_version:\(version)"), "\(version)")
        #expect(try redis.client().call("REPLICAOF", "127.7.10.4", "1") == .status("OK"))
        #expect(try eventually(seconds: 120) { try service()?["state"] as? String == "down" })
        let words = try service()?["last_error"] as? String ?? ""
        #expect(words.contains("it takes no writes: it is a replica of 127.7.10.4:1, without it"), "\(words)")
        #expect(try services(headrace).status == 200, "it is advice")
        #expect(try redis.client().call("REPLICAOF", "NO", "ONE") == .status("OK"))
        #expect(try eventually(seconds: 120) { try service()?["state"] as? String == "up" })
    }

    @Test(.enabled(if: isInstalled, "PostgreSQL is not installed: run scripts/setup"))
    func `how far a standby is behind is said, asked of the primary and of itself`() throws {
        let primary = try PostgresCluster()
        let standby = try PostgresCluster(standbyOf: primary)
        let origin = try DashboardIntegrationTests.application()
        let edges = try [primary, standby].map { try HeadraceProcess(["--app", origin.url, "--pooler", "127.0.0.1:0", "--postgres", $0.url()]) }
        func database(_ edge: HeadraceProcess) throws -> [String: Any] { try DashboardIntegrationTests.document(edge)["database"] as? [String: Any] ?? [:] }
        func detail(_ edge: HeadraceProcess) throws -> String { try services(edge).services["postgresql"]?["detail"] as? String ?? "" }
        var number = 0
        // The lag of a standby that has nothing to do is not known: there is work until it is.
        let isKnown = try eventually(seconds: 180) {
            number += 1
            try primary.query("CREATE TABLE IF NOT EXISTS work_\(number) (a int)", database: "shop")
            return try edges.allSatisfy { try database($0)["lag_seconds"] is Double }
        }
        #expect(isKnown)
        #expect(try database(edges[0])["is_standby"] as? Bool == false && database(edges[1])["is_standby"] as? Bool == true)
        #expect(try eventually(seconds: 60) { try detail(edges[0]).contains("its slowest standby ") && detail(edges[1]).contains("a standby, ") })
    }

    @Test func `a clock that is off is said, and takes nobody out of service`() throws {
        let origin = try ScriptedOrigin { _ in
            [.send("HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 1\r\n\r\nx")]
        }
        let edge = try HeadraceProcess(["--app", origin.url])
        var number = 0
        let isFound = try eventually(seconds: 180) {
            number += 1
            _ = try RawClient.get(port: edge.port, "/\(number)")
            usleep(200_000)
            return try services(edge).services["clock"]?["state"] as? String == "down"
        }
        #expect(isFound)
        let found = try services(edge)
        #expect(found.status == 200, "it is advice")
        #expect((found.services["clock"]?["last_error"] as? String)?.contains("the application's ") == true)
        #expect((found.services["clock"]?["last_error"] as? String)?.contains(" s behind ours") == true)
        #expect(try RawClient.getOwnPage(port: edge.port, "/readyz/clock").status == 503, "who asks for it by name is told")
        let page = try DashboardIntegrationTests.document(edge)
        #expect((page["services"] as? [[String: Any]])?.contains { $0["name"] as? String == "clock" && $0["state"] as? String == "down" } == true)
    }

    @Test(.enabled(if: isInstalled, "PostgreSQL is not installed: run scripts/setup"))
    func `a page's statements are counted by the trace that its application passes on, and those of others are not`() throws {
        let postgres = try PostgresCluster.shared.get()
        // What an application with sqlcommenter does: twelve times the same, and another one.
        let place = PoolerPlace()
        let origin = try ScriptedOrigin { request in
            if request.target.hasPrefix("/scans"), let trace = request.field("traceparent"), let pooler = place.port {
                let comment = "/*traceparent='\(trace)'*/"
                let arguments = (0..<12).flatMap { ["-c", "SELECT \($0) AS scan \(comment)"] } + ["-c", "SELECT now() \(comment)"]
                _ = try? Command.run("psql", ["-X", "-A", "-t", "-q", "-w", "-h", "127.0.0.1", "-p", "\(pooler)", "-U", "postgres", "-d", "shop"] + arguments)
            }
            return [.send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: "x"))]
        }
        let headrace = try HeadraceProcess(["--app", origin.url, "--pooler", "127.0.0.1:0", "--postgres", postgres.url()])
        place.port = try port("pooler", of: headrace)
        // A job of nobody's page.
        _ = try Command.run(
            "psql", ["-X", "-A", "-t", "-q", "-w", "-h", "127.0.0.1", "-p", "\(place.port ?? 0)", "-U", "postgres", "-d", "shop", "-c", "SELECT 1 AS job"])
        _ = try RawClient.get(port: headrace.port, "/other")
        var document: [String: Any] = [:]
        func row(_ list: String, _ key: String, _ isMeant: (String) -> Bool) -> [String: Any]? {
            (document[list] as? [[String: Any]])?.first { isMeant($0[key] as? String ?? "") }
        }
        // A page whose statements PostgreSQL had no place for (other tests have it, too) is one that asked nothing: then once more.
        var isCounted = false
        for round in 1...6 where !isCounted {
            for number in 1...3 { #expect(try RawClient.get(port: headrace.port, "/scans/\(round)\(number)").status == 200) }
            isCounted = try eventually(seconds: 20) {
                document = try DashboardIntegrationTests.document(headrace)
                return row("paths", "pattern") { $0 == "/scans/*" }?["statements_per_page"] is Double
            }
        }
        #expect(isCounted)
        let page = try #require(row("paths", "pattern") { $0 == "/scans/*" })
        #expect(page["statements_per_page"] as? Double == 13)
        #expect((page["hint"] as? String)?.contains("13 statements per page") == true, "\(page)")
        #expect(row("paths", "pattern") { $0 == "/other" }?["statements_per_page"] is NSNull)
        let statement = try #require(row("statements", "text") { $0.contains("scan") })
        #expect(statement["calls_per_page"] as? Double == 12)
        #expect((statement["hint"] as? String)?.contains("12 times per page, by /scans/*") == true, "\(statement)")
        #expect(row("statements", "text") { $0.contains("job") }?["calls_per_page"] is NSNull)
        let totals = try #require(document["totals"] as? [String: Any])
        let (traced, all) = (try #require(totals["traced_query_seconds"] as? Double), try #require(totals["pool_query_seconds"] as? Double))
        #expect(traced > 0 && traced < all)
    }
}

/// Where the pooler is, for an application that began before it.
private final class PoolerPlace: Sendable {
    private let known = Mutex<Int?>(nil)

    var port: Int? {
        get { known.withLock { $0 } }
        set { known.withLock { $0 = newValue } }
    }
}
