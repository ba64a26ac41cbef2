import Foundation
import Testing

@testable import headrace

/// Each planted misconfiguration is found by its check and by no other; a good deployment is left in peace.
@Suite struct DeployedChecksTests {
    private static func latest(_ change: (inout [String: Double]) -> Void = { _ in }, idle: [String] = [], down: [String] = []) throws -> DeployedEvidence.Latest {
        var totals = [
            "requests": 5000.0, "cache_hits": 3500, "cache_misses": 900, "upstream_requests": 1000, "pool_transactions": 800, "keyspace_commands": 4000,
            "keyspace_hits": 900, "keyspace_misses": 100,
        ]
        change(&totals)
        let document: [String: Any] = [
            "layers": ["Edge", "Compression", "Keyspace"].map { ["title": $0, "state": idle.contains($0) ? "idle" : "on"] },
            "services": ["application", "postgresql"].map { ["name": $0, "state": down.contains($0) ? "down" : "up"] }, "totals": totals,
            "paths": [["pattern": "/scans/*", "requests": 90, "seconds": 9, "hit_share": 0.1, "hint": "Cache-Control: private"]],
        ]
        return try DeployedEvidence.Latest(try JSONSerialization.data(withJSONObject: document))
    }

    private static func good() throws -> DeployedEvidence {
        var evidence = DeployedEvidence()
        evidence.url = "https://a.example/"
        evidence.passage = .signed
        evidence.crossing = .init(requests: 20, upstream: 20, transactions: 31, commands: 64)
        evidence.latest = try latest()
        evidence.sessions = .success([.init(process: "7", user: "shop", application: "web", address: "127.0.0.1:40000", database: "shop", isPooler: true)])
        evidence.databaseClockAhead = 0.4
        evidence.postgresDoors = [.init(address: "192.0.2.1:5432", access: .closed)]
        evidence.poolerDoors = evidence.postgresDoors
        evidence.keyspaceDoors = evidence.postgresDoors
        evidence.hasApplicationOnThisMachine = true
        evidence.certificates = [("a.pem", 60)]
        evidence.process = .init(identifier: 9, openFilesMax: 65_536)
        evidence.descriptorsWanted = 30_000
        evidence.kernel = ["net.core.somaxconn": [4096], "net.ipv4.ip_local_port_range": [32_768, 60_999]]
        evidence.memoryBytes = 8 << 30
        evidence.cacheBytes = 1 << 30
        evidence.keyspaceBytes = 1 << 30
        return evidence
    }

    private static func problems(_ evidence: DeployedEvidence) -> [String] {
        DeployedChecks.all.filter { if case .problem = $0.judge(evidence) { true } else { false } }.map(\.name)
    }

    @Test func `a good deployment is left in peace, and every check had something to say`() throws {
        for check in DeployedChecks.all {
            guard case .good = check.judge(try Self.good()) else {
                Issue.record("\(check.name): \(check.judge(try Self.good()))")
                continue
            }
        }
    }

    private static let planted: [(check: String, plant: @Sendable (inout DeployedEvidence) throws -> Void)] = [
        ("passage", { $0.passage = .elsewhere("nginx") }),
        ("services", { $0.latest = try latest(down: ["postgresql"]) }),
        ("idle-layers", { $0.latest = try latest(idle: ["Keyspace"]) }),
        ("pooler-crossed", { $0.crossing?.transactions = 0 }),
        (
            "sessions",
            {
                $0.sessions = .success([.init(process: "8", user: "shop", application: "cron", address: "10.0.0.9:5000", database: "shop", isPooler: false)])
            }
        ),
        ("keyspace-crossed", { $0.crossing?.commands = 1 }),
        ("hit-rate", { $0.latest = try latest { $0["cache_hits"] = 100 } }),
        ("keyspace-hit-rate", { $0.latest = try latest { $0["keyspace_hits"] = 100 } }),
        ("certificates", { $0.certificates.append(("b.pem", 20)) }),
        ("application-door", { $0.applicationDoors = ["192.0.2.1:3000"] }),
        ("postgresql-door", { $0.postgresDoors[0].access = .withoutPassword }),
        ("postgresql-door", { $0.postgresDoors[0].access = .unencrypted }),
        ("pooler-door", { $0.poolerDoors[0].access = .withoutPassword }),
        ("keyspace-door", { $0.keyspaceDoors[0].access = .withoutPassword }),
        ("database-clock", { $0.databaseClockAhead = -90 }),
        ("descriptors", { $0.process?.openFilesMax = 1024 }),
        ("kernel", { $0.kernel["net.core.somaxconn"] = [128] }),
        ("kernel", { $0.kernel["net.ipv4.ip_local_port_range"] = [50_000, 51_000] }),
        ("memory", { $0.cacheBytes = 7 << 30 }),
        ("memory", { $0.keyspaceBytes = 0 }),
    ]

    @Test(arguments: planted.indices) func `a planted misconfiguration is found by its check alone`(index: Int) throws {
        var evidence = try Self.good()
        try Self.planted[index].plant(&evidence)
        #expect(Self.problems(evidence) == [Self.planted[index].check])
    }

    @Test func `every check has a planted misconfiguration`() {
        #expect(Set(Self.planted.map(\.check)) == Set(DeployedChecks.all.map(\.name)))
    }

    @Test func `a session past the pooler is named with its address and application`() throws {
        var evidence = try Self.good()
        evidence.sessions = .success([.init(process: "8", user: "shop", application: "cron", address: "10.0.0.9:5000", database: "shop", isPooler: false)])
        let check = try #require(DeployedChecks.all.first { $0.name == "sessions" })
        #expect(check.judge(evidence) == .problem(["shop@shop from 10.0.0.9:5000, \"cron\", process 8 of PostgreSQL"]))
    }

    @Test func `the pages that keep the hit rate down are named, with the reason`() throws {
        var evidence = try Self.good()
        evidence.latest = try Self.latest { $0["cache_hits"] = 100 }
        let check = try #require(DeployedChecks.all.first { $0.name == "hit-rate" })
        #expect(check.judge(evidence) == .problem(["10 % of 1000 lookups; 60 to 80 % is the aim", "/scans/*: 90 requests, Cache-Control: private"]))
    }

    @Test func `what cannot be looked at is no problem`() {
        #expect(Self.problems(DeployedEvidence()) == [])
    }

    @Test func `the kernel's table of sockets says whose they are`() {
        let table = """
              sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
               0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
               1: 0100007F:9C40 0100007F:1538 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 20 4 30 10 -1
               2: 0100007F:9C41 0100007F:1538 06 00000000:00000000 00:00000000 00000000     0        0 13 1 0 20 4 30 10 -1
            nonsense
            """
        let sockets = SocketOwners.sockets(table)
        #expect(sockets.count == 2)
        let owners = SocketOwners(sockets: sockets, owners: ["11": .init(processIdentifier: 5, name: "headrace"), "12": .init(processIdentifier: 6, name: "python3")])
        #expect(owners.listener(8080)?.processIdentifier == 5 && owners.listener(40_000) == nil)
        #expect(owners.owner(localPort: 40_000, remotePort: 5432)?.name == "python3" && owners.owner(localPort: 40_000, remotePort: 5433) == nil)
    }

    @Test func `a certificate's end is read from the metrics`() {
        let found = DeployedVisit.certificates(
            metrics: """
                headrace_edge_tls_certificate_expiry_timestamp_seconds{file="a b.pem"} 1000000
                other 5
                headrace_keyspace_tls_certificate_expiry_timestamp_seconds{file="a b.pem"} 1000000
                headrace_keyspace_tls_certificate_expiry_timestamp_seconds{file="k.pem"} 913600
                headrace_pooler_tls_certificate_expiry_timestamp_seconds{file="p.pem"} 827200

                """, now: 1_000_000 - 86_400 * 3)
        #expect(found.map(\.file) == ["a b.pem", "k.pem", "p.pem"] && found.map(\.days) == [3, 2, 1])
    }
}
