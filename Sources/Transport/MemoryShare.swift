import Synchronization

/// What one event loop holds for its peers, of all that the process does.
///
/// The loops of all layers give up what has to go in the proportion of what each holds: a layer whose peers take and send as they should keeps them, whatever those of
/// another do. Made by ``MemoryPressure/join(_:)``; belongs to its loop, but for the number that the others read.
public final class MemoryShare: Sendable {
    private let pressure: MemoryPressure
    private let held = Atomic<Int>(0)
    private let isAsked = Atomic(false)
    private let ask: @Sendable () -> Void

    init(_ pressure: MemoryPressure, _ ask: @escaping @Sendable () -> Void) {
        (self.pressure, self.ask) = (pressure, ask)
    }

    /// Has the loop review what it holds, unless it is asked already and has not come to it.
    func askForReview() {
        if !isAsked.exchange(true, ordering: .relaxed) { ask() }
    }

    /// What it held when it was last asked, in bytes.
    var heldBytes: Int { held.load(ordering: .relaxed) }

    /// Goes through all that the loop holds, and gives up its part of what has to go: who holds most goes first.
    /// - Parameters:
    ///   - bytes: of a holder that could be given up; 0 for one that could not, or holds nothing.
    ///   - cut: ends one, and perhaps others with it, and says so by ``MemoryPressure/cut(_:)``; gives the bytes that they held.
    public func review<Holder>(_ holders: some Sequence<Holder>, bytes: (Holder) -> Int, cut: (Holder) -> Int) {
        isAsked.store(false, ordering: .relaxed)
        let found = holders.map { (holder: $0, bytes: bytes($0)) }.filter { $0.bytes > 0 }
        let sum = found.reduce(0) { $0 + $1.bytes }
        held.store(sum, ordering: .relaxed)
        let excess = pressure.excessBytes
        guard excess > 0, sum > 0 else { return }
        var rest = Int(Double(excess) * Double(sum) / Double(max(sum, pressure.heldBytes)))
        for (holder, _) in found.sorted(by: { $0.bytes > $1.bytes }) where rest > 0 {
            let gone = cut(holder)
            rest -= gone
            held.subtract(gone, ordering: .relaxed)
        }
    }

    /// Its loop ends, and is not asked any more.
    public func leave() {
        pressure.leave(self)
    }
}
