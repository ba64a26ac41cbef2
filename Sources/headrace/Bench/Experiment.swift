import Foundation
import LoadGenerator

/// Measures arms in randomised complete blocks: in each round each arm once, in an order drawn for the round, with the same schedule of
/// arrivals.
struct Experiment {
    struct Arm: Sendable {
        var name: String
        /// Its rate, length and warm-up are the experiment's.
        var plan: LoadPlan
        /// Makes the plan anew for each block, for requests that carry the time.
        var renewed: (@Sendable () throws -> LoadPlan)?
    }

    struct Options: Sendable {
        /// Requests per second.
        var rate = 50.0
        /// Measured in each block.
        var blockSeconds = 2.0
        /// Before that, so that what the last arm left behind has gone.
        var washOut = Duration.milliseconds(500)
        var roundsMin = 20
        /// Rounds go on until every interval is narrow enough, or so many have been.
        var roundsMax = 60
        var measure = Comparison.Measure.median
        var seed: UInt64 = 1
        var connectionsMax = 2000
        var shape = ArrivalShape.constant

        /// Of one round of so many arms.
        func secondsPerRound(arms: Int) -> Double {
            let pause = Double(washOut.components.seconds) + Double(washOut.components.attoseconds) / 1e18
            return Double(arms) * (blockSeconds + pause + 0.1)
        }
    }

    /// What it came to.
    struct Result: Sendable {
        var comparison: Comparison
        /// Over all rounds, by arm.
        var reports: [LoadReport]
        var isInterrupted: Bool
        /// Why it was given up before its end, by who watches over it.
        var abortion: String?
        var readings = BlockSums(armCount: 0)
    }

    private let arms: [Arm]
    private let options: Options

    init(arms: [Arm], options: Options) {
        self.arms = arms
        self.options = options
    }

    /// - Parameters:
    ///   - reference: the place of the arm that the others are compared with.
    ///   - control: the place of the A/A control.
    ///   - meter: reads what all arms share, before and after each block.
    ///   - watch: is asked behind each round whether to give up, and why.
    /// - Throws: `LoadRun.Unreachable`.
    func run(
        reference: Int, control: Int?, stop: LoadStop, meter: (() async throws -> BlockReadings)? = nil,
        watch: (([Comparison.Block?]) async throws -> String?)? = nil
    ) async throws -> Result {
        var comparison = Comparison(arms: arms.map(\.name), reference: reference, control: control)
        var blocks = RandomisedBlocks(armCount: arms.count, seed: options.seed)
        var reports = Array(repeating: LoadReport?.none, count: arms.count)
        var abortion: String?
        var readings = BlockSums(armCount: arms.count)
        for round in 1...options.roundsMax {
            var measured = Array(repeating: Comparison.Block?.none, count: arms.count)
            for arm in blocks.next() {
                let before = try await meter?()
                let report = try await LoadRun(try plan(arm, round: round), stop: stop).run()
                // Also of one that was cut short: its requests are counted, too.
                if let before, let after = try await meter?() { readings.add(after - before, arm: arm) }
                guard !stop.isSet else { break }
                measured[arm] = .init(report)
                if reports[arm] == nil { reports[arm] = report } else { reports[arm]?.merge(report) }
            }
            guard !stop.isSet else { break }
            comparison.add(measured)
            say(round, measured, comparison)
            abortion = try await watch?(measured)
            if abortion != nil { break }
            if round >= options.roundsMin, comparison.isPrecise(options.measure) { break }
        }
        return Result(
            comparison: comparison, reports: reports.map { $0 ?? LoadReport(users: options.connectionsMax) },
            isInterrupted: stop.isSet || abortion != nil, abortion: abortion, readings: readings)
    }

    private func plan(_ arm: Int, round: Int) throws -> LoadPlan {
        var plan = try arms[arm].renewed?() ?? arms[arm].plan
        let profile = RateProfile(steady: options.rate, seconds: options.blockSeconds)
        // One seed for all arms of a round: they meet the same arrivals.
        plan.arrivals = .open(
            .init(profile, shape: options.shape, seed: options.seed &+ UInt64(round), connectionsMax: options.connectionsMax))
        plan.duration = .nanoseconds(Int64(options.blockSeconds * 1e9))
        plan.warmUp = .fixed(options.washOut)
        return plan
    }

    private func say(_ round: Int, _ blocks: [Comparison.Block?], _ comparison: Comparison) {
        let figures = zip(arms, blocks).map { arm, block in
            "\(arm.name) \(block?.p50.map { String(format: "%.2f", $0) } ?? "–")"
        }
        Terminal.say("round \(round), p50 in ms: \(figures.joined(separator: ", "))")
    }
}
