import Testing

@testable import Pooler

@Suite struct ConsoleTimeTests {
    /// By date -u -d @SECONDS.
    @Test(arguments: [
        (Int64(0), "1970-01-01 00:00:00 UTC"), (951_782_399, "2000-02-28 23:59:59 UTC"), (951_782_400, "2000-02-29 00:00:00 UTC"),
        (951_868_800, "2000-03-01 00:00:00 UTC"), (1_735_689_599, "2024-12-31 23:59:59 UTC"), (1_735_689_600, "2025-01-01 00:00:00 UTC"),
        (4_107_542_400, "2100-03-01 00:00:00 UTC"), (-1, "1970-01-01 00:00:00 UTC"),
    ])
    func `a moment is shown by the calendar`(seconds: Int64, text: String) {
        #expect(ConsoleTime.text(nanoseconds: seconds * 1_000_000_000) == text)
    }
}
