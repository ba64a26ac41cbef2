public import Foundation
import Synchronization

/// A PostgreSQL server of the tests' own, in a folder of its own, on a free port of loopback. It ends with the process.
///
/// The server refuses to run as root: then it runs as `postgres`, or `nobody`.
public final class PostgresCluster: Sendable {
    public let port: Int
    public let folder: URL
    private let programs: URL
    private let account: [String]
    private let process: Mutex<Program?>

    /// Where Debian keeps the newest version's programs.
    public static var programs: URL? {
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib/postgresql")) ?? []
        return versions.compactMap(Int.init).max().map { URL(filePath: "/usr/lib/postgresql/\($0)/bin") }
    }

    /// One cluster for all tests that do not stop it; it counts statements, as those of production do.
    public static let shared: Result<PostgresCluster, any Error> = Result {
        let cluster = try PostgresCluster(settings: ["shared_preload_libraries": "pg_stat_statements"])
        try cluster.query("CREATE EXTENSION pg_stat_statements")
        return cluster
    }

    /// Initialises and starts a cluster, with the superuser `postgres`, who needs no password, and databases `shop` and `other`.
    public init(settings: [String: String] = [:]) throws {
        (programs, folder, account, port) = try Self.place()
        process = Mutex(nil)
        try run("initdb", ["-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "--encoding", "UTF8", "--locale", "C"])
        try configure(settings)
        try start()
        for database in ["shop", "other"] { try query("CREATE DATABASE \(database)", database: "postgres") }
    }

    /// A copy of another cluster as it is now, which follows it from there.
    public init(standbyOf primary: PostgresCluster, settings: [String: String] = [:]) throws {
        (programs, folder, account, port) = try Self.place()
        process = Mutex(nil)
        try run("pg_basebackup", ["-h", "127.0.0.1", "-p", "\(primary.port)", "-U", "postgres", "-D", data, "-c", "fast", "-X", "stream", "--no-sync"])
        try configure(
            settings.merging(["primary_conninfo": "host=127.0.0.1 port=\(primary.port) user=postgres", "wal_retrieve_retry_interval": "100ms"]) { own, _ in own })
        try Data().write(to: folder.appending(path: "data/standby.signal"))
        try start()
    }

    private var data: String { folder.appending(path: "data").path }

    /// A folder and a port that are nobody's, and who the server runs as.
    private static func place() throws -> (programs: URL, folder: URL, account: [String], port: Int) {
        guard let programs else { throw HeadraceProcess.Failure(description: "PostgreSQL's server is not installed: run scripts/setup") }
        let folder = FileManager.default.temporaryDirectory.appending(path: "postgres-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let user = getuid() == 0 ? (getpwnam("postgres") ?? getpwnam("nobody")) : nil
        let account = user.map { ["--reuid", "\($0.pointee.pw_uid)", "--regid", "\($0.pointee.pw_gid)", "--clear-groups"] } ?? []
        if let user { chown(folder.path, user.pointee.pw_uid, user.pointee.pw_gid) }
        return (programs, folder, account, try FreePort.find())
    }

    private func run(_ program: String, _ arguments: [String]) throws {
        let result = try Command.run("setpriv", account + [programs.appending(path: program).path] + arguments)
        guard result.status == 0 else { throw HeadraceProcess.Failure(description: "\(program): \(result.errors)") }
    }

    private func configure(_ settings: [String: String]) throws {
        var configuration = "listen_addresses = '127.0.0.1'\nport = \(port)\nunix_socket_directories = '\(folder.path)'\nfsync = off\n"
        for (name, value) in settings { configuration += "\(name) = '\(value)'\n" }
        // In its place: the file belongs to the server's user.
        try configuration.write(to: folder.appending(path: "data/postgresql.auto.conf"), atomically: false, encoding: .utf8)
    }

    deinit { try? stop() }

    public func start() throws {
        let server = Program()
        server.executableURL = Command.find("setpriv")
        // The kernel ends it with us, however we end.
        server.arguments =
            account + ["--pdeathsig", "INT", programs.appending(path: "postgres").path, "-D", folder.appending(path: "data").path]
        let log = folder.appending(path: "log")
        if !FileManager.default.fileExists(atPath: log.path) { try Data().write(to: log) }
        let handle = try FileHandle(forWritingTo: log)
        try handle.seekToEnd()
        server.standardOutput = handle
        server.standardError = handle
        server.standardInput = FileHandle.nullDevice
        try server.start()
        process.withLock { $0 = server }
        let end = Date().addingTimeInterval(60)
        while try Command.run("psql", arguments(database: "postgres") + ["-c", "SELECT 1"]).status != 0 {
            guard Date() < end, server.isRunning else {
                throw HeadraceProcess.Failure(description: "PostgreSQL did not start; see \(log.path)")
            }
            usleep(50_000)
        }
    }

    /// Fast shutdown: sessions are ended, data is kept.
    public func stop(_ signal: Int32 = SIGINT) throws {
        let server = process.withLock { $0 }
        guard let server, server.isRunning else { return }
        kill(server.processIdentifier, signal)
        server.waitForEnd()
    }

    /// Runs SQL at the server itself.
    /// - Returns: rows by lines, columns by `|`.
    @discardableResult
    public func query(_ sql: String, database: String = "shop") throws -> String {
        let result = try Command.run("psql", arguments(database: database) + ["-c", sql])
        guard result.status == 0 else { throw HeadraceProcess.Failure(description: "psql: \(result.errors)") }
        return result.text.trimmingCharacters(in: .newlines)
    }

    private func arguments(database: String) -> [String] {
        ["-X", "-A", "-t", "-q", "-w", "-h", "127.0.0.1", "-p", "\(port)", "-U", "postgres", "-d", database]
    }

    public func url(user: String? = "postgres", database: String = "shop") -> String {
        "postgres://\(user.map { "\($0)@" } ?? "")127.0.0.1:\(port)/\(database)"
    }
}
