import Foundation
import Logging
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import Keyspace

@Suite struct KeyspaceServerTests {
    @Test func `maxclients bounds who comes, and leaves who is there`() async throws {
        let served = try await ServedKeyspace()
        let first = try served.client()
        #expect(try first.call("CONFIG", "SET", "maxclients", "1") == .status("OK"))
        #expect(try first.call("CONFIG", "GET", "maxclients").array?.last?.text == "1")
        #expect(throws: (any Error).self) { try served.client().call("PING") }
        #expect(try first.call("CONFIG", "SET", "maxclients", "2") == .status("OK"))
        #expect(try served.client().call("PING") == .status("PONG"))
        #expect(served.server.keyspace.currentConfiguration.clientsMax == 2)
        await served.stop()
    }

    /// Keeps what is said.
    private final class Lines: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { lines.withLock { $0 } }
        func add(_ line: String) { lines.withLock { $0.append(line) } }
    }

    private struct Handler: LogHandler {
        let lines: Lines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) { lines.add("\(event.level) \(event.message)") }
    }

    @Test(arguments: EvictionPolicy.allCases)
    func `with any eviction on the log says that queues and locks want none`(policy: EvictionPolicy) async throws {
        let lines = Lines()
        var configuration = KeyspaceConfiguration()
        configuration.listen = [.tcp(host: "127.0.0.1", port: 0)]
        configuration.threads = 1
        configuration.policy = policy
        let server = try KeyspaceServer(configuration: configuration, logger: Logger(label: "test") { _ in Handler(lines: lines) })
        _ = try await server.start()
        #expect(lines.all.contains { $0.contains("queues (Celery, RQ) and locks want maxmemory-policy noeviction") } == (policy != .noeviction))
        await server.drain()
    }

    /// A disk that takes its time: whoever opens the file waits until somebody reads it, and then it is none that can be written.
    private final class SlowDisk {
        let url = FileManager.default.temporaryDirectory.appending(path: "slow-\(UUID().uuidString.prefix(8))")
        private var pipe: String { url.appending(path: "dump.rdb.new").path }

        init() throws {
            try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
            guard mkfifo(pipe, 0o600) == 0 else { throw RawClient.Failure(description: "mkfifo: \(errno)") }
        }

        func fail() {
            let descriptor = open(pipe, O_RDONLY | O_NONBLOCK)
            // Once there is something to read it was opened: before that, whoever opens it behind the unlink has a file that can be written.
            var begun = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            _ = poll(&begun, 1, 60_000)
            unlink(pipe)
            close(descriptor)
        }

        deinit { try? FileManager.default.removeItem(at: url) }
    }

    /// A worker of a queue that is killed while it waits for work: what comes next is for somebody else.
    @Test func `who waits for an element and is gone is given none`() async throws {
        let served = try await ServedKeyspace()
        let client = try served.client()
        func waiting(_ count: Int) -> Bool { eventually(seconds: 30) { (try? client.call("INFO", "clients").text)?.contains("blocked_clients:\(count)\r") == true } }
        for request in ["BLPOP q 0\r\n", "BLPOP q 0\r\nPING\r\n", "BLMOVE q taken LEFT LEFT 0\r\n"] {
            for isWhole in [true, false] {
                var worker: RawClient? = try RawClient(port: served.port)
                worker?.send(request)
                #expect(waiting(1))
                if isWhole { worker = nil } else { worker?.finishSending() }
                #expect(waiting(0), "\(request)")
                #expect(try client.call("RPUSH", "q", "job") == .integer(1))
                #expect(try client.call("LPOP", "q") == .bytes(octets("job")), "\(request)")
                withExtendedLifetime(worker) {}
            }
        }
        await served.stop()
    }

    @Test func `who saves waits alone: others of the same event loop are served, and it is taken for no hang`() async throws {
        let disk = try SlowDisk()
        let served = try await ServedKeyspace(threads: 1) { $0.directory = disk.url.path }
        let (saver, other) = (try served.client(), try served.client())
        #expect(try other.call("SET", "k", "v") == .status("OK"))
        try saver.send([octets("SAVE")])
        try saver.send([octets("PING")])
        let isSaving = eventually { (try? other.call("INFO", "persistence").text)?.contains("rdb_bgsave_in_progress:1") == true }
        #expect(isSaving)
        await served.server.pulse()
        #expect(try other.call("SAVE") == .error("ERR Background save already in progress"))
        #expect(try other.call("GET", "k").text == "v")
        disk.fail()
        #expect(try saver.reply() == .error("ERR the snapshot could not be written"))
        #expect(try saver.reply() == .status("PONG"), "in their order")
        #expect(try saver.call("SAVE") == .status("OK") && FileManager.default.fileExists(atPath: disk.url.appending(path: "dump.rdb").path))
        await served.stop()
    }

    @Test func `SHUTDOWN that saves is taken for no hang`() async throws {
        let disk = try SlowDisk()
        var configuration = KeyspaceConfiguration()
        configuration.listen = [.tcp(host: "127.0.0.1", port: 0)]
        configuration.threads = 1
        configuration.directory = disk.url.path
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let server = try KeyspaceServer(configuration: configuration, ending: {}, logger: logger)
        let port = try await server.start().plain.first?.port ?? 0
        let client = try RedisClient(port: port)
        #expect(try client.call("SET", "k", "v") == .status("OK"))
        try client.send(["SHUTDOWN", "SAVE"].map(octets))
        #expect(eventually { server.keyspace.isSavingToEnd.load(ordering: .relaxed) })
        await server.pulse()
        disk.fail()
        #expect(try client.reply() == .error("ERR Errors trying to SHUTDOWN. Check logs."))
        await server.drain()
    }

    @Test func `large answers of a pipeline leave in pieces that the nearest caches hold, in order and whole`() async throws {
        let served = try await ServedKeyspace(threads: 1)
        let values = (0..<16).map { String(repeating: "\($0 % 10)", count: 8192) }
        let setter = try served.client()
        for (number, value) in values.enumerated() { #expect(try setter.call("SET", "k\(number)", value) == .status("OK")) }
        let writes = { served.server.keyspace.loops.withLock { $0.reduce(0) { $0 + $1.writes.value } } }
        let before = writes()
        let client = try RawClient(port: served.port)
        client.send(values.indices.map { "GET k\($0)\r\n" }.joined() + "QUIT\r\n")
        #expect(client.readToEnd(seconds: 60) == values.map { "$8192\r\n\($0)\r\n" }.joined() + "+OK\r\n")
        // 128 KB by 48.
        #expect(writes() - before >= 3)
        await served.stop()
    }

    @Test func `large pipelines of several clients at a time keep their bytes apart`() async throws {
        let served = try await ServedKeyspace(threads: 1)
        let clients = try (0..<3).map { _ in try RawClient(port: served.port) }
        for round in 0..<3 {
            // Some of 40 KB are whole with what is read, and some of 200 KB need a larger buffer than the smallest.
            for (number, client) in clients.enumerated() {
                for part in 0..<12 {
                    let value = String(repeating: "\(round)\(number)\(part % 10)", count: part % 4 == 3 ? 68_000 : 14_000)
                    client.send("*3\r\n$3\r\nSET\r\n$2\r\nk\(number)\r\n$\(value.utf8.count)\r\n\(value)\r\n")
                }
            }
            for (number, client) in clients.enumerated() {
                let value = String(repeating: "\(round)\(number)1", count: 68_000)
                let expected = String(repeating: "+OK\r\n", count: 12) + "$\(value.utf8.count)\r\n\(value)\r\n"
                client.send("*2\r\n$3\r\nGET\r\n$2\r\nk\(number)\r\n")
                var answer = ""
                let isWhole = eventually {
                    answer += client.readAvailable(milliseconds: 20)
                    return answer.utf8.count >= expected.utf8.count
                }
                #expect(isWhole && answer == expected)
            }
        }
        await served.stop()
    }

    @Test func `a large buffer that was given back is lent again, and sixteen are kept`() {
        let worker = KeyspaceWorker(
            eventLoop: MultiThreadedEventLoopGroup.singleton.any(), keyspace: Keyspace(KeyspaceConfiguration()), index: 0, loopCount: 1,
            logger: Logger(label: "test"))
        func lend(_ count: Int) -> Set<UnsafeRawPointer?> {
            var buffers = (0..<count).compactMap { _ in worker.takeInput(100 << 10) }
            #expect(buffers.count == count && buffers.allSatisfy { $0.readableBytes == 0 && $0.writableBytes >= 100 << 10 })
            let places = Set(buffers.map { $0.withVeryUnsafeBytes { $0.baseAddress } })
            while let buffer = buffers.popLast() { worker.giveBackInput(consume buffer) }
            return places
        }
        let first = lend(20)
        #expect(lend(16).isSubset(of: first))
        // Less than half of the smallest, and more than the largest, is for malloc.
        #expect(worker.takeInput(64 << 10) == nil && worker.takeInput(256 << 10 + 1) == nil && worker.takeInput(256 << 10)?.writableBytes == 256 << 10)
    }

    @Test func `a shard that is full of due keys keeps those of no other waiting`() async throws {
        let served = try await ServedKeyspace(threads: 1)
        let keyspace = served.server.keyspace
        func shard(_ name: String) -> Int { Array(name.utf8).withUnsafeBytes { keyspace.shardIndex(of: KeyHash.hash($0)) } }
        var names: [Int: [String]] = [:]
        var number = 0
        while names[0, default: []].count < 10_000 {
            let name = "key\(number)"
            number += 1
            let place = shard(name)
            if place == 0 || names[place] == nil { names[place, default: []].append(name) }
        }
        #expect(names.count == Keyspace.shardCount)
        let client = try served.client()
        for (_, names) in names {
            for start in stride(from: 0, to: names.count, by: 1000) {
                let some = names[start..<min(start + 1000, names.count)]
                #expect(try client.call((["MSET"] + some.flatMap { [$0, "v"] }).map(octets)) == .status("OK"))
            }
        }
        #expect(try client.call("CONFIG", "SET", "notify-keyspace-events", "Ex") == .status("OK"))
        try client.send(["SUBSCRIBE", "__keyevent@0__:expired"].map(octets))
        _ = try client.reply()
        // All at one instant: nobody looks for what is due as long as the locks are held.
        keyspace.withShards(Keyspace.allShards) {
            for name in names.values.joined() {
                Array(name.utf8).withUnsafeBytes { bytes in
                    let key = Key(bytes)
                    if let entry = keyspace.shard(of: key.hash)[0].find(key) { keyspace.shard(of: key.hash)[0].setDeadline(entry, key.hash, 1) }
                }
            }
        }
        var order: [Int] = []
        for _ in 0..<10_000 + Keyspace.shardCount - 1 { order.append(shard(try client.reply().array?.last?.text ?? "")) }
        // A round has 128 of the full one; where it was when the locks were let go makes it two or three.
        let last = order.lastIndex { $0 != 0 } ?? -1
        #expect(Set(order).count == Keyspace.shardCount && last < 4 * 128 + Keyspace.shardCount, "the last of another was number \(last)")
        #expect(keyspace.sums(nil).expiryCutShort > 0, "in slices, between which others are served")
        #expect(keyspace.keyCount(0, nil).keys == 0)
        await served.stop()
    }
}
