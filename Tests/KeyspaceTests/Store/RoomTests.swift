import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Keyspace

/// Who makes room when the memory is full, how long that takes at a time, and who waits for it.
@Suite struct RoomTests {
    private static let value = String(repeating: "v", count: 900)
    private final class End: Sendable {
        let isThere = Atomic(false)
        let count = Atomic(0)
    }

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

    /// Each makes a value of a megabyte or more, out of a few bytes.
    private static let growing = [
        "COPY big made", "SETRANGE made 1499999 x", "SETBIT made 11999999 1", "BITOP OR made big none", "SUNIONSTORE made set other", "SDIFFSTORE made set none",
        "SINTERSTORE made set set", "ZUNIONSTORE made 2 zset none", "ZINTERSTORE made 1 set", "ZDIFFSTORE made 2 zset none", "ZRANGESTORE made zset 0 -1",
        "SORT list ALPHA STORE made", "APPEND big \(String(repeating: "y", count: 5000))",
    ]

    /// What commands read never goes, all else may; the memory is full.
    private func full(_ policy: EvictionPolicy) -> Conversation {
        let it = Conversation { $0.bytesMax = 20 << 20 }
        let long = String(repeating: "m", count: 100)
        #expect(it.line("SET big \(String(repeating: "x", count: 1_500_000))") == "+OK|")
        for start in stride(from: 0, to: 8000, by: 1000) {
            let members = (start..<start + 1000).map { "\(long)\($0)" }
            _ = it.line("SADD set " + members.joined(separator: " "))
            _ = it.line("SADD other " + members.map { $0 + "o" }.joined(separator: " "))
            _ = it.line("RPUSH list " + members.joined(separator: " "))
            _ = it.line("ZADD zset " + members.enumerated().map { "\($0.offset) \($0.element)" }.joined(separator: " "))
        }
        it.keyspace.eviction.policy = policy
        for number in 0..<20_000 where !it.keyspace.isFull() { _ = it.line("SET key\(number) \(Self.value) EX 1000") }
        return it
    }

    @Test(arguments: growing)
    func `a small request for a large value has its room first`(request: String) {
        let it = full(.volatileLRU)
        let before = it.keyspace.keyCount(0, nil).keys
        #expect(!it.line(request).hasPrefix("-"))
        #expect(it.keyspace.shards.reduce(0) { $0 + $1.bytes } < (20 << 20) * 102 / 100)
        #expect(request.hasPrefix("APPEND") ? it.line("STRLEN big") == ":1505000|" : it.line("EXISTS made") == ":1|")
        #expect(it.keyspace.keyCount(0, nil).keys < before - 500, "others have gone for it")
        it.checkInvariants()
    }

    /// Packed they take a tenth of what they do in the table of a large set.
    @Test(arguments: ["SUNIONSTORE", "ZUNIONSTORE"])
    func `a large set that is made of small ones of numbers has its room first`(command: String) {
        let it = Conversation { $0.bytesMax = 4 << 20 }
        let names = (0..<40).map { "s\($0)" }
        for (number, name) in names.enumerated() { _ = it.line("SADD \(name) " + (0..<500).map { "\(number * 500 + $0)" }.joined(separator: " ")) }
        #expect(it.line("OBJECT ENCODING s0") == "$6|intset|")
        it.keyspace.eviction.policy = .volatileLRU
        for number in 0..<20_000 where !it.keyspace.isFull() { _ = it.line("SET key\(number) \(Self.value) EX 1000") }
        #expect(it.line("\(command) made \(command == "ZUNIONSTORE" ? "40 " : "")\(names.joined(separator: " "))") == ":20000|")
        #expect(it.keyspace.shards.reduce(0) { $0 + $1.bytes } < (4 << 20) * 102 / 100)
        it.checkInvariants()
    }

    @Test(arguments: growing)
    func `without room there is none for a small request, alone or in a transaction`(request: String) {
        let it = full(.noeviction)
        // Room for all that is small.
        it.keyspace.bytesLimit = it.keyspace.usedBytes + (512 << 10)
        #expect(it.line("SET small v") == "+OK|")
        #expect(it.line(request).hasPrefix("-OOM"))
        #expect(it.line("MULTI") == "+OK|" && it.line(request) == "+QUEUED|" && it.line("EXEC").hasPrefix("-EXECABORT Transaction discarded because of: OOM"))
        #expect(it.line("EXISTS made") == ":0|" && it.line("STRLEN big") == ":1500000|")
        // Without a bound everything has room.
        it.keyspace.bytesLimit = 0
        #expect(!it.line(request).hasPrefix("-"))
    }

    @Test func `what is no string, or too long for one, is refused for that and not for want of room`() {
        let it = Conversation { $0.bytesMax = 4 << 20 }
        #expect(it.line("RPUSH list a") == ":1|" && it.line("SET s v") == "+OK|")
        #expect(it.line("SETRANGE list 100000000 x").hasPrefix("-WRONGTYPE") && it.line("SETBIT list 800000000 1").hasPrefix("-WRONGTYPE"))
        #expect(it.line("SETRANGE s 536870912 x").hasPrefix("-ERR string exceeds maximum allowed size"))
        #expect(it.line("SETRANGE s 100000000 x").hasPrefix("-OOM") && it.line("GET s") == "$1|v|")
    }

    @Test(arguments: ["ZRANGESTORE made zset 0 9", "SORT list ALPHA LIMIT 0 10 STORE made", "ZRANGESTORE made zset 0 10000 BYSCORE LIMIT 0 10"])
    func `a few of many need the room of a few`(request: String) {
        let it = full(.noeviction)
        // Room for a few, and not for all.
        for number in 0..<100 { _ = it.line("DEL key\(number)") }
        #expect(it.line(request) == ":10|")
        it.checkInvariants()
    }

    @Test func `what fits only if its source goes costs nobody a key`() {
        let it = full(.allkeysLRU)
        it.keyspace.bytesLimit = 2_800_000
        while case .later = it.keyspace.makeRoom(now: it.now, time: .max) {}
        _ = it.line("SET big \(String(repeating: "x", count: 1_500_000))")
        let before = it.keyspace.keyCount(0, nil).keys
        #expect(it.line("COPY big made").hasPrefix("-OOM"))
        #expect(it.keyspace.keyCount(0, nil).keys == before && it.line("STRLEN big") == ":1500000|")
    }

    @Test func `a bound that is lowered in a transaction holds behind it`() {
        let it = filled(4000, bytesMax: 8 << 20)
        #expect(it.line("MULTI") == "+OK|" && it.line("CONFIG SET maxmemory 1mb") == "+QUEUED|")
        // All shards are locked: nobody evicts.
        #expect(it.line("EXEC") == "*1|+OK|")
        #expect(it.line("SET a v") == "+OK|" && it.keyspace.usedBytes <= (1 << 20) * 102 / 100)
    }

    @Test(arguments: [EvictionPolicy.allkeysLRU, .noeviction])
    func `a transaction has room for all that was queued, or is given up`(policy: EvictionPolicy) {
        let it = filled(3800, bytesMax: 4 << 20, policy)
        let large = String(repeating: "x", count: 300 << 10)
        _ = it.line("MULTI")
        for number in 0..<8 { #expect(it.line("SET large\(number) \(large)") == "+QUEUED|") }
        let answer = it.line("EXEC")
        if policy == .noeviction {
            #expect(answer.hasPrefix("-EXECABORT Transaction discarded because of: OOM"))
            #expect(it.line("EXEC").hasPrefix("-ERR EXEC without MULTI"))
        } else {
            #expect(answer == "*8|" + String(repeating: "+OK|", count: 8))
        }
        #expect(it.keyspace.usedBytes <= (4 << 20) * 102 / 100)
        // One that writes nothing needs none.
        _ = it.line("MULTI")
        _ = it.line("GET key1")
        #expect(it.line("EXEC").hasPrefix("*1|"))
        it.checkInvariants()
    }

    @Test func `who wants much is served in a while though others write as fast as room is made, and nobody makes room for who is gone`() async throws {
        let served = try await ServedKeyspace(threads: 2) { $0.bytesMax = 16 << 20 }
        let client = try served.client()
        for start in stride(from: 0, to: 60_000, by: 1000) {
            try client.call((["MSET"] + (start..<start + 1000).flatMap { ["key\($0)", Self.short] }).map(octets))
        }
        let large = String(repeating: "x", count: 12 << 20)
        do {
            let gone = try served.client()
            try gone.send([octets("SET"), octets("gone"), octets(large)])
        }
        let end = End()
        for number in 0..<4 {
            Thread.detachNewThread {
                defer { end.count.add(1, ordering: .sequentiallyConsistent) }
                guard let writer = try? served.client() else { return }
                var round = 0
                while !end.isThere.load(ordering: .relaxed), (try? writer.call("SET", "w\(number):\(round)", Self.short)) != nil { round += 1 }
            }
        }
        #expect(try client.call("SET", "large", large) == .status("OK"))
        end.isThere.store(true, ordering: .relaxed)
        #expect(eventually { end.count.load(ordering: .sequentiallyConsistent) == 4 })
        #expect(eventually(seconds: 30) { served.server.figures().bytes <= (16 << 20) * 102 / 100 })
        await served.stop()
    }

    @Test func `who waits for a key and then for room says no more, and is answered all the same`() async throws {
        let served = try await ServedKeyspace(threads: 1) { $0.bytesMax = 256 << 20 }
        let client = try served.client()
        for start in stride(from: 0, to: 60_000, by: 1000) {
            try client.call((["MSET"] + (start..<start + 1000).flatMap { ["key\($0)", Self.short] }).map(octets))
        }
        // Not more than the socket takes: nothing is read while it waits for the key.
        let count = 10_000
        let halfClosed = try RawClient(port: served.port)
        halfClosed.send("BLPOP queue 0\r\n*3\r\n$3\r\nSET\r\n$4\r\nlast\r\n$\(count)\r\n\(String(repeating: "x", count: count))\r\n")
        let waits = eventually { (try? client.call("INFO", "clients").text)?.contains("blocked_clients:1") == true }
        #expect(waits)
        #expect(try client.call("CONFIG", "SET", "maxmemory", "4mb") == .status("OK"))
        #expect(try client.call("LPUSH", "queue", "v") == .integer(1))
        // Not before: who says no more while it waits for a key is gone.
        halfClosed.finishSending()
        #expect(halfClosed.readToEnd(seconds: 60) == "*2\r\n$5\r\nqueue\r\n$1\r\nv\r\n+OK\r\n")
        await served.stop()
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
        // Between two slices: not all that must go have gone.
        let seen = try client.call("DBSIZE").integer ?? 0
        for writer in writers {
            #expect(try [writer.reply(), writer.reply(), writer.reply()] == [.status("OK"), .status("PONG"), .integer(2)], "in their order")
        }
        // They got theirs out of what went: no more was there than before, and the rest goes by itself.
        #expect(eventually(seconds: 30) { served.server.figures().bytes <= (4 << 20) * 102 / 100 })
        #expect(try client.call("DBSIZE").integer ?? 0 < seen)
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
        #expect(eventually { discarder.pendingCount == 0 && discarder.doneCount == 3 && discarder.pendingBytes == 0 })
        // The one that was renamed went nowhere.
        #expect(it.line("SCARD elsewhere") == ":5000|" && it.line("SISMEMBER elsewhere member4999") == ":1|")
        it.checkInvariants()
        for number in 0..<2000 { _ = it.line("SET key\(number) v") }
        let keys = it.keyspace.keyCount(0, nil).keys
        _ = it.line("FLUSHALL")
        #expect(eventually { discarder.doneCount == 3 + keys && discarder.pendingBytes == 0 } && it.line("DBSIZE") == ":0|", "all of a flush, key by key as Redis counts")
        // Few elements, but long ones.
        let long = String(repeating: "x", count: 300_000)
        _ = it.line("RPUSH list \(long) \(long) \(long) \(long)")
        #expect(it.line("DEL list") == ":1|" && eventually { discarder.doneCount == 4 + keys })
    }

    /// Holds the discarder's thread as long as the test wants.
    private final class Obstacle: StoredObject {
        let isFreed: DispatchSemaphore
        init(_ isFreed: DispatchSemaphore) { self.isFreed = isFreed }
        deinit { isFreed.wait() }
    }

    @Test func `what waits to be freed has a bound, beyond which it is freed in place, and is counted`() {
        let it = Conversation { $0.bytesMax = 1 << 30 }
        let discarder = it.keyspace.discarder
        #expect(discarder.bytesMax == 128 << 20)
        it.keyspace.bytesLimit = 8 << 20
        #expect(discarder.bytesMax == 16 << 20, "some values also where there is little")
        it.keyspace.bytesLimit = 0
        discarder.bytesMax = 10_000_000
        let isFreed = DispatchSemaphore(value: 0)
        #expect(discarder.add(.passRetained(Obstacle(isFreed)), bytes: 4_000_000))
        for key in ["a", "b", "c"] { #expect(it.line("SETRANGE \(key) 3999999 x") == ":4000000|") }
        #expect(it.line("DEL a") == ":1|" && discarder.pendingCount == 2 && discarder.pendingBytes > 8_000_000 && discarder.pendingBytes < 10_000_000)
        let held = discarder.pendingBytes
        #expect(it.line("INFO memory").contains("mem_not_counted_for_evict:\(held)|"))
        #expect(it.line("UNLINK b") == ":1|" && discarder.pendingCount == 3 && discarder.pendingBytes > 12_000_000, "the last may go beyond")
        // Now it is full: the next goes at once, as does what a flush takes out.
        #expect(it.line("DEL c") == ":1|" && discarder.pendingCount == 3)
        for number in 0..<2000 { _ = it.line("SET key\(number) v") }
        #expect(it.line("FLUSHALL") == "+OK|" && discarder.pendingCount == 3 && it.keyspace.shards.reduce(0) { $0 + $1.bytes } == 0)
        #expect(it.line("INFO memory").contains("lazyfree_pending_objects:3"))
        isFreed.signal()
        #expect(eventually { discarder.pendingCount == 0 && discarder.pendingBytes == 0 && discarder.doneCount == 3 })
        it.checkInvariants()
    }
}
