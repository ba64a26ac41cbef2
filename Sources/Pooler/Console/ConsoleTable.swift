/// What `SHOW` can show, with the columns of each in their order.
///
/// Names and order are PgBouncer 1.25's, as far as it has the table: exporters and dashboards read them by name or by position, and
/// break on every change. The last four tables are ours.
/// - Source: pgbouncer.org, "Admin console"; a running PgBouncer 1.25.
enum ConsoleTable: String, CaseIterable, Sendable {
    case activeSockets = "ACTIVE_SOCKETS"
    case clients = "CLIENTS"
    case config = "CONFIG"
    case databases = "DATABASES"
    case dnsHosts = "DNS_HOSTS"
    case dnsZones = "DNS_ZONES"
    case fds = "FDS"
    case help = "HELP"
    case lists = "LISTS"
    case mem = "MEM"
    case peerPools = "PEER_POOLS"
    case peers = "PEERS"
    case pools = "POOLS"
    case servers = "SERVERS"
    case sockets = "SOCKETS"
    case state = "STATE"
    case stats = "STATS"
    case statsAverages = "STATS_AVERAGES"
    case statsTotals = "STATS_TOTALS"
    case totals = "TOTALS"
    case users = "USERS"
    case version = "VERSION"
    // Ours.
    case leaks = "LEAKS"
    case pinned = "PINNED"
    case queries = "QUERIES"
    case waiters = "WAITERS"

    /// One column of a result.
    struct Column: Sendable, Equatable {
        var name: String
        var type: ColumnType
    }

    /// The types that PgBouncer gives its columns, and their numbers in `pg_type`.
    enum ColumnType: Sendable {
        case text, int4, int8, numeric

        var objectID: Int32 {
            switch self {
            case .text: 25
            case .int4: 23
            case .int8: 20
            case .numeric: 1700
            }
        }

        /// Bytes; −1: it varies.
        var size: Int16 {
            switch self {
            case .text, .numeric: -1
            case .int4: 4
            case .int8: 8
            }
        }
    }

    /// Empty for `HELP`, which is a notice and no table.
    var columns: [Column] {
        switch self {
        case .help: []
        case .pools:
            Self.text("database", "user")
                + Self.int4(
                    "cl_active", "cl_waiting", "cl_active_cancel_req", "cl_waiting_cancel_req", "sv_active", "sv_active_cancel",
                    "sv_being_canceled", "sv_idle", "sv_used", "sv_tested", "sv_login", "maxwait", "maxwait_us")
                + Self.text("pool_mode", "load_balance_hosts")
        case .stats:
            Self.text("database")
                + Self.numeric(Self.counted.map { "total_\($0.inStats)" } + Self.counted.map { "avg_\($0.inStatsAverage)" })
        case .statsTotals: Self.text("database") + Self.numeric(Self.counted.map(\.alone))
        case .statsAverages:
            Self.text("database") + Self.numeric(Self.counted.map { $0.isNew ? "avg_\($0.alone)" : $0.alone })
        case .databases:
            Self.text("name", "host") + Self.int4("port") + Self.text("database", "force_user")
                + Self.int4("pool_size", "min_pool_size", "reserve_pool_size", "server_lifetime")
                + Self.text("pool_mode", "load_balance_hosts")
                + Self.int4(
                    "max_connections", "current_connections", "max_client_connections", "current_client_connections", "paused", "disabled")
        case .clients, .servers: Self.socket
        case .sockets, .activeSockets:
            Self.socket
                + Self.int4("recv_pos", "pkt_pos", "pkt_remain", "send_pos", "send_remain", "pkt_avail", "send_avail")
        case .users:
            Self.text("name") + Self.int4("pool_size", "reserve_pool_size") + Self.text("pool_mode")
                + Self.int4("max_user_connections", "current_connections", "max_user_client_connections", "current_client_connections")
        case .config: Self.text("key", "value", "default", "changeable")
        case .lists: Self.text("list") + Self.int4("items")
        case .totals: Self.text("name") + Self.numeric(["value"])
        case .peers: Self.int4("peer_id") + Self.text("host") + Self.int4("port", "pool_size")
        case .peerPools:
            Self.int4("peer_id", "cl_active_cancel_req", "cl_waiting_cancel_req", "sv_active_cancel", "sv_login")
        case .mem: Self.text("name") + Self.int8("size", "used", "free", "memtotal")
        case .dnsHosts: Self.text("hostname") + Self.int8("ttl") + Self.text("addrs")
        case .dnsZones: Self.text("zonename") + Self.int8("serial") + Self.int4("count")
        case .state: Self.text("key", "value")
        case .fds:
            Self.int4("fd") + Self.text("task", "user", "database", "addr") + Self.int4("port") + Self.int8("cancel") + Self.int4("link")
                + Self.text(
                    "client_encoding", "std_strings", "datestyle", "timezone", "password", "scram_client_key", "scram_server_key")
        case .version: Self.text("version")
        case .queries:
            Self.text("fingerprint", "query", "database") + Self.int8("calls", "rows", "errors")
                + Self.int8("wait_us", "server_us", "p50_us", "p95_us", "p99_us") + Self.text("trace_id")
        case .waiters:
            Self.text("database", "user", "application_name", "addr") + Self.int4("port") + Self.int8("wait_us")
                + Self.int4("position") + Self.int8("id")
        case .leaks:
            Self.text("database", "user", "application_name", "addr") + Self.int4("port") + Self.int8("idle_in_transaction_us")
                + Self.text("query", "trace_id") + Self.int4("remote_pid") + Self.int8("id")
        case .pinned:
            Self.text("database", "user", "application_name", "addr") + Self.int4("port") + Self.text("cause") + Self.int8("pinned_us")
                + Self.text("query") + Self.int4("remote_pid") + Self.int8("id")
        }
    }

    /// What PgBouncer counts per database, under the names that it has in each of its three tables.
    private static let counted: [(alone: String, inStats: String, inStatsAverage: String, isNew: Bool)] = [
        ("server_assignment_count", "server_assignment_count", "server_assignment_count", false),
        ("xact_count", "xact_count", "xact_count", false), ("query_count", "query_count", "query_count", false),
        ("bytes_received", "received", "recv", false), ("bytes_sent", "sent", "sent", false), ("xact_time", "xact_time", "xact_time", false),
        ("query_time", "query_time", "query_time", false), ("wait_time", "wait_time", "wait_time", false),
        ("client_parse_count", "client_parse_count", "client_parse_count", true),
        ("server_parse_count", "server_parse_count", "server_parse_count", true), ("bind_count", "bind_count", "bind_count", true),
        ("client_login_count", "client_login_count", "client_login_count", true),
    ]

    private static let socket =
        text("type", "user", "database", "replication", "state", "addr") + int4("port") + text("local_addr") + int4("local_port")
        + text("connect_time", "request_time") + int4("wait", "wait_us", "close_needed") + text("ptr", "link") + int4("remote_pid")
        + text("tls", "application_name") + int4("prepared_statements") + int8("id")

    private static func text(_ names: String...) -> [Column] { names.map { Column(name: $0, type: .text) } }
    private static func int4(_ names: String...) -> [Column] { names.map { Column(name: $0, type: .int4) } }
    private static func int8(_ names: String...) -> [Column] { names.map { Column(name: $0, type: .int8) } }
    private static func numeric(_ names: [String]) -> [Column] { names.map { Column(name: $0, type: .numeric) } }
}
