import History

/// A layer as the strip shows it: what it does now, what it was proven to be worth, and what it costs. What was not measured is `nil`,
/// and never an estimate.
struct Layer: Sendable {
    enum State: String, Sendable {
        case on
        case off
        /// On, and nothing goes through it.
        case idle
    }

    let name: String
    let title: String
    let state: State
    /// Of what passes by, the share on which it has an effect, 0…1.
    let share: Double?
    /// What that is the share of.
    let shareOf: String
    /// Why the share is not known, where more can be said than that.
    var shareNote: String?
    /// The latest proof's row.
    let worth: Facts.ProofRun.Row?
    /// What visitors' own requests say, as far as a share of them goes past it.
    var heldOut: Facts.HeldOut?
    /// Cores, in the last minute.
    let cpu: Double?
    let memory: Double?
    /// Where the rest of its costs is, or why they are not known.
    var costNote: String?

    /// - Parameter minute: the last one, as one sample; `nil` before the first second is over.
    static func all(_ minute: Sample?, _ facts: Facts, _ database: DatabaseFacts? = nil) -> [Layer] {
        func total(_ series: Series) -> Double {
            guard let value = minute?.values[series.place], !value.isNaN else { return 0 }
            return value
        }
        func measured(_ series: Series) -> Double? {
            guard let value = minute?.values[series.place], !value.isNaN else { return nil }
            return value
        }
        func perSecond(_ series: Series) -> Double? {
            guard let minute, let value = measured(series), minute.seconds > 0 else { return nil }
            return value / Double(minute.seconds)
        }
        func share(_ part: Double, of whole: Double) -> Double? { whole > 0 ? min(part / whole, 1) : nil }
        func state(_ isOn: Bool, _ traffic: Double) -> State { isOn ? traffic > 0 ? .on : .idle : .off }
        func proof(_ layer: String) -> Facts.ProofRun.Row? { facts.proof?.rows.first { $0.layer == layer } }

        let switches = facts.switches
        let requests = total(.requests)
        let asked = requests - total(.cache_not_asked)
        let fromCache = total(.cache_hits) + total(.cache_served_stale) + total(.cache_revalidated) + total(.cache_coalesced)
        let coded = total(.responses_gzip) + total(.responses_br) + total(.responses_zstd)
        let lookups = total(.keyspace_hits) + total(.keyspace_misses)
        // The probe is a client of the keyspace for some milliseconds every five seconds, and its commands are no traffic.
        let probesShare = 0.2
        let notAsked = "PostgreSQL cannot be asked: without TLS, by pooler.postgres' user"
        let isMeasured = database?.load.cores != nil || database?.memoryBytes != nil
        let layers = [
            Layer(
                name: "edge", title: "Edge", state: state(switches.edge, requests), share: requests > 0 ? 1 : nil, shareOf: "requests",
                worth: proof("all layers together"), cpu: perSecond(.cpu_edge_seconds), memory: nil),
            Layer(
                name: "compression", title: "Compression", state: state(switches.compression, coded), share: share(coded, of: requests),
                shareOf: "responses compressed", worth: proof("compression"), cpu: perSecond(.compression_cpu_seconds), memory: nil),
            Layer(
                name: "browser_caching", title: "Browser caching", state: state(switches.browserCaching, total(.not_modified)),
                share: share(total(.not_modified), of: requests), shareOf: "answered with 304", worth: proof("browser caching"), cpu: nil,
                memory: nil, costNote: "part of the edge's"),
            Layer(
                name: "response_cache", title: "Response cache", state: state(switches.responseCache, asked - total(.cache_bypassed)),
                share: share(fromCache, of: asked), shareOf: "answered from it", worth: proof("response cache"), cpu: nil,
                memory: measured(.cache_bytes), costNote: "CPU is part of the edge's"),
            Layer(
                name: "keyspace", title: "Keyspace", state: state(switches.keyspace, total(.keyspace_clients) > probesShare ? total(.keyspace_commands) : lookups),
                share: share(total(.keyspace_hits), of: lookups), shareOf: "lookups found", worth: proof("keyspace"),
                cpu: perSecond(.cpu_keyspace_seconds), memory: measured(.keyspace_bytes)),
            Layer(
                name: "pooler", title: "Pooler", state: state(switches.pooler, total(.pool_queries)),
                share: database.flatMap { share(Double($0.sessionsPooled), of: Double($0.sessionsPooled + $0.sessionsPast)) },
                shareOf: "of PostgreSQL's sessions", shareNote: database == nil ? notAsked : "nobody is connected", worth: proof("pooler"), cpu: perSecond(.cpu_pooler_seconds), memory: nil),
            Layer(
                name: "upstreams", title: "Upstreams", state: state(switches.upstreams, total(.upstream_requests)),
                share: share(total(.upstream_requests), of: requests), shareOf: "requests reach the application",
                worth: proof("upstream keep-alive"), cpu: nil, memory: nil, costNote: "part of the edge's"),
            Layer(
                name: "postgresql", title: "PostgreSQL", state: state(switches.postgres, total(.pool_queries)),
                share: database?.load.pooledShare, shareOf: "of its transactions through the pooler",
                shareNote: database.map(\.load.shareNote) ?? notAsked, worth: nil, cpu: database?.load.cores, memory: database?.memoryBytes,
                costNote: isMeasured ? nil : database.map { $0.areProcessesHidden ? "other users' processes are hidden: ProtectProc" : "its processes are not seen from here" } ?? notAsked),
        ]
        return layers.map { layer in
            var layer = layer
            layer.heldOut = facts.heldOut.first { $0.layer == layer.name }
            return layer
        }
    }

    var json: JSON {
        var worth = JSON.null
        if let row = self.worth {
            worth = .object([
                ("verdict", .text(row.verdict)), ("words", .text(row.words)), ("change_percent", .optional(row.change)),
                ("low_percent", .optional(row.low)), ("high_percent", .optional(row.high)),
            ])
        }
        var held = JSON.null
        if let heldOut {
            func mean(_ sum: Double, _ count: Double) -> JSON { count > 0 ? .number(sum / count) : .null }
            held = .object([
                ("words", .text(heldOut.words)), ("requests", .number(heldOut.past)), ("through_requests", .number(heldOut.through)),
                ("change_percent", .optional(heldOut.change)), ("low_percent", .optional(heldOut.low)), ("high_percent", .optional(heldOut.high)),
                ("mean_ms", mean(heldOut.pastSeconds * 1000, heldOut.past)), ("through_mean_ms", mean(heldOut.throughSeconds * 1000, heldOut.through)),
                ("bytes_per_request", mean(heldOut.pastBytes, heldOut.past)),
                ("through_bytes_per_request", mean(heldOut.throughBytes, heldOut.through)),
            ])
        }
        return .object([
            ("name", .text(name)), ("title", .text(title)), ("state", .text(state.rawValue)), ("share", .optional(share)),
            ("share_of", .text(shareOf)), ("share_note", .optional(share == nil ? shareNote : nil)), ("worth", worth), ("held_out", held), ("cpu_cores", .optional(cpu)), ("memory_bytes", .optional(memory)),
            ("cost_note", .optional(costNote)),
        ])
    }
}
