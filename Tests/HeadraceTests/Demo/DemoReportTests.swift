import Foundation
@testable import LoadGenerator
import Testing

@testable import headrace

/// The demo's document, from recorded results: whoever has it needs no table.
@Suite struct DemoReportTests {
    private func level(_ rate: Double, failed: Int = 0) -> BenchDocument.Level {
        BenchDocument.Level(
            users: 5, seconds: 1, requests: Int(rate), requestsPerSecond: rate, meanMs: 1.25, p50Ms: 1, p95Ms: 2, p99Ms: 3, maxMs: 4,
            bytesPerRequest: 8273, failed: failed, failures: [:], generatorCpuShare: 0.5)
    }

    /// `headrace prove --json --quick`, as it is printed: everything on takes 10 ms, everything off 30.
    private func proof() throws -> String {
        var comparison = Comparison(arms: ["everything on", "everything off", "everything on, again"], reference: 0, control: 2)
        for round in 0..<20 {
            comparison.add([10.0, 30, 10].enumerated().map { .init(milliseconds: $1 * (1 + 0.002 * Double((round * 7 + $0) % 5 - 2))) })
        }
        comparison.judgesReference = true
        let counters = ProvedLayer.Counters(requests: 100, upstreamRequests: 4, upstreamConnects: 1, coded: 100, cpuSeconds: 0.002)
        let report = ProofReport(
            application: "http://a", rate: 50, seed: 1, measure: .median, secondsPerRound: 8,
            result: .init(comparison: comparison, reports: (0..<3).map { _ in LoadReport(users: 1) }, isInterrupted: false),
            arms: ["everything on", "everything off"].map { .init(name: $0, counters: counters, bytesPerRequest: 5000) },
            layerArms: ProvedLayer.all.map { ($0, nil) }, offArm: 1)
        return try ComparisonTable.json(report.document())
    }

    private func report(failedAlone: Int = 0) throws -> DemoReport {
        var edge = DemoTable()
        edge.measured.add(.init(users: 5, way: .application, level: level(100), note: ()))
        edge.measured.add(.init(users: 5, way: .edge, level: level(1000, failed: 2), note: ()))
        var pooler = PoolerTable()
        pooler.measured.add(.init(users: 100, way: .direct, level: level(50, failed: failedAlone), note: 90))
        pooler.measured.add(.init(users: 100, way: .pooler, level: level(75), note: 30))
        var keyspace = KeyspaceTable()
        var numbers = KeyspaceNumbers(hits: 9, misses: 1, bytes: 2 << 20)
        keyspace.measured.add(.init(users: 5, way: .computed, level: level(40), note: .init(queriesPerRequest: 4, keyspace: nil)))
        keyspace.measured.add(.init(users: 5, way: .kept, level: level(80), note: .init(queriesPerRequest: 1, keyspace: numbers)))
        numbers.bytes = 1 << 20
        keyspace.measured.add(.init(users: 5, way: .computed, level: level(40), note: .init(queriesPerRequest: 4, keyspace: nil)))
        keyspace.measured.add(.init(users: 5, way: .kept, level: level(160), note: .init(queriesPerRequest: 1, keyspace: numbers)))
        return DemoReport(
            rounds: 2, duration: "3s", edge: edge, sizes: .init(target: "/scans/400", sizes: [("identity", 40_000), ("gzip", 8000)]),
            pooler: pooler, keyspace: keyspace, proof: try ProofReport.Document(text: try proof()))
    }

    private func object(_ report: DemoReport) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(try report.json().utf8)) as? [String: Any])
    }

    private func rows(_ object: [String: Any], _ part: String) throws -> [[String: Any]] {
        try #require((object[part] as? [String: Any])?["rows"] as? [[String: Any]])
    }

    @Test func `every figure of the edge's table is in the document`() throws {
        let rows = try rows(object(report()), "edge")
        #expect(rows.map { $0["way"] as? String } == ["application alone", "through the edge"])
        let edge = rows[1]
        #expect(edge["load"] as? String == "light" && edge["users"] as? Int == 5)
        let names = ["requests_per_second", "mean_ms", "p50_ms", "p95_ms", "p99_ms", "bytes_per_request", "failed", "ratio", "ratio_low", "ratio_high"]
        #expect(names.map { edge[$0] as? Double } == [1000, 1.25, 1, 2, 3, 8273, 2, 10, 10, 10])
        #expect(rows[0]["ratio"] == nil, "the way without the layer is what the ratio is to")
    }

    @Test func `the pooler's rows say how many server connections there were`() throws {
        let rows = try rows(object(report()), "pooler")
        #expect(rows.map { $0["server_connections"] as? Int } == [90, 30])
        #expect(rows[1]["ratio"] as? Double == 1.5)
    }

    @Test func `the keyspace's rows have hits, queries and memory`() throws {
        let rows = try rows(object(report()), "keyspace")
        #expect(rows[0]["hit_rate"] == nil && rows[0]["queries_per_request"] as? Double == 4)
        let names = ["hit_rate", "queries_per_request", "queries_saved", "keyspace_bytes", "ratio", "ratio_low", "ratio_high"]
        #expect(names.map { rows[1][$0] as? Double } == [0.9, 1, 0.75, Double(2 << 20), 3, 2, 4])
    }

    @Test func `the page's sizes and the measurements behind the medians are there`() throws {
        let object = try object(report())
        let page = try #require(object["page"] as? [String: Any])
        let sizes = try #require(page["sizes"] as? [[String: Any]])
        #expect(page["path"] as? String == "/scans/400" && sizes.map { $0["bytes"] as? Int } == [40_000, 8000])
        #expect(sizes.map { $0["saved"] as? Double } == [0, 0.8])
        let measurements = try #require((object["keyspace"] as? [String: Any])?["measurements"] as? [[String: Any]])
        #expect(measurements.count == 4)
        #expect(object["rounds"] as? Int == 2 && object["duration"] as? String == "3s" && object["failed"] as? Int == 2)
    }

    @Test func `the proof stands in it as headrace prove gives it`() throws {
        let object = try object(report())
        let proof = try #require(object["proof"] as? [String: Any])
        let own = try #require(try JSONSerialization.jsonObject(with: Data(try self.proof().utf8)) as? NSDictionary)
        #expect(NSDictionary(dictionary: proof) == own)
        let layers = try #require(proof["layers"] as? [[String: Any]])
        #expect((layers[0]["words"] as? String)?.hasPrefix("faster by 67 %") == true)
    }

    @Test func `the document and the tables are made of the same rows`() throws {
        let report = try report()
        let text = report.rendered()
        for row in report.edge.rows() + report.pooler.rows() + report.keyspace.rows() {
            let line = text.split(separator: "\n").first { $0.contains(row.way) && $0.contains(DemoRow.number(row.requestsPerSecond)) }
            #expect(line?.hasSuffix(row.ratioText) == true, "\(row)")
        }
        #expect(text.contains("gzip                  8000   80 %"))
    }

    @Test func `more clients than PostgreSQL has connections for may fail without the pooler, and nowhere else`() throws {
        #expect(try report(failedAlone: 7).failed == 2)
    }
}
