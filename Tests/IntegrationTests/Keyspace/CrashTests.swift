import Foundation
import Synchronization
import TestSupport
import Testing

/// What is left when the process is killed at any instant.
///
/// How it works:
/// 1. A keyspace with a directory serves one client, which raises counters, some of them in pairs within a transaction, in pipelines of 16,
///    and notes what was sent and what was acknowledged. Now and then it asks for a rewrite of the log, or for a snapshot.
/// 2. After a random time the process gets SIGKILL.
/// 3. It is started again in the same directory. Each counter must be at what was acknowledged, or beyond, but not beyond what was sent;
///    those of a pair must be equal. What was found is what the next round begins with.
/// The seed of a round is printed when it fails; times of the kill are the machine's.
@Suite(.serialized) struct CrashTests {
    private static let isLong = ProcessInfo.processInfo.environment["HEADRACE_LONG"] != nil
    private static let counterCount = 8
    private static let fillerCount = 5000

    /// Counters by name: `c:N` alone, `a:N` and `b:N` always together.
    private struct Model {
        var acknowledged: [String: Int64] = [:]
        var sent: [String: Int64] = [:]
        /// Acknowledgements with their times, for what may be a second behind.
        var history: [(time: Date, name: String, value: Int64)] = []

        mutating func found(_ name: String, _ value: Int64) {
            acknowledged[name] = value
            sent[name] = value
        }
    }

    private enum Kept { case log(String), snapshots }

    private func start(_ folder: TemporaryFolder, _ kept: Kept) throws -> HeadraceProcess {
        var arguments = ["--keyspace", "127.0.0.1:0", "--set", "keyspace.directory=\(folder.path)"]
        switch kept {
        case .log(let policy): arguments += ["--set", "keyspace.append_only=true", "--set", "keyspace.fsync=\(policy)"]
        case .snapshots: break
        }
        return try HeadraceProcess(arguments, saying: "keyspace: ")
    }

    /// Raises counters until the connection ends.
    private func write(_ port: Int, _ model: inout Model, _ random: inout SeededRandom, every jobs: [(count: Int, command: String)]) {
        guard let client = try? RedisClient(port: port) else { return }
        func words(_ text: String) -> [[UInt8]] { text.split(separator: " ").map { Array($0.utf8) } }
        var rounds = 0
        do {
            while true {
                rounds += 1
                for job in jobs where rounds % job.count == 0 {
                    // A snapshot shows at least what was acknowledged before it was asked for.
                    let before = model.acknowledged
                    let reply = try client.call(words(job.command))
                    if job.command == "SAVE", reply == .status("OK") { for (name, value) in before { model.history.append((.distantPast, name, value)) } }
                }
                var pipeline: [(names: [String], replies: Int)] = []
                for _ in 0..<16 {
                    let number = Int.random(in: 0..<Self.counterCount, using: &random)
                    if random.chance(oneIn: 3) {
                        for text in ["MULTI", "INCR a:\(number)", "INCR b:\(number)", "EXEC"] { try client.send(words(text)) }
                        pipeline.append((["a:\(number)", "b:\(number)"], 4))
                    } else {
                        try client.send(words("INCR c:\(number)"))
                        pipeline.append((["c:\(number)"], 1))
                    }
                    for name in pipeline.last?.names ?? [] { model.sent[name, default: 0] += 1 }
                }
                for (names, replies) in pipeline {
                    var reply = RedisClient.Reply.null
                    for _ in 0..<replies { reply = try client.reply() }
                    let values = reply.array ?? [reply]
                    for (name, value) in zip(names, values) {
                        guard let value = value.integer else { continue }
                        model.acknowledged[name] = value
                        model.history.append((Date(), name, value))
                    }
                }
            }
        } catch {}
    }

    private func check(_ port: Int, _ model: inout Model, floor: [String: Int64], _ what: String) throws {
        let client = try RedisClient(port: port)
        var values: [String: Int64] = [:]
        for name in ["a", "b", "c"].flatMap({ kind in (0..<Self.counterCount).map { "\(kind):\($0)" } }) {
            let value = try client.call("GET", name).text.flatMap { Int64($0) } ?? 0
            values[name] = value
            let (low, high) = (floor[name] ?? 0, model.sent[name] ?? 0)
            #expect(low <= value && value <= high, "\(what): \(name) is \(value), at least \(low) was kept and \(high) sent")
            model.found(name, value)
        }
        for number in 0..<Self.counterCount { #expect(values["a:\(number)"] == values["b:\(number)"], "\(what): half a transaction") }
        #expect(try client.call("EXISTS", "filler:0", "filler:\(Self.fillerCount - 1)") == .integer(2), "\(what): the first keys are gone")
    }

    private func fill(_ port: Int) throws {
        let client = try RedisClient(port: port)
        let value = [UInt8](repeating: 0x78, count: 100)
        for number in 0..<Self.fillerCount { try client.send([Array("SET".utf8), Array("filler:\(number)".utf8), value]) }
        for _ in 0..<Self.fillerCount { #expect(try client.reply() == .status("OK")) }
        #expect(try client.call("SAVE") == .status("OK"))
    }

    private func killAgainAndAgain(
        _ kept: Kept, rounds: Int, milliseconds: ClosedRange<Int>, jobs: [(count: Int, command: String)],
        floor: (Model, _ killed: Date) -> [String: Int64]
    ) throws {
        let folder = try TemporaryFolder()
        var headrace = try start(folder, kept)
        try fill(headrace.port)
        var model = Model()
        for round in 0..<rounds {
            var random = SeededRandom(seed: UInt64(round))
            let process = headrace
            let killed = Mutex(Date.distantFuture)
            let delay = Double(Int.random(in: milliseconds, using: &random)) + Double.random(in: 0..<1, using: &random)
            Thread.detachNewThread {
                Thread.sleep(forTimeInterval: delay / 1000)
                killed.withLock { $0 = Date() }
                kill(process.processIdentifier, SIGKILL)
            }
            write(headrace.port, &model, &random, every: round % 2 == 0 ? jobs : [])
            #expect(headrace.waitForExit() != nil)
            headrace = try start(folder, kept)
            try check(headrace.port, &model, floor: floor(model, killed.withLock { $0 }), "round \(round)")
            // What was found is on disk; a snapshot, though, is what the last SAVE left.
            model.history = model.acknowledged.map { (.distantPast, $0.key, $0.value) }
        }
        #expect(model.acknowledged.values.reduce(0, +) > Int64(rounds), "hardly anything was written")
    }

    @Test func `nothing acknowledged is lost under always, also while the log is rewritten`() throws {
        try killAgainAndAgain(
            .log("always"), rounds: Self.isLong ? 300 : 24, milliseconds: 1...120, jobs: [(4, "BGREWRITEAOF"), (9, "BGSAVE")]
        ) { model, _ in model.acknowledged }
    }

    @Test func `at most the last second is lost under everysec`() throws {
        try killAgainAndAgain(
            .log("everysec"), rounds: Self.isLong ? 40 : 2, milliseconds: 1100...1800, jobs: [(50, "BGREWRITEAOF")]
        ) { model, killed in
            model.history.filter { $0.time < killed.addingTimeInterval(-1) }.reduce(into: [:]) { $0[$1.name] = max($0[$1.name] ?? 0, $1.value) }
        }
    }

    @Test func `the last whole snapshot is there`() throws {
        try killAgainAndAgain(.snapshots, rounds: Self.isLong ? 150 : 12, milliseconds: 1...150, jobs: [(3, "SAVE"), (7, "BGSAVE")]) { model, _ in
            model.history.filter { $0.time == .distantPast }.reduce(into: [:]) { $0[$1.name] = max($0[$1.name] ?? 0, $1.value) }
        }
    }

    // MARK: Files that are not whole

    private func words(_ words: String...) -> [UInt8] {
        Array("*\(words.count)\r\n".utf8) + words.flatMap { Array("$\($0.utf8.count)\r\n\($0)\r\n".utf8) }
    }

    private func folder(log bytes: [UInt8]) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        let log = folder.url.appending(path: "appendonlydir")
        try FileManager.default.createDirectory(at: log, withIntermediateDirectories: true)
        try Data(bytes).write(to: log.appending(path: "appendonly.aof.1.incr.aof"))
        try Data("file appendonly.aof.1.incr.aof seq 1 type i\n".utf8).write(to: log.appending(path: "appendonly.aof.manifest"))
        return folder
    }

    @Test func `a torn tail is cut off with a warning, or refused where that is asked for`() throws {
        let whole = words("SELECT", "0") + words("SET", "k", "v")
        let folder = try folder(log: whole + words("SET", "torn", "off").dropLast(4))
        let setting = ["--keyspace", "127.0.0.1:0", "--set", "keyspace.directory=\(folder.path)", "--set", "keyspace.append_only=true"]
        #expect {
            try HeadraceProcess(setting + ["--set", "keyspace.cut_torn_log=false"], saying: "keyspace: ")
        } throws: { "\($0)".contains("ends within the command at byte \(whole.count)") }
        let headrace = try HeadraceProcess(setting, saying: "keyspace: ")
        #expect(eventually { headrace.errorOutput.contains("were cut off") })
        let client = try RedisClient(port: headrace.port)
        #expect(try client.call("GET", "k").text == "v")
        #expect(try client.call("EXISTS", "torn") == .integer(0))
    }

    @Test func `a damaged middle is refused with its offset, and stays as it is`() throws {
        let first = words("SELECT", "0") + words("SET", "k", "v")
        var bytes = first + words("SET", "k", "w") + words("SET", "k", "x")
        bytes[first.count] = UInt8(ascii: "!")
        let folder = try folder(log: bytes)
        #expect {
            try HeadraceProcess(
                ["--keyspace", "127.0.0.1:0", "--set", "keyspace.directory=\(folder.path)", "--set", "keyspace.append_only=true"],
                saying: "keyspace: ")
        } throws: { "\($0)".contains("at byte \(first.count)") }
        #expect(try Data(contentsOf: folder.url.appending(path: "appendonlydir/appendonly.aof.1.incr.aof")) == Data(bytes))
    }

    @Test func `SHUTDOWN saves, or not, as it is told, and ends the process in order`() throws {
        let folder = try TemporaryFolder()
        let expected = ["SAVE": "SAVE", "NOSAVE": "SAVE", "": ""]
        for how in ["SAVE", "NOSAVE", ""] {
            let headrace = try start(folder, .snapshots)
            let client = try RedisClient(port: headrace.port)
            #expect(try client.call("SHUTDOWN", "NOW", "LATER") == .error("ERR syntax error"))
            #expect(try client.call("SHUTDOWN", "SAVE", "NOSAVE") == .error("ERR syntax error"))
            #expect(try client.call("SHUTDOWN", "ABORT") == .error("ERR No shutdown in progress."))
            #expect(try client.call("SET", "k", how) == .status("OK"))
            try client.send(["SHUTDOWN", how].filter { !$0.isEmpty }.map { Array($0.utf8) })
            #expect(throws: (any Error).self, "the connection ends without an answer") { try client.reply() }
            #expect(headrace.waitForExit() == 0, "\(how): \(headrace.errorOutput)")
            let next = try start(folder, .snapshots)
            #expect(try RedisClient(port: next.port).call("GET", "k").text == expected[how], "\(how)")
            kill(next.processIdentifier, SIGKILL)
            #expect(next.waitForExit() != nil)
        }
        let bare = try HeadraceProcess(["--keyspace", "127.0.0.1:0"], saying: "keyspace: ")
        let client = try RedisClient(port: bare.port)
        guard case .error(let missing) = try client.call("SHUTDOWN", "SAVE") else {
            Issue.record("there is no directory to save to")
            return
        }
        #expect(missing.contains("no directory") && bare.isRunning)
        try client.send([Array("SHUTDOWN".utf8)])
        #expect(bare.waitForExit() == 0)
        let both = try HeadraceProcess(["--keyspace", "127.0.0.1:0", "--app", "http://127.0.0.1:1"], saying: "keyspace: ")
        guard case .error(let refusal) = try RedisClient(port: both.port).call("SHUTDOWN") else {
            Issue.record("a client of the keyspace has ended the edge")
            return
        }
        #expect(refusal.contains("serves more than the keyspace") && both.isRunning)
    }

    @Test func `one process at a time has a directory`() throws {
        let folder = try TemporaryFolder()
        let first = try start(folder, .snapshots)
        #expect { try start(folder, .snapshots) } throws: { "\($0)".contains("is used by another process") }
        #expect(first.isRunning)
    }

    // MARK: Turned on, turned off

    @Test func `a log that is turned on begins with what the snapshot has`() throws {
        let folder = try TemporaryFolder()
        do {
            let headrace = try start(folder, .snapshots)
            #expect(try RedisClient(port: headrace.port).call("SET", "k", "from the snapshot") == .status("OK"))
            headrace.terminate()
            #expect(headrace.waitForExit() == 0, "the last snapshot is written at the end: \(headrace.errorOutput)")
        }
        for value in ["from the snapshot", "from the log"] {
            let headrace = try start(folder, .log("always"))
            let client = try RedisClient(port: headrace.port)
            #expect(try client.call("GET", "k").text == value)
            #expect(try client.call("SET", "k", "from the log") == .status("OK"))
            kill(headrace.processIdentifier, SIGKILL)
            #expect(headrace.waitForExit() != nil)
        }
    }

    @Test func `the settings are there under Redis' names`() throws {
        let folder = try TemporaryFolder()
        let headrace = try HeadraceProcess(
            [
                "--keyspace", "127.0.0.1:0", "--set", "keyspace.directory=\(folder.path)", "--set", "keyspace.append_only=true", "--set",
                "keyspace.save=1h 1", "--set", "keyspace.fsync=always", "--set", "keyspace.rewrite.size=1MB",
            ], saying: "keyspace: ")
        let client = try RedisClient(port: headrace.port)
        func setting(_ name: String) throws -> String? { try client.call("CONFIG", "GET", name).array?.last?.text }
        #expect(try setting("save") == "3600 1" && setting("appendonly") == "yes" && setting("appendfsync") == "always")
        #expect(try setting("dir") == folder.path && setting("auto-aof-rewrite-min-size") == "1048576")
        #expect(try client.call("CONFIG", "SET", "save", "1 1", "appendfsync", "everysec") == .status("OK"))
        #expect(try client.call("CONFIG", "SET", "save", "1 x") != .status("OK") && setting("save") == "1 1")
        #expect(try client.call("SET", "k", "v") == .status("OK"))
        #expect(eventually(seconds: 10) { FileManager.default.fileExists(atPath: folder.url.appending(path: "dump.rdb").path) }, "the save point")
        // The log is rewritten by itself: the same key over and over leaves a small one.
        let value = [UInt8](repeating: 0x79, count: 100_000)
        for _ in 0..<40 { #expect(try client.call([Array("SET".utf8), Array("k".utf8), value]) == .status("OK")) }
        #expect(
            try eventually(seconds: 10) {
                let size = try client.call("INFO", "persistence").text?.firstMatch(of: /aof_current_size:(\d+)/).flatMap { Int($0.1) }
                return size ?? .max < 1 << 20
            })
    }

    // MARK: A disk that is full

    /// Files of the process may not be longer than this from now on; `nil` for what the disk takes.
    private func limitFiles(of headrace: HeadraceProcess, to bytes: Int?) throws {
        let limit = bytes.map(String.init) ?? "unlimited"
        let result = try Command.run("prlimit", ["--pid", "\(headrace.processIdentifier)", "--fsize=\(limit):unlimited"])
        try #require(result.status == 0, "\(result.errors)")
    }

    @Test(.enabled(if: Command.find("prlimit") != nil, "prlimit is not installed"))
    func `with a full disk, always refuses writes, reads go on, and writes come back with the space`() throws {
        let folder = try TemporaryFolder()
        let headrace = try start(folder, .log("always"))
        try limitFiles(of: headrace, to: 100_000)
        let value = String(repeating: "v", count: 1000)
        var acknowledged = 0
        var refusal = ""
        // The command that finds the disk full is answered to nobody: its connection is closed, and a new one says why.
        for _ in 0..<3 where refusal.isEmpty {
            guard let client = try? RedisClient(port: headrace.port) else { continue }
            while acknowledged < 1000, let reply = try? client.call("SET", "k:\(acknowledged)", value) {
                if case .error(let text) = reply {
                    refusal = text
                    break
                }
                acknowledged += 1
            }
        }
        #expect(refusal.hasPrefix("MISCONF"), "\(refusal) after \(acknowledged)")
        #expect(acknowledged > 50 && acknowledged < 100)
        let client = try RedisClient(port: headrace.port)
        #expect(try client.call("GET", "k:0").text == value, "reads go on")
        #expect(eventually { headrace.errorOutput.contains("the append log is not written") })
        try limitFiles(of: headrace, to: nil)
        #expect(try eventually(seconds: 10) { try client.call("SET", "after", "v") == .status("OK") })
        kill(headrace.processIdentifier, SIGKILL)
        #expect(headrace.waitForExit() != nil)
        let second = try start(folder, .log("always"))
        let reader = try RedisClient(port: second.port)
        for number in 0..<acknowledged { #expect(try reader.call("EXISTS", "k:\(number)") == .integer(1)) }
        #expect(try reader.call("GET", "after").text == "v")
    }

    @Test(.enabled(if: Command.find("prlimit") != nil, "prlimit is not installed"))
    func `with a full disk, a cache goes on in memory, says so, and writes what waits once there is space`() throws {
        let folder = try TemporaryFolder()
        let headrace = try start(folder, .log("everysec"))
        try limitFiles(of: headrace, to: 20_000)
        let client = try RedisClient(port: headrace.port)
        var random = SeededRandom(seed: 1)
        // Of letters that do not compress: the snapshot, too, is larger than its file may be.
        for number in 0..<100 {
            let value = String((0..<1000).map { _ in Character(UnicodeScalar(UInt8.random(in: 33...126, using: &random))) })
            #expect(try client.call("SET", "k:\(number)", value) == .status("OK"))
        }
        #expect(eventually { headrace.errorOutput.contains("the append log is not written") })
        #expect(try client.call("INFO", "persistence").text?.contains("aof_last_write_status:err") == true)
        #expect(try client.call("SAVE") == .error("ERR the snapshot could not be written"))
        #expect(eventually { headrace.errorOutput.contains("the snapshot was not written") })
        try limitFiles(of: headrace, to: nil)
        #expect(eventually(seconds: 10) { headrace.errorOutput.contains("the append log is written again") })
        kill(headrace.processIdentifier, SIGKILL)
        #expect(headrace.waitForExit() != nil)
        let second = try start(folder, .log("everysec"))
        #expect(try RedisClient(port: second.port).call("DBSIZE") == .integer(100))
    }
}
