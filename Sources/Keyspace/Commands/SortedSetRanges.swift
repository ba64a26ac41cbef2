import RESPWire

/// Ranges of sorted sets: by rank, by score, by bytes; read, counted, stored, removed.
/// - Source: Redis `t_zset.c`, `zrangeGenericCommand`.
enum SortedSetRanges {
    static let rows: [Command] = [
        .init(
            "zrange", -4, [.readonly], .sortedSet, "1.2.0",
            "Returns members in a sorted set within a range of indexes."
        ) { call throws(CommandFailure) in
            try range(call, at: 1, .rank, isReversed: false, takesKind: true)
        },
        .init(
            "zrevrange", -4, [.readonly], .sortedSet, "1.2.0",
            "Returns members in a sorted set within a range of indexes in reverse order."
        ) { call throws(CommandFailure) in
            try range(call, at: 1, .rank, isReversed: true, takesKind: false)
        },
        .init(
            "zrangebyscore", -4, [.readonly], .sortedSet, "1.0.5",
            "Returns members in a sorted set within a range of scores."
        ) { call throws(CommandFailure) in
            try range(call, at: 1, .score, isReversed: false, takesKind: false)
        },
        .init(
            "zrevrangebyscore", -4, [.readonly], .sortedSet, "2.2.0",
            "Returns members in a sorted set within a range of scores in reverse order."
        ) { call throws(CommandFailure) in
            try range(call, at: 1, .score, isReversed: true, takesKind: false)
        },
        .init(
            "zrangebylex", -4, [.readonly], .sortedSet, "2.8.9",
            "Returns members in a sorted set within a lexicographical range."
        ) { call throws(CommandFailure) in
            try range(call, at: 1, .bytes, isReversed: false, takesKind: false)
        },
        .init(
            "zrevrangebylex", -4, [.readonly], .sortedSet, "2.8.9",
            "Returns members in a sorted set within a lexicographical range in reverse order."
        ) { call throws(CommandFailure) in
            try range(call, at: 1, .bytes, isReversed: true, takesKind: false)
        },
        .init(
            "zrangestore", -5, [.write, .denyoom], .sortedSet, keys: .range(first: 1, last: 2, step: 1), "6.2.0",
            "Stores a range of members from sorted set in a key."
        ) { call throws(CommandFailure) in
            try range(call, at: 2, .rank, isReversed: false, takesKind: true)
        },
        .init(
            "zcount", 4, [.readonly, .fast], .sortedSet, "2.0.0",
            "Returns the count of members in a sorted set that have scores within a range."
        ) { call throws(CommandFailure) in
            try count(call, .score)
        },
        .init(
            "zlexcount", 4, [.readonly, .fast], .sortedSet, "2.8.9",
            "Returns the number of members in a sorted set within a lexicographical range."
        ) { call throws(CommandFailure) in
            try count(call, .bytes)
        },
        .init(
            "zremrangebyrank", 4, [.write], .sortedSet, "2.0.0",
            "Removes members in a sorted set within a range of indexes. Deletes the sorted set if all members were removed."
        ) { call throws(CommandFailure) in
            try remove(call, .rank, "zremrangebyrank")
        },
        .init(
            "zremrangebyscore", 4, [.write], .sortedSet, "1.2.0",
            "Removes members in a sorted set within a range of scores. Deletes the sorted set if all members were removed."
        ) { call throws(CommandFailure) in
            try remove(call, .score, "zremrangebyscore")
        },
        .init(
            "zremrangebylex", 4, [.write], .sortedSet, "2.8.9",
            "Removes members in a sorted set within a lexicographical range. Deletes the sorted set if all members were removed."
        ) { call throws(CommandFailure) in
            try remove(call, .bytes, "zremrangebylex")
        },
    ]

    private enum Kind {
        case rank, score, bytes
    }

    /// Two bounds as they were given; ranks of a set follow from them.
    private enum Bounds {
        case ranks(Int64, Int64)
        case scores(ScoreBound, ScoreBound)
        case bytes(ByteBound, ByteBound)

        func ranks(_ set: SortedSetObject, isReversed: Bool) -> Range<Int> {
            switch self {
            case .ranks(let first, let last):
                guard let range = IndexRange.elements(first, last, count: set.count) else { return 0..<0 }
                return isReversed ? set.count - range.upperBound..<set.count - range.lowerBound : range
            case .scores(let low, let high):
                let start = set.rank(score: low.value, inclusive: low.isExclusive)
                let end = set.rank(score: high.value, inclusive: !high.isExclusive)
                return start < end ? start..<end : 0..<0
            case .bytes(let low, let high):
                let start = set.rank { member, _ in low.isAbove(member, inclusive: false) }
                let end = set.rank { member, _ in high.isAbove(member, inclusive: true) }
                return start < end ? start..<end : 0..<0
            }
        }
    }

    private struct ScoreBound {
        var value: Double
        var isExclusive = false

        init(_ bytes: UnsafeRawBufferPointer) throws(CommandFailure) {
            var bytes = bytes
            if bytes.first == UInt8(ascii: "(") {
                isExclusive = true
                bytes = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
            }
            guard let value = DoubleText.parse(bytes) else { throw .err("min or max is not a float") }
            self.value = value
        }
    }

    private enum ByteBound {
        case lowest, highest
        case inclusive([UInt8])
        case exclusive([UInt8])

        init(_ bytes: UnsafeRawBufferPointer) throws(CommandFailure) {
            switch bytes.first {
            case UInt8(ascii: "-") where bytes.count == 1: self = .lowest
            case UInt8(ascii: "+") where bytes.count == 1: self = .highest
            case UInt8(ascii: "["): self = .inclusive([UInt8](bytes.dropFirst()))
            case UInt8(ascii: "("): self = .exclusive([UInt8](bytes.dropFirst()))
            default: throw .err("min or max not valid string range item")
            }
        }

        /// Whether a member is below the bound; at the bound as the bound says. As an upper bound (`inclusive`) the bound itself is in
        /// the range when it is inclusive, as a lower one it is below when it is exclusive.
        func isAbove(_ member: UnsafeRawBufferPointer, inclusive: Bool) -> Bool {
            switch self {
            case .lowest: return false
            case .highest: return true
            case .inclusive(let bytes):
                let order = bytes.withUnsafeBytes { SortedSetObject.compare(member, $0) }
                return order < 0 || order == 0 && inclusive
            case .exclusive(let bytes):
                let order = bytes.withUnsafeBytes { SortedSetObject.compare(member, $0) }
                return order < 0 || order == 0 && !inclusive
            }
        }
    }

    private static func bounds(_ call: Call, _ kind: Kind, low: Int, high: Int) throws(CommandFailure) -> Bounds {
        switch kind {
        case .rank: .ranks(try call.integer(low), try call.integer(high))
        case .score: .scores(try ScoreBound(call[low]), try ScoreBound(call[high]))
        case .bytes: .bytes(try ByteBound(call[low]), try ByteBound(call[high]))
        }
    }

    /// `ZRANGE key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]`, and all older forms of it.
    /// - Parameter at: where the set's key is; 2 when the first key is where the result is stored.
    private static func range(_ call: Call, at place: Int, _ kind: Kind, isReversed: Bool, takesKind: Bool) throws(CommandFailure) {
        var (kind, isReversed) = (kind, isReversed)
        var (offset, limit): (Int64, Int64) = (0, -1)
        var (hasLimit, withScores) = (false, false)
        let stores = place == 2
        var index = place + 3
        while index < call.count {
            if !stores, call.matches(index, "withscores") {
                withScores = true
            } else if call.matches(index, "limit"), index + 2 < call.count {
                offset = try call.integer(index + 1)
                limit = try call.integer(index + 2)
                hasLimit = true
                index += 2
            } else if takesKind, !isReversed, call.matches(index, "rev") {
                isReversed = true
            } else if takesKind, kind == .rank, call.matches(index, "bylex") {
                kind = .bytes
            } else if takesKind, kind == .rank, call.matches(index, "byscore") {
                kind = .score
            } else {
                throw .syntax
            }
            index += 1
        }
        if hasLimit, kind == .rank {
            if limit != -1 { throw .err("syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX") }
            hasLimit = false  // As in Redis: −1 is no limit, and then the offset says nothing either.
        }
        if withScores, kind == .bytes { throw .err("syntax error, WITHSCORES not supported in combination with BYLEX") }
        let isSwapped = isReversed && kind != .rank
        let bounds = try bounds(call, kind, low: isSwapped ? place + 2 : place + 1, high: isSwapped ? place + 1 : place + 2)
        let set: SortedSetObject? = try call.read(call.key(place), .zset)
        var ranks = set.map { bounds.ranks($0, isReversed: isReversed) } ?? 0..<0
        if hasLimit {
            if offset < 0 || offset >= Int64(ranks.count) {
                ranks = 0..<0
            } else {
                let kept = limit < 0 ? ranks.count - Int(offset) : Int(min(limit, Int64(ranks.count) - offset))
                ranks =
                    isReversed
                    ? ranks.upperBound - Int(offset) - kept..<ranks.upperBound - Int(offset)
                    : ranks.lowerBound + Int(offset)..<ranks.lowerBound + Int(offset) + kept
            }
        }
        if stores { return store(call, set, ranks) }
        let isNested = withScores && call.session.isRESP3
        call.out.array(withScores && !isNested ? ranks.count * 2 : ranks.count)
        let write: (UnsafeRawBufferPointer, Double) -> Void = { member, score in
            if isNested { call.out.array(2) }
            call.out.bulk(member)
            if withScores { call.out.double(score) }
        }
        if isReversed { set?.forEachReversed(ranks, write) } else { set?.forEach(ranks, write) }
    }

    private static func store(_ call: Call, _ set: SortedSetObject?, _ ranks: Range<Int>) {
        let result = SortedSetCommands.make(call)
        set?.forEach(ranks) { result.set($0, $1) }
        StoredValues.replace(call, call.key(1), result.count > 0 ? result : nil, .zset, .sortedSet, "zrangestore")
        call.out.integer(result.count)
    }

    static func write(_ call: Call, _ members: [SnapshotValue.Member], withScores: Bool) {
        let isNested = withScores && call.session.isRESP3
        call.out.array(withScores && !isNested ? members.count * 2 : members.count)
        for member in members {
            if isNested { call.out.array(2) }
            call.out.bulk(member.bytes)
            if withScores { call.out.double(member.score) }
        }
    }

    private static func count(_ call: Call, _ kind: Kind) throws(CommandFailure) {
        let bounds = try bounds(call, kind, low: 2, high: 3)
        call.out.integer(try SortedSetCommands.object(call).map { bounds.ranks($0, isReversed: false).count } ?? 0)
    }

    private static func remove(_ call: Call, _ kind: Kind, _ event: StaticString) throws(CommandFailure) {
        let bounds = try bounds(call, kind, low: 2, high: 3)
        let key = call.key(1)
        guard let set: SortedSetObject = try call.write(key, .zset) else { return call.out.integer(0) }
        let ranks = bounds.ranks(set, isReversed: false)
        if !ranks.isEmpty {
            set.remove(ranks)
            call.settle(key, set, .sortedSet, event)
        }
        call.out.integer(ranks.count)
    }
}
