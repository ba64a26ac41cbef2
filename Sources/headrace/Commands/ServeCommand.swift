import ArgumentParser
import Logging
import Transport

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Run what the configuration describes until SIGTERM.",
        discussion: """
            EXAMPLES:
              headrace serve --app http://127.0.0.1:3000 --listen 127.0.0.1:8080
              headrace serve --root ./public
              headrace serve --keyspace 127.0.0.1:6379
              headrace serve --config headrace.yaml --set edge.cache.size=1GB

            Access records go to standard output, one JSON line per exchange; all else to standard error.
            SIGTERM and SIGINT drain: no request that was accepted is lost. SIGHUP reads the configuration anew.
            SIGUSR1 opens the access log's file anew.
            """)

    @OptionGroup var options: ConfigurationOptions

    @Flag(name: .customLong("until-eof"), help: ArgumentHelp("Drain, too, when standard input ends: for a parent that may be killed."))
    var untilEOF = false

    @Option(help: ArgumentHelp("Write the process' number here, for `headrace reload`.", valueName: "file"))
    var pidfile: String?

    func run() async throws {
        let loaded = try options.loadOrExit(looksForFiles: true)
        do {
            try await Composition(loaded, pidPath: pidfile) { [options] in try options.load(looksForFiles: true) }.run(untilEOF: untilEOF)
        } catch let failure as Listener.BindFailure {
            let key = loaded.settings.key(ofListening: failure.endpoint).map { "\($0): " } ?? ""
            Terminal.fail("cannot start: \(key)\(failure)")
            throw ExitCode.unavailable
        } catch {
            Terminal.fail("cannot start: \(error)")
            throw ExitCode.unavailable
        }
    }
}
