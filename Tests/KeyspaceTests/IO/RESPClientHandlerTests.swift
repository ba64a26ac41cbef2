import Logging
import NIOCore
import NIOEmbedded
import Testing

@testable import Keyspace

/// Clients of an event loop that has its turn when it is told to: what others bring to it comes at the very moment in question.
private final class Clients {
    let loop = EmbeddedEventLoop()
    let worker: KeyspaceWorker

    init() {
        worker = KeyspaceWorker(
            eventLoop: loop, keyspace: Keyspace(KeyspaceConfiguration()), index: 0, loopCount: 1, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    func connect() throws -> EmbeddedChannel {
        let channel = EmbeddedChannel(handler: RESPClientHandler(worker: worker, release: {}), loop: loop)
        channel.connect(to: try SocketAddress(unixDomainSocketPath: "/keyspace"), promise: nil)
        return channel
    }
}

extension EmbeddedChannel {
    /// Commands in lines, and what is answered at once.
    fileprivate func say(_ lines: String...) throws -> String {
        try writeInbound(ByteBuffer(string: lines.map { $0 + "\r\n" }.joined()))
        return try answers()
    }

    fileprivate func answers() throws -> String {
        var text = ""
        while let bytes = try readOutbound(as: ByteBuffer.self) { text += String(buffer: bytes) }
        return text.replacing("\r\n", with: "|")
    }
}

@Suite struct RESPClientHandlerTests {
    @Test func `a message that an UNSUBSCRIBE has overtaken is no answer to what is asked next`() throws {
        let clients = Clients()
        let (listener, speaker) = (try clients.connect(), try clients.connect())
        for end in ["UNSUBSCRIBE a", "UNSUBSCRIBE", "RESET"] {
            _ = try listener.say("SUBSCRIBE a b", "PSUBSCRIBE a*")
            #expect(try speaker.say("PUBLISH a 1", "PUBLISH b 2") == ":2|:1|")
            _ = try listener.say(end)
            clients.loop.run()
            let others = "*4|$8|pmessage|$2|a*|$1|a|$1|1|"
            let expected = ["UNSUBSCRIBE a": others + "*3|$7|message|$1|b|$1|2|", "UNSUBSCRIBE": others, "RESET": ""][end]
            #expect(try listener.answers() == expected, "\(end)")
            _ = try listener.say("RESET")
        }
        // Who has ended some subscriptions hears of the others.
        _ = try listener.say("SUBSCRIBE a")
        _ = try speaker.say("PUBLISH a 3")
        clients.loop.run()
        #expect(try listener.answers() == "*3|$7|message|$1|a|$1|3|")
    }

    @Test func `a message comes in the version that its client speaks by then`() throws {
        let clients = Clients()
        let (listener, speaker) = (try clients.connect(), try clients.connect())
        _ = try listener.say("HELLO 3", "SUBSCRIBE a")
        _ = try speaker.say("PUBLISH a 1")
        _ = try listener.say("HELLO 2")
        clients.loop.run()
        #expect(try listener.answers() == "*3|$7|message|$1|a|$1|1|")
    }

    @Test func `who watches no more is shown no command, and who has been reset has no invalidation`() throws {
        let clients = Clients()
        let (watcher, speaker) = (try clients.connect(), try clients.connect())
        _ = try watcher.say("MONITOR")
        _ = try speaker.say("SET a 1")
        #expect(try watcher.say("RESET") == "+RESET|")
        clients.loop.run()
        #expect(try watcher.answers() == "")

        _ = try watcher.say("HELLO 3", "CLIENT TRACKING ON", "GET a")
        _ = try speaker.say("SET a 2")
        #expect(try watcher.say("RESET") == "+RESET|")
        clients.loop.run()
        #expect(try watcher.answers() == "")
    }

    @Test func `who says no more has all answers, also when it takes them slowly`() throws {
        let clients = Clients()
        let client = try clients.connect()
        let value = String(repeating: "v", count: 60_000)
        #expect(try client.say("SET a \(value)") == "+OK|")
        client.isWritable = false
        client.pipeline.fireChannelWritabilityChanged()
        var answers = try client.say("GET a", "GET a", "GET a", "PING")
        client.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(client.isActive)
        client.isWritable = true
        client.pipeline.fireChannelWritabilityChanged()
        clients.loop.run()
        answers += try client.answers()
        #expect(answers == String(repeating: "$60000|\(value)|", count: 3) + "+PONG|")
        #expect(!client.isActive)
    }

    @Test func `who has been given an element gets it, though the server ends meanwhile`() throws {
        let clients = Clients()
        let (served, waiting, speaker) = (try clients.connect(), try clients.connect(), try clients.connect())
        #expect(try served.say("BLPOP a 0") == "" && waiting.say("BLPOP b 0") == "")
        #expect(try speaker.say("RPUSH a 1") == ":1|")
        clients.worker.beginDraining()
        // Nobody is given anything any more.
        #expect(clients.worker.keyspace.shards.allSatisfy { $0.waiters.isEmpty })
        clients.loop.run()
        #expect(try served.answers() == "*2|$1|a|$1|1|")
        #expect(!served.isActive && !waiting.isActive && !speaker.isActive)
    }
}
