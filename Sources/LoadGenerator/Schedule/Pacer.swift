/// Says when to send, in an open loop: at the intended starts, whatever became of the requests before. No I/O, no clock.
///
/// When the generator falls behind (no connection was free, or the machine gave it no time) it must neither forget what was due, which
/// would hide the wait, nor send it all at once, which no visitor would do. It plays the schedule on at ``catchUp`` times its speed
/// until it is on time again; a response time counts from the *intended* start in any case.
///
/// | state | waits for | next |
/// |---|---|---|
/// | on time | the next intended start | behind (a request goes out later than intended) |
/// | behind | the release, `1 / catchUp` of the distance behind the last one | on time |
/// | over | nothing | – |
struct Pacer: Sendable {
    enum Step: Equatable {
        /// Send the request that should begin at `intended`. It could have gone out from `released` on, had a connection been free.
        case send(intended: UInt64, released: UInt64)
        /// Its time is up before it could be sent.
        case expire(intended: UInt64)
        case wait(until: UInt64)
        case over
    }

    /// How much faster than planned a backlog is worked off, at most.
    static let catchUp = 1.5
    /// What may go out at once after a gap, in schedule time: event loops wake late by a few milliseconds now and then, and a timer
    /// for each request would cost more than the request.
    static let burst: UInt64 = 10_000_000

    private var arrivals: ArrivalSequence
    private let timeout: UInt64
    private var intended: UInt64?
    private var released: UInt64

    /// - Parameter timeout: nanoseconds from the intended start.
    init(_ arrivals: ArrivalSequence, timeout: UInt64) {
        var arrivals = arrivals
        self.timeout = timeout
        intended = arrivals.next()
        released = intended ?? 0
        self.arrivals = arrivals
    }

    /// `.max` when there is none.
    var nextIntended: UInt64 { intended ?? .max }

    /// The same, behind its last request.
    func ended() -> Pacer {
        var pacer = self
        pacer.intended = nil
        return pacer
    }

    /// What is to be done now; asking changes nothing.
    func step(now: UInt64) -> Step {
        guard let intended else { return .over }
        // A sum over 100 days of nanoseconds and the clock is far below the type's end.
        if now >= intended &+ timeout { return .expire(intended: intended) }
        return now >= released ? .send(intended: intended, released: released) : .wait(until: released)
    }

    /// The request that ``step(now:)`` named has been sent or has expired.
    mutating func taken(now: UInt64) {
        guard let last = intended else { return }
        intended = arrivals.next()
        guard let next = intended else { return }
        let base = max(released, now &- min(Self.burst, now))
        released = max(next, base &+ UInt64(Double(next &- last) / Self.catchUp))
    }
}
