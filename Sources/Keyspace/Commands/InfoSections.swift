import RESPWire
import Telemetry

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// `INFO`: the sections and fields that exporters, dashboards and redis-cli read.
/// - Source: redis.io/commands/info.
enum InfoSections {
    private typealias Section = (name: String, isDefault: Bool, text: @Sendable (Call) -> String)

    private static let sections: [Section] = [
        ("server", true, server), ("clients", true, clients), ("memory", true, memory), ("persistence", true, persistence),
        ("stats", true, stats), ("replication", true, replication), ("cpu", true, cpu), ("modules", true, { _ in "# Modules\r\n" }),
        ("errorstats", true, errorStats), ("commandstats", false, commandStats), ("cluster", true, { _ in "# Cluster\r\ncluster_enabled:0\r\n" }),
        ("keyspace", true, keyspace),
    ]

    static func info(_ call: Call) throws(CommandFailure) {
        var wanted: Set<String> = []
        for index in 1..<max(call.count, 1) {
            let name = call.lowercased(index)
            switch name {
            case "all", "everything": wanted.formUnion(sections.map(\.name))
            case "default": wanted.formUnion(sections.filter(\.isDefault).map(\.name))
            default: wanted.insert(name)
            }
        }
        if call.count == 1 { wanted = Set(sections.filter(\.isDefault).map(\.name)) }
        call.out.verbatim(sections.filter { wanted.contains($0.name) }.map { $0.text(call) }.joined(separator: "\r\n"))
    }

    private static func lines(_ title: String, _ fields: [(String, String)]) -> String {
        "# \(title)\r\n" + fields.map { "\($0.0):\($0.1)\r\n" }.joined()
    }

    private static func server(_ call: Call) -> String {
        let uptime = max(call.now - call.keyspace.started, 0) / 1000
        let (threads, port) = (call.keyspace.loops.withLock { $0.count }, call.keyspace.port)
        return lines(
            "Server",
            [
                ("redis_version", ServerCommands.redisVersion), ("redis_git_sha1", "00000000"), ("redis_git_dirty", "0"),
                ("redis_build_id", "headrace"), ("redis_mode", "standalone"), ("os", "Linux"), ("arch_bits", "64"),
                ("monotonic_clock", "POSIX clock_gettime"), ("multiplexing_api", "epoll"), ("process_id", "\(getpid())"),
                ("process_supervised", "no"), ("run_id", call.keyspace.runID), ("tcp_port", "\(port)"),
                ("server_time_usec", "\(WallClock.nanoseconds() / 1000)"), ("uptime_in_seconds", "\(uptime)"),
                ("uptime_in_days", "\(uptime / 86400)"), ("hz", "10"), ("configured_hz", "10"), ("lru_clock", "\(call.now / 1000 & 0xFF_FFFF)"),
                ("executable", "headrace"), ("config_file", ""), ("io_threads_active", threads > 1 ? "1" : "0"),
            ])
    }

    private static func clients(_ call: Call) -> String {
        let all = call.keyspace.clients.all
        return lines(
            "Clients",
            [
                ("connected_clients", "\(all.count)"), ("cluster_connections", "0"),
                ("maxclients", "\(call.keyspace.settings.values.withLock { $0.clientsMax })"), ("client_recent_max_input_buffer", "0"),
                ("client_recent_max_output_buffer", "0"),
                ("blocked_clients", "\(all.count { $0.isBlocked.load(ordering: .relaxed) })"), ("tracking_clients", "0"),
                ("pubsub_clients", "\(all.count { $0.subscriptions.load(ordering: .relaxed) > 0 })"), ("clients_in_timeout_table", "0"),
            ])
    }

    private static func memory(_ call: Call) -> String {
        let (used, peak) = (call.keyspace.exactBytes(call), call.keyspace.peakBytes.load(ordering: .relaxed))
        let resident = OwnProcess.residentBytes()
        let limit = call.keyspace.bytesLimit
        func human(_ bytes: Int) -> String {
            if bytes < 1 << 10 { return "\(bytes)B" }
            let (unit, divisor) = bytes < 1 << 20 ? ("K", 1024.0) : bytes < 1 << 30 ? ("M", 1_048_576.0) : ("G", 1_073_741_824.0)
            return "\((Double(bytes) / divisor * 100).rounded() / 100)\(unit)"
        }
        let ratio = used > 0 ? (Double(resident) / Double(used) * 100).rounded() / 100 : 0
        return lines(
            "Memory",
            [
                ("used_memory", "\(used)"), ("used_memory_human", human(used)), ("used_memory_rss", "\(resident)"),
                ("used_memory_rss_human", human(resident)), ("used_memory_peak", "\(max(peak, used))"),
                ("used_memory_peak_human", human(max(peak, used))), ("used_memory_overhead", "0"), ("used_memory_startup", "0"),
                ("used_memory_dataset", "\(used)"), ("total_system_memory", "\(OwnProcess.systemBytes())"),
                ("total_system_memory_human", human(OwnProcess.systemBytes())), ("used_memory_lua", "0"), ("used_memory_scripts", "0"),
                ("maxmemory", "\(limit)"), ("maxmemory_human", human(limit)), ("maxmemory_policy", call.keyspace.eviction.policy.rawValue),
                ("mem_fragmentation_ratio", "\(ratio)"), ("mem_fragmentation_bytes", "\(max(resident - used, 0))"),
                ("mem_clients_normal", "0"), ("mem_clients_slaves", "0"), ("mem_aof_buffer", "0"), ("mem_allocator", "libc"),
                ("active_defrag_running", "0"), ("lazyfree_pending_objects", "0"), ("lazyfreed_objects", "0"),
            ])
    }

    private static func persistence(_ call: Call) -> String {
        let persistence = call.keyspace.persistence
        let status = persistence.status
        let writer = persistence.writer
        let isRewriting = writer?.isRewriting == true
        let changes = call.keyspace.changeCount &- status.changesAtLastSave
        let log: [(String, String)] =
            writer.map { writer -> [(String, String)] in
                let size = writer.size
                return [
                    ("aof_current_size", "\(size.byteCount)"), ("aof_base_size", "\(size.rewrittenByteCount)"),
                    ("aof_buffer_length", "\(writer.pendingByteCount)"), ("aof_dropped_bytes", "\(writer.droppedByteCount)"),
                ]
            } ?? []
        return lines(
            "Persistence",
            [
                ("loading", "0"), ("async_loading", "0"), ("rdb_changes_since_last_save", "\(changes)"), ("rdb_bgsave_in_progress", persistence.isSaving && !isRewriting ? "1" : "0"),
                ("rdb_last_save_time", "\(status.lastSave)"), ("rdb_last_bgsave_status", status.lastSaveFailed ? "err" : "ok"),
                ("rdb_last_bgsave_time_sec", "\(status.saveSeconds)"), ("rdb_current_bgsave_time_sec", "-1"), ("rdb_saves", "\(status.saveCount)"), ("aof_enabled", writer == nil ? "0" : "1"),
                ("aof_rewrite_in_progress", isRewriting ? "1" : "0"), ("aof_rewrite_scheduled", "0"), ("aof_last_rewrite_time_sec", "\(status.rewriteSeconds)"),
                ("aof_current_rewrite_time_sec", "-1"), ("aof_last_bgrewrite_status", status.lastRewriteFailed ? "err" : "ok"),
                ("aof_last_write_status", writer.map { $0.health == .good ? "ok" : "err" } ?? "ok"),
            ] + log)
    }

    private static func stats(_ call: Call) -> String {
        let sums = call.keyspace.sums(call)
        let hub = call.keyspace.hub
        return lines(
            "Stats",
            [
                ("total_connections_received", "\(sums.connections)"), ("total_commands_processed", "\(sums.commands)"),
                ("instantaneous_ops_per_sec", "\(call.keyspace.rate.commandsPerSecond)"), ("total_net_input_bytes", "\(sums.bytesIn)"),
                ("total_net_output_bytes", "\(sums.bytesOut)"), ("instantaneous_input_kbps", "0.00"), ("instantaneous_output_kbps", "0.00"),
                ("rejected_connections", "\(sums.refused)"), ("sync_full", "0"), ("sync_partial_ok", "0"), ("sync_partial_err", "0"),
                ("expired_keys", "\(sums.expired)"), ("expired_stale_perc", "0.00"), ("expired_time_cap_reached_count", "0"),
                ("evicted_keys", "\(sums.evicted)"), ("evicted_clients", "0"), ("keyspace_hits", "\(sums.hits)"),
                ("keyspace_misses", "\(sums.misses)"), ("pubsub_channels", "\(hub.pubSub.withLock { $0.activeChannels().count })"),
                ("pubsub_patterns", "\(hub.pubSub.withLock { $0.patternCount })"), ("latest_fork_usec", "0"),
                ("total_forks", "0"), ("migrate_cached_sockets", "0"), ("tracking_total_keys", "\(hub.tracking.withLock { $0.keyCount })"),
                ("tracking_total_items", "\(hub.tracking.withLock { $0.itemCount })"),
                ("unexpected_error_replies", "0"), ("total_error_replies", "\(call.keyspace.errors.snapshot().reduce(0) { $0 + $1.count })"),
                ("total_reads_processed", "0"), ("total_writes_processed", "0"),
            ])
    }

    private static func replication(_ call: Call) -> String {
        lines(
            "Replication",
            [
                ("role", "master"), ("connected_slaves", "0"), ("master_failover_state", "no-failover"), ("master_replid", call.keyspace.runID),
                ("master_replid2", String(repeating: "0", count: 40)), ("master_repl_offset", "0"), ("second_repl_offset", "-1"),
                ("repl_backlog_active", "0"), ("repl_backlog_size", "0"), ("repl_backlog_first_byte_offset", "0"), ("repl_backlog_histlen", "0"),
            ])
    }

    private static func cpu(_ call: Call) -> String {
        var (own, children) = (rusage(), rusage())
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &own)
        getrusage(__rusage_who_t(RUSAGE_CHILDREN.rawValue), &children)
        func text(_ time: timeval) -> String {
            let digits = String(time.tv_usec)
            return "\(time.tv_sec)." + String(repeating: "0", count: max(6 - digits.count, 0)) + digits
        }
        return lines(
            "CPU",
            [
                ("used_cpu_sys", text(own.ru_stime)), ("used_cpu_user", text(own.ru_utime)), ("used_cpu_sys_children", text(children.ru_stime)),
                ("used_cpu_user_children", text(children.ru_utime)),
            ])
    }

    private static func errorStats(_ call: Call) -> String {
        lines("Errorstats", call.keyspace.errors.snapshot().map { ("errorstat_\($0.code)", "count=\($0.count)") })
    }

    private static func commandStats(_ call: Call) -> String {
        let loops = call.keyspace.loops.withLock { $0 }
        var fields: [(String, String)] = []
        for (index, command) in CommandTable.shared.commands.enumerated() {
            let calls = loops.reduce(0) { $0 + $1.calls.value(index) }
            if calls > 0 { fields.append(("cmdstat_\(command.name)", "calls=\(calls),usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=0")) }
        }
        return lines("Commandstats", fields)
    }

    private static func keyspace(_ call: Call) -> String {
        var fields: [(String, String)] = []
        for database in 0..<call.keyspace.configuration.databases {
            let count = call.keyspace.keyCount(database, call)
            if count.keys > 0 { fields.append(("db\(database)", "keys=\(count.keys),expires=\(count.expiring),avg_ttl=0")) }
        }
        return lines("Keyspace", fields)
    }
}
