/// Who is subscribed to which channels and patterns; publishing gives the list of who must be told.
///
/// A machine behind one lock for the whole keyspace. Messages go from it to the subscribers' event loops; a subscriber that does not read
/// is its connection's concern (`client-output-buffer-limit pubsub`). What one client may subscribe to has a bound, in number and in bytes, so that what
/// is kept here is bounded by the limit of connections; while the process is short of memory it counts as what its client holds.
package struct PubSub {
    /// Of a client connection.
    package typealias ClientID = Int
    package typealias Name = [UInt8]

    /// A namespace of subscriptions: each has its own commands and its own count.
    package enum Kind: Sendable {
        case channel
        case pattern
        /// `SSUBSCRIBE`: channels of a cluster's slot; here a second set of channels.
        case shardChannel
    }

    /// A message for one subscriber.
    package struct Delivery: Equatable, Sendable {
        package var client: ClientID
        package var kind: Kind
        /// What it is subscribed to: the pattern for `pattern`, the channel otherwise.
        package var subscription: Name
    }

    private struct Subscriptions {
        var channels: Set<Name> = []
        var patterns: Set<Name> = []
        var shardChannels: Set<Name> = []
        var bytes = 0

        var isEmpty: Bool { channels.isEmpty && patterns.isEmpty && shardChannels.isEmpty }
        var count: Int { channels.count + patterns.count + shardChannels.count }

        func has(_ name: Name, _ kind: Kind) -> Bool {
            switch kind {
            case .channel: channels.contains(name)
            case .pattern: patterns.contains(name)
            case .shardChannel: shardChannels.contains(name)
            }
        }
    }

    private struct PatternSubscribers {
        let pattern: GlobPattern
        var clients: Set<ClientID> = []
    }

    private var channels: [Name: Set<ClientID>] = [:]
    /// Matched one by one: publishing costs in proportion to their number.
    private var patterns: [Name: PatternSubscribers] = [:]
    private var shardChannels: [Name: Set<ClientID>] = [:]
    private var clients: [ClientID: Subscriptions] = [:]
    private let subscriptionsPerClientMax: Int
    private let bytesPerClientMax: Int
    /// What a subscription takes besides its name: places in two tables.
    private static let placeBytes = 256

    /// - Parameter bytesPerClientMax: of the names, with 256 for each.
    package init(subscriptionsPerClientMax: Int = 100_000, bytesPerClientMax: Int = 32 << 20) {
        self.subscriptionsPerClientMax = subscriptionsPerClientMax
        self.bytesPerClientMax = bytesPerClientMax
    }

    private static func bytes(_ name: Name) -> Int { name.count + placeBytes }

    /// What is kept for a client.
    package func bytes(of client: ClientID) -> Int { clients[client]?.bytes ?? 0 }

    package enum SubscribeResult: Equatable, Sendable {
        /// The number that the confirmation carries: channels and patterns together, or shard channels alone.
        case subscribed(count: Int)
        /// The client has as many as it may.
        case tooMany
    }

    package mutating func subscribed(_ client: ClientID, to name: Name, _ kind: Kind) -> SubscribeResult {
        if clients[client]?.has(name, kind) != true {
            let (count, bytes) = (clients[client]?.count ?? 0, bytes(of: client) + Self.bytes(name))
            guard count < subscriptionsPerClientMax, bytes <= bytesPerClientMax else { return .tooMany }
            // In place: a copy of the client's own, of which there may be many, would be one for each that comes.
            clients[client, default: Subscriptions()].bytes = bytes
            switch kind {
            case .channel:
                clients[client]?.channels.insert(name)
                channels[name, default: []].insert(client)
            case .pattern:
                clients[client]?.patterns.insert(name)
                patterns[name, default: PatternSubscribers(pattern: GlobPattern(name))].clients.insert(client)
            case .shardChannel:
                clients[client]?.shardChannels.insert(name)
                shardChannels[name, default: []].insert(client)
            }
        }
        return .subscribed(count: confirmationCount(client, kind))
    }

    /// - Returns: the number that the confirmation carries.
    package mutating func unsubscribed(_ client: ClientID, from name: Name, _ kind: Kind) -> Int {
        switch kind {
        case .channel:
            removed(clients[client]?.channels.remove(name), from: client)
            Self.remove(client, from: &channels, name)
        case .pattern:
            removed(clients[client]?.patterns.remove(name), from: client)
            removePattern(client, name)
        case .shardChannel:
            removed(clients[client]?.shardChannels.remove(name), from: client)
            Self.remove(client, from: &shardChannels, name)
        }
        if clients[client]?.isEmpty == true { clients[client] = nil }
        return confirmationCount(client, kind)
    }

    private mutating func removed(_ name: Name?, from client: ClientID) {
        if let name { clients[client]?.bytes -= Self.bytes(name) }
    }

    private static func remove(_ client: ClientID, from subscribers: inout [Name: Set<ClientID>], _ name: Name) {
        subscribers[name]?.remove(client)
        if subscribers[name]?.isEmpty == true { subscribers[name] = nil }
    }

    private mutating func removePattern(_ client: ClientID, _ name: Name) {
        patterns[name]?.clients.remove(client)
        if patterns[name]?.clients.isEmpty == true { patterns[name] = nil }
    }

    /// The connection is gone, or has been reset.
    package mutating func closed(_ client: ClientID) {
        guard let own = clients.removeValue(forKey: client) else { return }
        for name in own.channels { Self.remove(client, from: &channels, name) }
        for name in own.patterns { removePattern(client, name) }
        for name in own.shardChannels { Self.remove(client, from: &shardChannels, name) }
    }

    /// Who must be told of a message: a client twice if it is subscribed both by channel and by pattern, as in Redis.
    package func published(to channel: Name, isSharded: Bool = false) -> [Delivery] {
        if isSharded {
            return (shardChannels[channel] ?? []).map { Delivery(client: $0, kind: .shardChannel, subscription: channel) }
        }
        var deliveries = (channels[channel] ?? []).map { Delivery(client: $0, kind: .channel, subscription: channel) }
        for (pattern, subscribers) in patterns where subscribers.pattern.matches(channel) {
            deliveries += subscribers.clients.map { Delivery(client: $0, kind: .pattern, subscription: pattern) }
        }
        return deliveries
    }

    /// Whether nobody listens to anything: publishing is then free.
    package var isQuiet: Bool { clients.isEmpty }

    /// Channels and patterns of a client, or its shard channels.
    package func confirmationCount(_ client: ClientID, _ kind: Kind) -> Int {
        guard let own = clients[client] else { return 0 }
        return kind == .shardChannel ? own.shardChannels.count : own.channels.count + own.patterns.count
    }

    /// A client in RESP2 that has any subscription may send only what `SUBSCRIBE`'s page lists.
    package func isSubscribed(_ client: ClientID) -> Bool { clients[client] != nil }

    package func isSubscribed(_ client: ClientID, to name: Name, _ kind: Kind) -> Bool { clients[client]?.has(name, kind) == true }

    /// What `UNSUBSCRIBE` without names takes away, in a stable order.
    package func names(_ client: ClientID, _ kind: Kind) -> [Name] {
        let own = clients[client]
        let names =
            switch kind {
            case .channel: own?.channels
            case .pattern: own?.patterns
            case .shardChannel: own?.shardChannels
            }
        return (names ?? []).sorted { $0.lexicographicallyPrecedes($1) }
    }

    // MARK: PUBSUB

    /// `PUBSUB CHANNELS [pattern]`, in a stable order.
    package func activeChannels(matching pattern: Name? = nil, isSharded: Bool = false) -> [Name] {
        let matcher = pattern.map { GlobPattern($0) }
        return (isSharded ? shardChannels : channels).keys
            .filter { name in matcher?.matches(name) ?? true }
            .sorted { $0.lexicographicallyPrecedes($1) }
    }

    /// `PUBSUB NUMSUB`.
    package func subscriberCount(_ channel: Name, isSharded: Bool = false) -> Int {
        (isSharded ? shardChannels : channels)[channel]?.count ?? 0
    }

    /// `PUBSUB NUMPAT`: distinct patterns.
    package var patternCount: Int { patterns.count }

    /// What tests hold after each step: both directions say the same, and nothing empty is kept.
    package func checkInvariants() {
        for (client, own) in clients {
            precondition(!own.isEmpty, "a client without a subscription is kept")
            let names = Array(own.channels) + Array(own.patterns) + Array(own.shardChannels)
            precondition(own.bytes == names.reduce(0) { $0 + Self.bytes($1) }, "a client's bytes are not those of its names")
            precondition(own.channels.allSatisfy { channels[$0]?.contains(client) == true }, "a channel does not know its client")
            precondition(own.patterns.allSatisfy { patterns[$0]?.clients.contains(client) == true }, "a pattern does not know its client")
            precondition(own.shardChannels.allSatisfy { shardChannels[$0]?.contains(client) == true }, "a channel does not know its client")
        }
        let kept = (channels.values + patterns.values.map(\.clients) + shardChannels.values).reduce(0) { $0 + $1.count }
        precondition(kept == clients.values.reduce(0) { $0 + $1.count }, "a channel knows a client that does not know it")
        for subscribers in channels.values + patterns.values.map(\.clients) + shardChannels.values { precondition(!subscribers.isEmpty) }
    }
}

extension GlobPattern {
    init(_ pattern: [UInt8]) { self = pattern.withUnsafeBytes { GlobPattern($0) } }

    func matches(_ text: [UInt8]) -> Bool { text.withUnsafeBytes { matches($0) } }
}
