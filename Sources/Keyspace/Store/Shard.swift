import Telemetry

/// A part of the keyspace behind a lock of its own: the keys whose hash says so, of all databases.
///
/// `@unchecked Sendable`: all but ``lock`` and the counters is touched only between the lock's taking and its release, by
/// ``Keyspace/withShards(_:_:)`` and ``Keyspace/withShard(_:_:)``.
final class Shard: @unchecked Sendable {
    let lock = Lock(())
    let index: Int
    private let databases: UnsafeMutablePointer<Database>
    private let databaseCount: Int
    private let discarder: Discarder
    /// Who must hear of a change of a key (`WATCH`).
    var watches = WatchTable()
    /// Who waits for a key to get an element (`BLPOP` and the like).
    var waiters = WaiterTable()
    /// What is being written to disk of it, if anything is.
    var snapshot: ShardSnapshot?
    /// For random keys and samples.
    var random: XorShift

    // Numbers for `INFO`, read under the lock.
    var expiredCount = 0
    var evictedCount = 0
    var hitCount = 0
    var missCount = 0

    init(index: Int, databaseCount: Int, discarder: Discarder) {
        self.index = index
        self.discarder = discarder
        self.databaseCount = databaseCount
        databases = .allocate(capacity: databaseCount)
        for database in 0..<databaseCount { (databases + database).initialize(to: Database(discarder: discarder)) }
        random = XorShift(seed: .random(in: 1 ... .max))
    }

    deinit {
        databases.deinitialize(count: databaseCount)
        databases.deallocate()
    }

    subscript(database: Int) -> Database {
        @inline(__always) _read {
            precondition(database >= 0 && database < databaseCount)
            yield databases[database]
        }
        @inline(__always) _modify {
            precondition(database >= 0 && database < databaseCount)
            yield &databases[database]
        }
    }

    /// Lets two databases change names.
    func swap(_ first: Int, _ second: Int) {
        precondition(first >= 0 && first < databaseCount && second >= 0 && second < databaseCount)
        guard first != second else { return }
        let kept = (databases + first).move()
        (databases + first).moveInitialize(from: databases + second, count: 1)
        (databases + second).initialize(to: kept)
    }

    /// Empties a database and hands its keys over.
    func takeAll(_ database: Int) -> Database {
        precondition(database >= 0 && database < databaseCount)
        let taken = (databases + database).move()
        (databases + database).initialize(to: Database(discarder: discarder))
        return taken
    }

    var bytes: Int {
        var sum = 0
        for database in 0..<databaseCount { sum += databases[database].bytes }
        return sum
    }
}

/// Random numbers that need be neither secret nor perfect: Marsaglia's xorshift64*.
struct XorShift: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed | 1 }

    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_F491_4F6C_DD1D
    }
}
