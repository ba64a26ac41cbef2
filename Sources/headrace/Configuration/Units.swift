import NIOCore

/// Durations as operators write them: `250ms`, `5s`, `1m30s`, `2h`, `7d`.
enum DurationText {
    static let units = "ms, s, m, h, d"

    private static let nanoseconds: [(unit: String, value: Int64)] = [
        ("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000),
    ]

    /// - Parameter range: what the key takes, of which units are suggested.
    /// - Throws: `ValueProblem`, also for a bare number: nobody can tell seconds from milliseconds.
    static func parse(_ text: String, within range: ClosedRange<TimeAmount>? = nil) throws(ValueProblem) -> TimeAmount {
        if Double(text) != nil {
            throw UnitSuggestion.problem(text, usual: ["s", "ms", "m"], others: ["h", "d"], range.map { "\(render($0.lowerBound))…\(render($0.upperBound))" }) { word in
                (try? parse(word)).map { range?.contains($0) ?? true } ?? false
            }
        }
        var total: Int64 = 0
        var rest = text[...]
        guard !rest.isEmpty else { throw ValueProblem("is empty, but a duration such as 30s is expected") }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(unit.count)
            guard let number = Double(digits), let scale = nanoseconds.first(where: { $0.unit == unit })?.value else {
                throw ValueProblem("\"\(text)\" is no duration such as 250ms, 30s, 5m or 1m30s")
            }
            let part = number * Double(scale)
            // Half of what the type holds, so that the sum cannot overflow: 146 years.
            guard part + Double(total) < 4.6e18 else { throw ValueProblem("\"\(text)\" is too long") }
            total += Int64(part)
        }
        return .nanoseconds(total)
    }

    /// The shortest way to write it: the largest unit that divides it.
    static func render(_ duration: TimeAmount) -> String {
        for (unit, value) in nanoseconds where duration.nanoseconds != 0 && duration.nanoseconds % value == 0 {
            return "\(duration.nanoseconds / value)\(unit)"
        }
        return duration.nanoseconds == 0 ? "0s" : "\(Double(duration.nanoseconds) / 1e6)ms"
    }
}

/// Rates as operators write them: a size for each second, `512B/s`, `64KB/s`.
enum TransferRateText {
    static let units = "B/s, KB/s, MB/s, GB/s (1 KB = 1024 B)"

    /// - Parameter range: what the key takes, of which units are suggested.
    /// - Throws: `ValueProblem`, also for a bare number and for a size, which has no time.
    static func parse(_ text: String, within range: ClosedRange<Int>? = nil) throws(ValueProblem) -> Int {
        if Double(text) != nil {
            throw UnitSuggestion.problem(text, usual: ["KB/s", "B/s"], others: ["MB/s", "GB/s"], range.map { "\(render($0.lowerBound))…\(render($0.upperBound))" }) { word in
                (try? parse(word)).map { range?.contains($0) ?? true } ?? false
            }
        }
        guard text.hasSuffix("/s") else {
            if (try? SizeText.parse(text)) != nil { throw ValueProblem("\"\(text)\" is a size, and a rate has a time: write \(text)/s") }
            throw ValueProblem("\"\(text)\" is no rate such as 512B/s or 64KB/s")
        }
        do {
            return try SizeText.parse(String(text.dropLast(2)))
        } catch {
            throw ValueProblem("\"\(text)\" is no rate such as 512B/s or 64KB/s")
        }
    }

    static func render(_ rate: Int) -> String { SizeText.render(rate) + "/s" }
}

/// Sizes as operators write them: `512B`, `8KB`, `256MB`, `1GB`. 1 KB is 1024 bytes, as in PostgreSQL and nginx.
enum SizeText {
    static let units = "B, KB, MB, GB (1 KB = 1024 B)"

    private static let bytes: [(unit: String, value: Int)] = [("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10), ("B", 1)]

    /// - Parameter range: what the key takes, of which units are suggested.
    /// - Throws: `ValueProblem`, also for a bare number.
    static func parse(_ text: String, within range: ClosedRange<Int>? = nil) throws(ValueProblem) -> Int {
        if Double(text) != nil {
            throw UnitSuggestion.problem(text, usual: ["MB", "KB", "B"], others: ["GB"], range.map { "\(render($0.lowerBound))…\(render($0.upperBound))" }) { word in
                (try? parse(word)).map { range?.contains($0) ?? true } ?? false
            }
        }
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let unit = text.dropFirst(digits.count).uppercased()
        guard let number = Double(digits), let scale = bytes.first(where: { $0.unit == unit })?.value else {
            throw ValueProblem("\"\(text)\" is no size such as 512B, 8KB, 256MB or 1GB")
        }
        let value = number * Double(scale)
        guard value < 9e18 else { throw ValueProblem("\"\(text)\" is too large") }
        return Int(value)
    }

    static func render(_ size: Int) -> String {
        for (unit, value) in bytes where size != 0 && size % value == 0 { return "\(size / value)\(unit)" }
        return "0B"
    }
}

/// What is said to a number without its unit.
enum UnitSuggestion {
    /// - Parameters:
    ///   - others: units that are suggested when none of the usual ones will do.
    ///   - range: said when no unit makes it a value.
    ///   - isValue: whether the number with a unit may stand there.
    static func problem(_ text: String, usual: [String], others: [String], _ range: String?, isValue: (String) -> Bool) -> ValueProblem {
        var words = usual.map { text + $0 }.filter(isValue)
        if words.isEmpty { words = others.map { text + $0 }.filter(isValue) }
        guard let last = words.last else {
            return ValueProblem("\"\(text)\" has no unit" + (range.map { ", and with none of them it is within \($0)" } ?? ""))
        }
        let choice = words.count == 1 ? last : words.dropLast().joined(separator: ", ") + " or " + last
        return ValueProblem("\"\(text)\" has no unit: write \(choice)")
    }
}
