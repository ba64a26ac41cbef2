import Foundation
import Keyspace
import Telemetry

/// `CONFIG REWRITE`: writes into the configuration file what `CONFIG SET` has changed in the keyspace.
///
/// Keys that it has not changed stay as they stand, whatever they are; the file is replaced as a whole, or not at all.
struct KeyspaceRewrite: Sendable {
    struct Refused: Error, CustomStringConvertible {
        let description: String
    }

    /// Two clients may ask at the same time: who comes second reads what the first has written.
    private static let turn = Lock(())

    private let path: String
    /// The start's.
    private let password: String
    private let origins: [String: ConfigurationSources.Origin]

    /// - Returns: `nil` when no file was read.
    init?(_ loaded: ConfigurationSources.Loaded) {
        guard let path = loaded.fileName else { return nil }
        self.path = path
        password = loaded.settings.keyspace.password
        origins = loaded.origins
    }

    /// Redis' name to ours; what is not here stands in `keyspace.settings`.
    private static let paths = [
        "maxmemory": "keyspace.maxmemory", "maxmemory-policy": "keyspace.policy", "save": "keyspace.save", "appendfsync": "keyspace.fsync",
        "maxclients": "keyspace.clients", "auto-aof-rewrite-percentage": "keyspace.rewrite.growth", "auto-aof-rewrite-min-size": "keyspace.rewrite.size",
    ]

    /// - Throws: an error whose description says why nothing was written.
    func write(_ keyspace: KeyspaceConfiguration, changed: Set<String>) throws {
        try Self.turn.withLock { _ in try writeAlone(keyspace, changed: changed) }
    }

    private func writeAlone(_ keyspace: KeyspaceConfiguration, changed: Set<String>) throws {
        // Where a folder of configuration is made of links, the file that is meant is replaced, and not the link.
        let file = URL(filePath: path).resolvingSymlinksInPath()
        guard let data = FileManager.default.contents(atPath: file.path), let text = String(data: data, encoding: .utf8) else {
            throw Refused(description: "\(path) cannot be read")
        }
        let edited = try self.edited(text, keyspace, changed: changed)
        if edited != text { try Self.replace(file.path, with: edited) }
    }

    /// The file's text with what has changed.
    func edited(_ text: String, _ keyspace: KeyspaceConfiguration, changed: Set<String>) throws -> String {
        guard !changed.contains("requirepass") || keyspace.password == password else {
            throw Refused(description: "the password has changed, and stands in the environment or in a file of its own (keyspace.password)")
        }
        var settings = Settings()
        settings.keyspace = keyspace
        let content = ConfigurationFile.parse(text, name: path).content
        var text = text
        for path in Set(changed.subtracting(["requirepass"]).map { Self.paths[$0] ?? "keyspace.settings" }).sorted() {
            guard let key = ConfigurationKeys.key(path) else { continue }
            if let origin = origins[path], origin == .flag || origin == .environment {
                throw Refused(description: "\(path) is set by the \(origin == .flag ? "command line" : "environment"), which goes before the file")
            }
            var there = Settings()
            if let entry = content.entries.first(where: { $0.path == path }) { try key.assign(entry.words, &there) }
            guard key.render(there) != key.render(settings) else { continue }
            text = try ConfigurationEdit.setting(key, to: path == "keyspace.settings" ? Self.mapping(keyspace.settings) : key.render(settings), in: text)
            try Self.check(key, in: text, says: settings)
        }
        return text
    }

    /// `CONFIG SET` takes values that a file may not say, as Redis does: the next start would refuse them.
    private static func check(_ key: ConfigurationKey, in text: String, says settings: Settings) throws {
        let words = ConfigurationFile.parse(text, name: "").content.entries.first { $0.path == key.path }?.words ?? []
        var read = Settings()
        do {
            try key.assign(words, &read)
        } catch {
            throw Refused(description: "\(key.path): \((error as? ValueProblem)?.text ?? "\(error)")")
        }
        guard key.render(read) == key.render(settings) else { throw Refused(description: "\(key.path): \(key.render(settings)) cannot be written in a file") }
    }

    private static func mapping(_ settings: [KeyspaceConfiguration.Setting]) -> String {
        "{" + settings.map { "\($0.name): \(scalar($0.value))" }.joined(separator: ", ") + "}"
    }

    /// A text that YAML takes for nothing else.
    /// - Source: YAML 1.2.2, §7.3.1: double quotes take JSON's escapes.
    private static func scalar(_ text: String) -> String {
        let isPlain = !text.isEmpty && text.utf8.allSatisfy { ($0 | 0x20) &- 0x61 < 26 || $0 &- 0x30 < 10 } && text.lowercased() != "null"
        if isPlain { return text }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        return (try? encoder.encode(text)).map { String(decoding: $0, as: UTF8.self) } ?? "\"\""
    }

    /// Beside it, forced to the disk, then in its place: whoever reads it finds the old text or the new one.
    private static func replace(_ path: String, with text: String) throws {
        func failed(_ what: String) -> Refused { Refused(description: "\(what): \(String(cString: strerror(errno)))") }
        var info = stat()
        guard stat(path, &info) == 0 else { throw failed(path) }
        // A name that nobody has: what a crash left behind is in nobody's way.
        let beside = "\(path).\(String(UInt64.random(in: .min ... .max), radix: 36)).new"
        let descriptor = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failed(beside) }
        defer { close(descriptor) }
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                defer { unlink(beside) }
                throw failed(beside)
            }
            bytes = bytes.dropFirst(count)
        }
        // Its owner may be another; who is not root cannot give it away, and keeps it.
        _ = fchown(descriptor, info.st_uid, info.st_gid)
        guard fchmod(descriptor, info.st_mode & 0o7777) == 0, fsync(descriptor) == 0, rename(beside, path) == 0 else {
            defer { unlink(beside) }
            throw failed(beside)
        }
        let folder = open(URL(filePath: path).deletingLastPathComponent().path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if folder >= 0 {
            fsync(folder)
            close(folder)
        }
    }
}
