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
        ("commandstats", false, commandStats), ("errorstats", true, errorStats), ("latencystats", false, latencyStats),
        ("cluster", true, { _ in "# Cluster\r\ncluster_enabled:0\r\n" }), ("keyspace", true, keyspace),
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
                ("maxclients", "\(call.keyspace.settings.clientsMax.load(ordering: .relaxed))"),
                ("client_recent_max_input_buffer", "\(all.map { $0.inputBytes.load(ordering: .relaxed) }.max() ?? 0)"),
                ("client_recent_max_output_buffer", "\(all.map { $0.outputBytes.load(ordering: .relaxed) }.max() ?? 0)"),
                ("blocked_clients", "\(all.count { $0.isBlocked.load(ordering: .relaxed) })"),
                ("tracking_clients", "\(call.keyspace.hub.tracking.withLock { $0.clientCount })"),
                ("pubsub_clients", "\(all.count { $0.subscriptions.load(ordering: .relaxed) > 0 })"),
                ("clients_in_timeout_table", "\(all.count { $0.hasDeadline.load(ordering: .relaxed) })"),
            ])
    }

    /// `1.50K`, as Redis' `bytesToHuman`.
    static func human(_ bytes: Int) -> String {
        if bytes < 1 << 10 { return "\(bytes)B" }
        let (unit, divisor) = bytes < 1 << 20 ? ("K", 1024.0) : bytes < 1 << 30 ? ("M", 1_048_576.0) : bytes < 1 << 40 ? ("G", 0x1p30) : ("T", 0x1p40)
        return decimal(Double(bytes) / divisor) + unit
    }

    /// With two digits behind the point.
    static func decimal(_ value: Double) -> String {
        let hundredths = Int(min(max(value * 100, -1e15), 1e15).rounded())
        let rest = abs(hundredths % 100)
        return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
    }

    private static func memory(_ call: Call) -> String {
        let figures = MemoryFigures(call)
        let (used, peak, resident) = (figures.used, figures.peak, figures.resident)
        let (limit, scripts) = (call.keyspace.bytesLimit, call.keyspace.scripts.figures)
        let ratio = used > 0 ? Double(resident) / Double(used) : 0
        // The C library is not asked what it holds: it would stop all that allocates while it counts. What it has taken from the system is
        // what the process has.
        let allocator: [(String, String)] = [
            ("allocator_allocated", "\(used)"), ("allocator_active", "\(resident)"), ("allocator_resident", "\(resident)"),
        ]
        let ratios: [(String, String)] = [
            ("allocator_frag_ratio", decimal(ratio)), ("allocator_frag_bytes", "\(resident - used)"), ("allocator_rss_ratio", "1.00"),
            ("allocator_rss_bytes", "0"), ("rss_overhead_ratio", "1.00"), ("rss_overhead_bytes", "0"), ("mem_fragmentation_ratio", decimal(ratio)),
            ("mem_fragmentation_bytes", "\(resident - used)"), ("mem_not_counted_for_evict", "\(figures.log + figures.freeing)"), ("mem_replication_backlog", "0"),
            ("mem_total_replication_buffers", "0"), ("mem_clients_slaves", "0"), ("mem_clients_normal", "\(figures.clients)"),
            ("mem_cluster_links", "0"), ("mem_aof_buffer", "\(figures.log)"), ("mem_allocator", "libc"), ("active_defrag_running", "0"),
            ("lazyfree_pending_objects", "\(call.keyspace.discarder.pendingCount)"), ("lazyfreed_objects", "\(call.keyspace.discarder.doneCount)"),
        ]
        return lines(
            "Memory",
            [
                ("used_memory", "\(used)"), ("used_memory_human", human(used)), ("used_memory_rss", "\(resident)"),
                ("used_memory_rss_human", human(resident)), ("used_memory_peak", "\(peak)"), ("used_memory_peak_human", human(peak)),
                ("used_memory_peak_perc", decimal(figures.peakPercentage) + "%"), ("used_memory_overhead", "\(figures.tables)"),
                ("used_memory_startup", "0"), ("used_memory_dataset", "\(used - figures.tables)"),
                ("used_memory_dataset_perc", decimal(figures.datasetPercentage) + "%"),
            ] + allocator + [
                ("total_system_memory", "\(OwnProcess.systemBytes())"), ("total_system_memory_human", human(OwnProcess.systemBytes())),
                ("used_memory_lua", "\(scripts.bytes)"), ("used_memory_vm_eval", "\(scripts.bytes)"), ("used_memory_lua_human", human(scripts.bytes)),
                ("used_memory_scripts_eval", "\(scripts.sourceBytes)"), ("number_of_cached_scripts", "\(scripts.scriptCount)"),
                ("number_of_functions", "0"), ("number_of_libraries", "0"), ("used_memory_vm_functions", "0"),
                ("used_memory_vm_total", "\(scripts.bytes)"), ("used_memory_vm_total_human", human(scripts.bytes)), ("used_memory_functions", "0"),
                ("used_memory_scripts", "\(scripts.sourceBytes)"), ("used_memory_scripts_human", human(scripts.sourceBytes)),
                ("maxmemory", "\(limit)"), ("maxmemory_human", human(limit)), ("maxmemory_policy", call.keyspace.eviction.policy.rawValue),
            ] + ratios)
    }

    private static func persistence(_ call: Call) -> String {
        let persistence = call.keyspace.persistence
        let status = persistence.status
        let progress = persistence.progress
        let writer = persistence.writer
        let isRewriting = writer?.isRewriting == true
        let isSaving = persistence.isSaving && !isRewriting
        let changes = call.keyspace.changeCount &- status.changesAtLastSave
        let seconds = status.began.map { max(WallClock.nanoseconds() / 1_000_000_000 - $0, 0) } ?? -1
        let done = progress.keysTotal > 0 ? Double(progress.keysDone) * 100 / Double(progress.keysTotal) : 0
        let log: [(String, String)] =
            writer.map { writer -> [(String, String)] in
                let size = writer.size
                return [
                    ("aof_current_size", "\(size.byteCount)"), ("aof_base_size", "\(size.rewrittenByteCount)"), ("aof_pending_rewrite", "0"),
                    ("aof_buffer_length", "\(writer.pendingByteCount)"), ("aof_pending_bio_fsync", "0"), ("aof_delayed_fsync", "0"),
                    ("aof_dropped_bytes", "\(writer.droppedByteCount)"),
                ]
            } ?? []
        return lines(
            "Persistence",
            [
                ("loading", "0"), ("async_loading", "0"), ("current_cow_peak", "\(progress.copiedBytes)"),
                ("current_cow_size", "\(progress.copiedBytes)"), ("current_cow_size_age", "0"), ("current_fork_perc", decimal(min(done, 100))),
                ("current_save_keys_processed", "\(progress.keysDone)"), ("current_save_keys_total", "\(progress.keysTotal)"),
                ("rdb_changes_since_last_save", "\(changes)"), ("rdb_bgsave_in_progress", isSaving ? "1" : "0"),
                ("rdb_last_save_time", "\(status.lastSave)"), ("rdb_last_bgsave_status", status.lastSaveFailed ? "err" : "ok"),
                ("rdb_last_bgsave_time_sec", "\(status.saveSeconds)"), ("rdb_current_bgsave_time_sec", "\(isSaving ? seconds : -1)"),
                ("rdb_saves", "\(status.saveCount)"), ("rdb_last_cow_size", "\(status.saveCopiedBytes)"),
                ("rdb_last_load_keys_expired", "\(status.keysExpiredAtLoad)"), ("rdb_last_load_keys_loaded", "\(status.keysLoaded)"),
                ("aof_enabled", writer == nil ? "0" : "1"), ("aof_rewrite_in_progress", isRewriting ? "1" : "0"), ("aof_rewrite_scheduled", "0"),
                ("aof_last_rewrite_time_sec", "\(status.rewriteSeconds)"), ("aof_current_rewrite_time_sec", "\(isRewriting ? seconds : -1)"),
                ("aof_last_bgrewrite_status", status.lastRewriteFailed ? "err" : "ok"), ("aof_rewrites", "\(status.rewriteCount)"),
                ("aof_rewrites_consecutive_failures", "\(status.rewriteFailuresInARow)"),
                ("aof_last_write_status", writer.map { $0.health == .good ? "ok" : "err" } ?? "ok"),
                ("aof_last_cow_size", "\(status.rewriteCopiedBytes)"), ("module_fork_in_progress", "0"), ("module_fork_last_cow_size", "0"),
            ] + log)
    }

    private static func stats(_ call: Call) -> String {
        let sums = call.keyspace.sums(call)
        let hub = call.keyspace.hub
        let (rates, loops) = (call.keyspace.rate.rates, call.keyspace.loops.withLock { $0.count })
        let restores = CommandTable.shared.commands.firstIndex { $0.name == "restore" }.map { call.keyspace.commandTotals.calls[$0] } ?? 0
        func kilobytes(_ bytes: UInt64) -> String { decimal(Double(bytes) / 1024) }
        let traffic: [(String, String)] = [
            ("total_connections_received", "\(sums.connections)"), ("total_commands_processed", "\(sums.commands)"),
            ("instantaneous_ops_per_sec", "\(rates.commands)"), ("total_net_input_bytes", "\(sums.bytesIn)"),
            ("total_net_output_bytes", "\(sums.bytesOut)"), ("total_net_repl_input_bytes", "0"), ("total_net_repl_output_bytes", "0"),
            ("instantaneous_input_kbps", kilobytes(rates.bytesIn)), ("instantaneous_output_kbps", kilobytes(rates.bytesOut)),
            ("instantaneous_input_repl_kbps", "0.00"), ("instantaneous_output_repl_kbps", "0.00"), ("rejected_connections", "\(sums.refused)"),
            ("sync_full", "0"), ("sync_partial_ok", "0"), ("sync_partial_err", "0"),
        ]
        let keys: [(String, String)] = [
            ("expired_keys", "\(sums.expired)"), ("expired_stale_perc", "0.00"), ("expired_time_cap_reached_count", "\(sums.expiryCutShort)"),
            ("expire_cycle_cpu_milliseconds", "\(sums.expiryTime / 1_000_000)"), ("evicted_keys", "\(sums.evicted)"), ("evicted_clients", "0"),
            ("total_eviction_exceeded_time", "0"), ("current_eviction_exceeded_time", "0"), ("keyspace_hits", "\(sums.hits)"),
            ("keyspace_misses", "\(sums.misses)"), ("pubsub_channels", "\(hub.pubSub.withLock { $0.activeChannels().count })"),
            ("pubsub_patterns", "\(hub.pubSub.withLock { $0.patternCount })"),
            ("pubsubshard_channels", "\(hub.pubSub.withLock { $0.activeChannels(isSharded: true).count })"), ("latest_fork_usec", "0"),
            ("total_forks", "0"), ("migrate_cached_sockets", "0"), ("slave_expires_tracked_keys", "0"),
        ]
        return lines(
            "Stats",
            traffic + keys + [
                ("active_defrag_hits", "0"), ("active_defrag_misses", "0"), ("active_defrag_key_hits", "0"), ("active_defrag_key_misses", "0"),
                ("total_active_defrag_time", "0"), ("current_active_defrag_time", "0"),
                ("tracking_total_keys", "\(hub.tracking.withLock { $0.keyCount })"), ("tracking_total_items", "\(hub.tracking.withLock { $0.itemCount })"),
                ("tracking_total_prefixes", "\(hub.tracking.withLock { $0.prefixCount })"), ("unexpected_error_replies", "0"),
                ("total_error_replies", "\(call.keyspace.errors.snapshot().reduce(0) { $0 + $1.count })"), ("dump_payload_sanitizations", "\(restores)"),
                ("total_reads_processed", "\(sums.reads)"), ("total_writes_processed", "\(sums.writes)"),
                // Each loop reads and writes for its own clients: with more than one, all of it is done by such threads.
                ("io_threaded_reads_processed", "\(loops > 1 ? sums.reads : 0)"), ("io_threaded_writes_processed", "\(loops > 1 ? sums.writes : 0)"),
                ("reply_buffer_shrinks", "0"), ("reply_buffer_expands", "0"),
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
        var (own, children, thread) = (rusage(), rusage(), rusage())
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &own)
        getrusage(__rusage_who_t(RUSAGE_CHILDREN.rawValue), &children)
        // 1: RUSAGE_THREAD, which the C library's headers hide; of the loop that answers.
        getrusage(1, &thread)
        func text(_ time: timeval) -> String {
            let digits = String(time.tv_usec)
            return "\(time.tv_sec)." + String(repeating: "0", count: max(6 - digits.count, 0)) + digits
        }
        return lines(
            "CPU",
            [
                ("used_cpu_sys", text(own.ru_stime)), ("used_cpu_user", text(own.ru_utime)), ("used_cpu_sys_children", text(children.ru_stime)),
                ("used_cpu_user_children", text(children.ru_utime)), ("used_cpu_sys_main_thread", text(thread.ru_stime)),
                ("used_cpu_user_main_thread", text(thread.ru_utime)),
            ])
    }

    private static func errorStats(_ call: Call) -> String {
        lines("Errorstats", call.keyspace.errors.snapshot().map { ("errorstat_\($0.code)", "count=\($0.count)") })
    }

    private static func commandStats(_ call: Call) -> String {
        let totals = call.keyspace.commandTotals
        var fields: [(String, String)] = []
        for (index, command) in CommandTable.shared.commands.enumerated() {
            let (calls, rejected, microseconds) = (totals.calls[index], totals.rejected[index], totals.nanoseconds[index] / 1000)
            guard calls > 0 || rejected > 0 else { continue }
            let each = decimal(Double(microseconds) / Double(max(calls, 1)))
            fields.append(
                (
                    "cmdstat_\(command.name)",
                    "calls=\(calls),usec=\(microseconds),usec_per_call=\(each),rejected_calls=\(rejected),failed_calls=\(totals.failed[index])"
                ))
        }
        return lines("Commandstats", fields)
    }

    private static func latencyStats(_ call: Call) -> String {
        let totals = call.keyspace.commandTotals
        var fields: [(String, String)] = []
        for (index, command) in CommandTable.shared.commands.enumerated() where totals.calls[index] > 0 {
            let durations = call.keyspace.durations(of: index)
            let percentiles = [("p50", 50.0), ("p99", 99), ("p99.9", 99.9)].map { name, percentile -> String in
                let nanoseconds = durations.percentile(percentile)
                let digits = String(nanoseconds % 1000)
                return "\(name)=\(nanoseconds / 1000).\(String(repeating: "0", count: 3 - digits.count))\(digits)"
            }
            fields.append(("latency_percentiles_usec_\(command.name)", percentiles.joined(separator: ",")))
        }
        return lines("Latencystats", fields)
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
