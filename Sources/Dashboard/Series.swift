/// What the dashboard knows over time: one row per series, with its meaning. The documents, the stored samples and the table in
/// `docs/dashboard.md` are all read off it; the raw value is the name everywhere.
public enum Series: String, CaseIterable, Sendable {
    // The edge
    case requests
    case responses_2xx
    case responses_3xx
    case responses_4xx
    case responses_5xx
    case refused_requests
    case upstream_failures
    case cache_hits
    case cache_served_stale
    case cache_revalidated
    case cache_coalesced
    case cache_misses
    case cache_stale
    case cache_bypassed
    case cache_not_asked
    case cache_evictions
    case cache_entries
    case cache_bytes
    case responses_gzip
    case responses_br
    case responses_zstd
    case not_modified
    case body_bytes
    case saved_by_compression_bytes
    case saved_by_not_modified_bytes
    case compression_in_bytes
    case compression_out_bytes
    case compression_cpu_seconds
    case response_seconds
    case stage_lookup_seconds
    case stage_queue_seconds
    case stage_connect_seconds
    case stage_first_byte_seconds
    case stage_compress_seconds
    case stage_write_seconds
    case upstream_seconds
    case upstream_requests
    case upstream_connects
    case upstream_connections
    case upstream_waiting
    case connections
    case tunnels
    // The pooler
    case pool_clients
    case pool_clients_waiting
    case pool_servers_active
    case pool_servers_idle
    case pool_servers_opening
    case pool_transactions
    case pool_queries
    case pool_transaction_seconds
    case pool_query_seconds
    case pool_wait_seconds
    case traced_query_seconds
    case traced_wait_seconds
    case pool_waits_expired
    case pool_max_wait_seconds
    // The keyspace
    case keyspace_commands
    case keyspace_hits
    case keyspace_misses
    case keyspace_evictions
    case keyspace_expired
    case keyspace_keys
    case keyspace_bytes
    case keyspace_clients
    // The process
    case cpu_seconds
    case cpu_edge_seconds
    case cpu_pooler_seconds
    case cpu_keyspace_seconds
    case memory_bytes
    case open_files
    case threads
    case loop_lag_seconds

    /// The stages of a request as `Server-Timing` names them: the series are called after them.
    public static let stages: [(name: String, series: Series)] = allCases.compactMap { series in
        let (name, before, behind) = (series.rawValue, "stage_", "_seconds")
        guard name.hasPrefix(before), name.hasSuffix(behind) else { return nil }
        return (String(name.dropFirst(before.count).dropLast(behind.count)), series)
    }

    /// How samples of several stretches of time become one.
    public enum Kind: String, Sendable {
        /// What was counted in the stretch: added up; shown per second.
        case counter
        /// How much there was: the mean.
        case level
        /// The most that there was: the largest.
        case peak
    }

    public var kind: Kind {
        switch self {
        case .cache_entries, .cache_bytes, .upstream_connections, .upstream_waiting, .connections, .tunnels, .pool_clients, .pool_clients_waiting,
            .pool_servers_active, .pool_servers_idle, .pool_servers_opening, .keyspace_keys, .keyspace_bytes, .keyspace_clients, .memory_bytes,
            .open_files, .threads:
            .level
        case .pool_max_wait_seconds, .loop_lag_seconds: .peak
        default: .counter
        }
    }

    public var help: String {
        switch self {
        case .requests: "Exchanges that ended at the edge."
        case .responses_2xx: "Of those, with a status of 2xx."
        case .responses_3xx: "With 3xx, 304 among them."
        case .responses_4xx: "With 4xx."
        case .responses_5xx: "With 5xx: the failed requests."
        case .refused_requests: "Requests that were refused before they were understood."
        case .upstream_failures: "Exchanges for which no whole response came from upstream."
        case .cache_hits: "Answered from the response cache, fresh."
        case .cache_served_stale: "Answered from it although stale, by somebody's leave."
        case .cache_revalidated: "Answered from it after the application confirmed it."
        case .cache_coalesced: "Answered by another request's fetch."
        case .cache_misses: "Nothing was stored."
        case .cache_stale: "What was stored was stale and was fetched anew."
        case .cache_bypassed: "Not looked up: method, body, or the cache is off."
        case .cache_not_asked: "Answered by the edge itself: errors, its own pages."
        case .cache_evictions: "Stored responses that made room for others."
        case .cache_entries: "Stored responses."
        case .cache_bytes: "Memory of the stored responses."
        case .responses_gzip: "Responses that the edge sent in gzip."
        case .responses_br: "In brotli."
        case .responses_zstd: "In zstd."
        case .not_modified: "Responses with status 304: the client's copy was current."
        case .body_bytes: "Bytes of bodies that were sent."
        case .saved_by_compression_bytes: "Bytes of bodies that were not sent because they were compressed."
        case .saved_by_not_modified_bytes: "Bytes of stored bodies that a 304 spared."
        case .compression_in_bytes: "Bytes that were compressed while a client waited."
        case .compression_out_bytes: "What those bytes became."
        case .compression_cpu_seconds: "CPU time for compressing, in the background and while clients waited."
        case .response_seconds: "Time from requests' heads to their responses' last bytes, added up."
        case .stage_lookup_seconds: "Of that: the route, who may have it, and what is stored."
        case .stage_queue_seconds: "For a place at the application, or for another request's fetch."
        case .stage_connect_seconds: "While connections to the application were made."
        case .stage_first_byte_seconds: "From requests on their way to the application to their responses' heads; pool_wait and sql are in it."
        case .stage_compress_seconds: "Compressing while clients waited."
        case .stage_write_seconds: "The bodies' way to the clients."
        case .upstream_seconds: "Time that the application took to its responses' heads, added up."
        case .upstream_requests: "Requests that the application answered."
        case .upstream_connects: "Connections that were made to the application."
        case .upstream_connections: "Open connections to the application."
        case .upstream_waiting: "Requests that wait for a connection to the application."
        case .connections: "Open client connections of the edge."
        case .tunnels: "Connections that were switched to another protocol."
        case .pool_clients: "Clients of the pooler."
        case .pool_clients_waiting: "Clients that wait for a server connection."
        case .pool_servers_active: "Server connections in use."
        case .pool_servers_idle: "Server connections that wait for use."
        case .pool_servers_opening: "Server connections that are being made."
        case .pool_transactions: "Transactions through the pooler."
        case .pool_queries: "Queries through the pooler."
        case .pool_transaction_seconds: "Time in transactions, added up."
        case .pool_query_seconds: "Time in which the server worked for queries, added up."
        case .pool_wait_seconds: "Time that clients waited for a server connection, added up."
        case .traced_query_seconds: "Of the servers' time, what statements took that say which request they are of (traceparent), added up."
        case .traced_wait_seconds: "Of the time that clients waited, what such statements waited, added up."
        case .pool_waits_expired: "Clients that waited too long and were refused."
        case .pool_max_wait_seconds: "How long the client has waited that waits the longest."
        case .keyspace_commands: "Commands of the keyspace."
        case .keyspace_hits: "Lookups that found their key."
        case .keyspace_misses: "Lookups that did not."
        case .keyspace_evictions: "Keys that made room for others."
        case .keyspace_expired: "Keys whose time had passed."
        case .keyspace_keys: "Keys."
        case .keyspace_bytes: "Memory of keys and values."
        case .keyspace_clients: "Clients of the keyspace."
        case .cpu_seconds: "CPU time of the whole process."
        case .cpu_edge_seconds: "Of the edge's event loops."
        case .cpu_pooler_seconds: "Of the pooler's event loops."
        case .cpu_keyspace_seconds: "Of the keyspace's event loops."
        case .memory_bytes: "Resident memory of the process."
        case .open_files: "Open descriptors."
        case .threads: "Threads."
        case .loop_lag_seconds: "How late the edge's event loops came to what was due, at worst."
        }
    }

    /// The place in ``Sample/values``.
    public var place: Int { Self.places[self] ?? 0 }
    private static let places = Dictionary(uniqueKeysWithValues: allCases.enumerated().map { ($1, $0) })
}

/// What has a distribution over time.
public enum Timed: String, CaseIterable, Sendable {
    /// From a request's head to its response's last byte.
    case response
    /// From asking the application to its response's head.
    case upstream
    /// Of clients for a server connection.
    case pool_wait

    public var place: Int {
        switch self {
        case .response: 0
        case .upstream: 1
        case .pool_wait: 2
        }
    }
}
