import Edge
import Foundation
import HTTPSemantics
import LoadGenerator
import NIOCore
import PostgresWire
import Telemetry
import Transport

/// Looks at a Headrace that serves: through its public address, through the ports of its layers, and at the machine it runs on.
///
/// It changes nothing. It sends some sixty requests, logs in to PostgreSQL once as the pooler does, and knocks at each port from each address
/// that others reach.
struct DeployedVisit: Sendable {
    /// Marked requests: enough to tell "none" from "few".
    private static let markedRequests = 20
    private static let knockSeconds = 3
    /// The dashboard's totals are of the last full second.
    private static let totalsDelay = Duration.milliseconds(2200)

    let settings: Settings
    let url: HTTPURL
    let verifies: Bool
    let timeout: Duration
    /// Addresses of this machine that others reach.
    let outside: [String]
    let fields: [Workload.Field]

    func evidence() async -> DeployedEvidence {
        var evidence = DeployedEvidence()
        let edge = settings.edgeConfiguration
        evidence.url = url.origin + url.target
        evidence.passage = await passage()
        // Who is somebody else is not told our token.
        let publicOrigin = if case .elsewhere = evidence.passage { nil as String? } else { url.origin }
        // Before anybody else is asked: what comes of these requests alone is looked for.
        evidence.crossing = await crossing(publicOrigin)
        evidence.latest = try? await latest(publicOrigin)
        evidence.certificates = await certificates(publicOrigin)
        let owners = SocketOwners()
        if settings.poolerConfiguration != nil, let postgres = settings.postgres {
            // Asked without TLS: not where the pooler must have it.
            if settings.pooler.tls.server.allowsPlain {
                let found = await Self.onThread { [settings] in Self.database(postgres, password: settings.postgresPassword, owners) }
                evidence.sessions = found.sessions
                evidence.databaseClockAhead = found.clockAhead
            }
            evidence.poolerDoors = await doors(settings.pooler.listen, knock: Self.knockPostgres(postgres))
            evidence.postgresDoors = await doors(postgres.hosts, knock: Self.knockPostgres(postgres))
        }
        if settings.hasKeyspace {
            let plain = await doors(settings.keyspace.listen, knock: Self.knockKeyspace)
            evidence.keyspaceDoors = plain + (await doors(settings.keyspace.tls.listen, knock: Self.knockKeyspaceSecurely))
            evidence.keyspaceBytes = settings.keyspace.bytesMax
        }
        let members = edge.upstreams.values.flatMap(\.members).compactMap { member in
            if case .endpoint(let endpoint) = member.address { endpoint } else { nil }
        }
        evidence.hasApplicationOnThisMachine = members.contains { Self.isHere($0) }
        evidence.applicationDoors = await doors(members, knock: Self.knockHTTP).filter { $0.access != .closed }.map(\.address)
        evidence.cacheBytes = settings.hasEdge && edge.cache.isEnabled ? edge.cache.bytesMax : nil
        evidence.memoryBytes = Self.memoryBytes()
        evidence.kernel = Self.kernel()
        evidence.descriptorsWanted = descriptorsWanted(edge)
        for case .tcp(_, let port) in edge.listen where port != 0 {
            guard let owner = owners.listener(port) else { continue }
            evidence.process = .init(identifier: owner.processIdentifier, openFilesMax: Self.openFilesMax(owner.processIdentifier))
            break
        }
        return evidence
    }

    // MARK: Through the public address

    private func signature(_ without: EdgeLayers) -> Workload.Field? {
        settings.edge.proof.secret.map {
            Workload.Field(ProofField.name, ProofField.value(without: without, secret: $0, seconds: Int64(Date().timeIntervalSince1970)))
        }
    }

    private func get(_ target: HTTPURL, _ without: EdgeLayers = []) async throws -> PageFetch.Page {
        var fields = fields
        if let signature = signature(without) {
            fields.append(signature)
        } else if let token = settings.edge.metricsToken, target != url {
            fields.append(Workload.Field("Authorization", "Bearer \(token)"))
        }
        return try await PageFetch(timeout: timeout, verifies: verifies).get(target, fields: fields)
    }

    private func passage() async -> DeployedEvidence.Passage {
        do {
            let signature = signature([])
            let page = try await PageFetch(timeout: timeout, verifies: verifies).get(url, fields: fields + [signature].compactMap(\.self))
            if let signature, let secret = settings.edge.proof.secret {
                if page.head.fields.string(.headraceProof) == ProofField.answer(to: signature.value, without: [], secret: secret) { return .signed }
                return .elsewhere(
                    """
                    answered by something that does not have this edge's prove.secret, or does not take requests from this machine \
                    (prove.clients): status \(page.head.status), Cache-Status \(page.head.fields.string(.cacheStatus) ?? "missing")
                    """)
            }
            let isHeadrace = page.head.fields.string(.cacheStatus)?.contains("headrace") == true
            return isHeadrace ? .unsigned : .elsewhere("what answers is no Headrace: it sends no Cache-Status of one")
        } catch {
            return .elsewhere("\(error)")
        }
    }

    private func latest(_ publicOrigin: String?) async throws -> DeployedEvidence.Latest {
        let edge = settings.edgeConfiguration
        guard let path = edge.pages.dashboard, edge.pages.access != .off else { throw DoctorProblem(description: "the dashboard is off") }
        // At the edge's own address if the public one leads elsewhere.
        let own = try? RunningEdge(edge, to: nil).address.origin
        for origin in [own, publicOrigin].compactMap(\.self) {
            guard let page = try? await get(try HTTPURL(origin + path + "/latest.json")), page.head.status == 200,
                let latest = try? DeployedEvidence.Latest(Data(page.body))
            else { continue }
            return latest
        }
        throw DoctorProblem(description: "the dashboard cannot be read")
    }

    /// Sends requests that go past the cache, so that the application has to answer, and looks at what it asked for meanwhile.
    private func crossing(_ publicOrigin: String?) async -> DeployedEvidence.Crossing? {
        guard settings.edge.proof.secret != nil, settings.hasKeyspace || settings.poolerConfiguration != nil else { return nil }
        guard (try? await Task.sleep(for: Self.totalsDelay)) != nil, let before = try? await latest(publicOrigin) else { return nil }
        var sent = 0
        for _ in 0..<Self.markedRequests {
            if let page = try? await get(url, .responseCache), page.head.fields.contains(.headraceProof) { sent += 1 }
        }
        guard (try? await Task.sleep(for: Self.totalsDelay)) != nil, let after = try? await latest(publicOrigin) else { return nil }
        func grown(_ name: String) -> Double { after.total(name) - before.total(name) }
        return .init(requests: sent, upstream: grown("upstream_requests"), transactions: grown("pool_transactions"), commands: grown("keyspace_commands"))
    }

    private func certificates(_ publicOrigin: String?) async -> [(file: String, days: Double)] {
        let edge = settings.edgeConfiguration
        let hasCertificates = !edge.tls.certificates.isEmpty || !settings.keyspace.tls.listen.isEmpty || settings.pooler.tls.client != .disable
        guard hasCertificates, let path = edge.metricsPath else { return [] }
        let own = try? RunningEdge(edge, to: nil).address.origin
        for origin in [own, publicOrigin].compactMap(\.self) {
            guard let page = try? await get(try HTTPURL(origin + path)), page.head.status == 200 else { continue }
            return Self.certificates(metrics: String(decoding: page.body, as: UTF8.self), now: Date().timeIntervalSince1970)
        }
        return []
    }

    static func certificates(metrics: String, now: Double) -> [(file: String, days: Double)] {
        let prefixes = ["edge", "pooler", "keyspace"].map { "headrace_\($0)_tls_certificate_expiry_timestamp_seconds{file=\"" }
        var found: [(file: String, days: Double)] = []
        for line in metrics.split(separator: "\n") {
            guard let prefix = prefixes.first(where: { line.hasPrefix($0) }) else { continue }
            guard let space = line.lastIndex(of: " "), let end = Double(line[line.index(after: space)...]) else { continue }
            let file = String(line.dropFirst(prefix.count).prefix { $0 != "\"" })
            // One that several layers show.
            if !found.contains(where: { $0.file == file }) { found.append((file, (end - now) / 86_400)) }
        }
        return found
    }

    // MARK: At the ports

    /// Runs on a thread of its own: what blocks must not keep the others.
    private static func onThread<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread { continuation.resume(returning: body()) }
        }
    }

    /// Whether an endpoint is on this machine, so that its port may be open to others although we know it by another address.
    static func isHere(_ endpoint: SocketEndpoint) -> Bool {
        guard case .tcp(let host, _) = endpoint else { return false }
        return host == "localhost" || host == "0.0.0.0" || host == "::" || host == "::1" || host.hasPrefix("127.") || addresses().contains(host)
    }

    /// Knocks at each endpoint's port from outside: at the machine's other addresses for what is here, at its own for what is elsewhere.
    private func doors(_ endpoints: [SocketEndpoint], knock: @Sendable (SocketEndpoint) async -> DeployedEvidence.Access) async -> [DeployedEvidence.Door] {
        var doors: [DeployedEvidence.Door] = []
        for case .tcp(let host, let port) in endpoints {
            let hosts = Self.isHere(.tcp(host: host, port: port)) ? outside : [host]
            for host in hosts {
                let endpoint = SocketEndpoint.tcp(host: host, port: port)
                doors.append(.init(address: "\(endpoint)", access: await knock(endpoint)))
            }
        }
        return doors
    }

    private static func answer(_ endpoint: SocketEndpoint, to bytes: ByteBuffer) async -> [UInt8]? {
        await onThread {
            guard let socket = try? BlockingSocket(endpoint, seconds: knockSeconds), (try? socket.send(bytes)) != nil else { return nil }
            var answer = ByteBuffer()
            guard (try? socket.receive(into: &answer)) == true else { return nil }
            return Array(answer.readableBytesView)
        }
    }

    /// Asks to log in without TLS and without saying a password.
    /// - Source: PostgreSQL 15, "Message Formats": `R` and a code that is 0 for "you are in", and another for each way to ask.
    private static func knockPostgres(_ url: PostgresURL) -> @Sendable (SocketEndpoint) async -> DeployedEvidence.Access {
        { endpoint in
            var hello = ByteBuffer()
            StartupMessage(
                user: url.user ?? "postgres", database: url.database ?? url.user ?? "postgres", parameters: [.init("application_name", "headrace doctor")]
            ).write(to: &hello)
            guard let answer = await answer(endpoint, to: hello), answer.count >= 9, answer[0] == UInt8(ascii: "R") else { return .closed }
            return answer[5...8].allSatisfy { $0 == 0 } ? .withoutPassword : .unencrypted
        }
    }

    private static let ping = ByteBuffer(string: "PING\r\n")

    private static let knockKeyspace: @Sendable (SocketEndpoint) async -> DeployedEvidence.Access = { endpoint in
        guard let answer = await answer(endpoint, to: ping) else { return .closed }
        let text = String(decoding: answer, as: UTF8.self)
        return text.hasPrefix("+PONG") ? .withoutPassword : text.hasPrefix("-NOAUTH") ? .unencrypted : .closed
    }

    /// Without a certificate of ours: where one is required nobody is let in.
    static let knockKeyspaceSecurely: @Sendable (SocketEndpoint) async -> DeployedEvidence.Access = { endpoint in
        let answer = await SecureKnock.answer(endpoint, to: ping, seconds: knockSeconds)
        return answer.map { $0.starts(with: Array("+PONG".utf8)) } == true ? .withoutPassword : .closed
    }

    private static let knockHTTP: @Sendable (SocketEndpoint) async -> DeployedEvidence.Access = { endpoint in
        let answer = await answer(endpoint, to: ByteBuffer(string: "HEAD / HTTP/1.1\r\nHost: \(endpoint)\r\nConnection: close\r\n\r\n"))
        return answer.map { $0.starts(with: Array("HTTP/".utf8)) } == true ? .withoutPassword : .closed
    }

    // MARK: In PostgreSQL

    private static let sessionsQuery = """
        SELECT pid::text, concat_ws(chr(31), coalesce(usename, ''), coalesce(application_name, ''), coalesce(host(client_addr), ''), \
        coalesce(client_port, -1), coalesce(datname, ''), extract(epoch FROM clock_timestamp())) FROM pg_stat_activity \
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
        """

    private static func database(
        _ postgres: PostgresURL, password: String?, _ owners: SocketOwners
    ) -> (sessions: Result<[DeployedEvidence.Session], DoctorProblem>, clockAhead: Double?) {
        var url = postgres
        url.password = password ?? url.password
        var sessions: [DeployedEvidence.Session] = []
        var ahead: Double?
        do {
            let rows = try RowSource(url, query: sessionsQuery + " UNION ALL SELECT '', concat_ws(chr(31), '', '', '', -1, '', extract(epoch FROM clock_timestamp()))", seconds: 5)
            while let row = try rows.next() {
                let entry = try row.entry.get()
                let parts = String(decoding: entry.value, as: UTF8.self).split(separator: "\u{1F}", omittingEmptySubsequences: false).map(String.init)
                guard parts.count == 6, let port = Int(parts[3]) else { continue }
                if ahead == nil, let time = Double(parts[5]) { ahead = time - Date().timeIntervalSince1970 }
                guard !entry.key.isEmpty else { continue }
                sessions.append(
                    .init(
                        process: String(decoding: entry.key, as: UTF8.self), user: parts[0], application: parts[1],
                        address: port < 0 ? "a Unix socket" : "\(parts[2]):\(port)", database: parts[4],
                        isPooler: isPooler(port: port, postgres, owners)))
            }
            return (.success(sessions), ahead)
        } catch {
            return (.failure(DoctorProblem(description: "PostgreSQL could not be asked: \(error)")), nil)
        }
    }

    /// Whether the near end of a session is a Headrace of this machine. Over a Unix socket nobody says who it is: then it is, if the pooler
    /// comes that way.
    private static func isPooler(port: Int, _ postgres: PostgresURL, _ owners: SocketOwners) -> Bool {
        guard port >= 0 else { return postgres.hosts.contains { if case .unix = $0 { true } else { false } } }
        for case .tcp(_, let server) in postgres.hosts {
            if owners.owner(localPort: port, remotePort: server)?.name.hasPrefix("headrace") == true { return true }
        }
        return false
    }

    // MARK: On the machine

    /// What the limits may take together, and 64 for files, pipes and the like.
    private func descriptorsWanted(_ edge: EdgeConfiguration) -> Int {
        var wanted = 64
        if settings.hasEdge { wanted += edge.limits.connectionsMax + edge.upstreams.values.reduce(0) { $0 + $1.connectionsMax } }
        if settings.poolerConfiguration != nil { wanted += settings.pooler.limits.clientConnectionsMax + settings.pooler.limits.serverConnectionsMax }
        if settings.hasKeyspace { wanted += settings.keyspace.clientsMax }
        return wanted
    }

    /// Addresses of this machine but those of loopback and link.
    static func addresses() -> [String] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return [] }
        defer { freeifaddrs(list) }
        var found: [String] = []
        var next = list
        while let entry = next {
            next = entry.pointee.ifa_next
            guard let address = entry.pointee.ifa_addr else { continue }
            let family = Int32(address.pointee.sa_family)
            guard family == AF_INET || family == AF_INET6 else { continue }
            let size = family == AF_INET ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
            var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            guard getnameinfo(address, socklen_t(size), &host, socklen_t(host.count), nil, 0, NI_NUMERICHOST) == 0 else { continue }
            let text = String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if text.hasPrefix("127.") || text == "::1" || text.lowercased().hasPrefix("fe80") { continue }
            found.append(text)
        }
        return found
    }

    /// - Source: proc(5), /proc/meminfo; the kernel's cgroup-v2.rst, memory.max.
    private static func memoryBytes() -> Int? {
        let text = (try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8)) ?? ""
        let total = text.firstMatch(of: /MemTotal: +(\d+) kB/).flatMap { Int($0.1) }.map { $0 << 10 }
        let group = (try? String(contentsOfFile: "/sys/fs/cgroup/memory.max", encoding: .utf8)).flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
        return [total, group].compactMap(\.self).min()
    }

    private static func kernel() -> [String: [Int]] {
        var values: [String: [Int]] = [:]
        for name in ["net.core.somaxconn", "net.ipv4.ip_local_port_range"] {
            guard let text = try? String(contentsOfFile: "/proc/sys/" + name.replacing(".", with: "/"), encoding: .utf8) else { continue }
            values[name] = text.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
        }
        return values
    }

    /// - Source: proc(5), /proc/PID/limits.
    private static func openFilesMax(_ process: Int32) -> Int? {
        let text = (try? String(contentsOfFile: "/proc/\(process)/limits", encoding: .utf8)) ?? ""
        guard let value = text.firstMatch(of: /Max open files +(\S+)/)?.1 else { return nil }
        return value == "unlimited" ? .max : Int(value)
    }
}
