import TestSupport
import Testing

@testable import Keyspace

@Suite struct PubSubTests {
    private let news = octets("news")

    @Test func `a message goes to the channel's subscribers and to matching patterns, twice to who has both`() {
        var pubSub = PubSub()
        #expect(pubSub.subscribed(1, to: news, .channel) == .subscribed(count: 1))
        #expect(pubSub.subscribed(1, to: octets("n*"), .pattern) == .subscribed(count: 2))
        #expect(pubSub.subscribed(2, to: octets("other"), .channel) == .subscribed(count: 1))
        #expect(
            pubSub.published(to: news) == [
                PubSub.Delivery(client: 1, kind: .channel, subscription: news),
                PubSub.Delivery(client: 1, kind: .pattern, subscription: octets("n*")),
            ])
        #expect(pubSub.published(to: octets("nobody's")).map(\.kind) == [.pattern])
        #expect(pubSub.published(to: octets("silence")).isEmpty)
    }

    @Test func `shard channels are a namespace of their own`() {
        var pubSub = PubSub()
        #expect(pubSub.subscribed(1, to: news, .shardChannel) == .subscribed(count: 1))
        #expect(pubSub.subscribed(1, to: news, .channel) == .subscribed(count: 1))
        #expect(pubSub.published(to: news).map(\.kind) == [.channel])
        #expect(pubSub.published(to: news, isSharded: true).map(\.kind) == [.shardChannel])
    }

    @Test func `subscribing twice counts once`() {
        var pubSub = PubSub()
        _ = pubSub.subscribed(1, to: news, .channel)
        #expect(pubSub.subscribed(1, to: news, .channel) == .subscribed(count: 1))
        #expect(pubSub.subscriberCount(news) == 1)
        #expect(pubSub.unsubscribed(1, from: octets("never"), .channel) == 1)
        #expect(pubSub.unsubscribed(1, from: news, .channel) == 0 && pubSub.isQuiet)
    }

    @Test func `a client may have so many subscriptions and not one more`() {
        var pubSub = PubSub(subscriptionsPerClientMax: 3)
        _ = pubSub.subscribed(1, to: octets("a"), .channel)
        _ = pubSub.subscribed(1, to: octets("b"), .pattern)
        #expect(pubSub.subscribed(1, to: octets("c"), .shardChannel) == .subscribed(count: 1))
        #expect(pubSub.subscribed(1, to: octets("d"), .channel) == .tooMany)
        #expect(pubSub.subscribed(1, to: octets("a"), .channel) == .subscribed(count: 2))
        pubSub.checkInvariants()
    }

    @Test func `a client may have a hundred thousand names`() {
        var pubSub = PubSub()
        for number in 0..<100_000 { #expect(pubSub.subscribed(1, to: octets("channel:\(number)"), .channel) == .subscribed(count: number + 1)) }
        #expect(pubSub.subscribed(1, to: octets("one more"), .channel) == .tooMany)
        pubSub.closed(1)
        #expect(pubSub.isQuiet)
    }

    @Test func `long names count: a client may have so many bytes of them, and again as many when it has let go of them`() {
        var pubSub = PubSub(bytesPerClientMax: 10_000)
        let long = [UInt8](repeating: 97, count: 4_000)
        #expect(pubSub.subscribed(1, to: long, .channel) == .subscribed(count: 1))
        #expect(pubSub.subscribed(1, to: long, .pattern) == .subscribed(count: 2))
        #expect(pubSub.subscribed(1, to: long, .shardChannel) == .tooMany)
        #expect(pubSub.subscribed(2, to: long, .shardChannel) == .subscribed(count: 1))
        #expect(pubSub.unsubscribed(1, from: long, .pattern) == 1 && pubSub.bytes(of: 1) == 4_256)
        #expect(pubSub.unsubscribed(1, from: long, .pattern) == 1 && pubSub.bytes(of: 1) == 4_256)
        #expect(pubSub.subscribed(1, to: long, .shardChannel) == .subscribed(count: 1))
        pubSub.checkInvariants()
        pubSub.closed(1)
        #expect(pubSub.bytes(of: 1) == 0)
    }

    @Test func `who is gone hears nothing, and nothing of it is kept`() {
        var random = SeededRandom(seed: 7)
        var pubSub = PubSub()
        let names = ["a", "ab", "b", "*", "a*"].map(octets)
        let kinds: [PubSub.Kind] = [.channel, .pattern, .shardChannel]
        for _ in 0..<3000 {
            let client = Int.random(in: 0..<6, using: &random)
            switch Int.random(in: 0..<5, using: &random) {
            case 0, 1, 2: _ = pubSub.subscribed(client, to: random.pick(names), random.pick(kinds))
            case 3: _ = pubSub.unsubscribed(client, from: random.pick(names), random.pick(kinds))
            default:
                pubSub.closed(client)
                #expect(!pubSub.isSubscribed(client))
                #expect(names.allSatisfy { name in pubSub.published(to: name).allSatisfy { $0.client != client } })
            }
            pubSub.checkInvariants()
        }
        for client in 0..<6 { pubSub.closed(client) }
        #expect(pubSub.isQuiet && pubSub.patternCount == 0 && pubSub.activeChannels().isEmpty)
    }
}

@Suite struct KeyspaceEventsTests {
    @Test(arguments: [("", ""), ("KEA", "AKE"), ("Ex", "xE"), ("K$lg", "g$lK"), ("AKEmn", "AKEm"), ("KEmn$", "$nKEm"), ("g$lshzxetdKE", "AKE")])
    func `letters are read, and said as Redis says them`(letters: String, text: String) {
        #expect(KeyspaceEvents(parsing: letters)?.text == text)
    }

    @Test func `an unknown letter is refused`() {
        #expect(KeyspaceEvents(parsing: "KEq") == nil)
    }

    @Test func `an event goes to the key's channel and to the event's`() throws {
        let events = try #require(KeyspaceEvents(parsing: "KE$"))
        let messages = events.messages(.string, event: "set", key: octets("k"), database: 3)
        #expect(messages.map(\.channel) == [octets("__keyspace@3__:k"), octets("__keyevent@3__:set")])
        #expect(messages.map(\.message) == [octets("set"), octets("k")])
        #expect(events.messages(.list, event: "lpush", key: octets("k"), database: 0).isEmpty)
        #expect(KeyspaceEvents(parsing: "$")?.isOff == true && KeyspaceEvents(parsing: "KE")?.isOff == true)
    }

    /// What keys tell of commands, as `event key`.
    private func events(_ letters: String, _ commands: [String]) -> [String] {
        let talk = Conversation()
        _ = talk.line("CONFIG SET notify-keyspace-events \(letters)")
        _ = talk.line("PSUBSCRIBE __keyevent@*__:*", by: 2)
        for command in commands { _ = talk.line(command) }
        return talk.delivered().map { message in
            let words = message.split(separator: "|")
            return "\(words[6].split(separator: ":").last ?? "") \(words[8])"
        }
    }

    @Test func `who reads a key that is not there is told of as a miss, where that is asked for`() {
        let readers = [
            "GET k", "MGET k k", "EXISTS k", "TYPE k", "TTL k", "TOUCH k", "STRLEN k", "LRANGE k 0 1", "SMEMBERS k", "HGET k f", "ZSCORE k m", "XLEN k", "DUMP k",
            "COPY k l", "SINTERSTORE l k", "SORT k", "GETDEL k", "GETEX k",
        ]
        for reader in readers { #expect(events("Em", [reader]) == Array(repeating: "keymiss k", count: reader == "MGET k k" ? 2 : 1), "\(reader)") }
        #expect(events("Em", ["SET k v GET", "SET k w GET"]) == ["keymiss k"])
        #expect(events("Em", ["LPUSH l v", "LCS l k"]) == ["keymiss k"], "though l is no string")
        #expect(events("EA", readers).isEmpty, "A does not stand for it")
        // Who writes, or asks how a value is kept, misses nothing.
        #expect(events("Em", ["DEL k", "LPOP k", "EXPIRE k 1", "OBJECT ENCODING k", "MEMORY USAGE k", "SREM k m", "XTRIM k MAXLEN 0"]).isEmpty)
    }

    @Test func `a key that was not there is told of as new, where that is asked for`() {
        let makers = ["SET k v", "INCR k", "APPEND k v", "SETRANGE k 0 v", "SETBIT k 0 1", "LPUSH k v", "SADD k v", "HSET k f v", "ZADD k 1 m", "XADD k 1-1 f v", "MSET k v"]
        for maker in makers { #expect(events("En", [maker]) == ["new k"], "\(maker)") }
        #expect(events("EA", makers).allSatisfy { !$0.hasPrefix("new") }, "A does not stand for it")
        #expect(events("En", ["SET k 1", "SET k 2", "INCR k", "APPEND k 3", "DEL k", "SET k 4"]) == ["new k", "new k"])
        #expect(events("EAn", ["SET a 1", "COPY a b", "RENAME a b", "MOVE b 1"]) == [
            "new a", "set a", "new b", "copy_to b", "new b", "rename_from a", "rename_to b", "new b", "move_from b", "move_to b",
        ])
    }

    @Test func `a deadline that has passed is told of as one that passes`() {
        #expect(events("EAn", ["SET k v PXAT 1", "EXISTS k"]) == ["new k", "set k", "expire k", "expired k"])
        #expect(events("EA", ["SET k v", "SET k v EXAT 1", "GET k"]) == ["set k", "set k", "expire k", "expired k"])
    }

    @Test(.enabled(if: RedisPeer.isInstalled, "redis-server is not installed: run scripts/setup"))
    func `every combination of letters is said as Redis says it`() throws {
        let redis = try RedisPeer()
        let client = try redis.client()
        defer { withExtendedLifetime(redis) {} }
        var random = SeededRandom(seed: 3)
        for _ in 0..<200 {
            let letters = String((0..<Int.random(in: 0...9, using: &random)).map { _ in random.pick(Array("KEAg$lshzxetdmn")) })
            try client.call("CONFIG", "SET", "notify-keyspace-events", letters)
            let said = try client.call("CONFIG", "GET", "notify-keyspace-events").array?.last?.text
            #expect(KeyspaceEvents(parsing: letters)?.text == said, "\(letters)")
        }
    }
}
