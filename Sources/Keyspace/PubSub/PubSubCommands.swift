import RESPWire

/// SUBSCRIBE, PUBLISH and their kin.
/// - Source: Redis `pubsub.c`; redis.io, "Pub/Sub".
enum PubSubCommands {
    private static let flags: Command.Flags = [.pubsub, .noscript, .loading, .stale]

    static let rows: [Command] = [
        .init("subscribe", -2, flags, .pubsub, keys: .none, locks: .none, "2.0.0", "Listens for messages published to channels.") { call throws(CommandFailure) in try subscribe(call, .channel, "subscribe") },
        .init("psubscribe", -2, flags, .pubsub, keys: .none, locks: .none, "2.0.0", "Listens for messages published to channels that match one or more patterns.") { call throws(CommandFailure) in try subscribe(call, .pattern, "psubscribe") },
        .init("ssubscribe", -2, flags, .pubsub, keys: .none, locks: .none, "7.0.0", "Listens for messages published to shard channels.") { call throws(CommandFailure) in try subscribe(call, .shardChannel, "ssubscribe") },
        .init("unsubscribe", -1, flags, .pubsub, keys: .none, locks: .none, "2.0.0", "Stops listening to messages posted to channels.") { unsubscribe($0, .channel, "unsubscribe") },
        .init("punsubscribe", -1, flags, .pubsub, keys: .none, locks: .none, "2.0.0", "Stops listening to messages published to channels that match one or more patterns.") { unsubscribe($0, .pattern, "punsubscribe") },
        .init("sunsubscribe", -1, flags, .pubsub, keys: .none, locks: .none, "7.0.0", "Stops listening to messages posted to shard channels.") { unsubscribe($0, .shardChannel, "sunsubscribe") },
        .init("publish", 3, [.pubsub, .loading, .stale, .fast], .pubsub, keys: .none, locks: .none, "2.0.0", "Posts a message to a channel.") { call in
            call.out.integer(call.keyspace.hub.publish(call[2], to: call[1]))
        },
        .init("spublish", 3, [.pubsub, .loading, .stale, .fast], .pubsub, keys: .none, locks: .none, "7.0.0", "Post a message to a shard channel.") { call in
            call.out.integer(call.keyspace.hub.publish(call[2], to: call[1], isSharded: true))
        },
        .init("pubsub", -2, [.pubsub, .loading, .stale], .pubsub, keys: .none, locks: .none, "2.8.0", "A container for Pub/Sub commands.", pubSub),
    ]

    private static func subscribe(_ call: Call, _ kind: PubSub.Kind, _ word: StaticString) throws(CommandFailure) {
        guard call.session.record.port != nil else { throw .err("this client cannot be sent messages") }
        guard call.session.isRESP3 || !call.holdsAll else {
            throw .err("\(word) is not allowed in a transaction or script of a client of RESP2")
        }
        for place in 1..<call.count {
            let name = call.bytes(place)
            switch call.keyspace.hub.pubSub.withLock({ $0.subscribed(call.session.id, to: name, kind) }) {
            case .subscribed(let count): confirm(call, word, name, count)
            case .tooMany:
                counted(call)
                throw .err("this client has as many subscriptions as one may have")
            }
        }
        counted(call)
    }

    private static func unsubscribe(_ call: Call, _ kind: PubSub.Kind, _ word: StaticString) {
        let hub = call.keyspace.hub
        call.session.hasUnsubscribed = true
        let names = call.count > 1 ? (1..<call.count).map { call.bytes($0) } : hub.pubSub.withLock { $0.names(call.session.id, kind) }
        for name in names {
            confirm(call, word, name, hub.pubSub.withLock { $0.unsubscribed(call.session.id, from: name, kind) })
        }
        // There is always an answer.
        if names.isEmpty { confirm(call, word, nil, hub.pubSub.withLock { $0.confirmationCount(call.session.id, kind) }) }
        counted(call)
    }

    private static func confirm(_ call: Call, _ word: StaticString, _ name: [UInt8]?, _ count: Int) {
        call.out.push(3)
        call.out.bulk("\(word)")
        if let name { call.out.bulk(name) } else { call.out.null() }
        call.out.integer(count)
    }

    private static func counted(_ call: Call) {
        let id = call.session.id
        let (count, bytes) = call.keyspace.hub.pubSub.withLock { pubSub in
            (pubSub.confirmationCount(id, .channel) + pubSub.confirmationCount(id, .shardChannel), pubSub.bytes(of: id))
        }
        (call.session.subscriptionCount, call.session.subscriptionBytes) = (count, bytes)
        call.session.record.subscriptions.store(count, ordering: .relaxed)
    }

    private static func pubSub(_ call: Call) throws(CommandFailure) {
        let hub = call.keyspace.hub
        switch (call.lowercased(1), call.count) {
        case ("channels", 2...3), ("shardchannels", 2...3):
            let isSharded = call.matches(1, "shardchannels")
            let pattern = call.count == 3 ? call.bytes(2) : nil
            let names = hub.pubSub.withLock { $0.activeChannels(matching: pattern, isSharded: isSharded) }
            call.out.array(names.count)
            for name in names { call.out.bulk(name) }
        case ("numsub", 2...), ("shardnumsub", 2...):
            let isSharded = call.matches(1, "shardnumsub")
            // In RESP3, too, it is no map.
            call.out.array(2 * (call.count - 2))
            for place in 2..<call.count {
                let name = call.bytes(place)
                call.out.bulk(name)
                call.out.integer(hub.pubSub.withLock { $0.subscriberCount(name, isSharded: isSharded) })
            }
        case ("numpat", 2): call.out.integer(hub.pubSub.withLock { $0.patternCount })
        case ("help", 2):
            ServerCommands.help(
                call, "PUBSUB",
                ["CHANNELS [<pattern>]", "NUMPAT", "NUMSUB [<channel> ...]", "SHARDCHANNELS [<pattern>]", "SHARDNUMSUB [<shardchannel> ...]"])
        default: throw Subcommands.misused(call)
        }
    }
}
