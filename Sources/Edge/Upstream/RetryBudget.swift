import NIOCore

/// How many requests of a group may be sent again: a share of the requests of the last seconds, and a few in any case.
///
/// Without it, a group that begins to fail is asked up to ``UpstreamGroup/Retry/attemptsMax`` times as much, just when it can bear
/// least. No I/O, no clock.
struct RetryBudget: Equatable, Sendable {
    /// Seconds that are looked back on. 10: long enough for a share of few requests to mean something.
    static let secondsCount = 10

    private var requests = [Int](repeating: 0, count: secondsCount)
    private var retries = [Int](repeating: 0, count: secondsCount)
    private var second: UInt64 = 0
    /// Sums of the two rows, kept along: this is asked on every request.
    private var requestSum = 0
    private var retrySum = 0

    mutating func requested(now: NIODeadline) {
        let place = turn(to: now)
        requests[place] += 1
        requestSum += 1
    }

    /// Asks for one more retry, and counts it if it is granted.
    mutating func allowsRetry(_ retry: UpstreamGroup.Retry, now: NIODeadline) -> Bool {
        let place = turn(to: now)
        let allowed = Int(Double(requestSum) * max(0, retry.budgetShare)) + max(0, retry.budgetPerSecondMin) * Self.secondsCount
        guard retrySum < allowed else { return false }
        retries[place] += 1
        retrySum += 1
        return true
    }

    /// Empties the places of the seconds that have passed, and gives the one of this second.
    private mutating func turn(to now: NIODeadline) -> Int {
        let current = now.uptimeNanoseconds / 1_000_000_000
        if current > second {
            for step in 0..<min(current - second, UInt64(Self.secondsCount)) {
                let place = Int((current - step) % UInt64(Self.secondsCount))
                requestSum -= requests[place]
                retrySum -= retries[place]
                requests[place] = 0
                retries[place] = 0
            }
            second = current
        }
        return Int(second % UInt64(Self.secondsCount))
    }
}
