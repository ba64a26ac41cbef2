package import NIOCore

/// What a peer may send too much of: each costs it next to nothing and us something. The raw value is the metric label.
package enum HTTP2Flood: String, CaseIterable, Sendable {
    /// Streams that are opened and reset, by the client (CVE-2023-44487) or by us for its mistakes (CVE-2025-8671).
    case resets
    /// Streams over the number that was announced.
    case streams
    case settings
    case pings
    case priorities
    /// `WINDOW_UPDATE`s that do not go with what was sent.
    case windowUpdates = "window-updates"
    /// Frames of a body with nothing or next to nothing in them; of an origin only those with nothing.
    case tinyData = "tiny-data"
    /// Frames of kinds that nobody knows.
    case unknownFrames = "unknown-frames"
    /// A header block in too many frames (CVE-2024-27316), or too long.
    case continuations

    /// The place in `allCases`, without looking for it: in memory the case is that number.
    fileprivate var place: Int { withUnsafeBytes(of: self) { Int($0[0]) } }

    /// How many may come at once, and how many each second.
    package var allowance: (burst: Double, perSecond: Double) {
        switch self {
        // What nghttp2 allows. A browser that is navigated away resets all that it has asked for, 100 streams at most.
        case .resets: (1000, 33)
        case .streams: (1000, 33)
        case .settings: (32, 1)
        case .pings: (64, 10)
        // A browser says anew for each of its streams what it thinks of it, as it scrolls.
        case .priorities: (1000, 100)
        // Besides those that ``HTTP2FloodGuard/sent`` earns.
        case .windowUpdates: (1000, 100)
        // A keystroke through a WebSocket is a tiny frame.
        case .tinyData: (5000, 500)
        case .unknownFrames: (200, 10)
        // Not counted in time: see `HTTP2ServerConnection.blockBytesMax`.
        case .continuations: (0, 0)
        }
    }
}

/// How much of each a connection has left: token buckets. No clock.
package struct HTTP2FloodGuard {
    private var left: [Double] = HTTP2Flood.allCases.map(\.allowance.burst)
    private var filled: NIODeadline

    package init(now: NIODeadline) {
        filled = now
    }

    /// - Returns: whether one more is all right.
    package mutating func allows(_ flood: HTTP2Flood, now: NIODeadline) -> Bool {
        let index = flood.place
        if left[index] >= 1 {
            left[index] -= 1
            return true
        }
        let seconds = Double((now - filled).nanoseconds) / 1e9
        // So seldom that fractions of a second need not be kept apart.
        if seconds >= 0.1 {
            filled = now
            for flood in HTTP2Flood.allCases {
                let (burst, perSecond) = flood.allowance
                left[flood.place] = min(burst, left[flood.place] + seconds * perSecond)
            }
        }
        guard left[index] >= 1 else { return false }
        left[index] -= 1
        return true
    }

    /// A frame of a body was sent, which a client answers with up to two updates.
    package mutating func sent() { earned(.windowUpdates, 2) }

    /// A request of ours is over, of which the origin may say once more that it is.
    package mutating func requestEnded() { earned(.resets, 1) }

    private mutating func earned(_ flood: HTTP2Flood, _ count: Double) {
        left[flood.place] = min(flood.allowance.burst, left[flood.place] + count)
    }
}
