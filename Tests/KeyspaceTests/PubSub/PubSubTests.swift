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
