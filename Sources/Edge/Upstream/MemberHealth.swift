import NIOCore

/// Whether one member of a group can be given requests: what its own responses say, and what probes say. No I/O, no clock.
///
/// | state | gets requests | next |
/// |---|---|---|
/// | trusted | yes | ejected (``UpstreamGroup/PassiveHealth/failuresMax`` failures in a row) |
/// | ejected | no | probation (its time is over) |
/// | probation | yes | ejected, for twice as long (one failure); trusted (``UpstreamGroup/PassiveHealth/successesMin`` successes in a row) |
///
/// The way back is harder than the way out is easy: a member that answers every other time would otherwise swing for ever. Probes
/// are a verdict of their own beside this: a member that they call down gets nothing, whatever its responses were.
struct MemberHealth: Equatable, Sendable {
    private enum State: Equatable {
        case trusted
        case ejected(until: NIODeadline)
        case probation
    }

    enum Change: Equatable {
        case none
        /// It gets no more requests for now.
        case left
        /// It is trusted with requests again; if it starts slowly, from here.
        case returned
    }

    private var state = State.trusted
    private var failures = 0
    private var successes = 0
    /// How often it was ejected without becoming trusted in between.
    private var ejectionsInRow = 0
    private(set) var isDown = false
    private var probes = 0
    /// Ejections in all.
    private(set) var ejections = 0

    /// Whether its own responses have put it out.
    func isEjected(now: NIODeadline) -> Bool {
        if case .ejected(let until) = state { now < until } else { false }
    }

    func isAvailable(now: NIODeadline) -> Bool { !isDown && !isEjected(now: now) }

    /// A request to it has come to a good end, or at least a response.
    mutating func succeeded(_ policy: UpstreamGroup.PassiveHealth, now: NIODeadline) {
        failures = 0
        switch state {
        case .trusted, .ejected: break
        case .probation:
            successes += 1
            guard successes >= policy.successesMin else { return }
            state = .trusted
            ejectionsInRow = 0
        }
    }

    /// A request to it has failed, and by its own fault.
    mutating func failed(_ policy: UpstreamGroup.PassiveHealth, now: NIODeadline) -> Change {
        guard policy.isEnabled else { return .none }
        failures += 1
        switch state {
        // Requests that were under way when it was ejected, or that went there because nobody else was left.
        case .ejected: return .none
        case .trusted where failures < policy.failuresMax: return .none
        case .trusted, .probation: break
        }
        // 20 doublings are more than a year: past them the product could overflow, and the maximum was reached long before.
        let time = policy.ejection.nanoseconds.multipliedReportingOverflow(by: 1 << min(Int64(ejectionsInRow), 20))
        let nanoseconds = time.overflow ? policy.ejectionMax.nanoseconds : min(time.partialValue, policy.ejectionMax.nanoseconds)
        state = .ejected(until: now + .nanoseconds(nanoseconds))
        ejectionsInRow += 1
        ejections += 1
        failures = 0
        return .left
    }

    /// Lets an ejection end whose time is over.
    mutating func timePassed(now: NIODeadline) -> Change {
        guard case .ejected(let until) = state, now >= until else { return .none }
        state = .probation
        successes = 0
        return isDown ? .none : .returned
    }

    /// What a probe found.
    mutating func probed(isGood: Bool, _ check: UpstreamGroup.HealthCheck) -> Change {
        guard isGood == isDown else {
            probes = 0
            return .none
        }
        probes += 1
        guard probes >= (isDown ? check.rise : check.fall) else { return .none }
        probes = 0
        isDown.toggle()
        return isDown ? .left : .returned
    }

    /// Probes are made no more: what they said counts no more either.
    mutating func probesEnded() -> Change {
        probes = 0
        defer { isDown = false }
        return isDown ? .returned : .none
    }
}
