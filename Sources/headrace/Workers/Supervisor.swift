import ArgumentParser
import Foundation
import Logging
import Transport
import UnixSignals

/// Runs each layer in a process of its own, and holds the sockets on which they listen: a layer that crashes takes no other with it, and is started anew on
/// the same sockets, where clients wait meanwhile (`processes: per-layer`).
///
/// One task has all of its state and takes events in turn; threads wait for signals, ends of processes and what they say, and do nothing else.
struct Supervisor {
    private enum Event: Sendable {
        case signal(UnixSignal)
        case said(Layer, pid_t, [String])
        case ended(Layer, pid_t, WorkerProcess.Ending)
        case restart(Layer)
        case watch
    }

    private struct Worker {
        var sockets: [WorkerPlace.Socket] = []
        var files: [SocketFile] = []
        var process: WorkerProcess?
        var policy = RestartPolicy()
        var hasServed = false
        var isReady = false
        /// Another file has come since it began to read.
        var isOutdated = false
        /// Log files were moved away before its first word: it may have opened them under their old names.
        var hasOldLogs = false
        /// How many times ``watch()`` has looked since it said anything; `nil` before its first word, by which it hears signals.
        var silence: Int?
        /// Of the last crash, until it serves again.
        var crash: (words: String, at: ContinuousClock.Instant)?

        /// Has it read the file; one that reads already is told when it is done, as it may have read what was there before.
        mutating func readAgain() {
            isOutdated = !isReady
            guard isReady else { return }
            // It says anew that it serves.
            isReady = false
            process?.send(SIGHUP)
        }

        /// Has it open log files anew; one that does not hear signals yet would be ended by that one.
        mutating func reopenLogs() {
            hasOldLogs = silence == nil
            if !hasOldLogs { process?.send(SIGUSR1) }
        }
    }

    /// A process that has not said that it lives for so long is ended, and started anew, where nobody asks for another time.
    private static let watchdogDefault = Duration.seconds(30)
    /// How often it is looked in that time. Counted, and not timed: when all processes have been stopped for longer, as a container is or the machine, each
    /// still has most of its time.
    private static let looksMax = 4
    private static let crashReportsMax = 20

    private let loaded: ConfigurationSources.Loaded
    private let arguments: [String]
    private let readAgain: @Sendable () throws -> ConfigurationSources.Loaded
    private let logger: Logger
    private let manager = ServiceManager(ProcessInfo.processInfo.environment)
    private let rights: WorkerRights
    /// Where the processes meet. It is their user's.
    private let folder: String
    private let crashFolder: String
    /// `nil` where they may all that this process may.
    private let broker: FileBroker?
    private var workers: [Layer: Worker] = [:]
    private var isEnding = false
    /// The first that could not start, or ended badly at the end.
    private var failure: ExitCode?
    private var journal: ReloadJournal

    /// - Parameters:
    ///   - arguments: those of this process, for its children.
    ///   - readAgain: Reads the configuration anew, for SIGHUP.
    /// - Throws: when the folder in which the processes meet cannot be made, or they cannot have the rights that they are to have.
    init(_ loaded: ConfigurationSources.Loaded, arguments: [String], logger: Logger, readAgain: @escaping @Sendable () throws -> ConfigurationSources.Loaded) throws {
        (self.loaded, self.arguments, self.logger, self.readAgain) = (loaded, arguments, logger, readAgain)
        let rights = WorkerRights(loaded.settings.servingUser)
        self.rights = rights
        rights.user?.provide(loaded.settings)
        let state = loaded.settings.dashboard.state
        folder = try rights.perform { try Self.makeFolder(in: [FileManager.default.temporaryDirectory.path, state].compactMap { $0 }) }
        crashFolder = state ?? folder
        broker = rights.areFewer ? FileBroker(loaded, paths: rights.paths, logger: logger, readAgain: readAgain) : nil
        journal = ReloadJournal(loaded.settings)
        for warning in SettingWarnings.all(loaded) { logger.warning("\(warning)") }
    }

    /// Binds the addresses, starts the processes, and keeps them until SIGTERM or SIGINT, upon which they drain.
    /// - Throws: `ExitCode` of a process that could not start, or has not ended well; `Listener.BindFailure`.
    mutating func run(_ asking: AskingSignals, pidPath: String?, untilEOF: Bool) async throws {
        defer { try? rights.perform { [folder] in try FileManager.default.removeItem(atPath: folder) } }
        let pidFile = try pidPath.map { path in try PidFile(path) }
        defer { pidFile?.remove() }
        let (events, sink) = AsyncStream.makeStream(of: Event.self)
        let ends = await UnixSignalsSequence(trapping: .sigterm, .sigint)
        for signals in [ends, asking.hangups, asking.users] { Task { for await signal in signals { sink.yield(.signal(signal)) } } }
        pidFile?.announce()
        if untilEOF { StandardInput.raiseSignalAtEnd(SIGTERM) }
        if let name = loaded.fileName { Terminal.say("configuration: \(name)") }
        defer { for file in workers.values.flatMap(\.files) { file.remove() } }
        for layer in loaded.settings.layers {
            var worker = Worker()
            defer { workers[layer] = worker }
            for endpoint in loaded.settings.endpoints(of: layer) {
                worker.sockets.append(.init(endpoint: endpoint, descriptor: try rights.bind(endpoint)))
                if case .unix(let path) = endpoint, let file = SocketFile(path) { worker.files.append(file) }
            }
        }
        for layer in loaded.settings.layers {
            try WorkerNotices.hear(layer, in: folder, rights) { sink.yield(.said(layer, $0, $1)) }
            try start(layer, sink)
        }
        let interval = watchdog / Self.looksMax
        Task {
            while true {
                try? await Task.sleep(for: interval)
                sink.yield(.watch)
            }
        }
        for await event in events {
            handle(event, sink)
            if isEnding, workers.values.allSatisfy({ $0.process == nil }) { break }
        }
        if let failure { throw failure }
    }

    /// - Throws: when it cannot be made in any of them.
    private static func makeFolder(in folders: [String]) throws -> String {
        for folder in folders {
            var template = Array((folder + "/headrace-XXXXXX").utf8CString)
            if mkdtemp(&template) != nil { return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self) }
        }
        throw ProcessSpawn.Failure(description: "no folder for temporary files: \(String(cString: strerror(errno)))")
    }

    private var watchdog: Duration { manager?.watchdogInterval ?? Self.watchdogDefault }

    private mutating func start(_ layer: Layer, _ sink: AsyncStream<Event>.Continuation) throws {
        let process = try WorkerProcess(
            layer, sockets: workers[layer]?.sockets ?? [], arguments: arguments, folder: folder, watchdog: watchdog, rights: rights, broker: broker
        ) { ending, process in sink.yield(.ended(layer, process, ending)) }
        workers[layer]?.process = process
        try? rights.perform { [folder] in
            try String(process.process).write(toFile: WorkerPlace.number(of: layer, in: folder), atomically: true, encoding: .utf8)
        }
        workers[layer]?.isReady = false
        workers[layer]?.isOutdated = false
        workers[layer]?.hasOldLogs = false
        workers[layer]?.silence = nil
    }

    private mutating func handle(_ event: Event, _ sink: AsyncStream<Event>.Continuation) {
        switch event {
        case .signal(.sigterm), .signal(.sigint): end()
        case .signal(.sighup): reload()
        case .signal(let other): if other == .sigusr1 { workers[.edge]?.reopenLogs() }
        case .said(let layer, let process, let lines): said(layer, process, lines)
        case .ended(let layer, let process, let ending): ended(layer, process, ending, sink)
        case .restart(let layer): restart(layer, sink)
        case .watch: watch()
        }
    }

    private mutating func end() {
        guard !isEnding else { return }
        isEnding = true
        manager?.stopping()
        for worker in workers.values {
            // Nobody comes any more; who waits already is served.
            for file in worker.files { file.remove() }
            worker.process?.send(SIGTERM)
        }
    }

    // MARK: What the processes say

    private mutating func said(_ layer: Layer, _ process: pid_t, _ lines: [String]) {
        // What the one before it said last is not its word.
        guard var worker = workers[layer], worker.process?.process == process else { return }
        worker.silence = 0
        if worker.hasOldLogs { worker.reopenLogs() }
        defer { workers[layer] = worker }
        guard lines.contains("READY=1") else { return }
        (worker.isReady, worker.hasServed) = (true, true)
        if let crash = worker.crash { cameBack(layer, crash) }
        worker.crash = nil
        if worker.isOutdated { worker.readAgain() }
        workers[layer] = worker
        sayReady()
    }

    private func sayReady() {
        if !isEnding, workers.values.allSatisfy(\.isReady) { manager?.ready("serving") }
    }

    private mutating func watch() {
        var isWell = true
        for (layer, worker) in workers {
            guard let process = worker.process, let silence = worker.silence else { continue }
            workers[layer]?.silence = silence + 1
            guard silence >= Self.looksMax else { continue }
            if silence == Self.looksMax { logger.error("\(layer.rawValue): its process says no more that it lives, and is ended") }
            process.send(SIGKILL)
            isWell = false
        }
        if isWell { manager?.lives() }
    }

    /// A file with a mistake changes nothing and says why; a good one is read by each process.
    private mutating func reload() {
        guard !isEnding else { return }
        // Before all of it serves, being ready is not said.
        if workers.values.allSatisfy(\.hasServed) { manager?.reloading() }
        do {
            let new = try readAgain()
            broker?.adopt(new)
            journal.adopt(new.settings, logger)
            for layer in workers.keys { workers[layer]?.readAgain() }
        } catch {
            ReloadJournal.refused(error, logger)
            sayReady()
        }
    }

    // MARK: Ends and new beginnings

    private mutating func ended(_ layer: Layer, _ process: pid_t, _ ending: WorkerProcess.Ending, _ sink: AsyncStream<Event>.Continuation) {
        guard var worker = workers[layer], let ended = worker.process, ended.process == process else { return }
        (worker.process, worker.isReady) = (nil, false)
        workers[layer] = worker
        defer { workers[layer] = worker }
        // SIGTERM ends by itself only who does not hear it yet, and so has nothing to finish.
        let isGood = ending.code == 0 || ending.signal == SIGTERM
        // The keyspace's SHUTDOWN, which ends the process that serves it where it serves nothing else.
        let isWish = ending.code == 0 && workers.count == 1
        if isEnding || !worker.hasServed || isWish {
            // It has said why. What could not begin once will not by being tried again; who has ended it, as systemd does, ends us as well.
            if !isGood, failure == nil { failure = ExitCode(ending.code ?? (isEnding ? 1 : ExitCode.unavailable.rawValue)) }
            end()
            // Who connects now is refused, and does not wait for the others' end.
            for socket in worker.sockets { close(socket.descriptor) }
            worker.sockets = []
            return
        }
        let report = try? rights.perform { [crashFolder] in Self.keep(ended.lastWords, of: layer, ending, in: crashFolder) }
        let last = ended.lastWords.split(separator: "\n").last { $0.contains("Fatal error") }.map { ": \($0.suffix(200))" } ?? ""
        worker.crash = ("\(layer.rawValue) ended by \(ending)\(last)\(report.map { ", report in \($0)" } ?? "")", worker.crash?.at ?? .now)
        let pause = worker.policy.ended(now: .now)
        logger.error("\(worker.crash?.words ?? ""); it is started anew \(pause == .zero ? "at once" : "in \(pause)")")
        if pause == .zero {
            sink.yield(.restart(layer))
        } else {
            Task {
                try? await Task.sleep(for: pause)
                sink.yield(.restart(layer))
            }
        }
    }

    private mutating func restart(_ layer: Layer, _ sink: AsyncStream<Event>.Continuation) {
        guard !isEnding, workers[layer]?.process == nil else { return }
        do {
            try start(layer, sink)
        } catch {
            logger.error("\(layer.rawValue) cannot be started: \(error)")
            Task {
                try? await Task.sleep(for: RestartPolicy.pauseMax)
                sink.yield(.restart(layer))
            }
        }
    }

    private func cameBack(_ layer: Layer, _ crash: (words: String, at: ContinuousClock.Instant)) {
        let text = "\(crash.words); it serves again after \(Int((ContinuousClock.now - crash.at) / .milliseconds(1))) ms"
        logger.notice("\(text)")
        try? rights.perform { [folder] in Incidents.add(text, to: WorkerPlace.incidents(in: folder)) }
    }

    /// What a process said last, in a file of its own; the oldest make room.
    /// - Returns: its path.
    private static func keep(_ words: String, of layer: Layer, _ ending: WorkerProcess.Ending, in crashFolder: String) -> String? {
        let (names, time) = (FileManager.default, Int(Date().timeIntervalSince1970 * 1000))
        try? names.createDirectory(atPath: crashFolder, withIntermediateDirectories: true)
        let path = "\(crashFolder)/crash-\(time)-\(layer.rawValue).txt"
        let text = "\(layer.rawValue) of headrace \(Headrace.version) ended by \(ending). What it said last:\n\n\(words)"
        guard names.createFile(atPath: path, contents: Data(text.utf8), attributes: [.posixPermissions: 0o600]) else { return nil }
        let kept = ((try? names.contentsOfDirectory(atPath: crashFolder)) ?? []).filter { $0.hasPrefix("crash-") && $0.hasSuffix(".txt") }.sorted()
        for old in kept.dropLast(Self.crashReportsMax) { try? names.removeItem(atPath: "\(crashFolder)/\(old)") }
        return path
    }
}
