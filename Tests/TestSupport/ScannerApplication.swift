import Foundation

/// The sample application, `Examples/scanner`, with a PostgreSQL of its own, as `headrace demo` starts it.
public final class ScannerApplication: Sendable {
    public static let isInstalled = Command.find("gunicorn") != nil && PostgresCluster.programs != nil
    public static let isMissing: String = "gunicorn or PostgreSQL is not installed: run scripts/setup"

    public let port: Int
    private let state: TemporaryFolder
    private let process: Program
    private let input = Pipe()

    /// One for all tests that do not count what is in it.
    public static let shared: Result<ScannerApplication, any Error> = Result { try ScannerApplication() }

    /// Makes the data anew, and waits until the application answers.
    public init(_ arguments: [String] = []) throws {
        state = try TemporaryFolder()
        process = Program()
        process.executableURL = HeadraceProcess.repository.appending(path: "Examples/scanner/run")
        // It ends with our end of the pipe, and so with us, however we end.
        process.arguments = ["--state", state.path, "--port", "0", "--until-eof"] + arguments
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.start()
        var text = ""
        var port: Int?
        while port == nil {
            let data = output.fileHandleForReading.availableData
            guard !data.isEmpty else {
                process.waitForEnd()
                throw HeadraceProcess.Failure(description: "the sample application ended with \(process.terminationStatus): \(text)")
            }
            text += String(decoding: data, as: UTF8.self)
            port = text.firstMatch(of: /ready http:\/\/127\.0\.0\.1:(\d+)\n/).flatMap { Int($0.1) }
        }
        self.port = port ?? 0
    }

    deinit { stop() }

    /// Ends it as its parent's end would, and waits.
    public func stop() {
        try? input.fileHandleForWriting.close()
        process.waitForEnd()
    }

    /// Of its database, for the superuser.
    public var databaseURL: String {
        get throws { try String(contentsOf: state.url.appending(path: "admin-url"), encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines) }
    }

    /// Asks its PostgreSQL as the superuser, on a connection that the database `scanner` does not count.
    /// - Returns: rows by lines, columns by `|`.
    public func query(_ sql: String, database: String = "postgres") throws -> String {
        let url = try databaseURL.replacing("/scanner?", with: "/\(database)?")
        let result = try Command.run("psql", ["-X", "-A", "-t", "-q", "-d", url, "-c", "SET timezone = 'UTC'", "-c", sql])
        guard result.status == 0 else { throw HeadraceProcess.Failure(description: "psql: \(result.errors)") }
        return result.text.trimmingCharacters(in: .newlines)
    }
}
