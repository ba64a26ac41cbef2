import Foundation
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
        let kept = try Command.run("env", [HeadraceProcess.binary.path, "report", "1", "--json", "--history", "\(folder.path)/history.sqlite"])
        #expect(kept.text.contains("\"load_average\""), "\(kept.text.prefix(500)) \(kept.errors)")
        let status = try Command.run("env", [HeadraceProcess.binary.path, "serve", "--app", origin.url, "--listen", "127.0.0.1:0", "--set", "schedule.load=61 * * * *"])
        #expect(status.status != 0 && status.errors.contains("\"61\" is no minute"))
    }
}
