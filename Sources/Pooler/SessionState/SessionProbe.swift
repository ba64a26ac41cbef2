import NIOCore
import PostgresWire

/// The question to a server what its session holds, for when the text of a statement does not tell.
///
/// Four index or memory look-ups, between transactions, so that what is found is the session's. It needs no rights.
/// - Source: PostgreSQL 15, "pg_locks", "pg_cursors", "pg_prepared_statements", "pg_class".
enum SessionProbe {
    /// One row of four booleans. Our own prepared statements come by the protocol: only SQL's count.
    static let sql = """
        SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()), \
        pg_catalog.pg_my_temp_schema() <> 0 AND EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema()), \
        EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable), \
        EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql)
        """

    struct Answer: Sendable, Equatable {
        var hasAdvisoryLocks: Bool
        var hasTemporaryTables: Bool
        var hasHoldableCursors: Bool
        var hasPreparedStatements: Bool

        /// - Parameter row: the values of the row, in text.
        /// - Returns: `nil` when it is not the row that was asked for.
        init?(row: [[UInt8]?]) {
            let flags = row.compactMap { $0 }.compactMap { $0 == [UInt8(ascii: "t")] ? true : $0 == [UInt8(ascii: "f")] ? false : nil }
            guard row.count == 4, flags.count == 4 else { return nil }
            hasAdvisoryLocks = flags[0]
            hasTemporaryTables = flags[1]
            hasHoldableCursors = flags[2]
            hasPreparedStatements = flags[3]
        }

        /// - Parameter payload: DataRow's.
        init?(payload: ByteBuffer) {
            guard let row = BackendMessage.dataRow(payload: payload) else { return nil }
            self.init(row: row)
        }

        init(advisoryLocks: Bool = false, temporaryTables: Bool = false, holdableCursors: Bool = false, preparedStatements: Bool = false) {
            hasAdvisoryLocks = advisoryLocks
            hasTemporaryTables = temporaryTables
            hasHoldableCursors = holdableCursors
            hasPreparedStatements = preparedStatements
        }
    }
}
