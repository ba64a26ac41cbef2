public import Foundation

/// A program of the system, run to its end.
public enum Command {
    public struct Result: Sendable {
        public let status: Int32
        public let output: Data
        public let errors: String

        public var text: String { String(decoding: output, as: UTF8.self) }
    }

    /// The program's path, if it is installed.
    public static func find(_ name: String) -> URL? {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        // Debian's Python has the modules that scripts/setup installs; another one in front of it, a version manager's, has not.
        let first = name == "python3" ? ["/usr/bin"] : []
        let folders = first + path.split(separator: ":").map(String.init) + ["/usr/bin", "/usr/sbin", "/bin"]
        return folders.map { URL(filePath: $0).appending(path: name) }
            .first { FileManager.default.isExecutableFile(atPath: $0.path) }
    }

    /// For programs that run it by themselves.
    public static let python = find("python3")?.path ?? "python3"

    /// Runs a program; its output is kept whole.
    public static func run(_ name: String, _ arguments: [String], input: Data? = nil) throws -> Result {
        guard let url = find(name) else {
            throw HeadraceProcess.Failure(description: "\(name) is not installed: run scripts/setup")
        }
        let folder = FileManager.default.temporaryDirectory.appending(path: "command-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let outputFile = folder.appending(path: "out")
        let errorFile = folder.appending(path: "err")
        let inputFile = folder.appending(path: "in")
        try Data().write(to: outputFile)
        try Data().write(to: errorFile)
        try (input ?? Data()).write(to: inputFile)
        let process = Program()
        process.executableURL = url
        process.arguments = arguments
        process.standardOutput = try FileHandle(forWritingTo: outputFile)
        process.standardError = try FileHandle(forWritingTo: errorFile)
        process.standardInput = try FileHandle(forReadingFrom: inputFile)
        try process.start()
        process.waitForEnd()
        return Result(
            status: process.terminationStatus, output: try Data(contentsOf: outputFile),
            errors: String(decoding: try Data(contentsOf: errorFile), as: UTF8.self))
    }
}
