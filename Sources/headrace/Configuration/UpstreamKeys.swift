import Edge
import NIOCore

/// What can be said of a group of servers.
enum UpstreamKeys {
    static let section = RepeatedSection(
        named: "edge.upstreams", \Settings.edge.upstreams, table, UpstreamGroup(members: []), isReloadable: true, shorthand: "members",
        example: [
            "shop:",
            "  members: [http://10.0.0.5:3000, http://10.0.0.6:3000]",
            "  connect_timeout: 1s",
            "blog: unix:/run/blog.sock",
        ],
        "Groups of servers that make the same responses; routes name them. edge.app is a group named app.")

    private static let table = SettingTable<UpstreamGroup>(keys: [
        .init("members", \.members, .list("members", of: .member, isEmptyAllowed: true), isReloadable: true, "The servers."),
        .init(
            "host", \.host, .optional(.text("host name")), isReloadable: true,
            "What Host says to them; without it, what the client said."),
        .init(
            "max_connections", \.connectionsMax, .number(1...100_000), isReloadable: true,
            "Connections to the group, from all event loops together."),
        .init(
            "idle_connections", \.idleConnectionsMax, .number(0...100_000), isReloadable: true,
            "Connections that are kept for the next request, per event loop."),
        .init(
            "idle_timeout", \.idleTimeout, .duration(.milliseconds(100)...(.hours(24))), isReloadable: true,
            "How long an unused connection is kept; less than the servers keep it."),
        .init(
            "connect_timeout", \.connectTimeout, .duration(.milliseconds(10)...(.minutes(10))), isReloadable: true,
            "For a connection; 504 beyond."),
        .init(
            "first_byte_timeout", \.firstByteTimeout, .duration(.milliseconds(10)...(.hours(24))), isReloadable: true,
            "From a request's last byte to its response's first; 504 beyond."),
        .init(
            "read_timeout", \.readTimeout, .duration(.milliseconds(10)...(.hours(24))), isReloadable: true,
            "Between two reads of a response's body; the response is cut beyond."),
    ])
}

extension ValueFormat where Value == UpstreamGroup.Member {
    /// `http://127.0.0.1:3000`, `unix:/run/app.sock`.
    static var member: Self {
        let endpoint = ValueFormat<EdgeConfiguration.SocketEndpoint>.application
        return Self(
            "member", units: endpoint.units, parse: { UpstreamGroup.Member(try endpoint.parse([$0])) },
            render: { member in
                switch member.address {
                case .endpoint(let address): endpoint.render(address)
                case .service(let name): name
                }
            })
    }
}
