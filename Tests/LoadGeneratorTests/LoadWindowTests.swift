import Testing

@testable import LoadGenerator

@Suite struct LoadWindowTests {
    @Test(arguments: [
        (UInt64(1000), LoadWindow.Admission.warmUp), (1099, .warmUp), (1100, .measured), (1299, .measured), (1300, .over),
    ])
    func `what begins behind the warm-up counts, until the time is over`(now: UInt64, admission: LoadWindow.Admission) {
        let window = LoadWindow(from: 1000, warmUp: .nanoseconds(100), duration: .nanoseconds(200))
        #expect(window.admission(at: now) == admission)
    }

    @Test func `a request counts by its beginning, a failure by its end as well`() {
        let window = LoadWindow(from: 1000, warmUp: .nanoseconds(100), duration: .nanoseconds(200))
        for isFailure in [false, true] {
            #expect(!window.counts(began: 1000, ended: 1099, isFailure: isFailure))
            #expect(window.counts(began: 1000, ended: 1100, isFailure: isFailure) == isFailure)
            #expect(window.counts(began: 1100, ended: 1101, isFailure: isFailure))
            #expect(window.counts(began: 1299, ended: 9999, isFailure: isFailure))
        }
    }

    @Test func `without warm-up the first request counts`() {
        #expect(LoadWindow(from: 7, warmUp: .zero, duration: .seconds(1)).admission(at: 7) == .measured)
    }

    @Test func `a duration beyond all bounds is cut, not trapped`() {
        let window = LoadWindow(from: UInt64(Int64.max), warmUp: .seconds(-1), duration: .seconds(Int64.max))
        #expect(window.measuredFrom == UInt64(Int64.max))
        #expect(window.end == window.measuredFrom + 100 * 86_400 * 1_000_000_000)
    }
}
