#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// How long a run goes before it counts.
public enum WarmUp: Sendable, Equatable {
    case fixed(Duration)
    /// Until two successive blocks agree, but no longer than `blocksMax` of them.
    case untilSteady(block: Duration, blocksMax: Int)
}

/// Decides when a warm-up is over: caches fill, code is compiled, connections are made, and then one block looks like the last.
///
/// Two successive blocks agree when their median response times differ by less than ``tolerance`` or by a twentieth of a millisecond,
/// which a timer cannot tell. A block without a response agrees with nothing.
struct WarmUpBlocks: Sendable {
    enum Step: Equatable {
        case goOn
        /// `isSteady`: two blocks agreed; else the time was up.
        case begin(isSteady: Bool, blocks: Int)
    }

    static let tolerance = 0.1
    static let medianDifferenceMin = 50_000.0

    private let blocksMax: Int
    private var blocks = 0
    private var last: Double?

    init(blocksMax: Int) {
        self.blocksMax = max(blocksMax, 2)
    }

    /// - Parameter median: of the block's response times, in nanoseconds; `nil` when there were none.
    mutating func blockEnded(median: UInt64?) -> Step {
        blocks += 1
        let median = median.map { Double($0) }
        defer { last = median }
        if let last, let median, last > 0, median > 0 {
            if abs(log(median / last)) < Self.tolerance || abs(median - last) < Self.medianDifferenceMin {
                return .begin(isSteady: true, blocks: blocks)
            }
        }
        return blocks >= blocksMax ? .begin(isSteady: false, blocks: blocks) : .goOn
    }
}
