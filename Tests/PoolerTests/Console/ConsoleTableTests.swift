import Testing

@testable import Pooler

@Suite struct ConsoleTableTests {
    /// As read off a running PgBouncer 1.25.
    static let columns: [ConsoleTable: String] = [
        .pools:
            "database, user, cl_active, cl_waiting, cl_active_cancel_req, cl_waiting_cancel_req, sv_active, sv_active_cancel, sv_being_canceled, sv_idle, sv_used, sv_tested, sv_login, maxwait, maxwait_us, pool_mode, load_balance_hosts",
        .stats:
            "database, total_server_assignment_count, total_xact_count, total_query_count, total_received, total_sent, total_xact_time, total_query_time, total_wait_time, total_client_parse_count, total_server_parse_count, total_bind_count, total_client_login_count, avg_server_assignment_count, avg_xact_count, avg_query_count, avg_recv, avg_sent, avg_xact_time, avg_query_time, avg_wait_time, avg_client_parse_count, avg_server_parse_count, avg_bind_count, avg_client_login_count",
        .statsTotals:
            "database, server_assignment_count, xact_count, query_count, bytes_received, bytes_sent, xact_time, query_time, wait_time, client_parse_count, server_parse_count, bind_count, client_login_count",
        .statsAverages:
            "database, server_assignment_count, xact_count, query_count, bytes_received, bytes_sent, xact_time, query_time, wait_time, avg_client_parse_count, avg_server_parse_count, avg_bind_count, avg_client_login_count",
        .databases:
            "name, host, port, database, force_user, pool_size, min_pool_size, reserve_pool_size, server_lifetime, pool_mode, load_balance_hosts, max_connections, current_connections, max_client_connections, current_client_connections, paused, disabled",
        .clients: socket, .servers: socket, .sockets: socket + positions, .activeSockets: socket + positions,
        .users:
            "name, pool_size, reserve_pool_size, pool_mode, max_user_connections, current_connections, max_user_client_connections, current_client_connections",
        .config: "key, value, default, changeable", .lists: "list, items", .totals: "name, value", .peers: "peer_id, host, port, pool_size",
        .peerPools: "peer_id, cl_active_cancel_req, cl_waiting_cancel_req, sv_active_cancel, sv_login", .mem: "name, size, used, free, memtotal",
        .dnsHosts: "hostname, ttl, addrs", .dnsZones: "zonename, serial, count", .state: "key, value",
        .fds:
            "fd, task, user, database, addr, port, cancel, link, client_encoding, std_strings, datestyle, timezone, password, scram_client_key, scram_server_key",
        .version: "version",
    ]
    private static let socket =
        "type, user, database, replication, state, addr, port, local_addr, local_port, connect_time, request_time, wait, wait_us, close_needed, ptr, link, remote_pid, tls, application_name, prepared_statements, id"
    private static let positions = ", recv_pos, pkt_pos, pkt_remain, send_pos, send_remain, pkt_avail, send_avail"

    private static let ours: Set<ConsoleTable> = [.leaks, .pinned, .queries, .waiters, .help]

    @Test(arguments: ConsoleTable.allCases)
    func `columns and their order are PgBouncer's`(table: ConsoleTable) throws {
        guard !Self.ours.contains(table) else { return }
        #expect(table.columns.map(\.name).joined(separator: ", ") == (try #require(Self.columns[table])))
    }

    @Test func `every table of PgBouncer's is there, and four more`() {
        let known =
            "HELP CONFIG DATABASES POOLS CLIENTS SERVERS USERS VERSION PEERS PEER_POOLS FDS SOCKETS ACTIVE_SOCKETS LISTS MEM STATE DNS_HOSTS DNS_ZONES STATS STATS_TOTALS STATS_AVERAGES TOTALS QUERIES WAITERS LEAKS PINNED"
        #expect(Set(ConsoleTable.allCases.map(\.rawValue)) == Set(known.split(separator: " ").map(String.init)))
    }

    /// One of everything, so that each row can be laid beside its columns.
    static let full: ConsoleSnapshot = {
        let client = ConsoleSnapshot.Client(database: "shop", user: "app", applicationName: "web", address: "10.0.0.1", port: 4711, id: 9)
        let socket = ConsoleSnapshot.Socket(
            type: "C", user: "app", database: "shop", state: "active", address: "10.0.0.1", port: 4711, localAddress: "10.0.0.2",
            localPort: 6432, connectTime: "2026-01-31 12:00:00 UTC", requestTime: "2026-01-31 12:00:01 UTC", wait: 2_500_000, link: 255, id: 16)
        var counts = ConsoleSnapshot.Stats.Counts()
        counts.serverAssignments = 1
        counts.clientLogins = 12
        var snapshot = ConsoleSnapshot()
        snapshot.version = "Headrace"
        snapshot.databases = [
            .init(
                name: "shop", host: nil, port: 5432, database: "shop", forcedUser: nil, poolSize: 25, minPoolSize: 5, reservePoolSize: 5,
                serverLifetime: 3600, poolMode: "transaction", loadBalanceHosts: nil, connectionsMax: 0, connections: 3, clientConnectionsMax: 0,
                clientConnections: 7, isPaused: true, isDisabled: false)
        ]
        snapshot.users = [
            .init(
                name: "app", poolSize: 25, reservePoolSize: 5, poolMode: nil, connectionsMax: 0, connections: 3, clientConnectionsMax: 0,
                clientConnections: 7)
        ]
        snapshot.pools = [.init(database: "shop", user: "app", clientsWaiting: 2, maxWait: 3_000_007, poolMode: "transaction")]
        snapshot.clients = [socket]
        var server = socket
        server.state = "idle"
        server.isActive = false
        snapshot.servers = [server]
        snapshot.stats = [.init(database: "shop", totals: counts, averages: counts), .init(database: "blog", totals: counts, averages: counts)]
        snapshot.settings = [.init(key: "pool_mode", value: "transaction", standard: "session", isChangeable: true)]
        snapshot.memory = [.init(name: "clients", size: 100, used: 3, free: 2)]
        snapshot.hosts = [.init(name: "db", lifetime: 5, addresses: ["10.0.0.3", "10.0.0.4"])]
        snapshot.queries = [
            .init(
                fingerprint: "f", text: "select $1", database: "shop", calls: 1, rows: 2, errors: 3, wait: 4, server: 5, p50: 6, p95: 7, p99: 8,
                traceID: nil)
        ]
        snapshot.waiters = [.init(client: client, wait: 5, position: 1)]
        snapshot.leaks = [.init(client: client, idleInTransaction: 40_000_000, query: "select 1", traceID: "t", remotePID: 7)]
        snapshot.pins = [.init(client: client, cause: "temporaryTable", since: 3, query: "create temp table t ()", remotePID: 7)]
        return snapshot
    }()

    @Test(arguments: ConsoleTable.allCases)
    func `every row has a cell for each column, and numbers where numbers belong`(table: ConsoleTable) {
        let rows = Self.full.rows(of: table)
        let isEmpty: Set<ConsoleTable> = [.help, .peers, .peerPools, .dnsZones, .fds]
        #expect(rows.isEmpty == isEmpty.contains(table))
        for row in rows {
            #expect(row.count == table.columns.count)
            for (cell, column) in zip(row, table.columns) {
                switch (cell, column.type) {
                case (.null, _), (.text, .text), (.number, .int4), (.number, .int8), (.number, .numeric): break
                default: Issue.record("\(table.rawValue).\(column.name) is \(cell)")
                }
            }
        }
    }

    private func cell(_ table: ConsoleTable, _ column: String, row: Int = 0) throws -> ConsoleCell {
        let index = try #require(table.columns.firstIndex { $0.name == column })
        return Self.full.rows(of: table)[row][index]
    }

    @Test func `what is shown is what is`() throws {
        #expect(try cell(.pools, "maxwait") == .number(3))
        #expect(try cell(.pools, "maxwait_us") == .number(7))
        #expect(try cell(.pools, "cl_waiting") == .number(2))
        #expect(try cell(.clients, "wait") == .number(2))
        #expect(try cell(.clients, "wait_us") == .number(500_000))
        #expect(try cell(.clients, "ptr") == "0x10")
        #expect(try cell(.clients, "link") == "0xff")
        #expect(try cell(.databases, "host") == nil)
        #expect(try cell(.databases, "paused") == .number(1))
        #expect(try cell(.databases, "disabled") == .number(0))
        #expect(try cell(.mem, "memtotal") == .number(500))
        #expect(try cell(.leaks, "idle_in_transaction_us") == .number(40_000_000))
        #expect(try cell(.pinned, "cause") == "temporaryTable")
        #expect(Self.full.rows(of: .activeSockets).count == 1)
        #expect(Self.full.rows(of: .sockets).count == 2)
        #expect(Self.full.rows(of: .totals).first == ["total_server_assignment_count", .number(2)])
        #expect(Self.full.rows(of: .totals).last == ["avg_client_login_count", .number(24)])
        #expect(Self.full.rows(of: .lists).contains(["free_servers", .number(1)]))
        #expect(Self.full.rows(of: .state).first == ["active", "yes"])
    }

    @Test func `the help names every table`() {
        for table in ConsoleTable.allCases { #expect(ConsoleHelp.detail.contains(table.rawValue)) }
    }
}
