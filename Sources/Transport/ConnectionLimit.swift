import Synchronization

/// Counts open connections against a limit, over all event loops.
public final class ConnectionLimit: Sendable {
    private let open = Atomic<Int>(0)
    private let limit: Atomic<Int>

    /// Connections that may be open at a time. When it is lowered, those that are open stay.
    public var max: Int {
        get { limit.load(ordering: .relaxed) }
        set { limit.store(newValue, ordering: .relaxed) }
    }

    /// - Parameter max: connections that may be open at a time.
    public init(max: Int) {
        limit = Atomic(max)
    }

    /// Connections open now.
    public var count: Int { open.load(ordering: .relaxed) }

    /// Takes a place for a new connection; the caller gives it back with ``release()``.
    /// - Returns: `false` when there is none.
    public func admit() -> Bool {
        let (old, _) = open.add(1, ordering: .relaxed)
        guard old < max else {
            open.subtract(1, ordering: .relaxed)
            return false
        }
        return true
    }

    public func release() {
        open.subtract(1, ordering: .relaxed)
    }
}
