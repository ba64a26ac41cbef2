/// The edge's part of the demo: the application's pages, past the edge and through it.
struct DemoTable: Sendable {
    enum Way: String, DemoWay {
        case application = "application alone"
        case edge = "through the edge"
    }

    var measured = MeasuredWays<Way, Void>()

    func rows() -> [DemoRow] {
        measured.rows().map { row, _ in
            var row = row
            row.load = Self.load(row.users)
            return row
        }
    }

    func rendered() -> String {
        var table = TextTable(columns: [
            .left("load"), .right("users"), .left("way"), .right("requests/s"), .right("mean ms"), .right("p50 ms"), .right("p95 ms"),
            .right("p99 ms"), .right("bytes/request"), .right("failed"), .right("ratio (spread)"),
        ])
        for row in rows() {
            table.add(
                [row.load ?? "", "\(row.users)", row.way]
                    + [row.requestsPerSecond, row.meanMs, row.p50Ms, row.p95Ms, row.p99Ms].map(DemoRow.number)
                    + ["\(Int(row.bytesPerRequest))", "\(row.failed)", row.ratioText])
        }
        return table.rendered()
    }

    /// The names that the old hourly job had for its loads.
    static func load(_ users: Int) -> String {
        switch users {
        case ...5: "light"
        case ...20: "medium"
        default: "heavy"
        }
    }
}
