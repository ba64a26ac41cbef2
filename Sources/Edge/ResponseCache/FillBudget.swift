import Synchronization
import Transport

/// Memory that fetches hold until their response is whole, over all event loops: what does not fit is passed on unstored, so that many
/// slow fetches of large objects cannot take the machine's memory.
final class FillBudget: Sendable {
    private let held = Atomic<Int>(0)
    private let refused = Atomic<Int>(0)
    private let bytesMax: Int
    private let pressure: MemoryPressure

    /// - Parameter pressure: while it rises there is no room either.
    init(bytesMax: Int, pressure: MemoryPressure = MemoryPressure()) {
        self.bytesMax = bytesMax
        self.pressure = pressure
    }

    var bytes: Int { held.load(ordering: .relaxed) }
    /// How often there was no room.
    var refusalCount: Int { refused.load(ordering: .relaxed) }

    /// - Parameter isSlow: the client's pace decides how long it is held: such are given half of the budget, so that they leave something to
    ///   those who go as fast as the application.
    func reserve(_ bytes: Int, isSlow: Bool = false) -> Bool {
        let (old, _) = held.add(bytes, ordering: .relaxed)
        guard old + bytes <= (isSlow ? bytesMax / 2 : bytesMax), pressure.level == .none else {
            held.subtract(bytes, ordering: .relaxed)
            refused.add(1, ordering: .relaxed)
            return false
        }
        return true
    }

    func release(_ bytes: Int) {
        held.subtract(bytes, ordering: .relaxed)
    }
}
