import Foundation
import TestSupport
import Testing

/// The demo ends everything that it started, however it is ended; that it measures is what `.ci/run` sees to.
@Suite(.serialized, .enabled(if: Command.find("gunicorn") != nil, "gunicorn is not installed: run scripts/setup"))
struct DemoTests {
    /// Processes whose command line has this word in it.
    private func processes(with word: String) throws -> [Int32] {
        try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap(Int32.init).filter { number in
            guard let data = FileManager.default.contents(atPath: "/proc/\(number)/cmdline") else { return false }
            return String(decoding: data, as: UTF8.self).contains(word)
        }
    }

    private func waitUntil(seconds: Double, _ isDone: () throws -> Bool) rethrows -> Bool {
        let end = Date().addingTimeInterval(seconds)
        while Date() < end {
            if try isDone() { return true }
            usleep(100_000)
        }
        return false
    }

    @Test(arguments: [SIGINT, SIGKILL])
    func `ends its children when it is ended`(signal: Int32) throws {
        let state = FileManager.default.temporaryDirectory.appending(path: "headrace-demo-test-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: state) }
        let process = Process()
        process.executableURL = HeadraceProcess.binary
        process.arguments = ["demo", "--listen", "127.0.0.1:0", "--rounds", "1", "--duration", "30s", "--state", state.path]
        process.currentDirectoryURL = HeadraceProcess.repository
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        let word = state.lastPathComponent
        let isUp = try waitUntil(seconds: 120) {
            // The edge, the application's runner, and a load generator that runs for 30 s.
            try process.isRunning && processes(with: word).count >= 3
                && FileManager.default.fileExists(atPath: state.appending(path: "bench.out").path)
        }
        #expect(isUp, "the demo came up")
        kill(process.processIdentifier, signal)
        process.waitUntilExit()
        _ = try waitUntil(seconds: 40) { try processes(with: word).isEmpty }
        let leftOver = try processes(with: word)
        #expect(leftOver.isEmpty)
    }
}
