import HTTPSemantics
import NIOCore
import Synchronization
import Testing

@testable import Edge

@Suite struct BackgroundCompressionTests {
    @Test(arguments: [ContentCoding.gzip, .brotli, .zstd])
    func `a job is answered with the smaller body`(coding: ContentCoding) async throws {
        let background = BackgroundCompression(queueMax: 4, share: 1)
        let body = Decoder.page(20_000)
        let result: ByteBuffer? = await withCheckedContinuation { continuation in
            let isTaken = background.submit(StoredBody(ByteBuffer(bytes: body)), coding: coding, level: 9) {
                continuation.resume(returning: $0?.joined())
            }
            #expect(isTaken)
        }
        #expect(try Decoder.decode(try #require(result), coding) == body)
        background.shutdown()
        let counts = background.snapshot()
        #expect(counts.accepted == 1 && counts.compressed == 1 && counts.bytesIn == 20_000 && counts.bytesOut < 20_000)
    }

    @Test(arguments: [ContentCoding.gzip, .brotli, .zstd], [1 << 20, 6 << 20])
    func `a body in pieces becomes one in pieces, joined or not`(coding: ContentCoding, count: Int) async throws {
        let background = BackgroundCompression(queueMax: 4, share: 1)
        // Half of it does not get smaller, so that what comes is large, too.
        let body = Decoder.page(count / 2) + Decoder.noise(count / 2)
        let result: StoredBody? = await withCheckedContinuation { continuation in
            background.submit(StoredBody(cutting: ByteBuffer(bytes: body)), coding: coding, level: 1) { continuation.resume(returning: $0) }
        }
        background.shutdown()
        let made = try #require(result)
        #expect(made.byteCount < count && made.pieces.count > 1 && made.pieces.allSatisfy { $0.storageCapacity <= 2 * StoredBody.pieceBytes })
        #expect(try Decoder.decode(made.joined(), coding) == body)
    }

    @Test func `what does not get smaller is answered with nothing`() async {
        let background = BackgroundCompression(queueMax: 4, share: 1)
        let result: ByteBuffer? = await withCheckedContinuation { continuation in
            background.submit(StoredBody(ByteBuffer(bytes: Decoder.noise(5_000))), coding: .gzip, level: 9) {
                continuation.resume(returning: $0?.joined())
            }
        }
        #expect(result == nil)
        background.shutdown()
        #expect(background.snapshot().withoutGain == 1)
    }

    @Test func `a full queue drops, and every job that was taken is answered once, also at shutdown`() {
        let background = BackgroundCompression(queueMax: 2, share: 0.0001)
        let answers = Mutex([Int: Int]())
        var taken: Set<Int> = []
        // The first jobs may run at once; then the tiny share makes the thread rest, and two of the others wait.
        for number in 0..<20 {
            if background.submit(
                StoredBody(ByteBuffer(bytes: Decoder.page(20_000))), coding: .gzip, level: 9,
                done: { _ in answers.withLock { $0[number, default: 0] += 1 } })
            {
                taken.insert(number)
            }
        }
        let counts = background.snapshot()
        #expect(counts.waiting <= 2 && counts.droppedFull > 0 && counts.dropped == counts.droppedFull)
        #expect(Int(counts.accepted) == taken.count)
        background.shutdown()
        background.shutdown()
        #expect(answers.withLock { $0 } == Dictionary(uniqueKeysWithValues: taken.map { ($0, 1) }))
        #expect(!background.submit(StoredBody(ByteBuffer(bytes: [1])), coding: .gzip, level: 1) { _ in })
        #expect(background.snapshot().droppedClosed == 1)
    }

    @Test func `bodies beyond the bytes that may wait are dropped`() {
        let background = BackgroundCompression(queueMax: 100, share: 1, waitingBytesMax: 1000)
        #expect(!background.submit(StoredBody(ByteBuffer(repeating: 1, count: 1001)), coding: .gzip, level: 1) { _ in })
        #expect(background.snapshot().droppedTooManyBytes == 1)
        background.shutdown()
    }

    @Test func `a share of nothing takes no job and no thread`() {
        let background = BackgroundCompression(queueMax: 4, share: 0)
        #expect(!background.submit(StoredBody(ByteBuffer(bytes: [1, 2, 3])), coding: .gzip, level: 1) { _ in })
        background.shutdown()
    }
}
