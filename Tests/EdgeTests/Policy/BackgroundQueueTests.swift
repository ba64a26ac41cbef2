import NIOCore
import Testing

@testable import Edge

@Suite struct BackgroundQueueTests {
    private let t0 = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func describe(_ next: BackgroundQueue<Int>.Next) -> String {
        switch next {
        case .run(let job): "run \(job)"
        case .rest(let until): "rest \((until - t0).nanoseconds / 1_000_000) ms"
        case .wait: "wait"
        case .stop: "stop"
        }
    }

    @Test func `jobs run in their order, and without one the worker waits`() {
        var queue = BackgroundQueue<Int>(countMax: 4, bytesMax: 100, share: 1)
        #expect(describe(queue.next(now: t0)) == "wait")
        for job in 1...3 { #expect(queue.submitted(job, bytes: 10) == .accepted) }
        #expect((1...4).map { _ in describe(queue.next(now: t0)) } == ["run 1", "run 2", "run 3", "wait"])
        #expect(queue.waitingBytes == 0)
    }

    @Test func `a job that took 10 ms is followed by a rest of 30 ms at a quarter of a core`() {
        var queue = BackgroundQueue<Int>(countMax: 4, bytesMax: 100, share: 0.25)
        for job in 1...2 { _ = queue.submitted(job, bytes: 1) }
        _ = queue.next(now: t0)
        queue.jobFinished(cpuTime: .milliseconds(10), now: t0)
        #expect(describe(queue.next(now: t0)) == "rest 30 ms")
        #expect(describe(queue.next(now: t0 + .nanoseconds(29_999_999))) == "rest 30 ms")
        #expect(describe(queue.next(now: t0 + .milliseconds(30))) == "run 2")
    }

    @Test(arguments: [0.05, 0.25, 0.5, 1.0]) func `over a long time the share is kept`(share: Double) {
        var queue = BackgroundQueue<Int>(countMax: 1, bytesMax: 100, share: share)
        var (now, used) = (t0, TimeAmount.zero)
        for job in 0..<200 {
            _ = queue.submitted(job, bytes: 1)
            if case .rest(let until) = queue.next(now: now) {
                now = until
                _ = queue.next(now: now)
            }
            let work = TimeAmount.milliseconds(Int64(1 + job % 7))
            (now, used) = (now + work, used + work)
            queue.jobFinished(cpuTime: work, now: now)
        }
        if case .rest(let until) = {
            _ = queue.submitted(0, bytes: 1)
            return queue.next(now: now)
        }() {
            now = until
        }
        #expect(Double(used.nanoseconds) / Double((now - t0).nanoseconds) <= share * 1.001)
    }

    @Test func `it holds as many jobs as it may, and one more is refused`() {
        var queue = BackgroundQueue<Int>(countMax: 3, bytesMax: 100, share: 1)
        #expect((1...4).map { queue.submitted($0, bytes: 1) } == [.accepted, .accepted, .accepted, .full])
        _ = queue.next(now: t0)
        #expect(queue.submitted(5, bytes: 1) == .accepted)
    }

    @Test func `it holds as many bytes as it may, and one more is refused`() {
        var queue = BackgroundQueue<Int>(countMax: 10, bytesMax: 100, share: 1)
        #expect(queue.submitted(1, bytes: 60) == .accepted)
        #expect(queue.submitted(2, bytes: 41) == .tooManyBytes)
        #expect(queue.submitted(3, bytes: 40) == .accepted)
        #expect(queue.waitingBytes == 100)
    }

    @Test(arguments: [0, -1, Double.nan]) func `with a share of nothing it takes no jobs`(share: Double) {
        var queue = BackgroundQueue<Int>(countMax: 10, bytesMax: 100, share: share)
        #expect(queue.submitted(1, bytes: 1) == .closed)
    }

    @Test func `stopped, it gives back what waited and never runs again`() {
        var queue = BackgroundQueue<Int>(countMax: 10, bytesMax: 100, share: 1)
        for job in 1...2 { _ = queue.submitted(job, bytes: 1) }
        #expect(queue.stopped() == [1, 2])
        #expect(queue.submitted(3, bytes: 1) == .closed)
        #expect(describe(queue.next(now: t0)) == "stop")
    }
}
