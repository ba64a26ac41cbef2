#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// How requests follow each other at a given rate.
public enum ArrivalShape: String, Sendable, CaseIterable {
    /// At even distances.
    case constant
    /// As independent visitors come: exponential distances.
    case poisson
}

/// The intended starts of one event loop's share of a run, one after the other.
///
/// Arrivals are numbers on an axis where one request begins per unit, and are mapped to time by the profile: with even distances the
/// loops take turns, with exponential ones each has a process of its own, whose sum is again a Poisson process.
struct ArrivalSequence: Sendable {
    private let profile: RateProfile
    private let shape: ArrivalShape
    /// Nanoseconds of the monotonic clock.
    private let start: UInt64
    private let shareCount: Double
    private var number: Double
    /// What is left of a recorded sequence, in seconds; `nil` when the profile makes it.
    private var recorded: ArraySlice<Double>?
    private var random: SeededNumbers

    /// - Parameter share: which of how many event loops; the seed is one for all of them.
    init(
        _ profile: RateProfile, shape: ArrivalShape, share: (index: Int, count: Int) = (0, 1), seed: UInt64, start: UInt64, recorded: [Double]? = nil
    ) {
        precondition(share.count > 0 && (0..<share.count).contains(share.index))
        self.profile = profile
        self.recorded = recorded?[...]
        self.shape = shape
        self.start = start
        shareCount = Double(share.count)
        random = SeededNumbers(seed: seed &+ UInt64(share.index) &* 0xD134_2543_DE82_EF95)
        switch shape {
        case .constant: number = Double(share.index)
        case .poisson: number = -log(random.unit()) * shareCount
        }
    }

    /// The next intended start, never earlier than the one before.
    /// - Returns: `nil` behind the last.
    mutating func next() -> UInt64? {
        if recorded != nil { return recorded?.popFirst().map { start &+ UInt64(min(max($0, 0), 8_640_000) * 1e9) } }
        guard let seconds = profile.seconds(ofArrival: number) else { return nil }
        switch shape {
        case .constant: number += shareCount
        case .poisson: number -= log(random.unit()) * shareCount
        }
        // Below 100 days by LoadPlan's own bound, so that the product fits.
        return start &+ UInt64(min(max(seconds, 0), 8_640_000) * 1e9)
    }
}
