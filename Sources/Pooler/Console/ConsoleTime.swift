/// Moments as PgBouncer's console shows them.
enum ConsoleTime {
    /// `2026-01-31 12:00:00 UTC`.
    /// - Parameter nanoseconds: since 1970-01-01 UTC; times before are shown as the beginning.
    static func text(nanoseconds: Int64) -> String {
        let seconds = max(0, nanoseconds) / 1_000_000_000
        let (day, time) = (seconds / 86_400, seconds % 86_400)
        // The proleptic Gregorian calendar in years that begin in March: 400 of them have 146,097 days, and a leap day is the last one.
        let shifted = day + 719_468
        let (era, dayOfEra) = (shifted / 146_097, shifted % 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let dayOfMonth = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(year)-\(two(month))-\(two(dayOfMonth)) \(two(time / 3600)):\(two(time / 60 % 60)):\(two(time % 60)) UTC"
    }
}
