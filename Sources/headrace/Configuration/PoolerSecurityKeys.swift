import Foundation
import Pooler
import Transport

/// What can be said of logins, TLS and the console of the pooler.
enum PoolerSecurityKeys {
    static let all: [ConfigurationKey] = [
        .init(
            "pooler.auth.method", \.pooler.authentication.method, .word("method"),
            "How clients show who they are, unless there are rules."),
        .init(
            "pooler.auth.users_file", \.poolerUsersFile, .optional(.text("file")),
            "Users and passwords, a pair in double quotes on each line, as PgBouncer's auth_file has them."),
        .init(
            "pooler.auth.rules_file", \.poolerRulesFile, .optional(.text("file")),
            "Who may come in, from where and how, in the format of pg_hba.conf."),
        .init(
            "pooler.auth.query", \.pooler.authentication.query, .optional(.text("SQL")),
            "Asked of the database for users who are not in the file: gives name and password for the name $1."),
        .init(
            "pooler.auth.query_user", \.pooler.authentication.queryUser, .optional(.text("user")),
            "As whom pooler.auth.query is asked; his password is in the users file, or in pooler.password."),
        .init(
            "pooler.auth.query_database", \.pooler.authentication.queryDatabase, .optional(.text("database")),
            "Where pooler.auth.query is asked; otherwise in the database that the client wants."),
        .init(
            "pooler.auth.admins", \.pooler.authentication.admins, .list("users", of: .text("user"), isEmptyAllowed: true),
            "Who may use the console: psql to the database pgbouncer or headrace."),
        .init(
            "pooler.auth.observers", \.pooler.authentication.observers, .list("users", of: .text("user"), isEmptyAllowed: true),
            "Who may look at the console's tables."),

        .init("pooler.tls.clients", \.pooler.tls.client, .word("mode"), "TLS with clients."),
        .init(
            "pooler.tls.certificate", \.pooler.tls.clientFiles.certificate, .optional(.text("file")),
            "The certificate that clients see, in PEM, and those that vouch for it."),
        .init("pooler.tls.key", \.pooler.tls.clientFiles.key, .optional(.text("file")), "Its private key, in PEM."),
        .init(
            "pooler.tls.client_authorities", \.pooler.tls.clientFiles.authorities, .optional(.text("file")),
            "Whose certificates are believed of clients, in PEM."),
        .init("pooler.tls.servers", \.pooler.tls.server, .word("mode"), "TLS with servers: libpq's sslmode."),
        .init(
            "pooler.tls.server_authorities", \.pooler.tls.serverFiles.authorities, .optional(.text("file")),
            "Whose certificates are believed of servers, in PEM; without it, the system's."),
        .init(
            "pooler.tls.server_certificate", \.pooler.tls.serverFiles.certificate, .optional(.text("file")),
            "The certificate that servers see, in PEM."),
        .init("pooler.tls.server_key", \.pooler.tls.serverFiles.key, .optional(.text("file")), "Its private key, in PEM."),
    ]
}

extension Settings {
    /// The pooler with the files that its settings name.
    /// - Throws: what is wrong with a file, with its line.
    func readPoolerConfiguration() throws -> PoolerConfiguration? {
        guard var pooler = poolerConfiguration else { return nil }
        if let file = poolerUsersFile {
            pooler.authentication.users = try Self.read(file) { text throws(UserList.Problem) in try UserList(text) }
        }
        if let file = poolerRulesFile {
            pooler.authentication.rules = try Self.read(file) { text throws(HostRules.Problem) in try HostRules(text) }
        }
        return pooler
    }

    private struct FileProblem: Error, CustomStringConvertible {
        var description: String
    }

    private static func read<Value>(_ file: String, _ parse: (String) throws(UserList.Problem) -> Value) throws -> Value {
        let text = try ConfiguredFile.text(file)
        do throws(UserList.Problem) {
            return try parse(text)
        } catch {
            throw FileProblem(description: "\(file), line \(error.line): expected \(error.expected)")
        }
    }
}

extension ValueFormat where Value: RawRepresentable & CaseIterable & Sendable, Value.RawValue == String {
    /// One of an enumeration's words.
    static func word(_ name: String) -> Self {
        let words = ValueFormat<String>.choice(Value.allCases.map(\.rawValue))
        return Self(
            name, units: words.units,
            parse: { text in
                guard let value = Value(rawValue: try words.parse([text])) else { throw ValueProblem("\"\(text)\" is none of \(words.units)") }
                return value
            },
            render: { $0.rawValue })
    }
}
