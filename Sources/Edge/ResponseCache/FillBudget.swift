import Synchronization

/// Memory that fetches hold until their response is whole, over all event loops: what does not fit is passed on unstored.
///
/// A quarter of the cache's size, so that many slow fetches of large objects cannot take the machine's memory.
final class FillBudget: Sendable {
    private let held = Atomic<Int>(0)
    private let bytesMax: Int

    init(_ configuration: EdgeConfiguration.Cache) {
        bytesMax = max(configuration.bytesMax / 4, 1 << 20)
    }

    var bytes: Int { held.load(ordering: .relaxed) }

    func reserve(_ bytes: Int) -> Bool {
        let (old, _) = held.add(bytes, ordering: .relaxed)
        guard old + bytes <= bytesMax else {
            held.subtract(bytes, ordering: .relaxed)
            return false
        }
        return true
    }

    func release(_ bytes: Int) {
        held.subtract(bytes, ordering: .relaxed)
    }
}
