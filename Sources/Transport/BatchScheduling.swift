import NIOCore

/// When the thread of an event loop is one of `SCHED_BATCH`, and when of `SCHED_OTHER` (sched(7)).
///
/// Loops of one server often share a core: with one another, or with those whom they serve. Woken, the one then takes the core from the other in the middle
/// of its turn, for one event, and gives it back: two switches that nobody gains by. One of `SCHED_BATCH` waits until who is at work sleeps, and finds more
/// events then. But it would wait for the end of a slice, milliseconds, where somebody on that core computes. So it is for a loop that has many turns, and
/// ends when these become few; where it ended soon it begins again much later.
struct BatchScheduling {
    /// Between two looks at the clock.
    static let turnsPerLook = 8
    /// Turns are counted for so long: one wait for a slice among many turns is no reason to end.
    static let window = TimeAmount.milliseconds(25)
    /// Many turns: 5,000 a second. Who waits for others' slices has some hundreds.
    static let turnTimeMax = TimeAmount.microseconds(200)
    /// It ended soon: before that.
    static let shortTime = TimeAmount.seconds(1)
    static let (pauseMin, pauseMax) = (TimeAmount.milliseconds(100), TimeAmount.seconds(60))

    private(set) var isOn = false
    private var turns = 0
    private var windowBegan = NIODeadline.uptimeNanoseconds(0)
    private var changedAt = NIODeadline.uptimeNanoseconds(0)
    private var pause = TimeAmount.nanoseconds(0)

    /// A turn has ended.
    /// - Returns: whether ``isOn`` is another now.
    mutating func turned(now: () -> NIODeadline = NIODeadline.now) -> Bool {
        turns += 1
        guard turns % Self.turnsPerLook == 0 else { return false }
        let time = now()
        let elapsed = time - windowBegan
        guard elapsed >= Self.window else { return false }
        let isBusy = elapsed <= Self.turnTimeMax * turns
        (turns, windowBegan) = (0, time)
        guard isBusy != isOn, isOn || time - changedAt >= pause else { return false }
        if isOn { pause = time - changedAt < Self.shortTime ? min(max(pause * 2, Self.pauseMin), Self.pauseMax) : .nanoseconds(0) }
        changedAt = time
        isOn = isBusy
        return true
    }
}
