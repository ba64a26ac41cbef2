import Foundation
import Keyspace
import Testing

@testable import headrace

@Suite struct KeyspaceRewriteTests {
    private func edited(
        _ text: String, changed: Set<String>, flags: [String] = [], _ change: (inout KeyspaceConfiguration) -> Void
    ) throws -> String {
        var sources = ConfigurationSources()
        sources.file = ("headrace.yaml", text)
        sources.flags = flags.map(ConfigurationSources.assignment)
        let loaded = try sources.load()
        var keyspace = loaded.settings.keyspace
        change(&keyspace)
        let rewrite = try #require(KeyspaceRewrite(loaded))
        let edited = try rewrite.edited(text, keyspace, changed: changed)
        // What comes out is what the keyspace was told.
        sources.file = ("headrace.yaml", edited)
        #expect(try sources.load().settings.keyspace == keyspace)
        return edited
    }

    private static let file = """
        # The shop's cache.
        edge:
          app: http://127.0.0.1:3000   # gunicorn

        keyspace:
          listen: [127.0.0.1:6379]
          maxmemory: 128MB   # half of what is free
          directory: /var/lib/headrace
          save:
            # Often enough.
            - 1h 1
            - 5m 100

          rewrite:
            growth: 50

        # The end.

        """

    @Test func `one value changes, and nothing around it`() throws {
        let text = try edited(Self.file, changed: ["maxmemory"]) { $0.bytesMax = 1 << 30 }
        #expect(text == Self.file.replacing("128MB   # half", with: "1GB  # half"))
    }

    /// Swift takes CR LF for one character, and YAML's reader counts more than LF as the end of a line.
    @Test func `lines that end otherwise keep their ends`() throws {
        let file = Self.file.replacing("\n", with: "\r\n")
        let text = try edited(file, changed: ["maxmemory", "save", "maxmemory-policy"]) {
            $0.bytesMax = 1 << 30
            $0.savePoints = []
            $0.policy = .noeviction
        }
        let lines = text.components(separatedBy: "\r\n")
        #expect(!lines.contains { $0.unicodeScalars.contains { $0 == "\n" || $0 == "\r" } })
        #expect(lines.contains("  maxmemory: 1GB  # half of what is free") && lines.contains("  save: []") && lines.contains("  policy: noeviction"))
        for separator in ["\u{2028}", "\u{2029}", "\u{85}", "\r"] {
            let broken = "# one\(separator)# two\(separator)" + Self.file
            let text = try edited(broken, changed: ["maxmemory"]) { $0.bytesMax = 1 << 30 }
            #expect(text.unicodeScalars.elementsEqual(broken.replacing("128MB   # half", with: "1GB  # half").unicodeScalars))
        }
    }

    @Test func `a list in lines becomes one in a line`() throws {
        let text = try edited(Self.file, changed: ["save"]) { $0.savePoints = [.init(seconds: 60, changes: 7)] }
        #expect(text == Self.file.replacing("  save:\n    # Often enough.\n    - 1h 1\n    - 5m 100\n", with: "  save: [1m 7]\n"))
        let none = try edited(Self.file, changed: ["save"]) { $0.savePoints = [] }
        #expect(none.contains("\n  save: []\n"))
    }

    @Test func `what is not there is added where it belongs`() throws {
        let text = try edited(Self.file, changed: ["maxmemory-policy", "maxclients", "auto-aof-rewrite-min-size", "timeout", "notify-keyspace-events"]) {
            $0.policy = .noeviction
            $0.clientsMax = 77
            $0.rewriteBytesMin = 32 << 20
            $0.settings = [.init(name: "notify-keyspace-events", value: "AKE"), .init(name: "timeout", value: "300")]
        }
        let expected = Self.file.replacing(
            "    growth: 50\n", with: "    growth: 50\n    size: 32MB\n  policy: noeviction\n  clients: 77\n  settings: {notify-keyspace-events: AKE, timeout: 300}\n")
        #expect(text.split(separator: "\n").sorted() == expected.split(separator: "\n").sorted())
        #expect(text.hasPrefix(Self.file.prefix(while: { $0 != "r" })) && text.hasSuffix("\n\n# The end.\n"))
    }

    @Test(arguments: ["", "# nothing yet\n", "keyspace:\n", "keyspace:\n  # maxmemory: 256MB\n", "edge:\n  app: http://127.0.0.1:1\n", "edge:\n  app: http://127.0.0.1:1"])
    func `a section that is not there is begun`(text: String) throws {
        let edited = try edited(text, changed: ["maxmemory", "auto-aof-rewrite-percentage"], flags: ["keyspace.listen=127.0.0.1:1"]) {
            $0.bytesMax = 64 << 20
            $0.rewritePercentage = 30
        }
        #expect(edited.contains("maxmemory: 64MB\n") && edited.contains("  rewrite:\n    growth: 30"))
        for line in text.split(separator: "\n") { #expect(edited.contains(line)) }
    }

    @Test func `what was changed and changed back is written again`() throws {
        let text = try edited(Self.file, changed: ["maxmemory"]) { $0.bytesMax = 1 << 30 }
        let loaded = { () throws -> ConfigurationSources.Loaded in
            var sources = ConfigurationSources()
            sources.file = ("headrace.yaml", Self.file)
            return try sources.load()
        }
        let rewrite = try #require(KeyspaceRewrite(try loaded()))
        let back = try rewrite.edited(text, try loaded().settings.keyspace, changed: ["maxmemory"])
        #expect(back == Self.file.replacing("128MB   # half", with: "128MB  # half"))
    }

    @Test func `what somebody has written in the meantime stays, unless CONFIG SET changed the same`() throws {
        var sources = ConfigurationSources()
        sources.file = ("headrace.yaml", Self.file)
        let loaded = try sources.load()
        var keyspace = loaded.settings.keyspace
        keyspace.bytesMax = 1 << 30
        let newer = Self.file.replacing("growth: 50", with: "growth: 70")
        let text = try #require(KeyspaceRewrite(loaded)).edited(newer, keyspace, changed: ["maxmemory"])
        #expect(text.contains("growth: 70") && text.contains("maxmemory: 1GB"))
    }

    private static let forms = [
        "keyspace: {listen: [127.0.0.1:6379], maxmemory: 1MB}\n", "keyspace:\n  maxmemory: &size 1MB\n  rewrite: {size: *size}\n",
        "keyspace:\n  ? maxmemory\n  : 1MB\n",
    ]

    @Test(arguments: forms)
    func `a form that cannot be edited is refused`(text: String) throws {
        let loaded = ConfigurationSources.Loaded(fileName: "headrace.yaml")
        var keyspace = KeyspaceConfiguration()
        keyspace.bytesMax = 2 << 20
        let rewrite = try #require(KeyspaceRewrite(loaded))
        #expect(throws: ConfigurationEdit.Refused.self) { try rewrite.edited(text, keyspace, changed: ["maxmemory"]) }
    }

    @Test func `what a flag says cannot be changed in the file, nor a password`() throws {
        let refused = { (changed: Set<String>, flags: [String]) in
            do {
                return try edited(Self.file, changed: changed, flags: flags) { $0.bytesMax = 1 << 30 }
            } catch {
                return "\(error)"
            }
        }
        #expect(refused(["maxmemory"], ["keyspace.maxmemory=64MB"]) == "keyspace.maxmemory is set by the command line, which goes before the file")
        #expect(KeyspaceRewrite(ConfigurationSources.Loaded()) == nil)
        let rewrite = try #require(KeyspaceRewrite(ConfigurationSources.Loaded(fileName: "headrace.yaml")))
        var keyspace = KeyspaceConfiguration()
        // Changed, and changed back.
        #expect(try rewrite.edited(Self.file, keyspace, changed: ["requirepass"]) == Self.file)
        keyspace.password = "other"
        #expect(throws: KeyspaceRewrite.Refused.self) { try rewrite.edited(Self.file, keyspace, changed: ["requirepass"]) }
    }

    @Test func `what the next start would refuse is not written`() throws {
        let changes: [(String, (inout KeyspaceConfiguration) -> Void)] = [
            ("save", { $0.savePoints = [.init(seconds: 60, changes: 0)] }), ("save", { $0.savePoints = [.init(seconds: .max, changes: 1)] }),
            ("maxmemory", { $0.bytesMax = 2 << 40 }), ("auto-aof-rewrite-percentage", { $0.rewritePercentage = 100_001 }),
        ]
        for (name, change) in changes {
            #expect(throws: KeyspaceRewrite.Refused.self, "\(name)") { try edited(Self.file, changed: [name], change) }
        }
    }

    @Test func `a file is replaced through a link, with its rights, or not at all`() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "rewrite-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (file, link) = (folder.appending(path: "real.yaml"), folder.appending(path: "headrace.yaml"))
        try Data(Self.file.utf8).write(to: file)
        chmod(file.path, 0o640)
        try FileManager.default.createSymbolicLink(at: link, withDestinationURL: file)
        var keyspace = KeyspaceConfiguration()
        keyspace.bytesMax = 1 << 30
        let rewrite = try #require(KeyspaceRewrite(ConfigurationSources.Loaded(fileName: link.path)))
        // Names that a process which died may have left.
        let left = folder.appending(path: "real.yaml.\(getpid()).new")
        try Data().write(to: left)
        try rewrite.write(keyspace, changed: ["maxmemory"])
        try FileManager.default.removeItem(at: left)
        #expect(try String(contentsOf: link, encoding: .utf8).contains("maxmemory: 1GB"))
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link.path) == file.path)
        #expect(try FileManager.default.attributesOfItem(atPath: file.path)[.posixPermissions] as? Int == 0o640)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() == ["headrace.yaml", "real.yaml"])
    }

    @Test(arguments: ["maxmemory: 1GB", "nonsense: 1", "timeout: x", "timeout", "databases: 3"])
    func `a setting that CONFIG SET would refuse is refused in the file`(word: String) {
        #expect(throws: ValueProblem.self) { try ValueFormat.keyspaceSetting.parse([word]) }
    }
}
