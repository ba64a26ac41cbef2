#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What was measured in randomised complete blocks, and what it shows: every arm beside one reference.
///
/// One of the arms may be the reference over again, under another name: the A/A control. There is no difference to be found in it; when
/// one is found all the same, the environment is too noisy for the rest to be believed.
public struct Comparison: Sendable {
    /// A figure of a block that arms are compared by; a positive number, the smaller the better.
    public enum Measure: String, Sendable, CaseIterable {
        case median = "p50"
        case p95
        case p99
        case mean
    }

    /// One arm in one round.
    public struct Block: Sendable, Equatable {
        /// Milliseconds by ``Measure``; `nil` where nothing succeeded.
        public var p50: Double?
        public var p95: Double?
        public var p99: Double?
        public var mean: Double?
        public var requests: Int
        public var failed: Int

        public init(_ report: LoadReport) {
            let hasTimes = report.succeeded > 0
            func time(_ percentile: Double) -> Double? {
                hasTimes ? report.responseTimes.interpolatedPercentile(percentile) / 1e6 : nil
            }
            p50 = time(50)
            p95 = time(95)
            p99 = time(99)
            mean = hasTimes ? report.meanMilliseconds : nil
            requests = report.requests
            failed = report.failed
        }

        public init(milliseconds: Double?) {
            (p50, p95, p99, mean) = (milliseconds, milliseconds, milliseconds, milliseconds)
            requests = 1
            failed = 0
        }

        func value(_ measure: Measure) -> Double? {
            switch measure {
            case .median: p50
            case .p95: p95
            case .p99: p99
            case .mean: mean
            }
        }
    }

    public let arms: [String]
    /// The place of the arm that all others are compared with.
    public let reference: Int
    /// The place of the A/A control, if there is one.
    public let control: Int?
    /// Turns the question around: what does the reference do beside each arm? So that "everything on" beside "without the cache" says
    /// what the cache does.
    public var judgesReference = false
    /// By round, then by arm.
    public private(set) var rounds: [[Block?]] = []

    /// - Precondition: the places are those of arms.
    public init(arms: [String], reference: Int, control: Int? = nil) {
        precondition(arms.indices.contains(reference) && control.map { arms.indices.contains($0) && $0 != reference } ?? true)
        self.arms = arms
        self.reference = reference
        self.control = control
    }

    /// Adds a round; an arm that could not be measured in it is `nil`.
    public mutating func add(_ blocks: [Block?]) {
        precondition(blocks.count == arms.count, "a round has a block for each arm")
        rounds.append(blocks)
    }

    /// Logarithms of arm over reference (or the other way, with ``judgesReference``), of the rounds that have both.
    public func logRatios(_ arm: Int, _ measure: Measure) -> [Double] {
        rounds.compactMap { blocks in
            guard let value = blocks[arm]?.value(measure), let base = blocks[reference]?.value(measure), value > 0, base > 0 else {
                return nil
            }
            return judgesReference ? log(base / value) : log(value / base)
        }
    }

    /// The verdict on every arm but the reference, Holm's correction over all of them but the control, which is not a question.
    /// - Returns: by the arm's place.
    public func verdicts(_ measure: Measure) -> [Int: Verdict] {
        let questions = arms.indices.filter { $0 != reference && $0 != control }
        let ratios = Dictionary(uniqueKeysWithValues: arms.indices.map { ($0, logRatios($0, measure)) })
        let adjusted = Holm.adjusted(questions.map { SignedRank.pValue(ratios[$0] ?? []) })
        var verdicts: [Int: Verdict] = [:]
        for (arm, pValue) in zip(questions, adjusted) { verdicts[arm] = Self.verdict(ratios[arm] ?? [], pValue: pValue) }
        if let control {
            let values = ratios[control] ?? []
            verdicts[control] = Self.verdict(values, pValue: SignedRank.pValue(values))
        }
        return verdicts
    }

    private static func verdict(_ ratios: [Double], pValue: Double) -> Verdict {
        Verdict(ratios.isEmpty ? nil : SignedRank.estimate(ratios, confidence: Verdict.confidence), pValue: pValue)
    }

    /// Whether the A/A control shows a difference where there is none to find.
    public func isTooNoisy(_ measure: Measure) -> Bool {
        guard let control, let estimate = verdicts(measure)[control]?.estimate else { return false }
        return estimate.excludesZero
    }

    /// Whether every interval is as narrow as it needs to be.
    public func isPrecise(_ measure: Measure) -> Bool {
        verdicts(measure).values.allSatisfy(\.isPrecise)
    }

    /// Whether two series of runs were made in turns: each pair of runs, one of each, lies before the next pair begins.
    ///
    /// Runs that were made one after the other met different machines: two identical servers measured so differ by 14 % in the median.
    /// Their difference is no finding, whatever its size.
    /// - Parameters:
    ///   - first: start and end of each run of the one, in any unit.
    ///   - second: those of the other.
    public static func areInterleaved(_ first: [(start: Double, end: Double)], _ second: [(start: Double, end: Double)]) -> Bool {
        guard first.count == second.count, first.count >= 6 else { return false }
        let pairs = zip(first, second).map { one, other in
            (start: min(one.start, other.start), end: max(one.end, other.end), overlap: one.start < other.end && other.start < one.end)
        }
        return pairs.allSatisfy { !$0.overlap } && zip(pairs, pairs.dropFirst()).allSatisfy { $0.end <= $1.start }
    }
}
