import Foundation
import TestSupport
import Testing

@testable import headrace

@Suite struct BlockReadingsTests {
    @Test func `each arm is divided by its own requests, the reference with its control by both`() {
        var sums = BlockSums(armCount: 4)
        sums.add(BlockReadings(databaseSeconds: 2, statements: 40, transactions: 30), arm: 0)
        sums.add(BlockReadings(databaseSeconds: 4, statements: 20, transactions: 10), arm: 0)
        sums.add(BlockReadings(databaseSeconds: 4, transactions: 10), arm: 2)
        sums.add(BlockReadings(databaseSeconds: 6, statements: 60, transactions: 20), arm: 3)
        #expect(sums.perRequest([0], requests: 20) == BlockReadings(databaseSeconds: 0.3, statements: 3, transactions: 2))
        #expect(sums.perRequest([0, 3], requests: 40) == BlockReadings(databaseSeconds: 0.3, statements: 3, transactions: 1.5))
        #expect(sums.perRequest([1], requests: 20) == nil && sums.perRequest([7], requests: 20) == nil && sums.perRequest([0], requests: 0) == nil)
        #expect(sums.perRequest([2], requests: 10) == BlockReadings(databaseSeconds: 0.4, transactions: 1))
    }

    @Test func `the pooler's queries are those of databases, and PostgreSQL's own count goes before them`() {
        var readings = BlockReadings()
        readings.add(
            metrics: """
                headrace_pooler_leases_total 7
                headrace_pooler_server_logins_total 2
                headrace_keyspace_commands_total 9
                pgbouncer_stats_totals_queries_pooled_total{database="shop"} 30
                pgbouncer_stats_totals_queries_pooled_total{database="other"} 12
                pgbouncer_stats_totals_queries_pooled_total{database="pgbouncer"} 500
                pgbouncer_stats_totals_sql_transactions_pooled_total{database="shop"} 11
                """)
        #expect(readings == BlockReadings(statements: 42, transactions: 7, databaseConnections: 2, keyspaceCommands: 9))
        readings.add(DatabaseCounters.Reading(statements: 100, sessions: 50))
        #expect(readings.statements == 100 && readings.databaseConnections == 2)
        var timed = BlockReadings(databaseSeconds: 10)
        timed.add(DatabaseCounters.Reading(ownSeconds: 3))
        #expect(timed.databaseSeconds == 7, "what it took to ask is nobody's")
        var bare = BlockReadings()
        bare.add(metrics: "headrace_edge_requests_total 1")
        #expect(bare == BlockReadings())
        bare.add(DatabaseCounters.Reading(statements: nil, sessions: 50))
        #expect(bare == BlockReadings(databaseConnections: 50))
    }

    @Test func `a process took what it says that it took`() throws {
        let process = Program()
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = ["-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; times; read line"]
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        try process.start()
        defer {
            try? input.fileHandleForWriting.close()
            process.waitForEnd()
        }
        // "0m0.140s 0m0.010s" of itself, then of its children.
        let text = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        let words = text.matches(of: #/(\d+)m([0-9.]+)s/#).prefix(2).compactMap { match in
            Double(match.1).flatMap { minutes in Double(match.2).map { 60 * minutes + $0 } }
        }
        try #require(words.count == 2, "\(text)")
        let said = words[0] + words[1]
        // Each of the two is counted in hundredths of a second.
        let read = try #require(ProcessorTime.seconds(of: [process.processIdentifier]))
        #expect(said > 0.02 && abs(read - said) <= 0.03, "\(read), and it says \(said)")
    }

    @Test(.enabled(if: PostgresCluster.programs != nil && Command.find("psql") != nil, "PostgreSQL is not installed: run scripts/setup test"))
    func `statements are counted one by one, and the counting is none of them`() async throws {
        let postgres = try PostgresCluster(settings: ["shared_preload_libraries": "pg_stat_statements"])
        let bare = try DatabaseCounters(PostgresURL(postgres.url()), password: nil)
        #expect(try await bare.read().statements == nil, "it is not installed there")
        await bare.close()
        try postgres.query("CREATE EXTENSION pg_stat_statements")
        let counters = try DatabaseCounters(PostgresURL(postgres.url()), password: nil)
        let before = try await counters.read()
        for number in 1...3 { try postgres.query("SELECT \(number); SELECT \(number) + \(number)") }
        try postgres.query("SELECT 1", database: "other")
        var after = try await counters.read()
        #expect(try #require(after.statements) - #require(before.statements) == 6, "another database's are others'")
        // Sessions are counted when they have ended.
        let sessions = try #require(before.sessions) + 3
        for _ in 0..<200 where after.sessions ?? 0 < sessions {
            try await Task.sleep(for: .milliseconds(50))
            after = try await counters.read()
        }
        #expect(try #require(after.sessions) >= sessions)
        await counters.close()
    }
}
