import ArgumentParser
import Foundation
import Transport

/// The flags that say what to run, shared by the commands that read the configuration.
struct ConfigurationOptions: ParsableArguments {
    @Option(name: [.customShort("c"), .long], help: ArgumentHelp("The file; without it $HEADRACE_CONFIG, else ./headrace.yaml.", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("The application: http://HOST:PORT or unix:/PATH (edge.app).", valueName: "url"))
    var app: String?

    @Option(help: ArgumentHelp("A folder of static files (edge.root).", valueName: "folder"))
    var root: String?

    @Option(help: ArgumentHelp("Where clients connect: HOST:PORT, may be repeated (edge.listen).", valueName: "address"))
    var listen: [String] = []

    @Option(help: ArgumentHelp("Where clients of PostgreSQL connect: HOST:PORT, may be repeated (pooler.listen).", valueName: "address"))
    var pooler: [String] = []

    @Option(help: ArgumentHelp("The server behind the pooler: postgres://USER@HOST:PORT/DATABASE (pooler.postgres).", valueName: "url"))
    var postgres: String?

    @Option(help: ArgumentHelp("Where clients of the keyspace (Redis' protocol) connect: HOST:PORT, may be repeated (keyspace.listen).", valueName: "address"))
    var keyspace: [String] = []

    @Option(name: .customLong("set"), help: ArgumentHelp("Any other key, such as edge.cache.size=1GB; may be repeated.", valueName: "key=value"))
    var assignments: [String] = []

    /// Where the file is, if any.
    private static func filePath(_ config: String?, _ environment: [String: String]) -> String? {
        if let config { return config }
        if let path = environment["HEADRACE_CONFIG"], !path.isEmpty { return path }
        // In a folder that this user may not enter, it is there for all that is known.
        return access("headrace.yaml", F_OK) == 0 || errno == EACCES ? "headrace.yaml" : nil
    }

    /// Whether there is one.
    var hasFile: Bool { Self.filePath(config, ProcessInfo.processInfo.environment) != nil }

    /// - Parameter looksForFiles: whether what it names has to be there, for who is going to use it.
    /// - Throws: `ConfigurationProblems`.
    func load(looksForFiles: Bool = false) throws(ConfigurationProblems) -> ConfigurationSources.Loaded {
        var sources = try Self.sources(config)
        sources.looksForFiles = looksForFiles
        if let app { sources.flags.append(("--app", "edge.app", [app])) }
        if let root { sources.flags.append(("--root", "edge.root", [root])) }
        if !listen.isEmpty { sources.flags.append(("--listen", "edge.listen", listen)) }
        if !pooler.isEmpty { sources.flags.append(("--pooler", "pooler.listen", pooler)) }
        if let postgres { sources.flags.append(("--postgres", "pooler.postgres", [postgres])) }
        if !keyspace.isEmpty { sources.flags.append(("--keyspace", "keyspace.listen", keyspace)) }
        for text in assignments { sources.flags.append(ConfigurationSources.assignment(text)) }
        return try sources.load()
    }

    /// File and environment, without flags.
    /// - Throws: `ConfigurationProblems`.
    static func sources(_ config: String?) throws(ConfigurationProblems) -> ConfigurationSources {
        var sources = ConfigurationSources()
        sources.environment = ProcessInfo.processInfo.environment
        if let path = filePath(config, sources.environment) { sources.file = (path, try text(ofFile: path)) }
        return sources
    }

    /// ``load(looksForFiles:)`` for a command: what is wrong goes to standard error.
    func loadOrExit(looksForFiles: Bool = false) throws -> ConfigurationSources.Loaded {
        do {
            return try load(looksForFiles: looksForFiles)
        } catch {
            Terminal.fail("the configuration has mistakes\n\(error.rendered)")
            throw ExitCode.badConfiguration
        }
    }

    private static func text(ofFile path: String) throws(ConfigurationProblems) -> String {
        func failed(_ text: String) -> ConfigurationProblems {
            ConfigurationProblems(problems: [ConfigurationProblem(place: .wholeFile(name: path), text: text)], source: nil)
        }
        do {
            return try ConfiguredFile.text(path, bytesMax: ConfigurationFile.bytesMax)
        } catch {
            throw failed(error.reason)
        }
    }
}
