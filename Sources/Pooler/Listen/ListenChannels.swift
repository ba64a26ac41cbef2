import NIOCore

/// Who listens to which channels of one database, and what the connection that listens for all of them has to be told. No I/O.
///
///     (LISTEN, the first) → asked → (the server has confirmed) → confirmed → (UNLISTEN, the last) → gone
///
/// A client is answered when the server has confirmed, so that what is notified from then on reaches it.
/// - Source: PostgreSQL 15, "LISTEN", "NOTIFY", "UNLISTEN".
struct ListenChannels {
    struct Listener: Hashable, Sendable {
        var loop: Int
        var client: UInt64
    }

    /// What is said to the server; answered in order.
    enum Order: Equatable {
        /// With a number that ``confirmed(_:)`` gives back.
        case listen(channel: String, number: UInt64)
        case unlisten(channel: String)
    }

    enum Answer: Equatable {
        /// Others listen to it already.
        case confirmed
        case wait(Order?)
        /// There are ``channelsMax``.
        case tooMany
    }

    /// Channels of one database.
    static let channelsMax = 10_000

    private struct Channel {
        var number: UInt64
        var isConfirmed = false
        var listeners: Set<Listener> = []
        var waiting: [(listener: Listener, since: NIODeadline)] = []

        var isUnused: Bool { listeners.isEmpty && waiting.isEmpty }
    }

    private var channels: [String: Channel] = [:]
    private var lastNumber: UInt64 = 0

    var isEmpty: Bool { channels.isEmpty }
    var count: Int { channels.count }

    /// Everyone who listens or waits to.
    var everybody: Set<Listener> {
        channels.values.reduce(into: []) { all, channel in
            all.formUnion(channel.listeners)
            all.formUnion(channel.waiting.map(\.listener))
        }
    }

    func listeners(of channel: String) -> Set<Listener> { channels[channel]?.listeners ?? [] }

    // MARK: Events

    mutating func listenReceived(_ channel: String, from listener: Listener, now: NIODeadline) -> Answer {
        if channels[channel] != nil {
            if channels[channel]?.isConfirmed == true {
                channels[channel]?.listeners.insert(listener)
                return .confirmed
            }
            channels[channel]?.waiting.append((listener, now))
            return .wait(nil)
        }
        guard channels.count < Self.channelsMax else { return .tooMany }
        lastNumber += 1
        channels[channel] = Channel(number: lastNumber, waiting: [(listener, now)])
        return .wait(.listen(channel: channel, number: lastNumber))
    }

    /// - Returns: what the server is told, when nobody listens to it any more.
    mutating func unlistenReceived(_ channel: String, from listener: Listener) -> Order? {
        guard channels[channel] != nil else { return nil }
        channels[channel]?.listeners.remove(listener)
        channels[channel]?.waiting.removeAll { $0.listener == listener }
        guard channels[channel]?.isUnused == true else { return nil }
        channels[channel] = nil
        return .unlisten(channel: channel)
    }

    /// The client is gone, or listens to nothing any more.
    mutating func listenerGone(_ listener: Listener) -> [Order] {
        channels.keys.sorted().compactMap { unlistenReceived($0, from: listener) }
    }

    /// The server has done what ``Order/listen(channel:number:)`` said.
    /// - Returns: whom to answer. Nobody, when the channel was given up meanwhile.
    mutating func confirmed(_ channel: String, number: UInt64) -> [Listener] {
        guard channels[channel]?.number == number else { return [] }
        let waiting = channels[channel]?.waiting.map(\.listener) ?? []
        channels[channel]?.isConfirmed = true
        channels[channel]?.waiting = []
        channels[channel]?.listeners.formUnion(waiting)
        return waiting
    }

    /// The server refuses it.
    mutating func refused(_ channel: String, number: UInt64) -> [Listener] {
        guard channels[channel]?.number == number else { return [] }
        return channels.removeValue(forKey: channel)?.waiting.map(\.listener) ?? []
    }

    /// There is no connection: who has waited since before this gives up.
    mutating func expired(before: NIODeadline) -> [Listener] {
        var late: [Listener] = []
        for (name, channel) in channels {
            late += channel.waiting.filter { $0.since <= before }.map(\.listener)
            channels[name]?.waiting.removeAll { $0.since <= before }
            if channels[name]?.isUnused == true { channels[name] = nil }
        }
        return late
    }

    /// There is a new connection: what it is told first.
    var orders: [Order] { channels.sorted { $0.key < $1.key }.map { .listen(channel: $0.key, number: $0.value.number) } }
}
