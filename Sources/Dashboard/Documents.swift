import History

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

// What the page reads, and any program may: `latest.json`, `api/series`, and the events of the live stream. `docs/dashboard.md` and the
// schemas beside it say what is in them. Members are added, never renamed: `schema` counts what would break a reader.

extension Dashboard {
    static let schema = 1
    /// Points of a series, at most: more than that no chart shows.
    public static let pointsMax = 600
    /// What `now` means, in seconds.
    static let nowSeconds = 10
    static let listMax = 10

    static func seconds(_ sample: Sample?, _ series: Series) -> Double? {
        guard let value = sample?.values[series.place], !value.isNaN else { return nil }
        return value
    }

    /// A sample's numbers as they are shown: counters per second.
    static func shown(_ sample: Sample, _ series: Series) -> JSON {
        let value = sample.values[series.place]
        return .number(series.kind == .counter ? value / Double(max(1, sample.seconds)) : value)
    }

    private static func percentiles(_ distribution: Distribution?) -> JSON {
        func milliseconds(_ percentile: Double) -> JSON { .optional(distribution?.percentile(percentile).map { $0 * 1000 }) }
        return .object([("p50", milliseconds(50)), ("p95", milliseconds(95)), ("p99", milliseconds(99))])
    }

    // MARK: latest.json

    static func latestDocument(_ state: State, _ options: Options, isOperator: Bool) -> JSON {
        let facts = state.facts
        let now = window(state, seconds: nowSeconds)
        let minute = window(state, seconds: 60)
        let time = state.previous?.time ?? 0
        func total(_ series: Series) -> Double? { state.previous.flatMap { $0[series].isNaN ? nil : $0[series] } }
        func rate(_ series: Series) -> Double? { now.flatMap { now in seconds(now, series).map { $0 / Double(now.seconds) } } }
        let hits = [Series.cache_hits, .cache_served_stale, .cache_revalidated, .cache_coalesced].reduce(0) { $0 + (total($1) ?? 0) }
        let misses = (total(.cache_misses) ?? 0) + (total(.cache_stale) ?? 0)
        let (plain, coded) = (total(.compression_in_bytes) ?? 0, total(.compression_out_bytes) ?? 0)
        let ended = total(.requests) ?? 0
        let latest = facts.benches.last
        var document: [(String, JSON)] = [
            ("schema", .integer(schema)), ("time", .integer(time)), ("generated_at", .text(ISOTime.text(time))),
            ("headrace", .object([("version", .text(facts.version)), ("up_since", .integer(facts.startedAt)), ("cores", .integer(facts.cores))])),
            // The plain names of the page that people had before.
            ("requests_per_second", .optional(rate(.requests))),
            ("average_response_time_ms", ended > 0 ? .number((total(.response_seconds) ?? 0) / ended * 1000) : .null),
            ("failed_requests", .optional(total(.responses_5xx))),
            ("compression_ratio", plain > 0 ? .number(coded / plain) : .null), ("cache_hits", .number(hits)), ("cache_misses", .number(misses)),
            ("cache_hit_rate", hits + misses > 0 ? .number(hits / (hits + misses)) : .null),
            (
                "load_levels",
                .array(
                    (latest?.levels ?? []).map { level in
                        .object([
                            ("users", .integer(level.users)), ("requests_per_second", .number(level.requestsPerSecond)),
                            ("average_response_time_ms", .number(level.meanMs)), ("failed_requests", .number(level.failed)),
                            ("measured_at", moment(latest?.startedAt ?? 0)),
                        ])
                    })
            ),
            ("services", .array(state.services.map { service($0, isOperator: isOperator) })),
            ("marks", .array(state.lastMarkers.map { .object(members($0.seen(byOperator: isOperator))) })),
            ("layers", .array(Layer.all(minute, facts, state.database).map(\.json))),
            (
                "now",
                .object([
                    ("seconds", .integer(now?.seconds ?? 0)),
                    ("rates", .object(Series.allCases.map { series in (series.rawValue, now.map { shown($0, series) } ?? .null) })),
                    ("response_ms", percentiles(now?.distributions[Timed.response.place])),
                    ("upstream_ms", percentiles(now?.distributions[Timed.upstream.place])),
                    ("pool_wait_ms", percentiles(now?.distributions[Timed.pool_wait.place])),
                ])
            ),
            ("totals", .object(Series.allCases.map { ($0.rawValue, .optional(total($0))) })),
            ("objective", objective(state, options)),
            (
                "limits",
                .object([
                    ("cache_bytes", .integer(facts.cacheBytesMax)), ("keyspace_bytes", .integer(facts.keyspaceBytesMax)),
                    ("keyspace_policy", .text(facts.keyspacePolicy)), ("pool_mode", .text(facts.poolMode)), ("open_files", .integer(facts.openFilesMax)),
                ])
            ),
            ("reasons", .array(facts.reasons.prefix(2 * listMax).map(reason))),
            ("benches", .array(facts.benches.map { bench($0, isOperator: isOperator) })),
            ("proof", facts.proof.map { proof($0, isOperator: isOperator) } ?? .null),
            ("database", state.database.map(database) ?? .null), ("schedule", .array((state.schedule?.jobs ?? []).map { job($0, state.schedule, isOperator: isOperator) })),
            ("spared", spared(total, options)), ("is_operator", .boolean(isOperator)),
        ]
        if isOperator { document += lists(facts) + databaseLists(state.database) }
        return .object(document)
    }

    /// What names addresses, paths, statements and users: for operators alone.
    private static func lists(_ facts: Facts) -> [(String, JSON)] {
        [
            (
                "routes",
                .array(
                    facts.routes.prefix(listMax).map { route in
                        .object([
                            ("name", .text(route.name)), ("requests", .number(route.classes.reduce(0, +))),
                            ("failed_requests", .number(route.classes.count > 5 ? route.classes[5] : 0)),
                        ])
                    })
            ),
            (
                "paths",
                .array(
                    facts.paths.prefix(listMax).map { path in
                        .object([
                            ("pattern", .text(path.pattern)), ("requests", .number(path.requests)), ("seconds", .number(path.seconds)),
                            ("average_response_time_ms", path.requests > 0 ? .number(path.seconds / path.requests * 1000) : .null),
                            ("bytes", .number(path.bytes)), ("hit_share", .number(path.hitShare)), ("hint", .optional(path.hint)),
                            ("statements_per_page", .optional(path.statementsPerPage)), ("sql_ms_per_page", .optional(path.sqlSecondsPerPage.map { $0 * 1000 })),
                        ])
                    })
            ),
            (
                "upstreams",
                .array(
                    facts.upstreams.map { member in
                        .object([
                            ("group", .text(member.group)), ("address", .text(member.address)), ("is_up", .boolean(member.isUp)),
                            ("active", .integer(member.active)), ("requests", .number(member.requests)), ("failures", .number(member.failures)),
                        ])
                    })
            ),
            (
                "pools",
                .array(
                    facts.pools.prefix(2 * listMax).map { pool in
                        .object([
                            ("database", .text(pool.database)), ("user", .text(pool.user)), ("clients_waiting", .integer(pool.clientsWaiting)),
                            ("servers_active", .integer(pool.serversActive)), ("servers_idle", .integer(pool.serversIdle)),
                            ("max_wait_seconds", .number(pool.maxWaitSeconds)),
                        ])
                    })
            ),
            ("statements", .array(facts.statements.prefix(listMax).map(statement))),
            (
                "statements_by_mean",
                .array(facts.statements.filter { $0.calls > 0 }.sorted { $0.seconds / $0.calls > $1.seconds / $1.calls }.prefix(listMax).map(statement))
            ),
        ]
    }

    /// A scheduled measurement: its times, and what became of the last one. What it said and why it ended so is for operators: it names
    /// addresses, and other machines.
    private static func job(_ job: TestSchedule.Job, _ schedule: TestSchedule?, isOperator: Bool) -> JSON {
        var last = JSON.null
        if let run = job.last {
            last = .object([
                ("started_at", .integer(run.startedAt)), ("ended_at", .integer(run.endedAt)), ("ending", .text(run.ending.rawValue)),
                ("words", isOperator ? .text(run.words) : .null), ("log", isOperator ? .array(run.log.map(JSON.text)) : .null),
            ])
        }
        return .object([
            ("name", .text(job.kind.rawValue)), ("cron", .text(job.cron.description)), ("next_at", job.nextAt.map { .integer($0) } ?? .null),
            ("is_running", .boolean(schedule?.isRunning == job.kind)), ("last", last),
        ])
    }

    /// Bytes that were not sent since the start, and what they would have cost.
    private static func spared(_ total: (Series) -> Double?, _ options: Options) -> JSON {
        let bytes = (total(.saved_by_compression_bytes) ?? 0) + (total(.saved_by_not_modified_bytes) ?? 0)
        return .object([
            ("bytes", .number(bytes)), ("price_per_gigabyte", .optional(options.pricePerGigabyte)),
            ("money", .optional(options.pricePerGigabyte.map { $0 * bytes / 1e9 })), ("currency", .optional(options.pricePerGigabyte == nil ? nil : options.currency)),
        ])
    }

    private static func database(_ database: DatabaseFacts) -> JSON {
        .object([
            ("sessions_pooled", .integer(database.sessionsPooled)), ("sessions_past_the_pooler", .integer(database.sessionsPast)),
            ("is_standby", .boolean(database.isStandby)), ("lag_seconds", .optional(database.lagSeconds)),
            ("clock_ahead_seconds", .optional(database.clockAheadSeconds)),
        ])
    }

    private static func databaseLists(_ database: DatabaseFacts?) -> [(String, JSON)] {
        func list(_ statements: [Facts.Statement]?) -> JSON { statements.map { .array($0.prefix(listMax).map(statement)) } ?? .null }
        return [
            ("pg_stat_statements_by_total", list(database?.statementsByTotal)), ("pg_stat_statements_by_mean", list(database?.statementsByMean)),
        ]
    }

    private static func statement(_ statement: Facts.Statement) -> JSON {
        .object([
            ("text", .text(statement.text)), ("database", .text(statement.database)), ("calls", .number(statement.calls)),
            ("rows", .number(statement.rows)), ("errors", .number(statement.errors)), ("seconds", .number(statement.seconds)),
            ("mean_ms", statement.calls > 0 ? .number(statement.seconds / statement.calls * 1000) : .null),
            ("p95_ms", .optional(statement.p95Seconds.isNaN ? nil : statement.p95Seconds * 1000)), ("wait_seconds", .number(statement.waitSeconds)),
            ("calls_per_page", .optional(statement.callsPerPage)), ("hint", .optional(statement.hint)),
        ])
    }

    private static func reason(_ reason: Facts.Reason) -> JSON {
        .object([("outcome", .text(reason.outcome)), ("reason", .text(reason.reason)), ("count", .number(reason.count))])
    }

    static func service(_ report: ServiceReport, isOperator: Bool) -> JSON {
        let health = report.health
        var members: [(String, JSON)] = [
            ("name", .text(report.name)), ("state", .text(health.state.rawValue)), ("since", health.since > 0 ? .integer(health.since) : .null),
            ("up_since", report.upSince.map { .integer($0) } ?? .null), ("version", .optional(isOperator ? report.version : nil)), ("required", .boolean(report.isRequired)),
        ]
        if isOperator {
            members += [
                ("detail", .optional(report.detail)), ("last_error", .optional(health.lastError)),
                ("last_error_at", health.lastErrorAt > 0 ? .integer(health.lastErrorAt) : .null),
            ]
        }
        return .object(members)
    }

    /// Whole seconds: six digits of a moment would be hours off.
    private static func moment(_ time: Double) -> JSON { .integer(Int64(exactly: time.rounded(.down)) ?? 0) }

    private static func bench(_ run: Facts.BenchRun, isOperator: Bool) -> JSON {
        .object([
            ("number", .integer(run.number)), ("started_at", moment(run.startedAt)), ("subject", isOperator ? .text(run.subject) : .null),
            (
                "levels",
                .array(
                    run.levels.map { level in
                        .object([
                            ("users", .integer(level.users)), ("requests_per_second", .number(level.requestsPerSecond)),
                            ("low", .optional(level.band?.lowerBound)), ("high", .optional(level.band?.upperBound)),
                            ("average_response_time_ms", .number(level.meanMs)), ("p95_ms", .number(level.p95Ms)),
                            ("failed_requests", .number(level.failed)),
                        ])
                    })
            ),
        ])
    }

    private static func proof(_ run: Facts.ProofRun, isOperator: Bool) -> JSON {
        .object([
            ("number", .integer(run.number)), ("started_at", moment(run.startedAt)), ("subject", isOperator ? .text(run.subject) : .null),
            ("rate", .number(run.rate)), ("rounds", .integer(run.rounds)), ("is_too_noisy", .boolean(run.isTooNoisy)),
            (
                "layers",
                .array(
                    run.rows.map { row in
                        .object([
                            ("layer", .text(row.layer)), ("verdict", .text(row.verdict)), ("words", .text(row.words)),
                            ("change_percent", .optional(row.change)), ("low_percent", .optional(row.low)), ("high_percent", .optional(row.high)),
                        ])
                    })
            ),
        ])
    }

    /// How fast the error budget is used up: 1 is just what the objective allows, 10 is ten times that.
    private static func objective(_ state: State, _ options: Options) -> JSON {
        func burn(_ length: Int) -> JSON {
            guard let sample = window(state, seconds: length), let requests = seconds(sample, .requests), requests > 0 else { return .null }
            return .number((seconds(sample, .responses_5xx) ?? 0) / requests / max(1 - options.objectiveAvailability, 1e-9))
        }
        return .object([
            ("p95_ms", .number(options.objectiveP95 * 1000)), ("availability", .number(options.objectiveAvailability)),
            ("burn_rate_5m", burn(300)), ("burn_rate_1h", burn(3600)),
        ])
    }

    // MARK: api/series

    static func seriesDocument(
        _ samples: [Sample], tier: SampleTier, _ times: Range<Int64>, pointsMax: Int, names: Set<String>?, markers: [Marker]
    ) -> JSON {
        let (step, points) = SampleRollup.points(samples, times, countMax: pointsMax, tier: tier)
        let wanted = Series.allCases.filter { names?.contains($0.rawValue) ?? true }
        var buckets: Set<UInt16> = []
        for point in points { buckets.formUnion(point.distributions[Timed.response.place].places) }
        // Three buckets of the sample make one of the heatmap: rows that can be seen.
        let rows = Set(buckets.map { $0 / heatmapMerged }).sorted()
        return .object([
            ("schema", .integer(schema)), ("from", .integer(times.lowerBound)), ("to", .integer(times.upperBound)), ("step", .integer(step)),
            ("resolution", .integer(tier.seconds)), ("times", .array(points.map { .integer($0.time) })),
            ("series", .object(wanted.map { series in (series.rawValue, .array(points.map { shown($0, series) })) })),
            (
                "percentiles_ms",
                .object(
                    Timed.allCases.map { timed in
                        (
                            timed.rawValue,
                            .object(
                                [50.0, 95, 99].map { percentile in
                                    (
                                        "p\(Int(percentile))",
                                        .array(points.map { .optional($0.distributions[timed.place].percentile(percentile).map { $0 * 1000 }) })
                                    )
                                })
                        )
                    })
            ),
            (
                "heatmap",
                .object([
                    ("lower_ms", .array(rows.map { .number(Distribution.range($0 * heatmapMerged).lowerBound * 1000) })),
                    ("upper_ms", .array(rows.map { .number(Distribution.range($0 * heatmapMerged + heatmapMerged - 1).upperBound * 1000) })),
                    (
                        "counts",
                        .array(
                            points.map { point in
                                let distribution = point.distributions[Timed.response.place]
                                var counts: [UInt16: UInt64] = [:]
                                for (place, count) in zip(distribution.places, distribution.counts) { counts[place / heatmapMerged, default: 0] &+= count }
                                return .array(rows.map { .integer(counts[$0] ?? 0) })
                            })
                    ),
                ])
            ),
            (
                "markers",
                .array(markers.map { .object(members($0)) })
            ),
        ])
    }

    /// 4: two rows to a power of two.
    private static let heatmapMerged: UInt16 = 4

    // MARK: Events

    /// One second, as the stream says it.
    /// - Source: WHATWG HTML, "Server-sent events".
    /// - Parameter markers: those since the last event.
    func event(_ sample: Sample, _ markers: [Marker]) -> String {
        let document = Self.seriesDocument([sample], tier: .second, sample.time..<sample.time + 1, pointsMax: 2, names: nil, markers: markers)
        return "event: sample\nid: \(sample.time)\ndata: \(document.rendered)\n\n"
    }
}

/// `2026-01-31T12:00:00Z`.
enum ISOTime {
    static func text(_ time: Int64) -> String {
        var seconds = time_t(time)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))Z"
    }
}
