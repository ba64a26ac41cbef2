import Foundation
import NIOCore
import Telemetry
import TestSupport
import Testing
import Transport

@testable import Keyspace

/// Who takes what of a snapshot, and how much at a time.
@Suite struct SnapshotWriterTests {
    private func keyspace(_ keyCount: Int, valueBytes: Int) -> Keyspace {
        var configuration = KeyspaceConfiguration()
        configuration.bytesMax = 0
        let keyspace = Keyspace(configuration)
        let call = Call(keyspace: keyspace, session: ClientSession(internalOf: keyspace), counters: CallCounters())
        let value = [UInt8](repeating: 0x76, count: valueBytes)
        for number in 0..<keyCount { call.run([octets("SET"), octets("key:\(number)"), value]) }
        return keyspace
    }

    private func freeze(_ keyspace: Keyspace) {
        keyspace.withShards(Keyspace.allShards) { for shard in keyspace.shards { shard.snapshot = ShardSnapshot(databaseCount: 16) } }
    }

    private func write(_ keyspace: Keyspace, _ folder: Folder, loops: [any EventLoop], interruption: () -> SnapshotFailure? = { nil }) -> (SnapshotFailure?, Int) {
        freeze(keyspace)
        let writer = SnapshotWriter()
        writer.setLoops(loops)
        var keyCount = 0
        let failure = writer.write(
            keyspace, to: "\(folder.path)/dump", isBase: false, isHurried: false, replacing: { [] }, interruption: interruption, wrote: { keyCount += $0 })
        return (failure, keyCount)
    }

    private func keys(_ folder: Folder) throws -> Set<[UInt8]> {
        Set(try entries(in: Array(Data(contentsOf: folder.url.appending(path: "dump")))).map(\.key))
    }

    @Test func `of large values no more is taken at a time than of small ones`() {
        let (keyCount, valueBytes) = (4000, 20_000)
        let keyspace = keyspace(keyCount, valueBytes: valueBytes)
        freeze(keyspace)
        var found: Set<[UInt8]> = []
        for shard in keyspace.shards {
            shard.withLock {
                while shard.snapshot?.isDone == false, let piece = shard.snapshot?.proceed(shard) {
                    // A segment of the table has up to 62 of them, some 40 mostly; chance gives a few more than the three that are meant.
                    #expect(piece.byteCount < 64 << 10 + 20 * valueBytes && piece.byteCount >= piece.entries.count * valueBytes)
                    for entry in piece.entries { #expect(found.insert(entry.key).inserted) }
                }
            }
        }
        #expect(found.count == keyCount)
    }

    /// Two bytes each where they are, and 48 where they are taken.
    @Test func `of sets of numbers no more members are taken at a time than of others`() {
        let keyspace = keyspace(0, valueBytes: 0)
        let call = Call(keyspace: keyspace, session: ClientSession(internalOf: keyspace), counters: CallCounters())
        for number in 0..<20_000 { call.run([octets("SADD"), octets("key:\(number)")] + (0..<200).map { octets("\($0)") }) }
        freeze(keyspace)
        var (pieceCount, entryCount) = (0, 0)
        for shard in keyspace.shards {
            shard.withLock {
                while shard.snapshot?.isDone == false, let piece = shard.snapshot?.proceed(shard) {
                    pieceCount += 1
                    entryCount += piece.entries.count
                }
            }
        }
        // A set is 10 KB so; six were meant. Their own bytes let expect 64, and fewer are taken only after it was seen.
        #expect(entryCount == 20_000 && entryCount / pieceCount < 20, "\(pieceCount) pieces")
    }

    @Test func `the loops take all, by turns`() async throws {
        let folder = try Folder()
        let keyspace = keyspace(20_000, valueBytes: 10)
        let loops = [SocketLoop(), SocketLoop()]
        let (failure, keyCount) = write(keyspace, folder, loops: loops)
        #expect(failure == nil && keyCount == 20_000)
        #expect(try keys(folder).count == 20_000)
        for loop in loops { try await loop.shutdownGracefully() }
    }

    @Test func `what a loop does not come to is taken without it`() async throws {
        let folder = try Folder()
        let keyspace = keyspace(20_000, valueBytes: 10)
        let loop = SocketLoop()
        let isOver = DispatchSemaphore(value: 0)
        loop.execute { isOver.wait() }
        let (failure, keyCount) = write(keyspace, folder, loops: [loop])
        #expect(failure == nil && keyCount == 20_000)
        // Its turns come now, and take nothing any more.
        isOver.signal()
        try await loop.submit {}.get()
        #expect(try keys(folder).count == 20_000)
        try await loop.shutdownGracefully()
    }

    @Test func `one that is interrupted leaves no file`() throws {
        let folder = try Folder()
        var askedCount = 0
        let (failure, keyCount) = write(keyspace(20_000, valueBytes: 10), folder, loops: []) {
            askedCount += 1
            return askedCount == 3 ? .closed : nil
        }
        #expect(failure == .closed && keyCount > 0 && keyCount < 20_000)
        #expect(try folder.names() == [])
    }

    @Test func `what leaves the page cache is still there`() throws {
        let folder = try Folder()
        let url = folder.url.appending(path: "file")
        let bytes = Data((0..<5_000_000).map { UInt8(truncatingIfNeeded: $0) })
        try bytes.write(to: url)
        var restCount = 0
        Disk.uncache(url.path) { restCount += 1 }
        #expect(try Data(contentsOf: url) == bytes && restCount == 5)
        Disk.uncache(folder.path + "/none") { restCount += 1 }
        #expect(restCount == 5)
    }
}
