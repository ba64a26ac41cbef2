import NIOCore

/// Two connections whose bytes are passed to each other, after `101 Switching Protocols`: which halves are open, and until when. No I/O,
/// no clock.
///
/// | state | waits for | next |
/// |---|---|---|
/// | open | bytes of both sides | half-open (a side sends no more), closed |
/// | half-open | bytes of the other side | closed |
/// | closed | nothing | – |
struct TunnelMachine {
    enum Side: Equatable, Sendable {
        case client, server

        var other: Side { self == .client ? .server : .client }
    }

    enum Action: Equatable {
        case none
        /// Tell that side that nothing more will come, behind what it is still to be given.
        case finishWriting(Side)
        /// Close both, behind what they are still to be given.
        case close
    }

    private enum State: Equatable {
        case open
        case halfOpen(ended: Side)
        case closed
    }

    private var state = State.open
    private let idleTimeout: TimeAmount
    private let end: NIODeadline
    private(set) var deadline: NIODeadline
    /// Bytes from the server to the client, and the other way.
    private(set) var bytesToClient = 0
    private(set) var bytesToServer = 0

    init(_ configuration: UpstreamGroup.Tunnel, now: NIODeadline) {
        idleTimeout = configuration.idleTimeout
        end = configuration.totalTimeout.map { now + $0 } ?? .distantFuture
        deadline = min(end, now + idleTimeout)
    }

    var isClosed: Bool { state == .closed }

    mutating func bytesReceived(_ count: Int, from side: Side, now: NIODeadline) {
        switch side {
        case .client: bytesToServer &+= count
        case .server: bytesToClient &+= count
        }
        if state != .closed { deadline = min(end, now + idleTimeout) }
    }

    /// A side sends no more, but still reads.
    mutating func inputEnded(_ side: Side) -> Action {
        switch state {
        case .open:
            state = .halfOpen(ended: side)
            return .finishWriting(side.other)
        case .halfOpen(let ended) where ended == side:
            return .none
        case .halfOpen:
            state = .closed
            return .close
        case .closed:
            return .none
        }
    }

    /// A side's connection is gone.
    mutating func closed(_ side: Side) -> Action {
        guard state != .closed else { return .none }
        state = .closed
        return .close
    }

    mutating func deadlinePassed(now: NIODeadline) -> Action {
        guard state != .closed, now >= deadline else { return .none }
        state = .closed
        deadline = .distantFuture
        return .close
    }
}
