import Synchronization

/// How near the process is to the most memory that it may take, over all layers: measured from outside, asked by whoever could take more.
///
/// What is given up grows with the level, a class of work at a time, and what was begun goes last. A level ends ``marginShare`` below where it began, so that
/// nothing flutters.
public final class MemoryPressure: Sendable {
    public enum Level: Int, Sendable, CaseIterable, Comparable {
        case none
        /// New connections are closed, and responses are passed on rather than held.
        case connections
        /// And new requests on open connections are refused.
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
    private let reached = Atomic<Int>(0)

    /// - Parameter bytesMax: of the process, as the kernel counts it; 0 for no bound.
    public init(bytesMax: Int = 0) {
        self.bytesMax = bytesMax
    }

    public var level: Level { Level(rawValue: current.load(ordering: .relaxed)) ?? .none }
    public var residentBytes: Int { resident.load(ordering: .relaxed) }
    /// How often a level was reached that is higher than the one before.
    public var riseCount: Int { reached.load(ordering: .relaxed) }

    /// What has to go until nothing that is under way need be cut; 0 below ``Level/exchanges``.
    public var excessBytes: Int {
        level == .exchanges ? max(0, residentBytes - Int(Double(bytesMax) * (Level.exchanges.share - Self.marginShare))) : 0
    }

    /// The process has so much now. Called by one thread.
    /// - Returns: the level from here on.
    @discardableResult public func measured(residentBytes: Int) -> Level {
        resident.store(residentBytes, ordering: .relaxed)
        guard bytesMax > 0 else { return .none }
        let share = Double(residentBytes) / Double(bytesMax)
        let old = level
        let new = Level.allCases.last { share >= $0.share - ($0 <= old && $0 != .none ? Self.marginShare : 0) } ?? .none
        if new > old { reached.add(1, ordering: .relaxed) }
        current.store(new.rawValue, ordering: .relaxed)
        return new
    }
}
