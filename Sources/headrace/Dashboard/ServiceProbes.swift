import Dashboard
import Edge
import Foundation
import Keyspace
import LoadGenerator
import NIOCore
import NIOPosix
import Pooler
import Transport

/// Asks each service whether it can be used, really: a connection, a query, a command.
struct ServiceProbes: Sendable {
    /// A service that takes longer is as good as gone.
    private static let timeout = TimeAmount.seconds(2)
    /// Less than this free, or this share, and the disk is about to be full.
    private static let freeBytesMin = 64 << 20
    private static let freeShareMin = 0.02
    /// The load generator rehearses a query before it asks it, each in a session, and a login is a transaction, too.
    private static let transactionsPerProbe = 4

    let settings: Settings
    /// When this process began, in seconds since 1970: its layers have no other age.
    let startedAt: Int64
    let edge: EdgeServer?
    let keyspace: (any KeyspaceView)?

    /// What came of asking the keyspace by each of its doors, and the server of the schedule's lock.
    struct Stores: Sendable {
        var keyspace: [KeyspaceProbe.Finding] = []
        var lock: (server: SocketEndpoint, finding: KeyspaceProbe.Finding)?
    }

    private var healths: [String: ServiceHealth] = [:]
    /// That PostgreSQL was asked for the last time, past the pooler: nobody's traffic.
    private(set) var transactions = 0

    init(settings: Settings, startedAt: Int64, edge: EdgeServer?, keyspace: (any KeyspaceView)?) {
        self.settings = settings
        self.startedAt = startedAt
        self.edge = edge
        self.keyspace = keyspace
    }

    /// Probes all of them, in turn.
    /// - Parameters:
    ///   - through: what came of a query through the pooler; `nil` when nobody could ask one.
    ///   - database: what PostgreSQL said of itself lately.
    ///   - since: when layers' own processes began, of those that have one.
    mutating func probe(
        _ pooler: PoolerFigures?, through: PoolerProbe.Finding?, database: DatabaseFacts?, stores: Stores, since: [Layer: Int64] = [:], now: Int64
    ) async -> [ServiceReport] {
        var reports: [ServiceReport] = []
        transactions = 0
        func report(_ name: String, _ error: String?, version: String? = nil, upSince: Int64? = nil, detail: String?, isRequired: Bool = true) {
            healths[name, default: ServiceHealth()].probed(error: error, now: now)
            reports.append(
                ServiceReport(
                    name: name, health: healths[name] ?? ServiceHealth(), version: version, upSince: upSince, detail: detail, isRequired: isRequired))
        }
        func isDown(_ name: String) -> Bool { healths[name]?.state == .down }
        let insight = edge?.insight()
        let version = Headrace.version
        if edge != nil {
            report("edge", nil, version: version, upSince: startedAt, detail: settings.edge.listen.map(\.description).joined(separator: ", "))
            let groups = Dictionary(grouping: insight?.members ?? [], by: \.group)
            for (group, members) in groups.sorted(by: { $0.key < $1.key }) {
                let name = group == EdgeConfiguration.applicationName ? "application" : "upstream-\(group)"
                report(name, await Self.error(members), detail: members.map(\.address).joined(separator: ", "))
            }
        }
        if settings.poolerConfiguration != nil, let postgres = settings.postgres {
            let isServing = pooler != nil
            let logsIn = settings.pooler.tls.server.allowsPlain
            if logsIn, postgres.user != nil, settings.postgresPassword ?? postgres.password != nil { transactions = Self.transactionsPerProbe }
            report(
                "pooler", isServing ? through?.error : "it does not answer", version: version, upSince: since[.pooler] ?? startedAt,
                detail: (settings.pooler.listen.map(\.description) + [through?.note].compactMap(\.self)).joined(separator: ", "))
            // A query that does not come through may be an operator's doing (PAUSE, DISABLE), or load: a balancer that took the process out for
            // it would take out all that it serves besides.
            if isServing, isDown("pooler") { reports[reports.count - 1].isRequired = false }
            report(
                "postgresql", await Self.error(postgres, password: settings.postgresPassword, logsIn: logsIn),
                version: database?.version, upSince: database?.startedAt, detail: ([postgres.text] + Self.replication(database)).joined(separator: ", "))
        }
        if let keyspace {
            let pong = await keyspace.ping()
            let (error, notes) = Self.keyspaceFinding(stores.keyspace) { pong }
            report(
                "keyspace", error, version: version, upSince: since[.keyspace] ?? startedAt,
                detail: ((settings.keyspace.listen + settings.keyspace.tls.listen).map(\.description) + notes).joined(separator: ", "))
        }
        if let (server, finding) = stores.lock {
            report(
                "schedule-lock", finding.error, version: finding.server.version, upSince: finding.server.upSeconds.map { now - $0 },
                detail: ([server.description] + [finding.note].compactMap(\.self)).joined(separator: ", "),
                isRequired: false)
        }
        if let (error, detail) = diskError() { report("disk", error, detail: detail) }
        let clocks = [("the application", insight?.originClockAhead.map { Double($0) }), ("PostgreSQL", database?.clockAheadSeconds)]
        if let (error, detail) = Self.clockError(clocks) { report("clock", error, detail: detail, isRequired: false) }
        let certificates = (insight?.certificates ?? []) + (await keyspace?.numbers()?.certificates ?? []).map { ($0.file, $0.expires) }
        if let (error, detail) = Self.certificateError(certificates, now: now) { report("certificates", error, detail: detail, isRequired: false) }
        return reports
    }

    /// - Parameter ping: in this process, where there is no door to be asked by (not yet, or with TLS alone), or one that closes at once.
    static func keyspaceFinding(_ findings: [KeyspaceProbe.Finding], ping: () -> [UInt8]) -> (error: String?, notes: [String]) {
        let pong = Array("+PONG\r\n".utf8)
        guard findings.isEmpty else {
            // At the limit of connections, and when memory is short, who comes is sent away on purpose, and who is there is served.
            let isFull = findings.contains { $0.isClosedAtOnce } && ping() == pong
            var errors: [String] = []
            var notes: [String] = []
            for finding in findings {
                var note = finding.note
                if let error = finding.error {
                    if isFull, finding.isClosedAtOnce { note = "\(error) at once: it takes no more of them now" } else { errors.append(error) }
                }
                if let note, !notes.contains(note) { notes.append(note) }
            }
            return (errors.isEmpty ? nil : errors.joined(separator: "; "), notes)
        }
        let reply = ping()
        return reply == pong ? (nil, ["asked past its doors"]) : (String(decoding: reply.prefix(200), as: UTF8.self), [])
    }

    private static func replication(_ database: DatabaseFacts?) -> [String] {
        guard let database else { return [] }
        let lag = database.lagSeconds.map { String(format: "%.1f s behind", max(0, $0)) }
        return database.isStandby ? ["a standby" + (lag.map { ", \($0)" } ?? "")] : lag.map { ["its slowest standby \($0)"] } ?? []
    }

    // MARK: Clocks and certificates

    /// - Parameter clocks: whose, and by how many seconds it is ahead of ours; `nil` for what is not known.
    /// - Returns: `nil` when nothing is known.
    static func clockError(_ clocks: [(name: String, ahead: Double?)]) -> (String?, String)? {
        let known = clocks.compactMap { clock in clock.ahead.flatMap { $0.isNaN ? nil : (clock.name, $0) } }
        guard !known.isEmpty else { return nil }
        func text(_ name: String, _ ahead: Double) -> String {
            abs(ahead) < 1 ? "\(name)'s within a second" : "\(name)'s \(Int(exactly: abs(ahead).rounded(.down)) ?? .max) s \(ahead > 0 ? "ahead of" : "behind") ours"
        }
        let off = known.filter { abs($0.1) > Double(SiteChecks.clockSecondsMax) }.map(text)
        return (off.isEmpty ? nil : off.joined(separator: "; "), known.map(text).joined(separator: ", "))
    }

    /// - Parameter certificates: their files, and when each ends, in seconds since 1970.
    /// - Returns: `nil` when there are none.
    static func certificateError(_ certificates: [(file: String, expires: Int64)], now: Int64) -> (String?, String)? {
        guard !certificates.isEmpty else { return nil }
        func text(_ certificate: (file: String, expires: Int64)) -> String {
            let days = (certificate.expires - now) / 86_400
            return certificate.expires <= now ? "\(certificate.file) has ended" : "\(certificate.file) ends in \(days) day\(days == 1 ? "" : "s")"
        }
        let short = certificates.filter { Double($0.expires - now) < SiteChecks.certificateDaysMin * 86_400 }.map(text)
        return (short.isEmpty ? nil : short.joined(separator: "; "), certificates.map(text).joined(separator: ", "))
    }

    // MARK: Upstreams

    /// A group can be used when one of its members can.
    private static func error(_ members: [EdgeInsight.Member]) async -> String? {
        var errors: [String] = []
        for member in members {
            // Nobody asks any more: draining does not wait for those that are left.
            if Task.isCancelled { return nil }
            guard member.isUp else {
                errors.append("\(member.address): put out, its requests or probes failed")
                continue
            }
            guard let error = await connectError(member.address) else { return nil }
            errors.append("\(member.address): \(error)")
        }
        return errors.isEmpty ? "it has no members: no name was found" : errors.joined(separator: "; ")
    }

    private static func connectError(_ address: String) async -> String? {
        do {
            let bootstrap = ClientBootstrap(group: NIOSingletons.posixEventLoopGroup).connectTimeout(timeout)
            let channel =
                switch try AddressText.parse(address) {
                case .tcp(let host, let port): try await bootstrap.connect(host: host, port: port).get()
                case .unix(let path): try await bootstrap.connect(unixDomainSocketPath: path).get()
                }
            try? await channel.close().get()
            return nil
        } catch {
            return words(error)
        }
    }

    private static func words(_ error: any Error) -> String {
        switch error {
        case let error as IOError: String(cString: strerror(error.errnoCode))
        case let error as NIOConnectionError: error.connectionErrors.first.map { words($0.error) } ?? "no address was found for its name"
        case is ChannelError: "no connection within \(timeout.nanoseconds / 1_000_000_000) s"
        default: "\(error)"
        }
    }

    // MARK: PostgreSQL

    /// A query past the pooler. Where clients bring their own name, nobody is there to ask as: then a connection has to do.
    /// - Parameter logsIn: it has no TLS: where the pooler must have it, a connection has to do as well.
    private static func error(_ postgres: PostgresURL, password: String?, logsIn: Bool) async -> String? {
        var errors: [String] = []
        // As the pooler does: one that answers is enough.
        for endpoint in postgres.hosts {
            guard !Task.isCancelled, let error = await error(postgres, at: endpoint, password: password, logsIn: logsIn) else { return nil }
            errors.append(error)
        }
        return errors.isEmpty ? "it has no address" : errors.joined(separator: "; ")
    }

    private static func error(_ postgres: PostgresURL, at endpoint: SocketEndpoint, password: String?, logsIn: Bool) async -> String? {
        guard logsIn, let user = postgres.user, let secret = password ?? postgres.password else { return await connectError(endpoint.description) }
        do {
            let workload = try TransactionScript.workload(
                [(1, try TransactionScript("SELECT 1", name: "SELECT 1"))],
                DatabaseLogin(user: user, password: secret, database: postgres.database ?? user), at: endpoint, mode: .simple, scale: 1, seed: 1,
                keepsAlive: false)
            let seconds = Duration.nanoseconds(timeout.nanoseconds)
            let plan = LoadPlan(workload: workload, users: 1, warmUp: .zero, duration: seconds, requestsMax: 1, timeout: seconds)
            let report = try await LoadRun(plan).run()
            guard report.failed > 0 || report.requests == 0 else { return nil }
            // What the kernel says of a connection is plainer than that there was none.
            if let error = await connectError(endpoint.description) { return "\(endpoint): \(error)" }
            let kind = report.failures.first { $0.value > 0 }?.key
            return "\(endpoint): SELECT 1 failed: \(kind == .login ? "the login was refused" : kind?.rawValue ?? "no answer")"
        } catch {
            return "\(endpoint): \(error)"
        }
    }

    // MARK: Disk

    /// - Returns: `nil` when nothing is kept on a disk.
    private func diskError() -> (String?, String)? {
        var folders: [String] = []
        if let state = settings.dashboard.state { folders.append(state) }
        if !settings.keyspace.directory.isEmpty, keyspace != nil { folders.append(settings.keyspace.directory) }
        if case .file(let path) = settings.edge.accessLog, edge != nil { folders.append(URL(filePath: path).deletingLastPathComponent().path) }
        return Self.diskError(folders)
    }

    /// What is free where something is written.
    struct Room {
        var bytes: Int
        /// Of all that there is.
        var share: Double
    }

    struct NoRoom: Error {
        var words: String
    }

    /// - Parameter room: throws ``NoRoom`` where the folder cannot be asked.
    static func diskError(_ folders: [String], room: (String) throws -> Room = room) -> (String?, String)? {
        guard !folders.isEmpty else { return nil }
        var errors: [String] = []
        for folder in folders {
            do {
                let free = try room(folder)
                if free.bytes < freeBytesMin || free.share < freeShareMin { errors.append("\(folder): only \(free.bytes >> 20) MB are free") }
            } catch {
                errors.append("\(folder): \((error as? NoRoom)?.words ?? "\(error)")")
            }
        }
        return (errors.isEmpty ? nil : errors.joined(separator: "; "), folders.joined(separator: ", "))
    }

    private static func room(_ folder: String) throws -> Room {
        var info = statvfs()
        guard statvfs(folder, &info) == 0 else { throw NoRoom(words: String(cString: strerror(errno))) }
        let free = Int(clamping: UInt64(info.f_bavail).multipliedReportingOverflow(by: UInt64(info.f_frsize)).partialValue)
        return Room(bytes: free, share: info.f_blocks > 0 ? Double(info.f_bavail) / Double(info.f_blocks) : 1)
    }
}
