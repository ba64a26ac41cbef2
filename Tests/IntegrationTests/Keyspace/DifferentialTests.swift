import Foundation
import TestSupport
import Testing

/// The same random commands to Debian's Redis and to the keyspace; `differential.py` beside this file says how.
@Suite struct DifferentialTests {
    private static let script = HeadraceProcess.repository.appending(path: "Tests/IntegrationTests/Keyspace/differential.py")

    @Test(arguments: [1, 2, 3, 4])
    func `replies are those of Redis, byte for byte`(seed: Int) throws {
        guard Command.find("redis-server") != nil, Command.find("python3") != nil else {
            Issue.record("redis-server or python3 is not installed: run scripts/setup")
            return
        }
        let folder = FileManager.default.temporaryDirectory.appending(path: "keyspace-\(UUID().uuidString.prefix(8))")
        let (expectedFolder, actualFolder) = (folder.appending(path: "redis"), folder.appending(path: "headrace"))
        for folder in [expectedFolder, actualFolder] { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) }
        defer { try? FileManager.default.removeItem(at: folder) }
        let (expected, actual) = (folder.appending(path: "redis.sock").path, folder.appending(path: "headrace.sock").path)
        let redis = try Self.start("redis-server", [
            "--port", "0", "--enable-debug-command", "yes", "--unixsocket", expected, "--save", "", "--appendonly", "yes", "--appendfsync", "no",
            "--maxmemory", "256mb", "--dir", expectedFolder.path,
        ])
        defer { kill(redis.processIdentifier, SIGKILL) }
        let headrace = Program()
        headrace.executableURL = HeadraceProcess.binary
        let settings = [
            "policy=noeviction", "directory=\(actualFolder.path)", "append_only=true", "fsync=no", "save=",
        ]
        headrace.arguments = ["serve", "--keyspace", "unix:\(actual)"] + settings.flatMap { ["--set", "keyspace.\($0)"] }
        headrace.standardOutput = FileHandle.nullDevice
        headrace.standardError = FileHandle.nullDevice
        try headrace.start()
        defer { kill(headrace.processIdentifier, SIGKILL) }
        try #require(eventually { FileManager.default.fileExists(atPath: expected) && FileManager.default.fileExists(atPath: actual) })
        let result = try Command.run("python3", [Self.script.path, expected, actual, "\(seed)", "10000", "--saving"])
        #expect(result.status == 0, "\(result.text)\(result.errors)")
    }

    private static func start(_ name: String, _ arguments: [String]) throws -> Program {
        let process = Program()
        let program: URL = try #require(Command.find(name))
        process.executableURL = program
        process.arguments = arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.start()
        return process
    }
}
