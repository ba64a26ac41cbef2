import Foundation
import HTTPSemantics
import NIOCore
import Testing

@testable import Edge

/// Whether the budget counts what the process takes.
///
/// How it works: 1. Store many responses of one size, built as a fetch builds them. 2. Ask malloc how much more is in use.
/// 3. Compare with what the shard says. All in a process of its own, in which no other test allocates meanwhile.
@Suite struct MemoryAccountingTests {
    private static let t0 = NIODeadline.uptimeNanoseconds(1_000_000_000)

    @Test func `memory is accounted to within 5 percent of what it takes`() async {
        await #expect(processExitsWith: .success) {
            for bodyBytes in [500, 2_000, 8_273, 39_000, 100_000] {
                for isCoded in [false, true] {
                    let before = try Malloc.bytesInUse()
                    let (shard, count) = try Self.fill(bodyBytes: bodyBytes, isCoded: isCoded)
                    let taken = try Malloc.bytesInUse() - before
                    #expect(shard.entryCount == count)
                    let ratio = Double(shard.memoryBytes) / Double(taken)
                    #expect((0.95...1.05).contains(ratio), "\(bodyBytes) bytes, coded too: \(isCoded): accounted ÷ taken is \(ratio)")
                }
            }
        }
    }

    /// 64 MiB come as a network brings them, are stored, and dropped while a client has taken half.
    @Test func `a large object is pieces of memory, and one that is dropped while it is read frees what was read`() async {
        await #expect(processExitsWith: .success) {
            let growing = GrowingBody {}
            for _ in 0..<1024 { growing.append(ByteBuffer(repeating: 7, count: 64 << 10)) }
            var stored: StoredBody? = growing.stored()
            let pieces = try #require(stored?.pieces)
            #expect(pieces.allSatisfy { $0.storageCapacity <= 2 * StoredBody.pieceBytes })
            let accounted = try #require(stored?.memoryBytes)
            // Pages that are not full, and 100 bytes of an object for each piece.
            #expect((64 << 20...66 << 20).contains(accounted))
            stored = nil
            try Self.dropWhileRead(pieces)
        }
    }

    private static func dropWhileRead(_ pieces: consuming [ByteBuffer]) throws {
        // Copies of their own, so that nobody else holds them.
        var copies: [ByteBuffer]? = pieces.map { .exact(joining: [$0]) }
        let count = copies?.count ?? 0
        let body = GrowingBody(whole: copies ?? [])
        let reader = try #require(body.join {})
        copies = nil
        let before = try Malloc.bytesInUse()
        for _ in 0..<count / 2 { _ = body.next(reader) }
        let freed = before - (try Malloc.bytesInUse())
        #expect((30 << 20...34 << 20).contains(freed), "\(freed) of 64 MiB")
    }

    private static func fill(bodyBytes: Int, isCoded: Bool) throws -> (ResponseShard, Int) {
        let count = max(200, min(3_000, (16 << 20) / bodyBytes))
        let body = ByteBuffer(bytes: Decoder.page(bodyBytes))
        let page = try ResponseHead.parsed(
            200,
            [
                "Server: gunicorn", "Date: Sat, 31 Jan 2026 12:00:00 GMT", "Connection: keep-alive",
                "Content-Type: text/html; charset=utf-8",
                "Content-Length: \(bodyBytes)", "Cache-Control: public, max-age=60", "ETag: \"5f3b-6a1c2e9d\"", "Vary: Cookie",
            ])
        var shard = ResponseShard(bytesMax: 1 << 30, codingOrder: [.brotli, .zstd, .gzip])
        for number in 0..<count {
            var key = CacheKey()
            let request = try RequestHead.get("/scans/\(number)/results?page=\(number % 7)", ["Cookie: a=b"])
            key.assign(request, scope: [], seed: 7)
            guard case .lead(let lease) = shard.join(key, request, follower: nil, now: t0) else { throw HeadIsNotWhole() }
            let response = StoredResponse(
                head: page, fields: StoredFields.make(page.fields, date: []), cacheControl: CacheControl(page.fields),
                lifetimeSeconds: 60,
                initialAgeSeconds: 0, received: t0, codings: [.gzip], wasAskedForPlain: true)
            var copy = ByteBuffer()
            copy.writeImmutableBuffer(body)
            let plain = ResponseCodec.representation(of: response, coding: .identity, effort: .asReceived, body: StoredBody(copy))
            _ = shard.finish(lease, .store(plain, requestFields: request.fields), now: t0)
            if isCoded {
                var coded = ByteBuffer()
                coded.writeBytes(body.readableBytesView.prefix(bodyBytes / 4))
                let made = ResponseCodec.representation(of: response, coding: .gzip, effort: .fast, body: StoredBody(coded))
                let isAdded = shard.addCoding(made, key: key)
                #expect(isAdded)
            }
        }
        return (shard, count)
    }
}

/// What the C library's allocator says of itself: glibc's `malloc_info`, which is found by name because its header is in no
/// module.
private enum Malloc {
    static func bytesInUse() throws -> Int {
        typealias Info = @convention(c) (CInt, UnsafeMutablePointer<FILE>) -> CInt
        let symbol = try #require(dlsym(nil, "malloc_info"))
        var (start, count): (UnsafeMutablePointer<CChar>?, Int) = (nil, 0)
        let file = try #require(open_memstream(&start, &count))
        _ = unsafeBitCast(symbol, to: Info.self)(0, file)
        fclose(file)
        defer { free(start) }
        let text = String(cString: try #require(start))
        // The totals over all arenas stand behind the last of them.
        let totals = text[(text.range(of: "</heap>", options: .backwards)?.upperBound ?? text.startIndex)...]
        func size(_ element: String) throws -> Int {
            let line = try #require(totals.split(separator: "\n").first { $0.hasPrefix("<" + element) })
            return Int(line.firstMatch(of: /size="(\d+)"/)?.1 ?? "") ?? 0
        }
        return try size("system type=\"current\"") - size("total type=\"fast\"") - size("total type=\"rest\"")
            + size("total type=\"mmap\"")
    }
}
