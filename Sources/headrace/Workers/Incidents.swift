import Foundation
import Telemetry

/// What has happened to layers' own processes: lines in a file that the supervisor adds to, for the dashboard, whose own process may be the one that ended.
/// How far they have been read stands beside it.
final class Incidents: Sendable {
    private let path: String
    private let offset: Lock<UInt64>

    init(path: String) {
        self.path = path
        offset = Lock((try? String(contentsOfFile: path + ".read", encoding: .utf8)).flatMap { UInt64($0) } ?? 0)
    }

    /// Those that are new. Nothing when the file cannot be read.
    func next() -> [String] {
        guard let handle = FileHandle(forReadingAtPath: path) else { return [] }
        defer { try? handle.close() }
        return offset.withLock { offset in
            guard (try? handle.seek(toOffset: offset)) != nil, let data = try? handle.read(upToCount: 64 << 10) else { return [] }
            // What is not a whole line will be.
            let whole = data[...(data.lastIndex(of: UInt8(ascii: "\n")) ?? data.startIndex.advanced(by: -1))]
            guard !whole.isEmpty else { return [] }
            offset += UInt64(whole.count)
            try? String(offset).write(toFile: path + ".read", atomically: true, encoding: .utf8)
            return String(decoding: whole, as: UTF8.self).split(separator: "\n").map { String($0) }
        }
    }

    /// Adds one.
    static func add(_ text: String, to path: String) {
        if !FileManager.default.fileExists(atPath: path) { _ = FileManager.default.createFile(atPath: path, contents: nil) }
        guard let handle = FileHandle(forWritingAtPath: path) else { return }
        defer { try? handle.close() }
        _ = try? handle.seekToEnd()
        try? handle.write(contentsOf: Data((text.replacing("\n", with: " ") + "\n").utf8))
    }
}
