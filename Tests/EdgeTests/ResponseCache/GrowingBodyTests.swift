import HTTPSemantics
import NIOCore
import Synchronization
import Testing

@testable import Edge

@Suite struct GrowingBodyTests {
    private final class Count: Sendable {
        let value = Atomic<Int>(0)
        func add() { value.add(1, ordering: .relaxed) }
        var now: Int { value.load(ordering: .relaxed) }
    }

    /// All that a reader can have now, and what stopped it.
    private func read(_ body: GrowingBody, _ id: UInt64) -> String {
        var text = ""
        while true {
            switch body.next(id) {
            case .part(let part): text += String(buffer: part)
            case .wait: return text
            case .end: return text + "."
            case .broken: return text + "!"
            }
        }
    }

    @Test func `a reader gets what is there at once, and the rest as it comes`() throws {
        let body = GrowingBody {}
        body.append(ByteBuffer(string: "ab"))
        let woken = Count()
        let id = try #require(body.join { woken.add() })
        #expect(read(body, id) == "ab")
        body.append(ByteBuffer(string: "cd"))
        #expect(woken.now == 0)
        body.wake()
        body.wake()
        #expect(woken.now == 1, "once for each time that it waits")
        #expect(read(body, id) == "cd")
        body.end(trailers: nil)
        #expect(woken.now == 2 && read(body, id) == ".")
        #expect(String(buffer: body.joined()) == "abcd" && body.isWhole)
        let late = try #require(body.join {})
        #expect(read(body, late) == "abcd.")
    }

    @Test func `who still reads when all is there reads what is stored`() throws {
        let body = GrowingBody {}
        let id = try #require(body.join {})
        for part in ["ab", "c", "def"] { body.append(ByteBuffer(string: part)) }
        _ = body.next(id)
        body.end(trailers: nil, whole: ByteBuffer(string: "ABCDEF"))
        #expect(read(body, id) == "CDEF.", "the rest, from the other memory")
        let other = GrowingBody {}
        let reader = try #require(other.join {})
        other.append(ByteBuffer(string: "ab"))
        other.end(trailers: nil, whole: ByteBuffer(string: "ABC"))
        #expect(read(other, reader) == "ab.", "what has another length is not the same")
    }

    @Test func `a broken body is never whole`() throws {
        let body = GrowingBody {}
        let id = try #require(body.join {})
        body.append(ByteBuffer(string: "ab"))
        body.fail(.readTimeout)
        #expect(read(body, id) == "ab!" && !body.isWhole)
    }

    @Test func `readers at their own paces get the same bytes`() throws {
        let body = GrowingBody {}
        let (fast, slow) = (try #require(body.join {}), try #require(body.join {}))
        var (fastText, slowText) = ("", "")
        for number in 0..<100 {
            body.append(ByteBuffer(string: "\(number) "))
            fastText += read(body, fast)
            if number % 7 == 0, case .part(let part) = body.next(slow) { slowText += String(buffer: part) }
        }
        body.end(trailers: nil)
        fastText += read(body, fast)
        slowText += read(body, slow)
        #expect(fastText == slowText && fastText.hasSuffix("99 ."))
    }

    @Test func `what is kept no more is dropped when all have read it, and nobody begins in its middle`() throws {
        let room = Count()
        let body = GrowingBody { room.add() }
        let id = try #require(body.join {})
        let piece = ByteBuffer(repeating: 7, count: 256 << 10)
        body.append(piece)
        #expect(body.keepNoMore() && body.hasRoom)
        for _ in 0..<4 { body.append(piece) }
        #expect(!body.hasRoom, "the one who appends waits for the slowest reader")
        #expect(room.now == 0)
        for _ in 0..<2 { _ = body.next(id) }
        #expect(room.now == 1 && body.hasRoom)
        #expect(body.join {} == nil)
        body.leave(id)
        #expect(room.now == 2 && !body.hasReaders, "nobody reads any more")
    }

    @Test func `as long as all is kept nobody waits for a reader`() throws {
        let body = GrowingBody {}
        _ = body.join {}
        for _ in 0..<100 { body.append(ByteBuffer(repeating: 7, count: 64 << 10)) }
        #expect(body.hasRoom)
    }
}
