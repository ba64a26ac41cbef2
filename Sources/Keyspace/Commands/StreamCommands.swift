import RESPWire

/// Streams without consumer groups.
/// - Source: redis.io/commands, "Stream"; Redis `t_stream.c`.
enum StreamCommands {
    static let rows: [Command] = [
        .init(
            "xadd", -5, [.write, .denyoom, .fast], .stream, "5.0.0",
            "Appends a new message to a stream. Creates the key if it doesn't exist.", xadd),
        .init("xlen", 2, [.readonly, .fast], .stream, "5.0.0", "Return the number of messages in a stream.", xlen),
        .init(
            "xrange", -4, [.readonly], .stream, "5.0.0",
            "Returns the messages from a stream within a range of IDs."
        ) { call throws(CommandFailure) in
            try range(call, isReversed: false)
        },
        .init(
            "xrevrange", -4, [.readonly], .stream, "5.0.0",
            "Returns the messages from a stream within a range of IDs in reverse order."
        ) { call throws(CommandFailure) in
            try range(call, isReversed: true)
        },
        .init(
            "xdel", -3, [.write, .fast], .stream, "5.0.0",
            "Returns the number of messages after removing them from a stream.", xdel),
        .init("xtrim", -4, [.write], .stream, "5.0.0", "Deletes messages from the beginning of a stream.", xtrim),
        .init(
            "xread", -4, [.readonly, .blocking, .movableKeys], .stream, keys: .found { readKeys($0, &$1) }, "5.0.0",
            "Returns messages from multiple streams with IDs greater than the ones requested. Blocks until a message is available otherwise.", xread),
    ]

    private typealias ID = SnapshotStream.ID

    private static let invalidID = CommandFailure.err("Invalid stream ID specified as stream command argument")

    /// `5-1`, `5`, whose sequence is a given one.
    private static func id(_ bytes: UnsafeRawBufferPointer, sequence: UInt64) throws(CommandFailure) -> ID {
        let parts = String(decoding: bytes, as: UTF8.self).split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        func number(_ text: Substring) -> UInt64? { text.first?.isNumber == true ? UInt64(text) : nil }
        guard let milliseconds = number(parts[0]) else { throw invalidID }
        if parts.count == 1 { return ID(milliseconds, sequence) }
        guard let second = number(parts[1]) else { throw invalidID }
        return ID(milliseconds, second)
    }

    /// A bound of a range: also `-`, `+`, and exclusive with `(`.
    private static func bound(_ bytes: UnsafeRawBufferPointer, isStart: Bool) throws(CommandFailure) -> ID {
        if bytes.count == 1, bytes[0] == UInt8(ascii: "-") { return ID(0, 0) }
        if bytes.count == 1, bytes[0] == UInt8(ascii: "+") { return ID(.max, .max) }
        guard bytes.first == UInt8(ascii: "(") else { return try id(bytes, sequence: isStart ? 0 : .max) }
        let exclusive = try id(UnsafeRawBufferPointer(rebasing: bytes.dropFirst()), sequence: isStart ? 0 : .max)
        if isStart {
            guard exclusive < ID(.max, .max) else { throw .err("invalid start ID for the interval") }
            return exclusive.sequence == .max ? ID(exclusive.milliseconds + 1, 0) : ID(exclusive.milliseconds, exclusive.sequence + 1)
        }
        guard exclusive > ID(0, 0) else { throw .err("invalid end ID for the interval") }
        return exclusive.sequence == 0 ? ID(exclusive.milliseconds - 1, .max) : ID(exclusive.milliseconds, exclusive.sequence - 1)
    }

    private static func text(_ id: ID) -> String { "\(id.milliseconds)-\(id.sequence)" }

    // MARK: Trimming

    private enum Trim {
        case length(Int64)
        case oldest(ID)

        /// How many of the oldest entries go.
        func count(_ stream: StreamObject) -> Int {
            switch self {
            case .length(let max): Int(Swift.max(Int64(stream.length) - max, 0))
            case .oldest(let id): stream.index(of: id)
            }
        }
    }

    /// `MAXLEN [= | ~] n`, `MINID [= | ~] id`, `[LIMIT n]`. We trim exactly where an approximation is allowed.
    private static func trim(_ call: Call, _ index: inout Int) throws(CommandFailure) -> Trim {
        let isLength = call.matches(index, "maxlen")
        index += 1
        var isApproximate = false
        if index < call.count, call[index].count == 1, call[index][0] == UInt8(ascii: "~") || call[index][0] == UInt8(ascii: "=") {
            isApproximate = call[index][0] == UInt8(ascii: "~")
            index += 1
        }
        guard index < call.count else { throw .syntax }
        let trim: Trim
        if isLength {
            let max = try call.integer(index)
            guard max >= 0 else { throw .err("The MAXLEN argument must be >= 0.") }
            trim = .length(max)
        } else {
            trim = .oldest(try id(call[index], sequence: 0))
        }
        index += 1
        if index + 1 < call.count, call.matches(index, "limit") {
            guard isApproximate else { throw .err("syntax error, LIMIT cannot be used without the special ~ option") }
            guard try call.integer(index + 1) >= 0 else { throw .err("The LIMIT argument must be >= 0.") }
            index += 2
        }
        return trim
    }

    // MARK: Commands

    /// `XADD key [NOMKSTREAM] [MAXLEN | MINID …] * | id field value …`.
    private static func xadd(_ call: Call) throws(CommandFailure) {
        var index = 2
        var makes = true
        var trimming: Trim?
        while index < call.count {
            if call.matches(index, "nomkstream") {
                makes = false
                index += 1
            } else if call.matches(index, "maxlen") || call.matches(index, "minid") {
                trimming = try trim(call, &index)
            } else {
                break
            }
        }
        guard index < call.count else { throw .err("wrong number of arguments for 'xadd' command") }
        let given = call[index]
        let isAuto = given.count == 1 && given[0] == UInt8(ascii: "*")
        let isPartial = !isAuto && given.count > 2 && given[given.count - 1] == UInt8(ascii: "*") && given[given.count - 2] == UInt8(ascii: "-")
        var wanted = ID(0, 0)
        if isPartial {
            wanted = try id(UnsafeRawBufferPointer(rebasing: given.dropLast(2)), sequence: 0)
        } else if !isAuto {
            wanted = try id(given, sequence: 0)
        }
        let fieldCount = call.count - index - 1
        guard fieldCount > 0, fieldCount % 2 == 0 else { throw .err("wrong number of arguments for 'xadd' command") }
        if !isAuto, !isPartial, wanted == ID(0, 0) { throw .err("The ID specified in XADD must be greater than 0-0") }
        let key = call.key(1)
        let found: StreamObject? = try call.write(key, .stream)
        if found == nil, !makes { return call.out.null() }
        let stream = found ?? StreamObject()
        let last = stream.stream.lastID
        if last == ID(.max, .max) { throw .err("The stream has exhausted the last possible ID, unable to add more items") }
        let next = last.sequence == .max ? ID(last.milliseconds + 1, 0) : ID(last.milliseconds, last.sequence + 1)
        let id: ID
        if isAuto {
            let now = ID(UInt64(clamping: call.now), 0)
            id = now > last ? now : next
        } else if isPartial {
            if wanted.milliseconds == last.milliseconds { id = next } else { id = wanted }
            guard id.milliseconds == wanted.milliseconds, id > last else {
                throw .err("The ID specified in XADD is equal or smaller than the target stream top item")
            }
        } else {
            id = wanted
        }
        guard id > last else { throw .err("The ID specified in XADD is equal or smaller than the target stream top item") }
        stream.append(.init(id: id, fields: (index + 1..<call.count).map { call.bytes($0) }))
        let trimmed = trimming?.count(stream) ?? 0
        if trimmed > 0 { stream.removeFirst(trimmed) }
        if !stream.isStored { call.setObject(key, stream, .stream) }
        call.settle(key, stream, .stream, "xadd")
        if trimmed > 0 { call.notify(.stream, "xtrim", key) }
        call.elementsAdded(key)
        var logged = (0..<call.count).map { call.bytes($0) }
        logged[index] = Array(text(id).utf8)
        call.rewritten = [logged]
        call.out.bulk(text(id))
    }

    private static func xlen(_ call: Call) throws(CommandFailure) {
        let stream: StreamObject? = try call.read(call.key(1), .stream)
        call.out.integer(stream?.length ?? 0)
    }

    private static func write(_ call: Call, _ entry: SnapshotStream.Entry) {
        call.out.array(2)
        call.out.bulk(text(entry.id))
        call.out.array(entry.fields.count)
        for field in entry.fields { call.out.bulk(field) }
    }

    private static func range(_ call: Call, isReversed: Bool) throws(CommandFailure) {
        let start = try bound(call[isReversed ? 3 : 2], isStart: true)
        let end = try bound(call[isReversed ? 2 : 3], isStart: false)
        var count = Int64.max
        if call.count > 4 {
            guard call.count == 6, call.matches(4, "count") else { throw .syntax }
            count = max(try call.integer(5), 0)
        }
        let found: StreamObject? = try call.read(call.key(1), .stream)
        guard let stream = found else { return call.out.array(0) }
        if call.count > 4, count == 0 { return call.out.nullArray() }
        let first = stream.index(of: start)
        var last = stream.index(of: end)
        if last < stream.length, stream.stream.entries[last].id == end { last += 1 }
        guard first < last, start <= end else { return call.out.array(0) }
        let taken = Int(min(count, Int64(last - first)))
        call.out.array(taken)
        if isReversed {
            for index in stride(from: last - 1, through: last - taken, by: -1) { write(call, stream.stream.entries[index]) }
        } else {
            for index in first..<first + taken { write(call, stream.stream.entries[index]) }
        }
    }

    private static func xdel(_ call: Call) throws(CommandFailure) {
        let key = call.key(1)
        let found: StreamObject? = try call.write(key, .stream)
        guard let stream = found else { return call.out.integer(0) }
        var ids: [ID] = []
        for index in 2..<call.count { ids.append(try id(call[index], sequence: 0)) }
        var removed = 0
        for id in ids where stream.remove(id) { removed += 1 }
        if removed > 0 { call.settle(key, stream, .stream, "xdel") }
        call.out.integer(removed)
    }

    private static func xtrim(_ call: Call) throws(CommandFailure) {
        guard call.matches(2, "maxlen") || call.matches(2, "minid") else { throw .syntax }
        var index = 2
        let trimming = try trim(call, &index)
        guard index == call.count else { throw .syntax }
        let key = call.key(1)
        let found: StreamObject? = try call.write(key, .stream)
        guard let stream = found else { return call.out.integer(0) }
        let count = trimming.count(stream)
        if count > 0 {
            stream.removeFirst(count)
            call.settle(key, stream, .stream, "xtrim")
        }
        call.out.integer(count)
    }

    // MARK: XREAD

    /// The keys are the first half of what follows `STREAMS`.
    private static func readKeys(_ call: Call, _ places: inout ContiguousArray<Int>) {
        guard let start = streamsPlace(call) else { return }
        let count = (call.count - start - 1) / 2
        for place in start + 1..<start + 1 + count { places.append(place) }
    }

    private static func streamsPlace(_ call: Call) -> Int? { (1..<call.count).first { call.matches($0, "streams") } }

    /// `XREAD [COUNT n] [BLOCK ms] STREAMS key … id …`.
    private static func xread(_ call: Call) throws(CommandFailure) {
        var count = Int64.max
        var milliseconds: Int64?
        var index = 1
        while index < call.count, !call.matches(index, "streams") {
            guard index + 1 < call.count else { throw .syntax }
            if call.matches(index, "count") {
                let value = try call.integer(index + 1)
                count = value <= 0 ? .max : value
            } else if call.matches(index, "block") {
                guard !call.isInScript else { throw .err("\(call.text(0)) command is not allowed with BLOCK option from scripts") }
                guard let value = DecimalText.parse(call[index + 1]) else { throw .err("timeout is not an integer or out of range") }
                guard value >= 0 else { throw .err("timeout is negative") }
                milliseconds = value
            } else {
                throw .syntax
            }
            index += 2
        }
        let first = index + 1
        let streams = (call.count - first) / 2
        guard first < call.count, streams > 0, (call.count - first) % 2 == 0 else {
            if first < call.count {
                throw .err("Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.")
            }
            throw .syntax
        }
        var starts: [ID] = []
        for number in 0..<streams {
            let given = call[first + streams + number]
            let found: StreamObject? = try call.read(call.key(first + number), .stream)
            if given.count == 1, given[0] == UInt8(ascii: "$") {
                starts.append(found?.stream.lastID ?? ID(0, 0))
            } else if given.count == 1, given[0] == UInt8(ascii: ">") {
                throw .err("The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.")
            } else {
                starts.append(try id(given, sequence: 0))
            }
        }
        var ready: [(place: Int, stream: StreamObject, entries: Range<Int>)] = []
        for number in 0..<streams {
            let found: StreamObject? = try call.read(call.key(first + number), .stream)
            guard let stream = found else { continue }
            var start = stream.index(of: starts[number])
            if start < stream.length, stream.stream.entries[start].id == starts[number] { start += 1 }
            if start < stream.length {
                ready.append((first + number, stream, start..<start + Int(min(count, Int64(stream.length - start)))))
            }
        }
        if ready.isEmpty {
            guard let milliseconds else { return call.out.nullArray() }
            // `$` is where the stream is now, also when the command is tried again.
            let own = call.arguments
            defer { call.arguments = own }
            let ids = starts.map { Array(text($0).utf8) }
            return Call.withPointers(ids) { pointers in
                for number in 0..<streams { call.arguments[first + streams + number] = pointers[number] }
                call.wait(on: first..<first + streams, seconds: Double(milliseconds) / 1000) { $0.nullArray() }
            }
        }
        if call.session.isRESP3 { call.out.map(ready.count) } else { call.out.array(ready.count) }
        for (place, stream, entries) in ready {
            if !call.session.isRESP3 { call.out.array(2) }
            call.out.bulk(call[place])
            call.out.array(entries.count)
            for index in entries { write(call, stream.stream.entries[index]) }
        }
    }
}
