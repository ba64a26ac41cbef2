import Testing

@testable import Telemetry

@Suite struct CounterTests {
    @Test func `a counter starts at zero and grows by what is added`() {
        let counter = Counter()
        #expect(counter.value == 0)
        counter.add()
        counter.add(41)
        counter.add(0)
        #expect(counter.value == 42)
    }

    @Test func `a gauge goes up, down, below zero, and where it is set`() {
        let gauge = Gauge()
        gauge.add()
        gauge.add(4)
        gauge.subtract()
        #expect(gauge.value == 4)
        gauge.subtract(10)
        #expect(gauge.value == -6)
        gauge.set(7)
        #expect(gauge.value == 7)
    }

    @Test func `a gauge loses no change when several threads make them`() async {
        let gauge = Gauge()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    for _ in 0..<5000 { gauge.add(3) }
                    for _ in 0..<5000 { gauge.subtract(2) }
                }
            }
        }
        #expect(gauge.value == 20_000)
    }
}

@Suite struct LockTests {
    @Test func `one at a time changes what a lock holds`() async {
        final class Box: Sendable { let lock = Lock(0) }
        let box = Box()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 { group.addTask { for _ in 0..<5000 { box.lock.withLock { $0 += 1 } } } }
        }
        #expect(box.lock.withLock { $0 } == 20_000)
    }

    @Test func `an error passes through and unlocks`() {
        struct Fault: Error, Equatable {}
        let lock = Lock(1)
        #expect(throws: Fault()) { try lock.withLock { _ in throw Fault() } }
        #expect(lock.withLock { $0 } == 1)
    }
}

@Suite struct ClockTests {
    @Test func `the monotonic clock never goes back`() {
        var before = MonotonicClock.nanoseconds()
        for _ in 0..<1000 {
            let now = MonotonicClock.nanoseconds()
            #expect(now >= before)
            before = now
        }
    }

    @Test func `the wall clock counts nanoseconds since 1970`() {
        // Between 2024 and 2100: seconds, milli- and microseconds would all be outside.
        #expect((1_700_000_000_000_000_000...4_100_000_000_000_000_000).contains(WallClock.nanoseconds()))
    }

    @Test func `the process has taken CPU time, and takes more when it works`() {
        let before = ProcessClock.nanoseconds()
        var sum: UInt64 = 0
        for value in 0..<200_000 as Range<UInt64> { sum = sum &* 31 &+ value }
        #expect(sum != 0)
        #expect(before > 0 && ProcessClock.nanoseconds() > before)
    }
}
