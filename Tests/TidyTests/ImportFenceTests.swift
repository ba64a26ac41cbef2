import Foundation
import Testing

/// The fence around the rooms: which target may import which, and which files may know sockets and threads.
///
/// SwiftPM stops undeclared imports between targets, but not transitive ones and nothing inside a target; this reads the
/// import lines and holds them to the table of ARCHITECTURE.md.
@Suite struct ImportFenceTests {
    /// Our targets and packages that each target may import. Foundation and the C library are dealt with below.
    private static let allowed: [String: Set<String>] = [
        "Telemetry": ["Synchronization"],
        "Eviction": [],
        "HTTPSemantics": [],
        "HTTP1Wire": ["HTTPSemantics", "NIOCore"],
        "HTTP2Wire": ["HTTPSemantics", "HTTP1Wire", "NIOCore"],
        "PostgresWire": ["NIOCore", "Crypto", "CryptoExtras", "SwiftASN1", "Foundation"],
        "RESPWire": [],
        "History": ["GRDB", "Foundation"],
        "Transport": ["Telemetry", "CEpoll", "Dispatch", "NIOCore", "NIOPosix", "NIOSSL", "NIOTLS", "Logging", "Synchronization"],
        "Edge": [
            "HTTPSemantics", "HTTP1Wire", "HTTP2Wire", "RESPWire", "Eviction", "Transport", "Telemetry", "CCodecs", "CCrypt", "CFiles", "CResolver", "Crypto", "NIOCore",
            "NIOPosix", "Logging", "Synchronization",
        ],
        "Pooler": ["PostgresWire", "Transport", "Telemetry", "NIOCore", "NIOPosix", "NIOTLS", "Logging", "Synchronization"],
        "Keyspace": [
            "RESPWire", "Eviction", "Transport", "Telemetry", "CFiles", "CLua", "CProcessor", "Dispatch", "NIOCore", "NIOPosix", "Logging", "Synchronization", "Crypto",
        ],
        "LoadGenerator": ["CEpoll", "HTTPSemantics", "HTTP1Wire", "HTTP2Wire", "Crypto", "PostgresWire", "RESPWire", "Transport", "Telemetry", "NIOCore", "NIOPosix", "Synchronization"],
        "Dashboard": ["History", "Telemetry"],
        "HeadraceCache": ["RESPWire", "NIOCore", "NIOPosix", "Synchronization", "Foundation"],
        "headrace": [
            "Edge", "Pooler", "Keyspace", "LoadGenerator", "Dashboard", "History", "HTTP1Wire", "HTTPSemantics", "PostgresWire", "RESPWire", "Transport",
            "Telemetry", "CCodecs", "CProcess", "NIOCore", "NIOPosix", "Logging",
            "ArgumentParser", "Yams", "ServiceLifecycle", "UnixSignals", "Foundation", "Synchronization", "Crypto", "SwiftASN1", "X509",
        ],
    ]
    private static let cLibraries: Set<String> = ["Glibc", "Musl"]
    private static let floorsWithoutC: Set<String> = ["Eviction", "HTTPSemantics"]

    private static let sources = SourceTree.root.appending(path: "Sources")

    @Test(arguments: try SourceTree.swiftFiles(under: Self.sources))
    func `a file imports what its target's row allows`(file: SourceFile) throws {
        let row = try #require(Self.allowed[file.target], "target \(file.target) has no row in this test")
        for module in file.imports {
            let isAllowed =
                row.contains(module) || (Self.cLibraries.contains(module) && !Self.floorsWithoutC.contains(file.target))
            #expect(isAllowed, "\(file.path) imports \(module)")
        }
    }

    @Test(arguments: try SourceTree.swiftFiles(under: Self.sources))
    func `only rooms of I-O know channels and event loops`(file: SourceFile) {
        guard ["Edge", "Pooler", "Keyspace", "LoadGenerator"].contains(file.target) else { return }
        let isRoomOfIO = file.path.contains("/IO/") || file.path.hasSuffix("Server.swift")
        guard !isRoomOfIO else { return }
        for word in ["ChannelHandlerContext", "any Channel", "any EventLoop", "EventLoopFuture", "Task {", "import NIOPosix"] {
            #expect(!file.code.contains(word), "\(file.path) knows \(word)")
        }
    }

    @Test(arguments: try SourceTree.swiftFiles(under: Self.sources))
    func `a file is named after what it holds`(file: SourceFile) {
        let name = file.url.deletingPathExtension().lastPathComponent
        #expect(!["Utils", "Helpers", "Types", "Extensions", "Constants", "Misc", "Placeholder"].contains(name), "\(file.path)")
    }

    @Test(arguments: try SourceTree.swiftFiles(under: Self.sources))
    func `every unchecked Sendable says what makes it true`(file: SourceFile) {
        let lines = file.text.split(separator: "\n", omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() where line.contains("@unchecked Sendable") || line.contains("nonisolated(unsafe)") {
            let before = lines[max(0, index - 12)..<index]
            #expect(before.contains { $0.contains("//") }, "\(file.path):\(index + 1) has no sentence")
        }
    }

    @Test func `every source target has a row`() throws {
        let targets = Set(try SourceTree.swiftFiles(under: Self.sources).map(\.target))
        #expect(targets == Set(Self.allowed.keys))
    }
}

/// A Swift source file of this repository.
struct SourceFile: CustomTestStringConvertible, Sendable {
    let url: URL
    /// From the repository's root.
    let path: String
    let text: String

    var testDescription: String { path }
    var target: String { String(path.split(separator: "/")[1]) }

    /// The text without comment lines.
    var code: String {
        text.split(separator: "\n").filter { !$0.trimmingCharacters(in: .whitespaces).hasPrefix("//") }.joined(separator: "\n")
    }

    var imports: [String] {
        text.split(separator: "\n").compactMap { line in
            let words = line.trimmingCharacters(in: .whitespaces).split(separator: " ")
            guard let keyword = words.firstIndex(of: "import"), keyword + 1 < words.count,
                words[..<keyword].allSatisfy({ $0 == "public" || $0 == "package" || $0.hasPrefix("@") })
            else { return nil }
            return String(words[keyword + 1].split(separator: ".")[0])
        }
    }
}

enum SourceTree {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    static func swiftFiles(under folder: URL) throws -> [SourceFile] {
        guard let walk = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil) else { return [] }
        var files: [SourceFile] = []
        for case let url as URL in walk where url.pathExtension == "swift" {
            let path = url.path(percentEncoded: false).replacingOccurrences(of: root.path(percentEncoded: false), with: "")
            files.append(SourceFile(url: url, path: path, text: try String(contentsOf: url, encoding: .utf8)))
        }
        return files.sorted { $0.path < $1.path }
    }
}
