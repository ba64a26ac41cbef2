import Foundation
import TestSupport
import Testing

@Suite struct MetricsTests {
    // Prometheus' own checker; scripts/setup installs it.
    @Test(.enabled(if: Command.find("promtool") != nil, "promtool is not installed: run scripts/setup"))
    func `promtool has nothing to say against the metrics`() throws {
        let origin = try ScriptedOrigin(
            fields: ["Cache-Control: max-age=60", "Content-Type: text/html"], body: String(repeating: "page ", count: 1000))
        let edge = try HeadraceProcess(
            ["--app", origin.url, "--keyspace", "127.0.0.1:0", "--pooler", "127.0.0.1:0", "--postgres", "postgres://app@127.7.0.1:1/shop"])
        for target in ["/", "/", "/b"] { _ = try RawClient.get(port: edge.port, target, ["Accept-Encoding: gzip"]) }
        // The services are probed beside it, and the layers start one beside the other.
        #expect(try eventually(seconds: 60) {
            let text = try RawClient.getOwnPage(port: edge.port, "/metrics").text
            return ["headrace_service_up{service=\"keyspace\"} 1", "\nredis_up 1\n", "\npgbouncer_up 1\n"].allSatisfy(text.contains)
        })
        let response = try RawClient.getOwnPage(port: edge.port, "/metrics")
        #expect(response.field("Content-Type") == "text/plain; version=0.0.4; charset=utf-8")
        let result = try Command.run("promtool", ["check", "metrics"], input: Data(response.body))
        #expect(result.status == 0 && result.errors == "" && result.text == "", "\(result.errors)\(result.text)")
    }

    @Test func `the metrics count what happened`() throws {
        let origin = try ScriptedOrigin(
            fields: ["Cache-Control: max-age=60", "Content-Type: text/html"], body: String(repeating: "page ", count: 1000))
        let edge = try HeadraceProcess(["--app", origin.url])
        for _ in 0..<3 { _ = try RawClient.get(port: edge.port, "/", ["Accept-Encoding: gzip"]) }
        #expect(try edge.metric("headrace_edge_requests_total{cache=\"hit\"}") == 2)
        #expect(try edge.metric("headrace_edge_requests_total{cache=\"miss\"}") == 1)
        #expect(try edge.metric("headrace_edge_codings_total{coding=\"gzip\"}") == 3)
        #expect(try edge.metric("headrace_compression_in_bytes_total") == 5000)
        #expect(try edge.metric("headrace_edge_upstream_connects_total") == 1)
        #expect(try edge.metric("headrace_response_cache_entries") == 1)
        #expect(try edge.metric("headrace_edge_upstream_seconds_count") == 1)
    }

    @Test func `OpenMetrics for who asks for it, with the same figures`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try HeadraceProcess(["--app", origin.url])
        let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
        let response = try RawClient.getOwnPage(port: edge.port, "/metrics", [accept])
        #expect(response.field("Content-Type") == "application/openmetrics-text; version=1.0.0; charset=utf-8")
        #expect(response.text.hasSuffix("# EOF\n") && response.text.contains("# TYPE headrace_edge_requests counter\n"))
        #expect(response.text.contains("\nprocess_cpu_seconds_total ") && response.text.contains("\nheadrace_edge_requests_total{cache=\"hit\"} 0\n"))
        let plain = try RawClient.getOwnPage(port: edge.port, "/metrics")
        #expect(plain.field("Vary")?.contains("Accept") == true && !plain.text.contains("# EOF"))
    }

    @Test func `the metrics are there without a dashboard`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "dashboard.access=off"])
        let text = try RawClient.getOwnPage(port: edge.port, "/metrics").text
        #expect(text.contains("\nprocess_open_fds ") && text.contains("headrace_edge_connections 1\n") && !text.contains("headrace_service_up"))
    }

    @Test func `another path, or none`() throws {
        let origin = try ScriptedOrigin(body: "the application's")
        let moved = try HeadraceProcess(["--app", origin.url, "--set", "edge.metrics_path=/-/numbers"])
        #expect(try RawClient.getOwnPage(port: moved.port, "/-/numbers").text.contains("headrace_edge_connections"))
        #expect(try RawClient.getOwnPage(port: moved.port, "/metrics").text == "the application's")
        let off = try HeadraceProcess(["--app", origin.url, "--set", "edge.metrics_path=off"])
        #expect(try RawClient.getOwnPage(port: off.port, "/metrics").text == "the application's")
    }
}
