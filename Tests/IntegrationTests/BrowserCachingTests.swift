import Foundation
import TestSupport
import Testing

/// Two people use one browser, and a cache stands between: whatever the policy, neither ever shows one what is the other's.
///
/// How it works: 1. Each answer of the edge is given to a model of a browser's cache and to one of a shared cache, both as eager as
/// RFC 9111 allows. 2. Before each request both are asked what they would have answered. 3. What they would answer is compared with what
/// the application says at that moment.
@Suite struct BrowserCachingTests {
    /// A cache that keeps whatever it may and answers for as long as it may.
    private struct EagerCache {
        let isShared: Bool
        private var stored: [String: [(request: [String: String], response: RawClient.Response)]] = [:]

        init(isShared: Bool) {
            self.isShared = isShared
        }

        private static func directives(_ response: RawClient.Response) -> Set<String> {
            Set((response.field("Cache-Control") ?? "").lowercased().split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) })
        }

        /// What it would answer without asking anybody.
        func answer(_ target: String, _ request: [String: String]) -> RawClient.Response? {
            stored[target]?.last { stored in
                let names = (stored.response.field("Vary") ?? "").lowercased().split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
                return !names.contains("*") && names.allSatisfy { stored.request[$0] == request[$0] }
            }?.response
        }

        mutating func store(_ target: String, _ request: [String: String], _ response: RawClient.Response) {
            let directives = Self.directives(response)
            // RFC 9111 §3, §3.5, §5.2.2. What must be asked for each time answers nothing by itself.
            guard !directives.contains("no-store"), !directives.contains("no-cache") else { return }
            if isShared {
                guard !directives.contains("private") else { return }
                let isForAll = directives.contains("public") || directives.contains("must-revalidate")
                guard request["authorization"] == nil || isForAll else { return }
            }
            let age = directives.first { $0.hasPrefix("max-age=") }.flatMap { Int($0.dropFirst(8)) } ?? 0
            guard age > 0 else { return }
            stored[target, default: []].append((request, response))
        }
    }

    /// A browser with a jar of one cookie, and the caches that its traffic passes.
    private final class Person {
        let port: Int
        var cookie: String?
        private var browser = EagerCache(isShared: false)
        private var shared = EagerCache(isShared: true)
        private(set) var answeredFromCache = 0

        init(port: Int) {
            self.port = port
        }

        /// Asks the edge, and checks that no cache would have said anything else.
        @discardableResult
        func get(_ target: String, isTheSame: (RawClient.Response, RawClient.Response) -> Bool = { $0.text == $1.text }) throws
            -> RawClient.Response
        {
            let request = cookie.map { ["cookie": $0] } ?? [:]
            let response = try RawClient.get(port: port, target, cookie.map { ["Cookie: \($0)"] } ?? [])
            for cache in [browser, shared] {
                guard let cached = cache.answer(target, request) else { continue }
                answeredFromCache += 1
                #expect(isTheSame(cached, response), "\(target) as \(cookie ?? "nobody"): \(cached.head)")
            }
            browser.store(target, request, response)
            shared.store(target, request, response)
            return response
        }

        func post(_ target: String, _ form: String) throws -> RawClient.Response {
            let cookie = cookie.map { "Cookie: \($0)\r\n" } ?? ""
            let response = try RawClient.exchange(
                port: port,
                "POST \(target) HTTP/1.1\r\nHost: a.example\r\n\(cookie)Content-Type: application/x-www-form-urlencoded\r\n"
                    + "Content-Length: \(form.utf8.count)\r\n\r\n\(form)")
            if let set = response.field("Set-Cookie") {
                let pair = String(set.prefix { $0 != ";" })
                self.cookie = pair.hasSuffix("=") ? nil : pair
            }
            return response
        }
    }

    private static let policies: [(name: String, yaml: String)] = [
        ("off", ""), ("standard", ""),
        ("own", "own: {types: {text/html: 1d, text/css: 365d immutable, image/*: 30d}, short: 1d}"),
        ("forced", "forced: {override: true}"),
        ("greedy", "greedy: {override: true, types: {text/html: 1d, text/css: 365d immutable}, hashed_names: [\"{hex:6}*\", \"*{hex:6}*\"], short: 1d}"),
    ]

    private func configuration(_ application: String, _ policy: (name: String, yaml: String)) -> String {
        """
        edge:
          app: \(application)
          browser_caching: \(policy.name)
        \(policy.yaml.isEmpty ? "" : "  policies:\n    browser_caching:\n      \(policy.yaml)")

        """
    }

    @Test(arguments: policies)
    func `pages of an application that says nothing are never the other's`(policy: (name: String, yaml: String)) throws {
        // The most careless of applications: everything depends on the cookie, and nothing says so.
        let origin = try ScriptedOrigin { request in
            let type = request.target.contains(".css") ? "text/css" : request.target.contains(".png") ? "image/png" : "text/html"
            let isNamedByContent = request.target.contains("3f2a9c1b")
            let who = isNamedByContent ? "all" : request.field("Cookie") ?? "nobody"
            return [.send(ScriptedOrigin.response(fields: ["Content-Type: \(type)", "ETag: \"\(who)\""], body: "for \(who) at \(request.target)"))]
        }
        let file = try TemporaryFile(configuration(origin.url, policy))
        let edge = try HeadraceProcess(["--config", file.path])
        let person = Person(port: edge.port)
        let targets = ["/", "/account", "/me.css", "/me.css?v=1", "/me.png?v=1", "/app.3f2a9c1b.css"]
        for cookie in [nil, "user=one", nil, "user=two", "user=one", nil] {
            person.cookie = cookie
            for target in targets { for _ in 0..<2 { try person.get(target) } }
        }
        #expect(policy.name == "off" || person.answeredFromCache > 0, "the caches were used")
    }

    @Test(
        .enabled(if: Command.find("gunicorn") != nil, "gunicorn is not installed: run scripts/setup"))
    func `the account page of the sample application comes out of no cache, under every policy`() throws {
        let scanner = try SampleApplication()
        for policy in Self.policies {
            let file = try TemporaryFile(configuration(scanner.url, policy))
            let edge = try HeadraceProcess(["--config", file.path])
            let person = Person(port: edge.port)
            func lookAround() throws {
                for target in ["/", "/account", "/login", "/static/scanner.css", "/static/scanner.css?v=1"] {
                    try person.get(target) { $0.status == $1.status && $0.text.contains("logged in as") == $1.text.contains("logged in as") }
                }
            }
            try lookAround()
            #expect(try person.get("/account").status == 303)
            let login = try person.post("/login", "name=demo&password=demo")
            #expect(login.status == 303 && login.field("Cache-Control") == "private, no-store")
            try lookAround()
            let page = try person.get("/account")
            #expect(page.text.contains("logged in as <code>demo</code>") && page.field("Cache-Control") == "private, no-store")
            #expect(page.field("Cache-Status")?.contains("hit") == false)
            // Somebody else at the same edge, without a login, and with a cookie that is worth nothing.
            for cookie in [nil, "session=forged"] {
                let other = Person(port: edge.port)
                other.cookie = cookie
                #expect(try other.get("/account").status == 303)
            }
            _ = try person.post("/logout", "")
            try lookAround()
            #expect(try person.get("/account").status == 303, "\(policy.name)")
        }
    }

    @Test func `a policy fills in for files, and each validator is answered with 304 and the same words`() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "assets-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for name in ["index.html", "app.3f2a9c1b.css", "app.css", "data.json"] { try Data(name.utf8).write(to: folder.appending(path: name)) }
        let edge = try HeadraceProcess(["--root", folder.path, "--set", "edge.browser_caching=standard"])
        for (target, expected) in [
            ("/", "private, max-age=300"), ("/app.3f2a9c1b.css", "public, max-age=31536000, immutable"), ("/app.css", "private, max-age=300"),
            ("/app.css?v=2", "private, max-age=31536000"), ("/data.json", nil),
        ] {
            // Three times: fetched, stored, and confirmed.
            for _ in 0..<3 {
                let response = try RawClient.get(port: edge.port, target)
                #expect(response.status == 200 && response.field("Cache-Control") == expected, "\(target)")
                let (tag, date) = (try #require(response.field("ETag")), try #require(response.field("Last-Modified")))
                for condition in ["If-None-Match: \(tag)", "If-Modified-Since: \(date)"] {
                    let confirmed = try RawClient.get(port: edge.port, target, [condition])
                    #expect(confirmed.status == 304 && confirmed.field("Cache-Control") == expected, "\(target) \(condition)")
                }
                let personal = try RawClient.get(port: edge.port, target, ["Cookie: a=b"]).field("Cache-Control")
                #expect(personal == expected?.replacing("public", with: "private"))
            }
        }
        #expect(try RawClient.get(port: edge.port, "/nothing").field("Cache-Control") == "no-store")
    }

    @Test func `a route has a policy of its own`() throws {
        let origin = try ScriptedOrigin(fields: ["Content-Type: text/html"], body: "x")
        let file = try TemporaryFile(
            """
            edge:
              app: \(origin.url)
              browser_caching: standard
              routes:
                - {match: {path: [/raw]}, upstream: app, browser_caching: "off"}
            """)
        let edge = try HeadraceProcess(["--config", file.path])
        #expect(try RawClient.get(port: edge.port, "/").field("Cache-Control") == "private, max-age=300")
        #expect(try RawClient.get(port: edge.port, "/raw").field("Cache-Control") == nil)
    }

    @Test func `check warns of a policy that overrides, and refuses one that is not there`() throws {
        let override = try TemporaryFile(configuration("http://127.0.0.1:1", ("forced", "forced: {override: true}")))
        let warned = try Command.run("env", [HeadraceProcess.binary.path, "check", "--config", override.path])
        #expect(warned.status == 0 && warned.errors.contains("warning: edge.browser_caching is forced, which overrides"), "\(warned.errors)")
        let misspelt = try TemporaryFile(configuration("http://127.0.0.1:1", ("standrad", "")))
        let refused = try Command.run("env", [HeadraceProcess.binary.path, "check", "--config", misspelt.path])
        #expect(refused.status == 78 && refused.errors.contains("did you mean standard?"), "\(refused.errors)")
    }
}

/// The sample application with a database of its own.
private final class SampleApplication {
    private let state = FileManager.default.temporaryDirectory.appending(path: "scanner-\(UUID().uuidString)")
    private let process = Program()
    /// Its end is the application's.
    private let input = Pipe()
    let url: String

    init() throws {
        process.executableURL = HeadraceProcess.repository.appending(path: "Examples/scanner/run")
        process.arguments = ["--state", state.path, "--port", "0", "--until-eof"]
        process.standardInput = input
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.start()
        var text = ""
        while !text.contains("\n") {
            let data = output.fileHandleForReading.availableData
            guard !data.isEmpty else { throw RawClient.Failure(description: "the sample application ended: \(text)") }
            text += String(decoding: data, as: UTF8.self)
        }
        url = String(text.split(separator: "\n")[0].trimmingPrefix("ready "))
    }

    deinit {
        try? input.fileHandleForWriting.close()
        process.waitForEnd()
        try? FileManager.default.removeItem(at: state)
    }
}
