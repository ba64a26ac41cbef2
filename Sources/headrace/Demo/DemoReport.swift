import Foundation

/// What the demo found: as tables, and as a document that has every figure of them.
struct DemoReport: Sendable {
    let rounds: Int
    /// Of each measurement, as it was asked for.
    let duration: String
    let edge: DemoTable
    let sizes: PageSizes
    let pooler: PoolerTable
    let keyspace: KeyspaceTable
    /// `nil` when nothing was proved, or it is printed by itself.
    var proof: ProofReport.Document?

    /// Requests that failed where none may fail.
    var failed: Int { edge.measured.failed() + pooler.failed + keyspace.measured.failed() }

    func rendered() -> String {
        """
        \(edge.rendered())
        Closed loop: each user waits for its response before the next request, so stalls are under-reported. Medians of \(rounds) \
        rounds of \(duration); the ratio is of requests/s.

        \(sizes.rendered())

        \(pooler.rendered())
        The application connects to its database once per request; with the pooler its port differs, and nothing else.

        \(keyspace.rendered())
        The application keeps its results with @cache_response; hits are of the keyspace's lookups, queries the database's own count.
        """
    }

    struct Document: Encodable {
        let headrace = "demo"
        let schema = 1
        let model = "closed-loop"
        let rounds: Int
        let duration: String
        let failed: Int
        let edge: Part
        let pooler: Part
        let keyspace: Part
        let page: Page
        let proof: ProofReport.Document?

        /// One part of the demo: the table's rows, and the measurements that they are the medians of.
        struct Part: Encodable {
            let rows: [DemoRow]
            let measurements: [Measurement]
        }

        struct Measurement: Encodable {
            let way: String
            let level: BenchDocument.Level
        }

        struct Page: Encodable {
            let path: String
            let sizes: [Size]
        }

        struct Size: Encodable {
            let coding: String
            let bytes: Int
            /// Of the page without compression, 0…1.
            let saved: Double
        }
    }

    func document() -> Document {
        func part<Way, Note>(_ rows: [DemoRow], _ measured: MeasuredWays<Way, Note>) -> Document.Part {
            .init(rows: rows, measurements: measured.measurements.map { .init(way: $0.way.rawValue, level: $0.level) })
        }
        return Document(
            rounds: rounds, duration: duration, failed: failed, edge: part(edge.rows(), edge.measured),
            pooler: part(pooler.rows(), pooler.measured), keyspace: part(keyspace.rows(), keyspace.measured),
            page: .init(
                path: sizes.target,
                sizes: sizes.sizes.map { .init(coding: $0.coding, bytes: $0.bytes, saved: $0.coding == "identity" ? 0 : sizes.saved($0.coding)) }),
            proof: proof)
    }

    func json() throws -> String { try ComparisonTable.json(document()) }
}
