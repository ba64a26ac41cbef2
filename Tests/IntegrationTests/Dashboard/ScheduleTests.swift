import Foundation
import Synchronization
import TestSupport
import Testing

/// A scheduled measurement from the configuration to the page.
@Suite struct ScheduleIntegrationTests {
    @Test func `a test that is due runs beside the edge, is kept, and is on the page`() throws {
        let folder = try TemporaryFolder()
        let origin = try DashboardIntegrationTests.application()
        let settings = [
            "schedule.load=* * * * *", "schedule.jitter=0s", "schedule.levels=2,3", "schedule.level_time=1s", "schedule.abort_time=10m",
            "schedule.abort_errors=100%", "dashboard.state=\(folder.path)",
        ]
        let edge = try HeadraceProcess(["--app", origin.url] + settings.flatMap { ["--set", $0] })
        func schedule() throws -> [String: Any] {
            let document = try DashboardIntegrationTests.document(edge)
            return try #require((document["schedule"] as? [[String: Any]])?.first)
        }
        // Known as soon as the edge listens; due within a minute.
        #expect(try eventually(seconds: 60) { try (DashboardIntegrationTests.document(edge)["schedule"] as? [Any])?.isEmpty == false })
        let next = try #require(try schedule()["next_at"] as? Int)
        #expect(next % 60 == 0 && Double(next) - Date().timeIntervalSince1970 < 61)
        #expect(try eventually(seconds: 300) { try schedule()["last"] is [String: Any] })
        let last = try #require(try schedule()["last"] as? [String: Any])
        // A slow machine's generator may say of itself that it was the limit; the run is a run.
        let words = last["words"] as? String ?? ""
        #expect(last["ending"] as? String == "finished" || words.contains("generator"), "\(last)")
        let log = try #require(last["log"] as? [String])
        #expect(log.contains { $0.contains("2 users for") } && log.contains { $0.contains("kept as run 1") }, "\(log)")
        // The history is read when its file has changed.
        #expect(try eventually(seconds: 60) { try (DashboardIntegrationTests.document(edge)["benches"] as? [Any])?.isEmpty == false })
        let run = try #require((try DashboardIntegrationTests.document(edge)["benches"] as? [[String: Any]])?.first)
        #expect((run["levels"] as? [[String: Any]])?.compactMap { $0["users"] as? Int } == [2, 3])
        if let browser = DashboardBrowserTests.browser {
            // What it said at its end is on the page.
            let result = try Command.run("python3", [DashboardBrowserTests.driver.path, browser, "http://127.0.0.1:\(edge.port)/performance", "--events", "1"])
            let seen = try #require(try JSONSerialization.jsonObject(with: result.output) as? [String: Any], "\(result.errors)")
            let row = try #require((seen["rows"] as? [String: [[String]]])?["schedule"]?.first)
            #expect(row.first == "load" && row.last?.contains("kept as run 1") == true && !row[2].isEmpty && row[3].hasSuffix(" ago"), "\(row)")
        }
        let kept = try Command.run("env", [HeadraceProcess.binary.path, "report", "1", "--json", "--history", "\(folder.path)/history.sqlite"])
        #expect(kept.text.contains("\"load_average\""), "\(kept.text.prefix(500)) \(kept.errors)")
        let status = try Command.run("env", [HeadraceProcess.binary.path, "serve", "--app", origin.url, "--listen", "127.0.0.1:0", "--set", "schedule.load=61 * * * *"])
        #expect(status.status != 0 && status.errors.contains("\"61\" is no minute"))
    }

    private static func last(_ edge: HeadraceProcess) throws -> [String: Any]? {
        ((try DashboardIntegrationTests.document(edge)["schedule"] as? [[String: Any]])?.first)?["last"] as? [String: Any]
    }

    @Test(.enabled(if: RedisPeer.isInstalled, "\(RedisPeer.isMissing)"))
    func `of two instances that share a Redis one measures at a time, and the lock is given back`() throws {
        // On an address that nobody else takes ports of.
        let (host, port) = ("127.7.10.1", 20_000 + Int(getpid()) % 30_000)
        let redis = try RedisPeer(["--bind", host, "--port", "\(port)", "--requirepass", "secret"], password: "secret")
        let client = try redis.client()
        #expect(try client.call("AUTH", "secret") == .status("OK"))
        let secret = try TemporaryFile("secret\n")
        let origin = try DashboardIntegrationTests.application()
        let settings = [
            "schedule.load=* * * * *", "schedule.jitter=0s", "schedule.levels=2", "schedule.level_time=20s", "schedule.abort_time=10m", "schedule.abort_errors=100%",
            "schedule.lock=redis://\(host):\(port)", "schedule.lock_password=file:\(secret.path)",
        ]
        let folders = [try TemporaryFolder(), try TemporaryFolder()]
        let edges = try folders.map { folder in
            try HeadraceProcess(["--app", origin.url] + (settings + ["dashboard.state=\(folder.path)"]).flatMap { ["--set", $0] })
        }
        // Due at the same full minute: one begins, and the other finds who has begun.
        func ending(_ edge: HeadraceProcess) throws -> String? { try Self.last(edge)?["ending"] as? String }
        #expect(try eventually(seconds: 200) { try edges.contains { try ending($0) == "skipped" } })
        let skipped = try #require(try edges.first { try ending($0) == "skipped" })
        let other = try #require(edges.first { $0 !== skipped })
        let words = try Self.last(skipped)?["words"] as? String ?? ""
        #expect(words.contains("another instance measures: ") && words.contains("process \(other.processIdentifier)"), "\(words)")
        let holder = try client.call("GET", "headrace:schedule").text
        #expect(holder?.contains("process \(other.processIdentifier) ") == true, "\(holder ?? "nobody")")
        let left = try #require(try client.call("PTTL", "headrace:schedule").integer)
        #expect(left > 0 && left <= 30_000)
        // It lasts 20 seconds and more: without renewal it would be at ten seconds by then, and at nothing soon.
        #expect(try eventually(seconds: 120) { try ending(other) != nil })
        // Both stop before the next minute takes it again.
        for edge in edges { edge.terminate() }
        for edge in edges { #expect(edge.waitForExit(seconds: 120) == 0) }
        #expect(try client.call("EXISTS", "headrace:schedule") == .integer(0), "given back, not run out")
    }

    /// Processes whose command line has a word that nobody else's has.
    private static func processes(with word: String) -> [Int32] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { Int32($0) }.filter { number in
            guard let line = FileManager.default.contents(atPath: "/proc/\(number)/cmdline") else { return false }
            return String(decoding: line, as: UTF8.self).contains(word)
        }
    }

    @Test func `a measurement gives way to what serves, ends when live traffic suffers, and with the process that started it, even if that is killed`() throws {
        let folders = [try TemporaryFolder(), try TemporaryFolder()]
        let folder = folders[0]
        let isFailing = Mutex(false)
        let origin = try ScriptedOrigin { _ in
            [.send(ScriptedOrigin.response(status: isFailing.withLock { $0 } ? "500 Internal Server Error" : "200 OK", body: "x"))]
        }
        let settings = [
            "schedule.load=* * * * *", "schedule.jitter=0s", "schedule.levels=2", "schedule.level_time=10m", "schedule.abort_time=10m",
            "schedule.time_limit=30m", "schedule.cpu_limit=7m",
        ]
        // Two of them side by side, of which one minds that requests fail.
        let edges = try zip(folders, ["100%", "50%"]).map { folder, errors in
            try HeadraceProcess(
                ["--app", origin.url] + (settings + ["dashboard.state=\(folder.path)", "schedule.abort_errors=\(errors)"]).flatMap { ["--set", $0] })
        }
        let edge = edges[0]
        let word = "\(folder.path)/history.sqlite"
        // The shell in front of it, and itself, which measures by then.
        #expect(eventually(seconds: 200) { Self.processes(with: word).count > 1 })
        let log = "\(folder.path)/schedule-load.log"
        #expect(eventually(seconds: 120) { (try? String(contentsOfFile: log, encoding: .utf8))?.contains("2 users for") == true })
        // It gives way to what serves, and the kernel keeps its budget.
        for number in Self.processes(with: word) {
            let limits = (try? String(contentsOfFile: "/proc/\(number)/limits", encoding: .utf8)) ?? ""
            #expect(limits.contains(/Max cpu time\s+420\s/), "\(limits)")
            #expect(getpriority(__priority_which_t(PRIO_PROCESS.rawValue), id_t(number)) >= 15)
        }
        let other = "\(folders[1].path)/schedule-load.log"
        #expect(eventually(seconds: 120) { (try? String(contentsOfFile: other, encoding: .utf8))?.contains("2 users for") == true })
        isFailing.withLock { $0 = true }
        #expect(try eventually(seconds: 120) { try Self.last(edges[1]) != nil })
        let last = try #require(try Self.last(edges[1]))
        #expect(last["ending"] as? String == "aborted" && (last["words"] as? String)?.hasPrefix("live traffic suffered: ") == true, "\(last)")
        #expect(eventually(seconds: 60) { Self.processes(with: "\(folders[1].path)/history.sqlite").isEmpty })
        #expect(Self.processes(with: word).count > 1, "the other one does not mind")
        kill(edge.processIdentifier, SIGKILL)
        _ = edge.waitForExit()
        #expect(eventually(seconds: 60) { Self.processes(with: word).isEmpty }, "\(Self.processes(with: word))")
    }

    @Test(.enabled(if: RedisPeer.isInstalled, "\(RedisPeer.isMissing)"))
    func `while nobody can say whether another instance measures, none begins`() throws {
        let origin = try DashboardIntegrationTests.application()
        let folder = try TemporaryFolder()
        let settings = ["schedule.load=* * * * *", "schedule.jitter=0s", "schedule.lock=redis://127.7.10.2:1", "dashboard.state=\(folder.path)", "schedule.abort_time=10m"]
        let edge = try HeadraceProcess(["--app", origin.url] + settings.flatMap { ["--set", $0] })
        #expect(try eventually(seconds: 200) { try Self.last(edge) != nil })
        let last = try #require(try Self.last(edge))
        #expect(last["ending"] as? String == "skipped" && (last["words"] as? String)?.contains("Connection refused") == true, "\(last)")
        let inAddress = try Command.run(
            "env", [HeadraceProcess.binary.path, "serve", "--app", origin.url, "--listen", "127.0.0.1:0", "--set", "schedule.lock=redis://:secret@127.0.0.1:1"])
        #expect(inAddress.status != 0 && inAddress.errors.contains("schedule.lock_password") && !inAddress.errors.contains(":secret@"))
    }
}
