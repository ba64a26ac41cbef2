import ArgumentParser
import LoadGenerator

/// A rate over time, as operators write it: `500`, or stages such as `100:30s,100-1000:2m,1000:5m`.
enum RateText {
    static let rateMax = 1_000_000.0
    static let secondsMax = 86_400.0

    /// - Parameter duration: how long a rate without a time lasts.
    static func parse(_ text: String, duration: Duration) throws -> RateProfile {
        let stages = try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
            let halves = part.split(separator: ":", omittingEmptySubsequences: false)
            guard halves.count <= 2 else { throw invalid(text) }
            let ends = halves[0].split(separator: "-", omittingEmptySubsequences: false).map { Double($0) }
            guard (1...2).contains(ends.count), let first = ends[0], let last = ends[ends.count - 1],
                (0...rateMax).contains(first), (0...rateMax).contains(last)
            else { throw invalid(text) }
            let time = halves.count == 2 ? try WorkloadOptions.duration(String(halves[1]), "--rate") : duration
            let seconds = Double(time.components.seconds) + Double(time.components.attoseconds) / 1e18
            guard seconds > 0, seconds <= secondsMax else { throw ValidationError("--rate \(text): a stage lasts up to a day") }
            return RateProfile.Stage(seconds: seconds, from: first, to: last)
        }
        let profile = RateProfile(stages)
        guard profile.arrivals >= 1 else { throw ValidationError("--rate \(text): no request would begin") }
        return profile
    }

    private static func invalid(_ text: String) -> ValidationError {
        ValidationError("--rate \(text): requests per second up to \(Int(rateMax)), as in 500 or 100:30s,100-1000:2m")
    }
}
