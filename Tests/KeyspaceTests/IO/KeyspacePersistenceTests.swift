import Foundation
import Logging
import Telemetry
import TestSupport
import Testing

@testable import Keyspace

/// What a keyspace has on disk, through a server and its socket.
@Suite(.serialized) struct KeyspacePersistenceTests {
    /// Every type, with and without an expiry, in two databases.
    private func fill(_ client: RedisClient) throws {
        for text in [
            "SET string value", "SET number 12345", "SET brief gone PX 1", "SET later value EX 100000", "RPUSH list a b c 1 2", "SADD ints 1 2 3",
            "SADD set x y z", "HSET hash f v g 2", "ZADD zset 1.5 a -inf b 3 c", "SELECT 3", "SET elsewhere 1", "SELECT 0",
        ] {
            let reply = try client.call(text.split(separator: " ").map { octets(String($0)) })
            if case .error(let reason) = reply { Issue.record("\(text): \(reason)") }
        }
        for number in 0..<2000 { try client.call("SET", "key:\(number)", String(repeating: "v", count: number % 100)) }
        // More that is compressed than is unpacked at a time, and one alone.
        for number in 0..<300 { try client.call("SET", "page:\(number)", String(repeating: "page \(number) ", count: 200)) }
        try client.call("SET", "large", String(repeating: "large ", count: 50_000))
    }

    private static let questions = [
        "GET string", "GET number", "GET brief", "GET later", "EXPIRETIME later", "PEXPIRETIME later", "LRANGE list 0 -1", "SORT ints", "SISMEMBER set y", "SCARD set",
        "HGET hash f", "HLEN hash", "ZRANGE zset 0 -1 WITHSCORES", "GET key:1999", "GET page:0", "GET page:250", "GET large", "DBSIZE", "SELECT 3", "GET elsewhere", "DBSIZE", "SELECT 0",
    ]

    /// Sets have no order.
    private func sorted(_ reply: RedisClient.Reply) -> RedisClient.Reply {
        guard let elements = reply.array, elements.allSatisfy({ $0.text != nil }) else { return reply }
        return .array(elements.sorted { ($0.text ?? "") < ($1.text ?? "") })
    }

    private func answers(_ client: RedisClient) throws -> [RedisClient.Reply] {
        try Self.questions.map { try client.call($0.split(separator: " ").map { octets(String($0)) }) }
    }

    @Test func `a snapshot has everything, for us and for Redis`() async throws {
        let folder = try Folder()
        let first = try await ServedKeyspace { $0.directory = folder.path }
        let client = try first.client()
        try fill(client)
        #expect(eventually { (try? client.call("GET", "brief")) == .null })
        let expected = try answers(client)
        #expect(try client.call("SAVE") == .status("OK"))
        #expect(try client.call("LASTSAVE").integer ?? 0 > 0)
        await first.stop()
        let second = try await ServedKeyspace { $0.directory = folder.path }
        #expect(try answers(second.client()) == expected)
        await second.stop()
        guard RedisPeer.isInstalled else { return }
        let redis = try RedisPeer(folder: folder.url, ["--dbfilename", "dump.rdb"])
        let theirs = try answers(redis.client())
        for (index, question) in Self.questions.enumerated() { #expect(theirs[index] == expected[index], "\(question)") }
    }

    @Test func `a damaged snapshot is refused, and stays as it is`() async throws {
        let folder = try Folder()
        let url = folder.url.appending(path: "dump.rdb")
        var bytes = SnapshotSamples.file()
        bytes[bytes.count / 2] ^= 1
        try Data(bytes).write(to: url)
        await #expect(throws: (any Error).self) { try await ServedKeyspace { $0.directory = folder.path } }
        #expect(try Array(Data(contentsOf: url)) == bytes)
    }

    /// How it works: two keys that are always raised together, many times over, from two connections, while snapshots are taken. In each
    /// of them both must be the same, though they are in different shards and read at different times.
    @Test func `a snapshot shows one instant while clients go on writing`() async throws {
        let folder = try Folder()
        let served = try await ServedKeyspace { $0.directory = folder.path }
        let client = try served.client()
        for number in 0..<20_000 { try client.send([octets("SET"), octets("filler:\(number)"), octets("x")]) }
        for _ in 0..<20_000 { _ = try client.reply() }
        for pair in 0..<50 { try client.call("MSET", "a:\(pair)", "0", "b:\(pair)", "0") }
        let isOver = Flag()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for writer in 0..<2 {
                group.addTask {
                    let client = try served.client()
                    var random = SeededRandom(seed: UInt64(writer))
                    while !isOver.isSet {
                        let pair = Int.random(in: 0..<50, using: &random)
                        try client.call("MULTI")
                        try client.call("INCR", "a:\(pair)")
                        try client.call("INCR", "b:\(pair)")
                        try client.call("SET", "new:\(random.next() % 5000)", "x")
                        try client.call("EXEC")
                    }
                }
            }
            for _ in 0..<10 {
                #expect(try client.call("SAVE") == .status("OK"))
                let found = try entries(in: Array(Data(contentsOf: folder.url.appending(path: "dump.rdb"))))
                let values = Dictionary(found.map { ($0.key, $0.value) }, uniquingKeysWith: { _, _ in .string(octets("twice")) })
                for pair in 0..<50 { #expect(values[octets("a:\(pair)")] == values[octets("b:\(pair)")]) }
                #expect(found.count == values.count && values[octets("a:0")] != nil && values[octets("filler:19999")] != nil)
            }
            isOver.set()
            try await group.waitForAll()
        }
        await served.stop()
    }

    /// A keyspace with a log under `appendfsync always`, without a socket.
    private func logged(_ folder: Folder, _ body: (Conversation) throws -> Void) throws {
        let it = Conversation {
            ($0.directory, $0.appendOnly, $0.fsync) = (folder.path, true, .always)
        }
        try it.keyspace.persistence.open(it.keyspace, Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try body(it)
        it.keyspace.persistence.close(it.keyspace)
    }

    @Test func `of two who are served at the same time each waits for its own command to be on disk`() throws {
        try logged(Folder()) { it in
            let persistence = it.keyspace.persistence
            // As two event loops do it, each with the shards of its own waiter's keys.
            let calls = [it.client(1), it.client(2)]
            for call in calls {
                call.holdsAll = true
                call.rewrite(octets("LPOP"), octets("list:\(call.session.id)"))
                persistence.executed(call)
            }
            for call in calls { persistence.groupEnded(call) }
            #expect(0 < calls[0].logPosition && calls[0].logPosition < calls[1].logPosition)
        }
    }

    @Test func `while the disk refuses neither a transaction nor a script writes`() throws {
        let folder = try Folder()
        let log = folder.url.appending(path: "appendonlydir")
        try FileManager.default.createDirectory(at: log, withIntermediateDirectories: false)
        try FileManager.default.createSymbolicLink(atPath: log.path + "/appendonly.aof.1.incr.aof", withDestinationPath: "/dev/full")
        try Data("file appendonly.aof.1.incr.aof seq 1 type i\n".utf8).write(to: log.appending(path: "appendonly.aof.manifest"))
        try logged(folder) { it in
            for line in ["MULTI", "SET a 1"] { _ = it.line(line, by: 1) }
            for line in ["MULTI", "GET a"] { _ = it.line(line, by: 2) }
            _ = it.line("SET b 1", by: 3)
            #expect(eventually { it.keyspace.persistence.refusal() != nil })
            #expect(it.line("EXEC", by: 1).hasPrefix("-EXECABORT Transaction discarded because of: MISCONF"))
            #expect(it.line("EXEC", by: 2) == "*1|$-1|")
            #expect(it.say("EVAL", "return redis.call('set', 'a', '1')", "0", by: 3).hasPrefix("-MISCONF"))
            #expect(it.say("EVAL", "return redis.call('get', 'a')", "0", by: 3) == "$-1|")
        }
    }

    @Test func `without a directory there is no snapshot`() {
        let keyspace = Keyspace(KeyspaceConfiguration())
        #expect(keyspace.persistence.begin(keyspace, nil, rewrites: false, done: { _ in }) == .off)
    }

    @Test(arguments: [false, true])
    func `a flush in between ends a snapshot without a file, and it begins again`(rewrites: Bool) async throws {
        let folder = try Folder()
        let served = try await ServedKeyspace(threads: 1) {
            $0.directory = folder.path
            $0.appendOnly = rewrites
        }
        let client = try served.client()
        try fill(client)
        // In one turn of the only loop: it takes no keys before the flush.
        try client.send([octets(rewrites ? "BGREWRITEAOF" : "BGSAVE")], [octets("FLUSHALL")], ["SET", "after", "1"].map(octets))
        #expect(try (0..<3).map { _ in try client.reply() }.last == .status("OK"))
        let file = folder.url.appending(path: rewrites ? "appendonlydir/appendonly.aof.1.base.rdb" : "dump.rdb")
        #expect(eventually(seconds: 20) { FileManager.default.fileExists(atPath: file.path) })
        #expect(try entries(in: Array(Data(contentsOf: file))).map(\.key) == [octets("after")])
        await served.stop()
    }

    @Test func `SORT ends no snapshot, and is in it`() async throws {
        let folder = try Folder()
        let served = try await ServedKeyspace(threads: 1) { $0.directory = folder.path }
        let client = try served.client()
        try fill(client)
        // In one turn of the only loop: no key is taken before.
        try client.send([octets("BGSAVE")], ["SORT", "list", "ALPHA", "STORE", "ints"].map(octets))
        #expect(try (0..<2).map { _ in try client.reply() }.last == .integer(5))
        #expect(try eventually(seconds: 20) { try client.call("INFO", "persistence").text?.contains("rdb_bgsave_in_progress:0") == true })
        let found = try entries(in: Array(Data(contentsOf: folder.url.appending(path: "dump.rdb"))))
        let ints = try #require(found.first { $0.key == octets("ints") })
        if case .set(let members) = ints.value { #expect(members.count == 3) } else { Issue.record("\(ints.value)") }
        #expect(found.count >= 2000)
        await served.stop()
    }

    @Test func `within a transaction a snapshot and a rewrite are only scheduled, and count nothing twice`() async throws {
        let folder = try Folder()
        func start() async throws -> ServedKeyspace {
            try await ServedKeyspace {
                $0.directory = folder.path
                $0.appendOnly = true
            }
        }
        let served = try await start()
        let client = try served.client()
        try client.call("MULTI")
        for words in [["INCR", "a"], ["BGREWRITEAOF"], ["BGSAVE"], ["INCR", "a"]] { try client.call(words.map(octets)) }
        #expect(
            try client.call("EXEC")
                == .array([
                    .integer(1), .status("Background append only file rewriting scheduled"), .status("Background saving scheduled"), .integer(2),
                ]))
        #expect(eventually(seconds: 20) {
            (try? folder.names().contains("dump.rdb")) == true
                && FileManager.default.fileExists(atPath: folder.path + "/appendonlydir/appendonly.aof.1.base.rdb")
        })
        #expect(try entries(in: Array(Data(contentsOf: folder.url.appending(path: "dump.rdb")))).map(\.value) == [.string(octets("2"))])
        await served.stop()
        let second = try await start()
        #expect(try second.client().call("GET", "a") == .bytes(octets("2")))
        await second.stop()
    }

    @Test func `the end does not wait for a snapshot that is under way`() async throws {
        let folder = try Folder()
        let served = try await ServedKeyspace(threads: 1) {
            $0.directory = folder.path
            $0.appendOnly = true
        }
        let client = try served.client()
        for number in 0..<20_000 { try client.send([octets("SET"), octets("key:\(number)"), octets("x")]) }
        for _ in 0..<20_000 { _ = try client.reply() }
        try client.call("BGREWRITEAOF")
        await served.stop()
        let second = try await ServedKeyspace {
            $0.directory = folder.path
            $0.appendOnly = true
        }
        #expect(try second.client().call("DBSIZE") == .integer(20_000))
        await second.stop()
    }

    @Test(arguments: [FsyncPolicy.always, .everysec, .no])
    func `the log brings back what was acknowledged, also across a rewrite`(policy: FsyncPolicy) async throws {
        let folder = try Folder()
        func start() async throws -> ServedKeyspace {
            try await ServedKeyspace {
                $0.directory = folder.path
                $0.appendOnly = true
                $0.fsync = policy
            }
        }
        let first = try await start()
        let client = try first.client()
        try fill(client)
        try client.call("EVAL", "redis.call('SET','by','script') redis.call('INCR','count') return redis.call('INCR','count')", "0")
        try client.call("MULTI")
        try client.call("INCR", "count")
        try client.call("SPOP", "ints")
        try client.call("EXEC")
        #expect(try client.call("BGREWRITEAOF") == .status("Background append only file rewriting started"))
        for _ in 0..<500 { try client.call("INCR", "count") }
        #expect(try eventually(seconds: 20) { try client.call("INFO", "persistence").text?.contains("aof_rewrite_in_progress:0") == true })
        try client.call("RENAME", "key:0", "key:renamed")
        let questions = ["GET count", "GET by", "SMEMBERS ints", "GET key:renamed", "EXISTS key:0"]
        func more(_ client: RedisClient) throws -> [RedisClient.Reply] {
            try questions.map { sorted(try client.call($0.split(separator: " ").map { octets(String($0)) })) }
        }
        let expected = try answers(client) + more(client)
        if policy == .always {
            // As a crash would leave it: nothing that was answered may be missing.
            let crashed = try Folder()
            try FileManager.default.copyItem(
                at: folder.url.appending(path: "appendonlydir"), to: crashed.url.appending(path: "appendonlydir"))
            let other = try await ServedKeyspace {
                $0.directory = crashed.path
                $0.appendOnly = true
            }
            #expect(try answers(other.client()) + more(other.client()) == expected)
            await other.stop()
        }
        await first.stop()
        let second = try await start()
        #expect(try answers(second.client()) + more(second.client()) == expected)
        await second.stop()
        guard RedisPeer.isInstalled else { return }
        let redis = try RedisPeer(folder: folder.url, ["--appendonly", "yes"])
        let theirs = try answers(redis.client()) + more(redis.client())
        for (index, question) in (Self.questions + questions).enumerated() { #expect(theirs[index] == expected[index], "\(question)") }
    }

    @Test(.enabled(if: RedisPeer.isInstalled, "redis-server is not installed: run scripts/setup"))
    func `payloads go from Redis to us and back`() async throws {
        let redis = try RedisPeer()
        let served = try await ServedKeyspace()
        let (theirs, ours) = (try redis.client(), try served.client())
        defer { withExtendedLifetime(redis) {} }
        try fill(theirs)
        for key in ["string", "number", "list", "ints", "set", "hash", "zset"].map(octets) {
            let payload = try #require(try theirs.call([octets("DUMP"), key]).bytes)
            #expect(try ours.call([octets("RESTORE"), key, octets("0"), payload]) == .status("OK"))
            #expect(try ours.call([octets("RESTORE"), key, octets("0"), payload]) == .error("BUSYKEY Target key name already exists."))
            let back = try #require(try ours.call([octets("DUMP"), key]).bytes)
            #expect(try theirs.call([octets("RESTORE"), octets("copy"), octets("0"), back, octets("REPLACE")]) == .status("OK"))
            for (mine, other) in [("copy", key), (String(decoding: key, as: UTF8.self), key)] {
                let question = ["TYPE", "OBJECT ENCODING"].map { $0.split(separator: " ").map { octets(String($0)) } }
                #expect(try ours.call(question[0] + [other]) == theirs.call(question[0] + [octets(mine)]))
            }
        }
        let questions = ["GET string", "LRANGE list 0 -1", "SCARD ints", "HGET hash f", "ZRANGE zset 0 -1 WITHSCORES"]
        for question in questions {
            let words = question.split(separator: " ").map { octets(String($0)) }
            #expect(try ours.call(words) == theirs.call(words), "\(question)")
        }
        for payload in [[], octets("short"), [UInt8](repeating: 1, count: 40)] {
            let words = [octets("RESTORE"), octets("bad"), octets("0"), payload]
            #expect(try ours.call(words) == theirs.call(words))
        }
        await served.stop()
    }
}

/// Set once, by any thread.
private final class Flag: Sendable {
    private let value = Lock(false)
    var isSet: Bool { value.withLock { $0 } }
    func set() { value.withLock { $0 = true } }
}
