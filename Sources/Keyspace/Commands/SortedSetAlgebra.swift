import RESPWire

/// Unions, intersections and differences of sorted sets and sets, whose members count as 1.
/// - Source: Redis `t_zset.c`, `zunionInterDiffGenericCommand`.
enum SortedSetAlgebra {
    static let rows: [Command] = [
        .init(
            "zunion", -3, [.readonly, .movableKeys], .sortedSet, keys: .counted(at: 1, also: 0), "6.2.0",
            "Returns the union of multiple sorted sets."
        ) { call throws(CommandFailure) in
            try run(call, .union, countAt: 1)
        },
        .init(
            "zinter", -3, [.readonly, .movableKeys], .sortedSet, keys: .counted(at: 1, also: 0), "6.2.0",
            "Returns the intersect of multiple sorted sets."
        ) { call throws(CommandFailure) in
            try run(call, .intersection, countAt: 1)
        },
        .init(
            "zdiff", -3, [.readonly, .movableKeys], .sortedSet, keys: .counted(at: 1, also: 0), "6.2.0",
            "Returns the difference between multiple sorted sets."
        ) { call throws(CommandFailure) in
            try run(call, .difference, countAt: 1)
        },
        .init(
            "zunionstore", -4, [.write, .denyoom, .movableKeys], .sortedSet, keys: .counted(at: 2, also: 1), "2.0.0",
            "Stores the union of multiple sorted sets in a key."
        ) { call throws(CommandFailure) in
            try run(call, .union, countAt: 2)
        },
        .init(
            "zinterstore", -4, [.write, .denyoom, .movableKeys], .sortedSet, keys: .counted(at: 2, also: 1), "2.0.0",
            "Stores the intersect of multiple sorted sets in a key."
        ) { call throws(CommandFailure) in
            try run(call, .intersection, countAt: 2)
        },
        .init(
            "zdiffstore", -4, [.write, .denyoom, .movableKeys], .sortedSet, keys: .counted(at: 2, also: 1), "6.2.0",
            "Stores the difference of multiple sorted sets in a key."
        ) { call throws(CommandFailure) in
            try run(call, .difference, countAt: 2)
        },
        .init(
            "zintercard", -3, [.readonly, .movableKeys], .sortedSet, keys: .counted(at: 1, also: 0), "7.0.0",
            "Returns the number of members of the intersect of multiple sorted sets.", zintercard),
    ]

    private enum Operation {
        case union, intersection, difference
    }

    private enum Aggregate {
        case sum, min, max

        func callAsFunction(_ first: Double, _ second: Double) -> Double {
            switch self {
            case .sum:
                // Infinities of both signs: Redis says zero.
                let sum = first + second
                return sum.isNaN ? 0 : sum
            case .min: return Swift.min(first, second)
            case .max: return Swift.max(first, second)
            }
        }
    }

    /// A set or a sorted set, or nothing.
    private enum Operand {
        case none
        case set(SetObject)
        case sorted(SortedSetObject)

        var count: Int {
            switch self {
            case .none: 0
            case .set(let set): set.count
            case .sorted(let set): set.count
            }
        }

        func score(_ member: UnsafeRawBufferPointer) -> Double? {
            switch self {
            case .none: nil
            case .set(let set): set.contains(member) ? 1 : nil
            case .sorted(let set): set.score(member)
            }
        }

        func forEach(_ body: (UnsafeRawBufferPointer, Double) -> Void) {
            switch self {
            case .none: break
            case .set(let set): set.forEach { body($0, 1) }
            case .sorted(let set): set.forEach(0..<set.count, body)
            }
        }
    }

    private static func operands(_ call: Call, countAt: Int) throws(CommandFailure) -> [Operand] {
        guard let keys = DecimalText.parse(call[countAt]) else { throw .notInteger }
        guard keys > 0 else { throw .err("at least 1 input key is needed for '\(call.command.name)' command") }
        guard keys <= Int64(call.count - countAt - 1) else { throw .syntax }
        var operands: [Operand] = []
        for place in countAt + 1..<countAt + 1 + Int(keys) {
            guard let entry = call.read(call.key(place)) else {
                operands.append(.none)
                continue
            }
            switch entry.type {
            case .set: operands.append(.set(entry.object(as: SetObject.self)))
            case .zset: operands.append(.sorted(entry.object(as: SortedSetObject.self)))
            case .string, .list, .hash, .stream: throw .wrongType
            }
        }
        return operands
    }

    private static func product(_ weight: Double, _ score: Double) -> Double {
        let product = weight * score
        return product.isNaN ? 0 : product
    }

    private static func run(_ call: Call, _ operation: Operation, countAt: Int) throws(CommandFailure) {
        let operands = try operands(call, countAt: countAt)
        var weights = [Double](repeating: 1, count: operands.count)
        var aggregate = Aggregate.sum
        var withScores = false
        var index = countAt + 1 + operands.count
        while index < call.count {
            if operation != .difference, call.matches(index, "weights"), index + operands.count < call.count {
                for number in 0..<operands.count {
                    guard let weight = DoubleText.parse(call[index + 1 + number]) else { throw .err("weight value is not a float") }
                    weights[number] = weight
                }
                index += operands.count
            } else if operation != .difference, call.matches(index, "aggregate"), index + 1 < call.count {
                if call.matches(index + 1, "sum") {
                    aggregate = .sum
                } else if call.matches(index + 1, "min") {
                    aggregate = .min
                } else if call.matches(index + 1, "max") {
                    aggregate = .max
                } else {
                    throw .syntax
                }
                index += 1
            } else if countAt == 1, call.matches(index, "withscores") {
                withScores = true
            } else {
                throw .syntax
            }
            index += 1
        }
        let result = SortedSetCommands.make(call)
        switch operation {
        case .union:
            for (operand, weight) in zip(operands, weights) {
                operand.forEach { member, score in
                    let own = product(weight, score)
                    result.set(member, result.score(member).map { aggregate($0, own) } ?? own)
                }
            }
        case .intersection:
            // From the smallest on, as Redis: the order is seen in sums of floating-point numbers.
            let order = operands.indices.sorted { operands[$0].count < operands[$1].count }
            operands[order[0]].forEach { member, score in
                var sum = product(weights[order[0]], score)
                for number in order.dropFirst() {
                    guard let other = operands[number].score(member) else { return }
                    sum = aggregate(sum, product(weights[number], other))
                }
                result.set(member, sum)
            }
        case .difference:
            operands[0].forEach { member, score in
                if !operands.dropFirst().contains(where: { $0.score(member) != nil }) { result.set(member, score) }
            }
        }
        if countAt == 2 {
            let event: StaticString =
                switch operation {
                case .union: "zunionstore"
                case .intersection: "zinterstore"
                case .difference: "zdiffstore"
                }
            StoredValues.replace(call, call.key(1), result.count > 0 ? result : nil, .zset, .sortedSet, event)
            return call.out.integer(result.count)
        }
        var members: [SnapshotValue.Member] = []
        result.forEach(0..<result.count) { members.append(.init(bytes: [UInt8]($0), score: $1)) }
        SortedSetRanges.write(call, members, withScores: withScores)
    }

    private static func zintercard(_ call: Call) throws(CommandFailure) {
        let operands = try operands(call, countAt: 1)
        var limit: Int64 = 0
        let rest = 2 + operands.count
        if rest < call.count {
            guard call.count == rest + 2, call.matches(rest, "limit") else { throw .syntax }
            guard let value = DecimalText.parse(call[rest + 1]), value >= 0 else { throw .err("LIMIT can't be negative") }
            limit = value
        }
        guard let smallest = operands.min(by: { $0.count < $1.count }) else { return call.out.integer(0) }
        var count: Int64 = 0
        smallest.forEach { member, _ in
            if limit == 0 || count < limit, operands.allSatisfy({ $0.score(member) != nil }) { count += 1 }
        }
        call.out.integer(count)
    }
}
