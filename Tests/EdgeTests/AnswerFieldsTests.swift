import HTTPSemantics
import NIOCore
import Testing

@testable import Edge

@Suite struct AnswerFieldsTests {
    private func exchange(_ change: (inout Exchange) -> Void) -> Exchange {
        var exchange = Exchange(
            started: .uptimeNanoseconds(1_000_000), trace: TraceParent(traceID: (1, 1), parentID: 1, flags: 0))
        change(&exchange)
        return exchange
    }

    private func cacheStatus(_ change: (inout Exchange) -> Void) -> String {
        var buffer = ByteBuffer()
        exchange(change).appendCacheStatus(to: &buffer)
        return String(buffer: buffer)
    }

    @Test func `Cache-Status says how the answer came about (RFC 9211 §2)`() {
        #expect(
            cacheStatus {
                $0.cacheResult = .hit
                $0.secondsFresh = 27
            } == "Cache-Status: headrace; hit; ttl=27\r\n")
        #expect(
            cacheStatus {
                $0.cacheResult = .miss
                $0.isStored = true
            } == "Cache-Status: headrace; fwd=uri-miss; stored\r\n")
        #expect(
            cacheStatus {
                $0.cacheResult = .miss
                $0.reason = .notStored(.noStore)
            } == "Cache-Status: headrace; fwd=uri-miss; detail=no-store\r\n")
        #expect(
            cacheStatus {
                $0.cacheResult = .stale
                $0.isStored = true
                $0.reason = .forwarded(.expired)
            } == "Cache-Status: headrace; fwd=stale; stored; detail=expired\r\n")
        #expect(cacheStatus { $0.cacheResult = .revalidated } == "Cache-Status: headrace; fwd=stale; fwd-status=304\r\n")
        #expect(
            cacheStatus {
                $0.cacheResult = .stale
                $0.isForwardedOnRequest = true
            } == "Cache-Status: headrace; fwd=request\r\n")
        #expect(cacheStatus { $0.cacheResult = .coalesced } == "Cache-Status: headrace; fwd=uri-miss; collapsed\r\n")
        #expect(
            cacheStatus {
                $0.cacheResult = .bypass
                $0.reason = .bypass(.method)
            } == "Cache-Status: headrace; fwd=method; detail=method\r\n")
        #expect(
            cacheStatus {
                $0.cacheResult = .bypass
                $0.reason = .bypass(.disabled)
            } == "Cache-Status: headrace; fwd=bypass; detail=disabled\r\n")
    }

    @Test func `what is served stale is a hit whose lifetime is below zero (RFC 9211 §2.2)`() {
        let value = cacheStatus {
            $0.cacheResult = .servedStale
            $0.secondsFresh = -7
            $0.reason = .servedStale(.whileRevalidate)
        }
        #expect(value == "Cache-Status: headrace; hit; ttl=-7; detail=stale-while-revalidate\r\n")
    }

    @Test func `what the edge made itself was neither hit nor forwarded (RFC 9211 §2)`() {
        #expect(cacheStatus { $0.reason = .edge(.noRoute) } == "Cache-Status: headrace; detail=no-route\r\n")
    }

    @Test(arguments: Exchange.CacheResult.allCases) func `hit and fwd exclude each other (RFC 9211 §2.2)`(
        result: Exchange.CacheResult
    ) {
        let value = cacheStatus { $0.cacheResult = result }
        #expect(!(value.contains("; hit") && value.contains("; fwd")))
        #expect("\(result.word)" == result.rawValue)
    }

    @Test func `Server-Timing says how long the edge and the application took`() {
        var buffer = ByteBuffer()
        exchange { _ in }.appendServerTiming(now: .uptimeNanoseconds(1_021_000), to: &buffer)
        #expect(String(buffer: buffer) == "Server-Timing: edge;dur=0.021\r\n")
        buffer.clear()
        exchange {
            $0.stages.entered(.queue, now: .uptimeNanoseconds(1_040_000))
            $0.stages.entered(.connect, now: .uptimeNanoseconds(1_040_000))
            $0.stages.entered(.firstByte, now: .uptimeNanoseconds(1_400_000))
            $0.stages.entered(.write, now: .uptimeNanoseconds(13_700_999))
            $0.stages.compressed(nanoseconds: 200_000)
        }.appendServerTiming(now: .uptimeNanoseconds(14_000_000), to: &buffer)
        let stages = "lookup;dur=0.040, connect;dur=0.360, first_byte;dur=12.300, compress;dur=0.200, write;dur=0.099"
        #expect(String(buffer: buffer) == "Server-Timing: edge;dur=13.000, \(stages)\r\n")
    }
}
