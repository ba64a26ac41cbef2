/// When requests may begin, and which of them count. Nanoseconds of the monotonic clock.
///
/// A request belongs to the moment when it begins: one that begins in the measured time counts, however late its response
/// comes. So a server that hangs at the end of a run is not let off, and the rate is that of the measured time. A failure of
/// the warm-up counts, too, when it ends in the measured time: a server that hangs from the start on holds all users, and would
/// look unharmed.
struct LoadWindow: Sendable, Equatable {
    enum Admission: Equatable {
        case warmUp
        case measured
        /// No request begins any more.
        case over
    }

    /// A warm-up whose end nobody knows yet.
    static let notBegun = LoadWindow(measuredFrom: .max, end: .max)

    let measuredFrom: UInt64
    let end: UInt64

    init(measuredFrom: UInt64, end: UInt64) {
        self.measuredFrom = measuredFrom
        self.end = end
    }

    init(from now: UInt64, warmUp: Duration, duration: Duration) {
        measuredFrom = now + warmUp.nanosecondsClamped
        end = measuredFrom + duration.nanosecondsClamped
    }

    /// Whether a request counts, now that it has ended.
    func counts(began: UInt64, ended: UInt64, isFailure: Bool) -> Bool {
        began >= measuredFrom || isFailure && ended >= measuredFrom
    }

    func admission(at now: UInt64) -> Admission {
        now < measuredFrom ? .warmUp : now < end ? .measured : .over
    }
}
