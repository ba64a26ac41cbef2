import Foundation
import TestSupport
import Testing

@testable import Keyspace

/// Files and payloads of a real Redis, and ours given to it.
@Suite(.enabled(if: RedisPeer.isInstalled, "redis-server is not installed: run scripts/setup"))
struct RedisSnapshotTests {
    /// What a Redis holds under a key, asked with commands. Sets, hashes and sorted sets in the order of their elements.
    private func value(of key: [UInt8], _ client: RedisClient) throws -> SnapshotValue? {
        func call(_ words: String...) throws -> [[UInt8]] {
            try client.call([octets(words[0]), key] + words.dropFirst().map(octets)).array?.compactMap(\.bytes) ?? []
        }
        switch try client.call([octets("TYPE"), key]) {
        case .status("string"): return .string(try client.call([octets("GET"), key]).bytes ?? [])
        case .status("list"): return .list(try call("LRANGE", "0", "-1"))
        case .status("set"): return sorted(.set(try call("SMEMBERS")))
        case .status("hash"):
            let all = try call("HGETALL")
            return sorted(.hash(stride(from: 0, to: all.count, by: 2).map { SnapshotValue.Field(name: all[$0], value: all[$0 + 1]) }))
        case .status("zset"):
            let all = try call("ZRANGE", "0", "-1", "WITHSCORES")
            return sorted(
                .sortedSet(
                    stride(from: 0, to: all.count, by: 2).map {
                        SnapshotValue.Member(bytes: all[$0], score: all[$0 + 1].withUnsafeBytes { RDBScore.parse($0) } ?? .nan)
                    }))
        case .status("stream"):
            var stream = SnapshotStream()
            for entry in try client.call([octets("XRANGE"), key, octets("-"), octets("+")]).array ?? [] {
                guard let id = entry.array?[0].text, let fields = entry.array?[1].array?.compactMap(\.bytes) else { return nil }
                stream.entries.append(SnapshotStream.Entry(id: parseID(id), fields: fields))
            }
            let information = try client.call([octets("XINFO"), octets("STREAM"), key]).array ?? []
            for index in stride(from: 0, to: information.count - 1, by: 2) {
                switch information[index].text {
                case "last-generated-id": stream.lastID = parseID(information[index + 1].text ?? "")
                case "max-deleted-entry-id": stream.maxDeletedID = parseID(information[index + 1].text ?? "")
                case "entries-added": stream.entriesAdded = UInt64(information[index + 1].integer ?? -1)
                default: break
                }
            }
            return .stream(stream)
        default: return nil
        }
    }

    private func parseID(_ text: String) -> SnapshotStream.ID {
        let parts = text.split(separator: "-").compactMap { UInt64($0) }
        return parts.count == 2 ? SnapshotStream.ID(parts[0], parts[1]) : SnapshotStream.ID(0, 0)
    }

    /// In one order, so that two can be compared; without a stream's groups, which are compared on their own.
    private func sorted(_ value: SnapshotValue) -> SnapshotValue {
        switch value {
        case .set(let elements): return .set(elements.sorted { $0.lexicographicallyPrecedes($1) })
        case .hash(let fields): return .hash(fields.sorted { $0.name.lexicographicallyPrecedes($1.name) })
        case .sortedSet(let members): return .sortedSet(members.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) })
        case .stream(var stream):
            stream.groups = []
            return .stream(stream)
        case .string, .list: return value
        }
    }

    /// Every type in every encoding that Redis 7.0 has; the key says which.
    private func fill(_ client: RedisClient) throws {
        func call(_ text: String) throws {
            let reply = try client.call(text.split(separator: " ").map { octets(String($0)) })
            if case .error(let reason) = reply { Issue.record("\(text): \(reason)") }
        }
        try call("SET string:int 12345")
        try call("SET string:embstr hello")
        try client.call([octets("SET"), octets("string:raw"), SnapshotSamples.texts.last ?? []])
        try client.call([octets("SET"), octets("string:compressed"), Array(repeating: 0x61, count: 100_000)])
        for text in SnapshotSamples.texts { try client.call([octets("SET"), octets("string:") + text, text]) }
        try call("RPUSH list:listpack a 1 -5 300 70000 -9000000000 \(String(repeating: "x", count: 100))")
        for number in 0..<500 { try call("RPUSH list:nodes element-\(number)-\(String(repeating: "y", count: number % 90))") }
        try client.call([octets("RPUSH"), octets("list:plain"), Array(repeating: 0x7A, count: 20_000), octets("small")])
        try call("SADD set:intset16 1 2 -3")
        try call("SADD set:intset32 1 70000 -70000")
        try call("SADD set:intset64 1 9000000000 -9000000000")
        try call("SADD set:table a b c \(String(repeating: "d", count: 70))")
        try call("HSET hash:listpack name value number 17 negative -4097")
        for number in 0..<600 { try call("HSET hash:table field:\(number) value:\(number)") }
        try call("ZADD zset:listpack 1 one 2.5 two -inf low +inf high 0.1 tenth")
        for number in 0..<300 { try call("ZADD zset:skiplist \(Double(number) / 7) member:\(number)") }
        for number in 0..<250 { try call("XADD stream:entries \(1000 + number / 3)-\(number % 3 + 1) name value-\(number) n \(number)") }
        try call("XADD stream:entries 5000-1 other fields here now and then")
        try call("XDEL stream:entries 1001-1 1080-2 5000-1")
        try call("XADD stream:emptied 7-7 a b")
        try call("XDEL stream:emptied 7-7")
        try call("XGROUP CREATE stream:entries group 0")
        try call("XREADGROUP GROUP group reader COUNT 5 STREAMS stream:entries >")
        try call("XREADGROUP GROUP group second COUNT 3 STREAMS stream:entries >")
        try call("XGROUP CREATECONSUMER stream:entries group idle")
        try call("PEXPIREAT hash:listpack 4000000000123")
        try call("SELECT 5")
        try call("SET string:elsewhere there EX 100000")
        try call("SELECT 0")
    }

    private func keys(_ client: RedisClient) throws -> [[UInt8]] {
        try client.call("KEYS", "*").array?.compactMap(\.bytes).sorted { $0.lexicographicallyPrecedes($1) } ?? []
    }

    @Test func `a file of Redis is read, key by key`() throws {
        let redis = try RedisPeer(["--list-max-listpack-size", "-1", "--dbfilename", "dump.rdb"])
        let client = try redis.client()
        try fill(client)
        try client.call("SAVE")
        let file = try Array(Data(contentsOf: redis.folder.appending(path: "dump.rdb")))
        let entries = try entries(in: file)
        #expect(entries.filter { $0.database == 5 }.map(\.key) == [octets("string:elsewhere")])
        let first = entries.filter { $0.database == 0 }
        #expect(first.map(\.key).sorted { $0.lexicographicallyPrecedes($1) } == (try keys(client)))
        for entry in first {
            #expect(try value(of: entry.key, client) == sorted(entry.value), "\(String(decoding: entry.key, as: UTF8.self))")
            let expiry = try client.call([octets("PEXPIRETIME"), entry.key]).integer
            #expect(expiry == entry.expiry ?? -1)
        }
        let stream = try #require(first.first { $0.key == octets("stream:entries") })
        guard case .stream(let whole) = stream.value, let group = whole.groups.first else {
            Issue.record("the group is gone")
            return
        }
        #expect(group.name == octets("group") && group.pending.count == 8)
        let information = try client.call("XINFO", "GROUPS", "stream:entries").array?.first?.array ?? []
        let place = try #require(information.firstIndex(of: .bytes(octets("entries-read"))))
        #expect(information[place + 1].integer ?? -1 == group.entriesRead)
        #expect(group.consumers.map(\.pending.count).sorted() == [0, 3, 5])
    }

    @Test func `our file of its keys is read by Redis, key by key`() throws {
        let redis = try RedisPeer(["--list-max-listpack-size", "-1", "--dbfilename", "dump.rdb"])
        let client = try redis.client()
        try fill(client)
        try client.call("SAVE")
        let theirs = try entries(in: Array(Data(contentsOf: redis.folder.appending(path: "dump.rdb"))))

        let folder = FileManager.default.temporaryDirectory.appending(path: "rdb-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data(SnapshotSamples.file(theirs)).write(to: folder.appending(path: "dump.rdb"))
        let second = try RedisPeer(folder: folder, ["--dbfilename", "dump.rdb"])
        let other = try second.client()
        #expect(try keys(other) == keys(client))
        for key in try keys(client) {
            var expected = try value(of: key, client)
            if case .stream(var stream) = expected {
                // The form of Redis 5, which every Redis reads, has no place for these.
                stream.maxDeletedID = SnapshotStream.ID(0, 0)
                stream.entriesAdded = UInt64(stream.entries.count)
                expected = .stream(stream)
            }
            #expect(try value(of: key, other) == expected, "\(String(decoding: key, as: UTF8.self))")
            #expect(
                try client.call([octets("PEXPIRETIME"), key]) == other.call([octets("PEXPIRETIME"), key]),
                "\(String(decoding: key, as: UTF8.self))")
        }
        #expect(try other.call("XPENDING", "stream:entries", "group") == client.call("XPENDING", "stream:entries", "group"))
    }

    @Test func `every value of ours is restored by Redis, and its payloads by us`() throws {
        let redis = try RedisPeer(["--sanitize-dump-payload", "yes"])
        let client = try redis.client()
        for (index, sample) in SnapshotSamples.values.enumerated() where !sample.isEmptyCollection {
            let key = octets("key:\(index)")
            let reply = try client.call([octets("RESTORE"), key, octets("0"), DumpPayload.make(sample)])
            #expect(reply == .status("OK"), "\(index)")
            guard case .bytes(let payload) = try client.call([octets("DUMP"), key]) else {
                Issue.record("no payload")
                continue
            }
            var restored = sorted(try readPayload(payload))
            if case .stream(var stream) = restored {
                stream.maxDeletedID = SnapshotStream.ID(0, 0)
                restored = .stream(stream)
            }
            #expect(restored == sorted(sample), "\(index)")
        }
    }

    @Test func `redis-check-rdb finds nothing wrong`() throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "check-\(UUID().uuidString.prefix(8)).rdb")
        try Data(SnapshotSamples.file()).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let result = try Command.run("redis-check-rdb", [file.path])
        #expect(result.status == 0 && result.text.contains("RDB looks OK"), "\(result.text)")
    }
}
