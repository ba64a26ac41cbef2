/// Numbers that are the same for the same seed on every machine: a schedule, an order of arms or a simulation can be run again.
/// - Source: SplitMix64; Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
public struct SeededNumbers: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) {
        state = seed
    }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    /// Uniform in (0, 1]: never 0, so that its logarithm is finite.
    public mutating func unit() -> Double {
        (Double(next() >> 11) + 1) * 0x1p-53
    }
}
