/// The order in which arms are measured: complete blocks (each arm once per round), in an order drawn anew for each round.
///
/// A machine drifts: whoever is always measured second meets another one. The seed is kept in the report, so that an order can be had
/// again.
/// - Source: Fisher, "The arrangement of field experiments" (1926).
public struct RandomisedBlocks: Sendable {
    public let armCount: Int
    private var random: SeededNumbers

    /// - Precondition: there is an arm.
    public init(armCount: Int, seed: UInt64) {
        precondition(armCount > 0, "blocks without arms")
        self.armCount = armCount
        random = SeededNumbers(seed: seed)
    }

    /// The next round's order: each of `0..<armCount` once.
    public mutating func next() -> [Int] {
        (0..<armCount).shuffled(using: &random)
    }
}
