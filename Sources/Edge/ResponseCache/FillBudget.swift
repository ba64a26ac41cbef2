import Synchronization

/// Memory that fetches hold until their response is whole, over all event loops: what does not fit is passed on unstored, so that many
/// slow fetches of large objects cannot take the machine's memory.
final class FillBudget: Sendable {
    private let held = Atomic<Int>(0)
    private let refused = Atomic<Int>(0)
    private let bytesMax: Int

    init(bytesMax: Int) {
        self.bytesMax = bytesMax
    }

    var bytes: Int { held.load(ordering: .relaxed) }
    /// How often there was no room.
    var refusalCount: Int { refused.load(ordering: .relaxed) }

    func reserve(_ bytes: Int) -> Bool {
        let (old, _) = held.add(bytes, ordering: .relaxed)
        guard old + bytes <= bytesMax else {
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
