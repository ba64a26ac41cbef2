import Foundation
import TestSupport
import Testing

/// What peers may do to the memory of the process: it stays under `memory.total`, what is too much is given up in order, others are answered meanwhile, and afterwards
/// all is as before. One test at a time: each fills gigabytes a second.
@Suite(.serialized) enum MemoryTotalTests {}

/// The release binary with a total of memory, and what it takes of it while peers do their worst.
///
/// Measured is the peak that the kernel counts (`VmHWM`), without the pages of files that are mapped, as the process itself measures. Full size is for the long tier
/// (`HEADRACE_LONG`), which says each peak.
final class MemoryStand {
    static let isLong = ProcessInfo.processInfo.environment["HEADRACE_LONG"] != nil

    let headrace: HeadraceProcess
    private let total: Int
    /// Made before anything is given up: new connections are refused later.
    private let page: RawClient

    /// - Parameters:
    ///   - total: in MB.
    ///   - settings: besides the total.
    init(total: Int, _ arguments: [String], _ settings: [String]) throws {
        Self.raiseLimit()
        self.total = total
        headrace = try HeadraceProcess(
            arguments + (["memory.total=\(total)MB", "edge.cache.size=4MB", "edge.limits.buffered_responses=4MB", "edge.threads=2"] + settings).flatMap { ["--set", $0] },
            saying: "edge: http://")
        page = try RawClient(port: headrace.port)
        #expect(answers())
    }

    /// A connection of this process for each client is a descriptor of it, and two of the other's. Root may have as many as it wants.
    private static func raiseLimit() {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        if isLong, getuid() == 0 { limit.rlim_max = max(limit.rlim_max, 64 << 10) }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    /// Where a layer listens, behind what it says before the port.
    func port(of layer: String, saying prefix: String = "127.0.0.1:") throws -> Int {
        func find() -> Int? {
            let output = headrace.errorOutput
            guard let said = output.range(of: "\(layer): \(prefix)") else { return nil }
            let digits = output[said.upperBound...].prefix { $0.isNumber }
            return digits.endIndex == output.endIndex ? nil : Int(digits)
        }
        try #require(eventually { find() != nil }, "\(headrace.errorOutput)")
        return try #require(find())
    }

    private func bytes(_ name: String) -> Int {
        let status = (try? String(contentsOfFile: "/proc/\(headrace.processIdentifier)/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix(name + ":") }
        return (line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) } ?? 0) << 10
    }

    /// Its own memory now, without files.
    var residentBytes: Int { bytes("RssAnon") }

    /// That it lives, and that its peak is within the total. Among other tests it may take the watch long to get its turn: then twice the total shows that there is a
    /// bound at all.
    func expectBounded(_ what: String, sourceLocation: SourceLocation = #_sourceLocation) {
        let peak = bytes("VmHWM") - bytes("RssFile") - bytes("RssShmem")
        #expect(headrace.isRunning, "\(what): \(headrace.errorOutput)", sourceLocation: sourceLocation)
        #expect(peak < (total << 20) * (Self.isLong ? 1 : 2), "\(what): \(peak >> 20) of \(total) MiB", sourceLocation: sourceLocation)
        guard Self.isLong else { return }
        let cut = (try? ["edge", "keyspace", "pooler"].map { try metric("headrace_\($0)_memory_cut_total") }.reduce(0, +)) ?? 0
        let refused = (try? metric("headrace_edge_connections_refused_total{reason=\"memory\"}")) ?? 0
        print("memory.total: \(what): peak \(peak >> 20) of \(total) MiB; \(Int(cut)) cut, \(Int(refused)) refused by the edge")
    }

    /// Whether a page of the edge's own comes over a connection that was there before.
    func answers() -> Bool { (try? get("/healthz"))?.status == 200 }

    private func get(_ target: String) throws -> RawClient.Response {
        page.send("GET \(target) HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return try page.readResponse()
    }

    /// Until its memory grows no more: not by a mebibyte in half a second, nor in a second and a half in the long tier.
    func settles() -> Bool {
        var (last, steadyCount) = (-1, 0)
        return eventually(seconds: 60) {
            usleep(500_000)
            let now = residentBytes
            steadyCount = abs(now - last) < 1 << 20 ? steadyCount + 1 : 0
            last = now
            return steadyCount >= (Self.isLong ? 3 : 1)
        }
    }

    /// Whether it answers newcomers as if nothing had been.
    func recovers(_ target: String) -> Bool {
        eventually(seconds: 60) { (try? RawClient.get(port: headrace.port, target).status) == 200 }
    }

    /// As ``HeadraceProcess/metric(_:)``, over the connection that was there before.
    func metric(_ series: String) throws -> Double {
        let line = try get("/metrics").text.split(separator: "\n").first { $0.hasPrefix(series + " ") }
        return line.flatMap { Double($0.dropFirst(series.count + 1)) } ?? 0
    }

    /// Addresses of the loopback, as those of many clients.
    static func address(_ number: Int) -> String { "127.1.\(number % 8).\(1 + number % 250)" }
}
