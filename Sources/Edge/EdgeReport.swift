import HTTPSemantics
import NIOCore
import Telemetry
import Transport

/// All that the edge tells of itself, on any thread: its event loops' numbers summed up, with those of what they share.
struct EdgeReport: Sendable {
    let loops: [EdgeMetrics]
    let store: ResponseStore
    let background: BackgroundCompression
    let upstreams: @Sendable () -> [(name: String, machine: UpstreamMachine)]
    let certificates: @Sendable () -> [TLSCertificates.Description]
    let responseBuffers: FillBudget
    let accessLogDropped: @Sendable () -> Int
    /// `nil` where rate limits are this process' own.
    var rateStore: @Sendable () -> RateStoreClient.Figures? = { nil }

    /// Its numbers as values. Some are those since the last call: for one reader.
    func figures() -> EdgeFigures {
        func sum(_ read: (EdgeMetrics) -> UInt64) -> UInt64 { loops.reduce(0) { $0 &+ read($1) } }
        func level(_ read: (EdgeMetrics) -> Int) -> Int { loops.reduce(0) { $0 + read($1) } }
        var figures = EdgeFigures()
        for (index, result) in Exchange.CacheResult.allCases.enumerated() {
            let count = sum { $0.requests.value(index) }
            figures.results[result.rawValue] = count
            figures.requests &+= count
        }
        figures.statusClasses = (0..<6).map { index in sum { $0.statusClasses.value(index) } }
        for coding in ContentCoding.allCases { figures.codings["\(coding.token)"] = sum { $0.codings.value(Int(coding.rawValue)) } }
        figures.refused = sum { $0.refusals.values().reduce(0, &+) }
        figures.upstreamFailures = sum { $0.failures.values().reduce(0, &+) }
        figures.notModified = sum { $0.notModified.value }
        figures.bodyBytes = sum { $0.bodyBytes.value }
        figures.savedByCompressionBytes = sum { $0.savedByCompression.value }
        figures.savedByNotModifiedBytes = sum { $0.savedByNotModified.value }
        let background = self.background.snapshot()
        figures.compressionInBytes = sum { $0.compressedFrom.value }
        figures.compressionOutBytes = sum { $0.compressedTo.value }
        figures.compressionNanoseconds = sum { $0.compressionTime.value } &+ background.cpuNanoseconds
        for loop in loops {
            figures.response.merge(loop.responseTime.snapshot())
            figures.upstream.merge(loop.upstreamTime.snapshot())
            figures.loopLagNanoseconds = max(figures.loopLagNanoseconds, UInt64(clamping: loop.lag.value))
            loop.lag.set(0)
        }
        figures.stageNanoseconds = Dictionary(
            uniqueKeysWithValues: StageTimes.Stage.allCases.map { stage in (stage.rawValue, sum { $0.stages.value(caseNumber(stage)) }) })
        figures.upstreamConnects = sum { $0.upstreamConnects.value }
        figures.upstreamConnections = level { $0.upstreamConnections.value }
        figures.upstreamWaiting = upstreams().reduce(0) { $0 + $1.machine.waitingCount }
        figures.connections = level { $0.connections.value }
        figures.tunnels = level { $0.tunnels.value }
        let totals = store.totals
        figures.cacheEntries = totals.entries
        figures.cacheBytes = totals.memoryBytes
        figures.cacheEvictions = UInt64(totals.evicted)
        figures.cpuNanoseconds = UInt64(clamping: level { $0.cpuTime.value })
        figures.holdOut = holdOut.filter { $0.past != HoldOut.Sums() || $0.through != HoldOut.Sums() }
        return figures
    }

    /// Requests that the application answered since the last call, by the trace that it was told.
    func takeTraces() -> [(trace: String, pattern: String)] {
        loops.flatMap { $0.insight.takeTraces() }.map { (Self.hexadecimal($0.trace.0) + Self.hexadecimal($0.trace.1), $0.pattern) }
    }

    private static func hexadecimal(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// Lists beside the figures.
    func lists(now: NIODeadline) -> EdgeInsight {
        var insight = EdgeInsight()
        insight.certificates = certificates().map { ($0.file, Int64($0.expires)) }
        let clocks = loops.compactMap { $0.originClock.withLock { $0.ahead(now: WallClock.nanoseconds() / 1_000_000_000) } }
        insight.originClockAhead = clocks.min { $0.magnitude < $1.magnitude }
        let rows = loops.map { $0.routes.withLock { $0 } }
        for name in Set(rows.flatMap(\.keys)) {
            var classes = [UInt64](repeating: 0, count: 6)
            for row in rows {
                guard let counts = row[name]?.values() else { continue }
                for (index, count) in counts.enumerated() where index < classes.count { classes[index] &+= count }
            }
            insight.routes.append(EdgeInsight.Route(name: name, classes: classes))
        }
        insight.routes.sort { $0.classes.reduce(0, &+) > $1.classes.reduce(0, &+) }
        var paths: [String: TrafficInsight.Path] = [:]
        var reasons: [[String]: Int] = [:]
        for loop in loops {
            for path in loop.insight.paths { paths[path.pattern, default: .init()].add(path) }
            for (outcome, reason, count) in loop.insight.reasons {
                reasons[[outcome.rawValue, reason.word], default: 0] += count
            }
        }
        for (pattern, path) in paths {
            insight.paths.append(
                EdgeInsight.Path(
                    pattern: pattern, requests: path.requests, nanoseconds: path.nanoseconds, bytes: path.bytes, hits: path.hits,
                    detail: path.reason?.word ?? "", uncoded: path.uncoded))
        }
        insight.paths.sort { $0.nanoseconds > $1.nanoseconds }
        for (reason, count) in reasons { insight.reasons.append(EdgeInsight.Reason(outcome: reason[0], word: reason[1], count: count)) }
        insight.reasons.sort { $0.count > $1.count }
        for (name, machine) in upstreams() {
            for (index, member) in machine.members.enumerated() where !member.isRemoved {
                insight.members.append(
                    EdgeInsight.Member(
                        group: name, address: member.endpoint.description, isUp: member.health.isAvailable(now: now),
                        active: machine.active(index), requests: member.requests, failures: member.failures))
            }
        }
        return insight
    }

    /// What each layer came to on visitors' requests, some of which are held out of it.
    var holdOut: [HoldOut.Figures] {
        HoldOut.Layer.allCases.map { layer in
            var figures = HoldOut.Figures(layer: layer)
            for loop in loops {
                if let own = loop.heldOut.withLock({ $0[layer] }) { figures.add(own) }
            }
            return figures
        }
    }
}
