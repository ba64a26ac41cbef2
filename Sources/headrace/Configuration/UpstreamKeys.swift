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

    /// The same keys for the group that `edge.app` makes, which is reached without TLS.
    static let application: [ConfigurationKey] = table.keys.filter { $0.path != "members" && !$0.path.hasPrefix("tls.") }.map {
        ConfigurationKey($0, under: "edge.upstream", at: \.upstream)
    }

    private static let table = SettingTable<UpstreamGroup>(
        keys: [members, connections, deadlines, retries, health, probes, tunnels, encryption].flatMap { $0 })

    // Lists of their own: of one with all keys the compiler says that it takes too long.

    private static let members: [SettingKey<UpstreamGroup>] = [
        .init(
            "members", \.members, .list("members", of: .member, isEmptyAllowed: true), isReloadable: true,
            "The servers. Each address of a name is one, and each target of an SRV record set (srv:NAME). A backup is asked while no other can be."),
        .init(
            "protocol", \.version, .word("protocol"), isReloadable: true,
            """
            What is spoken to them. h2 is HTTP/2: to https:// members that agree (ALPN), HTTP/1.1 to those that do not; to all others at once, \
            which they have to understand.
            """),
        .init(
            "proxy_protocol", \.proxyProtocol, .optional(.word("version"), off: "off"), isReloadable: true,
            """
            Begin connections to them with the PROXY protocol's header, which names the client. A connection then serves requests of one client \
            connection alone.
            """),
        .init(
            "host", \.host, .optional(.text("host name")), isReloadable: true,
            "What Host says to them; without it, what the client said."),
        .init(
            "balancing", \.balancing, .balancing, isReloadable: true,
            """
            Who gets the next request: one after the other, who has the least to do, the better of two that are drawn, or always the same \
            one for the same client, target, header field or cookie.
            """),
        .init(
            "slow_start", \.slowStart, .duration(.zero...(.hours(1))), isReloadable: true,
            "How long it takes until a member that is new, or back, gets its whole share; 0s gives it at once."),
        .init(
            "resolve_interval", \.resolveInterval, .duration(.seconds(1)...(.hours(24))), isReloadable: true,
            "How often names are looked up again, unless their records say sooner."),
        .init(
            "nameserver", \.nameserver, .optional(.nameserver), isReloadable: true,
            "The name server that is asked; without it, as the system is told to."),
    ]

    private static let encryption: [SettingKey<UpstreamGroup>] = [
        .init(
            "tls.authorities", \.tls.files.authorities, .optional(.text("file")), isReloadable: true,
            "Whose certificates are believed of https:// members, in PEM; without it, the system's."),
        .init(
            "tls.server_name", \.tls.serverName, .optional(.text("host name")), isReloadable: true,
            "The name that their certificates are for, and that they are told (SNI); without it, the one in each member's URL."),
        .init(
            "tls.verify", \.tls.isVerified, .boolean, isReloadable: true,
            "Whether their certificates are looked at; without it, whoever gets in between is believed."),
        .init(
            "tls.certificate", \.tls.files.certificate, .optional(.text("file")), isReloadable: true,
            "The certificate that they see if they ask, in PEM."),
        .init("tls.key", \.tls.files.key, .optional(.text("file")), isReloadable: true, "Its private key, in PEM."),
    ]

    private static let connections: [SettingKey<UpstreamGroup>] = [
        .init(
            "max_connections", \.connectionsMax, .number(1...100_000), isReloadable: true,
            "Connections to the group, from all event loops together; by HTTP/2 requests under way, many of which share a connection."),
        .init(
            "max_streams", \.connectionStreamsMax, .number(1...10_000), isReloadable: true,
            "By HTTP/2, requests under way on one connection; a server may allow fewer."),
        .init(
            "max_member_connections", \.memberConnectionsMax, .optional(.number(1...100_000)), isReloadable: true,
            "Connections to each member; by HTTP/2 requests under way."),
        .init(
            "max_waiting", \.waitingMax, .number(0...100_000), isReloadable: true,
            "Requests that may wait for a connection because all are busy; 503 beyond."),
        .init(
            "idle_connections", \.idleConnectionsMax, .number(0...100_000), isReloadable: true,
            "Connections that are kept for the next request, per event loop."),
        .init(
            "idle_timeout", \.idleTimeout, .duration(.milliseconds(100)...(.hours(24))), isReloadable: true,
            "How long an unused connection is kept; less than the servers keep it."),
        .init(
            "connection_lifetime", \.connectionLifetime, .optional(.duration(.milliseconds(100)...(.hours(24)))), isReloadable: true,
            "How long a connection is used at all; past it, it ends with the exchange in progress."),
        .init(
            "buffer_request_body", \.requestBufferBytesMax, .size(0...1 << 30), isReloadable: true,
            "Request bodies up to here are read whole before a server is asked."),
    ]

    private static let deadlines: [SettingKey<UpstreamGroup>] = [
        .init(
            "connect_timeout", \.connectTimeout, .duration(.milliseconds(10)...(.minutes(10))), isReloadable: true,
            "For a connection to be made; 504 beyond."),
        .init(
            "wait_timeout", \.waitTimeout, .duration(.milliseconds(10)...(.minutes(10))), isReloadable: true,
            "For a connection to become free when all are busy; 503 beyond."),
        .init(
            "first_byte_timeout", \.firstByteTimeout, .duration(.milliseconds(10)...(.hours(24))), isReloadable: true,
            "From a request's last byte to its response's first; 504 beyond."),
        .init(
            "read_timeout", \.readTimeout, .duration(.milliseconds(10)...(.hours(24))), isReloadable: true,
            "Between two reads of a response's body; the response is cut beyond."),
        .init(
            "total_timeout", \.totalTimeout, .optional(.duration(.milliseconds(10)...(.hours(24)))), isReloadable: true,
            "For an exchange as a whole, all attempts together; 504 beyond, or the response is cut."),
    ]

    private static let retries: [SettingKey<UpstreamGroup>] = [
        .init(
            "retry.attempts", \.retry.attemptsMax, .number(1...10), isReloadable: true,
            """
            How often a request is sent at most, each time to another member; 1 sends nothing again. What is not idempotent is sent again \
            only if nothing of it went out.
            """),
        .init(
            "retry.statuses", \.retry.statuses, .list("statuses", of: .number(200...599), isEmptyAllowed: true), isReloadable: true,
            "Statuses upon which an idempotent request is sent to another member, besides no response at all."),
        .init(
            "retry.budget", \.retry.budgetShare, .share, isReloadable: true,
            "Retries as a share of the requests of the last ten seconds."),
        .init(
            "retry.budget_min", \.retry.budgetPerSecondMin, .number(0...100_000), isReloadable: true,
            "Retries per second that are allowed in any case."),
    ]

    private static let health: [SettingKey<UpstreamGroup>] = [
        .init(
            "health.enabled", \.passiveHealth.isEnabled, .boolean, isReloadable: true,
            "Put out a member whose requests fail: for a time, each time for twice as long. When all are out, all are asked."),
        .init(
            "health.failures", \.passiveHealth.failuresMax, .number(1...10_000), isReloadable: true,
            "So many failures in a row put it out."),
        .init(
            "health.statuses", \.passiveHealth.failureStatuses, .list("statuses", of: .number(200...599), isEmptyAllowed: true), isReloadable: true,
            "Statuses that count as failures, besides no response at all."),
        .init(
            "health.ejection", \.passiveHealth.ejection, .duration(.milliseconds(10)...(.hours(1))), isReloadable: true,
            "How long the first time."),
        .init(
            "health.max_ejection", \.passiveHealth.ejectionMax, .duration(.milliseconds(10)...(.hours(24))), isReloadable: true,
            "How long at most."),
        .init(
            "health.successes", \.passiveHealth.successesMin, .number(1...10_000), isReloadable: true,
            "So many successes in a row make one that is back trusted; before, a single failure puts it out again."),
    ]

    private static let probes: [SettingKey<UpstreamGroup>] = [
        .init(
            "probe.path", \.healthCheck.path, .optional(.urlPath), isReloadable: true,
            "Ask each member for this from time to time, and give nothing to those that do not answer well."),
        .init(
            "probe.host", \.healthCheck.host, .optional(.text("host name")), isReloadable: true,
            "What Host says then; without it, what host says, or the member's address."),
        .init("probe.interval", \.healthCheck.interval, .duration(.milliseconds(50)...(.hours(1))), isReloadable: true, "How often."),
        .init(
            "probe.timeout", \.healthCheck.timeout, .duration(.milliseconds(10)...(.minutes(10))), isReloadable: true,
            "From connecting to the response's head."),
        .init(
            "probe.status", \.healthCheck.statuses, .statusRange, isReloadable: true, "Statuses that are a good answer."),
        .init("probe.rise", \.healthCheck.rise, .number(1...1000), isReloadable: true, "So many good answers in a row: it is up."),
        .init("probe.fall", \.healthCheck.fall, .number(1...1000), isReloadable: true, "So many bad ones: it is down."),
    ]

    private static let tunnels: [SettingKey<UpstreamGroup>] = [
        .init(
            "tunnel.idle_timeout", \.tunnel.idleTimeout, .duration(.milliseconds(10)...(.hours(168))), isReloadable: true,
            "Of a connection that switched to another protocol, such as WebSocket: without a byte in either direction."),
        .init(
            "tunnel.total_timeout", \.tunnel.totalTimeout, .optional(.duration(.milliseconds(10)...(.hours(168)))), isReloadable: true,
            "And in all."),
    ]
}

extension ValueFormat where Value == UpstreamGroup.Member {
    /// `http://127.0.0.1:3000`, `https://app.internal:8443`, `unix:/run/app.sock`, `srv:_http._tcp.app.internal`; with `weight=3` and `backup` behind it.
    static var member: Self {
        let endpoint = ValueFormat<EdgeConfiguration.SocketEndpoint>.application
        return Self(
            "member", units: "\(endpoint.units), https://HOST:PORT, srv:NAME; with \"weight=N\" or \"backup\" behind it",
            parse: { word in
                let parts = word.split(separator: " ")
                guard let address = parts.first, parts.count <= 3 else { throw ValueProblem("\"\(word)\" is no member") }
                var weight = 1
                var isBackup = false
                for part in parts.dropFirst() {
                    if part == "backup" {
                        isBackup = true
                        continue
                    }
                    let prefix = "weight="
                    guard part.hasPrefix(prefix), let number = Int(part.dropFirst(prefix.count)), (1...1000).contains(number) else {
                        throw ValueProblem("\"\(part)\" is no weight such as weight=3, within 1…1000, nor backup")
                    }
                    weight = number
                }
                if address.hasPrefix("srv:") {
                    let name = address.dropFirst("srv:".count)
                    guard isDNSName(name) else { throw ValueProblem("\"\(address)\" is no service such as srv:_http._tcp.app.internal") }
                    return UpstreamGroup.Member(service: String(name), weight: weight, isBackup: isBackup)
                }
                let (place, isSecure) = try AddressText.parseMember(String(address))
                return UpstreamGroup.Member(place, weight: weight, isBackup: isBackup, isSecure: isSecure)
            },
            render: { member in
                let address =
                    switch member.address {
                    case .endpoint(let address): member.isSecure ? "https://\(address)" : endpoint.render(address)
                    case .service(let name): "srv:\(name)"
                    }
                guard member.weight != 1 || member.isBackup else { return address }
                return "\"\(address)\(member.weight == 1 ? "" : " weight=\(member.weight)")\(member.isBackup ? " backup" : "")\""
            })
    }

    /// - Source: RFC 1035 §2.3.4; underscores are those of RFC 2782.
    private static func isDNSName(_ name: Substring) -> Bool {
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        return name.utf8.count <= 253 && !labels.isEmpty
            && labels.allSatisfy { label in
                (1...63).contains(label.utf8.count)
                    && label.utf8.allSatisfy { ($0 | 0x20) &- 0x61 < 26 || $0 &- 0x30 < 10 || "-_".utf8.contains($0) }
            }
    }
}

extension ValueFormat where Value == UpstreamGroup.Balancing {
    static var balancing: Self {
        let words: [(String, Value)] = [
            ("round-robin", .roundRobin), ("least-connections", .leastConnections), ("random-of-two", .randomOfTwo),
            ("hash-client", .consistentHash(.client)), ("hash-target", .consistentHash(.target)),
        ]
        let named: [(String, @Sendable (String) -> Value)] = [
            ("hash-header:", { .consistentHash(.field($0)) }), ("hash-cookie:", { .consistentHash(.cookie($0)) }),
        ]
        let choices = words.map(\.0) + named.map { $0.0 + "NAME" }
        return Self(
            "word", units: choices.joined(separator: ", "),
            parse: { word in
                if let (_, value) = words.first(where: { $0.0 == word }) { return value }
                for (prefix, value) in named where word.hasPrefix(prefix) {
                    let name = word.dropFirst(prefix.count)
                    guard !name.isEmpty, name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && !"=;,:".utf8.contains($0) }) else { break }
                    return value(String(name))
                }
                let guess = Spelling.nearest(word, in: choices).map { ": did you mean \($0)?" } ?? ""
                throw ValueProblem("\"\(word)\" is none of \(choices.joined(separator: ", "))\(guess)")
            },
            render: { value in
                switch value {
                case .roundRobin: "round-robin"
                case .leastConnections: "least-connections"
                case .randomOfTwo: "random-of-two"
                case .consistentHash(.client): "hash-client"
                case .consistentHash(.target): "hash-target"
                case .consistentHash(.field(let name)): "hash-header:\(name)"
                case .consistentHash(.cookie(let name)): "hash-cookie:\(name)"
                }
            })
    }
}

extension ValueFormat where Value == ClosedRange<Int> {
    /// `200`, `200-399`.
    static var statusRange: Self {
        Self(
            "statuses", units: "200, 200-399",
            parse: { word in
                let parts = word.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
                guard let first = parts[0], let last = parts.last ?? first, parts.count <= 2, first <= last, (100...599).contains(first),
                    (100...599).contains(last)
                else { throw ValueProblem("\"\(word)\" is no range of statuses such as 200-399") }
                return first...last
            }, render: { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" })
    }
}

extension ValueFormat where Value == EdgeConfiguration.SocketEndpoint {
    /// A name server's IPv4 address, with or without a port.
    static var nameserver: Self {
        Self(
            "address", units: "IPv4, IPv4:PORT",
            parse: { word in
                let endpoint = try AddressText.parse(word.contains(":") ? word : word + ":53")
                guard case .tcp(let host, let port) = endpoint, port > 0, (try? SocketAddress(ipAddress: host, port: port))?.protocol == .inet
                else { throw ValueProblem("\"\(word)\" is no IPv4 address such as 10.0.0.2 or 127.0.0.1:5353") }
                return endpoint
            }, render: { $0.description })
    }
}
