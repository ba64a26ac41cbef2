import HTTPSemantics
import NIOCore
import Synchronization
import TestSupport
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
        #expect(String(buffer: body.stored().joined()) == "abcd" && body.isWhole)
        let late = try #require(body.join {})
        #expect(read(body, late) == "abcd.")
    }

    @Test func `who still reads when all is there reads what is stored`() throws {
        let body = GrowingBody {}
        let id = try #require(body.join {})
        for part in ["ab", "c", "def"] { body.append(ByteBuffer(string: part)) }
        _ = body.next(id)
        let stored = body.stored()
        body.end(trailers: nil)
        #expect(stored.pieces.isEmpty && String(buffer: stored.whole) == "abcdef")
        guard case .part(let rest) = body.next(id) else {
            Issue.record("must have more")
            return
        }
        #expect(String(buffer: rest) == "cdef" && isSameMemory(rest, stored.whole))
    }

    private func isSameMemory(_ part: ByteBuffer, _ whole: ByteBuffer) -> Bool {
        part.withVeryUnsafeBytes { $0.baseAddress } == whole.withVeryUnsafeBytes { $0.baseAddress }
    }

    /// Byte N is N modulo 251, which no piece's length is a multiple of.
    private func part(_ range: Range<Int>) -> ByteBuffer { ByteBuffer(bytes: range.map { UInt8($0 % 251) }) }

    @Test func `a large body is pieces, which readers in the middle of them read on, and none is large`() throws {
        let body = GrowingBody {}
        let readers = try (0..<4).map { _ in try #require(body.join {}) }
        var read = [[UInt8]](repeating: [], count: 4)
        var (end, random) = (0, SeededRandom(seed: 5))
        func readOn(_ reader: Int) -> Bool {
            guard case .part(let next) = body.next(readers[reader]) else { return false }
            read[reader] += Array(buffer: next)
            return true
        }
        while end < 3 << 20 {
            let count = Int.random(in: 1...90_000, using: &random)
            body.append(part(end..<end + count))
            end += count
            for reader in 0..<4 where random.chance(oneIn: reader + 1) { _ = readOn(reader) }
        }
        let stored = body.stored()
        body.end(trailers: nil)
        for reader in 0..<4 {
            while readOn(reader) {}
            #expect(read[reader] == (0..<end).map { UInt8($0 % 251) }, "reader \(reader)")
        }
        #expect(stored.byteCount == end && stored.pieces.count >= 8)
        #expect(stored.pieces.allSatisfy { $0.storageCapacity < 2 * StoredBody.pieceBytes })
        #expect(Array(buffer: stored.joined()) == read[0])
        for range in [0..<1, 0..<end, end - 1..<end, 262_143..<262_145, 100_000..<2_000_000, 5..<5] {
            #expect(stored.slices(range).flatMap { Array(buffer: $0) } == range.map { UInt8($0 % 251) }, "\(range)")
        }
    }

    @Test func `what is whole is let go as its one reader takes it`() throws {
        let pieces = (0..<3).map { part($0 * 100..<($0 + 1) * 100) }
        let body = GrowingBody(whole: pieces)
        let id = try #require(body.join {})
        for number in 0..<3 {
            guard case .part(let next) = body.next(id) else {
                Issue.record("must have more")
                return
            }
            #expect(next == pieces[number])
        }
        guard case .end = body.next(id) else {
            Issue.record("must end")
            return
        }
        #expect(body.join {} == nil)
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
