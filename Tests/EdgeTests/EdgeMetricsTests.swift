import HTTP1Wire
import HTTPSemantics
import NIOCore
import Testing

@testable import Edge

@Suite struct EdgeMetricsTests {
    private func report(loops count: Int) -> EdgeReport {
        EdgeReport(
            loops: (0..<count).map { _ in EdgeMetrics() }, store: ResponseStore(configuration: .init(), codingOrder: [.gzip]),
            background: BackgroundCompression(queueMax: 1, share: 0), upstreams: { [("app", Self.upstream)] },
            certificates: { [] }, responseBuffers: FillBudget(bytesMax: 0), accessLogDropped: { 17 })
    }

    /// A group of two, of which the first has a request in progress.
    private static let upstream: UpstreamMachine = {
        let members = [1, 2].map { UpstreamGroup.Member(.tcp(host: "10.0.0.\($0)", port: 80)) }
        var machine = UpstreamMachine(UpstreamGroup(members: members), loops: 1)
        _ = machine.resolved(ResolvedMembers.list(machine.group, [:]), now: .now())
        _ = machine.requested(.init(ticket: .init(loop: 0, serial: 1)), now: .now())
        return machine
    }()

    private func exchange(_ change: (inout Exchange) -> Void) -> Exchange {
        var exchange = Exchange(started: .uptimeNanoseconds(0), trace: TraceParent(traceID: (1, 1), parentID: 1, flags: 0))
        change(&exchange)
        return exchange
    }

    @Test func `each label of each closed enum is a series from the start`() {
        let text = report(loops: 1).text()
        for result in Exchange.CacheResult.allCases {
            #expect(text.contains("headrace_edge_requests_total{cache=\"\(result.rawValue)\"} 0\n"))
        }
        for code in HTTP1Error.Code.allCases {
            #expect(text.contains("headrace_edge_refused_total{reason=\"\(code.rawValue)\"} 0\n"))
        }
        for failure in GatewayFailure.allCases {
            #expect(text.contains("headrace_edge_upstream_failures_total{reason=\"\(failure.rawValue)\"} 0\n"))
        }
        for coding in ContentCoding.allCases {
            #expect(text.contains("headrace_edge_codings_total{coding=\"\(coding.token)\"} 0\n"))
        }
        for reason in DeadlineReason.allCases where reason != .none {
            #expect(text.contains("headrace_edge_deadlines_total{reason=\"\(reason.rawValue)\"} 0\n"))
        }
        for reason in ConnectionRefusal.allCases {
            #expect(text.contains("headrace_edge_connections_refused_total{reason=\"\(reason.rawValue)\"} 0\n"))
        }
        for number in 1...5 { #expect(text.contains("headrace_edge_responses_total{class=\"\(number)xx\"} 0\n")) }
        #expect(text.contains("headrace_access_log_dropped_bytes_total 17\n"))
        #expect(text.contains("headrace_upstream_connections{group=\"app\"} 1\n"))
        #expect(text.contains("headrace_upstream_member_active{group=\"app\",member=\"10.0.0.1:80\"} 1\n"))
        #expect(text.contains("headrace_upstream_member_up{group=\"app\",member=\"10.0.0.2:80\"} 1\n"))
    }

    @Test func `every family says what it is, and its name says the unit`() {
        let text = report(loops: 1).text()
        let families = text.split(separator: "\n").filter { $0.hasPrefix("# TYPE ") }.map { $0.split(separator: " ") }
        #expect(families.count > 20)
        for family in families {
            #expect(text.contains("# HELP \(family[2]) "))
            if family[3] == "counter" { #expect(family[2].hasSuffix("_total")) }
            if family[3] == "histogram" { #expect(family[2].hasSuffix("_seconds")) }
            #expect(family[2].hasPrefix("headrace_"))
        }
    }

    @Test func `loops are summed, and every event is counted once`() {
        let report = report(loops: 2)
        for (index, metrics) in report.loops.enumerated() {
            metrics.ended(
                exchange {
                    $0.cacheResult = .hit
                    $0.status = index == 0 ? 200 : 304
                    $0.coding = .brotli
                    $0.bodyBytes = 100
                }, now: .uptimeNanoseconds(30_000))
            metrics.refused(HTTP1Error(.bareLF))
            metrics.gatewayFailed(.truncated)
            metrics.upstreamAnswered(status: 200, nanoseconds: 2_000_000)
            metrics.deadlinePassed(.requestRate)
            metrics.connectionRefused(.clientConnections)
            metrics.compressed(from: 1000, to: 300, nanoseconds: 5000)
            metrics.connections.add(2)
            metrics.upstreamConnects.add(1)
        }
        let text = report.text()
        for line in [
            "headrace_edge_requests_total{cache=\"hit\"} 2", "headrace_edge_responses_total{class=\"2xx\"} 1",
            "headrace_edge_responses_total{class=\"3xx\"} 1", "headrace_edge_not_modified_total 1",
            "headrace_edge_codings_total{coding=\"br\"} 2", "headrace_edge_body_bytes_total 200",
            "headrace_edge_refused_total{reason=\"\(HTTP1Error.Code.bareLF.rawValue)\"} 2",
            "headrace_edge_upstream_failures_total{reason=\"truncated\"} 2", "headrace_edge_deadlines_total{reason=\"request-rate\"} 2",
            "headrace_edge_connections_refused_total{reason=\"client-connections\"} 2",
            "headrace_compression_in_bytes_total 2000", "headrace_compression_out_bytes_total 600", "headrace_edge_connections 4",
            "headrace_edge_upstream_connects_total 2", "headrace_edge_response_seconds_count 2",
            "headrace_edge_upstream_seconds_count 2",
        ] {
            #expect(text.contains(line + "\n"), "\(line)")
        }
    }

    @Test func `routes have a series each, which a reload keeps, and takes with the route`() {
        let report = report(loops: 2)
        for metrics in report.loops {
            let rows = metrics.rows(ofRoutes: ["shop", "blog", "shop"])
            rows["shop"]?.add(2)
            rows["blog"]?.add(4)
        }
        for metrics in report.loops { metrics.rows(ofRoutes: ["shop", "new"])["shop"]?.add(2) }
        let text = report.text()
        #expect(text.contains("headrace_edge_route_responses_total{route=\"shop\",class=\"2xx\"} 4\n"))
        #expect(text.contains("headrace_edge_route_responses_total{route=\"new\",class=\"5xx\"} 0\n"))
        #expect(!text.contains("blog"))
    }

    @Test func `a status that no class has does not trap`() {
        let metrics = EdgeMetrics()
        for status in [0, -1, 99, 600, 1000] { metrics.ended(exchange { $0.status = status }, now: .uptimeNanoseconds(1)) }
    }
}
