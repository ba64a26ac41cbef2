import NIOCore

/// The connections of HTTP/2 of one event loop to the members of a group: which of them gets a request, when another is made, and who waits
/// for that. No I/O.
///
/// The first that has room is used, so that those that a peak has brought are idle soon, and closed. A request is not queued behind the
/// others of a connection: when none has room another connection is made.
struct HTTP2Connections<Connection: AnyObject, Request> {
    struct Member {
        var connections: [Connection] = []
        /// Requests that wait for a connection which is being made.
        var waiting: [Request] = []
        var dials = 0
        /// Requests that the last connection had room for when it was made; `nil` while there was none: the first is waited for.
        var room: Int?
        /// It has agreed on HTTP/1.1 when it was last asked.
        var speaksHTTP1 = false

        /// Whether it takes another connection to serve those who wait.
        var needsDial: Bool {
            guard let room else { return dials == 0 && !waiting.isEmpty }
            return waiting.count > dials * max(1, room)
        }
        var isForgettable: Bool { connections.isEmpty && waiting.isEmpty && dials == 0 && !speaksHTTP1 }
    }

    private(set) var members: [UpstreamGroup.SocketEndpoint: Member] = [:]

    var isEmpty: Bool { members.values.allSatisfy { $0.connections.isEmpty && $0.waiting.isEmpty && $0.dials == 0 } }
    var all: [Connection] { members.values.flatMap(\.connections) }

    subscript(endpoint: UpstreamGroup.SocketEndpoint) -> Member {
        get { members[endpoint] ?? Member() }
        set { members[endpoint] = newValue.isForgettable ? nil : newValue }
    }

    /// What is known of members that are none any more.
    mutating func forget(except endpoints: Set<UpstreamGroup.SocketEndpoint>) {
        for (endpoint, member) in members where member.speaksHTTP1 && !endpoints.contains(endpoint) { self[endpoint].speaksHTTP1 = false }
    }
}
