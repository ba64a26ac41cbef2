import Testing

@testable import LoadGenerator

@Suite struct PacerTests {
    private static let start: UInt64 = 1_000_000_000
    private static let ms: UInt64 = 1_000_000

    private func pacer(rate: Double = 1000, seconds: Double = 10, shape: ArrivalShape = .constant, timeout: UInt64 = 60_000_000_000) -> Pacer {
        Pacer(ArrivalSequence(RateProfile(steady: rate, seconds: seconds), shape: shape, seed: 3, start: Self.start), timeout: timeout)
    }

    /// Sends whatever may go out, asking every 100 µs from one time to another.
    private func sends(_ pacer: inout Pacer, from: UInt64, to: UInt64) -> [(at: UInt64, intended: UInt64)] {
        var sends: [(at: UInt64, intended: UInt64)] = []
        var now = from
        while now < to {
            while case .send(let intended, _) = pacer.step(now: now) {
                sends.append((now, intended))
                pacer.taken(now: now)
            }
            now += 100_000
        }
        return sends
    }

    @Test(arguments: ArrivalShape.allCases)
    func `on time, each goes out at its intended start and none is left out`(shape: ArrivalShape) {
        var pacer = pacer(shape: shape)
        var sequence = ArrivalSequence(RateProfile(steady: 1000, seconds: 10), shape: shape, seed: 3, start: Self.start)
        var now = Self.start
        while true {
            switch pacer.step(now: now) {
            case .wait(let until): now = until
            case .send(let intended, let released):
                #expect(intended == sequence.next() && released == intended && now == intended)
                pacer.taken(now: now)
                continue
            case .over:
                #expect(sequence.next() == nil)
                return
            case .expire: Issue.record("nothing was late")
            }
        }
    }

    @Test func `asking changes nothing`() {
        let pacer = pacer()
        #expect(pacer.step(now: Self.start - 1) == .wait(until: Self.start))
        #expect(pacer.step(now: Self.start) == pacer.step(now: Self.start))
    }

    @Test(arguments: ArrivalShape.allCases)
    func `after a gap the backlog goes out at one and a half times the rate, never at once`(shape: ArrivalShape) {
        var pacer = pacer(shape: shape)
        let before = sends(&pacer, from: Self.start, to: Self.start + 1000 * Self.ms)
        // Nothing can be sent for a second, then all is possible again.
        let after = sends(&pacer, from: Self.start + 2000 * Self.ms, to: Self.start + 9900 * Self.ms)
        #expect(abs(before.count - 1000) < 100)
        // No window of 100 ms has more than 1.5 times its share, and what may go out at once; Poisson's own clusters besides.
        let share = Int(1.5 * 110 * (shape == .constant ? 1 : 1.35)) + 2
        for (index, first) in after.enumerated() where index + share < after.count {
            #expect(after[index + share].at - first.at >= 100 * Self.ms)
        }
        // A second's backlog at half a rate's surplus takes two seconds more: on time from the fifth on.
        let late = after.filter { $0.at > Self.start + 4500 * Self.ms }
        #expect(late.allSatisfy { $0.at - $0.intended <= 5 * Self.ms })
        let isOrdered = zip(after, after.dropFirst()).allSatisfy { $0.intended <= $1.intended }
        #expect(isOrdered)
        #expect(after.first?.intended ?? 0 < Self.start + 1100 * Self.ms, "what was due is not forgotten")
    }

    @Test func `a request that could not be sent in its time expires, at its time and not before`() {
        let pacer = pacer(timeout: 50 * Self.ms)
        #expect(pacer.step(now: Self.start + 50 * Self.ms - 1) == .send(intended: Self.start, released: Self.start))
        #expect(pacer.step(now: Self.start + 50 * Self.ms) == .expire(intended: Self.start))
    }

    @Test func `expired requests are gone through at once, whatever the pace`() {
        var pacer = pacer(timeout: 50 * Self.ms)
        var expired = 0
        while case .expire = pacer.step(now: Self.start + 1000 * Self.ms) {
            expired += 1
            pacer.taken(now: Self.start + 1000 * Self.ms)
        }
        #expect(expired == 951)
    }

    @Test func `an ended pacer is over`() {
        #expect(pacer().ended().step(now: Self.start) == .over)
        #expect(pacer().ended().nextIntended == .max)
    }
}
