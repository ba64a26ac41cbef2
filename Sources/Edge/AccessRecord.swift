import HTTPSemantics
import NIOCore

/// One line of the access log: a JSON object per exchange.
///
/// ```
/// {"time":"2026-01-31T12:00:00.123Z","client":"127.0.0.1","method":"GET","host":"a.example","target":"/scans/7",
///  "status":200,"bytes":8273,"ms":0.042,"cache":"hit","coding":"gzip","trace":"4bf92f3577b34da6a3ce929d0e0e4736"}
/// ```
/// `upstream_ms`, `detail` and `error` are there when they say something. Written by hand: it is on every request's path,
/// and everything in it is either ours or was checked by the parser; what a client chose is escaped.
enum AccessRecord {
    /// More than all that a line has besides what the exchange brings: names, numbers, time and trace are 350 bytes at most.
    private static let fixedBytesMax = 512

    /// - Parameters:
    ///   - ended: when the response's last byte was written.
    ///   - wallClock: the time of day of `ended`, in milliseconds since 1970.
    static func append(
        _ exchange: borrowing Exchange, _ request: borrowing RequestHead, client: [UInt8], ended: NIODeadline,
        second: borrowing WallClockSecond, milliseconds: Int, to line: inout ByteBuffer
    ) {
        let chosen = request.methodRange.count + request.authority.count + request.target.count
        let failure = exchange.failure?.rawValue ?? ""
        let bytesMax = Self.fixedBytesMax + TextOutput.jsonBytesMax * chosen + client.count + exchange.detail.utf8.count
        line.writeText(bytesMax: bytesMax + failure.utf8.count) { line in
            line.text("{\"time\":\"")
            line.bytes(second.iso8601.span)
            line.text(".")
            line.threeDigits(milliseconds)
            line.text("Z\",\"client\":\"")
            line.bytes(client.span)
            line.text("\",\"method\":\"")
            line.json(request.fields.bytes.span.extracting(request.methodRange))
            line.text("\",\"host\":\"")
            line.json(request.fields.bytes.span.extracting(request.authority))
            line.text("\",\"target\":\"")
            line.json(request.fields.bytes.span.extracting(request.target))
            line.text("\",\"status\":")
            line.decimal(exchange.status)
            line.text(",\"bytes\":")
            line.decimal(exchange.bodyBytes)
            line.text(",\"ms\":")
            line.milliseconds((ended - exchange.started).nanoseconds)
            line.text(",\"cache\":\"")
            line.text(exchange.cacheResult.word)
            if !exchange.detail.isEmpty {
                line.text("\",\"detail\":\"")
                line.string(exchange.detail)
            }
            line.text("\",\"coding\":\"")
            line.text(exchange.coding.token)
            if exchange.upstreamNanoseconds > 0 {
                line.text("\",\"upstream_ms\":")
                line.milliseconds(exchange.upstreamNanoseconds)
                line.text(",\"trace\":\"")
            } else {
                line.text("\",\"trace\":\"")
            }
            line.hexadecimal(exchange.trace.traceID.0)
            line.hexadecimal(exchange.trace.traceID.1)
            if !failure.isEmpty {
                line.text("\",\"error\":\"")
                line.string(failure)
            }
            line.text("\"}\n")
        }
    }
}

extension Exchange.CacheResult {
    /// The raw value without making a `String`.
    var word: StaticString {
        switch self {
        case .none: "none"
        case .hit: "hit"
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
