import Foundation
import Synchronization
import TestSupport
import Testing

/// SIGTERM: nothing that was accepted is lost, nothing new is accepted, and it ends.
@Suite struct DrainTests {
    /// What the clients of a load saw, from threads of their own.
    private final class Load: Sendable {
        private let state = Mutex<(answers: Int, failures: [String], running: Int)>((0, [], 0))

        var answers: Int { state.withLock { $0.answers } }
        var failures: [String] { state.withLock { $0.failures } }
        var hasEnded: Bool { state.withLock { $0.running == 0 } }

        /// A client that makes a connection for each request, until nobody accepts it.
        func startAnew(client number: Int, port: Int) {
            state.withLock { $0.running += 1 }
            Thread.detachNewThread { [self] in
                while let client = try? RawClient(port: port) {
                    do {
                        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                        _ = try client.readResponse()
                        state.withLock { $0.answers += 1 }
                    } catch {
                        state.withLock { $0.failures.append("\(error)") }
                    }
                }
                state.withLock { $0.running -= 1 }
            }
        }

        /// A client that sends its next request only on a connection that its last response did not announce to close.
        func start(client number: Int, port: Int) {
            state.withLock { $0.running += 1 }
            Thread.detachNewThread { [self] in
                do {
                    let client = try RawClient(port: port)
                    for request in 0..<100_000 {
                        client.send("GET /\(number)/\(request) HTTP/1.1\r\nHost: a\r\n\r\n")
                        let response = try client.readResponse()
                        state.withLock {
                            $0.answers += 1
                            if response.text != "/\(number)/\(request)" { $0.failures.append(response.head) }
                        }
                        if response.field("Connection") == "close" { break }
                    }
                } catch {
                    state.withLock { $0.failures.append("\(error)") }
                }
                state.withLock { $0.running -= 1 }
            }
        }
    }

    @Test(arguments: ["one", "per-layer"]) func `standard input that has ended already is no failure, and one that does not block has not ended`(processes: String) throws {
        let (folder, origin) = (try TemporaryFolder(), try ScriptedOrigin(body: "page"))
        func start(_ input: any Program.Stream, errors: any Program.Stream) throws -> Program {
            let program = Program()
            program.executableURL = HeadraceProcess.binary
            program.arguments = [
                "serve", "--until-eof", "--listen", "127.0.0.1:0", "--app", origin.url, "--set", "edge.access_log=off", "--set", "processes=\(processes)", "--pidfile",
                "\(folder.path)/pid",
            ]
            (program.standardInput, program.standardOutput, program.standardError) = (input, FileHandle.nullDevice, errors)
            try program.start()
            return program
        }
        for _ in 0..<4 {
            let program = try start(FileHandle.nullDevice, errors: FileHandle.nullDevice)
            #expect(eventually { !program.isRunning })
            #expect(program.terminationStatus == 0 && !FileManager.default.fileExists(atPath: "\(folder.path)/pid"))
        }
        let (input, errors) = (Pipe(), Pipe())
        let descriptor = input.fileHandleForReading.fileDescriptor
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
        let program = try start(input, errors: errors)
        var text = ""
        while !text.contains("edge: http://"), program.isRunning { text += String(decoding: errors.fileHandleForReading.availableData, as: UTF8.self) }
        usleep(100_000)
        #expect(program.isRunning, "\(text)")
        try input.fileHandleForWriting.close()
        #expect(eventually { !program.isRunning })
        #expect(program.terminationStatus == 0)
    }

    @Test func `under load no request fails`() throws {
        let origin = try ScriptedOrigin { request in
            [
                .wait(milliseconds: request.number % 5),
                .send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: request.target)),
            ]
        }
        let edge = try HeadraceProcess(["--app", origin.url])
        let load = Load()
        for number in 0..<8 { load.start(client: number, port: edge.port) }
        #expect(eventually { load.answers > 200 })
        edge.terminate()
        #expect(eventually { load.hasEnded })
        #expect(load.failures == [])
        #expect(edge.waitForExit() == 0)
        let lines = try edge.logLines(atLeast: load.answers)
        #expect(lines.count == load.answers, "the last lines of the log are written, too")
    }

    @Test func `whose connection was made is answered`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=60"], body: "x")
        let edge = try HeadraceProcess(["--app", origin.url])
        let load = Load()
        for number in 0..<8 { load.startAnew(client: number, port: edge.port) }
        #expect(eventually { load.answers > 500 })
        edge.terminate()
        #expect(eventually(seconds: 10) { load.hasEnded })
        #expect(load.failures == [])
        #expect(edge.waitForExit() == 0)
    }

    @Test func `a response under way ends, nobody new is let in`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { _ in
            [
                .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nCache-Control: no-store\r\n\r\nhello"), .waitFor(gate),
                .send("world"),
            ]
        }
        let edge = try HeadraceProcess(["--app", origin.url])
        let client = try RawClient(port: edge.port)
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(eventually { client.peek().contains("hello") })
        edge.terminate()
        #expect(eventually { (try? RawClient(port: edge.port)) == nil }, "the listener is closed")
        #expect(edge.isRunning)
        gate.open()
        #expect(try client.readResponse().text == "helloworld")
        #expect(client.isClosed())
        #expect(edge.waitForExit() == 0)
    }

    @Test func `a client that takes its response slowly has all of it`() throws {
        let gate = ScriptedOrigin.Gate()
        let body = String(repeating: "x", count: 12 << 20)
        let origin = try ScriptedOrigin { _ in [.waitFor(gate), .send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: body))] }
        let edge = try HeadraceProcess(["--app", origin.url])
        let client = try RawClient(port: edge.port)
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(eventually { origin.requestCount == 1 })
        edge.terminate()
        #expect(eventually { (try? RawClient(port: edge.port)) == nil }, "the listener is closed")
        gate.open()
        var count = 0
        while !client.isClosedByPeer {
            count += client.readSlowly(upTo: 64 << 10)
            Thread.sleep(forTimeInterval: 0.025)
        }
        #expect(count > 12 << 20)
        #expect(edge.waitForExit() == 0)
    }

    @Test func `connections without a request do not hold it up`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try HeadraceProcess(["--app", origin.url])
        let (idle, fresh) = (try RawClient(port: edge.port), try RawClient(port: edge.port))
        idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        _ = try idle.readResponse()
        #expect(try eventually { try edge.metric("headrace_edge_connections") >= 3 })
        let began = Date()
        edge.terminate()
        #expect(edge.waitForExit() == 0)
        #expect(Date().timeIntervalSince(began) < 5)
        #expect(idle.isClosed() && fresh.isClosed())
    }

    @Test func `what does not end within the deadline is cut`() throws {
        let origin = try ScriptedOrigin { _ in
            [.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nCache-Control: no-store\r\n\r\nhello")]
        }
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.deadlines.drain=1s"])
        let client = try RawClient(port: edge.port)
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(eventually { client.peek().contains("hello") })
        edge.terminate()
        #expect(edge.waitForExit(seconds: 10) == 0)
        let line = try #require(try edge.logLines(atLeast: 1).first)
        #expect(line["status"] as? Int == 200 && line["detail"] as? String == "drain-deadline")
    }
}
