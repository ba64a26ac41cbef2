import ArgumentParser
import Foundation
import LoadGenerator
import Transport

/// What is sent to a database: the part of the command line that is for `postgres://`.
struct TransactionOptions: ParsableArguments {
    @Option(
        name: .customLong("script"),
        help: ArgumentHelp(
            "Of postgres://: [WEIGHT@]FILE in the manner of pgbench, or one of its own by name: select-only, simple-update, tpcb-like; may be repeated.",
            valueName: "script"))
    var scripts: [String] = []

    @Option(name: .customLong("query"), help: ArgumentHelp("Of postgres://: [WEIGHT@]SQL; may be repeated. SELECT 1 if nothing is said.", valueName: "sql"))
    var queries: [String] = []

    @Option(help: "How statements are sent: simple, extended or prepared.")
    var `protocol`: TransactionScript.Mode = .simple

    @Option(help: "What :scale is in scripts: that of pgbench --initialize.")
    var scale = 1

    func validate() throws {
        guard (1...1_000_000).contains(scale) else { throw ValidationError("--scale: from 1 to 1000000") }
    }

    /// The password is the address's, or PGPASSWORD's.
    func workload(_ url: PostgresURL, endpoint: SocketEndpoint?, seed: UInt64, keepsAlive: Bool) throws -> Workload {
        let environment = ProcessInfo.processInfo.environment
        let user = url.user ?? environment["PGUSER"] ?? environment["USER"] ?? "postgres"
        let login = DatabaseLogin(user: user, password: url.password ?? environment["PGPASSWORD"], database: url.database)
        do {
            return try TransactionScript.workload(
                try read(), login, at: endpoint ?? url.hosts[0], mode: `protocol`, scale: scale, seed: seed, keepsAlive: keepsAlive)
        } catch let error as TransactionScript.Invalid {
            throw ValidationError("\(error)")
        }
    }

    private func read() throws -> [(weight: Int, script: TransactionScript)] {
        var all = try scripts.map { text in
            let (weight, name) = try Weighted.split(text, "--script")
            if let script = TransactionScript.builtIn[name] { return (weight, try TransactionScript(script, name: name)) }
            guard let data = FileManager.default.contents(atPath: name) else {
                throw ValidationError("--script \(name): no file that can be read, and not one of \(TransactionScript.builtIn.keys.sorted().joined(separator: ", "))")
            }
            return (weight, try TransactionScript(String(decoding: data, as: UTF8.self), name: URL(filePath: name).lastPathComponent))
        }
        all += try queries.map { text in
            let (weight, sql) = try Weighted.split(text, "--query")
            return (weight, try TransactionScript(sql, name: String(sql.prefix(60))))
        }
        return all.isEmpty ? [(1, try TransactionScript("SELECT 1", name: "SELECT 1"))] : all
    }
}
