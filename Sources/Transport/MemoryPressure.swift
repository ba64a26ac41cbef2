import Synchronization

/// How near the process is to the most memory that it may take, over all layers: measured from outside, asked by whoever could take more.
///
/// It is measured by the clock, and whenever those who keep bytes for their peers have said that they keep a hundredth more: on one machine peers can fill gigabytes a
/// second.
///
/// What is given up grows with the level, a class of work at a time, and what was begun goes last. A level ends ``marginShare`` below where it began, so that
/// nothing flutters. What is cut of what was begun is shared out over the event loops of all layers: ``MemoryShare``.
public final class MemoryPressure: Sendable {
    public enum Level: Int, Sendable, CaseIterable, Comparable {
        case none
        /// New connections are closed, and responses are passed on rather than held.
        case connections
        /// And new requests on open connections are refused; those that have not come whole yet and are large already are cut.
        case requests
        /// And of what is under way, those who hold most are cut.
        case exchanges

        /// The share of the total at which it begins.
        var share: Double {
            switch self {
            case .none: 0
            case .connections: 0.80
            case .requests: 0.87
            case .exchanges: 0.92
            }
        }

        public static func < (one: Self, other: Self) -> Bool { one.rawValue < other.rawValue }
    }

    private static let marginShare = 0.04
    /// The share that may be filled for long: with more, a class of work that was once given up would never be taken up again.
    public static let restShare = Level.connections.share - marginShare

    /// 0 for no bound.
    public let bytesMax: Int
    private let current = Atomic<Int>(0)
    private let resident = Atomic<Int>(0)
    private let own = Atomic<Int>(0)
    private let reached = Atomic<Int>(0)
    private let shares = Mutex<[MemoryShare]>([])
    private let cut = Atomic<Int>(0)
    private let grown = Atomic<Int>(0)
    private let measurement = Mutex<(@Sendable () -> Void)?>(nil)

    /// - Parameter bytesMax: of the process, as the kernel counts it; 0 for no bound.
    public init(bytesMax: Int = 0) {
        self.bytesMax = bytesMax
    }

    public var level: Level { Level(rawValue: current.load(ordering: .relaxed)) ?? .none }
    public var residentBytes: Int { resident.load(ordering: .relaxed) }
    /// How often a level was reached that is higher than the one before.
    public var riseCount: Int { reached.load(ordering: .relaxed) }

    /// What may come before what is under way is cut; without a bound there is always room.
    public var roomBytes: Int { bytesMax > 0 ? max(0, Int(Double(bytesMax) * Level.exchanges.share) - residentBytes) : .max }

    /// What has to go of this process until nothing that is under way need be cut; 0 below ``Level/exchanges``. What was cut since the allocator last gave back what it
    /// has counts as gone.
    public var excessBytes: Int {
        guard level == .exchanges else { return 0 }
        let (all, own) = (residentBytes, own.load(ordering: .relaxed))
        var excess = Double(all) - Double(bytesMax) * (Level.exchanges.share - Self.marginShare)
        if all > own { excess *= Double(own) / Double(all) }
        return max(0, Int(excess.rounded()) - cut.load(ordering: .relaxed))
    }

    // MARK: Who gives up what

    /// An event loop takes part.
    /// - Parameter review: has the loop go through what it holds, by ``MemoryShare/review(_:bytes:cut:)``, in its own time. Called on any thread.
    public func join(_ review: @escaping @Sendable () -> Void) -> MemoryShare {
        let share = MemoryShare(self, review)
        shares.withLock { $0.append(share) }
        return share
    }

    func leave(_ share: MemoryShare) { shares.withLock { $0.removeAll { $0 === share } } }

    /// So much was held by who has just been cut.
    public func cut(_ bytes: Int) { cut.add(bytes, ordering: .relaxed) }

    /// Whether something was cut since the last ``trimmed()``.
    public var hasCut: Bool { cut.load(ordering: .relaxed) > 0 }

    /// The allocator has given back what it had: what is measured from here on is used.
    public func trimmed() { cut.store(0, ordering: .relaxed) }

    /// What all loops held when they were last asked.
    var heldBytes: Int { shares.withLock { $0.reduce(0) { $0 + $1.heldBytes } } }

    /// Has all loops say what they hold, and give up what has to go.
    public func review() {
        for share in shares.withLock({ $0 }) { share.askForReview() }
    }

    // MARK: What is measured

    /// A 128th of the total: with that much between two measurements no level is passed over.
    private static let growthShare = 128

    /// - Parameter measure: measures, and says it by ``measured(residentBytes:ownBytes:)``. Called on any thread, one at a time.
    public func measure(by measure: @escaping @Sendable () -> Void) { measurement.withLock { $0 = measure } }

    /// Bytes are kept for a peer that were not before. When there is enough of them it is measured anew, before this returns.
    public func grew(by bytes: Int) {
        guard bytesMax > 0, grown.add(bytes, ordering: .relaxed).newValue > bytesMax / Self.growthShare else { return }
        measurement.withLockIfAvailable { $0?() }
    }

    /// Measures now.
    public func measureNow() { measurement.withLock { $0?() } }

    /// All has so much now. Called by one thread at a time.
    /// - Parameter ownBytes: of this process, where layers have processes of their own; `nil`: all of it.
    /// - Returns: the level from here on.
    @discardableResult public func measured(residentBytes: Int, ownBytes: Int? = nil) -> Level {
        resident.store(residentBytes, ordering: .relaxed)
        own.store(ownBytes ?? residentBytes, ordering: .relaxed)
        grown.store(0, ordering: .relaxed)
        guard bytesMax > 0 else { return .none }
        let share = Double(residentBytes) / Double(bytesMax)
        let old = level
        let new = Level.allCases.last { share >= $0.share - ($0 <= old && $0 != .none ? Self.marginShare : 0) } ?? .none
        if new > old { reached.add(1, ordering: .relaxed) }
        current.store(new.rawValue, ordering: .relaxed)
        return new
    }
}
