import Foundation
import Logging
import NIOCore
import Synchronization
import TestSupport
import Testing

@testable import HeadraceCache
@testable import Keyspace

/// The library on a keyspace, and the same on Redis where one is installed.
@Suite(.serialized) struct CacheTests {
    struct Report: Codable, Equatable, Sendable {
        var number: Int
        var words: [String]
    }

    enum Peer: CaseIterable { case headrace, redis }

    private func with(_ peer: Peer, _ change: (inout CacheOptions) -> Void = { _ in }, _ body: (Cache) async throws -> Void) async throws {
        var options = CacheOptions()
        options.beta = 0
        // Other tests take the CPU, too.
        options.timeout = .seconds(30)
        options.wait = .seconds(60)
        change(&options)
        switch peer {
        case .headrace:
            var configuration = KeyspaceConfiguration()
            configuration.listen = [.tcp(host: "127.0.0.1", port: 0)]
            configuration.threads = 1
            let server = try KeyspaceServer(configuration: configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            let port = try await server.start().plain.first?.port ?? 0
            let cache = Cache(host: "127.0.0.1", port: port, options: options)
            try await body(cache)
            await cache.close()
            await server.drain()
        case .redis:
            guard RedisPeer.isInstalled else { return }
            let redis = try RedisPeer()
            let cache = Cache(unixSocket: redis.folder.appending(path: "redis.sock").path, options: options)
            try await body(cache)
            await cache.close()
            withExtendedLifetime(redis) {}
        }
    }

    @Test(arguments: Peer.allCases) func `what is set is got until its end`(peer: Peer) async throws {
        try await with(peer) { cache in
            let report = Report(number: 7, words: ["ü", "\n", ""])
            #expect(try await cache.set("key", report, ttl: .seconds(3600)))
            #expect(await cache.get("key") == report)
            #expect(await cache.get("key", as: Int.self) == nil, "another type is a miss")
            #expect(try await cache.set("number", 5, ttl: .milliseconds(30)))
            try await Task.sleep(for: .milliseconds(60))
            #expect(await cache.get("number", as: Int.self) == nil)
            #expect(await cache.delete("key"))
            #expect(await cache.delete("key") == false)
        }
    }

    @Test(arguments: Peer.allCases) func `of many who ask one computes`(peer: Peer) async throws {
        try await with(peer) { cache in
            let computed = Count()
            try await withThrowingTaskGroup(of: Report.self) { group in
                for _ in 0..<50 {
                    group.addTask {
                        try await cache.remember("key", ttl: .minutes(5)) {
                            computed.raise()
                            try await Task.sleep(for: .milliseconds(100))
                            return Report(number: 1, words: [])
                        }
                    }
                }
                for try await report in group { #expect(report.number == 1) }
            }
            #expect(computed.value == 1)
            #expect(cache.statistics.hits == 49 && cache.statistics.computed == 1)
        }
    }

    @Test func `who found nothing and has the lock now takes what was stored in between`() async throws {
        try await Self.served({ _ in }) { cache, client in
            // Looks pass by, and the lock waits until the value is there.
            try client.call("CLIENT", "PAUSE", "600000", "WRITE")
            async let value = cache.remember("key", ttl: .seconds(60)) { "computed" }
            var hasLooked = false
            for _ in 0..<2000 where !hasLooked {
                hasLooked = try client.call("INFO", "commandstats").text?.contains("cmdstat_mget:calls=1,") ?? false
                try await Task.sleep(for: .milliseconds(10))
            }
            try #require(hasLooked)
            let envelope = CacheEnvelope(freshUntil: .infinity, cost: 0, tags: [], data: Array("\"stored\"".utf8)).bytes
            try client.send([Array("CLIENT".utf8), Array("UNPAUSE".utf8)], [Array("SET".utf8), Array("key".utf8), envelope])
            #expect(try client.reply() == .status("OK"))
            #expect(try client.reply() == .status("OK"))
            #expect(try await value == "stored")
            #expect(cache.statistics.hits == 1 && cache.statistics.computed == 0)
            #expect(try client.call("EXISTS", "lock:key").integer == 0)
        }
    }

    @Test(arguments: Peer.allCases) func `a tag makes invalid what is under it, and what is being computed`(peer: Peer) async throws {
        try await with(peer) { cache in
            let first = try await cache.remember("key", ttl: .seconds(60), tags: ["a b", "c"]) { "old" }
            #expect(first == "old")
            #expect(await cache.get("key") == "old")
            #expect(await cache.invalidate(tag: "a b"))
            #expect(await cache.get("key", as: String.self) == nil)
            let during = try await cache.remember("key", ttl: .seconds(60), tags: ["c"]) {
                await cache.invalidate(tag: "c")
                return "of before"
            }
            let after = try await cache.remember("key", ttl: .seconds(60), tags: ["c"]) { "new" }
            #expect(during == "of before" && after == "new")
        }
    }

    @Test(arguments: Peer.allCases) func `the stale value is given while another computes, and an error gives the lock back`(peer: Peer) async throws {
        struct Broken: Error {}
        try await with(peer, { $0.jitter = 0 }) { cache in
            _ = try await cache.remember("key", ttl: .milliseconds(30), stale: .seconds(60)) { "old" }
            try await Task.sleep(for: .milliseconds(60))
            let (computing, begin) = AsyncStream<Void>.makeStream()
            let (released, release) = AsyncStream<Void>.makeStream()
            async let new = cache.remember("key", ttl: .seconds(60), stale: .seconds(60)) {
                begin.yield()
                for await _ in released { break }
                return "new"
            }
            for await _ in computing { break }
            let meanwhile = try await cache.remember("key", ttl: .seconds(60), stale: .seconds(60)) { "unexpected" }
            #expect(meanwhile == "old" && cache.statistics.stale == 1)
            release.yield()
            #expect(try await new == "new")
            await #expect(throws: Broken.self) { try await cache.remember("broken", ttl: .seconds(60)) { () -> Int in throw Broken() } }
            let next = try await cache.remember("broken", ttl: .seconds(60)) { 1 }
            #expect(next == 1)
            // Nothing is a value, for a time of its own.
            let nothing = try await cache.remember("nothing", ttl: .seconds(60), negativeTTL: .zero) { nil as Int? }
            let something = try await cache.remember("nothing", ttl: .seconds(60)) { 2 as Int? }
            #expect(nothing == nil && something == 2)
        }
    }

    private static func served(_ change: (inout CacheOptions) -> Void, _ body: (Cache, RedisClient) async throws -> Void) async throws {
        var configuration = KeyspaceConfiguration()
        configuration.listen = [.tcp(host: "127.0.0.1", port: 0)]
        configuration.threads = 1
        let server = try KeyspaceServer(configuration: configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let port = try await server.start().plain.first?.port ?? 0
        var options = CacheOptions()
        options.beta = 0
        options.timeout = .seconds(30)
        change(&options)
        let cache = Cache(host: "127.0.0.1", port: port, options: options)
        try await body(cache, try RedisClient(port: port))
        await cache.close()
        await server.drain()
    }

    @Test func `lifetimes are shortened by chance, so that what came together does not end together`() async throws {
        try await Self.served({ $0.jitter = 0.5 }) { cache, client in
            for number in 0..<30 { _ = try await cache.remember("key\(number)", ttl: .seconds(1000)) { number } }
            let keys = try client.call("KEYS", "*key*").array ?? []
            let lifetimes = try keys.compactMap { try client.call([Array("PTTL".utf8), $0.bytes ?? []]).integer }
            #expect(lifetimes.count == 30 && lifetimes.allSatisfy { (400_000...1_000_000).contains($0) })
            #expect((lifetimes.max() ?? 0) - (lifetimes.min() ?? 0) > 100_000)
        }
    }

    @Test func `a value is renewed before its end, the likelier the longer it takes, and not when that is off`() async throws {
        for beta in [0, 1e15] {
            try await Self.served({ $0.beta = beta }) { cache, _ in
                for number in 1...2 {
                    let value = try await cache.remember("key", ttl: .seconds(3600)) {
                        try await Task.sleep(for: .milliseconds(5))
                        return number
                    }
                    #expect(value == (beta == 0 ? 1 : number))
                }
                #expect(cache.statistics.computed == (beta == 0 ? 1 : 2))
            }
        }
    }

    @Test func `that there is nothing is remembered as well, for a time of its own`() async throws {
        try await Self.served({ $0.jitter = 0 }) { cache, client in
            for _ in 0..<3 {
                let nothing = try await cache.remember("key", ttl: .seconds(3600), negativeTTL: .seconds(600)) { nil as Int? }
                #expect(nothing == nil)
            }
            #expect(cache.statistics.computed == 1 && cache.statistics.hits == 2)
            let key = try #require(try client.call("KEYS", "*key").array?.first?.bytes)
            let seconds = try client.call([Array("TTL".utf8), key]).integer ?? 0
            #expect((1...600).contains(seconds))
        }
    }

    @Test func `many calls share a connection, and one that is not answered in time is done without`() async throws {
        try await Self.served({ $0.timeout = .seconds(30) }) { cache, client in
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<200 {
                    group.addTask {
                        _ = try? await cache.set("key\(number)", number, ttl: nil)
                        let found = await cache.get("key\(number)", as: Int.self)
                        #expect(found == number)
                    }
                }
            }
            let clients = try client.call("CLIENT", "LIST").text ?? ""
            #expect(clients.split(separator: "\n").count == 2, "\(clients)")
        }
        try await Self.served({ $0.timeout = .milliseconds(200) }) { cache, client in
            try client.call("CLIENT", "PAUSE", "600000", "ALL")
            let value = try await cache.remember("key", ttl: .seconds(3600)) { 7 }
            #expect(value == 7 && cache.statistics.errors == 1 && cache.statistics.computed == 1)
        }
    }

    @Test func `a server that answers late is left alone for a while`() async throws {
        try await Self.served({
            $0.timeout = .milliseconds(200)
            $0.retryAfter = .seconds(30)
        }) { cache, client in
            try client.call("CLIENT", "PAUSE", "600000", "ALL")
            for number in 0..<3 { #expect(try await cache.remember("key", ttl: .seconds(3600)) { number } == number) }
            #expect(cache.statistics.errors == 1 && cache.statistics.skipped == 2 && cache.statistics.computed == 3)
        }
    }

    @Test func `who is refused when it has the lock gives it back`() async throws {
        try await Self.served({ ($0.username, $0.password) = ("reader", "secret") }) { cache, client in
            // Tags can be read, and none be made.
            let rules = ["ACL", "SETUSER", "reader", "on", ">secret", "+@all", "~key", "~lock:*", "%R~tag:*"]
            try client.call(rules.map { Array($0.utf8) })
            #expect(try await cache.remember("key", ttl: .seconds(60), tags: ["a"]) { 1 } == 1)
            #expect(cache.statistics.errors == 1 && cache.statistics.computed == 1)
            #expect(try client.call("EXISTS", "lock:key") == .integer(0))
        }
    }

    @Test func `of calls that fail together the server is left alone for as long as of one`() async throws {
        try await Self.served({
            $0.timeout = .milliseconds(200)
            $0.retryAfter = .milliseconds(100)
        }) { cache, client in
            try client.call("CLIENT", "PAUSE", "600000", "ALL")
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<64 { group.addTask { _ = try? await cache.set("key", number, ttl: nil) } }
            }
            try client.call("CLIENT", "UNPAUSE")
            // By the 64th of a row it would be left alone for 30 s.
            let end = ContinuousClock.now + .seconds(20)
            var isBack = false
            while !isBack, ContinuousClock.now < end {
                try await Task.sleep(for: .milliseconds(20))
                isBack = try await cache.set("key", 1, ttl: nil)
            }
            #expect(isBack)
        }
    }

    @Test func `without a server values are computed, and it is asked again by and by`() async throws {
        var options = CacheOptions()
        options.timeout = .milliseconds(200)
        let cache = Cache(host: "127.0.0.1", port: 1, options: options)
        for number in 0..<50 {
            let value = try await cache.remember("key", ttl: .seconds(60)) { number }
            #expect(value == number)
        }
        #expect(cache.statistics.errors == 1 && cache.statistics.skipped == 49 && cache.statistics.computed == 50)
        #expect(try await cache.set("key", 1, ttl: nil) == false)
    }

    @Test func `a server that went comes back`() async throws {
        guard RedisPeer.isInstalled else { return }
        let folder = try TemporaryFolder()
        var options = CacheOptions()
        options.retryAfter = .milliseconds(20)
        let cache = Cache(unixSocket: folder.url.appending(path: "redis.sock").path, options: options)
        for round in 0..<2 {
            let redis = try RedisPeer(folder: folder.url)
            let isBack = try await { () async throws -> Bool in
                for _ in 0..<100 {
                    if try await cache.set("key", round, ttl: nil) { return true }
                    try await Task.sleep(for: .milliseconds(20))
                }
                return false
            }()
            #expect(isBack)
            #expect(await cache.get("key") == round)
            try redis.shutdown(saving: false)
        }
        #expect(await cache.get("key", as: Int.self) == nil)
    }

    @Test func `envelopes go round, and those of the Python package are read`() {
        let tags = [("a b", "x"), ("ü,=", "y")]
        let bytes = CacheEnvelope(freshUntil: 12.5, cost: 0.25, tags: tags, data: [0x31, 0x0A, 0x32]).bytes
        let back = CacheEnvelope(parsing: bytes)
        #expect(back?.freshUntil == 12.5 && back?.cost == 0.25 && back?.data == [0x31, 0x0A, 0x32])
        #expect(back?.tags.map(\.tag) == ["a b", "ü,="] && back?.tags.map(\.token) == ["x", "y"])
        let theirs = CacheEnvelope(parsing: Array("hr1 j inf 0.000000 scan%3A7=9f\n[1]".utf8))
        #expect(theirs?.freshUntil == .infinity && theirs?.tags.first?.tag == "scan:7" && theirs?.data == Array("[1]".utf8))
        for bad in ["", "plain", "hr1 p 1 2 -\n1", "hr1 j x 2 -\n1", "hr1 j 1 2 a\n1", "hr1 j 1 2 a=b=c\n1", "hr1 j 1 2 %g=b\n1"] {
            #expect(CacheEnvelope(parsing: Array(bad.utf8)) == nil, "\(bad)")
        }
    }
}

/// Raised by any task.
private final class Count: Sendable {
    private let number = Mutex(0)
    var value: Int { number.withLock { $0 } }
    func raise() { number.withLock { $0 += 1 } }
}
