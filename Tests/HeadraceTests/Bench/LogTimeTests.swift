import Testing

@testable import headrace

@Suite struct LogTimeTests {
    @Test(arguments: [
        ("10/Oct/2000:13:55:36 -0700", 971_211_336.0), ("10/Oct/2000:13:55:36 +0000", 971_186_136), ("2026-01-31T12:00:00.123Z", 1_769_860_800.123),
        ("2026-01-31T13:00:00+01:00", 1_769_860_800), ("1769860800.5", 1_769_860_800.5), ("1970-01-01T00:00:00Z", 0), ("29/Feb/2024:00:00:00 +0000", 1_709_164_800),
    ])
    func `the times of the usual logs are read`(text: String, expected: Double) {
        #expect(LogTime.seconds(text).map { abs($0 - expected) < 1e-6 } == true, "\(LogTime.seconds(text) ?? -1)")
    }

    @Test(arguments: ["", "d", "-", "10/Foo/2000:13:55:36 -0700", "10/Oct/2000:13:55", "2026-01-31", "2026-13-31T12:00:00Z", "99999999-01-01T00:00:00Z", "inf", "-5", "nan", "1e300", "253402300800", "31/Dec/9999:23:59:60 -2359"])
    func `anything else is no time`(text: String) { #expect(LogTime.seconds(text) == nil) }

    @Test func `requests of one second are spread over it, and the speed shortens all`() {
        let (order, offsets) = LogTime.schedule([100, 101, 100, 103], speed: 2)
        #expect(order == [0, 2, 1, 3] && offsets == [0, 0.25, 0.5, 1.5])
        // A log that knows parts of a second is taken at its word.
        #expect(LogTime.schedule([100.5, 100.5, 100.25], speed: 1).offsets == [0, 0.25, 0.25])
        #expect(LogTime.schedule([], speed: 1).offsets == [])
    }

    @Test func `a line says when it was`() {
        #expect(AccessLogLine(#"1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 5"#)?.time == 971_211_336)
        #expect(AccessLogLine(#"{"time":"2026-01-31T12:00:00Z","method":"GET","target":"/a"}"#)?.time == 1_769_860_800)
        #expect(AccessLogLine(#"{"msec":1769860800.5,"request":"GET /a HTTP/1.1"}"#)?.time == 1_769_860_800.5)
        #expect(AccessLogLine(#"1.2.3.4 - - [d] "GET /a HTTP/1.0" 200 5"#)?.time == nil)
    }
}
