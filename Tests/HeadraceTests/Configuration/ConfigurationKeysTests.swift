import Foundation
import Testing

@testable import headrace

/// The table of keys: every row is touched, and the printed pages are held to it.
@Suite struct ConfigurationKeysTests {
    private static let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    @Test(arguments: ConfigurationKeys.all.map(\.path))
    func `the default of a key, as it is written, is read as the default`(path: String) throws {
        let key = try #require(ConfigurationKeys.key(path))
        let standard = key.render(Settings())
        guard !standard.isEmpty else { return }
        let trimmed = standard.trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
        let words = key.isList ? trimmed.split(separator: ", ").map(String.init) : [standard]
        var settings = Settings()
        try key.assign(words, &settings)
        #expect(key.render(settings) == standard)
    }

    @Test(arguments: ConfigurationKeys.all.map(\.path))
    func `a key refuses nonsense and says what it expects`(path: String) throws {
        let key = try #require(ConfigurationKeys.key(path))
        var settings = Settings()
        // A text is anything but empty; everything else has a form.
        let free = ["folder", "token", "host name", "password", "file", "list of users", "list of files", "policy", "SQL", "user", "database"]
        let nonsense = free.contains(key.format) ? "" : "\u{1}nonsense"
        #expect(throws: ValueProblem.self) { try key.assign([nonsense], &settings) }
        if !key.isList { #expect(throws: ValueProblem.self) { try key.assign(["a", "b"], &settings) } }
    }

    @Test(arguments: ConfigurationKeys.all.filter { !$0.range.isEmpty }.map(\.path))
    func `both ends of a range are within it, and one beyond is not`(path: String) throws {
        let key = try #require(ConfigurationKeys.key(path))
        let ends = key.range.components(separatedBy: "…")
        var settings = Settings()
        for end in ends { try key.assign([end], &settings) }
        let unit = ends[1].drop { $0.isNumber }
        let beyond = "\((Int(ends[1].prefix { $0.isNumber }) ?? 0) + 1)\(unit)"
        #expect(throws: ValueProblem.self) { try key.assign([beyond], &settings) }
    }

    @Test func `each key sets what no other sets`() throws {
        // Two rows with the same place would show in each other's rendering.
        for key in ConfigurationKeys.all {
            guard let other = Self.anotherValue[key.format] else { continue }
            var settings = Settings()
            try key.assign([other(key)], &settings)
            let changed = ConfigurationKeys.all.filter { $0.render(settings) != $0.render(Settings()) }.map(\.path)
            #expect(changed == [key.path])
        }
    }

    /// A value that is no key's default.
    private static let anotherValue: [String: @Sendable (ConfigurationKey) -> String] = [
        "boolean": { $0.render(Settings()) == "true" ? "false" : "true" }, "number": { $0.range.components(separatedBy: "…")[1] },
        "size": { $0.range.components(separatedBy: "…")[1] }, "rate": { $0.range.components(separatedBy: "…")[1] }, "duration": { $0.range.components(separatedBy: "…")[1] },
        "share": { _ in "99%" }, "folder": { _ in "/srv" }, "token": { _ in "t" }, "host name": { _ in "h" },
        "policy": { _ in "standard" }, "path": { _ in "/m" }, "URL": { _ in "http://a:1" }, "destination": { _ in "off" }, "list of addresses": { _ in "a:1" },
        "list of networks": { _ in "10.0.0.0/8" }, "list of codings": { _ in "zstd" }, "list of media types": { _ in "a/b" },
    ]

    @Test func `paths and environment names are distinct`() {
        #expect(Set(ConfigurationKeys.all.map(\.path)).count == ConfigurationKeys.all.count)
        #expect(Set(ConfigurationKeys.all.map(\.environmentName)).count == ConfigurationKeys.all.count)
    }

    @Test func `docs-configuration is what the table prints`() throws {
        let page = try String(contentsOf: Self.repository.appending(path: "docs/configuration.md"), encoding: .utf8)
        #expect(page == ConfigurationReference.markdown(), "run `make docs`")
    }

    /// Words of the table that are no keys: commands, signals, and how a key's value is written.
    private static let otherWords: Set<String> = [
        "edge.upstreams.NAME.members", "weight=N", "backup", "srv:NAME", "set", "add", "remove", "no-store", "private", "Location", "Forwarded",
        "request_headers", "response_headers", "headrace serve --pidfile", "headrace check", "headrace reload",
    ]

    @Test func `what the page says for directives of nginx are keys that there are`() throws {
        let page = try String(contentsOf: Self.repository.appending(path: "docs/edge.md"), encoding: .utf8)
        let table = try #require(page.components(separatedBy: "| nginx | here |\n").last?.components(separatedBy: "\n\n").first)
        var keys = Set(ConfigurationKeys.all.map(\.path))
        for section in ConfigurationKeys.table.repeated { keys.formUnion(section.rows.map(\.path)) }
        var seen: Set<String> = []
        for row in table.split(separator: "\n").dropFirst() {
            let here = try #require(row.components(separatedBy: " | ").last)
            for word in here.split(separator: "`", omittingEmptySubsequences: false).enumerated().filter({ $0.offset % 2 == 1 }).map(\.element) {
                let key = String(word.prefix { $0 != ":" })
                let isKnown = keys.contains(key) || Self.otherWords.contains(String(word))
                #expect(isKnown, "\(row)")
                seen.insert(String(word))
            }
        }
        #expect(seen.isSuperset(of: Self.otherWords), "\(Self.otherWords.subtracting(seen))")
    }

    @Test func `the example file is what the table prints`() throws {
        let file = try String(contentsOf: Self.repository.appending(path: "headrace.example.yaml"), encoding: .utf8)
        #expect(file == ConfigurationReference.example(), "run `make docs`")
    }

    @Test func `a value in the example file that is no default says so`() {
        let lines = ConfigurationReference.example().split(separator: "\n")
        for key in ConfigurationKeys.all {
            let standard = key.render(Settings())
            let isThere = lines.contains { line in
                let text = line.drop { $0 == " " }
                return standard.isEmpty
                    ? text.hasPrefix("# \(key.name): ") && text.hasSuffix("  # no default; for example") : text == "# \(key.name): \(standard)"
            }
            #expect(isThere, "\(key.path)")
        }
    }

    @Test func `the example file with all its comments taken off is a configuration`() throws {
        let lines = ConfigurationReference.example().split(separator: "\n", omittingEmptySubsequences: false)
        // A key's line is a comment with one word and a colon; help lines have more words before theirs.
        let text = lines.map { line in
            line.firstMatch(of: /^( *)# ([a-z0-9_]+: .*)$/).map { "\($0.1)\($0.2)" } ?? String(line)
        }.joined(separator: "\n")
        var sources = ConfigurationSources()
        // Who has a server to stand before needs an address for clients, and TLS a certificate.
        sources.file = (
            "headrace.yaml",
            text.replacing("listen: []", with: "listen: [127.0.0.1:6432]").replacing(" certificates: []", with: " certificates: [shop.pem]"))
        sources.readSecret = { _ in "a secret of many characters" }
        let loaded = try sources.load()
        #expect(loaded.origins.count == ConfigurationKeys.all.count)
        for key in ConfigurationKeys.all where !["", "[]"].contains(key.render(Settings())) {
            #expect(key.render(loaded.settings) == key.render(Settings()))
        }
    }
}
