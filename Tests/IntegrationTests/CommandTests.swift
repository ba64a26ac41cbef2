import Foundation
import TestSupport
import Testing

/// What a user sees of the commands: data on standard output, talk on standard error, and exit codes as documented.
@Suite struct CommandTests {
    private func headrace(
        _ arguments: [String], environment: [String: String] = [:], folder: URL? = nil
    ) throws -> Command.Result {
        // In a folder without a headrace.yaml, with nothing of ours in the environment.
        let assignments = environment.map { "\($0.key)=\($0.value)" }
        let place = folder ?? FileManager.default.temporaryDirectory
        return try Command.run("env", ["-C", place.path, "-u", "HEADRACE_CONFIG"] + assignments + [HeadraceProcess.binary.path] + arguments)
    }

    private func temporaryFolder() throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appending(path: "headrace-command-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    /// One of `--experimental-dump-help`, which lists what there is.
    private struct HelpTree: Decodable {
        struct Command: Decodable {
            let commandName: String
            let subcommands: [Command]?

            /// It and those below it, as words of a command line behind the program's name.
            func paths(below path: [String]) -> [[String]] {
                [path] + (subcommands ?? []).flatMap { $0.paths(below: path + [$0.commandName]) }
            }
        }

        let command: Command
    }

    @Test func `the help of every command and subcommand begins with examples`() throws {
        let tree = try JSONDecoder().decode(HelpTree.self, from: try headrace(["--experimental-dump-help"]).output)
        let paths = tree.command.paths(below: []).filter { $0 != ["help"] }
        #expect(paths.contains(["cert", "dev"]) && paths.contains(["serve"]) && paths.contains([]))
        for path in paths {
            let result = try headrace(path + ["--help"])
            #expect(result.status == 0)
            let text = result.text
            let examples = try #require(text.range(of: "EXAMPLES:"), "\(path)")
            let usage = try #require(text.range(of: "USAGE:"))
            #expect(examples.lowerBound < usage.lowerBound, "\(path)")
            #expect(try headrace(["help"] + path).status == 0)
        }
    }

    @Test func `the exit codes are documented`() throws {
        let text = try headrace(["--help"]).text
        for code in [0, 1, 3, 64, 69, 78, 99, 130] { #expect(text.contains("\n  \(code) "), "\(code)") }
    }

    @Test func `the release binary needs what the README says, and has no symbols`() throws {
        let dynamic = try Command.run("readelf", ["-d", HeadraceProcess.binary.path]).text
        let needed = dynamic.matches(of: /Shared library: \[([a-z0-9_+-]+)/).map { String($0.1) }
        #expect(!needed.isEmpty && Set(needed).isSubset(of: ["libc", "libm", "libgcc_s", "libstdc++", "libsqlite3", "ld-linux-x86-64", "ld-linux-aarch64"]), "\(needed)")
        #expect(!(try Command.run("readelf", ["-SW", HeadraceProcess.binary.path]).text.contains(".symtab")))
    }

    @Test(.enabled(if: Command.find("script") != nil, "script (bsdutils) is not installed"))
    func `a terminal shows colours unless NO_COLOR is set`() throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let command = "\(HeadraceProcess.binary.path) serve --set edge.threads=many"
        for (variable, isColoured) in [("NO_COLOR=", true), ("NO_COLOR=1", false)] {
            let result = try Command.run("env", [variable, "TERM=xterm", "script", "-qec", command, "/dev/null"])
            #expect(result.text.contains("many"), "\(result.text)")
            #expect(result.text.contains("\u{1B}[") == isColoured, "\(result.text.debugDescription)")
        }
    }

    @Test(arguments: ["bash", "zsh", "fish"])
    func `completion is made for a shell`(shell: String) throws {
        let result = try headrace(["--generate-completion-script", shell])
        #expect(result.status == 0)
        #expect(result.text.contains("headrace"))
        // The shell itself has to understand it, where it is installed.
        guard Command.find(shell) != nil else { return }
        let parsed = try Command.run(shell, ["-n", "/dev/stdin"], input: result.output)
        #expect(parsed.status == 0, "\(parsed.errors)")
    }

    @Test func `the version is on standard output, and JSON if asked for`() throws {
        #expect(try headrace(["version"]).text.hasPrefix("headrace "))
        let json = try headrace(["version", "--json"])
        let object = try #require(try JSONSerialization.jsonObject(with: json.output) as? [String: String])
        #expect(object["headrace"]?.isEmpty == false)
    }

    @Test func `a command line that is not understood is 64`() throws {
        for arguments in [["serve", "--nonsense"], ["nonsense"], ["bench"], ["bench", "http://a/", "--duration", "10"]] {
            let result = try headrace(arguments)
            #expect(result.status == 64, "\(arguments)")
            #expect(result.output.isEmpty)
        }
        #expect(try headrace(["bench", "http://a/", "--duration", "10"]).errors.contains("write 10s, 10ms or 10m"))
    }

    @Test func `a configuration with mistakes is 78, and all of them are on standard error`() throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data("edge:\n  cahce:\n    size: 1GB\n  threads: many\n".utf8).write(to: folder.appending(path: "headrace.yaml"))
        for command in ["check", "serve"] {
            let result = try headrace([command], folder: folder)
            #expect(result.status == 78)
            #expect(result.output.isEmpty)
            #expect(result.errors.contains("headrace.yaml:2:3: there is no key \"cahce\" in edge: did you mean cache?"))
            #expect(result.errors.contains("headrace.yaml:4:12: edge.threads: \"many\" is no whole number"))
            #expect(!result.errors.contains("\u{1B}["), "no colour where there is no terminal")
        }
    }

    @Test func `explain shows the way of a request, in order`() throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = """
            edge:
              app: http://127.0.0.1:3000
              browser_caching: standard
              routes:
                - {name: old, match: {path: [/old]}, redirect: {to: /new}}
                - name: shop
                  match: {host: [shop.example]}
                  upstream: app
                  limits: {body: 1KB}
                  response_headers: {set: {X-A: b}}
            """
        try Data(file.utf8).write(to: folder.appending(path: "headrace.yaml"))
        let arguments = ["explain", "http://shop.example/app.3f2a9c1b.js", "--header", "Accept-Encoding: br"]
        let text = try headrace(arguments, folder: folder).text
        let rows = text.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
        #expect(rows.contains("old no: path 302 to /new") && rows.contains("shop yes group app"), "\(text)")
        let json = try headrace(arguments + ["--json"], folder: folder)
        let object = try #require(try JSONSerialization.jsonObject(with: json.output) as? [String: Any])
        let policies = try #require(object["policies"] as? [[String: String]])
        let names = ["head", "client", "body", "cache", "answer", "upstream", "compression", "browser_caching", "response_headers", "delivery"]
        #expect(policies.map { $0["name"] } == names)
        for (index, name) in names.enumerated() { #expect(text.contains("\n\(index < 9 ? " " : "")\(index + 1)  \(name)  ")) }
        #expect(policies[2]["value"]?.hasPrefix("at most 1024 bytes") == true)
        #expect(policies[6]["value"]?.hasSuffix("br for this client") == true)
        #expect(policies[7]["value"]?.hasSuffix("gets Cache-Control: public, max-age=31536000, immutable") == true)
        #expect(policies[8]["value"] == "set X-A: b")
    }

    @Test func `check shows what would run and who said so`() throws {
        let result = try headrace(
            ["check", "--app", "http://127.0.0.1:3000"], environment: ["HEADRACE_EDGE_METRICS_TOKEN": "hunter2", "HEADRACE_EDGE_THREADS": "3"])
        #expect(result.status == 0)
        #expect(result.text.contains("edge.threads        3                      environment"))
        #expect(result.text.contains("(redacted)") && !result.text.contains("hunter2") && !result.errors.contains("hunter2"))
        let json = try headrace(["check", "--json", "--app", "http://127.0.0.1:3000", "--set", "edge.cache.size=1GB"])
        let object = try #require(try JSONSerialization.jsonObject(with: json.output) as? [String: [String: String]])
        #expect(object["edge.cache.size"] == ["value": "1GB", "origin": "flag"])
        #expect(object["edge.limits.fields"] == ["value": "100", "origin": "default"])
    }

    @Test func `init writes a file that check accepts, and overwrites nothing`() throws {
        let origin = try ScriptedOrigin(body: "hello")
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        // That port only: what other tests listen on at the moment is none of its business.
        var first = try headrace(["init", "--port", "\(origin.port)"], folder: folder)
        // What answers within three seconds is found; beside a thousand other tests that may take more than one try.
        for _ in 0..<20 where first.status == 0 && !first.errors.contains("http://127.0.0.1:") {
            try FileManager.default.removeItem(at: folder.appending(path: "headrace.yaml"))
            first = try headrace(["init", "--port", "\(origin.port)"], folder: folder)
        }
        #expect(first.status == 0, "\(first.errors)")
        #expect(first.errors.contains("http://127.0.0.1:\(origin.port)"), "the origin of this test is running: \(first.errors)")
        let file = try String(contentsOf: folder.appending(path: "headrace.yaml"), encoding: .utf8)
        #expect(file.contains("\n  app: http://127.0.0.1:\(origin.port)\n"))
        #expect(try headrace(["check"], folder: folder).status == 0)
        let second = try headrace(["init"], folder: folder)
        #expect(second.status == 1)
        #expect(second.errors.contains("headrace.yaml exists"))
    }

    @Test func `an address that cannot be listened on is 69, with the key and the reason`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let taken = "127.0.0.1:\(origin.port)"
        for (arguments, message) in [
            (["--app", "http://127.0.0.1:1", "--listen", taken], "edge.listen: \(taken) is taken: another process listens there"),
            (["--keyspace", taken], "keyspace.listen: \(taken) is taken: another process listens there"),
            (["--keyspace", "192.0.2.1:0"], "keyspace.listen: 192.0.2.1:0 is no address of this machine"),
            (["--keyspace", "a..b:1"], "keyspace.listen: a..b:1 is no address that can be found"),
            (["--keyspace", "unix:/nonexistent/a.sock"], "keyspace.listen: unix:/nonexistent/a.sock is in a folder that is not there"),
        ] {
            let result = try headrace(["serve"] + arguments)
            #expect(result.status == 69)
            #expect(result.errors.contains("cannot start: \(message)\n"), "\(result.errors)")
        }
    }

    @Test(arguments: ["serve", "check"])
    func `a folder that is not there is 78, with its key`(command: String) throws {
        let result = try headrace([command, "--root", "/nonexistent", "--listen", "127.0.0.1:0"])
        #expect(result.status == 78)
        #expect(result.errors.contains("--root: edge.root: cannot read the folder /nonexistent: it is not there"), "\(result.errors)")
        // Who only asks what is configured needs no folder.
        #expect(try headrace(["explain", "/", "--root", "/nonexistent"]).status == 0)
    }

    @Test(arguments: ["serve", "check"])
    func `a route whose password rule has no file is no configuration`(command: String) throws {
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = "edge: {listen: [127.0.0.1:0], app: http://127.0.0.1:1, routes: [{upstream: app, basic_auth: {realm: staff}}]}\n"
        try Data(file.utf8).write(to: folder.appending(path: "headrace.yaml"))
        let result = try headrace([command], folder: folder)
        #expect(result.status == 78 && result.errors.contains("edge.routes[1].basic_auth asks nobody for a password without its file"), "\(result.errors)")
    }

    @Test func `explain refuses what is no URL, and shows what the edge would refuse`() throws {
        let options = ["--app", "http://127.0.0.1:3000"]
        for url in ["", "ftp://x/", "x", "*", "http://", "https:///a", "shop.example/cart"] {
            let result = try headrace(["explain", url] + options)
            #expect(result.status == 64 && result.output.isEmpty, "\(url)")
            #expect(result.errors.contains("no host") || result.errors.contains("neither a URL"), "\(result.errors)")
        }
        #expect(try headrace(["explain", "/a b"] + options).status == 64)
        for url in ["/", "/cart?x=1", "http://shop.example", "https://shop.example?x", "http://[::1]:80/"] {
            #expect(try headrace(["explain", url] + options).status == 0, "\(url)")
        }
        let folder = try temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = "edge:\n  routes:\n    - {match: {path: [/pub]}, page: health}\n    - {match: {path: [/x]}, page: ready}\n"
        try Data(file.utf8).write(to: folder.appending(path: "headrace.yaml"))
        for (url, message) in [("/pub/../x", "400: "), ("/nothing", "404: ")] {
            let result = try headrace(["explain", url], folder: folder)
            #expect(result.status == 0 && result.text.contains("\n\(message)"), "\(result.text)")
        }
    }

    @Test func `reference prints the repository's own pages`() throws {
        let page = try String(contentsOf: HeadraceProcess.repository.appending(path: "docs/configuration.md"), encoding: .utf8)
        #expect(try headrace(["reference", "configuration"]).text == page)
        let file = try String(contentsOf: HeadraceProcess.repository.appending(path: "headrace.example.yaml"), encoding: .utf8)
        #expect(try headrace(["reference", "example"]).text == file)
    }

    @Test func `bench prints a table, or JSON, and fails when a request does`() throws {
        let origin = try ScriptedOrigin { request in
            [.send(ScriptedOrigin.response(status: request.target == "/bad" ? "500 Oh" : "200 OK", body: "hello"))]
        }
        let arguments = ["--concurrency", "2", "--duration", "300ms", "--warm-up", "0s"]
        let table = try headrace(["bench", origin.url + "/"] + arguments)
        #expect(table.status == 0)
        #expect(table.text.contains("closed loop") && table.text.contains("requests/s"))
        let json = try headrace(["bench", "--json", origin.url + "/bad"] + arguments)
        #expect(json.status == 1)
        let document = try #require(try JSONSerialization.jsonObject(with: json.output) as? [String: Any])
        let level = try #require((document["levels"] as? [[String: Any]])?.first)
        #expect(level["users"] as? Int == 2)
        #expect((level["failures"] as? [String: Int])?["status"] == level["failed"] as? Int)
        #expect((level["failed"] as? Int ?? 0) > 0)
    }
}

/// What the running server does when it is told something.
@Suite struct ServeTests {
    @Test func `SIGHUP takes over what may change, names what needs a restart, and keeps the old on a mistake`() throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "headrace-\(UUID().uuidString).yaml")
        defer { try? FileManager.default.removeItem(at: file) }
        let origin = try ScriptedOrigin(fields: ["Content-Type: text/plain", "Cache-Control: no-store"], body: String(repeating: "a", count: 1000))
        func write(_ text: String) throws { try Data("edge:\n  app: \(origin.url)\n\(text)".utf8).write(to: file) }
        try write("")
        let edge = try HeadraceProcess(["--config", file.path])
        func coding() throws -> String? {
            try RawClient.get(port: edge.port, "/", ["Accept-Encoding: gzip"]).field("Content-Encoding")
        }
        func reload(until word: String) {
            kill(edge.processIdentifier, SIGHUP)
            let end = Date().addingTimeInterval(5)
            while Date() < end, !edge.errorOutput.contains(word) { usleep(20_000) }
            #expect(edge.errorOutput.contains(word), "\(edge.errorOutput)")
        }
        #expect(try coding() == "gzip")
        try write("  threads: 7\n  compression:\n    min_size: 2KB\n")
        reload(until: "edge.compression.min_size=2KB")
        #expect(eventually { edge.errorOutput.contains("edge.threads=7 needs a restart") })
        #expect(try coding() == nil)
        try write("  compression:\n    min_size: 2\n")
        reload(until: "has no unit")
        #expect(try coding() == nil)
        try write("")
        reload(until: "edge.compression.min_size=256B")
        #expect(try coding() == "gzip")
    }

    @Test func `a Unix socket serves as an address`() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "headrace-\(UUID().uuidString.prefix(8)).sock").path
        let origin = try ScriptedOrigin(body: "hello")
        let edge = try HeadraceProcess(["--app", origin.url, "--listen", "unix:\(path)"])
        let result = try Command.run("curl", ["-s", "--unix-socket", path, "http://a.example/"])
        #expect(result.text == "hello")
        edge.terminate()
        #expect(edge.waitForExit() == 0)
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test func `an application on a Unix socket is asked there`() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "headrace-\(UUID().uuidString.prefix(8)).sock").path
        let origin = try ScriptedOrigin(fields: ["Cache-Control: no-store"], body: "hello")
        let application = try HeadraceProcess(["--app", origin.url, "--listen", "unix:\(path)"])
        let file = try TemporaryFile("edge: {upstreams: {app: {members: [\"unix:\(path)\"]}}}\n")
        let edge = try HeadraceProcess(["--config", file.path, "--set", "edge.threads=1"])
        for _ in 0..<3 { #expect(try RawClient.get(port: edge.port, "/").text == "hello") }
        #expect(try edge.metric("headrace_edge_upstream_connects_total") == 1)
        application.terminate()
        #expect(application.waitForExit() == 0)
        #expect(try RawClient.get(port: edge.port, "/").status == 502)
    }

    @Test func `the metrics answer this machine, and from elsewhere whoever knows the token`() throws {
        // A Unix socket's clients count as this machine; what comes with a token is checked in RouterTests.
        let origin = try ScriptedOrigin(body: "the application's own")
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.metrics_path=/numbers"])
        #expect(try RawClient.getOwnPage(port: edge.port, "/numbers").text.contains("headrace_edge_requests_total"))
        #expect(try RawClient.getOwnPage(port: edge.port, "/metrics").text == "the application's own")
    }
}
