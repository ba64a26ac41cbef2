/// Whether a service can be used, by what its probes found. Events in, state out; no I/O, no clock.
///
/// | state | next |
/// |---|---|
/// | unknown | up, down (the first probe) |
/// | up | down (``fall`` failures in a row) |
/// | down | up (``rise`` successes in a row) |
///
/// The way back is as hard as the way out: what answers every other time would otherwise swing for ever, and whoever watches with it.
public struct ServiceHealth: Sendable, Equatable {
    public enum State: String, Sendable {
        case unknown
        case up
        case down
    }

    /// 3 in a row: one lost packet is no outage. 2 to come back.
    public static let fall = 3
    public static let rise = 2
    /// A message of a peer's is cut here.
    static let errorBytesMax = 500

    public private(set) var state = State.unknown
    /// Seconds since 1970; when ``state`` began.
    public private(set) var since: Int64 = 0
    /// In words; stays after the service has come back.
    public private(set) var lastError: String?
    public private(set) var lastErrorAt: Int64 = 0
    private var streak = 0

    public init() {}

    /// - Parameters:
    ///   - error: what went wrong, in words; `nil` when nothing did.
    ///   - now: seconds since 1970.
    public mutating func probed(error: String?, now: Int64) {
        if let error {
            lastError = String(decoding: error.utf8.prefix(Self.errorBytesMax), as: UTF8.self)
            lastErrorAt = now
        }
        let isGood = error == nil
        let isAsBefore = isGood ? state == .up : state == .down
        guard !isAsBefore else { return streak = 0 }
        streak += 1
        guard state == .unknown || streak >= (isGood ? Self.rise : Self.fall) else { return }
        state = isGood ? .up : .down
        since = now
        streak = 0
    }
}

/// A service as the page, `/readyz` and `headrace status` show it.
public struct ServiceReport: Sendable {
    /// `edge`, `postgresql`: part of URLs.
    public var name: String
    public var health: ServiceHealth
    public var version: String?
    /// Seconds since 1970; when it began, as it says itself; `nil` where it does not say.
    public var upSince: Int64?
    /// What operators see of it: where it is, what it is busy with.
    public var detail: String?
    /// Without it nothing can be served, and ``Dashboard/readiness(_:isDraining:isOperator:)`` says so. A clock that is off is for people:
    /// to take the process out of service for it would make an outage of a nuisance.
    public var isRequired: Bool

    public init(name: String, health: ServiceHealth, version: String? = nil, upSince: Int64? = nil, detail: String? = nil, isRequired: Bool = true) {
        self.isRequired = isRequired
        self.upSince = upSince
        self.name = name
        self.health = health
        self.version = version
        self.detail = detail
    }
}
