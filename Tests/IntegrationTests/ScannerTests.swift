import Foundation
import TestSupport
import Testing

/// The sample application is what the demo's figures stand on: it has the data, the header fields and the habits that it is said to have.
@Suite(.serialized, .enabled(if: ScannerApplication.isInstalled, "\(ScannerApplication.isMissing)"))
struct ScannerTests {
    private func shared() throws -> ScannerApplication { try ScannerApplication.shared.get() }

    private func get(_ target: String, _ fields: [String] = []) throws -> RawClient.Response {
        try RawClient.get(port: try shared().port, target, fields, seconds: 30)
    }

    private func post(_ target: String, _ form: String, _ fields: [String] = []) throws -> RawClient.Response {
        let lines = ["POST \(target) HTTP/1.1", "Host: a.example", "Content-Type: application/x-www-form-urlencoded"]
        let request = (lines + ["Content-Length: \(form.utf8.count)"] + fields).joined(separator: "\r\n") + "\r\n\r\n" + form
        return try RawClient.exchange(port: try shared().port, request, seconds: 30)
    }

    private func findings(_ scan: Int) throws -> [[String: Any]] {
        let object = try JSONSerialization.jsonObject(with: Data(try get("/api/scans/\(scan)").body)) as? [String: Any]
        return try #require(object?["findings"] as? [[String: Any]])
    }

    @Test func `every load makes the same rows, more than 100,000 findings`() throws {
        let digests = try (0..<2).map { _ in
            let application = try ScannerApplication()
            defer { application.stop() }
            let digests = try ["hosts", "checks", "scans", "findings", "users"].map { table in
                try application.query("SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text COLLATE \"C\")) FROM \(table) t", database: "scanner")
            }
            return digests + [try RawClient.get(port: application.port, "/scans/400", seconds: 30).text]
        }
        #expect(digests[0] == digests[1])
        let count = try #require(digests[0][3].split(separator: "|").first.flatMap { Int($0) })
        #expect(count >= 100_000)
    }

    @Test(arguments: [1, 100, 200, 300, 400, 401, 402, 408])
    func `a page of results has about 39 KB, is not compressed, and says how long it may be kept`(scan: Int) throws {
        let page = try get("/scans/\(scan)", ["Accept-Encoding: gzip, br, zstd"])
        #expect(page.status == 200 && page.field("Content-Type")?.hasPrefix("text/html") == true)
        #expect((38_000...41_500).contains(page.body.count))
        #expect(page.field("Content-Encoding") == nil)
        #expect(page.field("Cache-Control") == "public, max-age=10")
        let tag = try #require(page.field("ETag"))
        let unchanged = try get("/scans/\(scan)", ["If-None-Match: \(tag)"])
        #expect(unchanged.status == 304)
    }

    @Test func `the JSON interface gives all findings of the scan that is asked for, and no other`() throws {
        for scan in [1, 400] {
            let response = try get("/api/scans/\(scan)")
            #expect(response.field("Content-Type") == "application/json" && response.field("Cache-Control") == "public, max-age=5")
            let object = try #require(try JSONSerialization.jsonObject(with: Data(response.body)) as? [String: Any])
            #expect((object["scan"] as? [String: Any])?["id"] as? Int == scan)
            let ids = try #require(object["findings"] as? [[String: Any]]).compactMap { $0["id"] as? Int }.sorted()
            let own = try shared().query("SELECT id FROM findings WHERE scan_id = \(scan) ORDER BY id", database: "scanner")
            #expect(!ids.isEmpty && ids.map(String.init) == own.split(separator: "\n").map(String.init))
        }
        let missing = try get("/api/scans/100000")
        #expect(missing.status == 404 && missing.field("Cache-Control") == "no-store")
    }

    @Test func `a page's stylesheet, script, icons and font may be kept for ever, by their names`() throws {
        let page = try get("/scans/400").text
        let stylesheet = try get("/static/scanner.css").text
        // The font stands in the stylesheet or the page.
        let links = (page + stylesheet).matches(of: /\/static\/[A-Za-z.]+\?v=[0-9a-f]{10}/).map { String($0.0) }
        for (name, type) in [
            ("scanner.css", "text/css"), ("scanner.js", "javascript"), ("logo.svg", "image/svg+xml"), ("favicon.png", "image/png"),
            ("DejaVuSansMono.ttf", "font/ttf"),
        ] {
            let link = try #require(links.first { $0.contains(name) }, "\(name) is linked")
            let asset = try get(link)
            #expect(asset.status == 200 && asset.field("Content-Type")?.contains(type) == true && !asset.body.isEmpty, "\(name)")
            #expect(asset.field("Cache-Control") == "public, max-age=31536000, immutable")
            let plain = try get("/static/\(name)")
            #expect(plain.field("Cache-Control") == "public, max-age=60" && plain.body == asset.body, "\(name)")
        }
        #expect(try get("/static/scanner.py").status == 404)
    }

    @Test func `a finding that is posted is seen at once`() throws {
        let before = try findings(7).count
        let host = try #require(try findings(7).first?["host"] as? String)
        let added = try post("/scans/7/findings", "host=\(host)&check=TLS-001&port=4711&evidence=seen+by+a+test")
        #expect(added.status == 303 && added.field("Location") == "/scans/7")
        let now = try findings(7)
        #expect(now.count == before + 1)
        #expect(now.contains { $0["evidence"] as? String == "seen by a test" && $0["port"] as? Int == 4711 })
        #expect(try shared().query("SELECT count(*) FROM findings WHERE evidence = 'seen by a test'", database: "scanner") == "1")
        for wrong in ["host=nobody&check=TLS-001&port=1", "host=\(host)&check=TLS-001&port=65536", "host=\(host)&check=TLS-001"] {
            let refused = try post("/scans/7/findings", wrong)
            #expect(refused.status == 400 && refused.field("Cache-Control") == "no-store", "\(wrong)")
        }
    }

    @Test func `the login and the page of its cookie are kept by nobody, not by the edge either`() throws {
        #expect(try get("/login").field("Cache-Control") == "private, no-store")
        #expect(try post("/login", "name=demo&password=wrong").status == 403)
        let login = try post("/login", "name=demo&password=demo")
        #expect(login.status == 303 && login.field("Cache-Control") == "private, no-store")
        let cookie = try #require(login.field("Set-Cookie")?.split(separator: ";").first)
        let edge = try HeadraceProcess(["--app", "http://127.0.0.1:\(try shared().port)"])
        for _ in 0..<2 {
            let own = try RawClient.get(port: edge.port, "/account", ["Cookie: \(cookie)"], seconds: 30)
            #expect(own.status == 200 && own.text.contains("Dana Demo"))
            #expect(own.field("Cache-Control") == "private, no-store")
            #expect(own.field("Cache-Status")?.contains("hit") == false && own.field("Cache-Status")?.contains("stored") == false)
            let strangers = try RawClient.get(port: edge.port, "/account", seconds: 30)
            #expect(strangers.status == 303 && !strangers.text.contains("Dana Demo"))
            #expect(try RawClient.get(port: edge.port, "/login", seconds: 30).field("Cache-Status")?.contains("hit") == false)
        }
        edge.terminate()
        #expect(edge.waitForExit() == 0)
    }

    /// - Source: PostgreSQL's manual, 28.2.17, `pg_stat_database.sessions`.
    @Test func `each request connects to the database once, and assets not at all`() throws {
        let application = try shared()
        func sessions() throws -> Int {
            Int(try application.query("SELECT sessions FROM pg_stat_database WHERE datname = 'scanner'")) ?? -1
        }
        func open() throws -> String {
            try application.query("SELECT count(*) FROM pg_stat_activity WHERE datname = 'scanner' AND application_name = 'scanner'")
        }
        // What ended before is counted before.
        #expect(try eventually(seconds: 30) { try open() == "0" })
        let before = try sessions()
        for _ in 0..<5 {
            for target in ["/scans/300", "/api/scans/300", "/", "/static/scanner.css"] { #expect(try get(target).status == 200) }
        }
        #expect(try eventually(seconds: 30) { try open() == "0" && sessions() >= before + 15 })
        #expect(try sessions() == before + 15)
    }

    @Test func `pg_stat_statements counts the application's queries`() throws {
        func calls() throws -> Int {
            let sql = """
                SELECT coalesce(sum(calls), 0) FROM pg_stat_statements
                WHERE userid = 'scanner'::regrole AND query LIKE '%FROM scans WHERE id = $1%'
                """
            return Int(try shared().query(sql, database: "scanner")) ?? -1
        }
        let before = try calls()
        for _ in 0..<3 { _ = try get("/api/scans/299") }
        #expect(try calls() == before + 3)
    }
}
