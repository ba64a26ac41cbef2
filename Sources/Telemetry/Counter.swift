public import Synchronization

/// A number that only grows, with one writer.
///
/// The one writer is the event loop that owns the counter, so that counting is a load and a store and needs no locked
/// instruction; anybody may read. Counting from two threads loses counts, and nothing worse.
public final class Counter: Sendable {
    @usableFromInline let cell = Atomic<UInt64>(0)

    public init() {}

    @inlinable
    public func add(_ amount: Int = 1) {
        assert(amount >= 0)
        cell.store(cell.load(ordering: .relaxed) &+ UInt64(truncatingIfNeeded: amount), ordering: .relaxed)
    }

    public var value: UInt64 { cell.load(ordering: .relaxed) }
}

/// A number that goes up and down; any thread may change it.
public final class Gauge: Sendable {
    private let cell = Atomic<Int>(0)

    public init() {}

    public func add(_ amount: Int = 1) { cell.wrappingAdd(amount, ordering: .relaxed) }
    public func subtract(_ amount: Int = 1) { cell.wrappingSubtract(amount, ordering: .relaxed) }
    public func set(_ value: Int) { cell.store(value, ordering: .relaxed) }
    public var value: Int { cell.load(ordering: .relaxed) }
}
