import Foundation
import TestSupport
import Testing

/// The access log as operators have it.
@Suite final class AccessLogTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "log-\(UUID().uuidString)")

    init() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: folder)
    }

    private func text(_ name: String) -> String {
        (try? String(contentsOf: folder.appending(path: name), encoding: .utf8)) ?? ""
    }

    private func edge(_ origin: ScriptedOrigin, _ more: [String]) throws -> HeadraceProcess {
        try HeadraceProcess(
            ["--app", origin.url, "--set", "edge.access_log=\(folder.appending(path: "access.log").path)"] + more.flatMap { ["--set", $0] })
    }

    @Test func `SIGUSR1 opens the file anew, and no line is lost or written twice`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try edge(origin, [])
        for number in 0..<5 {
            let (old, new) = (folder.appending(path: "access.log"), folder.appending(path: "access.log.\(number)"))
            for part in 0..<20 { #expect(try RawClient.get(port: edge.port, "/\(number)/\(part)").status == 200) }
            try FileManager.default.moveItem(at: old, to: new)
            kill(edge.processIdentifier, SIGUSR1)
            #expect(eventually { FileManager.default.fileExists(atPath: old.path) })
        }
        edge.terminate()
        #expect(edge.waitForExit() == 0)
        let all = ((0..<5).map { text("access.log.\($0)") } + [text("access.log")]).joined()
        let targets = all.split(separator: "\n").compactMap { line in line.firstMatch(of: /"target":"([^"]*)"/).map { String($0.1) } }
        #expect(targets.sorted() == (0..<5).flatMap { number in (0..<20).map { "/\(number)/\($0)" } }.sorted())
    }

    @Test func `the combined format is what other programs read`() throws {
        let origin = try ScriptedOrigin(body: "body")
        let edge = try edge(origin, ["edge.access_log_format=combined"])
        _ = try RawClient.get(port: edge.port, "/a?b", ["User-Agent: \"quoted\"", "Referer: http://r/"])
        #expect(eventually { text("access.log").hasSuffix("\n") })
        let line = text("access.log")
        #expect(
            line.wholeMatch(
                of: /127\.0\.0\.1 - - \[\d\d\/[A-Z][a-z][a-z]\/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET \/a\?b HTTP\/1\.1" 200 4 "http:\/\/r\/" "\\x22quoted\\x22"\n/)
                != nil, "\(line)")
    }

    @Test func `a line names the route, and the metrics count by it`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let file = try TemporaryFile(
            """
            edge:
              app: \(origin.url)
              routes:
                - {name: old, match: {path: [/old]}, redirect: {to: /new}}
                - {match: {path: [/word]}, respond: {status: 200, body: word}}
            """, name: "headrace.yaml")
        let edge = try HeadraceProcess(["--config", file.path])
        for target in ["/old", "/word", "/other", "/old"] { _ = try RawClient.get(port: edge.port, target) }
        _ = try RawClient.exchange(port: edge.port, "nonsense\r\n\r\n")
        // Loops write their lines in turns.
        let routes = try edge.logLines(atLeast: 5).map { $0["route"] as? String ?? "–" }
        #expect(routes.sorted() == ["edge.app", "edge.routes[2]", "old", "old", "–"])
        #expect(try edge.metric("headrace_edge_route_responses_total{route=\"old\",class=\"3xx\"}") == 2)
        #expect(try edge.metric("headrace_edge_route_responses_total{route=\"edge.app\",class=\"2xx\"}") == 1)
    }

    @Test func `nothing is sampled but errors, and fields are chosen`() throws {
        let origin = try ScriptedOrigin { request in
            [.send(ScriptedOrigin.response(status: request.target == "/bad" ? "500 X" : "200 OK", body: "x"))]
        }
        let edge = try edge(origin, ["edge.access_log_sample=0%", "edge.access_log_fields=status,trace,head_ms,span"])
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        for target in ["/", "/bad", "/"] { _ = try RawClient.get(port: edge.port, target, ["traceparent: \(parent)"]) }
        edge.terminate()
        #expect(edge.waitForExit() == 0)
        let line = text("access.log")
        #expect(line.split(separator: "\n").count == 1)
        let object = try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        #expect(Set(object.keys) == ["time", "status", "trace", "head_ms", "span"])
        #expect(object["status"] as? Int == 500 && object["trace"] as? String == "4bf92f3577b34da6a3ce929d0e0e4736")
    }
}
