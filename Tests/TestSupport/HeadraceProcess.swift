public import Foundation
import Synchronization

/// The release binary as users run it, in a process of its own.
public final class HeadraceProcess: Sendable {
    /// Why a process could not be used.
    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    private let process: Mutex<Program>
    private let errors = Mutex("")
    /// Where it listens: what it said on standard error.
    public let port: Int
    public let accessLog: URL

    /// The binary under test: `HEADRACE_BINARY`, or the release build of this checkout.
    public static let binary: URL = {
        if let path = ProcessInfo.processInfo.environment["HEADRACE_BINARY"] { return URL(filePath: path) }
        return repository.appending(path: ".build/release/headrace")
    }()

    public static let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Starts `headrace serve` on a free port of loopback and waits until it listens.
    /// - Parameters:
    ///   - arguments: after `serve --listen 127.0.0.1:0`.
    ///   - prefix: what it says before the address whose port is wanted.
    ///   - wrapper: a program that becomes it, with its arguments: `["/usr/bin/strace", "-D", …]`.
    public init(_ arguments: [String], saying prefix: String = "http://", by wrapper: [String] = []) throws {
        guard FileManager.default.isExecutableFile(atPath: Self.binary.path) else {
            throw Failure(description: "no binary at \(Self.binary.path): run `make build`, or set HEADRACE_BINARY")
        }
        accessLog = FileManager.default.temporaryDirectory.appending(path: "headrace-\(UUID().uuidString).log")
        try Data().write(to: accessLog)
        let process = Program()
        let words = wrapper + [Self.binary.path, "serve", "--listen", "127.0.0.1:0"] + arguments
        process.executableURL = URL(filePath: words[0])
        process.arguments = Array(words.dropFirst())
        process.standardOutput = try FileHandle(forWritingTo: accessLog)
        let pipe = Pipe()
        process.standardError = pipe
        process.standardInput = FileHandle.nullDevice
        try process.start()
        var text = ""
        var port: Int?
        while port == nil {
            let data = pipe.fileHandleForReading.availableData
            guard !data.isEmpty else {
                process.waitForEnd()
                throw Failure(description: "headrace ended with \(process.terminationStatus): \(text)")
            }
            text += String(decoding: data, as: UTF8.self)
            if let said = text.range(of: prefix + "127.0.0.1:") {
                let digits = text[said.upperBound...].prefix { $0.isNumber }
                // Without what follows them, the digits may not be all.
                if digits.endIndex != text.endIndex { port = Int(digits) }
            }
        }
        self.port = port ?? 0
        self.process = Mutex(process)
        errors.withLock { $0 = text }
        // A thread, and no `readabilityHandler`: the sources of libdispatch behind it fall over now and then when many pipes end at once
        // (_dispatch_event_loop_drain; swiftlang/swift-subprocess issue 47).
        Thread.detachNewThread { [weak self] in
            while true {
                let data = pipe.fileHandleForReading.availableData
                if data.isEmpty { return }
                self?.errors.withLock { $0 += String(decoding: data, as: UTF8.self) }
            }
        }
    }

    deinit {
        process.withLock { if $0.isRunning { kill($0.processIdentifier, SIGKILL) } }
        try? FileManager.default.removeItem(at: accessLog)
    }

    public var processIdentifier: Int32 { process.withLock { $0.processIdentifier } }
    public var isRunning: Bool { process.withLock { $0.isRunning } }
    /// What it said on standard error so far.
    public var errorOutput: String { errors.withLock { $0 } }

    /// Sends SIGTERM.
    public func terminate() {
        kill(processIdentifier, SIGTERM)
    }

    /// Waits for its end.
    /// - Returns: the exit status; `nil` if it still runs after the time.
    public func waitForExit(seconds: Double = 20) -> Int32? {
        let end = Date().addingTimeInterval(seconds)
        while Date() < end {
            if !isRunning { return process.withLock { $0.terminationStatus } }
            usleep(20_000)
        }
        return nil
    }

    /// The value of a series in the metrics, `name{label="value"}` as it is written there; 0 when there is none.
    public func metric(_ series: String) throws -> Double {
        let text = try RawClient.getOwnPage(port: port, "/metrics").text
        let line = text.split(separator: "\n").first { $0.hasPrefix(series + " ") }
        return line.flatMap { Double($0.dropFirst(series.count + 1)) } ?? 0
    }

    /// What it holds in memory now.
    public func residentBytes() throws -> Int {
        let text = try String(contentsOfFile: "/proc/\(processIdentifier)/statm", encoding: .utf8)
        return (Int(text.split(separator: " ").dropFirst().first ?? "") ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE)))
    }

    /// The access log's lines so far, once at least `count` are there; they are written in batches.
    public func logLines(atLeast count: Int, seconds: Double = 20) throws -> [[String: Any]] {
        let end = Date().addingTimeInterval(seconds)
        while true {
            let lines = try String(contentsOf: accessLog, encoding: .utf8).split(separator: "\n")
            if lines.count >= count || Date() > end {
                return try lines.map {
                    try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any] ?? [:]
                }
            }
            usleep(50_000)
        }
    }
}
