public import NIOCore
import Synchronization

/// What the ``SocketLoop``s of a process share that may look again for a moment before they sleep.
///
/// To sleep and to be woken takes longer than all that the pooler does for a query. While a loop carries one conversation – a client asks and waits, a server
/// answers and waits – the next event follows at once, and the core is nobody's: of those who take part one is at work at a time. So a loop polls when its
/// last ``streakMin`` events came one by one from the same two sockets, no other loop was woken between them, and the last poll found something. Where
/// others want the core, the kernel takes it away in the middle of a poll, and there is none for a while.
public final class BusyPoll: Sendable {
    /// Events of one conversation until it is taken for one.
    static let streakMin = 32
    /// Between two looks of a poll lies less, unless the thread was put off its core.
    static let lookMax = TimeAmount.microseconds(500)
    /// After that, none for so long.
    static let pause = TimeAmount.milliseconds(100)

    /// A poll ends after so long without an event.
    let limit: TimeAmount
    /// The loop that was woken last.
    private let lastWoken = Atomic<UInt>(0)

    public init(limit: TimeAmount) {
        self.limit = limit
    }

    /// One loop's part. A value of its thread.
    struct Turn {
        private let shared: BusyPoll
        /// Not 0.
        private let loop: UInt
        private var pair: (CInt, CInt) = (-1, -1)
        private var streak = 0
        private var pausedUntil = NIODeadline.uptimeNanoseconds(0)

        /// - Parameter loop: a number of its own for each loop, not 0.
        init(_ shared: BusyPoll, loop: UInt) {
            self.shared = shared
            self.loop = loop
        }

        /// Whether the next wait is to begin with a poll.
        var isDue: Bool { streak >= streakMin && shared.lastWoken.load(ordering: .relaxed) == loop }

        /// The loop has slept.
        mutating func woken() {
            guard shared.lastWoken.load(ordering: .relaxed) != loop else { return }
            shared.lastWoken.store(loop, ordering: .relaxed)
            streak = 0
        }

        /// There is one event, of this descriptor.
        mutating func happened(_ descriptor: CInt) {
            if descriptor == pair.0 || descriptor == pair.1 {
                if streak < streakMin { streak += 1 }
            } else {
                pair = (pair.1, descriptor)
                streak = 0
            }
        }

        /// There are several events at once, or none.
        mutating func othersHappened() { streak = 0 }

        /// Looks until there is something.
        /// - Parameter look: returns how many events there are; below 0 for an error.
        /// - Returns: what it returned last; 0: time to sleep.
        mutating func poll(now: () -> NIODeadline = NIODeadline.now, _ look: () -> CInt) -> CInt {
            let begin = now()
            guard begin >= pausedUntil else { return 0 }
            var last = begin
            while true {
                let count = look()
                guard count == 0 else { return count }
                let time = now()
                if time - last > lookMax {
                    pausedUntil = time + BusyPoll.pause
                    return 0
                }
                guard time - begin < shared.limit else {
                    streak = 0
                    return 0
                }
                last = time
            }
        }
    }
}
