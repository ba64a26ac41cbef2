import Foundation
import Synchronization
import TestSupport
import Testing

/// A configuration that is read anew while requests go on.
@Suite struct ReloadTests {
    private static func run(_ arguments: [String]) throws -> (status: Int32, errors: String) {
        let process = Program()
        process.executableURL = HeadraceProcess.binary
        process.arguments = arguments
        let pipe = Pipe()
        process.standardError = pipe
        process.standardOutput = FileHandle.nullDevice
        try process.start()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitForEnd()
        return (process.terminationStatus, String(decoding: data, as: UTF8.self))
    }

    @Test func `fifty reloads under load fail no request`() throws {
        let (one, two) = (try ScriptedOrigin(body: "origin"), try ScriptedOrigin(body: "origin"))
        func yaml(_ number: Int) -> String {
            """
            edge:
              upstreams: {app: "\(number % 2 == 0 ? one.url : two.url)"}
              routes:
                - {match: {path: [/stored]}, respond: {status: 200, body: "origin"}}
                - {match: {path: [/]}, upstream: app, response_headers: {set: {X-Number: "\(number)"}}}
            """
        }
        let file = try TemporaryFile(yaml(0), name: "headrace.yaml")
        let pidfile = FileManager.default.temporaryDirectory.appending(path: "headrace-\(UUID().uuidString).pid").path
        let edge = try HeadraceProcess(["--config", file.path, "--pidfile", pidfile])
        let state = Mutex<(answers: Int, failures: [String], running: Int, isOver: Bool)>((0, [], 4, false))
        for number in 0..<4 {
            Thread.detachNewThread {
                do {
                    let client = try RawClient(port: edge.port)
                    while !state.withLock({ $0.isOver }) {
                        client.send("GET /\(number % 2 == 0 ? "x" : "stored") HTTP/1.1\r\nHost: a\r\n\r\n")
                        let response = try client.readResponse()
                        state.withLock {
                            $0.answers += 1
                            if response.status != 200 || response.text != "origin" { $0.failures.append(response.head) }
                        }
                    }
                } catch {
                    state.withLock { $0.failures.append("\(error)") }
                }
                state.withLock { $0.running -= 1 }
            }
        }
        for number in 1...50 {
            try file.replace(yaml(number))
            kill(edge.processIdentifier, SIGHUP)
            let before = state.withLock { $0.answers }
            let isHere = try eventually { try RawClient.get(port: edge.port, "/x").field("X-Number") == "\(number)" }
            #expect(isHere, "reload \(number)")
            #expect(eventually { state.withLock { $0.answers > before || $0.running < 4 } })
        }
        state.withLock { $0.isOver = true }
        #expect(eventually { state.withLock { $0.running == 0 } })
        #expect(state.withLock { $0.failures } == [])
        #expect(one.requestCount > 0 && two.requestCount > 0)
        #expect(edge.errorOutput.contains("edge.routes[2].response_headers.set=[\"X-Number: 50\"]"))
        edge.terminate()
        #expect(edge.waitForExit() == 0)
        #expect(!FileManager.default.fileExists(atPath: pidfile))
    }

    @Test func `members of other names are looked up while those of before serve`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: no-store"], body: "origin")
        let hosts = (0...6).map { "host\($0).test" }
        let names = try ScriptedNameServer(Dictionary(uniqueKeysWithValues: hosts.map { ($0, [.address("127.0.0.1")]) }), delay: 0.4)
        func yaml(_ number: Int) -> String {
            """
            edge:
              upstreams:
                app: {members: ["http://\(hosts[number]):\(origin.port)"], nameserver: "127.0.0.1:\(names.port)"}
              routes:
                - {match: {path: [/]}, upstream: app, response_headers: {set: {X-Number: "\(number)"}}}

            """
        }
        let file = try TemporaryFile(yaml(0), name: "headrace.yaml")
        let edge = try HeadraceProcess(["--config", file.path])
        let client = try RawClient(port: edge.port)
        func ask() throws -> RawClient.Response {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            return try client.readResponse()
        }
        #expect(try ask().text == "origin")
        for number in 1..<hosts.count {
            try file.replace(yaml(number))
            kill(edge.processIdentifier, SIGHUP)
            // Every other one comes while the names of the one before are looked up.
            let end = Date() + (number % 2 == 0 ? 2 : 0.2)
            var isHere = false
            while Date() < end || !isHere {
                let response = try ask()
                try #require(response.status == 200, "reload \(number): \(response.head)")
                isHere = isHere || response.field("X-Number") == "\(number)"
            }
        }
        #expect(eventually { hosts.allSatisfy { names.queries.contains($0) } })
    }

    @Test func `a bad file changes nothing and says why`() throws {
        let origin = try ScriptedOrigin(body: "origin")
        let good = "edge:\n  app: \(origin.url)\n  routes:\n    - {match: {path: [/a]}, respond: {status: 200, body: a}}\n"
        let file = try TemporaryFile(good, name: "headrace.yaml")
        let edge = try HeadraceProcess(["--config", file.path])
        for (bad, message) in [
            (good.replacing("path:", with: "paths:"), "there is no key \"paths\""),
            (good + "    - {files: {root: /nowhere/at/all}}\n", "cannot read the folder"),
            (good + "    - {upstream: app, basic_auth: {file: /nowhere}}\n", "the file /nowhere cannot be read"),
        ] {
            try file.replace(bad)
            kill(edge.processIdentifier, SIGHUP)
            #expect(eventually { edge.errorOutput.contains(message) }, "\(edge.errorOutput)")
            #expect(try RawClient.get(port: edge.port, "/a").text == "a")
        }
        try file.replace(good.replacing("body: a", with: "body: b"))
        kill(edge.processIdentifier, SIGHUP)
        #expect(try eventually { try RawClient.get(port: edge.port, "/a").text == "b" })
    }

    @Test func `a reload says which file has changed, and that a route was put first`() throws {
        let origin = try ScriptedOrigin(body: "origin")
        let users = try TemporaryFile("anna:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n")
        func yaml(_ first: String = "") -> String {
            """
            edge:
              app: \(origin.url)
              routes:
            \(first)    - {match: {path: [/a]}, upstream: app, basic_auth: {file: "\(users.path)"}}
                - {match: {path: [/b]}, upstream: app}

            """
        }
        let file = try TemporaryFile(yaml(), name: "headrace.yaml")
        let edge = try HeadraceProcess(["--config", file.path])
        func reload(says text: String) {
            kill(edge.processIdentifier, SIGHUP)
            #expect(eventually { edge.errorOutput.contains("configuration read anew: \(text)\n") }, "\(edge.errorOutput)")
        }
        reload(says: "no change")
        try users.replace("berta:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n")
        reload(says: "edge.routes[1].basic_auth.file: \(users.path) was read anew and differs")
        try file.replace(yaml("    - {match: {path: [/new]}, page: health}\n"))
        reload(says: "edge.routes[1] (match.path=[/new]) is new")
    }

    @Test func `what is stored outlives a reload`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=600"], body: "origin")
        let file = try TemporaryFile("edge: {app: \"\(origin.url)\"}", name: "headrace.yaml")
        let edge = try HeadraceProcess(["--config", file.path])
        _ = try RawClient.get(port: edge.port, "/")
        try file.replace("edge: {app: \"\(origin.url)\", limits: {fields: 50}}")
        kill(edge.processIdentifier, SIGHUP)
        #expect(eventually { edge.errorOutput.contains("edge.limits.fields=50") })
        #expect(try RawClient.get(port: edge.port, "/").field("Cache-Status")?.contains("hit") == true)
        #expect(origin.requestCount == 1)
    }

    @Test func `a reload that comes while the edge starts is not lost on any of its event loops`() throws {
        for _ in 0..<8 {
            let file = try TemporaryFile("edge: {limits: {body: 1000B}}", name: "headrace.yaml")
            let folder = try TemporaryFolder()
            let (pidfile, port) = ("\(folder.path)/pid", try FreePort.find())
            let program = Program()
            program.executableURL = HeadraceProcess.binary
            program.arguments = ["serve", "--config", file.path, "--listen", "127.0.0.1:\(port)", "--app", "http://localhost:1", "--set", "edge.access_log=off", "--pidfile", pidfile]
            let errors = Pipe()
            (program.standardOutput, program.standardError) = (FileHandle.nullDevice, errors)
            try program.start()
            defer { program.terminate() }
            while (FileManager.default.contents(atPath: pidfile) ?? Data()).isEmpty { try #require(program.isRunning) }
            // It has read it before.
            try file.replace("edge: {limits: {body: 4000B}}")
            kill(program.processIdentifier, SIGHUP)
            var text = ""
            while !(text.contains("edge: http://") && text.contains("configuration read anew")), program.isRunning {
                text += String(decoding: errors.fileHandleForReading.availableData, as: UTF8.self)
            }
            // As soon as it has been said, each loop has it in its next turn.
            usleep(10_000)
            for _ in 0..<4 {
                let answer = try RawClient.exchange(
                    port: port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\nConnection: close\r\n\r\n\(String(repeating: "x", count: 3000))")
                #expect(answer.status == 502)
            }
        }
    }

    @Test func `a signal that comes before the process can do what it asks for waits`() throws {
        // Nobody writes to it: the configuration is under way.
        let folder = try TemporaryFolder()
        let file = "\(folder.path)/headrace.yaml"
        try #require(mkfifo(file, 0o600) == 0)
        let program = Program()
        program.executableURL = HeadraceProcess.binary
        program.arguments = ["serve", "--config", file, "--listen", "127.0.0.1:0", "--app", "http://127.0.0.1:1", "--set", "edge.access_log=off"]
        let errors = Pipe()
        (program.standardOutput, program.standardError) = (FileHandle.nullDevice, errors)
        try program.start()
        defer { program.terminate() }
        // Of a reader, too: to write to none ends who does.
        let writer = open(file, O_RDWR)
        let names = FileManager.default
        #expect(eventually {
            let folder = "/proc/\(program.processIdentifier)/fd"
            return (try? names.contentsOfDirectory(atPath: folder))?.contains { (try? names.destinationOfSymbolicLink(atPath: "\(folder)/\($0)")) == file } ?? false
        })
        kill(program.processIdentifier, SIGUSR1)
        kill(program.processIdentifier, SIGHUP)
        unlink(file)
        try Data("edge: {limits: {body: 4000B}}".utf8).write(to: URL(filePath: file))
        let first = Array("edge: {limits: {body: 1000B}}".utf8)
        #expect(write(writer, first, first.count) == first.count)
        close(writer)
        var text = ""
        while !text.contains("configuration read anew"), program.isRunning { text += String(decoding: errors.fileHandleForReading.availableData, as: UTF8.self) }
        #expect(text.contains("edge.limits.body=4000B"), "\(text)")
    }

    @Test func `headrace reload checks, then tells the process`() throws {
        let origin = try ScriptedOrigin(body: "origin")
        let file = try TemporaryFile("edge: {app: \"\(origin.url)\"}", name: "headrace.yaml")
        let pidfile = FileManager.default.temporaryDirectory.appending(path: "headrace-\(UUID().uuidString).pid").path
        let edge = try HeadraceProcess(["--config", file.path, "--pidfile", pidfile])
        let reload = ["reload", "--config", file.path, "--pidfile", pidfile]
        #expect(try Self.run(["serve", "--listen", "127.0.0.1:0", "--config", file.path, "--pidfile", pidfile]).errors.contains("held by another"))
        try file.replace("edge: {app: \"\(origin.url)\", limits: {fields: x}}")
        let bad = try Self.run(reload)
        #expect(bad.status == 78 && bad.errors.contains("edge.limits.fields"))
        #expect(!edge.errorOutput.contains("configuration not read"))
        try file.replace("edge: {app: \"\(origin.url)\", limits: {fields: 50}}")
        #expect(try Self.run(reload).status == 0)
        #expect(eventually { edge.errorOutput.contains("edge.limits.fields=50") })
        edge.terminate()
        #expect(edge.waitForExit() == 0)
        #expect(try Self.run(reload).status == 69)
    }
}
