import TestSupport
import Testing

@testable import Keyspace

/// Who makes room when the memory is full, how long that takes at a time, and who waits for it.
@Suite struct RoomTests {
    private static let value = String(repeating: "v", count: 900)
    private static let short = String(repeating: "v", count: 200)

    private func filled(_ count: Int, bytesMax: Int, _ policy: EvictionPolicy = .allkeysS3FIFO) -> Conversation {
        let it = Conversation {
            $0.bytesMax = bytesMax
            $0.policy = policy
        }
        for number in 0..<count { _ = it.line("SET key\(number) \(Self.value)") }
        return it
    }

    @Test func `room is made in slices, each of them short`() {
        let it = filled(4000, bytesMax: 8 << 20)
        it.keyspace.bytesLimit = 1 << 20
        var slices = 0
        var left = it.keyspace.keyCount(0, nil).keys
        while case .later(let freed) = it.keyspace.makeRoom(now: it.now, time: 0) {
            slices += 1
            #expect(freed >= 900)
            let now = it.keyspace.keyCount(0, nil).keys
            // One taking of one lock, however little time there was: it goes on, and does no more.
            #expect(now < left && left - now <= 4)
            left = now
        }
        #expect(slices > 500 && it.keyspace.usedBytes <= 1 << 20 && left > 0)
        #expect(it.keyspace.makeRoom(now: it.now) == .made)
        it.keyspace.bytesLimit = 1
        #expect(it.keyspace.makeRoom(now: it.now) == .none, "more than all there is")
        it.checkInvariants()
    }

    @Test func `a command that cannot wait goes on when its time is over, and one that can is not looked at`() {
        let it = filled(4000, bytesMax: 8 << 20)
        it.keyspace.bytesLimit = 1 << 20
        let call = it.client(1)
        call.roomTime = 0
        #expect(it.line("SET a v") == "+OK|")
        call.mayPostpone = true
        #expect(it.line("SET b v") == "" && call.isPostponed)
        call.isPostponed = false
        #expect(it.line("EVAL return(1) 0") == "" && call.isPostponed, "a script may write as well")
        call.isPostponed = false
        #expect(it.line("GET b") == "$-1|" && it.line("DEL b") == ":0|" && !call.isPostponed, "these want no room")
        // Others wait, and something has just gone: what is written may be as much.
        (call.isRoomAwaited, call.roomCredit) = (true, 600)
        #expect(it.line("SET c v") == "+OK|" && it.line("SET d v") == "+OK|" && it.line("SET e v") == "" && call.isPostponed)
        (call.isRoomAwaited, call.isPostponed) = (false, false)
        call.roomTime = .max
        #expect(it.line("SET b v") == "+OK|" && it.keyspace.usedBytes <= (1 << 20) * 102 / 100)
    }

    @Test(arguments: [EvictionPolicy.allkeysS3FIFO, .allkeysLRU, .noeviction])
    func `a large request has its room before it is carried out`(policy: EvictionPolicy) {
        let it = filled(3800, bytesMax: 4 << 20, policy)
        let large = String(repeating: "x", count: 1 << 20)
        #expect(it.line("SET large \(large)").hasPrefix(policy == .noeviction ? "-OOM" : "+OK"))
        #expect(it.keyspace.shards.reduce(0) { $0 + $1.bytes } < (4 << 20) * 102 / 100)
        // What can never fit costs nobody a key.
        let before = it.keyspace.keyCount(0, nil).keys
        #expect(it.line("SET larger \(String(repeating: "x", count: 5 << 20))").hasPrefix("-OOM"))
        #expect(it.keyspace.keyCount(0, nil).keys == before && before > 1000)
    }

    @Test func `who wants no room is served while others wait for it`() async throws {
        let served = try await ServedKeyspace(threads: 1) { $0.bytesMax = 256 << 20 }
        let client = try served.client()
        let count = 60_000
        for start in stride(from: 0, to: count, by: 1000) {
            #expect(try client.call((["MSET"] + (start..<start + 1000).flatMap { ["key\($0)", Self.short] }).map(octets)) == .status("OK"))
        }
        #expect(try client.call("CONFIG", "SET", "maxmemory", "4mb") == .status("OK"))
        let writers = try (0..<3).map { _ in try served.client() }
        do {
            // One that does not wait for its answer.
            let gone = try served.client()
            try gone.send([octets("SET"), octets("gone"), octets("v")])
        }
        for (number, writer) in writers.enumerated() {
            for words in [["SET", "new\(number)", "v"], ["PING"], ["APPEND", "new\(number)", "w"]] { try writer.send(words.map(octets)) }
        }
        // Between two slices: each sees fewer keys than the one before.
        var seen: Set<Int64> = []
        for _ in 0..<5 { seen.insert(try client.call("DBSIZE").integer ?? 0) }
        #expect(seen.count >= 3, "\(seen)")
        for writer in writers {
            #expect(try [writer.reply(), writer.reply(), writer.reply()] == [.status("OK"), .status("PONG"), .integer(2)], "in their order")
        }
        // They got theirs out of what went: no more was there than before, and the rest goes by itself.
        #expect(eventually(seconds: 30) { served.server.figures().bytes <= (4 << 20) * 102 / 100 })
        await served.stop()
    }

    @Test func `a bound that is lowered holds by and by though nobody writes`() async throws {
        let served = try await ServedKeyspace(threads: 1) { $0.bytesMax = 256 << 20 }
        let client = try served.client()
        for start in stride(from: 0, to: 20_000, by: 1000) {
            try client.call((["MSET"] + (start..<start + 1000).flatMap { ["key\($0)", Self.short] }).map(octets))
        }
        #expect(try client.call("CONFIG", "SET", "maxmemory", "2mb") == .status("OK"))
        #expect(eventually(seconds: 30) { served.server.figures().bytes <= 2 << 20 })
        await served.stop()
    }

    @Test func `what is long to free is freed elsewhere`() {
        let it = Conversation()
        let members = (0..<5000).map { "member\($0)" }.joined(separator: " ")
        for key in ["deleted", "overwritten", "moved"] { #expect(it.line("SADD \(key) \(members)") == ":5000|") }
        _ = it.line("SADD small a b c")
        #expect(it.line("SETRANGE long 2000000 x") == ":2000001|")
        #expect(it.keyspace.usedBytes > 2_000_000)
        #expect(it.line("DEL deleted small") == ":2|" && it.line("SET overwritten v") == "+OK|" && it.line("UNLINK long") == ":1|")
        #expect(it.line("RENAME moved elsewhere") == "+OK|")
        let discarder = it.keyspace.discarder
        #expect(eventually { discarder.pendingCount == 0 && discarder.doneCount >= 3 })
        // The one that was renamed went nowhere.
        #expect(it.line("SCARD elsewhere") == ":5000|" && it.line("SISMEMBER elsewhere member4999") == ":1|")
        it.checkInvariants()
        _ = it.line("FLUSHALL")
        #expect(eventually { discarder.pendingCount == 0 } && it.line("DBSIZE") == ":0|")
    }
}
