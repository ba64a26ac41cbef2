import Foundation
import TestSupport
import Testing

/// What a client that makes up pages as fast as it can costs: never more than the configured share of a core, and never more than the queue.
@Suite(.serialized) struct BackgroundCompressionTests {
    /// 170 KB of rows that compress, and take brotli's highest level a third of a second.
    private static let rows = rows(2500)

    private static func rows(_ count: Int) -> String {
        var random = SeededRandom(seed: 4)
        return (0..<count).map { "<tr><td>\($0)</td><td>host-\(random.next() % 100_000).example</td><td>port \(random.next() % 65_536)</td></tr>" }
            .joined(separator: "\n")
    }

    private func origin(_ rows: String = rows) throws -> ScriptedOrigin {
        try ScriptedOrigin { request in
            [
                .send(
                    ScriptedOrigin.response(
                        fields: ["Content-Type: text/html", "Cache-Control: max-age=600"], body: "<!-- \(request.target) -->\n\(rows)"))
            ]
        }
    }

    /// CPU seconds of the threads that give way to others: there is one, which compresses in the background.
    /// - Source: proc(5), /proc/pid/task/tid/stat, fields 14, 15 and 19, counted behind the name in parentheses.
    private func backgroundSeconds(_ edge: HeadraceProcess) throws -> Double {
        let folder = "/proc/\(edge.processIdentifier)/task"
        let threads = try FileManager.default.contentsOfDirectory(atPath: folder).compactMap { thread -> Double? in
            guard let text = try? String(contentsOfFile: "\(folder)/\(thread)/stat", encoding: .utf8), let end = text.lastIndex(of: ")") else {
                return nil
            }
            let fields = text[text.index(after: end)...].split(separator: " ")
            guard fields.count > 16, let nice = Int(fields[16]), nice > 0, let user = Double(fields[11]), let system = Double(fields[12]) else {
                return nil
            }
            return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
        }
        try #require(threads.count == 1, "one thread gives way: \(threads)")
        return threads[0]
    }

    @Test func `a page that is asked for once costs nothing in the background`() throws {
        let origin = try origin()
        let edge = try HeadraceProcess(["--app", origin.url])
        let client = try RawClient(port: edge.port)
        for number in 0..<40 {
            client.send("GET /?\(number) HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n")
            #expect(try client.readResponse(seconds: 20).field("Content-Encoding") == "br")
        }
        for series in ["headrace_compression_jobs_total", "headrace_compression_jobs_dropped_total", "headrace_compression_queue_jobs"] {
            #expect(try edge.metric(series) == 0, "\(series)")
        }
    }

    @Test func `made-up pages, each asked for twice, take the configured share of a core, and the queue stays bounded`() throws {
        let origin = try origin()
        let edge = try HeadraceProcess([
            "--app", origin.url, "--set", "edge.compression.background_share=10%", "--set", "edge.compression.background_queue=5", "--set",
            "edge.compression.brotli_level_high=11",
        ])
        let client = try RawClient(port: edge.port)
        let began = ContinuousClock.now
        var number = 0
        var waitingMost = 0.0
        // Until the queue has overflowed and some jobs are done, and long enough for a share to show.
        let isEnough = try eventually(seconds: 120) {
            for _ in 0..<10 {
                number += 1
                for _ in 0..<2 {
                    client.send("GET /?\(number) HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n")
                    #expect(try client.readResponse(seconds: 20).status == 200)
                }
            }
            waitingMost = max(waitingMost, try edge.metric("headrace_compression_queue_jobs"))
            return try edge.metric("headrace_compression_jobs_dropped_total") > 20 && edge.metric("headrace_compression_jobs_total") >= 3
                && ContinuousClock.now - began > .seconds(5)
        }
        let (jobs, seconds) = (try edge.metric("headrace_compression_jobs_total"), try backgroundSeconds(edge))
        let passed = (ContinuousClock.now - began) / .seconds(1)
        #expect(isEnough, "\(jobs) jobs")
        #expect(waitingMost > 0 && waitingMost <= 5)
        // A job that has begun is finished, whatever the share: one more may stand in the sum.
        let most = 0.1 * passed + 1.5 * seconds / max(jobs, 1)
        #expect(seconds > 0 && seconds <= most, "\(seconds) s of \(passed) s, for \(jobs) jobs")
    }

    /// 340 KB are more than is compressed while the event loop waits, as long as there is somebody else to do it.
    @Test(arguments: [2500, 5000]) func `a share of nothing switches it off, and pages of any size are served at the fast level`(count: Int) throws {
        let page = Self.rows(count)
        let origin = try origin(page)
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.compression.background_share=0%"])
        let sizes = try (0..<10).map { _ in try RawClient.get(port: edge.port, "/", ["Accept-Encoding: br"]).body.count }
        // The first is compressed as it passes, and so in pieces.
        #expect(Set(sizes.dropFirst()).count == 1 && sizes.allSatisfy { $0 < page.utf8.count / 2 }, "\(sizes)")
        for series in ["headrace_compression_jobs_total", "headrace_compression_jobs_dropped_total"] { #expect(try edge.metric(series) == 0) }
        #expect(origin.requestCount == 1)
    }
}
