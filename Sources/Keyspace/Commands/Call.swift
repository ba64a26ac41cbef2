import RESPWire

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// One command while it is carried out: its arguments, its client, where its reply goes, and what it changed.
///
/// Every event loop has one, used again for each command. The arguments are places in the bytes that the client sent.
final class Call {
    let keyspace: Keyspace
    let table = CommandTable.shared
    /// Where replies go; the loop writes them out at the end of its turn.
    var out: RESPWriter
    /// The name first.
    var arguments: ContiguousArray<UnsafeRawBufferPointer> = []
    var session: ClientSession
    /// Of the table, which is there for as long as the process is: nobody need hold on to it.
    private(set) unowned(unsafe) var command: Command
    /// Its place in the table.
    var commandIndex = 0 {
        didSet { command = table.commands[commandIndex] }
    }
    /// When the command begins, by ``Telemetry/MonotonicClock``: the end of the one before it, where nothing came between. 0 where that is not known.
    var started: UInt64 = 0
    /// When the last command that was carried out ended.
    var ended: UInt64 = 0
    /// What the command took that was carried out last; 0 for one that was refused.
    var nanoseconds: UInt64 = 0
    /// Milliseconds since 1970, the same for all that is carried out in one go.
    var now: Int64 = 0
    var database = 0
    /// Whether all shards are held: in a transaction or a script, or because the command asked.
    var holdsAll = false
    /// Whether the command comes from a script, a transaction or the append log; such a command never waits.
    var mayBlock = true
    /// Whether a script asks.
    var isInScript = false
    /// What was changed, in keys and elements: 0 means that nothing is to be logged, and nobody to be told.
    var changes = 0
    /// Keys that got an element for which somebody waits.
    var readyKeys: [WatchedKey] = []
    /// What the append log gets in the command's place, when the command itself would not do the same again.
    var rewritten: [[[UInt8]]]?
    /// What the append log gets of commands that are carried out together, with ``holdsAll``: all at once, when their locks are released.
    var effects: [AppendLogReplay.Command] = []
    /// How much of the append log must be on disk before what was answered is safe; 0 for nothing.
    var logPosition: UInt64 = 0
    /// The client is to wait: there is no reply yet.
    var waiter: Waiter?
    /// Bytes of the request; 0 where they are not known.
    var requestBytes = 0
    /// Nanoseconds that a command may evict for before it is carried out.
    var roomTime = UInt64.max
    /// Whether the client can be made to wait when that was not enough. Nobody else can: their command is carried out then, and the next goes on.
    var mayPostpone = false
    /// Others wait for room already: who wants some waits as well, unless there is credit.
    var isRoomAwaited = false
    /// Bytes that may be written though the memory is full, since more than that has just been evicted.
    var roomCredit = 0
    /// What the request takes of it: its bytes, and what is around a new key.
    var roomCost: Int { Self.roomCost(requestBytes) }
    static func roomCost(_ requestBytes: Int) -> Int { requestBytes + 256 }
    /// The command was not looked at: there is to be room first.
    var isPostponed = false
    /// Numbers of this event loop.
    let counters: CallCounters

    init(keyspace: Keyspace, session: ClientSession, counters: CallCounters, outputCapacity: Int = 16 << 10) {
        self.keyspace = keyspace
        self.session = session
        self.counters = counters
        out = RESPWriter(capacity: outputCapacity)
        command = CommandTable.shared.commands[0]
        hashes = .allocate(capacity: Self.hashedPlacesMax)
    }

    deinit { hashes.deallocate() }

    var count: Int { arguments.count }

    @inline(__always)
    subscript(index: Int) -> UnsafeRawBufferPointer { arguments[index] }

    // MARK: Waiting

    /// Whether this is a waiter's command that is tried again.
    var retries = false
    /// A waiter's command found nothing when it was tried again.
    private(set) var foundNothing = false

    func findNothing() { foundNothing = true }

    /// The command found nothing to answer with: its client waits for one of these keys, or is told at once that there is nothing
    /// when it must not wait.
    /// - Parameters:
    ///   - seconds: how long; 0 for ever.
    ///   - answer: writes what it is told when that has passed.
    func wait(on places: Range<Int>, seconds: Double, _ answer: (inout RESPWriter) -> Void) {
        if retries {
            foundNothing = true
            return
        }
        guard mayBlock, session.transaction == nil, let port = session.record.port else { return answer(&out) }
        let start = out.count
        answer(&out)
        let late = [UInt8](UnsafeRawBufferPointer(rebasing: out.bytes.dropFirst(start)))
        out.truncate(to: start)
        var mask: UInt64 = 0
        var keys: [WatchedKey] = []
        for place in places {
            let key = WatchedKey(database: database, key: bytes(place))
            if !keys.contains(key) { keys.append(key) }
        }
        // All keys of the command, those that it only writes to as well.
        var all: ContiguousArray<Int> = []
        command.keyPlaces(self, &all)
        for place in all { mask |= 1 << UInt64(keyspace.shardIndex(of: KeyHash.hash(arguments[place]))) }
        let deadline = seconds > 0 ? now &+ Int64((seconds * 1000).rounded(.up)) : nil
        let waiter = Waiter(
            arguments: arguments.map { [UInt8]($0) }, keys: keys, shards: mask, deadline: deadline, session: session.standIn(),
            port: port, answerWhenLate: late)
        for key in keys { key.key.withUnsafeBytes { shard(Key($0)) }.waiters.add(waiter, for: key) }
        self.waiter = waiter
    }

    /// Runs a command of these arguments with the locks that are held.
    func run(_ words: [[UInt8]]) {
        Self.withPointers(words) { pointers in
            arguments = pointers
            guard let found = CommandTable.shared.index(pointers[0]) else { return }
            commandIndex = found
            Dispatcher.run(self)
            arguments = []
        }
    }

    /// Lends the addresses of some byte arrays.
    static func withPointers(_ words: [[UInt8]], _ body: (ContiguousArray<UnsafeRawBufferPointer>) -> Void) {
        var pointers: ContiguousArray<UnsafeRawBufferPointer> = []
        func lend(_ index: Int) {
            guard index < words.count else { return body(pointers) }
            words[index].withUnsafeBytes {
                pointers.append($0)
                lend(index + 1)
            }
        }
        // One after the other would go as deep as there are words; beyond a few, one block holds them all.
        if words.count <= 32 { return lend(0) }
        let block = words.flatMap { $0 }
        block.withUnsafeBytes { block in
            var offset = 0
            for word in words {
                pointers.append(UnsafeRawBufferPointer(rebasing: block[offset..<offset + word.count]))
                offset += word.count
            }
            body(pointers)
        }
    }

    // MARK: Arguments

    /// Takes the arguments of a request in the place of those of the last, of which there are mostly as many.
    func setArguments(_ places: ContiguousArray<RESPArgument>, in bytes: UnsafeRawBufferPointer) {
        if arguments.count > places.count { arguments.removeLast(arguments.count - places.count) }
        while arguments.count < places.count { arguments.append(UnsafeRawBufferPointer(start: nil, count: 0)) }
        let start = bytes.baseAddress
        arguments.withUnsafeMutableBufferPointer { arguments in
            places.withUnsafeBufferPointer { places in
                for (index, place) in places.enumerated() { arguments[index] = UnsafeRawBufferPointer(start: start.map { $0 + place.offset }, count: place.count) }
            }
        }
    }

    func bytes(_ index: Int) -> [UInt8] { [UInt8](arguments[index]) }
    func text(_ index: Int) -> String { String(decoding: arguments[index], as: UTF8.self) }

    /// Whether an argument is a word, in any case. The word is in lower case.
    func matches(_ index: Int, _ word: StaticString) -> Bool {
        let argument = arguments[index]
        guard argument.count == word.utf8CodeUnitCount else { return false }
        for position in 0..<argument.count where CommandTable.lowercase(argument[position]) != word.utf8Start[position] { return false }
        return true
    }

    func lowercased(_ index: Int) -> String { text(index).lowercased() }

    func integer(_ index: Int) throws(CommandFailure) -> Int64 {
        guard let value = DecimalText.parse(arguments[index]) else { throw .notInteger }
        return value
    }

    func double(_ index: Int) throws(CommandFailure) -> Double {
        guard let value = DoubleText.parse(arguments[index]) else { throw .notFloat }
        return value
    }

    // MARK: Keys

    /// Hashes of keys by their places among the first arguments, where the choice of their shards has computed them; one bit of ``hashedPlaces`` each.
    private let hashes: UnsafeMutablePointer<UInt64>
    private var hashedPlaces: UInt64 = 0
    private static let hashedPlacesMax = 64

    @inline(__always)
    func key(_ index: Int) -> Key {
        if index < Self.hashedPlacesMax, hashedPlaces & 1 << UInt64(index) != 0 { return Key(arguments[index], hash: hashes[index]) }
        return Key(arguments[index])
    }

    @inline(__always)
    func forgetHashes() { hashedPlaces = 0 }

    /// The hash of the key in a place, kept for ``key(_:)``.
    @inline(__always)
    func hash(_ place: Int) -> UInt64 {
        let hash = KeyHash.hash(arguments[place])
        if place < Self.hashedPlacesMax {
            hashes[place] = hash
            hashedPlaces |= 1 << UInt64(place)
        }
        return hash
    }

    @inline(__always)
    func shard(_ key: Key) -> Shard { keyspace.shard(of: key.hash) }

    /// A key's entry, for a command that reads: counted as hit or miss, and as a use.
    @inline(__always)
    func read(_ key: Key) -> Entry? {
        let shard = shard(key)
        guard !keyspace.misses.isMissing(key.bytes, now: now), let entry = live(key, shard) else {
            missed(key, shard)
            return nil
        }
        shard.hitCount &+= 1
        if !session.isNoTouch { keyspace.eviction.used(entry, now: now, shard) }
        return entry
    }

    /// A key's entry, for a command that changes it.
    @inline(__always)
    func write(_ key: Key) -> Entry? {
        let shard = shard(key)
        guard let entry = live(key, shard) else { return nil }
        if !session.isNoTouch { keyspace.eviction.used(entry, now: now, shard) }
        return entry
    }

    /// A key's entry, for a command that asks about it: counted as hit or miss, and no use.
    func ask(_ key: Key) -> Entry? {
        let entry = peek(key)
        looked(key, isThere: entry != nil)
        return entry
    }

    /// Counts a hit or a miss.
    func looked(_ key: Key, isThere: Bool) {
        let shard = shard(key)
        if isThere { shard.hitCount &+= 1 } else { missed(key, shard) }
    }

    @inline(__always)
    private func missed(_ key: Key, _ shard: Shard) {
        shard.missCount &+= 1
        // Who waits has been told of once.
        if !retries { notify(.keyMiss, "keymiss", key) }
    }

    /// A key's entry, without a trace.
    @inline(__always)
    func peek(_ key: Key) -> Entry? { live(key, shard(key)) }

    @inline(__always)
    private func live(_ key: Key, _ shard: Shard) -> Entry? {
        guard let entry = shard[database].find(key) else { return nil }
        if entry.expires, entry.deadline <= now {
            keyspace.expire(entry, key.hash, shard, database, self)
            return nil
        }
        return entry
    }

    func readString(_ key: Key) throws(CommandFailure) -> Entry? {
        guard let entry = read(key) else { return nil }
        guard entry.type == .string else { throw .wrongType }
        return entry
    }

    func writeString(_ key: Key) throws(CommandFailure) -> Entry? {
        guard let entry = write(key) else { return nil }
        guard entry.type == .string else { throw .wrongType }
        return entry
    }

    /// The object of a key for a command that reads; `nil` when the key is not there.
    func read<Object: StoredObject>(_ key: Key, _ type: ValueType, as: Object.Type = Object.self) throws(CommandFailure) -> Object? {
        guard let entry = read(key) else { return nil }
        guard entry.type == type else { throw .wrongType }
        return entry.object(as: Object.self)
    }

    func write<Object: StoredObject>(_ key: Key, _ type: ValueType, as: Object.Type = Object.self) throws(CommandFailure) -> Object? {
        guard let entry = write(key) else { return nil }
        guard entry.type == type else { throw .wrongType }
        return entry.object(as: Object.self)
    }

    // MARK: Changes

    func setString(_ key: Key, _ value: UnsafeRawBufferPointer, _ change: Database.DeadlineChange = .clear) {
        let shard = shard(key)
        let count = shard[database].count
        let entry = shard[database].setString(key, value, change)
        if shard[database].count != count {
            added(key, entry, shard)
        } else {
            keyspace.eviction.overwritten(entry, now: now)
        }
        changed(key)
    }

    /// Gives a string as many other bytes, where it is.
    func overwrite(_ key: Key, _ entry: Entry, _ value: UnsafeRawBufferPointer) {
        assert(entry.type == .string && entry.valueCount == value.count)
        entry.mutableValue.copyMemory(from: value)
        entry.flags.remove(.raw)
        keyspace.eviction.overwritten(entry, now: now)
        changed(key)
    }

    func setObject(_ key: Key, _ object: StoredObject, _ type: ValueType, _ change: Database.DeadlineChange = .clear) {
        let shard = shard(key)
        let count = shard[database].count
        shard[database].setObject(key, object, type, change)
        if shard[database].count != count, let entry = shard[database].find(key) { added(key, entry, shard) }
        changed(key)
    }

    /// A key is there that was not.
    @inline(__always)
    func added(_ key: Key, _ entry: Entry, _ shard: Shard) {
        keyspace.eviction.added(entry, key.hash, now: now, shard, database)
        notify(.new, "new", key)
    }

    func remove(_ key: Key, _ entry: Entry) {
        shard(key)[database].remove(entry, key.hash)
        changed(key)
    }

    /// After an object was changed: counts its memory, and takes the key away when nothing is left in it.
    /// - Parameter event: its notification; `del` follows when the key goes.
    func settle(_ key: Key, _ object: StoredObject, _ kind: KeyspaceEvents.Class, _ event: StaticString) {
        let shard = shard(key)
        notify(kind, event, key)
        if object.count == 0, let entry = shard[database].find(key) {
            shard[database].remove(entry, key.hash)
            notify(.generic, "del", key)
        } else {
            shard[database].settle(object)
        }
        changed(key)
    }

    /// The key has changed: whoever watches it must know.
    func changed(_ key: Key, by count: Int = 1) {
        changes &+= count
        let shard = shard(key)
        if !shard.watches.isEmpty { shard.watches.changed(WatchedKey(database: database, key: key.copy)) }
        keyspace.hub.keyChanged(key.bytes, call: self)
    }

    /// Somebody may wait for this key to have elements.
    func elementsAdded(_ key: Key) {
        let shard = shard(key)
        guard !shard.waiters.isEmpty else { return }
        let watched = WatchedKey(database: database, key: key.copy)
        if shard.waiters.contains(watched), !readyKeys.contains(watched) { readyKeys.append(watched) }
    }

    @inline(__always)
    func notify(_ kind: KeyspaceEvents.Class, _ event: StaticString, _ key: Key) {
        keyspace.hub.happened(kind, event, key.bytes, database: database)
    }

    /// The append log gets this in the command's place.
    func rewrite(_ arguments: [UInt8]...) {
        rewritten = (rewritten ?? []) + [arguments]
    }
}
