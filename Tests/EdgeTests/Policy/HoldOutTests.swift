import HTTPSemantics
import TestSupport
import Testing

@testable import Edge

@Suite struct HoldOutTests {
    @Test(arguments: [
        ([], true), (["Authorization: Basic x"], false), (["Cookie: a=b"], false), (["Range: bytes=0-1"], false), (["If-None-Match: \"a\""], true),
    ])
    func `nobody's own request takes part`(fields: [String], expected: Bool) throws {
        #expect(HoldOut.mayTakePart(try .get("/", fields)) == expected)
    }

    @Test(arguments: ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"]) func `nor does one that may change something`(method: String) throws {
        #expect(!HoldOut.mayTakePart(try .parsed("\(method) / HTTP/1.1")))
    }

    @Test func `the share that is drawn is the one that was asked for`() {
        #expect(HoldOutThrow(ProofConfiguration()) == nil)
        for share in [0.01, 0.25, 1] {
            var configuration = ProofConfiguration()
            configuration.holdOutShare = share
            guard let draw = HoldOutThrow(configuration) else {
                Issue.record("none is drawn of \(share)")
                continue
            }
            var random = SeededRandom(seed: 7)
            let count = (0..<20_000).count { _ in draw.isPast(random.next()) }
            #expect(abs(Double(count) / 20_000 - share) < 0.01, "\(share): \(count)")
        }
    }

    /// How it works: 1. A world is a mix of fast and slow pages, whose times wander. 2. Each request is drawn, and those that go past the layer
    /// take as much longer as the layer is worth. 3. Over many worlds, intervals must hold the truth as often as they say.
    @Test func `the interval holds what the layer is worth in nineteen worlds of twenty`() {
        let truth = 0.4
        var held = 0
        let worlds = 400
        for world in 0..<worlds {
            var random = SeededRandom(seed: UInt64(world) &* 7919 &+ 3)
            func unit() -> Double { Double(random.next() >> 11) * 0x1p-53 }
            var figures = HoldOut.Figures(layer: .responseCache)
            var drift = 1.0
            for _ in 0..<3000 {
                drift = min(max(drift * (0.98 + 0.04 * unit()), 0.5), 2)
                let page = unit() < 0.3 ? 0.2 : 0.01
                let isPast = unit() < 0.1
                let seconds = page * drift * (0.5 + unit()) * (isPast ? 1 : truth)
                figures.ended(isPast: isPast, status: 200, seconds: seconds, bytes: 100)
            }
            guard let estimate = figures.estimate else { continue }
            if estimate.low <= truth - 1, truth - 1 <= estimate.high { held += 1 }
        }
        #expect(Double(held) >= 0.93 * Double(worlds), "\(held) of \(worlds)")
    }

    @Test func `too few say nothing, failures and clients that left count as no time`() {
        var figures = HoldOut.Figures(layer: .compression)
        for index in 0..<100 { figures.ended(isPast: index < 29, status: 200, seconds: 0.1, bytes: 10) }
        #expect(figures.estimate == nil)
        figures.ended(isPast: true, status: 502, seconds: 9, bytes: 0)
        figures.ended(isPast: true, status: 499, seconds: 9, bytes: 0)
        #expect(figures.past.failed == 1 && figures.past.requests == 29 && figures.past.bodyBytes == 290)
        figures.ended(isPast: true, status: 200, seconds: 0.1, bytes: 10)
        #expect(figures.estimate.map { abs($0.middle) < 1e-9 } == true)
    }
}
