/// When requests may begin, and which of them count. Nanoseconds of the monotonic clock.
///
/// A request belongs to the moment when it begins: one that begins in the measured time counts, however late its response
/// comes. So a server that hangs at the end of a run is not let off, and the rate is that of the measured time.
struct LoadWindow: Sendable, Equatable {
    enum Admission: Equatable {
        case warmUp
        case measured
        /// No request begins any more.
        case over
    }

    let measuredFrom: UInt64
    let end: UInt64

    init(from now: UInt64, warmUp: Duration, duration: Duration) {
        measuredFrom = now + warmUp.nanosecondsClamped
        end = measuredFrom + duration.nanosecondsClamped
    }

    func admission(at now: UInt64) -> Admission {
        now < measuredFrom ? .warmUp : now < end ? .measured : .over
    }
}
