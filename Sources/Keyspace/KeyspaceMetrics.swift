public import Telemetry

extension KeyspaceFigures {
    /// Every family of the keyspace: under names of our own, and those that redis_exporter's dashboards ask for.
    /// - Source: github.com/oliver006/redis_exporter, the names of what it reads off `INFO`.
    public func append(to text: inout PrometheusText) {
        text.gauge("headrace_keyspace_clients", help: "Open connections of clients.", value: Double(clients))
        text.counter("headrace_keyspace_connections_total", help: "Connections that were taken.", value: connections)
        text.counter("headrace_keyspace_connections_refused_total", help: "Connections that were closed as soon as they were made.", value: refused)
        text.counter(
            "headrace_keyspace_memory_cut_total", help: "Clients that were cut because the process has nearly all memory.total, or for an answer that is too long.",
            value: memoryCuts)
        text.counter("headrace_keyspace_commands_total", help: "Commands that were run.", value: commands)
        for (result, count) in [("hit", hits), ("miss", misses)] {
            text.counter(
                "headrace_keyspace_lookups_total", help: "Lookups of keys by what they found; CONFIG RESETSTAT begins anew.",
                labels: [("result", result)], value: UInt64(clamping: count))
        }
        text.counter("headrace_keyspace_evicted_keys_total", help: "Keys that made room for others.", value: UInt64(clamping: evicted))
        text.counter("headrace_keyspace_expired_keys_total", help: "Keys whose time had passed.", value: UInt64(clamping: expired))
        text.gauge("headrace_keyspace_keys", help: "Keys.", value: Double(keys))
        text.gauge("headrace_keyspace_memory_bytes", help: "Memory of keys and values, bookkeeping included.", value: Double(bytes))
        text.gauge("headrace_keyspace_memory_limit_bytes", help: "The most that they may take; 0 is no bound.", value: Double(bytesMax))
        text.gauge(
            "headrace_keyspace_freeing_bytes", help: "Memory of large values that were removed and are not freed yet; not in headrace_keyspace_memory_bytes.",
            value: Double(freeingBytes))
        text.counter("headrace_keyspace_received_bytes_total", help: "Bytes from clients.", value: bytesIn)
        text.counter("headrace_keyspace_sent_bytes_total", help: "Bytes to clients.", value: bytesOut)
        text.counter("headrace_keyspace_tls_handshakes_total", help: "Connections on which TLS was agreed on.", value: tlsHandshakes)
        text.counter(
            "headrace_keyspace_tls_failures_total", help: "Connections that ended before TLS was agreed on: no TLS, an old one, no certificate that is required, or no end within ten seconds.",
            value: tlsFailures)
        for certificate in certificates {
            text.gauge(
                "headrace_keyspace_tls_certificate_expiry_timestamp_seconds", help: "When a certificate ends, in Unix seconds.",
                labels: [("file", certificate.file)], value: Double(certificate.expires))
        }
        // redis_exporter's
        text.gauge("redis_up", help: "Whether the keyspace answers.", value: isServing ? 1 : 0)
        text.gauge("redis_connected_clients", help: "headrace_keyspace_clients under redis_exporter's name.", value: Double(clients))
        text.counter("redis_commands_processed_total", help: "headrace_keyspace_commands_total under redis_exporter's name.", value: commands)
        text.counter("redis_connections_received_total", help: "headrace_keyspace_connections_total under redis_exporter's name.", value: connections)
        text.counter("redis_keyspace_hits_total", help: "headrace_keyspace_lookups_total of hits under redis_exporter's name.", value: UInt64(clamping: hits))
        text.counter(
            "redis_keyspace_misses_total", help: "headrace_keyspace_lookups_total of misses under redis_exporter's name.", value: UInt64(clamping: misses))
        text.counter("redis_evicted_keys_total", help: "headrace_keyspace_evicted_keys_total under redis_exporter's name.", value: UInt64(clamping: evicted))
        text.counter("redis_expired_keys_total", help: "headrace_keyspace_expired_keys_total under redis_exporter's name.", value: UInt64(clamping: expired))
        text.gauge("redis_memory_used_bytes", help: "headrace_keyspace_memory_bytes under redis_exporter's name.", value: Double(bytes))
        text.gauge("redis_memory_max_bytes", help: "headrace_keyspace_memory_limit_bytes under redis_exporter's name.", value: Double(bytesMax))
        text.counter("redis_net_input_bytes_total", help: "headrace_keyspace_received_bytes_total under redis_exporter's name.", value: bytesIn)
        text.counter("redis_net_output_bytes_total", help: "headrace_keyspace_sent_bytes_total under redis_exporter's name.", value: bytesOut)
        for (database, keys) in databaseKeys.enumerated() where keys > 0 || database == 0 {
            text.gauge("redis_db_keys", help: "Keys by database, under redis_exporter's name.", labels: [("db", "db\(database)")], value: Double(keys))
        }
    }
}
