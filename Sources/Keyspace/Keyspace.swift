import Synchronization
import Telemetry

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The keys of all databases, in shards with a lock each; and what all clients share besides.
///
/// Whoever needs several shards takes their locks in rising order, so that no two wait for each other.
final class Keyspace: Sendable {
    /// 16: with as many event loops as any machine here has cores, two rarely meet in one.
    static let shardCount = 16
    /// What a shard's memory may change before it is told to all: 4 KB in 16 shards and 16 databases is 1 MB at most.
    private static let publishedBytesStep = 4 << 10

    let configuration: KeyspaceConfiguration
    let shards: [Shard]
    let eviction: KeyEviction
    let clients = ClientRegistry()
    let errors = ErrorCounts()
    let settings: ServerSettings
    let access: AccessList
    let slowLog = SlowLog()
    let latency = LatencyMonitor()
    let pause = ClientPause()
    let scripts = ScriptInterpreter()
    let persistence = KeyspacePersistence()
    /// Tells clients what they asked to be told.
    let hub: KeyspaceHub
    /// One of each event loop.
    let loops = Lock<[CallCounters]>([])
    let started: Int64
    private let used = Atomic<Int>(0)
    private let bytesMax: Atomic<Int>
    let peakBytes = Atomic<Int>(0)
    let rate = CommandRate()
    let misses: CacheMisses
    /// 40 hexadecimal digits, anew at each start.
    let runID: String
    private let tcpPort = Atomic<Int>(0)
    /// Where `INFO` says that it listens; 0 for no port.
    var port: Int {
        get { tcpPort.load(ordering: .relaxed) }
        set { tcpPort.store(newValue, ordering: .relaxed) }
    }

    /// Writes what `CONFIG SET` has changed where the configuration came from; `nil` when that is no file.
    let rewriteConfiguration: ConfigurationRewriting?

    /// Ends the process in order, for `SHUTDOWN`; `nil` when it serves more than the keyspace.
    let endProcess: (@Sendable () -> Void)?
    /// SHUTDOWN writes a snapshot, and nobody is served meanwhile.
    let isSavingToEnd = Atomic<Bool>(false)

    init(
        _ configuration: KeyspaceConfiguration, rewriting: ConfigurationRewriting? = nil, ending: (@Sendable () -> Void)? = nil
    ) {
        endProcess = ending
        self.configuration = configuration
        misses = CacheMisses(configuration.cachePatterns)
        rewriteConfiguration = rewriting
        hub = KeyspaceHub(clients: clients)
        shards = (0..<Self.shardCount).map { [discarder] in Shard(index: $0, databaseCount: configuration.databases, discarder: discarder) }
        eviction = KeyEviction(configuration.policy)
        bytesMax = Atomic(configuration.bytesMax)
        discarder.bytesMax = Discarder.bytesMax(limit: configuration.bytesMax)
        settings = ServerSettings(configuration)
        access = AccessList(password: configuration.password)
        for line in configuration.users {
            let words = line.split(separator: " ").map { Array($0.utf8) }
            if let name = words.first { _ = access.set(String(decoding: name, as: UTF8.self), Array(words.dropFirst())) }
        }
        runID = String((0..<40).map { _ in "0123456789abcdef".randomElement() ?? "0" })
        started = WallClock.nanoseconds() / 1_000_000
        for setting in configuration.settings {
            _ = ServerSettings.rows.first { $0.name == setting.name }?.set?(self, setting.value)
        }
    }

    deinit {
        for shard in shards { shard.free() }
    }

    /// The configuration as `CONFIG SET` has left it.
    var currentConfiguration: KeyspaceConfiguration {
        var current = configuration
        current.bytesMax = bytesLimit
        current.policy = eviction.policy
        current.password = access.requiredPassword
        current.clientsMax = settings.clientsMax.load(ordering: .relaxed)
        current.fsync = persistence.writer?.policy ?? configuration.fsync
        settings.values.withLock {
            if !configuration.directory.isEmpty { current.savePoints = $0.savePoints }
            current.rewritePercentage = $0.rewritePercentage
            current.rewriteBytesMin = $0.rewriteBytesMin
        }
        let others = Set(settings.changed.withLock { $0 }.subtracting(KeyspaceConfiguration.ownDirectives).map(ServerSettings.canonical))
        for name in others.sorted() {
            guard let row = ServerSettings.rows.first(where: { $0.name == name }) else { continue }
            let setting = KeyspaceConfiguration.Setting(name: name, value: row.get(self))
            // In the place of all its names: one that stayed behind would win at the next start.
            let index = current.settings.firstIndex { ServerSettings.canonical($0.name) == name }
            current.settings.removeAll { ServerSettings.canonical($0.name) == name }
            current.settings.insert(setting, at: index ?? current.settings.endIndex)
        }
        return current
    }

    @inline(__always)
    func shardIndex(of hash: UInt64) -> Int { Int(truncatingIfNeeded: hash >> 16) & (Self.shardCount - 1) }

    @inline(__always)
    func shard(of hash: UInt64) -> Shard { shards[shardIndex(of: hash)] }

    // MARK: Locks

    static let allShards: UInt64 = (1 << UInt64(shardCount)) - 1

    /// Runs with the locks of some shards, one bit each.
    func withShards(_ mask: UInt64, _ body: () -> Void) {
        guard mask != 0 else { return body() }
        shards[mask.trailingZeroBitCount].withLock { withShards(mask & (mask - 1), body) }
    }

    /// Runs with all locks, unless the call has them already.
    func withAllShards(_ call: Call, _ body: () -> Void) {
        if call.holdsAll { return body() }
        withShards(Self.allShards) {
            call.holdsAll = true
            body()
            call.holdsAll = false
            persistence.groupEnded(call)
            for database in 0..<configuration.databases { publish(Self.allShards, database) }
        }
    }

    /// Runs with the lock of one shard, unless the call has it already.
    func withShard(_ shard: Shard, _ call: Call?, _ body: () -> Void) {
        if call?.holdsAll == true { return body() }
        shard.withLock(body)
    }

    // MARK: Memory

    /// Memory of all keys, to within what ``publish(_:_:)`` leaves out.
    var usedBytes: Int { used.load(ordering: .relaxed) }

    var bytesLimit: Int {
        get { bytesMax.load(ordering: .relaxed) }
        set {
            bytesMax.store(newValue, ordering: .relaxed)
            discarder.bytesMax = Discarder.bytesMax(limit: newValue)
        }
    }

    /// Whether there is more than there may be, or would be with a request of so many bytes. Small ones do not count: they are within the 2 %.
    @inline(__always)
    func isFull(adding bytes: Int = 0) -> Bool {
        let limit = bytesMax.load(ordering: .relaxed)
        return limit > 0 && used.load(ordering: .relaxed) > (bytes >= Self.publishedBytesStep ? limit - bytes : limit)
    }

    func publish(_ mask: UInt64, _ database: Int) {
        var rest = mask
        while rest != 0 {
            publish(shards[rest.trailingZeroBitCount], database)
            rest &= rest - 1
        }
    }

    /// Counts what a shard's database takes now; under its lock.
    @inline(__always)
    func publish(_ shard: Shard, _ database: Int) {
        let change = shard[database].unpublishedBytes
        guard abs(change) >= Self.publishedBytesStep else { return }
        shard[database].published()
        let sum = used.wrappingAdd(change, ordering: .relaxed).newValue
        if sum > peakBytes.load(ordering: .relaxed) { peakBytes.store(sum, ordering: .relaxed) }
    }

    /// What became of the wish for room.
    enum Room: Equatable {
        case made
        /// Nothing more may go, or what is wanted is more than all there is.
        case none
        /// The time is over; what is left to evict is for the next slice. So many bytes went in this one.
        case later(freed: Int)
    }

    /// Nanoseconds of evicting after which a loop serves others: Redis' own at its default `maxmemory-eviction-tenacity`.
    static let evictionSlice: UInt64 = 500_000

    /// Evicts until the memory is below its bound, or the time is over; takes one lock at a time.
    /// - Parameters:
    ///   - bytes: what is to be written, and has to have room as well.
    ///   - time: nanoseconds.
    func makeRoom(adding bytes: Int = 0, now: Int64, time: UInt64 = .max) -> Room {
        guard isFull(adding: bytes) else { return .made }
        guard eviction.policy != .noeviction, bytes <= bytesLimit else { return .none }
        let began = MonotonicClock.nanoseconds()
        var turn = nextVictim.wrappingAdd(1, ordering: .relaxed).newValue
        var (failures, freed) = (0, 0)
        while isFull(adding: bytes) {
            let shard = shards[turn & (Self.shardCount - 1)]
            turn &+= 1
            var evicted = 0
            shard.withLock {
                for database in 0..<configuration.databases where shard[database].count > 0 {
                    let before = shard[database].bytes
                    defer { freed += before - shard[database].bytes }
                    // A few at a time: enough to pay for the lock, too few to make anybody wait.
                    for _ in 0..<4 where eviction.evict(shard, database, now: now, { evict($0, shard, database) }) { evicted += 1 }
                    publish(shard, database)
                }
            }
            failures = evicted > 0 ? 0 : failures + 1
            if failures > Self.shardCount { return .none }
            if MonotonicClock.nanoseconds() &- began >= time { return isFull(adding: bytes) ? .later(freed: max(freed, 0)) : .made }
        }
        return .made
    }

    private let nextVictim = Atomic<Int>(0)

    private func evict(_ entry: Entry, _ shard: Shard, _ database: Int) {
        let key = [UInt8](entry.key)
        key.withUnsafeBytes { key in
            shard[database].remove(entry, KeyHash.hash(key))
            shard.evictedCount &+= 1
            gone(key, .evicted, "evicted", shard, database, nil)
        }
    }

    // MARK: Expiry

    /// Removes a key whose deadline has passed; under its shard's lock.
    func expire(_ entry: Entry, _ hash: UInt64, _ shard: Shard, _ database: Int, _ call: Call?) {
        if shard.watches.isEmpty, hub.isQuiet, !persistence.isLogging {
            shard[database].remove(entry, hash)
            shard.expiredCount &+= 1
            return
        }
        let key = [UInt8](entry.key)
        key.withUnsafeBytes { key in
            shard[database].remove(entry, hash)
            shard.expiredCount &+= 1
            gone(key, .expired, "expired", shard, database, call)
        }
    }

    private func gone(
        _ key: UnsafeRawBufferPointer, _ kind: KeyspaceEvents.Class, _ event: StaticString, _ shard: Shard, _ database: Int, _ call: Call?
    ) {
        if !shard.watches.isEmpty { shard.watches.changed(WatchedKey(database: database, key: [UInt8](key))) }
        persistence.removed(key, database: database, call: call)
        hub.keyChanged(key, call: call)
        hub.happened(kind, event, key, database: database)
    }

    /// Removes keys whose deadline has passed and which nobody asks for.
    /// - Parameter countMax: keys of each shard in one go; the lock is not held longer than that takes.
    /// - Returns: whether more are due.
    func expireDue(_ shard: Shard, now: Int64, countMax: Int) -> Bool {
        var isMore = false
        shard.withLock {
            for database in 0..<configuration.databases {
                var count = 0
                while let entry = shard[database].nextToExpire, entry.deadline <= now {
                    if count == countMax {
                        isMore = true
                        break
                    }
                    expire(entry, KeyHash.hash(entry.key), shard, database, nil)
                    count += 1
                }
                publish(shard, database)
            }
        }
        return isMore
    }

    // MARK: Numbers

    /// Keys of a database, and how many of them expire. Takes the locks one by one: a number, not a snapshot.
    func keyCount(_ database: Int, _ call: Call?) -> (keys: Int, expiring: Int) {
        var sum = (keys: 0, expiring: 0)
        for shard in shards {
            withShard(shard, call) {
                sum.keys += shard[database].count
                sum.expiring += shard[database].expiringCount
            }
        }
        return sum
    }

    /// What of ``exactBytes(_:)`` is no key and no value: the tables that lead to them. Takes the locks one by one.
    func tableBytes(_ call: Call?) -> Int {
        var sum = 0
        for shard in shards {
            withShard(shard, call) { for database in 0..<configuration.databases { sum += shard[database].tableBytes } }
        }
        return sum
    }

    /// Memory of all keys, to the byte. Takes the locks one by one.
    func exactBytes(_ call: Call?) -> Int {
        var sum = 0
        for shard in shards { withShard(shard, call) { sum += shard.bytes } }
        return sum
    }

    struct Sums: Sendable {
        var commands: UInt64 = 0
        var connections: UInt64 = 0
        var refused: UInt64 = 0
        var tlsHandshakes: UInt64 = 0
        var tlsFailures: UInt64 = 0
        var bytesIn: UInt64 = 0
        var bytesOut: UInt64 = 0
        var reads: UInt64 = 0
        var writes: UInt64 = 0
        var expiryCutShort: UInt64 = 0
        /// Nanoseconds.
        var expiryTime: UInt64 = 0
        var hits = 0
        var misses = 0
        var expired = 0
        var evicted = 0

        mutating func subtract(_ earlier: Sums) {
            for counter in Sums.counters where self[keyPath: counter] >= earlier[keyPath: counter] { self[keyPath: counter] -= earlier[keyPath: counter] }
        }

        private static let counters: [any WritableKeyPath<Sums, UInt64> & Sendable] = [
            \.commands, \.connections, \.refused, \.tlsHandshakes, \.tlsFailures, \.bytesIn, \.bytesOut, \.reads, \.writes, \.expiryCutShort, \.expiryTime,
        ]
    }

    /// Changes since the start.
    var changeCount: UInt64 { loops.withLock { $0.reduce(0) { $0 + $1.changes.value } } }

    func sums(_ call: Call?) -> Sums {
        var sums = loopSums()
        sums.subtract(baseline.withLock { $0.sums })
        for shard in shards {
            withShard(shard, call) {
                sums.hits += shard.hitCount
                sums.misses += shard.missCount
                sums.expired += shard.expiredCount
                sums.evicted += shard.evictedCount
            }
        }
        return sums
    }

    private func loopSums() -> Sums {
        var sums = Sums()
        for loop in loops.withLock({ $0 }) {
            sums.commands += loop.calls.values().reduce(0, +)
            sums.connections += loop.connections.value
            sums.refused += loop.refusedConnections.value
            sums.tlsHandshakes += loop.tlsHandshakes.value
            sums.tlsFailures += loop.tlsFailures.value
            sums.bytesIn += loop.bytesIn.value
            sums.bytesOut += loop.bytesOut.value
            sums.reads += loop.reads.value
            sums.writes += loop.writes.value
            sums.expiryCutShort += loop.expiryCutShort.value
            sums.expiryTime += loop.expiryTime.value
        }
        return sums
    }

    /// What was counted of each command.
    var commandTotals: CommandTotals { CommandTotals(loops.withLock { $0 }).since(baseline.withLock { $0.commands }) }

    func durations(of index: Int) -> CommandDurations {
        let (start, count) = (index * DurationScale.bucketCount, DurationScale.bucketCount)
        var counts = [UInt64](repeating: 0, count: count)
        for loop in loops.withLock({ $0 }) { for bucket in 0..<count { counts[bucket] &+= loop.durations.value(start + bucket) } }
        baseline.withLock { baseline in
            guard !baseline.durations.isEmpty else { return }
            for bucket in 0..<count { counts[bucket] -= min(baseline.durations[start + bucket], counts[bucket]) }
        }
        return CommandDurations(counts: counts)
    }

    /// What event loops had counted at the last `CONFIG RESETSTAT`. They go on counting: only its owner may write a counter.
    private struct Baseline: Sendable {
        var sums = Sums()
        var commands = CommandTotals()
        /// Of all commands, as in ``CallCounters/durations``; empty before the first.
        var durations: [UInt64] = []
    }

    private let baseline = Lock(Baseline())

    /// `CONFIG RESETSTAT`.
    func resetStatistics(_ call: Call?) {
        errors.reset()
        let all = loops.withLock { $0 }
        var new = Baseline(sums: loopSums(), commands: CommandTotals(all), durations: all.first?.durations.values() ?? [])
        for loop in all.dropFirst() { for (place, count) in loop.durations.values().enumerated() { new.durations[place] &+= count } }
        baseline.withLock { [new] in $0 = new }
        for shard in shards {
            withShard(shard, call) { (shard.hitCount, shard.missCount, shard.expiredCount, shard.evictedCount) = (0, 0, 0, 0) }
        }
        peakBytes.store(usedBytes, ordering: .relaxed)
    }

    /// Frees what a flush has taken out, off the path of the commands.
    func discard(_ keys: consuming [Discarder.Keys]) {
        used.subtract(keys.reduce(0) { $0 + $1.publishedBytes }, ordering: .relaxed)
        discarder.add(consume keys)
    }

    let discarder = Discarder()

    // MARK: Waiting clients

    /// Tries the commands of those again that wait for keys which have elements now, the longest waiting first.
    func serveWaiters(_ call: Call) {
        var keys = call.readyKeys
        call.readyKeys.removeAll()
        while let key = keys.popLast() {
            let shard = key.key.withUnsafeBytes { self.shard(of: KeyHash.hash($0)) }
            var waiters: [Waiter] = []
            withShard(shard, call) { waiters = shard.waiters.waiting(for: key) }
            for waiter in waiters {
                keys += serve(waiter, call)
                var isThere = false
                withShard(shard, call) { isThere = key.key.withUnsafeBytes { shard[key.database].find(Key($0)) != nil } }
                if !isThere { break }
            }
        }
    }

    private func serve(_ waiter: Waiter, _ call: Call) -> [WatchedKey] {
        let attempt = Call(keyspace: self, session: waiter.session, counters: call.counters, outputCapacity: 256)
        attempt.now = call.now
        attempt.database = waiter.session.database
        attempt.out.isRESP3 = waiter.session.isRESP3
        attempt.mayBlock = false
        var answer: [UInt8]?
        func tryAgain() {
            guard waiter.isWaiting else { return }
            attempt.holdsAll = true
            attempt.retries = true
            attempt.run(waiter.arguments)
            attempt.holdsAll = call.holdsAll
            if call.holdsAll { call.effects += attempt.effects } else { persistence.groupEnded(attempt) }
            if !attempt.foundNothing {
                answer = [UInt8](attempt.out.bytes)
                forget(waiter)
            }
            publish(waiter.shards, attempt.database)
        }
        if call.holdsAll { tryAgain() } else { withShards(waiter.shards, tryAgain) }
        guard let answer else { return attempt.readyKeys }
        // Who waited is told once its command is safe, as everybody.
        if call.holdsAll || persistence.waitUntilSafe(attempt.logPosition) {
            waiter.port.answer(waiter, answer)
        } else {
            waiter.port.close()
        }
        return attempt.readyKeys
    }

    /// Answers a client that waits for something else than a key; with no lock held.
    func answer(_ waiter: Waiter, _ bytes: [UInt8]) {
        if cancel(waiter) { waiter.port.answer(waiter, bytes) }
    }

    /// Under the locks of its keys.
    private func forget(_ waiter: Waiter) {
        waiter.isWaiting = false
        for key in waiter.keys {
            let shard = key.key.withUnsafeBytes { self.shard(of: KeyHash.hash($0)) }
            shard.waiters.remove(waiter, for: key)
        }
    }

    /// The waiter gives up.
    /// - Parameter call: which makes it give up, and may have all shards already.
    /// - Returns: `false` when somebody has answered it meanwhile.
    func cancel(_ waiter: Waiter, _ call: Call? = nil) -> Bool {
        var wasWaiting = false
        func giveUp() {
            wasWaiting = waiter.isWaiting
            if wasWaiting { forget(waiter) }
        }
        if call?.holdsAll == true { giveUp() } else { withShards(waiter.shards, giveUp) }
        return wasWaiting
    }

    /// Clients that are about to be closed, which their event loops do by and by: from now on nobody's element goes to them.
    func cancelWaiters(of clients: Set<Int>, _ call: Call) {
        for shard in shards {
            var waiters: [Waiter] = []
            withShard(shard, call) { waiters = shard.waiters.all.filter { clients.contains($0.session.id) } }
            for waiter in waiters { _ = cancel(waiter, call) }
        }
    }
}
