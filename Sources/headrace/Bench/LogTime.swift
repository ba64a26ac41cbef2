/// The time of an access log's line.
///
/// Read are Apache's `10/Oct/2000:13:55:36 -0700`, ISO 8601 as `2026-01-31T12:00:00.123Z` or with an offset, and seconds since 1970
/// (nginx' `$msec`).
enum LogTime {
    private static let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]

    /// The end of the year 9999: what is said to be later is no time of a request.
    static let secondsEnd = 253_402_300_800.0

    /// - Returns: seconds since 1970; `nil` for anything else.
    static func seconds(_ text: String) -> Double? {
        if let seconds = Double(text), seconds >= 0, seconds < secondsEnd { return seconds }
        let parts = text.split(whereSeparator: { "/:-+T. Z".contains($0) }).map(String.init)
        if text.contains("/"), parts.count >= 6, let month = months.firstIndex(of: parts[1].lowercased()) {
            return time([parts[2], "\(month + 1)", parts[0]] + parts[3...5], fraction: "", text)
        }
        guard text.contains("T"), parts.count >= 6 else { return nil }
        let fraction = text.split(separator: ".").dropFirst().first?.prefix { $0.isNumber } ?? ""
        return time(Array(parts[0..<6]), fraction: String(fraction), text)
    }

    /// - Parameter parts: year, month, day, hour, minute, second.
    private static func time(_ parts: [String], fraction: String, _ text: String) -> Double? {
        let numbers = parts.compactMap { Int($0) }
        guard numbers.count == 6, (1970...9999).contains(numbers[0]), (1...12).contains(numbers[1]), (1...31).contains(numbers[2]),
            (0...23).contains(numbers[3]), (0...59).contains(numbers[4]), (0...60).contains(numbers[5]), let offset = offset(text)
        else { return nil }
        let seconds = days(numbers[0], numbers[1], numbers[2]) * 86_400 + numbers[3] * 3600 + numbers[4] * 60 + numbers[5] - offset
        let time = Double(seconds) + (Double("0." + fraction) ?? 0)
        // An offset may lead out of the first year and the last.
        return time >= 0 && time < secondsEnd ? time : nil
    }

    /// Behind the time: `-0700`, `+01:00`, `Z`, or nothing, which is taken for UTC.
    private static func offset(_ text: String) -> Int? {
        guard let place = text.lastIndex(where: { $0 == "+" || $0 == "-" }) else { return 0 }
        let digits = text[text.index(after: place)...].filter { $0 != ":" }
        // A hyphen of the date.
        guard digits.count == 4, digits.allSatisfy(\.isNumber), text[..<place].contains(":") else { return 0 }
        guard let value = Int(digits), value % 100 < 60, value / 100 < 24 else { return nil }
        return (text[place] == "-" ? -1 : 1) * (value / 100 * 3600 + value % 100 * 60)
    }

    /// Since 1970-01-01, in the Gregorian calendar.
    /// - Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil.
    private static func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let year = month <= 2 ? year - 1 : year
        let era = year / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    /// When each line's request begins, from the first's: in the order of the times, `speed` times as fast. What was logged in the same second
    /// by a log that knows no parts of one is spread over it.
    /// - Returns: the places of the lines in that order, and their offsets in seconds.
    static func schedule(_ times: [Double], speed: Double) -> (order: [Int], offsets: [Double]) {
        let order = times.indices.sorted { (times[$0], $0) < (times[$1], $1) }
        guard let first = order.first.map({ times[$0] }) else { return ([], []) }
        let isWhole = times.allSatisfy { $0 == $0.rounded(.down) }
        var offsets: [Double] = []
        var index = 0
        while index < order.count {
            let time = times[order[index]]
            let count = isWhole ? order[index...].prefix { times[$0] == time }.count : 1
            for place in 0..<count { offsets.append((time - first + Double(place) / Double(count)) / speed) }
            index += count
        }
        return (order, offsets)
    }
}
