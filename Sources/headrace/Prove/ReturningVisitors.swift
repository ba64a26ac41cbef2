import Foundation
import LoadGenerator
import Telemetry

/// What browser caching is worth: to nobody's first view, and to each that follows. So its arms are visitors with browsers (``VisitorRun``)
/// who look at a page more than once, in randomised complete blocks as the other layers' are; a block's figure is the median of its repeated views.
struct ReturningVisitors {
    struct Arm: Sendable {
        var name: String
        /// Makes the fields anew for each block, for those that carry the time.
        var fields: @Sendable () -> [Workload.Field]
    }

    struct Options: Sendable {
        var pages: [HTTPURL]
        /// 1: exact figures alone, and no control.
        var rounds: Int
        var seed: UInt64 = 1
        var timeout = Duration.seconds(10)
        var verifies = true
    }

    /// Per repeated view, in all rounds together.
    struct Figures: Codable, Sendable, Equatable {
        var arm: String
        var views: Int
        var failed: Int
        var requestsPerView: Double
        var notModifiedPerView: Double
        var fromCachePerView: Double
        var bytesPerView: Double
        /// What failed in any view, and how often; `nil` when nothing did.
        var failures: [String: Int]?
    }

    struct Result: Sendable {
        var comparison: Comparison
        var figures: [Figures]
        var secondsPerRound: Double
    }

    static let visitorsPerSecond = 1.0
    static let blockSeconds = 2.0
    static let repeatedViews = 2
    private static let pause = Duration.milliseconds(50)
    /// A view that comes from the browser's cache alone takes no time that a machine can tell.
    private static let millisecondsMin = 0.01

    private let options: Options

    init(_ options: Options) {
        self.options = options
    }

    static func secondsPerRound(_ rounds: Int) -> Double { Double(rounds > 1 ? 3 : 2) * (blockSeconds + 0.2) }

    /// - Parameters:
    ///   - on: as visitors have it.
    ///   - off: without what the edge tells browsers.
    /// - Returns: `nil` when it was cut short before there was anything.
    func run(on: Arm, off: Arm, stop: LoadStop) async throws -> Result? {
        var arms = [on, off]
        if options.rounds > 1 { arms.append(Arm(name: "\(on.name), again", fields: on.fields)) }
        var comparison = Comparison(arms: arms.map(\.name), reference: 0, control: arms.count > 2 ? 2 : nil)
        comparison.judgesReference = true
        var blocks = RandomisedBlocks(armCount: arms.count, seed: options.seed)
        var reports = Array(repeating: ViewReport(), count: arms.count)
        var failures = Array(repeating: [String: Int](), count: arms.count)
        for round in 1...options.rounds {
            var measured = Array(repeating: Comparison.Block?.none, count: arms.count)
            for arm in blocks.next() {
                let report = try await VisitorRun(plan(arms[arm], round), stop: stop).run()
                guard !stop.isSet else { break }
                let times = report.repeated.times
                if times.count > 0 { measured[arm] = .init(milliseconds: max(times.interpolatedPercentile(50) / 1e6, Self.millisecondsMin)) }
                reports[arm].add(report.repeated)
                failures[arm].merge(report.failures, uniquingKeysWith: +)
            }
            guard !stop.isSet else { break }
            comparison.add(measured)
        }
        guard reports.allSatisfy({ $0.views + $0.failed > 0 }) else { return nil }
        return Result(
            comparison: comparison, figures: arms.indices.map { Figures(arm: arms[$0].name, reports[$0], failures: failures[$0]) }, secondsPerRound: Self.secondsPerRound(options.rounds))
    }

    private func plan(_ arm: Arm, _ round: Int) -> VisitorPlan {
        var plan = VisitorPlan(pages: options.pages) { Decoding.decoded($0, $1) }
        plan.fields = arm.fields()
        plan.rate = Self.visitorsPerSecond
        plan.seconds = Self.blockSeconds
        plan.seed = options.seed &+ UInt64(round)
        plan.repeatedViews = Self.repeatedViews
        plan.pause = Self.pause
        plan.timeout = options.timeout
        plan.verifies = options.verifies
        return plan
    }
}

extension ReturningVisitors.Figures {
    init(arm: String, _ report: ViewReport, failures: [String: Int] = [:]) {
        let count = Double(max(report.views + report.failed, 1))
        self.init(
            arm: arm, views: report.views, failed: report.failed, requestsPerView: Double(report.requests) / count,
            notModifiedPerView: Double(report.notModified) / count, fromCachePerView: Double(report.fromCache) / count,
            bytesPerView: Double(report.bytes) / count, failures: failures.isEmpty ? nil : failures)
    }
}

extension ViewReport {
    /// Adds what was counted; the times stay those of a run.
    fileprivate mutating func add(_ other: ViewReport) {
        views += other.views
        failed += other.failed
        requests += other.requests
        notModified += other.notModified
        fromCache += other.fromCache
        bytes += other.bytes
    }
}
