import NIOCore
import Testing

@testable import Pooler

@Suite struct DedicationTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    @Test func `it ends by itself, begins anew with each time that it is asked for, and rests after a failure`() {
        let dedication = Dedication(isAllowed: true)
        #expect(!dedication.isOn(Self.start))
        dedication.begin(for: .milliseconds(400), now: Self.start)
        #expect(dedication.isOn(Self.start + .milliseconds(399)) && !dedication.isOn(Self.start + .milliseconds(400)))
        dedication.begin(for: .milliseconds(400), now: Self.start + .milliseconds(300))
        #expect(dedication.isOn(Self.start + .milliseconds(600)) && dedication.mayConnect(Self.start + .milliseconds(600)))
        dedication.failed(Self.start)
        dedication.begin(for: .seconds(2), now: Self.start)
        #expect(dedication.isOn(Self.start) && !dedication.mayConnect(Self.start + .milliseconds(999)))
        #expect(dedication.mayConnect(Self.start + Dedication.retryDelay))
    }

    @Test func `without the configuration's word there is none`() {
        let dedication = Dedication(isAllowed: false)
        dedication.begin(for: .seconds(1), now: Self.start)
        #expect(!dedication.isOn(Self.start))
    }
}
