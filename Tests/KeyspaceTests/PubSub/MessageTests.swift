import TestSupport
import Testing

@testable import Keyspace

/// Messages, events and invalidations between real connections.
@Suite(.serialized) struct MessageTests {
    private func bulks(_ words: String...) -> RedisClient.Reply { .array(words.map { .bytes(octets($0)) }) }

    @Test func `a message reaches the subscriber of its channel and of a pattern`() async throws {
        let served = try await ServedKeyspace()
        let (subscriber, publisher) = (try served.client(), try served.client())
        #expect(try subscriber.call("SUBSCRIBE", "news") == .array([.bytes(octets("subscribe")), .bytes(octets("news")), .integer(1)]))
        #expect(try subscriber.call("PSUBSCRIBE", "n*") == .array([.bytes(octets("psubscribe")), .bytes(octets("n*")), .integer(2)]))
        #expect(try publisher.call("PUBLISH", "news", "hello") == .integer(2))
        #expect(try subscriber.reply() == bulks("message", "news", "hello"))
        #expect(try subscriber.reply() == bulks("pmessage", "n*", "news", "hello"))
        #expect(try publisher.call("PUBSUB", "CHANNELS") == bulks("news"))
        #expect(try publisher.call("PUBSUB", "NUMSUB", "news") == .array([.bytes(octets("news")), .integer(1)]))
        #expect(try publisher.call("PUBSUB", "NUMPAT") == .integer(1))
        guard case .error(let reason) = try subscriber.call("GET", "x") else {
            Issue.record("a subscriber in RESP2 may not say GET")
            return
        }
        #expect(reason.contains("only (P|S)SUBSCRIBE"))
        #expect(try subscriber.call("PING") == bulks("pong", ""))
        #expect(try subscriber.call("UNSUBSCRIBE") == .array([.bytes(octets("unsubscribe")), .bytes(octets("news")), .integer(1)]))
        #expect(try subscriber.call("PUNSUBSCRIBE") == .array([.bytes(octets("punsubscribe")), .bytes(octets("n*")), .integer(0)]))
        #expect(try publisher.call("PUBLISH", "news", "nobody") == .integer(0))
        #expect(try subscriber.call("GET", "x") == .null)
        await served.stop()
    }

    @Test func `who closes its connection hears nothing more, and nothing of it is kept`() async throws {
        let served = try await ServedKeyspace()
        let publisher = try served.client()
        do {
            let subscriber = try served.client()
            try subscriber.call("SUBSCRIBE", "news")
        }
        #expect(try eventually { try publisher.call("PUBLISH", "news", "x") == .integer(0) })
        #expect(served.server.keyspace.hub.pubSub.withLock { $0.isQuiet })
        await served.stop()
    }

    @Test func `keys tell of what happens to them, once that is asked for`() async throws {
        let served = try await ServedKeyspace()
        let (subscriber, writer) = (try served.client(), try served.client())
        try subscriber.call("PSUBSCRIBE", "__key*__:*")
        try writer.call("SET", "quiet", "1")
        #expect(try writer.call("CONFIG", "SET", "notify-keyspace-events", "KEA") == .status("OK"))
        try writer.call("SET", "k", "1")
        #expect(try subscriber.reply() == bulks("pmessage", "__key*__:*", "__keyspace@0__:k", "set"))
        #expect(try subscriber.reply() == bulks("pmessage", "__key*__:*", "__keyevent@0__:set", "k"))
        try writer.call("DEL", "k")
        #expect(try subscriber.reply() == bulks("pmessage", "__key*__:*", "__keyspace@0__:k", "del"))
        #expect(try subscriber.reply() == bulks("pmessage", "__key*__:*", "__keyevent@0__:del", "k"))
        try writer.call("SET", "e", "1", "PX", "1")
        var events: [String] = []
        while events.last != "expired" {
            if let words = try subscriber.reply().array, words[2].text == "__keyspace@0__:e" { events.append(words[3].text ?? "") }
        }
        #expect(events == ["set", "expire", "expired"])
        await served.stop()
    }

    @Test func `who caches a key is told of its change: in RESP2 through another connection`() async throws {
        let served = try await ServedKeyspace()
        let (reader, listener, writer) = (try served.client(), try served.client(), try served.client())
        let id = try #require(try listener.call("CLIENT", "ID").integer)
        try listener.call("SUBSCRIBE", "__redis__:invalidate")
        #expect(try reader.call("CLIENT", "TRACKING", "ON", "REDIRECT", "\(id)") == .status("OK"))
        #expect(try reader.call("CLIENT", "GETREDIR") == .integer(id))
        try writer.call("SET", "k", "1")
        #expect(try reader.call("GET", "k") == .bytes(octets("1")))
        try writer.call("SET", "other", "2")
        try writer.call("SET", "k", "2")
        let message = RedisClient.Reply.array([.bytes(octets("message")), .bytes(octets("__redis__:invalidate")), bulks("k")])
        #expect(try listener.reply() == message)
        // Not again before it is read again.
        try writer.call("SET", "k", "3")
        #expect(try reader.call("GET", "k") == .bytes(octets("3")))
        try writer.call("FLUSHALL")
        #expect(try listener.reply() == .array([.bytes(octets("message")), .bytes(octets("__redis__:invalidate")), .null]))
        #expect(try reader.call("CLIENT", "TRACKING", "OFF") == .status("OK"))
        #expect(served.server.keyspace.hub.tracking.withLock { $0.isOff })
        for words in [["ON", "BCAST", "OPTIN"], ["ON", "PREFIX", "x"], ["ON", "REDIRECT", "999999"], ["ON", "OPTIN", "OPTOUT"], ["MAYBE"]] {
            if case .error = try reader.call((["CLIENT", "TRACKING"] + words).map(octets)) {} else { Issue.record("\(words) was taken") }
        }
        await served.stop()
    }

    @Test func `each way of tracking tells what it says, over the wire`() async throws {
        let served = try await ServedKeyspace()
        let writer = try served.client()
        func invalidated(_ keys: String...) -> RedisClient.Reply { .array([.bytes(octets("message")), .bytes(octets("__redis__:invalidate")), bulks2(keys)]) }
        func bulks2(_ words: [String]) -> RedisClient.Reply { .array(words.map { .bytes(octets($0)) }) }
        func listener() throws -> (client: RedisClient, id: String) {
            let client = try served.client()
            let id = try client.call("CLIENT", "ID").integer ?? 0
            try client.call("SUBSCRIBE", "__redis__:invalidate")
            return (client, "\(id)")
        }
        for mode in [["BCAST", "PREFIX", "user:"], ["OPTIN"], ["OPTOUT"], ["NOLOOP"], []] {
            let (told, id) = try listener()
            let reader = try served.client()
            #expect(try reader.call((["CLIENT", "TRACKING", "ON", "REDIRECT", id] + mode).map(octets)) == .status("OK"))
            // Not to be told of: read, but not opted in; opted out; outside of the prefix; its own change.
            switch mode.first {
            case "BCAST":
                try writer.call("SET", "other:1", "v")
                try writer.call("SET", "user:1", "v")
            case "OPTIN":
                try reader.call("GET", "other:1")
                #expect(try reader.call("CLIENT", "CACHING", "YES") == .status("OK"))
                try reader.call("GET", "user:1")
                for key in ["other:1", "user:1"] { try writer.call("SET", key, "w") }
            case "OPTOUT":
                #expect(try reader.call("CLIENT", "CACHING", "NO") == .status("OK"))
                try reader.call("GET", "other:1")
                try reader.call("GET", "user:1")
                for key in ["other:1", "user:1"] { try writer.call("SET", key, "x") }
            case "NOLOOP":
                try reader.call("MGET", "other:1", "user:1")
                try reader.call("SET", "other:1", "y")
                try writer.call("SET", "user:1", "y")
            default:
                try reader.call("GET", "user:1")
                try reader.call("SET", "user:1", "z")
            }
            #expect(try told.reply() == invalidated("user:1"), "\(mode)")
            // Nothing came before it or behind it: the next message is the one about this.
            try writer.call("PUBLISH", "__redis__:invalidate", "end")
            #expect(try told.reply() == bulks("message", "__redis__:invalidate", "end"), "\(mode)")
        }
        // A listener that is gone: the one who tracks is told so, and tracking goes on.
        let reader = try served.client()
        do {
            let (told, id) = try listener()
            #expect(try reader.call("CLIENT", "TRACKING", "ON", "REDIRECT", id) == .status("OK"))
            withExtendedLifetime(told) {}
        }
        #expect(try eventually(seconds: 30) { try reader.call("CLIENT", "TRACKINGINFO").array?[1] == bulks("on", "broken_redirect") })
        await served.stop()
    }

    @Test func `what a transaction or a script reads is tracked, too`() async throws {
        let served = try await ServedKeyspace()
        let (told, reader, writer) = (try served.client(), try served.client(), try served.client())
        let id = try told.call("CLIENT", "ID").integer ?? 0
        try told.call("SUBSCRIBE", "__redis__:invalidate")
        for mode in [[], ["OPTIN"]] {
            #expect(try reader.call((["CLIENT", "TRACKING", "ON", "REDIRECT", "\(id)"] + mode).map(octets)) == .status("OK"))
            for requests in [[["MULTI"], ["GET", "k"], ["EXEC"]], [["EVAL", "return redis.call('get', KEYS[1])", "1", "k"]]] {
                if !mode.isEmpty { #expect(try reader.call("CLIENT", "CACHING", "YES") == .status("OK")) }
                for words in requests { try reader.call(words.map(octets)) }
                // That was for one command, or for all of a transaction: not for this one.
                if !mode.isEmpty { try reader.call("GET", "other") }
                for key in ["other", "k"] { try writer.call("SET", key, "v") }
                try writer.call("PUBLISH", "__redis__:invalidate", "end")
                let name = RedisClient.Reply.bytes(octets("__redis__:invalidate"))
                #expect(try told.reply() == .array([.bytes(octets("message")), name, .array([.bytes(octets("k"))])]), "\(mode) \(requests)")
                #expect(try told.reply() == .array([.bytes(octets("message")), name, .bytes(octets("end"))]), "\(mode) \(requests)")
            }
            #expect(try reader.call("CLIENT", "TRACKING", "OFF") == .status("OK"))
        }
        await served.stop()
    }

    @Test func `PUBSUB NUMSUB is a list in RESP3, too`() {
        let it = Conversation()
        _ = it.line("HELLO 3")
        #expect(it.line("PUBSUB NUMSUB a b") == "*4|$1|a|:0|$1|b|:0|" && it.line("PUBSUB SHARDNUMSUB") == "*0|")
    }

    @Test func `RESP3 gets messages and invalidations as pushes`() async throws {
        let served = try await ServedKeyspace()
        let client = try RawClient(port: served.port)
        client.send("HELLO 3\r\n")
        client.send("CLIENT TRACKING ON\r\nGET k\r\nSET k 1\r\nSUBSCRIBE c\r\nPUBLISH c m\r\n")
        #expect(eventually { client.peek().contains("$1\r\nm\r\n") && client.peek().contains("invalidate") })
        let all = client.peek()
        #expect(all.contains(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"))
        #expect(all.contains(">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"))
        #expect(all.contains(">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n"))
        await served.stop()
    }
}
