import Foundation
import Transport

/// One process for all layers that binds its addresses and opens its files, and then is this program anew, with fewer rights (`processes: one`).
///
/// It keeps its number. Anew, since no thread and no memory is left then of a process that could do more.
enum SettledProcess {
    /// Binds, opens, and runs the program anew; returns where there are no rights to give up.
    /// - Parameters:
    ///   - arguments: those of this process.
    ///   - pidPath: the pidfile, which it is to write.
    /// - Throws: what keeps it from beginning.
    static func settle(_ loaded: ConfigurationSources.Loaded, arguments: [String], pidPath: String?) throws {
        let rights = WorkerRights(loaded.settings.servingUser)
        guard rights.areFewer else { return }
        OpenFiles.raiseLimit()
        let settings = loaded.settings
        let sockets = try settings.layers.flatMap { settings.endpoints(of: $0) }.map { endpoint in (endpoint: endpoint, descriptor: try rights.bind(endpoint)) }
        rights.user?.provide(settings)
        if let pidPath {
            _ = try PidFile(pidPath)
            rights.user?.own(pidPath)
        }
        let hidden = try rights.perform { NamedFile.paths(loaded).filter { access($0, R_OK) != 0 } }
        let files = hidden.compactMap { path in open(path).map { (path: path, descriptor: $0) } }
        for descriptor in sockets.map(\.descriptor) + files.map(\.descriptor) { _ = fcntl(descriptor, F_SETFD, 0) }
        let words = ["--settled-sockets", ListeningSocket.text(of: sockets)] + files.flatMap { ["--settled-file", "\($0.descriptor) \($0.path)"] }
        try rights.perform { try ProcessSpawn.replace(ChildProcess.ownBinary.path, [ChildProcess.ownBinary.path] + arguments + words) }
    }

    private static func open(_ path: String) -> Int32? {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return try? ConfiguredFile.open(path)
    }

    /// Takes over what was bound and opened.
    /// - Parameter files: lines of `DESCRIPTOR PATH`.
    /// - Returns: to be called once it serves: the files are read then, and what is read later is what it may read itself.
    static func takeOver(sockets: String, files: [String]) -> @Sendable () -> Void {
        ListeningSocket.inherit(sockets)
        let files = OpenedFiles(files)
        ConfiguredFile.ask(.init(refusal: "and nobody could read it at the start") { files.open($0) })
        return {
            ConfiguredFile.ask(.init(refusal: "as this process has given up the right to: with processes: per-layer such files are read anew") { _ in nil })
        }
    }
}

/// Files that were opened by who could, until they have been read.
private final class OpenedFiles: Sendable {
    private let descriptors: [String: Int32]

    init(_ lines: [String]) {
        let files = lines.compactMap { line -> (String, Int32)? in
            let words = line.split(separator: " ", maxSplits: 1)
            guard words.count == 2, let descriptor = Int32(words[0]), fcntl(descriptor, F_SETFD, FD_CLOEXEC) >= 0 else { return nil }
            return (String(words[1]), descriptor)
        }
        descriptors = Dictionary(files) { first, _ in first }
    }

    deinit { for descriptor in descriptors.values { close(descriptor) } }

    func open(_ path: String) -> Int32? {
        guard let descriptor = descriptors[path].map({ fcntl($0, F_DUPFD_CLOEXEC, 0) }), descriptor >= 0 else { return nil }
        return descriptor
    }
}
