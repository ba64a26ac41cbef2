import Dashboard

/// A line of crontab: refused with words, or due again and again, each time at a whole minute behind the last.
func checkSchedule(_ input: UnsafeBufferPointer<UInt8>) {
    let text = String(decoding: input, as: UTF8.self)
    do throws(CronExpression.Problem) {
        let expression = try CronExpression(text)
        precondition(expression.description == text)
        // The end of February of a leap year.
        var time: Int64 = 1_709_164_799
        for _ in 0..<8 {
            guard let next = expression.next(after: time) else { preconditionFailure("what was accepted is never due again") }
            precondition(next > time && next % 60 == 0, "due in the past, or within a minute")
            time = next
        }
        precondition(expression.next(after: time - 1) == time, "a moment is due that is none")
        for odd in [Int64.min, -1, 253_402_300_000, .max] { _ = expression.next(after: odd) }
    } catch {
        precondition(!error.description.isEmpty)
    }
}
