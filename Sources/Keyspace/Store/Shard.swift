import Telemetry

/// A part of the keyspace behind a lock of its own: the keys whose hash says so, of all databases.
///
/// The place of its memory, and no object: a command asks for its shard several times, and to retain and release it each time took a twentieth of
/// a short one's time. ``Keyspace`` makes them all and frees them when it goes; whoever has one has the keyspace.
///
/// `@unchecked Sendable`: all but the lock and ``index`` is touched only under ``withLock(_:)``.
struct Shard: @unchecked Sendable {
    /// Apart from the rest, for it is touched by those who do not have the lock yet.
    private struct Head: ~Copyable {
        let lock = Lock(())
        let index: Int
    }

    private struct State: ~Copyable {
        let databases: UnsafeMutablePointer<Database>
        let databaseCount: Int
        let discarder: Discarder
        var watches = WatchTable()
        var waiters = WaiterTable()
        var snapshot: ShardSnapshot?
        var random = XorShift(seed: .random(in: 1 ... .max))
        var expiredCount = 0
        var evictedCount = 0
        var hitCount = 0
        var missCount = 0

        init(databaseCount: Int, discarder: Discarder) {
            (self.databaseCount, self.discarder) = (databaseCount, discarder)
            databases = .allocate(capacity: databaseCount)
            for database in 0..<databaseCount { (databases + database).initialize(to: Database(discarder: discarder)) }
        }

        deinit {
            databases.deinitialize(count: databaseCount)
            databases.deallocate()
        }
    }

    private let head: UnsafeMutablePointer<Head>
    private let state: UnsafeMutablePointer<State>

    init(index: Int, databaseCount: Int, discarder: Discarder) {
        head = .allocate(capacity: 1)
        head.initialize(to: Head(index: index))
        state = .allocate(capacity: 1)
        state.initialize(to: State(databaseCount: databaseCount, discarder: discarder))
    }

    /// Frees all that it has; nobody has it any more.
    func free() {
        state.deinitialize(count: 1)
        state.deallocate()
        head.deinitialize(count: 1)
        head.deallocate()
    }

    @inline(__always)
    func withLock<Result: Sendable>(_ body: () -> Result) -> Result { head.pointee.lock.withLock { _ in body() } }

    var index: Int { head.pointee.index }

    /// Who must hear of a change of a key (`WATCH`).
    var watches: WatchTable {
        @inline(__always) _read { yield state.pointee.watches }
        nonmutating _modify { yield &state.pointee.watches }
    }

    /// Who waits for a key to get an element (`BLPOP` and the like).
    var waiters: WaiterTable {
        @inline(__always) _read { yield state.pointee.waiters }
        nonmutating _modify { yield &state.pointee.waiters }
    }

    /// What is being written to disk of it, if anything is.
    var snapshot: ShardSnapshot? {
        _read { yield state.pointee.snapshot }
        nonmutating _modify { yield &state.pointee.snapshot }
    }

    /// For random keys and samples.
    var random: XorShift {
        @inline(__always) _read { yield state.pointee.random }
        @inline(__always) nonmutating _modify { yield &state.pointee.random }
    }

    // MARK: Numbers for `INFO`, read under the lock

    var expiredCount: Int {
        get { state.pointee.expiredCount }
        nonmutating set { state.pointee.expiredCount = newValue }
    }
    var evictedCount: Int {
        get { state.pointee.evictedCount }
        nonmutating set { state.pointee.evictedCount = newValue }
    }
    var hitCount: Int {
        get { state.pointee.hitCount }
        nonmutating set { state.pointee.hitCount = newValue }
    }
    var missCount: Int {
        get { state.pointee.missCount }
        nonmutating set { state.pointee.missCount = newValue }
    }

    // MARK: Databases

    subscript(database: Int) -> Database {
        @inline(__always) _read {
            precondition(database >= 0 && database < state.pointee.databaseCount)
            yield state.pointee.databases[database]
        }
        @inline(__always) nonmutating _modify {
            precondition(database >= 0 && database < state.pointee.databaseCount)
            yield &state.pointee.databases[database]
        }
    }

    /// Lets two databases change names.
    func swap(_ first: Int, _ second: Int) {
        let (databases, count) = (state.pointee.databases, state.pointee.databaseCount)
        precondition(first >= 0 && first < count && second >= 0 && second < count)
        guard first != second else { return }
        let kept = (databases + first).move()
        (databases + first).moveInitialize(from: databases + second, count: 1)
        (databases + second).initialize(to: kept)
    }

    /// Empties a database and hands its keys over.
    func takeAll(_ database: Int) -> Database {
        precondition(database >= 0 && database < state.pointee.databaseCount)
        let place = state.pointee.databases + database
        let taken = place.move()
        place.initialize(to: Database(discarder: state.pointee.discarder))
        return taken
    }

    var bytes: Int {
        var sum = 0
        for database in 0..<state.pointee.databaseCount { sum += state.pointee.databases[database].bytes }
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
