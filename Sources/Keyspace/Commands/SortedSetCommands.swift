import RESPWire

/// Sorted sets: members and scores. Ranges are in ``SortedSetRanges``, unions and the like in ``SortedSetAlgebra``.
/// - Source: redis.io/commands, "Sorted set"; Redis `t_zset.c`.
enum SortedSetCommands {
    static let rows: [Command] = [
        .init(
            "zadd", -4, [.write, .denyoom, .fast], .sortedSet, "1.2.0",
            "Adds one or more members to a sorted set, or updates their scores. Creates the key if it doesn't exist.", zadd),
        .init(
            "zincrby", 4, [.write, .denyoom, .fast], .sortedSet, "1.2.0",
            "Increments the score of a member in a sorted set.", zincrby),
        .init(
            "zrem", -3, [.write, .fast], .sortedSet, "1.2.0",
            "Removes one or more members from a sorted set. Deletes the sorted set if all members were removed.", zrem),
        .init("zscore", 3, [.readonly, .fast], .sortedSet, "1.2.0", "Returns the score of a member in a sorted set.", zscore),
        .init(
            "zmscore", -3, [.readonly, .fast], .sortedSet, "6.2.0",
            "Returns the score of one or more members in a sorted set.", zmscore),
        .init("zcard", 2, [.readonly, .fast], .sortedSet, "1.2.0", "Returns the number of members in a sorted set.", zcard),
        .init(
            "zrank", -3, [.readonly, .fast], .sortedSet, "2.0.0",
            "Returns the index of a member in a sorted set ordered by ascending scores."
        ) { call throws(CommandFailure) in
            try rank(call, reversed: false)
        },
        .init(
            "zrevrank", -3, [.readonly, .fast], .sortedSet, "2.0.0",
            "Returns the index of a member in a sorted set ordered by descending scores."
        ) { call throws(CommandFailure) in
            try rank(call, reversed: true)
        },
        .init(
            "zpopmin", -2, [.write, .fast], .sortedSet, "5.0.0",
            "Returns the lowest-scoring members from a sorted set after removing them. Deletes the sorted set if the last member was popped."
        ) { call throws(CommandFailure) in
            try pop(call, fromMax: false)
        },
        .init(
            "zpopmax", -2, [.write, .fast], .sortedSet, "5.0.0",
            "Returns the highest-scoring members from a sorted set after removing them. Deletes the sorted set if the last member was popped."
        ) { call throws(CommandFailure) in
            try pop(call, fromMax: true)
        },
        .init(
            "bzpopmin", -3, [.write, .noscript, .blocking, .fast], .sortedSet, keys: .range(first: 1, last: -2, step: 1), "5.0.0",
            "Removes and returns the member with the lowest score from one or more sorted sets. Blocks until a member is available otherwise. Deletes the sorted set if the last element was popped."
        ) { call throws(CommandFailure) in
            try blockingPop(call, fromMax: false)
        },
        .init(
            "bzpopmax", -3, [.write, .noscript, .blocking, .fast], .sortedSet, keys: .range(first: 1, last: -2, step: 1), "5.0.0",
            "Removes and returns the member with the highest score from one or more sorted sets. Blocks until a member available otherwise.  Deletes the sorted set if the last element was popped."
        ) { call throws(CommandFailure) in
            try blockingPop(call, fromMax: true)
        },
        .init(
            "zmpop", -4, [.write, .movableKeys], .sortedSet, keys: .counted(at: 1, also: 0), "7.0.0",
            "Returns the highest- or lowest-scoring members from one or more sorted sets after removing them. Deletes the sorted set if the last member was popped."
        ) { call throws(CommandFailure) in
            try popMany(call, countAt: 1, waits: false)
        },
        .init(
            "bzmpop", -5, [.write, .blocking, .movableKeys], .sortedSet, keys: .counted(at: 2, also: 0), "7.0.0",
            "Removes and returns a member by score from one or more sorted sets. Blocks until a member is available otherwise. Deletes the sorted set if the last element was popped."
        ) { call throws(CommandFailure) in
            try popMany(call, countAt: 2, waits: true)
        },
        .init(
            "zrandmember", -2, [.readonly], .sortedSet, "6.2.0",
            "Returns one or more random members from a sorted set.", zrandmember),
        .init("zscan", -3, [.readonly], .sortedSet, "2.8.0", "Iterates over members and scores of a sorted set.", zscan),
    ]

    static func object(_ call: Call) throws(CommandFailure) -> SortedSetObject? { try call.read(call.key(1), .zset) }

    static func make(_ call: Call) -> SortedSetObject {
        call.keyspace.settings.values.withLock {
            SortedSetObject(packedEntries: $0.sortedSetPackedEntries, packedBytes: $0.sortedSetPackedBytes)
        }
    }

    static func store(_ call: Call, _ key: Key, _ set: SortedSetObject, _ event: StaticString) {
        if !set.isStored { call.setObject(key, set, .zset) }
        call.settle(key, set, .sortedSet, event)
        call.elementsAdded(key)
    }

    // MARK: Adding

    /// `ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member …`.
    private static func zadd(_ call: Call) throws(CommandFailure) {
        var (nx, xx, gt, lt, ch, incr) = (false, false, false, false, false, false)
        var index = 2
        options: while index < call.count {
            if call.matches(index, "nx") { nx = true }
            else if call.matches(index, "xx") { xx = true }
            else if call.matches(index, "gt") { gt = true }
            else if call.matches(index, "lt") { lt = true }
            else if call.matches(index, "ch") { ch = true }
            else if call.matches(index, "incr") { incr = true }
            else { break options }
            index += 1
        }
        let pairs = call.count - index
        guard pairs > 0, pairs % 2 == 0 else { throw .syntax }
        if nx, xx { throw .err("XX and NX options at the same time are not compatible") }
        if gt && nx || lt && nx || gt && lt { throw .err("GT, LT, and/or NX options at the same time are not compatible") }
        if incr, pairs > 2 { throw .err("INCR option supports a single increment-element pair") }
        var scores: [Double] = []
        for place in stride(from: index, to: call.count, by: 2) { scores.append(try call.double(place)) }
        let key = call.key(1)
        let found: SortedSetObject? = try call.write(key, .zset)
        if found == nil, xx { return incr ? call.out.null() : call.out.integer(0) }
        let set = found ?? make(call)
        var (added, updated) = (0, 0)
        var result: Double?
        for (number, given) in scores.enumerated() {
            let member = call[index + 2 * number + 1]
            var score = given
            if let old = set.score(member) {
                if nx { continue }
                if incr {
                    score = old + given
                    guard !score.isNaN else { throw .err("resulting score is not a number (NaN)") }
                }
                if gt && score <= old || lt && score >= old { continue }
                if set.set(member, score) == .moved { updated += 1 }
            } else {
                if xx { continue }
                set.set(member, score)
                added += 1
            }
            result = score
        }
        if added + updated > 0 { store(call, key, set, incr ? "zincr" : "zadd") }
        if incr {
            if let result { call.out.double(result) } else { call.out.null() }
        } else {
            call.out.integer(ch ? added + updated : added)
        }
    }

    private static func zincrby(_ call: Call) throws(CommandFailure) {
        let increment = try call.double(2)
        let key = call.key(1)
        let set: SortedSetObject = try call.write(key, .zset) ?? make(call)
        let score = (set.score(call[3]) ?? 0) + increment
        guard !score.isNaN else { throw .err("resulting score is not a number (NaN)") }
        set.set(call[3], score)
        store(call, key, set, "zincr")
        call.out.double(score)
    }

    // MARK: One member

    private static func zrem(_ call: Call) throws(CommandFailure) {
        let key = call.key(1)
        guard let set: SortedSetObject = try call.write(key, .zset) else { return call.out.integer(0) }
        var removed = 0
        for index in 2..<call.count where set.remove(call[index]) { removed += 1 }
        if removed > 0 { call.settle(key, set, .sortedSet, "zrem") }
        call.out.integer(removed)
    }

    private static func zscore(_ call: Call) throws(CommandFailure) {
        guard let score = try object(call)?.score(call[2]) else { return call.out.null() }
        call.out.double(score)
    }

    private static func zmscore(_ call: Call) throws(CommandFailure) {
        let set = try object(call)
        call.out.array(call.count - 2)
        for index in 2..<call.count { if let score = set?.score(call[index]) { call.out.double(score) } else { call.out.null() } }
    }

    private static func zcard(_ call: Call) throws(CommandFailure) { call.out.integer(try object(call)?.count ?? 0) }

    private static func rank(_ call: Call, reversed: Bool) throws(CommandFailure) {
        guard call.count <= 4 else { throw .err("wrong number of arguments for '\(call.command.name)' command") }
        let withScore = call.count == 4
        if withScore, !call.matches(3, "withscore") { throw .syntax }
        guard let set = try object(call), let rank = set.rank(call[2]), let score = set.score(call[2]) else {
            return withScore ? call.out.nullArray() : call.out.null()
        }
        if withScore { call.out.array(2) }
        call.out.integer(reversed ? set.count - 1 - rank : rank)
        if withScore { call.out.double(score) }
    }

    // MARK: Ends

    /// Takes members of one end away and gives them out.
    private static func take(_ call: Call, _ key: Key, _ set: SortedSetObject, _ count: Int, fromMax: Bool) -> [SnapshotValue.Member] {
        let ranks = fromMax ? set.count - count..<set.count : 0..<count
        var members: [SnapshotValue.Member] = []
        set.forEach(ranks) { members.append(.init(bytes: [UInt8]($0), score: $1)) }
        if fromMax { members.reverse() }
        set.remove(ranks)
        call.settle(key, set, .sortedSet, fromMax ? "zpopmax" : "zpopmin")
        call.rewritten = [[Array("ZREM".utf8), key.copy] + members.map(\.bytes)]
        return members
    }

    private static func pop(_ call: Call, fromMax: Bool) throws(CommandFailure) {
        guard call.count <= 3 else { throw .syntax }
        var count: Int64?
        if call.count == 3 {
            guard let value = DecimalText.parse(call[2]), value >= 0 else { throw .err("value is out of range, must be positive") }
            count = value
        }
        let key = call.key(1)
        guard let set: SortedSetObject = try call.write(key, .zset), count != 0 else { return call.out.array(0) }
        let members = take(call, key, set, Int(min(count ?? 1, Int64(set.count))), fromMax: fromMax)
        let isNested = call.session.isRESP3 && count != nil
        call.out.array(isNested ? members.count : members.count * 2)
        for member in members {
            if isNested { call.out.array(2) }
            call.out.bulk(member.bytes)
            call.out.double(member.score)
        }
    }

    private static func blockingPop(_ call: Call, fromMax: Bool) throws(CommandFailure) {
        let seconds = try WaitTime.seconds(call, call.count - 1)
        for index in 1..<call.count - 1 {
            let key = call.key(index)
            guard let set: SortedSetObject = try call.write(key, .zset) else { continue }
            call.out.array(3)
            call.out.bulk(key.bytes)
            for member in take(call, key, set, 1, fromMax: fromMax) {
                call.out.bulk(member.bytes)
                call.out.double(member.score)
            }
            return
        }
        call.wait(on: 1..<call.count - 1, seconds: seconds) { $0.nullArray() }
    }

    /// `ZMPOP numkeys key… MIN|MAX [COUNT n]`.
    private static func popMany(_ call: Call, countAt: Int, waits: Bool) throws(CommandFailure) {
        guard let keys = DecimalText.parse(call[countAt]), keys > 0 else { throw .err("numkeys should be greater than 0") }
        guard keys < Int64(call.count - countAt - 1) else { throw .syntax }
        let places = countAt + 1..<countAt + 1 + Int(keys)
        let fromMax = call.matches(places.upperBound, "max")
        guard fromMax || call.matches(places.upperBound, "min") else { throw .syntax }
        var count: Int64 = 1
        let rest = places.upperBound + 1
        if rest < call.count {
            guard call.count == rest + 2, call.matches(rest, "count") else { throw .syntax }
            guard let value = DecimalText.parse(call[rest + 1]), value > 0 else { throw .err("count should be greater than 0") }
            count = value
        }
        // Redis looks at it last.
        let timeout = waits ? try WaitTime.seconds(call, 1) : nil
        for index in places {
            let key = call.key(index)
            guard let set: SortedSetObject = try call.write(key, .zset) else { continue }
            let members = take(call, key, set, Int(min(count, Int64(set.count))), fromMax: fromMax)
            call.out.array(2)
            call.out.bulk(key.bytes)
            call.out.array(members.count)
            for member in members {
                call.out.array(2)
                call.out.bulk(member.bytes)
                call.out.double(member.score)
            }
            return
        }
        if let timeout { return call.wait(on: places, seconds: timeout) { $0.nullArray() } }
        call.out.nullArray()
    }

    // MARK: Some of them

    private static func zrandmember(_ call: Call) throws(CommandFailure) {
        let random = { (range: Range<Int>) in Int.random(in: range, using: &call.shard(call.key(1)).random) }
        if call.count == 2 {
            guard let set = try object(call) else { return call.out.null() }
            let rank = random(0..<set.count)
            return set.forEach(rank..<rank + 1) { member, _ in call.out.bulk(member) }
        }
        let (count, withScores) = try RandomPick.count(call, pair: "withscores")
        guard let set = try object(call) else { return call.out.array(0) }
        var chosen: [SnapshotValue.Member] = []
        if count < 0 {
            for _ in 0..<RandomPick.repeats(count) {
                let rank = random(0..<set.count)
                set.forEach(rank..<rank + 1) { chosen.append(.init(bytes: [UInt8]($0), score: $1)) }
            }
        } else {
            set.forEach(0..<set.count) { chosen.append(.init(bytes: [UInt8]($0), score: $1)) }
            RandomPick.shorten(&chosen, to: count, &call.shard(call.key(1)).random)
        }
        SortedSetRanges.write(call, chosen, withScores: withScores)
    }

    private static func zscan(_ call: Call) throws(CommandFailure) {
        _ = try ScanOptions.cursor(call, 2)
        guard let set = try object(call) else { return ElementScan.nothing(call) }
        let options = try ScanOptions(call, cursorAt: 2, from: 3)
        ElementScan.run(call, options) { cursor, add in
            set.scan(cursor) { member, score in
                add(options.pattern?.matches(member) != false ? [[UInt8](member), Array(DoubleText.render(score).utf8)] : [])
            }
        }
    }
}
