import ArgumentParser
import Edge
import Keyspace
import Foundation

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Say what is wrong with the configuration, or what would run.",
        discussion: """
            EXAMPLES:
              headrace check                            headrace.yaml and environment
              headrace check --config other.yaml --all  every key, and who set it
              headrace check --json                     the same for programs

            Exits with 78 if there are mistakes, which go to standard error, all at once.
            """)

    @OptionGroup var options: ConfigurationOptions

    @Flag(help: "Show the keys at their defaults, too.")
    var all = false

    @Flag(help: "Print one JSON object: key → value and origin. All keys.")
    var json = false

    private struct Row: Encodable {
        let value: String
        let origin: String
    }

    func run() throws {
        let loaded = try options.loadOrExit(looksForFiles: true)
        do {
            try EdgeServer.check(loaded.settings.edgeConfiguration)
            try KeyspaceServer.check(loaded.settings.keyspace)
        } catch {
            Terminal.fail("the configuration cannot be used: \(error)")
            throw ExitCode.badConfiguration
        }
        let rows = ConfigurationKeys.all.map { key in
            (key.path, Row(value: key.shown(loaded.settings), origin: (loaded.origins[key.path] ?? .default).rawValue))
        } + ConfigurationKeys.table.repeated.flatMap { $0.settings(loaded.settings) }.map { path, value in
            (path, Row(value: value, origin: ConfigurationSources.Origin.file.rawValue))
        }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            let data = try encoder.encode(Dictionary(uniqueKeysWithValues: rows))
            return Terminal.print(String(decoding: data, as: UTF8.self))
        }
        Terminal.say("\(loaded.fileName ?? "the configuration") is fine")
        for warning in SettingWarnings.all(loaded) { Terminal.say("warning: \(warning)") }
        let shown = rows.filter { all || $0.1.origin != ConfigurationSources.Origin.default.rawValue }
        var table = TextTable(columns: [.left("key"), .left("value"), .left("from")])
        for (path, row) in shown { table.add([path, row.value.isEmpty ? "–" : row.value, row.origin]) }
        Terminal.print(table.rendered())
    }
}
