import Dashboard
import Foundation
import History

/// The runs of `bench` and `prove` that the page shows, out of the history that those commands write.
struct KeptRuns: Sendable {
    /// Runs of `bench` on the page: a month of daily ones.
    static let benchesMax = 30
    private static let days = 400.0

    private let path: String
    private var history: RunHistory?
    private var modified: Date?

    init(path: String) {
        self.path = path
    }

    /// Reads them if the file has changed. Waits for the disk.
    /// - Returns: `nil` when nothing is new.
    mutating func read(now: Double) -> (benches: [Facts.BenchRun], proof: Facts.ProofRun?)? {
        // Not made here: a file without runs is nobody's wish.
        guard let changed = newest(), changed != modified else { return nil }
        modified = changed
        if history == nil { history = try? RunHistory(path: path) }
        guard let history else { return nil }
        let since = now - Self.days * 86_400
        let benches = ((try? history.runs(since: since, kind: .bench, limit: Self.benchesMax)) ?? []).compactMap(Self.bench)
        let proof = ((try? history.runs(since: since, kind: .prove, limit: 1)) ?? []).last.flatMap(Self.proof)
        return (benches, proof)
    }

    /// SQLite writes to the log beside the file first.
    private func newest() -> Date? {
        [path, path + "-wal"].compactMap { file in
            (try? FileManager.default.attributesOfItem(atPath: file))?[.modificationDate] as? Date
        }.max()
    }

    static func bench(_ run: RunHistory.Run) -> Facts.BenchRun? {
        guard let document = try? BenchDocument(text: run.document) else { return nil }
        let levels = document.levels.map { level in
            let seconds = level.course.filter { !$0.isWarmUp && $0.requestsPerSecond > 0 }.map(\.requestsPerSecond).sorted()
            let band = seconds.count > 2 ? seconds[seconds.count / 10]...seconds[seconds.count - 1 - seconds.count / 10] : nil
            return Facts.BenchRun.Level(
                users: level.users, requestsPerSecond: level.requestsPerSecond, band: band, meanMs: level.meanMs, p95Ms: level.p95Ms,
                failed: Double(level.failed))
        }
        return Facts.BenchRun(number: run.number, startedAt: run.startedAt, subject: run.subject, levels: levels)
    }

    private struct ProofDocument: Decodable {
        struct Row: Decodable {
            var layer: String
            var verdict: String
            var words: String
            var changePercent: Double?
            var changePercentLow: Double?
            var changePercentHigh: Double?
        }

        var rate: Double
        var rounds: Int
        var isTooNoisy: Bool
        var layers: [Row]
    }

    static func proof(_ run: RunHistory.Run) -> Facts.ProofRun? {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        guard let document = try? decoder.decode(ProofDocument.self, from: Data(run.document.utf8)) else { return nil }
        return Facts.ProofRun(
            number: run.number, startedAt: run.startedAt, subject: run.subject, rate: document.rate, rounds: document.rounds,
            isTooNoisy: document.isTooNoisy,
            rows: document.layers.map {
                .init(
                    layer: $0.layer, verdict: $0.verdict, words: $0.words, change: $0.changePercent, low: $0.changePercentLow,
                    high: $0.changePercentHigh)
            })
    }
}
