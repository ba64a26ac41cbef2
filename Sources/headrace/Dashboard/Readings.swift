import Dashboard
import Edge
import Foundation
import Keyspace
import Pooler

// The layers' own figures under the dashboard's names.

extension Reading {
    mutating func add(_ edge: EdgeFigures) {
        self[.requests] = Double(edge.requests)
        for (series, digit) in [(Series.responses_2xx, 2), (.responses_3xx, 3), (.responses_4xx, 4), (.responses_5xx, 5)] {
            self[series] = digit < edge.statusClasses.count ? Double(edge.statusClasses[digit]) : 0
        }
        self[.refused_requests] = Double(edge.refused)
        self[.upstream_failures] = Double(edge.upstreamFailures)
        let results: [(Series, String)] = [
            (.cache_hits, "hit"), (.cache_served_stale, "served-stale"), (.cache_revalidated, "revalidated"), (.cache_coalesced, "coalesced"),
            (.cache_misses, "miss"), (.cache_stale, "stale"), (.cache_bypassed, "bypass"), (.cache_not_asked, "none"),
        ]
        for (series, word) in results { self[series] = Double(edge.results[word] ?? 0) }
        for (series, coding) in [(Series.responses_gzip, "gzip"), (.responses_br, "br"), (.responses_zstd, "zstd")] {
            self[series] = Double(edge.codings[coding] ?? 0)
        }
        self[.cache_evictions] = Double(edge.cacheEvictions)
        self[.cache_entries] = Double(edge.cacheEntries)
        self[.cache_bytes] = Double(edge.cacheBytes)
        self[.not_modified] = Double(edge.notModified)
        self[.body_bytes] = Double(edge.bodyBytes)
        self[.saved_by_compression_bytes] = Double(edge.savedByCompressionBytes)
        self[.saved_by_not_modified_bytes] = Double(edge.savedByNotModifiedBytes)
        self[.compression_in_bytes] = Double(edge.compressionInBytes)
        self[.compression_out_bytes] = Double(edge.compressionOutBytes)
        self[.compression_cpu_seconds] = Double(edge.compressionNanoseconds) / 1e9
        self[.response_seconds] = Double(edge.response.sum) / 1e9
        for (name, series) in Series.stages { self[series] = Double(edge.stageNanoseconds[name] ?? 0) / 1e9 }
        self[.upstream_seconds] = Double(edge.upstream.sum) / 1e9
        self[.upstream_requests] = Double(edge.upstream.count)
        self[.upstream_connects] = Double(edge.upstreamConnects)
        self[.upstream_connections] = Double(edge.upstreamConnections)
        self[.upstream_waiting] = Double(edge.upstreamWaiting)
        self[.connections] = Double(edge.connections)
        self[.tunnels] = Double(edge.tunnels)
        self[.cpu_edge_seconds] = Double(edge.cpuNanoseconds) / 1e9
        self[.loop_lag_seconds] = Double(edge.loopLagNanoseconds) / 1e9
        self[.response] = edge.response
        self[.upstream] = edge.upstream
    }

    mutating func add(_ pooler: PoolerFigures) {
        self[.pool_clients] = Double(pooler.clients)
        self[.pool_clients_waiting] = Double(pooler.clientsWaiting)
        self[.pool_servers_active] = Double(pooler.serversActive)
        self[.pool_servers_idle] = Double(pooler.serversIdle)
        self[.pool_servers_opening] = Double(pooler.serversOpening)
        self[.pool_transactions] = Double(pooler.transactions)
        self[.pool_queries] = Double(pooler.queries)
        self[.pool_transaction_seconds] = Double(pooler.transactionMicroseconds) / 1e6
        self[.pool_query_seconds] = Double(pooler.queryMicroseconds) / 1e6
        self[.pool_wait_seconds] = Double(pooler.waitMicroseconds) / 1e6
        self[.traced_query_seconds] = Double(pooler.tracedMicroseconds) / 1e6
        self[.traced_wait_seconds] = Double(pooler.tracedWaitMicroseconds) / 1e6
        self[.pool_waits_expired] = Double(pooler.waitsExpired)
        self[.pool_max_wait_seconds] = Double(pooler.pools.map(\.maxWaitMicroseconds).max() ?? 0) / 1e6
        self[.cpu_pooler_seconds] = Double(pooler.cpuNanoseconds) / 1e9
        self[.pool_wait] = pooler.wait
    }

    mutating func add(_ keyspace: KeyspaceFigures) {
        self[.keyspace_commands] = Double(keyspace.commands)
        self[.keyspace_hits] = Double(keyspace.hits)
        self[.keyspace_misses] = Double(keyspace.misses)
        self[.keyspace_evictions] = Double(keyspace.evicted)
        self[.keyspace_expired] = Double(keyspace.expired)
        self[.keyspace_keys] = Double(keyspace.keys)
        self[.keyspace_bytes] = Double(keyspace.bytes)
        self[.keyspace_clients] = Double(keyspace.clients)
        self[.cpu_keyspace_seconds] = Double(keyspace.cpuNanoseconds) / 1e9
    }

    mutating func add(_ process: ProcessFigures) {
        self[.cpu_seconds] = Double(process.cpuNanoseconds) / 1e9
        self[.memory_bytes] = Double(process.residentBytes)
        self[.open_files] = Double(process.openFiles)
        self[.threads] = Double(process.threads)
    }
}

extension Facts.HeldOut {
    init(_ figures: HoldOut.Figures) {
        let layer =
            switch figures.layer {
            case .responseCache: "response_cache"
            case .compression: "compression"
            }
        self.init(layer: layer, words: Self.words(figures))
        (past, through) = (Double(figures.past.requests), Double(figures.through.requests))
        (pastSeconds, throughSeconds) = (figures.past.seconds, figures.through.seconds)
        (pastBytes, throughBytes) = (Double(figures.past.bodyBytes), Double(figures.through.bodyBytes))
        guard let estimate = figures.estimate else { return }
        (change, low, high) = (estimate.middle * 100, estimate.low * 100, estimate.high * 100)
    }

    /// As ``Verdict`` says it: "faster by 61 % (95 % CI 55 to 66 %, 1203 requests held out)".
    static func words(_ figures: HoldOut.Figures) -> String {
        let held = "\(figures.past.requests) requests held out"
        guard let estimate = figures.estimate else { return "too few yet: \(held)" }
        func percent(_ value: Double) -> String { String(format: abs(value) < 0.1 ? "%.1f" : "%.0f", value * 100) }
        func range(_ sign: Double) -> String {
            let ends = [estimate.low * sign, estimate.high * sign].sorted()
            return "95 % CI \(percent(ends[0])) to \(percent(ends[1])) %, \(held)"
        }
        let isFound = estimate.low > 0 || estimate.high < 0
        if !isFound { return "no measurable effect yet (\(range(1)))" }
        return estimate.middle < 0 ? "faster by \(percent(-estimate.middle)) % (\(range(-1)))" : "costs you \(percent(estimate.middle)) % (\(range(1)))"
    }
}

extension PageStatements.Trace {
    init(_ trace: PoolerTraces.Trace) {
        self.init(
            id: trace.id, calls: Double(trace.calls), seconds: Double(trace.microseconds) / 1e6,
            statements: trace.statements.map { ($0.text, $0.database, Double($0.calls)) })
    }
}

extension Facts {
    /// From so many statements on a page is told so, and from so many calls of one: a loop in the place of a join.
    private static let statementsPerPageMany = 10.0
    private static let callsPerPageMany = 5.0
    /// Of one call: somebody reads more than a page shows.
    private static let rowsMany = 1000.0
    /// With fewer calls a share says nothing.
    private static let callsFew = 20.0

    /// Puts what is known of whole pages beside the lists.
    mutating func add(_ joined: PageStatements) {
        for index in paths.indices {
            guard let page = joined.page(paths[index].pattern), page.pages > 0 else { continue }
            (paths[index].statementsPerPage, paths[index].sqlSecondsPerPage) = (page.perPage, page.seconds / page.pages)
            guard page.perPage >= Self.statementsPerPageMany else { continue }
            let words = "\(Self.count(page.perPage)) statements per page"
            paths[index].hint = paths[index].hint.map { "\($0)\n\(words)" } ?? words
        }
        for index in statements.indices {
            let found = joined.statement(statements[index].text, database: statements[index].database)
            statements[index].callsPerPage = found.map(\.perPage)
            statements[index].hint = Self.hint(statements[index], found)
        }
    }

    static func hint(_ statement: Statement, _ found: PageStatements.Statement?) -> String? {
        var hints: [String] = []
        if let found, found.perPage >= callsPerPageMany { hints.append("\(count(found.perPage)) times per page, by \(found.worst): one that asks for all of them would do") }
        if statement.calls >= callsFew {
            if statement.rows / statement.calls >= rowsMany { hints.append("\(count(statement.rows / statement.calls)) rows each time") }
            if statement.errors / statement.calls >= 0.01 { hints.append("\(count(statement.errors / statement.calls * 100)) of 100 fail") }
            if statement.waitSeconds > statement.seconds { hints.append("waits longer for a server connection than it runs") }
        }
        return hints.isEmpty ? nil : hints.joined(separator: "\n")
    }

    private static func count(_ value: Double) -> String { value >= 10 ? String(Int(value.rounded())) : String((value * 10).rounded() / 10) }

    mutating func add(_ insight: EdgeInsight) {
        routes = insight.routes.map { .init(name: $0.name, classes: $0.classes.map { Double($0) }) }
        paths = insight.paths.map { path in
            .init(
                pattern: path.pattern, requests: Double(path.requests), seconds: Double(path.nanoseconds) / 1e9, bytes: Double(path.bytes),
                hitShare: path.requests > 0 ? Double(path.hits) / Double(path.requests) : 0, hint: Self.hint(path))
        }
        reasons = insight.reasons.map { .init(outcome: $0.outcome, reason: $0.word, count: Double($0.count)) }
        upstreams = insight.members.map {
            .init(
                group: $0.group, address: $0.address, isUp: $0.isUp, active: $0.active, requests: Double($0.requests),
                failures: Double($0.failures))
        }
    }

    mutating func add(_ pooler: PoolerFigures) {
        pools = pooler.pools.map {
            .init(
                database: $0.database, user: $0.user, clientsWaiting: $0.clientsWaiting, serversActive: $0.serversActive,
                serversIdle: $0.serversIdle, maxWaitSeconds: Double($0.maxWaitMicroseconds) / 1e6)
        }
        statements = pooler.statements.prefix(200).map {
            .init(
                text: $0.text, database: $0.database, calls: Double($0.calls), rows: Double($0.rows), errors: Double($0.errors),
                seconds: Double($0.microseconds) / 1e6, waitSeconds: Double($0.waitMicroseconds) / 1e6,
                p95Seconds: Double($0.p95Microseconds) / 1e6)
        }
    }

    /// What somebody could do about a path, by what is seen of it.
    private static func hint(_ path: EdgeInsight.Path) -> String? {
        let isMostlyFetched = Double(path.hits) < 0.5 * Double(path.requests)
        switch path.detail {
        case "no-lifetime" where isMostlyFetched: return "no Cache-Control: the cache may not keep it"
        case "no-store" where isMostlyFetched: return "Cache-Control: no-store"
        case "private" where isMostlyFetched: return "Cache-Control: private"
        case "set-cookie" where isMostlyFetched: return "sets a cookie: the cache does not keep it"
        case "vary-any" where isMostlyFetched: return "Vary: *"
        case "authorization" where isMostlyFetched: return "sent with Authorization, and not marked public"
        case "too-large": return "larger than edge.cache.max_object_size"
        case "method" where isMostlyFetched: return nil
        default: break
        }
        if Double(path.uncoded) > 0.5 * Double(path.requests) { return "sent uncompressed: its type is not, or the client takes no coding" }
        return nil
    }
}
