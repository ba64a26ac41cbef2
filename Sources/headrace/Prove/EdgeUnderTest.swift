import Edge
import Foundation

/// An edge of its own for one arm, in a process of its own in front of the application: live traffic never sees it.
final class EdgeUnderTest: Sendable {
    let front: String
    private let child: ChildProcess

    /// - Parameters:
    ///   - arguments: of `headrace serve`: application and configuration.
    ///   - off: settings that take layers away.
    init(_ name: String, arguments: [String], off: [String], folder: URL) async throws {
        // It measures, and does nothing else that the configuration may say.
        let settings = ["schedule.load=off", "schedule.proof=off", "dashboard.access=off", "edge.tls.listen=", "keyspace.listen=", "keyspace.tls.listen="] + off + ["edge.access_log=\(folder.appending(path: "\(name).log").path)"]
        child = try ChildProcess(
            name, ChildProcess.ownBinary, ["serve", "--listen", "127.0.0.1:0", "--until-eof"] + arguments + settings.flatMap { ["--set", $0] },
            folder: folder)
        do {
            front = try await child.wait(seconds: 20, for: "an address") { $0.listeningAddress(of: "edge") }
        } catch {
            child.stop()
            throw error
        }
    }

    func stop() { child.stop() }

    func counters() async throws -> ProvedLayer.Counters {
        let text = String(decoding: try await LoopbackClient(url: front).get("/metrics").body, as: UTF8.self)
        var counters = Self.counters(metrics: text)
        counters.cpuSeconds = Self.cpuSeconds(processIdentifier: child.processIdentifier)
        return counters
    }

    /// Reads the edge's own page of metrics.
    static func counters(metrics text: String) -> ProvedLayer.Counters {
        var counters = ProvedLayer.Counters()
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            guard let space = line.lastIndex(of: " "), let value = Double(line[line.index(after: space)...]) else { continue }
            let series = line[..<space]
            switch series.prefix(while: { $0 != "{" }) {
            case "headrace_edge_requests_total": counters.requests += value
            case "headrace_edge_upstream_seconds_count": counters.upstreamRequests += value
            case "headrace_edge_upstream_connects_total": counters.upstreamConnects += value
            case "headrace_edge_codings_total" where !series.contains("\"identity\""): counters.add(value, coding: series)
            default: break
            }
        }
        return counters
    }

    /// User and system time of a process, from the kernel's ticks of a hundredth of a second.
    /// - Source: proc(5), /proc/pid/stat, fields 14 and 15, counted behind the name in parentheses.
    private static func cpuSeconds(processIdentifier: Int32) -> Double {
        guard let text = try? String(contentsOfFile: "/proc/\(processIdentifier)/stat", encoding: .utf8),
            let close = text.lastIndex(of: ")")
        else { return 0 }
        let fields = text[text.index(after: close)...].split(separator: " ")
        guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return 0 }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }
}

extension ProvedLayer.Counters {
    static func - (later: Self, earlier: Self) -> Self {
        Self(
            requests: later.requests - earlier.requests, upstreamRequests: later.upstreamRequests - earlier.upstreamRequests,
            upstreamConnects: later.upstreamConnects - earlier.upstreamConnects, coded: later.coded - earlier.coded,
            gzip: later.gzip - earlier.gzip, brotli: later.brotli - earlier.brotli, zstd: later.zstd - earlier.zstd,
            coalesced: later.coalesced - earlier.coalesced, leases: later.leases - earlier.leases, cpuSeconds: later.cpuSeconds.map { $0 - (earlier.cpuSeconds ?? 0) })
    }

    /// - Parameter series: names the coding in one of its labels.
    fileprivate mutating func add(_ value: Double, coding series: Substring) {
        coded += value
        if series.contains("\"gzip\"") { gzip += value }
        if series.contains("\"br\"") { brotli += value }
        if series.contains("\"zstd\"") { zstd += value }
    }

    /// What an edge counted of signed requests that went past these layers.
    /// - Parameter text: the edge's page of metrics.
    init(metrics text: String, without: EdgeLayers) {
        self.init()
        leases = text.split(separator: "\n").first { $0.hasPrefix("headrace_pooler_leases_total ") }.flatMap { Double($0.drop { $0 != " " }.dropFirst()) } ?? 0
        for line in text.split(separator: "\n") where line.hasPrefix("headrace_edge_proved_requests_total{") {
            guard let space = line.lastIndex(of: " "), let value = Double(line[line.index(after: space)...]),
                line.contains("without=\"\(without.text)\"")
            else { continue }
            let series = line[..<space]
            switch Self.words.first(where: { series.contains("what=\"\($0)\"") }) {
            case "answered": requests += value
            case "upstream": upstreamRequests += value
            case "connected": upstreamConnects += value
            case "coalesced": coalesced += value
            case .some: add(value, coding: series)
            case nil: continue
            }
        }
    }

    private static let words = ["answered", "upstream", "connected", "coalesced", "gzip", "br", "zstd"]
}
