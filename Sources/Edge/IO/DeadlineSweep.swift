import NIOCore

/// Something on an event loop that must have come further by a deadline.
protocol DeadlineHolder: AnyObject {
    /// `.distantFuture` when there is nothing to wait for.
    var deadline: NIODeadline { get }
    /// Where ``DeadlineSweep`` keeps the holder; for its use only.
    var sweepPosition: Int { get set }
    func deadlinePassed(now: NIODeadline)
    /// The server is shutting down: finish what is in flight, and say so to the peer.
    func drainBegan(now: NIODeadline)
    /// The time for that has passed: end at once, and be counted.
    func drainEnded(now: NIODeadline)
    /// What it holds for a peer that takes it slowly, or gives it slowly, about; 0 when another holder counts it.
    var heldBytes: Int { get }
    /// The process has no memory left for it: end at once, and be counted.
    /// - Returns: the bytes that it held, and all that ends with it.
    @discardableResult func memoryShort(now: NIODeadline) -> Int
}

extension DeadlineHolder {
    /// What hangs on a client's connection ends with it.
    func drainEnded(now: NIODeadline) {}
    var heldBytes: Int { 0 }
    func memoryShort(now: NIODeadline) -> Int { 0 }
}

/// All deadline holders of one event loop, looked through four times a second.
///
/// A timer per request would allocate and sort itself into a heap on every request, for deadlines that hardly ever
/// pass. One walk over 10,000 connections takes some 50 µs. Deadlines are therefore up to ``interval`` late.
struct DeadlineSweep {
    static let interval = TimeAmount.milliseconds(250)

    private var holders: [any DeadlineHolder] = []

    var count: Int { holders.count }

    mutating func add(_ holder: any DeadlineHolder) {
        holder.sweepPosition = holders.count
        holders.append(holder)
    }

    mutating func remove(_ holder: any DeadlineHolder) {
        let position = holder.sweepPosition
        guard holders.indices.contains(position), holders[position] === holder else { return }
        let last = holders.removeLast()
        if last !== holder {
            holders[position] = last
            last.sweepPosition = position
        }
        holder.sweepPosition = -1
    }

    /// Those whose deadline has passed. Taken out as a list, because what is done with them changes the holders.
    func overdue(now: NIODeadline) -> [any DeadlineHolder] {
        holders.filter { $0.deadline <= now }
    }

    var all: [any DeadlineHolder] { holders }
}
