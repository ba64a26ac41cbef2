import HTTPSemantics
import NIOCore

/// One line of the access log, as ``AccessRecordOptions`` want it: a JSON object per exchange, or Apache's combined format.
///
/// ```
/// {"time":"2026-01-31T12:00:00.123Z","client":"127.0.0.1","method":"GET","host":"a.example","target":"/scans/7",
///  "route":"edge.app","status":200,"bytes":8273,"ms":0.042,"cache":"hit","coding":"gzip","trace":"4bf92f3577b34da6a3ce929d0e0e4736"}
/// ```
/// `upstream_ms`, `detail` and `error` are there when they say something. Written by hand: it is on every request's path,
/// and everything in it is either ours or was checked by the parser; what a client chose is escaped.
struct AccessRecord: Sendable {
    /// More than all that a line has besides what the exchange brings: names, numbers, stages, time and trace are 650 bytes at most.
    private static let fixedBytesMax = 840
    /// What a line holds of `Referer` and `User-Agent` each.
    static let textBytesMax = 512

    private let format: AccessRecordOptions.Format
    /// Bit n: the field with that position in `allCases`.
    private let fields: UInt32
    /// Whether there are stages among them.
    private let hasStages: Bool
    /// Traces whose last 64 bits are at most this have a line.
    private let sampledMax: UInt64

    init(_ options: AccessRecordOptions) {
        format = options.format
        fields = options.fields.reduce(0) { $0 | Self.bit($1) }
        hasStages = options.fields.contains { $0.stage != nil }
        // 2⁶⁴ itself is one too many.
        sampledMax = options.sampledShare >= 1 ? .max : UInt64(max(0, options.sampledShare) * 0x1p64)
    }

    @inline(__always)
    private static func bit(_ field: AccessRecordOptions.Field) -> UInt32 {
        switch field {
        case .time: 1 << 0
        case .client: 1 << 1
        case .method: 1 << 2
        case .host: 1 << 3
        case .target: 1 << 4
        case .status: 1 << 5
        case .bytes: 1 << 6
        case .ms: 1 << 7
        case .cache: 1 << 8
        case .detail: 1 << 9
        case .coding: 1 << 10
        case .upstreamMilliseconds: 1 << 11
        case .trace: 1 << 12
        case .error: 1 << 13
        case .headMilliseconds: 1 << 14
        case .referer: 1 << 15
        case .userAgent: 1 << 16
        case .span: 1 << 17
        case .route: 1 << 18
        case .lookupMilliseconds: 1 << 19
        case .queueMilliseconds: 1 << 20
        case .connectMilliseconds: 1 << 21
        case .firstByteMilliseconds: 1 << 22
        case .compressMilliseconds: 1 << 23
        case .writeMilliseconds: 1 << 24
        case .user: 1 << 25
        }
    }

    @inline(__always)
    private func has(_ field: AccessRecordOptions.Field) -> Bool { fields & Self.bit(field) != 0 }

    /// Whether an exchange has a line.
    func isSampled(_ exchange: borrowing Exchange) -> Bool {
        exchange.trace.traceID.1 <= sampledMax && sampledMax > 0 || exchange.status >= 500 || exchange.failure != nil
    }

    /// - Parameters:
    ///   - ended: when the response's last byte was written.
    ///   - second: the time of day of `ended`.
    func append(
        _ exchange: borrowing Exchange, _ request: borrowing RequestHead, client: [UInt8], ended: NIODeadline,
        second: borrowing WallClockSecond, milliseconds: Int, to line: inout ByteBuffer
    ) {
        switch format {
        case .json: appendJSON(exchange, request, client: client, ended: ended, second: second, milliseconds: milliseconds, to: &line)
        case .combined: appendCombined(exchange, request, client: client, second: second, to: &line)
        }
    }

    private func appendJSON(
        _ exchange: borrowing Exchange, _ request: borrowing RequestHead, client: [UInt8], ended: NIODeadline,
        second: borrowing WallClockSecond, milliseconds: Int, to line: inout ByteBuffer
    ) {
        let referer = has(.referer) ? Self.range(.referer, request.fields) : 0..<0
        let agent = has(.userAgent) ? Self.range(.userAgent, request.fields) : 0..<0
        let chosen = request.methodRange.count + request.authority.count + request.target.count + referer.count + agent.count
        let failure = exchange.failure?.rawValue ?? ""
        let word = exchange.reason?.word ?? ""
        let user = exchange.user
        let bytesMax = Self.fixedBytesMax + TextOutput.jsonBytesMax * (chosen + user.utf8.count) + client.count + word.utf8.count + exchange.route.utf8.count
        line.writeText(bytesMax: bytesMax + failure.utf8.count) { line in
            line.text("{\"time\":\"")
            line.bytes(second.iso8601.span)
            line.text(".")
            line.threeDigits(milliseconds)
            line.text("Z\"")
            if has(.client) {
                line.text(",\"client\":\"")
                line.bytes(client.span)
                line.text("\"")
            }
            if has(.user), !user.isEmpty {
                line.text(",\"user\":\"")
                line.json(user.utf8.span, isUTF8: true)
                line.text("\"")
            }
            if has(.method) {
                line.text(",\"method\":\"")
                line.json(request.fields.bytes.span.extracting(request.methodRange))
                line.text("\"")
            }
            if has(.host) {
                line.text(",\"host\":\"")
                line.json(request.fields.bytes.span.extracting(request.authority))
                line.text("\"")
            }
            if has(.target) {
                line.text(",\"target\":\"")
                line.json(request.fields.bytes.span.extracting(request.target))
                line.text("\"")
            }
            if has(.route), !exchange.route.isEmpty {
                // A name is of letters, digits, hyphens and underscores.
                line.text(",\"route\":\"")
                line.string(exchange.route)
                line.text("\"")
            }
            if has(.status) {
                line.text(",\"status\":")
                line.decimal(exchange.status)
            }
            if has(.bytes) {
                line.text(",\"bytes\":")
                line.decimal(exchange.bodyBytes)
            }
            if has(.ms) {
                line.text(",\"ms\":")
                line.milliseconds((ended - exchange.started).nanoseconds)
            }
            if has(.headMilliseconds), exchange.headNanoseconds > 0 {
                line.text(",\"head_ms\":")
                line.milliseconds(exchange.headNanoseconds)
            }
            if has(.cache) {
                line.text(",\"cache\":\"")
                line.text(exchange.cacheResult.word)
                line.text("\"")
            }
            if has(.detail), !word.isEmpty {
                line.text(",\"detail\":\"")
                line.string(word)
                line.text("\"")
            }
            if has(.coding) {
                line.text(",\"coding\":\"")
                line.text(exchange.coding.token)
                line.text("\"")
            }
            if has(.upstreamMilliseconds), exchange.upstreamNanoseconds > 0 {
                line.text(",\"upstream_ms\":")
                line.milliseconds(exchange.upstreamNanoseconds)
            }
            if hasStages { appendStages(exchange.stages, end: exchange.isStream ? nil : ended, to: &line) }
            if !referer.isEmpty {
                line.text(",\"referer\":\"")
                line.json(request.fields.bytes.span.extracting(referer))
                line.text("\"")
            }
            if !agent.isEmpty {
                line.text(",\"user_agent\":\"")
                line.json(request.fields.bytes.span.extracting(agent))
                line.text("\"")
            }
            if has(.trace) {
                line.text(",\"trace\":\"")
                line.hexadecimal(exchange.trace.traceID.0)
                line.hexadecimal(exchange.trace.traceID.1)
                line.text("\"")
            }
            if has(.span) {
                line.text(",\"span\":\"")
                line.hexadecimal(exchange.trace.parentID)
                line.text("\"")
            }
            if has(.error), !failure.isEmpty {
                line.text(",\"error\":\"")
                line.string(failure)
                line.text("\"")
            }
            line.text("}\n")
        }
    }

    /// `"lookup_ms":0.041,"first_byte_ms":12.300`: those that took any time.
    private func appendStages(_ stages: borrowing StageTimes, end: NIODeadline?, to line: inout TextOutput) {
        for field in AccessRecordOptions.Field.allCases {
            guard has(field), let stage = field.stage else { continue }
            let nanoseconds = stages.nanoseconds(stage, end: end)
            guard nanoseconds > 0 else { continue }
            line.text(",\"")
            line.string(field.rawValue)
            line.text("\":")
            line.milliseconds(nanoseconds)
        }
    }

    /// `127.0.0.1 - ann [31/Jan/2026:12:00:00 +0000] "GET /scans/7 HTTP/1.1" 200 8273 "referer" "agent"`, `-` for what is not there.
    /// - Source: Apache HTTP Server, mod_log_config, "Combined Log Format".
    private func appendCombined(
        _ exchange: borrowing Exchange, _ request: borrowing RequestHead, client: [UInt8], second: borrowing WallClockSecond,
        to line: inout ByteBuffer
    ) {
        let referer = Self.range(.referer, request.fields)
        let agent = Self.range(.userAgent, request.fields)
        let chosen = request.methodRange.count + request.target.count + referer.count + agent.count
        let user = exchange.user
        line.writeText(bytesMax: Self.fixedBytesMax + TextOutput.escapedBytesMax * (chosen + user.utf8.count) + client.count) { line in
            line.bytes(client.span)
            line.text(user.isEmpty ? " - -" : " - ")
            line.escaped(user.utf8.span)
            line.text(" [")
            line.bytes(second.commonLogTime.span)
            line.text("] \"")
            line.escaped(request.fields.bytes.span.extracting(request.methodRange))
            line.text(" ")
            line.escaped(request.fields.bytes.span.extracting(request.target))
            line.text(request.majorVersion == 2 ? " HTTP/2.0\" " : request.minorVersion == 0 ? " HTTP/1.0\" " : " HTTP/1.1\" ")
            line.decimal(exchange.status)
            line.text(" ")
            line.decimal(exchange.bodyBytes)
            line.text(referer.isEmpty ? " \"-" : " \"")
            line.escaped(request.fields.bytes.span.extracting(referer))
            line.text(agent.isEmpty ? "\" \"-" : "\" \"")
            line.escaped(request.fields.bytes.span.extracting(agent))
            line.text("\"\n")
        }
    }

    /// Where a field's first value lies, as much of it as a line holds.
    private static func range(_ name: FieldName, _ fields: borrowing FieldSection) -> Range<Int> {
        guard let index = fields.firstIndex(of: name) else { return 0..<0 }
        let line = fields.lines[index]
        return Int(line.valueStart)..<Int(line.valueStart) + min(Int(line.valueCount), textBytesMax)
    }
}

extension Exchange.CacheResult {
    /// The raw value without making a `String`.
    var word: StaticString {
        switch self {
        case .none: "none"
        case .hit: "hit"
        case .servedStale: "served-stale"
        case .revalidated: "revalidated"
        case .miss: "miss"
        case .stale: "stale"
        case .coalesced: "coalesced"
        case .bypass: "bypass"
        }
    }
}

/// The current second as text, rendered once per second and not per answer.
struct WallClockSecond: ~Copyable {
    private(set) var unixSeconds: Int64 = .min
    /// `2026-01-31T12:00:00`.
    private(set) var iso8601: [UInt8] = []
    /// `Sat, 31 Jan 2026 12:00:00 GMT`, for `Date`.
    private(set) var httpDate: [UInt8] = []
    /// `31/Jan/2026:12:00:00 +0000`.
    private(set) var commonLogTime: [UInt8] = []

    mutating func assign(_ unixSeconds: Int64) {
        guard unixSeconds != self.unixSeconds else { return }
        self.unixSeconds = unixSeconds
        httpDate.removeAll(keepingCapacity: true)
        HTTPDate.append(unixSeconds, to: &httpDate)
        iso8601.removeAll(keepingCapacity: true)
        let (year, month, day) = Self.civil(days: Int((unixSeconds - ((unixSeconds % 86_400) + 86_400) % 86_400) / 86_400))
        let second = Int(((unixSeconds % 86_400) + 86_400) % 86_400)
        for (value, digits, separator) in [
            (year, 4, "-"), (month, 2, "-"), (day, 2, "T"), (second / 3600, 2, ":"), (second / 60 % 60, 2, ":"), (second % 60, 2, ""),
        ] {
            let text = String(value)
            iso8601.append(contentsOf: repeatElement(UInt8(ascii: "0"), count: max(0, digits - text.utf8.count)))
            iso8601.append(contentsOf: text.utf8)
            iso8601.append(contentsOf: separator.utf8)
        }
        // The parts stand in `Date` already.
        commonLogTime.removeAll(keepingCapacity: true)
        guard httpDate.count == 29 else { return }
        for (part, separator) in [(5..<7, "/"), (8..<11, "/"), (12..<16, ":"), (17..<25, " +0000")] {
            commonLogTime.append(contentsOf: httpDate[part])
            commonLogTime.append(contentsOf: separator.utf8)
        }
    }

    /// The Gregorian date of a day counted from 1970-01-01.
    ///
    /// Years are counted from March, so that the leap day is the last of its year; eras are 400 years of 146,097 days.
    private static func civil(days: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }
}
