import RESPWire

/// `SORT` and `SORT_RO`: by their own values, by others' that a pattern names, or not at all.
/// - Source: Redis `sort.c`.
enum SortCommand {
    static let rows: [Command] = [
        // All shards: a pattern may name any key.
        .init(
            "sort", -2, [.write, .denyoom, .movableKeys], .generic, keys: .found { keys($0, &$1) }, locks: .all, "1.0.0",
            "Sorts the elements in a list, a set, or a sorted set, optionally storing the result.", sort),
        .init(
            "sort_ro", -2, [.readonly, .movableKeys], .generic, keys: .first, locks: .all, "7.0.0",
            "Returns the sorted elements of a list, a set, or a sorted set.", sort),
    ]

    private static func keys(_ call: Call, _ places: inout ContiguousArray<Int>) {
        places.append(1)
        for index in 2..<max(call.count, 2) where call.matches(index, "store") && index + 1 < call.count { places.append(index + 1) }
    }

    private struct Item {
        var element: [UInt8]
        var weight = 0.0
        var text: [UInt8]?
    }

    /// These options read keys that the command does not name.
    private static func mayReadAnyKey(_ call: Call, _ option: String) throws(CommandFailure) {
        guard !call.session.user.rules.allowsAllKeys else { return }
        throw .err("\(option) option of SORT denied due to insufficient ACL permissions")
    }

    private static func sort(_ call: Call) throws(CommandFailure) {
        var (isDescending, isAlpha, isUnsorted) = (false, false, false)
        var (offset, limit): (Int64, Int64) = (0, -1)
        var by: [UInt8]?
        var gets: [[UInt8]] = []
        var target: Int?
        var index = 2
        while index < call.count {
            if call.matches(index, "asc") {
                isDescending = false
            } else if call.matches(index, "desc") {
                isDescending = true
            } else if call.matches(index, "alpha") {
                isAlpha = true
            } else if call.matches(index, "limit"), index + 2 < call.count {
                offset = try call.integer(index + 1)
                limit = try call.integer(index + 2)
                index += 2
            } else if call.command.name == "sort", call.matches(index, "store"), index + 1 < call.count {
                target = index + 1
                index += 1
            } else if call.matches(index, "by"), index + 1 < call.count {
                let pattern = call.bytes(index + 1)
                by = pattern
                if pattern.contains(UInt8(ascii: "*")) { try mayReadAnyKey(call, "BY") }
                if !pattern.contains(UInt8(ascii: "*")) { isUnsorted = true }
                index += 1
            } else if call.matches(index, "get"), index + 1 < call.count {
                gets.append(call.bytes(index + 1))
                try mayReadAnyKey(call, "GET")
                index += 1
            } else {
                throw .syntax
            }
            index += 1
        }
        var items: [Item] = []
        var isSet = false
        if let entry = call.read(call.key(1)) {
            switch entry.type {
            case .list:
                entry.object(as: ListObject.self).forEach(0..<entry.object(as: ListObject.self).count) { items.append(Item(element: [UInt8]($0))) }
                if isUnsorted, isDescending { items.reverse() }
            case .set:
                isSet = true
                entry.object(as: SetObject.self).forEach { items.append(Item(element: [UInt8]($0))) }
            case .zset:
                let set = entry.object(as: SortedSetObject.self)
                if isUnsorted, isDescending {
                    set.forEachReversed(0..<set.count) { member, _ in items.append(Item(element: [UInt8](member))) }
                } else {
                    set.forEach(0..<set.count) { member, _ in items.append(Item(element: [UInt8](member))) }
                }
            case .string, .hash, .stream: throw .wrongType
            }
        }
        // What is stored is to be the same wherever the command is carried out again, and a set has no order of its own.
        if isUnsorted, isSet, target != nil {
            isUnsorted = false
            isAlpha = true
            by = nil
        }
        if !isUnsorted { try order(call, &items, by: by, isAlpha: isAlpha, isDescending: isDescending) }
        let start = Int(min(max(offset, 0), Int64(items.count)))
        let end = limit < 0 ? items.count : Int(min(Int64(start) + min(limit, Int64(items.count)), Int64(items.count)))
        var results: [[UInt8]?] = []
        for item in items[start..<max(end, start)] {
            if gets.isEmpty { results.append(item.element) }
            for pattern in gets { results.append(lookUp(call, pattern, item.element)) }
        }
        guard let target else {
            call.out.array(results.count)
            for result in results { if let result { call.out.bulk(result) } else { call.out.null() } }
            return
        }
        let list = ListObject()
        for result in results { (result ?? []).withUnsafeBytes { list.append($0) } }
        StoredValues.replace(call, call.key(target), results.isEmpty ? nil : list, .list, .list, "sortstore")
        call.out.integer(results.count)
    }

    private static func order(
        _ call: Call, _ items: inout [Item], by: [UInt8]?, isAlpha: Bool, isDescending: Bool
    ) throws(CommandFailure) {
        for index in items.indices {
            let text = by.map { lookUp(call, $0, items[index].element) } ?? items[index].element
            if isAlpha {
                items[index].text = text
            } else if let text {
                // Read as a C string: it ends at a zero byte, white space in front is passed over, and what is empty is 0.
                let line = text.prefix { $0 != 0 }
                let digits = line.drop { $0 == 32 || (9...13).contains($0) }
                guard let weight = line.isEmpty ? 0 : Array(digits).withUnsafeBytes({ DoubleText.parse($0) }) else {
                    throw .err("One or more scores can't be converted into double")
                }
                items[index].weight = weight
            }
        }
        func compare(_ first: [UInt8], _ second: [UInt8]) -> Int {
            first.withUnsafeBytes { first in second.withUnsafeBytes { SortedSetObject.compare(first, $0) } }
        }
        items.sort { first, second in
            var order: Int
            if isAlpha {
                switch (first.text, second.text) {
                case (nil, nil): order = 0
                case (nil, _): order = -1
                case (_, nil): order = 1
                case (let one?, let other?): order = compare(one, other)
                }
            } else {
                order = first.weight < second.weight ? -1 : first.weight > second.weight ? 1 : 0
            }
            // Equal weights are put in order by the elements; equal texts are not.
            if order == 0, !isAlpha { order = compare(first.element, second.element) }
            return isDescending ? order > 0 : order < 0
        }
    }

    /// The value that a pattern names for an element: `#` is the element, `weight_*` a string, `object_*->field` a field.
    private static func lookUp(_ call: Call, _ pattern: [UInt8], _ element: [UInt8]) -> [UInt8]? {
        if pattern == [UInt8(ascii: "#")] { return element }
        guard let star = pattern.firstIndex(of: UInt8(ascii: "*")) else { return nil }
        var tail = pattern[(star + 1)...]
        var field: [UInt8]?
        for place in tail.indices.dropLast() where tail[place] == UInt8(ascii: "-") && tail[place + 1] == UInt8(ascii: ">") {
            let name = [UInt8](tail[(place + 2)...])
            if !name.isEmpty {
                field = name
                tail = tail[..<place]
            }
            break
        }
        let name = pattern[..<star] + element + tail
        return Array(name).withUnsafeBytes { bytes in
            guard let entry = call.read(Key(bytes)) else { return nil }
            guard let field else { return entry.type == .string ? [UInt8](entry.value) : nil }
            guard entry.type == .hash else { return nil }
            return field.withUnsafeBytes { entry.object(as: HashObject.self).value($0).map { [UInt8]($0) } }
        }
    }
}
