public import Synchronization

/// Counters in a row, with one writer as a ``Counter`` has; anybody may read.
///
/// One piece of memory and not an array of objects: counting touches, and retains, nothing but the row.
public final class CounterRow: @unchecked Sendable {
    // Sendable because the pointer never changes and what it points to is atomic.
    @usableFromInline let start: UnsafeMutablePointer<Atomic<UInt64>>
    @usableFromInline let count: Int

    public init(count: Int) {
        self.count = count
        start = .allocate(capacity: count)
        for index in 0..<count { (start + index).initialize(to: Atomic(0)) }
    }

    deinit {
        start.deinitialize(count: count)
        start.deallocate()
    }

    @inlinable
    public func add(_ index: Int, _ amount: UInt64 = 1) {
        precondition(index >= 0 && index < count)
        start[index].store(start[index].load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    public func value(_ index: Int) -> UInt64 {
        precondition(index >= 0 && index < count)
        return start[index].load(ordering: .relaxed)
    }

    public func values() -> [UInt64] {
        (0..<count).map { start[$0].load(ordering: .relaxed) }
    }
}
