/// Dates in fields, as seconds since 1970.
///
/// Three formats are read and one is written. Read strictly where a wrong guess could make a stale response fresh: a date
/// that is none is `nil`, and callers treat it as long past. The name of the weekday is not checked against the date.
/// - Source: RFC 9110 §5.6.7.
public enum HTTPDate {
    /// Parses IMF-fixdate, RFC 850 and asctime.
    /// - Returns: `nil` for everything else, and for days that no month has.
    public static func parse(_ bytes: Span<UInt8>) -> Int64? {
        var reader = Reader(bytes: bytes)
        guard let weekday = reader.letters(), isWeekday(bytes.extracting(weekday)) else { return nil }
        if reader.take(UInt8(ascii: ",")) {
            guard reader.take(UInt8(ascii: " ")), let day = reader.digits(1...2) else { return nil }
            let separator = reader.peek
            guard separator == UInt8(ascii: " ") || separator == UInt8(ascii: "-"), reader.take(separator ?? 0),
                let month = reader.month(), reader.take(separator ?? 0)
            else { return nil }
            var year = 0
            if separator == UInt8(ascii: "-") {
                // Two digits: fifty years ahead at most, which needs a clock; 70–99 are the last century, as everywhere.
                guard let short = reader.digits(2...2) else { return nil }
                year = short < 70 ? 2000 + short : 1900 + short
            } else {
                guard let full = reader.digits(4...4) else { return nil }
                year = full
            }
            guard reader.take(UInt8(ascii: " ")), let second = reader.time(), reader.word(" GMT"), reader.isAtEnd else { return nil }
            return seconds(year, month, day, second)
        }
        guard reader.take(UInt8(ascii: " ")), let month = reader.month(), reader.take(UInt8(ascii: " ")) else { return nil }
        _ = reader.take(UInt8(ascii: " "))
        guard let day = reader.digits(1...2), reader.take(UInt8(ascii: " ")), let second = reader.time(), reader.take(UInt8(ascii: " ")),
            let year = reader.digits(4...4), reader.isAtEnd
        else { return nil }
        return seconds(year, month, day, second)
    }

    /// Appends the 29 bytes of an IMF-fixdate. Years beyond 9999 are written as 9999's last second.
    public static func append(_ unixSeconds: Int64, to output: inout [UInt8]) {
        let bounded = min(max(unixSeconds, -62_135_596_800), 253_402_300_799)
        let second = Int(((bounded % 86_400) + 86_400) % 86_400)
        let days = Int((bounded - Int64(second)) / 86_400)
        let (year, month, day) = civil(days)
        let weekday = ((days % 7) + 11) % 7
        append(weekdays, 3 * weekday, to: &output)
        output.append(UInt8(ascii: ","))
        output.append(0x20)
        two(day, &output)
        output.append(0x20)
        append(months, 3 * (month - 1), to: &output)
        output.append(0x20)
        two(year / 100, &output)
        two(year % 100, &output)
        output.append(0x20)
        two(second / 3600, &output)
        output.append(UInt8(ascii: ":"))
        two(second / 60 % 60, &output)
        output.append(UInt8(ascii: ":"))
        two(second % 60, &output)
        for byte in " GMT".utf8 { output.append(byte) }
    }

    private static let weekdays: StaticString = "SunMonTueWedThuFriSat"
    private static let months: StaticString = "JanFebMarAprMayJunJulAugSepOctNovDec"

    private static func append(_ table: StaticString, _ start: Int, to output: inout [UInt8]) {
        for offset in 0..<3 { output.append(table.utf8Start[start + offset]) }
    }

    private static func two(_ value: Int, _ output: inout [UInt8]) {
        output.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value / 10 % 10))
        output.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value % 10))
    }

    private static func isWeekday(_ name: Span<UInt8>) -> Bool {
        let long: [StaticString] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
        let short: [StaticString] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        return long.contains { ASCII.equals(name, $0) } || short.contains { ASCII.equals(name, $0) }
    }

    private static func seconds(_ year: Int, _ month: Int, _ day: Int, _ second: Int) -> Int64? {
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard year >= 1, (1...12).contains(month), day >= 1, day <= lengths[month - 1] else { return nil }
        return Int64(days(year, month, day)) * 86_400 + Int64(second)
    }

    /// Days since 1970-01-01 of a date in the Gregorian calendar. Years are counted from March, so that the leap day is the last
    /// of its year; eras are 400 years of 146,097 days.
    private static func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    /// The date of a day counted from 1970-01-01; the inverse of ``days(_:_:_:)``.
    public static func civil(_ days: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }

    /// A cursor over the bytes of a date.
    private struct Reader: ~Escapable {
        let bytes: Span<UInt8>
        var position = 0

        @_lifetime(copy bytes)
        init(bytes: Span<UInt8>) {
            self.bytes = bytes
        }

        var isAtEnd: Bool { position == bytes.count }
        var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

        @_lifetime(self: copy self)
        mutating func take(_ byte: UInt8) -> Bool {
            guard peek == byte else { return false }
            position += 1
            return true
        }

        @_lifetime(self: copy self)
        mutating func letters() -> Range<Int>? {
            let start = position
            while position < bytes.count, ASCII.lowercased(bytes[position]) &- 0x61 < 26 { position += 1 }
            return position > start ? start..<position : nil
        }

        @_lifetime(self: copy self)
        mutating func digits(_ counts: ClosedRange<Int>) -> Int? {
            let start = position
            var value = 0
            while position < bytes.count, position - start < counts.upperBound, ASCII.isDigit(bytes[position]) {
                value = value * 10 + Int(bytes[position] &- 0x30)
                position += 1
            }
            return counts.contains(position - start) ? value : nil
        }

        @_lifetime(self: copy self)
        mutating func month() -> Int? {
            guard position + 3 <= bytes.count else { return nil }
            for month in 0..<12 {
                var isSame = true
                for offset in 0..<3 where ASCII.lowercased(bytes[position + offset]) != ASCII.lowercased(months.utf8Start[3 * month + offset]) {
                    isSame = false
                }
                if isSame {
                    position += 3
                    return month + 1
                }
            }
            return nil
        }

        /// `HH:MM:SS` as seconds of the day; a leap second counts as the one before.
        @_lifetime(self: copy self)
        mutating func time() -> Int? {
            guard let hour = digits(2...2), hour < 24, take(UInt8(ascii: ":")), let minute = digits(2...2), minute < 60,
                take(UInt8(ascii: ":")), let second = digits(2...2), second <= 60
            else { return nil }
            return hour * 3600 + minute * 60 + min(second, 59)
        }

        @_lifetime(self: copy self)
        mutating func word(_ word: StaticString) -> Bool {
            guard position + word.utf8CodeUnitCount <= bytes.count,
                ASCII.equals(bytes.extracting(position..<position + word.utf8CodeUnitCount), word)
            else { return false }
            position += word.utf8CodeUnitCount
            return true
        }
    }
}
