/// When something is due, as crontab writes it: minute, hour, day of the month, month, day of the week. Times are UTC, so that no hour is
/// there twice or not at all.
///
/// A field is `*`, a number, a range, a list of these, each with a step (`*/15`, `8-18/2`); months and days of the week may be named by three
/// letters, Sunday is 0 and 7. When both kinds of days are restricted, either will do. `@hourly`, `@daily`, `@weekly` and `@monthly` stand
/// for the usual.
/// - Source: crontab(5) of Vixie cron; POSIX.1-2017, crontab.
public struct CronExpression: Sendable, Equatable, CustomStringConvertible {
    /// Why a text is none; the words are for the operator.
    public struct Problem: Error, Equatable, CustomStringConvertible {
        public let description: String
    }

    public let description: String
    /// A bit for each value.
    private let minutes: UInt64
    private let hours: UInt64
    private let days: UInt64
    private let months: UInt64
    private let weekdays: UInt64
    private let eitherDay: Bool

    /// Longer than any that somebody means.
    public static let bytesMax = 200

    private static let nicknames = ["@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"]
    private static let monthNames = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    private static let dayNames = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

    public init(_ text: String) throws(Problem) {
        guard text.utf8.count <= Self.bytesMax else { throw Problem(description: "it is longer than \(Self.bytesMax) bytes") }
        let fields = (Self.nicknames[text] ?? text).split(whereSeparator: { $0 == " " || $0 == "\t" })
        guard fields.count == 5 else {
            throw Problem(description: "\"\(text)\" has \(fields.count) fields: minute, hour, day of the month, month and day of the week are expected, as in 0 * * * *")
        }
        description = text
        minutes = try Self.bits(fields[0], 0...59, "minute")
        hours = try Self.bits(fields[1], 0...23, "hour")
        days = try Self.bits(fields[2], 1...31, "day of the month")
        months = try Self.bits(fields[3], 1...12, "month", names: Self.monthNames, first: 1)
        let week = try Self.bits(fields[4], 0...7, "day of the week", names: Self.dayNames, first: 0)
        weekdays = (week | week >> 7) & 0x7F
        eitherDay = !fields[2].hasPrefix("*") && !fields[4].hasPrefix("*")
        guard next(after: 0) != nil else { throw Problem(description: "\"\(text)\" is never: there is no such day") }
    }

    private static func bits(_ field: Substring, _ range: ClosedRange<Int>, _ name: String, names: [String] = [], first: Int = 0) throws(Problem) -> UInt64 {
        func number(_ text: Substring) throws(Problem) -> Int {
            if let index = names.firstIndex(of: text.lowercased()) { return index + first }
            guard !text.isEmpty, text.utf8.count <= 2, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let value = Int(text), range.contains(value) else {
                throw Problem(description: "\"\(text)\" is no \(name): \(range.lowerBound) to \(range.upperBound)")
            }
            return value
        }
        var bits: UInt64 = 0
        for part in field.split(separator: ",", omittingEmptySubsequences: false) {
            let stepped = part.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
            var step = 1
            if stepped.count == 2 {
                guard stepped[1].utf8.count <= 2, let value = Int(stepped[1]), value > 0 else {
                    throw Problem(description: "\"\(stepped[1])\" is no step of a \(name)")
                }
                step = value
            }
            var (low, high) = (range.lowerBound, range.upperBound)
            if stepped[0] != "*" {
                let ends = stepped[0].split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
                low = try number(ends[0])
                high = ends.count == 2 ? try number(ends[1]) : stepped.count == 2 ? range.upperBound : low
                guard low <= high else { throw Problem(description: "\"\(part)\" goes backwards") }
            }
            for value in stride(from: low, through: high, by: step) { bits |= 1 << UInt64(value) }
        }
        return bits
    }

    /// The first minute that is meant behind a moment.
    /// - Parameter time: seconds since 1970.
    /// - Returns: `nil` when there is none within 41 years: 29 February on a Sunday may be so far away, nothing is farther.
    public func next(after time: Int64) -> Int64? {
        guard (0...253_402_300_000).contains(time) else { return nil }
        let begin = time - time % 60 + 60
        var (hour, minute) = (Int(begin % 86_400 / 3600), Int(begin % 3600 / 60))
        for day in begin / 86_400...begin / 86_400 + 15_000 {
            if isMeant(day: day) {
                for hour in hour..<24 {
                    defer { minute = 0 }
                    guard hours & (1 << UInt64(hour)) != 0 else { continue }
                    for minute in minute..<60 where minutes & (1 << UInt64(minute)) != 0 {
                        return day * 86_400 + Int64(hour) * 3600 + Int64(minute) * 60
                    }
                }
            }
            (hour, minute) = (0, 0)
        }
        return nil
    }

    private func isMeant(day: Int64) -> Bool {
        let (month, date) = Self.civil(day)
        guard months & (1 << UInt64(month)) != 0 else { return false }
        let isDate = days & (1 << UInt64(date)) != 0
        // 1 January 1970 was a Thursday.
        let isWeekday = weekdays & (1 << UInt64((day + 4) % 7)) != 0
        return eitherDay ? isDate || isWeekday : isDate && isWeekday
    }

    /// Month and day of the month of a day since 1970.
    /// - Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    private static func civil(_ day: Int64) -> (month: Int, day: Int) {
        let shifted = day + 719_468
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        return (Int(month < 10 ? month + 3 : month - 9), Int(dayOfYear - (153 * month + 2) / 5 + 1))
    }
}
