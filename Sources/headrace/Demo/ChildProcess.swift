import Foundation
import Synchronization

/// A program that the demo runs: its output goes to files, and it ends with us, even if we are killed, when it heeds the end of
/// its standard input.
final class ChildProcess: Sendable {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// The program that runs.
    static let ownBinary = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()

    let name: String
    private let process: Mutex<Process>
    private let input = Pipe()
    private let outputFile: URL
    private let errorFile: URL

    /// - Parameter folder: Where `NAME.out` and `NAME.err` are written.
    init(_ name: String, _ executable: URL, _ arguments: [String], folder: URL) throws {
        self.name = name
        outputFile = folder.appending(path: "\(name).out")
        errorFile = folder.appending(path: "\(name).err")
        for file in [outputFile, errorFile] { try Data().write(to: file) }
        let process = Process()
        process.executableURL = executable
        process.arguments = arguments
        process.standardInput = input
        process.standardOutput = try FileHandle(forWritingTo: outputFile)
        process.standardError = try FileHandle(forWritingTo: errorFile)
        do {
            try process.run()
        } catch {
            throw Failure(description: "\(executable.path) cannot be run: \(error.localizedDescription)")
        }
        self.process = Mutex(process)
    }

    var processIdentifier: Int32 { process.withLock { $0.processIdentifier } }
    var isRunning: Bool { process.withLock { $0.isRunning } }
    var output: String { (try? String(contentsOf: outputFile, encoding: .utf8)) ?? "" }
    var errors: String { (try? String(contentsOf: errorFile, encoding: .utf8)) ?? "" }

    /// Where a `headrace serve` said that a product listens: `http://HOST:PORT` of the edge, `HOST:PORT` of the others.
    /// - Parameter product: `edge`, `pooler` or `keyspace`, the first word of that line.
    func listeningAddress(of product: String) -> String? {
        let text = errors
        // Without the end of its line, an address may not be whole.
        let lines = text[..<(text.lastIndex(of: "\n") ?? text.startIndex)].split(separator: "\n")
        return lines.first { $0.hasPrefix("\(product): ") }?.dropFirst(product.count + 2).prefix { $0 != " " }.description
    }

    /// Waits until something shows: a line of output, the program's readiness.
    /// - Throws: `Failure` when the program ends before, or after the time.
    func wait<Value>(seconds: Double, for what: String, _ look: (ChildProcess) -> Value?) async throws -> Value {
        let end = ContinuousClock.now + .seconds(seconds)
        while true {
            if let value = look(self) { return value }
            guard isRunning else {
                throw Failure(description: "\(name) ended before \(what):\n\(errors.suffix(2000))")
            }
            guard ContinuousClock.now < end else {
                throw Failure(description: "\(name): no \(what) within \(Int(seconds)) s:\n\(errors.suffix(2000))")
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// Waits for the program's end.
    /// - Returns: its exit status.
    func waitForExit(seconds: Double) async throws -> Int32 {
        let end = ContinuousClock.now + .seconds(seconds)
        while isRunning {
            guard ContinuousClock.now < end else { throw Failure(description: "\(name) has not ended within \(Int(seconds)) s") }
            try await Task.sleep(for: .milliseconds(20))
        }
        return process.withLock { $0.terminationStatus }
    }

    /// Asks the program to end, and kills it if it has not after the time. Not cancelled by a cancelled task: it is what a
    /// cancelled demo does last.
    func stop(seconds: Double = 20) {
        try? input.fileHandleForWriting.close()
        guard isRunning else { return }
        process.withLock { $0.terminate() }
        let end = ContinuousClock.now + .seconds(seconds)
        while isRunning, ContinuousClock.now < end { usleep(20_000) }
        process.withLock { if $0.isRunning { kill($0.processIdentifier, SIGKILL) } }
    }
}
