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

    @OptionGroup(visibility: .hidden) var worker: WorkerOptions

    func run() async throws {
        let (place, arguments) = (try worker.place, Array(CommandLine.arguments.dropFirst()))
        // Before anything is read: what has changed behind that is read anew.
        let asking = await AskingSignals()
        let onServing = worker.takeOver()
        let loaded = try options.loadOrExit(looksForFiles: true)
        let readAgain: @Sendable () throws -> ConfigurationSources.Loaded = { [options] in try options.load(looksForFiles: true) }
        var logger = Logger(label: "headrace") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .notice
        do {
            if place == nil { for warning in ServingUser.warnings(loaded.settings) { logger.warning("\(warning)") } }
            if let place {
                try await Composition(loaded, place: place, logger: logger, readAgain: readAgain).run(asking, untilEOF: true)
            } else if loaded.settings.processes == .perLayer {
                var supervisor = try Supervisor(loaded, arguments: arguments, logger: logger, readAgain: readAgain)
                try await supervisor.run(asking, pidPath: pidfile, untilEOF: untilEOF)
            } else {
                try SettledProcess.settle(loaded, arguments: arguments, pidPath: pidfile)
                let pidFile = try pidfile.map { path in try PidFile(path) }
                try await Composition(loaded, pidFile: pidFile, logger: logger, readAgain: readAgain, onServing: onServing).run(asking, untilEOF: untilEOF)
            }
        } catch let code as ExitCode {
            throw code
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

/// What a supervisor says to a process of one layer, and one process for all layers to itself; nobody else has reason to.
struct WorkerOptions: ParsableArguments {
    @Option(name: .customLong("worker"), help: .private) var layer: String?
    @Option(name: .customLong("worker-folder"), help: .private) var folder: String?
    @Option(name: .customLong("worker-sockets"), help: .private) var sockets: String?
    @Option(name: .customLong("worker-files"), help: .private) var files: Int32?
    @Option(name: .customLong("settled-sockets"), help: .private) var settledSockets: String?
    @Option(name: .customLong("settled-file"), help: .private) var settledFiles: [String] = []

    /// Takes over what this process has bound and opened when it had more rights.
    /// - Returns: to be called once it serves.
    func takeOver() -> @Sendable () -> Void {
        guard let settledSockets else { return {} }
        return SettledProcess.takeOver(sockets: settledSockets, files: settledFiles)
    }

    /// `nil`: it is no such process. Takes over the sockets, and asks for files that it may not read from now on.
    /// - Throws: `ValidationError` when it is, and not told enough.
    var place: WorkerPlace? {
        get throws {
            guard let layer else { return nil }
            guard let layer = Layer(rawValue: layer), let folder else { throw ValidationError("--worker is for headrace itself: see the key processes") }
            ListeningSocket.inherit(sockets ?? "")
            if let files {
                let door = FileBroker.Client(files)
                ConfiguredFile.ask(.init(refusal: "and the supervisor does not give it: its log says why") { door.open($0) })
            }
            return WorkerPlace(layer: layer, folder: folder)
        }
    }
}
