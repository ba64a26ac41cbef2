import RESPWire

/// How a command makes much out of a small request: the value that it writes is as long as it says, or as what it reads.
///
/// Asked before the command is carried out, so that there is room for the value first, as for a large request. It is estimated, from above where it
/// cannot be known: a union is as large as all of its sources. Of an intersection, a difference or a part that is chosen by score, no more is
/// known than what it is not larger than: for such a one no more than ``boundShare`` of the memory is made free, and it is never refused. Redis looks at none of it, and is fuller than `maxmemory` by one such value until
/// the next command.
enum Growth: Sendable {
    /// A string that grows: behind its end, or to a place that is named.
    case append, range, bit
    /// Of the sources behind the first key: all of them, no more than the smallest, no more than the first, the largest.
    case all, smallest, first, largest
    /// Of the first key, written to the second: all of it, or as much as LIMIT says.
    case copy, sorted
    /// Of the second key, written to the first: by rank as much as it says, else no more than all of it, or than LIMIT says.
    case part

    static let ofCommands: [String: Growth] = [
        "append": .append, "setrange": .range, "setbit": .bit, "copy": .copy, "sort": .sorted, "bitop": .largest, "sunionstore": .all,
        "sinterstore": .smallest, "sdiffstore": .first, "zunionstore": .all, "zinterstore": .smallest, "zdiffstore": .first, "zrangestore": .part,
    ]

    /// What a string that grows is given to spare: see ``Database/extend(_:_:to:)``.
    private static let spareMax = 1 << 20
    /// An eighth of `maxmemory`.
    private static let boundShare = 8
    /// More that a member takes that has memory of its own than one that is packed: an entry's head, `malloc`'s word and step, a slot.
    private static let tableBytes = 64
    /// More that a member of a sorted set takes than one of a set: a score, and its place in their order.
    private static let scoredBytes = 48

    /// Bytes of memory that the command in a call adds to what is there; 0 where that is little, or nothing hangs on it. Takes its keys' locks one by
    /// one: what others change until it is carried out is not in it.
    func bytes(_ call: Call) -> Int {
        let limit = call.keyspace.bytesLimit
        guard limit > 0 else { return 0 }
        switch self {
        case .append:
            guard call.count == 3, call.keyspace.isFull(adding: call[2].count + Self.spareMax + (4 << 10)) else { return 0 }
            return extended(call) { $0 + call[2].count }
        case .range:
            guard call.count == 4, call[3].count > 0, let offset = DecimalText.parse(call[2]), (0...Int64(UInt32.max)).contains(offset) else { return 0 }
            return extended(call) { max($0, Int(offset) + call[3].count) }
        case .bit:
            guard call.count == 4, let offset = DecimalText.parse(call[2]), (0...Int64(UInt32.max)).contains(offset) else { return 0 }
            return extended(call) { max($0, Int(offset) / 8 + 1) }
        case .all, .smallest, .first, .largest, .copy, .sorted, .part:
            var places: ContiguousArray<Int> = []
            call.command.keyPlaces(call, &places)
            guard places.count > 1 else { return 0 }
            if self == .copy || self == .sorted { places.swapAt(0, 1) }
            var named: Set<[UInt8]> = []
            let found = places.dropFirst().filter { named.insert([UInt8](call[$0])).inserted }.map { Self.size(call, $0) }
            let sources = found.map(\.bytes)
            let (sum, largest) = (sources.reduce(0, +), sources.max() ?? 0)
            let size =
                switch self {
                // As much as there can be room for beside the sources; the largest at least.
                case .all: min(sum, max(limit - sum, largest))
                case .smallest: sources.min() ?? 0
                case .largest: largest
                case .sorted, .part: Self.chosen(call, of: found[0], byRank: self == .part)
                case .append, .range, .bit, .first, .copy: sources[0]
                }
            if [.smallest, .first, .sorted, .part].contains(self) {
                return min(max(size - Self.size(call, places[0]).bytes, 0), limit / Self.boundShare)
            }
            // Room that only the sources' going would make is none.
            guard sum <= limit, size <= limit - sum else { return limit + 1 }
            return max(size - Self.size(call, places[0]).bytes, 0)
        }
    }

    /// - Parameter length: of the string that there will be, of the one that is there.
    private func extended(_ call: Call, _ length: (Int) -> Int) -> Int {
        let old = Self.size(call, 1)
        let count = length(old.length)
        // What is no string, or too long for one, is refused for that.
        guard old.isString, count > old.capacity, count <= Entry.bytesMax else { return 0 }
        // What APPEND begins with has no room to spare.
        return count + (self == .append && old.bytes == 0 ? 0 : min(count, Self.spareMax)) - old.bytes
    }

    /// What a command takes of a source: `SORT key … LIMIT offset count`, `ZRANGESTORE key source first last …`.
    private static func chosen(_ call: Call, of source: Size, byRank: Bool) -> Int {
        guard source.count > 0 else { return source.bytes }
        var count = source.count
        var hasRanks = byRank
        for index in (byRank ? 5 : 2)..<max(call.count, 5) where index < call.count {
            if call.matches(index, "byscore") || call.matches(index, "bylex") { hasRanks = false }
            guard call.matches(index, "limit"), index + 2 < call.count, let asked = DecimalText.parse(call[index + 2]), asked >= 0 else { continue }
            count = min(count, Int(clamping: asked))
        }
        if hasRanks, call.count > 4, let first = DecimalText.parse(call[3]), let last = DecimalText.parse(call[4]) {
            count = min(count, IndexRange.elements(first, last, count: source.count)?.count ?? 0)
        }
        return Int(Double(source.bytes) * Double(count) / Double(source.count))
    }

    /// Of what there is under a key.
    private struct Size {
        var bytes = 0
        /// Of a string: its bytes, and those that it has room for.
        var (length, capacity) = (0, 0)
        /// Of anything else: its members.
        var count = 0
        var isString = true
    }

    private static func size(_ call: Call, _ place: Int) -> Size {
        let key = Key(call[place])
        let shard = call.shard(key)
        var size = Size()
        call.keyspace.withShard(shard, call) {
            guard let entry = shard[call.database].find(key) else { return }
            size.bytes = entry.bytes
            size.isString = entry.type == .string
            guard !size.isString else {
                (size.length, size.capacity) = (entry.valueCount, entry.valueCapacity)
                return
            }
            let object = entry.object(as: StoredObject.self)
            size.bytes += object.accountedBytes
            size.count = object.count
            // What is made of several may be too large to be packed.
            if !object.isTable, entry.type == .set || entry.type == .zset, call.command.group != .generic { size.bytes += Self.tableBytes * object.count }
            // Its members get scores.
            if entry.type == .set, call.command.group == .sortedSet { size.bytes += Self.scoredBytes * object.count }
        }
        return size
    }

    /// Of the commands of a transaction, each as things are before the first.
    static func bytes(_ commands: [[[UInt8]]], _ call: Call) -> Int {
        let (arguments, index) = (call.arguments, call.commandIndex)
        defer { (call.arguments, call.commandIndex) = (arguments, index) }
        var sum = 0
        for words in commands {
            guard let name = words.first, let found = name.withUnsafeBytes({ CommandTable.shared.index($0) }) else { continue }
            guard let growth = CommandTable.shared.commands[found].growth else { continue }
            Call.withPointers(words) {
                (call.arguments, call.commandIndex) = ($0, found)
                sum = min(sum + growth.bytes(call), 1 << 50)
            }
        }
        return sum
    }
}
