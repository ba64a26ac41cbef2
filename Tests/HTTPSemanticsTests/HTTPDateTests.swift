import TestSupport
import Testing

@testable import HTTPSemantics

@Suite struct HTTPDateTests {
    private func parse(_ text: String) -> Int64? { HTTPDate.parse(Array(text.utf8).span) }

    private func format(_ seconds: Int64) -> String {
        var output: [UInt8] = []
        HTTPDate.append(seconds, to: &output)
        return String(decoding: output, as: UTF8.self)
    }

    /// RFC 9110 §5.6.7: the same moment in three formats.
    @Test(arguments: ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"])
    func `the RFC's three examples are one moment`(text: String) {
        #expect(parse(text) == 784_111_777)
    }

    @Test(
        arguments: [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
            ("Tue, 19 Jan 2038 03:14:08 GMT", 2_147_483_648),
            ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400), ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
            ("Mon, 01 Jan 0001 00:00:00 GMT", -62_135_596_800), ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_799),
            // In any case, a day of one digit, and a weekday that is not the date's.
            ("sUN, 06 nOV 1994 08:49:37 gmt", 784_111_777), ("Sun, 6 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Mon, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Sun Nov 06 08:49:37 1994", 784_111_777), ("Sun Nov 16 08:49:37 1994", 784_975_777),
            ("Saturday, 01-Jan-00 00:00:00 GMT", 946_684_800),
        ] as [(String, Int64)])
    func `dates are seconds since 1970`(text: String, seconds: Int64) {
        #expect(parse(text) == seconds)
    }

    @Test(arguments: [(0, 2000), (24, 2024), (69, 2069), (70, 1970), (94, 1994), (99, 1999)] as [(Int, Int)])
    func `a year of two digits is of this century up to 69, and of the last from 70 on`(short: Int, year: Int) {
        let digits = short < 10 ? "0\(short)" : "\(short)"
        #expect(parse("Monday, 01-Mar-\(digits) 00:00:00 GMT") == parse("Mon, 01 Mar \(year) 00:00:00 GMT"))
        #expect(parse("Monday, 01-Mar-\(digits) 00:00:00 GMT") != nil)
    }

    @Test(arguments: [
        "", "0", "-1", "now", "Sun", "Sun,", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37 GMT ", " Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMTx",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT", "Tue, 29 Feb 1900 00:00:00 GMT", "Wed, 29 Feb 2023 00:00:00 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT", "Sun, 06-Nov-1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37",
        "Sun, 06 Nov-1994 08:49:37 GMT",
        "Sun, 006 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 19940 08:49:37 GMT", "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun 06 Nov 1994 08:49:37 GMT",
        "Sun,06 Nov 1994 08:49:37 GMT", "Sun,  06 Nov 1994 08:49:37 GMT", "Sol, 06 Nov 1994 08:49:37 GMT",
        "Sundays, 06 Nov 1994 08:49:37 GMT",
        "Sun Nov  6 08:49:37 94", "Sun Nov   6 08:49:37 1994", "Sun Nov  6 08:49:37 1994 GMT", "1994-11-06T08:49:37Z",
        "06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:3\u{661} GMT", "Sun, 06 Nov -994 08:49:37 GMT",
    ])
    func `what is no date is none`(text: String) {
        #expect(parse(text) == nil)
    }

    @Test func `a date cut short anywhere is none`() {
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            for count in 0..<text.utf8.count { #expect(parse(String(text.prefix(count))) == nil, "\(text.prefix(count))") }
        }
    }

    // MARK: Writing

    @Test(
        arguments: [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"), (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (.max, "Fri, 31 Dec 9999 23:59:59 GMT"), (-62_135_596_800, "Mon, 01 Jan 0001 00:00:00 GMT"),
            (.min, "Mon, 01 Jan 0001 00:00:00 GMT"),
        ] as [(Int64, String)])
    func `a date is written as an IMF-fixdate`(seconds: Int64, text: String) {
        #expect(format(seconds) == text)
    }

    @Test func `what is written is read back, for every day of 500 years and random seconds of all years`() {
        for day in -140_000..<45_000 as Range<Int64> where day % 7 == 0 || abs(day) < 800 {
            let seconds = day * 86_400 + 43_201
            guard parse(format(seconds)) == seconds else {
                Issue.record("day \(day): \(format(seconds))")
                return
            }
        }
        var random = SeededRandom(seed: 1)
        for _ in 0..<3000 {
            let seconds = Int64.random(in: -62_135_596_800...253_402_300_799, using: &random)
            #expect(parse(format(seconds)) == seconds)
        }
    }

    @Test func `the weekday goes round with the days`() {
        let names = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
        for day in -20...20 as ClosedRange<Int64> {
            #expect(format(day * 86_400).hasPrefix(names[Int((day % 7 + 7) % 7)] + ","))
        }
    }
}
