import Foundation
import Synchronization
import TestSupport
import Testing

/// `processes: per-layer`: the release binary as a supervisor, and its layers killed.
@Suite(.serialized, .enabled(
    if: PostgresCluster.programs != nil && ["psql", "pgbench", "redis-cli", "redis-benchmark", "wrk"].allSatisfy { Command.find($0) != nil },
    "PostgreSQL, Redis' tools or wrk are not installed: run scripts/setup"))
struct WorkerTests {
    private static let isLong = ProcessInfo.processInfo.environment["HEADRACE_LONG"] != nil

    /// All three layers, with their ports known before: the system's choice would not be found by the edge's page.
    private final class Stand {
        let folder: TemporaryFolder
        let origin: ScriptedOrigin
        let headrace: HeadraceProcess
        let (pooler, keyspace): (Int, Int)

        /// - Parameter wrapper: a program that becomes it.
        init(postgres: PostgresCluster, by wrapper: [String] = []) throws {
            folder = try TemporaryFolder()
            origin = try ScriptedOrigin { _ in [.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=600"], body: "page"))] }
            (pooler, keyspace) = (try FreePort.find(), try FreePort.find())
            let all = [
                "processes=per-layer", "edge.access_log=off", "dashboard.state=\(folder.path)/state", "keyspace.directory=\(folder.path)",
                "keyspace.append_only=true", "keyspace.fsync=always",
            ]
            headrace = try HeadraceProcess(
                ["--app", origin.url, "--pooler", "127.0.0.1:\(pooler)", "--postgres", postgres.url(user: nil), "--keyspace", "127.0.0.1:\(keyspace)"]
                    + all.flatMap { ["--set", $0] }, saying: "edge: http://", by: wrapper)
            try #require(eventually { headrace.errorOutput.contains("pooler: ") && headrace.errorOutput.contains("keyspace: ") })
        }

        /// The process of a layer; `nil` while there is none.
        func worker(_ layer: String) throws -> Int32? {
            try WorkerTests.children(of: headrace.processIdentifier).first { process in
                let words = (try? String(contentsOfFile: "/proc/\(process)/cmdline", encoding: .utf8))?.split(separator: "\0") ?? []
                return words.firstIndex(of: "--worker").map { words[$0 + 1] == layer } ?? false
            }
        }

        /// How often a layer has come back, by what the supervisor said.
        func returns(of layer: String) -> Int {
            headrace.errorOutput.split(separator: "\n").count { $0.contains("] \(layer) ended by") && $0.contains("it serves again after") }
        }

        /// Kills a layer's process and waits until it serves again.
        func kill(_ layer: String, _ signal: Int32 = SIGKILL) throws {
            let before = returns(of: layer)
            let process = try #require(try worker(layer))
            #expect(Glibc.kill(process, signal) == 0)
            try #require(eventually { returns(of: layer) > before }, "\(headrace.errorOutput.suffix(2000))")
        }

        func redis(_ words: String...) throws -> String {
            try Command.run("redis-cli", ["-p", "\(keyspace)"] + words).text.trimmingCharacters(in: .newlines)
        }

        func psql(_ sql: String) throws -> Command.Result {
            try Command.run("psql", ["-X", "-A", "-t", "-q", "-w", "-d", "host=127.0.0.1 port=\(pooler) user=postgres dbname=shop", "-c", sql])
        }
    }

    private let postgres: PostgresCluster

    init() throws {
        postgres = try PostgresCluster.shared.get()
    }

    /// Each is a child of the thread that has started it.
    private static func children(of process: Int32) throws -> [Int32] {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task").flatMap { thread in
            let text = (try? String(contentsOfFile: "/proc/\(process)/task/\(thread)/children", encoding: .utf8)) ?? ""
            return text.split(separator: " ").compactMap { Int32($0) }
        }
    }

    /// Stops a process. Each of its threads goes on until it has a core for that.
    private static func stop(_ process: Int32) throws {
        #expect(kill(process, SIGSTOP) == 0)
        try #require(eventually {
            let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task")) ?? []
            return threads.allSatisfy { thread in
                let text = (try? String(contentsOfFile: "/proc/\(process)/task/\(thread)/stat", encoding: .utf8)) ?? ""
                return text.isEmpty || text.split(separator: ")").last?.hasPrefix(" T") == true
            }
        })
    }

    /// What fails of a second of clients' work at a layer; empty when nothing does.
    private static func work(at layer: String, _ stand: Stand) throws -> String {
        switch layer {
        case "edge":
            let result = try Command.run("wrk", ["-t1", "-c4", "-d1s", "http://127.0.0.1:\(stand.headrace.port)/page"])
            return result.status == 0 && !result.text.contains("Socket errors") && !result.text.contains("Non-2xx") ? "" : result.text + result.errors
        case "pooler":
            let script = "\(stand.folder.path)/select.sql"
            if !FileManager.default.fileExists(atPath: script) { try Data("SELECT 1;\n".utf8).write(to: URL(filePath: script)) }
            let result = try Command.run(
                "pgbench", ["-h", "127.0.0.1", "-p", "\(stand.pooler)", "-U", "postgres", "-n", "-c", "4", "-T", "1", "-f", script, "shop"])
            return result.status == 0 && result.text.contains("number of failed transactions: 0") ? "" : result.text + result.errors
        default:
            let result = try Command.run("redis-benchmark", ["-p", "\(stand.keyspace)", "-t", "set,get", "-n", "4000", "-c", "4", "-q"])
            return result.status == 0 && !result.text.lowercased().contains("error") ? "" : result.text + result.errors
        }
    }

    @Test(arguments: ["edge", "pooler", "keyspace"])
    func `a layer that is killed again and again comes back on its sockets, and the others lose nothing`(victim: String) throws {
        let stand = try Stand(postgres: postgres)
        #expect(try stand.redis("SET", "kept", "value") == "OK")
        let others = ["edge", "pooler", "keyspace"].filter { $0 != victim }
        let before = try others.map { try stand.worker($0) }
        let isOver = Atomic(false)
        let failures = Mutex([String]())
        // Threads of their own: those of the tests' pool are few.
        let done = DispatchSemaphore(value: 0)
        nonisolated(unsafe) let shared = stand
        for layer in others {
            Thread.detachNewThread {
                while !isOver.load(ordering: .acquiring) {
                    let failure = (try? Self.work(at: layer, shared)) ?? "not run"
                    if !failure.isEmpty { failures.withLock { $0.append("\(layer): \(failure)") } }
                }
                done.signal()
            }
        }
        let kills = Result { for _ in 0..<(Self.isLong ? 100 : 5) { try stand.kill(victim) } }
        isOver.store(true, ordering: .releasing)
        for _ in others { done.wait() }
        try kills.get()
        #expect(failures.withLock { $0 } == [])
        #expect(try others.map { try stand.worker($0) } == before)
        #expect(try Self.work(at: victim, stand) == "")
        // The keyspace has it from its log, the one that was killed or the one that was not.
        #expect(try stand.redis("GET", "kept") == "value")
        stand.headrace.terminate()
        #expect(stand.headrace.waitForExit() == 0, "\(stand.headrace.errorOutput.suffix(2000))")
    }

    @Test func `who connects while a layer is away waits for it and is served`() throws {
        let stand = try Stand(postgres: postgres)
        let process = try #require(try stand.worker("keyspace"))
        try Self.stop(process)
        // Connected by the kernel, and not accepted by anybody.
        let waiting = try RawClient(port: stand.keyspace)
        kill(process, SIGKILL)
        waiting.send("QUIT\r\n")
        #expect(waiting.readToEnd(seconds: 20) == "+OK\r\n")
    }

    @Test func `the page says what has happened, with a report, and knows of all layers' numbers`() throws {
        let stand = try Stand(postgres: postgres)
        for _ in 0..<3 { #expect(try stand.psql("SELECT 1").text == "1\n") }
        #expect(try stand.redis("SET", "k", "v") == "OK")
        try stand.kill("pooler", SIGABRT)
        let port = stand.headrace.port
        func latest() throws -> String {
            let page = try RawClient.getOwnPage(port: port, "/performance/latest.json")
            return page.text
        }
        #expect(try eventually { try latest().contains("pooler ended by signal 6") })
        // Its own end it knows of, too.
        try stand.kill("edge", SIGSEGV)
        #expect(try eventually { try latest().contains("edge ended by signal 11") })
        let reports = try FileManager.default.contentsOfDirectory(atPath: "\(stand.folder.path)/state").filter { $0.hasPrefix("crash-") }.sorted()
        #expect(reports.count == 2 && reports[0].hasSuffix("-pooler.txt") && reports[1].hasSuffix("-edge.txt"))
        let report = try String(contentsOfFile: "\(stand.folder.path)/state/\(reports[0])", encoding: .utf8)
        #expect(report.hasPrefix("pooler of headrace ") && report.contains("What it said last:\n\npooler: 127.0.0.1:\(stand.pooler) → "), "\(report)")
        #expect(try stand.psql("SELECT 1").text == "1\n")
        let metrics = try RawClient.getOwnPage(port: port, "/metrics").text
        for line in ["redis_up 1", "headrace_keyspace_keys 1", "headrace_pooler_clients 0", "pgbouncer_up 1"] {
            #expect(metrics.split(separator: "\n").contains { $0 == line }, "\(line)")
        }
        for layer in ["edge", "pooler", "keyspace"] { #expect(metrics.contains("headrace_worker_resident_memory_bytes{layer=\"\(layer)\"} ")) }
        struct Latest: Decodable {
            struct Service: Decodable {
                var name: String
                var state: String
            }
            var services: [Service]
        }
        #expect(try eventually {
            let services = try JSONDecoder().decode(Latest.self, from: Data(latest().utf8)).services
            return ["edge", "pooler", "postgresql", "keyspace"].allSatisfy { name in services.contains { $0.name == name && $0.state == "up" } }
        })
    }

    @Test func `a process that no longer says that it lives is ended and started anew`() throws {
        // As systemd asks it to; without, it has half a minute.
        let watched = try Stand(postgres: postgres, by: ["/usr/bin/env", "WATCHDOG_USEC=2000000", "NOTIFY_SOCKET=/nowhere"])
        let before = watched.returns(of: "keyspace")
        try Self.stop(try #require(try watched.worker("keyspace")))
        // Nor does it say that it has read that.
        kill(watched.headrace.processIdentifier, SIGHUP)
        #expect(eventually { watched.returns(of: "keyspace") > before }, "\(watched.headrace.errorOutput)")
        #expect(watched.headrace.errorOutput.contains("keyspace: its process says no more that it lives"))
        #expect(try watched.redis("PING") == "PONG")
    }

    @Test func `processes that were stopped for longer than that, all of them, go on`() throws {
        let watched = try Stand(postgres: postgres, by: ["/usr/bin/env", "WATCHDOG_USEC=4000000", "NOTIFY_SOCKET=/nowhere"])
        #expect(try watched.redis("SET", "k", "v") == "OK")
        let supervisor = watched.headrace.processIdentifier
        let workers = try Self.children(of: supervisor)
        for process in [supervisor] + workers { try Self.stop(process) }
        usleep(4_300_000)
        kill(supervisor, SIGCONT)
        usleep(20_000)
        for process in workers { kill(process, SIGCONT) }
        #expect(try watched.redis("GET", "k") == "v")
        #expect(try Self.children(of: supervisor).sorted() == workers.sorted() && !watched.headrace.errorOutput.contains("says no more"), "\(watched.headrace.errorOutput)")
    }

    @Test func `what another process says is not taken for a layer's word`() throws {
        let folder = try TemporaryFolder()
        let file = try TemporaryFile("edge: {limits: {body: 1000B}}", name: "headrace.yaml")
        let origin = try ScriptedOrigin(body: "page")
        let headrace = try HeadraceProcess(
            ["--config", file.path, "--app", origin.url, "--set", "processes=per-layer", "--set", "edge.access_log=off"], saying: "edge: http://",
            by: ["/usr/bin/env", "TMPDIR=\(folder.path)"])
        func reload(_ count: Int) -> Bool {
            Glibc.kill(headrace.processIdentifier, SIGHUP)
            return eventually { headrace.errorOutput.components(separatedBy: "configuration read anew").count > count }
        }
        func worker() throws -> Int32? { try Self.children(of: headrace.processIdentifier).first }
        // It is told behind its first word.
        #expect(reload(1))
        func returns() -> Int { headrace.errorOutput.components(separatedBy: "serves again").count - 1 }
        // Before it has said anything, which it may have done when it is stopped at last.
        var (new, before) = (Int32(0), 0)
        repeat {
            if new > 0 {
                Glibc.kill(new, SIGCONT)
                try #require(eventually { returns() > before })
            }
            before = returns()
            let old = try #require(try worker())
            usleep(50_000)
            Glibc.kill(old, SIGKILL)
            #expect(try eventually { try worker() ?? old != old })
            new = try #require(try worker())
            try Self.stop(new)
            usleep(50_000)
        } while returns() > before
        let place = try #require(try FileManager.default.contentsOfDirectory(atPath: folder.path).first { $0.hasPrefix("headrace-") })
        let path = "\(folder.path)/\(place)/edge.notices"
        let said = try Command.run("python3", ["-c", "import socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', '\(path)')"])
        #expect(said.status == 0, "\(said.errors)")
        #expect(reload(2))
        #expect(returns() == before)
        Glibc.kill(new, SIGCONT)
        #expect(eventually { returns() > before })
        headrace.terminate()
        #expect(headrace.waitForExit() == 0, "\(headrace.errorOutput)")
    }

    @Test func `who ends a process that begins has ended all of it, and nothing has failed`() throws {
        let (folder, origin) = (try TemporaryFolder(), try ScriptedOrigin(body: "page"))
        let program = Program()
        program.executableURL = HeadraceProcess.binary
        program.arguments = ["serve", "--listen", "127.0.0.1:0", "--app", origin.url, "--set", "processes=per-layer", "--set", "edge.access_log=off", "--set", "dashboard.state=\(folder.path)"]
        (program.standardOutput, program.standardError, program.standardInput) = (FileHandle.nullDevice, FileHandle.nullDevice, FileHandle.nullDevice)
        try program.start()
        var worker: Int32?
        while worker == nil, program.isRunning { worker = try? Self.children(of: program.processIdentifier).first }
        kill(try #require(worker), SIGTERM)
        #expect(eventually { !program.isRunning })
        #expect(program.terminationStatus == 0)
    }

    @Test func `SHUTDOWN of the only layer ends its supervisor`() throws {
        let folder = try TemporaryFolder()
        let headrace = try HeadraceProcess(
            ["--keyspace", "127.0.0.1:0", "--set", "processes=per-layer", "--set", "keyspace.directory=\(folder.path)"], saying: "keyspace: ")
        _ = try Command.run("redis-cli", ["-p", "\(headrace.port)", "SHUTDOWN"])
        #expect(headrace.waitForExit() == 0, "\(headrace.errorOutput)")
    }

    @Test func `a reload is said once, a bad file changes nothing, and processes end with their supervisor`() throws {
        let folder = try TemporaryFolder()
        let file = "\(folder.path)/headrace.yaml"
        func write(_ limit: String) throws { try Data("edge:\n  limits:\n    body: \(limit)\n".utf8).write(to: URL(filePath: file)) }
        try write("1MB")
        let origin = try ScriptedOrigin(body: "page")
        let keyspace = try FreePort.find()
        let headrace = try HeadraceProcess(
            ["--config", file, "--app", origin.url, "--keyspace", "127.0.0.1:\(keyspace)", "--set", "processes=per-layer", "--set", "edge.access_log=off"],
            saying: "edge: http://")
        try #require(eventually { headrace.errorOutput.contains("keyspace: ") })
        func said(_ text: String) -> Int { headrace.errorOutput.components(separatedBy: text).count - 1 }
        try write("2KB")
        kill(headrace.processIdentifier, SIGHUP)
        #expect(eventually { said("edge.limits.body=2KB") > 0 })
        let body = String(repeating: "x", count: 3000)
        func post() throws -> Int {
            try RawClient.exchange(port: headrace.port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\nConnection: close\r\n\r\n\(body)").status
        }
        #expect(try eventually { try post() == 413 })
        try write("nonsense")
        kill(headrace.processIdentifier, SIGHUP)
        #expect(eventually { said("configuration not read") > 0 })
        #expect(try post() == 413)
        #expect(said("configuration read anew") == 1 && said("configuration not read") == 1, "\(headrace.errorOutput)")
        let workers = try Self.children(of: headrace.processIdentifier)
        #expect(workers.count == 2)
        kill(headrace.processIdentifier, SIGKILL)
        #expect(eventually { workers.allSatisfy { kill($0, 0) != 0 } })
    }

    @Test func `a process that begins misses no reload and no log that is moved away, and is no failure at the end`() throws {
        let folder = try TemporaryFolder()
        let (file, log) = ("\(folder.path)/headrace.yaml", "\(folder.path)/access.log")
        func write(_ limit: Int) throws { try Data("edge: {limits: {body: \(limit)B}}\n".utf8).write(to: URL(filePath: file)) }
        try write(1000)
        let origin = try ScriptedOrigin(body: "page")
        let headrace = try HeadraceProcess(
            ["--config", file, "--app", origin.url, "--set", "processes=per-layer", "--set", "edge.access_log=\(log)"], saying: "edge: http://")
        func worker() throws -> Int32? { try Self.children(of: headrace.processIdentifier).first }
        /// - Returns: the one that has come in its place.
        func kill() throws -> Int32 {
            let old = try #require(try worker())
            #expect(Glibc.kill(old, SIGKILL) == 0)
            while true {
                if let new = try worker(), new != old { return new }
                try #require(headrace.isRunning)
            }
        }
        func post() throws -> Int {
            try RawClient.exchange(port: headrace.port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\nConnection: close\r\n\r\n\(String(repeating: "x", count: 3000))").status
        }
        // At one of these moments it has read the file, and does not serve yet.
        for milliseconds in [4, 10, 16, 22, 28] {
            try write(1000)
            Glibc.kill(headrace.processIdentifier, SIGHUP)
            #expect(try eventually { try post() == 413 })
            _ = try kill()
            usleep(UInt32(milliseconds) * 1000)
            try write(4000)
            Glibc.kill(headrace.processIdentifier, SIGHUP)
            try FileManager.default.moveItem(atPath: log, toPath: "\(log).\(milliseconds)")
            Glibc.kill(headrace.processIdentifier, SIGUSR1)
            #expect(try eventually { try post() == 200 }, "after \(milliseconds) ms: \(headrace.errorOutput)")
            #expect(try eventually { try post() == 200 && FileManager.default.contents(atPath: log)?.isEmpty == false })
        }
        #expect(!headrace.errorOutput.contains("ended by signal \(SIGUSR1)"))
        let new = try kill()
        Glibc.kill(new, SIGSTOP)
        headrace.terminate()
        Glibc.kill(new, SIGCONT)
        #expect(headrace.waitForExit() == 0, "\(headrace.errorOutput)")
    }

    @Test func `what cannot begin is said, and ends all of it`() throws {
        let taken = try ScriptedOrigin(body: "")
        let result = try Command.run(
            "env", [
                HeadraceProcess.binary.path, "serve", "--root", "/tmp", "--listen", "127.0.0.1:0", "--keyspace", "127.0.0.1:\(taken.port)", "--set", "processes=per-layer", "--set",
                "edge.access_log=off",
            ])
        #expect(result.status == 69 && result.errors.contains("keyspace.listen: 127.0.0.1:\(taken.port) is taken"), "\(result.status) \(result.errors)")
        let folder = try TemporaryFolder()
        try Data("no log".utf8).write(to: URL(filePath: "\(folder.path)/appendonlydir"))
        let other = try Command.run(
            "env", [
                HeadraceProcess.binary.path, "serve", "--root", "/tmp", "--listen", "127.0.0.1:0", "--keyspace", "127.0.0.1:0", "--set", "processes=per-layer", "--set", "edge.access_log=off",
                "--set", "keyspace.append_only=true", "--set", "keyspace.directory=\(folder.path)",
            ])
        #expect(other.status == 69 && other.errors.contains("cannot start"), "\(other.status) \(other.errors)")
    }
}
