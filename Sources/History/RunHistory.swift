import Foundation
import GRDB

/// What was measured, kept for ever: one row for each run of `bench`, `compare` and `prove`, with its whole document. SQLite, in one
/// file; several processes may use it at a time.
///
/// A kill at any moment loses at most the run that was being added (SQLite's write-ahead log). A file of a newer program is refused, one of
/// an older program is brought up to date.
public final class RunHistory: Sendable {
    public enum Kind: String, Sendable, CaseIterable {
        case bench
        case compare
        case prove
    }

    public struct Run: Sendable, Equatable {
        /// 1 and up, by the order of their ends.
        public var number: Int64
        public var kind: Kind
        /// Seconds since 1970.
        public var startedAt: Double
        /// What was measured: the URLs, for people.
        public var subject: String
        /// The document that `--json` prints.
        public var document: String
    }

    /// Why the history cannot be used; the description is for the operator.
    public struct Unusable: Error, CustomStringConvertible {
        public let description: String
    }

    /// Documents are some 10 KB for a run of a minute; a larger one than this is not kept.
    public static let documentBytesMax = 16 << 20
    private static let busySeconds = 5.0

    private let database: DatabasePool

    /// Opens the file, and makes it and its folder when they are missing.
    /// - Throws: ``Unusable``.
    public init(path: String) throws(Unusable) {
        do {
            let folder = URL(filePath: path).deletingLastPathComponent()
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            var configuration = Configuration()
            configuration.busyMode = .timeout(Self.busySeconds)
            database = try DatabasePool(path: path, configuration: configuration)
            let migrator = Self.migrator
            guard try database.read({ try !migrator.hasBeenSuperseded($0) }) else {
                throw Unusable(description: "it was written by a newer headrace")
            }
            do {
                try migrator.migrate(database)
            } catch is DatabaseError {
                // Another process was at it at the same moment: now it is done.
                try migrator.migrate(database)
            }
        } catch {
            throw Unusable(description: "\(path): \(Self.reason(error))")
        }
    }

    private static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("runs") { database in
            try database.create(table: "run") { table in
                table.autoIncrementedPrimaryKey("number")
                table.column("kind", .text).notNull()
                table.column("startedAt", .double).notNull().indexed()
                table.column("subject", .text).notNull()
                table.column("document", .text).notNull()
            }
        }
        return migrator
    }

    /// - Returns: the run's number.
    /// - Throws: ``Unusable``: the disk is full, another process has the file for longer than five seconds, the document is too large.
    @discardableResult
    public func add(_ kind: Kind, startedAt: Double, subject: String, document: String) throws(Unusable) -> Int64 {
        guard document.utf8.count <= Self.documentBytesMax else {
            throw Unusable(description: "a document of \(document.utf8.count) bytes is larger than \(Self.documentBytesMax)")
        }
        return try using { database in
            try database.write { database in
                try database.execute(
                    sql: "INSERT INTO run (kind, startedAt, subject, document) VALUES (?, ?, ?, ?)",
                    arguments: [kind.rawValue, startedAt, subject, document])
                return database.lastInsertedRowID
            }
        }
    }

    public func run(_ number: Int64) throws(Unusable) -> Run? {
        try runs("WHERE number = ?", [number]).first
    }

    /// Those that began since then, the oldest first.
    /// - Parameter since: seconds since 1970.
    public func runs(since: Double, kind: Kind? = nil, limit: Int = 10_000) throws(Unusable) -> [Run] {
        let newest = try runs(
            "WHERE startedAt >= ? AND (? IS NULL OR kind = ?) ORDER BY number DESC LIMIT ?", [since, kind?.rawValue, kind?.rawValue, limit])
        return newest.reversed()
    }

    private func runs(_ condition: String, _ arguments: StatementArguments) throws(Unusable) -> [Run] {
        try using { database in
            try database.read { database in
                try Row.fetchAll(database, sql: "SELECT * FROM run \(condition)", arguments: arguments).compactMap { row in
                    guard let kind = Kind(rawValue: row["kind"]) else { return nil }
                    return Run(
                        number: row["number"], kind: kind, startedAt: row["startedAt"], subject: row["subject"], document: row["document"])
                }
            }
        }
    }

    private func using<T>(_ body: (DatabasePool) throws -> T) throws(Unusable) -> T {
        do {
            return try body(database)
        } catch {
            throw Unusable(description: Self.reason(error))
        }
    }

    static func reason(_ error: any Error) -> String {
        switch error {
        case let error as Unusable: error.description
        case let error as DatabaseError: error.message ?? "\(error.resultCode)"
        default: error.localizedDescription
        }
    }
}
