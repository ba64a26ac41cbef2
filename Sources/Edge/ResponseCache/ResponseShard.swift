import Eviction
import HTTPSemantics
import NIOCore

/// One shard of the response store, with the fetches that are under way for its keys: a plain value, guarded by
/// ``ResponseStore``'s lock.
///
/// Lookup and coalescing live together, because "not stored, so I fetch" and "not stored, but somebody fetches" must be one
/// step: two requests that miss together must not both become leader.
///
/// A record is one primary key. It has stored variants (RFC 9111 §4.1), fetches under way, or a mark that says that its
/// last answer could not be shared; a record with none of these is removed.
struct ResponseShard: Sendable {
    struct Variant: Sendable {
        let secondaryKey: [UInt8]
        let entry: Int
    }

    struct Fetch {
        let id: UInt64
        /// What the leader asked with: which variant that is may become known, or change, while the fetch is under way.
        let fields: FieldSection
        /// Whether others may wait for it.
        var isShared: Bool
        var followers: [Follower] = []
        /// Its response, once it is known that it will be stored: from here on nobody waits, but reads along.
        var live: LiveResponse?
        /// An invalidation came after the fetch began: what it brings may be older than the change and is not stored.
        var isOvertaken = false
        /// The latest purge when it began; see ``PurgeLedger``.
        var began: UInt64 = 0
        /// The latest purge that it was compared with.
        var comparedPurge: UInt64 = 0
    }

    struct Record {
        let key: [UInt8]
        let hash: UInt64
        var vary = VaryNames()
        var variants: [Variant] = []
        var fetches: [Fetch] = []
        /// The entry that holds the mark "could not be shared", which is evicted as responses are.
        var passMark: Int?

        var isUseless: Bool { variants.isEmpty && fetches.isEmpty && passMark == nil }
    }

    /// What eviction counts and drops: a response in the codings that it is ready in, or a pass mark.
    ///
    /// Kept flat, so that a hit reads the one reference it needs and touches no other.
    struct Entry {
        var record = -1
        /// `nil` for a pass mark.
        var response: StoredResponse?
        /// By ``ContentCoding``'s raw value.
        var ready: InlineArray<4, Representation?> = [nil, nil, nil, nil]
        var readySet: CodingSet = []
        /// What the response may be served in, identity included.
        var offered: CodingSet = []
        /// Codings that somebody is making, fast or in the background.
        var claimed: CodingSet = []
        var claimedHigh: CodingSet = []
        /// Of a pass mark: until when nobody waits for anybody. Of a response: until when it is not fetched ahead of its end.
        var pausedUntil = NIODeadline.distantPast
        /// The latest purge by pattern that it was compared with.
        var comparedBan: UInt64 = 0
        /// Its first node in the index of tags.
        var firstTag: Int32 = -1
    }

    /// Variants of one key; the oldest makes room. A client that invents values of a varying field costs no more than this.
    static let variantsMax = 16
    /// Followers of one fetch. More than these fetch for themselves: no list that clients fill is without a bound.
    static let followersMax = 10_000
    /// Fetches of one key at a time beyond which nobody asks for a part of his own.
    static let fetchesMax = 256
    /// How long a key is remembered as one whose answers cannot be shared.
    static let passMarkLifetime = TimeAmount.seconds(10)

    private var index = KeyIndex()
    var records: [Record?] = []
    private var freeRecords: [Int] = []
    var entries: [Entry] = []
    /// Of entries whose response is not stored as a whole, what there is of it. Apart from them, so that a hit does not pass it.
    var parts: [Int: StoredParts] = [:]
    private var freeEntries: [Int] = []
    var eviction: S3FIFO
    var nextFetchID: UInt64 = 0
    private let codingOrder: [ContentCoding]
    /// Responses that made room for others, since the start.
    private(set) var evictedCount = 0
    var purges = PurgeLedger()
    var tags = TagIndex()
    /// Where the sweep for purges by pattern goes on, and up to which of them it compares.
    var sweepSlot = 0
    var sweepTarget: UInt64 = 0

    init(bytesMax: Int, codingOrder: [ContentCoding]) {
        eviction = S3FIFO(bytesMax: bytesMax)
        self.codingOrder = codingOrder
    }

    /// Memory that the stored responses take, as accounted.
    var memoryBytes: Int { eviction.bytes + index.memoryBytes }
    var entryCount: Int { entries.count - freeEntries.count }

    // MARK: Lookup

    /// What a lookup finds.
    struct Found: Sendable {
        let representation: Representation
        /// A coding that suits the client better than the representation's and that nobody makes yet: the caller makes it,
        /// or says ``abandonCoding(_:_:)``.
        let missingCoding: ContentCoding?
        /// The representation was compressed fast and is asked for again: the caller has it compressed well.
        let deservesHighEffort: Bool

        /// Whether the representation goes out with nothing left to be done.
        var isReady: Bool { missingCoding == nil && !deservesHighEffort }
    }

    /// The stored response that suits a request, in the coding that suits its client best. Says nothing about freshness.
    mutating func find(_ key: borrowing CacheKey, _ request: borrowing RequestHead, accepted: AcceptedCodings) -> Found? {
        guard let record = findRecord(key), let entry = matchingEntry(record, request) else { return nil }
        if entries.span[entry].comparedBan < purges.latestBan, isDroppedByBans(entry) { return nil }
        eviction.touched(entry)
        let wanted = accepted.best(of: entries[entry].offered, serverOrder: codingOrder) ?? .identity
        // By way of `span`, which reads in place: a subscript of the array copies the entry, with a retain for all in it.
        if let ready = entries.span[entry].ready[Int(wanted.rawValue)] {
            guard ready.effort == .fast, !entries[entry].claimedHigh.contains(CodingSet(wanted)) else {
                return Found(representation: ready, missingCoding: nil, deservesHighEffort: false)
            }
            entries[entry].claimedHigh.insert(CodingSet(wanted))
            return Found(representation: ready, missingCoding: nil, deservesHighEffort: true)
        }
        let isClaimed = entries[entry].claimed.contains(CodingSet(wanted))
        entries[entry].claimed.insert(CodingSet(wanted))
        let next = accepted.best(of: entries[entry].readySet, serverOrder: codingOrder) ?? .identity
        guard let ready = entries.span[entry].ready[Int(next.rawValue)] else { return nil }
        return Found(representation: ready, missingCoding: isClaimed ? nil : wanted, deservesHighEffort: false)
    }

    func findRecord(_ key: borrowing CacheKey) -> Int? {
        let bytes = key.bytes
        return index.find(key.hash) { records[$0]?.key == bytes }
    }

    func matchingEntry(_ record: Int, _ request: borrowing RequestHead) -> Int? {
        guard let variants = records[record]?.variants, let first = variants.first else { return nil }
        guard let vary = records[record]?.vary, !vary.isEmpty else { return first.entry }
        let wanted = vary.secondaryKey(request.fields)
        return variants.first { $0.secondaryKey == wanted }?.entry
    }

    // MARK: Codings

    /// Adds a coding to a stored response, or replaces it by a better one.
    /// - Returns: `false` when the response is not stored any more.
    mutating func addCoding(_ representation: Representation, key: borrowing CacheKey) -> Bool {
        guard let entry = entry(of: representation.response, key: key) else { return false }
        let position = Int(representation.coding.rawValue)
        entries[entry].ready[position] = representation
        entries[entry].readySet.insert(CodingSet(representation.coding))
        entries[entry].claimed.remove(CodingSet(representation.coding))
        eviction.resized(entry, bytes: memoryBytes(of: entry))
        evict()
        return true
    }

    /// Gives back what ``find(_:_:accepted:)`` asked for and could not be made; the next request may ask again.
    /// - Parameter forGood: It never will be made: a coding that is ready stays as it is, one that is not is offered no more.
    mutating func abandonCoding(_ coding: ContentCoding, of response: StoredResponse, key: borrowing CacheKey, forGood: Bool) {
        guard let entry = entry(of: response, key: key) else { return }
        entries[entry].claimed.remove(CodingSet(coding))
        if !forGood {
            entries[entry].claimedHigh.remove(CodingSet(coding))
        } else if !entries[entry].readySet.contains(CodingSet(coding)) {
            entries[entry].offered.remove(CodingSet(coding))
        }
    }

    /// The stored response without a coding: what others are made from.
    func plain(of response: StoredResponse, key: borrowing CacheKey) -> Representation? {
        guard let entry = entry(of: response, key: key) else { return nil }
        return entries[entry].ready[Int(ContentCoding.identity.rawValue)]
    }

    /// A stored response in all codings that lie ready: what a confirmation by the application makes the next one from.
    struct Ready: Sendable {
        let plain: Representation
        let coded: [Representation]

        var response: StoredResponse { plain.response }
    }

    /// - Returns: `nil` when the response is not stored any more.
    func ready(of response: StoredResponse, key: borrowing CacheKey) -> Ready? {
        guard let entry = entry(of: response, key: key), let plain = plain(of: response, key: key) else { return nil }
        var coded: [Representation] = []
        for coding in ContentCoding.allCases where coding != .identity {
            if let representation = entries[entry].ready[Int(coding.rawValue)] { coded.append(representation) }
        }
        return Ready(plain: plain, coded: coded)
    }

    func entry(of response: StoredResponse, key: borrowing CacheKey) -> Int? {
        guard let record = findRecord(key), let variants = records[record]?.variants else { return nil }
        return variants.first { entries[$0.entry].response === response }?.entry
    }

    // MARK: Storing

    /// Puts a response in the place of one that is stored and differs in its header fields alone.
    mutating func replace(_ old: StoredResponse, by plain: Representation, coded: [Representation], key: borrowing CacheKey) {
        guard let entry = entry(of: old, key: key) else { return }
        entries[entry].response = plain.response
        tags.remove(entries[entry].firstTag)
        entries[entry].firstTag = tags.insert(entry, tags: plain.response.tags)
        entries[entry].ready = [nil, nil, nil, nil]
        entries[entry].readySet = []
        for representation in [plain] + coded {
            entries[entry].ready[Int(representation.coding.rawValue)] = representation
            entries[entry].readySet.insert(CodingSet(representation.coding))
        }
        entries[entry].claimed = []
        entries[entry].claimedHigh = []
        eviction.resized(entry, bytes: memoryBytes(of: entry))
        evict()
    }

    /// What is stored for a request, in all codings.
    func ready(_ key: borrowing CacheKey, _ request: borrowing RequestHead) -> Ready? {
        guard let record = findRecord(key), let entry = matchingEntry(record, request), let response = entries[entry].response else { return nil }
        return ready(of: response, key: key)
    }

    /// Removes what is stored for a request, and no other variant.
    mutating func drop(_ response: StoredResponse, key: borrowing CacheKey) {
        if let entry = entry(of: response, key: key) { dropEntry(entry) }
    }

    /// Whether a response is admitted, see ``S3FIFO/admits(hash:bytes:)``. What others wait for, and what was stored before, is.
    mutating func isWorthItsRoom(
        _ plain: Representation, requestFields: FieldSection, _ fetch: Fetch, record: Int
    ) -> Bool {
        guard fetch.followers.isEmpty, let content = records[record], content.variants.isEmpty else { return true }
        let vary = plain.response.vary
        let secondaryKey = vary.isEmpty ? [] : vary.secondaryKey(requestFields)
        return eviction.admits(hash: content.hash ^ KeyHash.hash(secondaryKey.span, seed: 0), bytes: plain.memoryBytes)
    }

    mutating func store(
        _ plain: Representation, coded: [Representation], requestFields: FieldSection, record: Int
    ) {
        if let mark = records[record]?.passMark { dropEntry(mark, keepsRecord: true) }
        var entry = Entry(record: record, response: plain.response)
        entry.offered = plain.response.codings.union(CodingSet(.identity))
        for representation in [plain] + coded {
            entry.ready[Int(representation.coding.rawValue)] = representation
            entry.readySet.insert(CodingSet(representation.coding))
        }
        insert(entry, of: plain.response, requestFields: requestFields)
    }

    /// Stores what there is of a response, in the place of what there was. A mark "could not be shared" stays: it is about the whole.
    mutating func store(_ found: StoredParts, requestFields: FieldSection, record: Int) {
        let response = found.response
        if let content = records[record], content.vary == response.vary {
            let secondaryKey = response.vary.isEmpty ? [] : response.vary.secondaryKey(requestFields)
            if let slot = content.variants.first(where: { $0.secondaryKey == secondaryKey })?.entry, parts[slot] != nil {
                entries[slot].response = response
                parts[slot] = found
                tags.remove(entries[slot].firstTag)
                entries[slot].firstTag = tags.insert(slot, tags: response.tags)
                eviction.resized(slot, bytes: memoryBytes(of: slot))
                return
            }
        }
        insert(Entry(record: record, response: response, offered: CodingSet(.identity)), of: response, parts: found, requestFields: requestFields)
    }

    private mutating func insert(_ new: Entry, of response: StoredResponse, parts found: StoredParts? = nil, requestFields: FieldSection) {
        let record = new.record
        let vary = response.vary
        if records[record]?.vary != vary {
            // The application changed by what its responses vary: the old variants cannot be told apart any more.
            for variant in records[record]?.variants ?? [] { dropEntry(variant.entry, keepsRecord: true) }
            records[record]?.vary = vary
        }
        let secondaryKey = vary.isEmpty ? [] : vary.secondaryKey(requestFields)
        for variant in records[record]?.variants ?? [] where variant.secondaryKey == secondaryKey {
            dropEntry(variant.entry, keepsRecord: true)
        }
        if let variants = records[record]?.variants, variants.count >= Self.variantsMax {
            dropEntry(variants[0].entry, keepsRecord: true)
        }
        var entry = new
        entry.comparedBan = purges.latest
        let slot = place(entry)
        if let found { parts[slot] = found }
        entries[slot].firstTag = tags.insert(slot, tags: response.tags)
        records[record]?.variants.append(Variant(secondaryKey: secondaryKey, entry: slot))
        eviction.admit(slot, hash: (records[record]?.hash ?? 0) ^ KeyHash.hash(secondaryKey.span, seed: 0), bytes: memoryBytes(of: slot))
    }

    /// - Parameter keepsParts: the mark is about the whole alone.
    mutating func mark(_ record: Int, until: NIODeadline, keepsParts: Bool = false) {
        guard let content = records[record] else { return }
        for variant in content.variants where !keepsParts || parts[variant.entry] == nil { dropEntry(variant.entry, keepsRecord: true) }
        if let mark = content.passMark {
            entries[mark].pausedUntil = until
            return
        }
        let slot = place(Entry(record: record, pausedUntil: until))
        records[record]?.passMark = slot
        eviction.admit(slot, hash: content.hash, bytes: memoryBytes(of: slot))
    }

    mutating func evict() {
        while let slot = eviction.evict() {
            evictedCount += 1
            drop(slot, keepsRecord: false)
        }
    }

    mutating func dropEntry(_ slot: Int, keepsRecord: Bool = false) {
        eviction.removed(slot)
        drop(slot, keepsRecord: keepsRecord)
    }

    private mutating func drop(_ slot: Int, keepsRecord: Bool) {
        let record = entries[slot].record
        tags.remove(entries[slot].firstTag)
        entries[slot] = Entry()
        if !parts.isEmpty { parts[slot] = nil }
        freeEntries.append(slot)
        records[record]?.variants.removeAll { $0.entry == slot }
        if records[record]?.passMark == slot { records[record]?.passMark = nil }
        if !keepsRecord { removeRecordIfUseless(record) }
    }

    private mutating func place(_ entry: Entry) -> Int {
        if let slot = freeEntries.popLast() {
            entries[slot] = entry
            return slot
        }
        entries.makeRoom()
        entries.append(entry)
        return entries.count - 1
    }

    mutating func addRecord(_ key: borrowing CacheKey) -> Int {
        let record = Record(key: key.bytes, hash: key.hash)
        let position: Int
        if let free = freeRecords.popLast() {
            records[free] = record
            position = free
        } else {
            records.makeRoom()
            records.append(record)
            position = records.count - 1
        }
        index.insert(key.hash, record: position)
        return position
    }

    mutating func removeRecordIfUseless(_ position: Int) {
        guard let record = records[position], record.isUseless else { return }
        index.remove(record.hash, record: position)
        records[position] = nil
        freeRecords.append(position)
    }

    /// What an entry takes: its representations, what they share, and its places in the arrays. What several variants of a key
    /// share is counted for each of them; it is little.
    func memoryBytes(of slot: Int) -> Int {
        let entry = entries[slot]
        // 48: a node of the eviction queues has 32 bytes, in an array that is two thirds full on average.
        var sum = MemoryLayout<Entry>.stride + MemoryLayout<Record?>.stride + 48
        if let record = records[entry.record] {
            sum += AllocatedBytes.array(record.key)
            if let variant = record.variants.first(where: { $0.entry == slot }) {
                sum += AllocatedBytes.of(32 + MemoryLayout<Variant>.stride) + AllocatedBytes.array(variant.secondaryKey)
            }
        }
        if let response = entry.response { sum += response.memoryBytes + response.tags.count * TagIndex.bytesPerTag }
        for position in entry.ready.indices { sum += entry.ready[position]?.memoryBytes ?? 0 }
        if !parts.isEmpty { sum += parts[slot]?.memoryBytes ?? 0 }
        return sum
    }
}

extension Array {
    /// Makes room for one more, an eighth at a time. Growing to the double would leave half of a large array empty; the price is
    /// that an element is moved some eight times in its life, which only storing pays.
    fileprivate mutating func makeRoom() {
        if count == capacity { reserveCapacity(count + count / 8 + 16) }
    }
}
