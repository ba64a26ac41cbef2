import Synchronization

/// Counts open connections against a limit, over all event loops.
public final class ConnectionLimit: Sendable {
    private let open = Atomic<Int>(0)
    public let max: Int

    /// - Parameter max: connections that may be open at a time.
    public init(max: Int) {
        self.max = max
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
