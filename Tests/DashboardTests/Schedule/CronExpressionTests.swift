import Foundation
import TestSupport
import Testing

@testable import Dashboard

@Suite struct CronExpressionTests {
    private func time(_ text: String) throws -> Int64 {
        Int64(try #require(ISO8601DateFormatter().date(from: text)).timeIntervalSince1970)
    }

    @Test(arguments: [
        ("0 * * * *", "2026-01-31T10:00:00Z", "2026-01-31T11:00:00Z"), ("0 * * * *", "2026-01-31T10:59:59Z", "2026-01-31T11:00:00Z"),
        ("@hourly", "2026-12-31T23:30:00Z", "2027-01-01T00:00:00Z"), ("*/15 * * * *", "2026-01-31T10:14:00Z", "2026-01-31T10:15:00Z"),
        ("30 3 * * sun", "2026-01-31T10:00:00Z", "2026-02-01T03:30:00Z"), ("30 3 * * 7", "2026-01-31T10:00:00Z", "2026-02-01T03:30:00Z"),
        ("30 3 * * 0", "2026-02-01T03:30:00Z", "2026-02-08T03:30:00Z"), ("0 0 29 feb *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("0 0 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"), ("0 8-18/5 * * 1-5", "2026-01-30T14:00:00Z", "2026-01-30T18:00:00Z"),
        ("0 8-18/5 * * mon-fri", "2026-01-30T18:00:00Z", "2026-02-02T08:00:00Z"),
        // Either kind of day, once both are restricted; a star that steps restricts nothing.
        ("0 0 13 * 5", "2026-01-31T00:00:00Z", "2026-02-06T00:00:00Z"), ("0 0 13 * 5", "2026-02-06T00:00:00Z", "2026-02-13T00:00:00Z"),
        ("0 0 13 * */7", "2026-01-31T00:00:00Z", "2026-09-13T00:00:00Z"), ("5/20 0 1 1 *", "2026-01-01T00:05:00Z", "2026-01-01T00:25:00Z"),
        ("1,59 23 31 12 *", "2026-12-31T23:01:00Z", "2026-12-31T23:59:00Z"),
    ])
    func `the next time`(text: String, after: String, next: String) throws {
        #expect(try CronExpression(text).next(after: time(after)) == (try time(next)))
    }

    @Test(arguments: [
        "", "*", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *", "* * * * 8", "5-1 * * * *", "*/0 * * * *",
        "*/ * * * *", "1,,2 * * * *", "-1 * * * *", "1- * * * *", "a * * * *", "* * * foo *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "@yesterday", "1/2/3 * * * *",
        "٣ * * * *", "+1 * * * *", "99999999999999999999 * * * *",
    ])
    func `what is none is refused in words`(text: String) {
        let error = #expect(throws: CronExpression.Problem.self) { try CronExpression(text) }
        #expect(error?.description.isEmpty == false)
    }

    @Test func `any bytes are refused or have times that rise, each on a minute`() {
        var random = SeededRandom(seed: 8)
        let letters = Array("0123456789*/,-  \tjanmonSUN@é\0")
        var accepted = 0
        for _ in 0..<20_000 {
            let text = String((0..<Int.random(in: 0...24, using: &random)).compactMap { _ in letters.randomElement(using: &random) })
            let fields = (0..<5).map { _ in
                Bool.random(using: &random) ? "*" : "\(Int.random(in: 0...12, using: &random))-\(Int.random(in: 8...30, using: &random))/\(Int.random(in: 0...9, using: &random))"
            }.joined(separator: " ")
            for text in [text, fields] {
                guard let cron = try? CronExpression(text) else { continue }
                accepted += 1
                let begin = Int64.random(in: 0...4_000_000_000, using: &random)
                guard let first = cron.next(after: begin), let second = cron.next(after: first) else {
                    Issue.record("\(text) has no time behind \(begin)")
                    continue
                }
                #expect(begin < first && first < second && first % 60 == 0 && second % 60 == 0, "\(text)")
                #expect(cron.next(after: first - 1) == first, "\(text)")
            }
        }
        #expect(accepted > 100, "\(accepted)")
    }

    @Test func `moments out of the calendar have no next one`() throws {
        let cron = try CronExpression("@hourly")
        for time in [Int64.min, -1, .max, 253_402_300_001] { #expect(cron.next(after: time) == nil) }
    }
}
