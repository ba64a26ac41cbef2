/// When a process that has ended by itself is started anew: at once, unless it does so again and again.
struct RestartPolicy: Sendable {
    /// That many restarts are made at once; one more is earned in each interval.
    static let (burst, interval) = (5, Duration.seconds(10))
    /// From then on a pause, twice as long each time.
    static let (pauseMin, pauseMax) = (Duration.milliseconds(100), Duration.seconds(2))

    private var credit = Double(burst)
    private var pause = pauseMin
    private var last: ContinuousClock.Instant?

    /// - Returns: how long to wait.
    mutating func ended(now: ContinuousClock.Instant) -> Duration {
        if let last { credit = min(Double(Self.burst), credit + (now - last) / Self.interval) }
        last = now
        if credit >= 1 {
            credit -= 1
            pause = Self.pauseMin
            return .zero
        }
        defer { pause = min(pause * 2, Self.pauseMax) }
        return pause
    }
}
