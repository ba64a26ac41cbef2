import Telemetry

/// When each of many requests may begin, at an even rate: by the schedule and not by what came before, so that a slow answer is caught up with.
struct EvenSchedule: Sendable {
    /// Requests per second, above 0; `nil`: at once.
    let rate: Double?
    /// Nanoseconds of the monotonic clock.
    let start: UInt64

    init(rate: Double?, start: UInt64 = MonotonicClock.nanoseconds()) {
        self.rate = rate
        self.start = start
    }

    /// Nanoseconds until the request with this number, the first being 0, is due; 0 when it is.
    func wait(before number: Int, now: UInt64 = MonotonicClock.nanoseconds()) -> UInt64 {
        guard let rate else { return 0 }
        // 100 days at most, so that the sum fits, however slow the rate.
        let due = start &+ UInt64(min(Double(number) / rate, 8_640_000) * 1e9)
        return due > now ? due - now : 0
    }
}
