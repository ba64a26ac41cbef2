import NIOCore
import Synchronization

/// Gives each client a server connection of its own for a while, as it would have without a pooler, so that it shows what sharing is worth.
///
/// The time is short and begins anew with each ``begin(for:now:)``: when nobody asks any more, it is over by itself, and clients share again from
/// the end of their transactions on.
final class Dedication: Sendable {
    /// After a connection that the server would not make: without it, each transaction would try.
    static let retryDelay = TimeAmount.seconds(1)
    /// For one connection.
    static let patience = TimeAmount.seconds(1)

    private let isAllowed: Bool
    private let until = Atomic<UInt64>(0)
    private let notBefore = Atomic<UInt64>(0)

    init(isAllowed: Bool) {
        self.isAllowed = isAllowed
    }

    func begin(for time: TimeAmount, now: NIODeadline) {
        guard isAllowed else { return }
        until.store((now + time).uptimeNanoseconds, ordering: .relaxed)
    }

    /// One load, as long as it is not asked for.
    @inline(__always)
    func isOn(_ now: NIODeadline) -> Bool { now.uptimeNanoseconds < until.load(ordering: .relaxed) }

    /// Whether one more may be made.
    func mayConnect(_ now: NIODeadline) -> Bool { isOn(now) && now.uptimeNanoseconds >= notBefore.load(ordering: .relaxed) }

    /// A connection could not be made.
    func failed(_ now: NIODeadline) {
        notBefore.store((now + Self.retryDelay).uptimeNanoseconds, ordering: .relaxed)
    }
}
