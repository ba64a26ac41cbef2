import TestSupport
import Testing

@testable import Telemetry

@Suite struct PrometheusTextTests {
    @Test func `a family is announced once, its series follow`() {
        var text = PrometheusText()
        text.counter("a_total", help: "All.", labels: [("code", "200"), ("side", "client")], value: 3)
        text.counter("a_total", help: "All.", labels: [("code", "404"), ("side", "client")], value: 1)
        text.gauge("b", help: "Now.", value: 2.5)
        #expect(
            text.finish() == """
                # HELP a_total All.
                # TYPE a_total counter
                a_total{code="200",side="client"} 3
                a_total{code="404",side="client"} 1
                # HELP b Now.
                # TYPE b gauge
                b 2.5

                """)
    }

    @Test func `a family cannot be opened twice`() async {
        await #expect(processExitsWith: .failure) {
            var text = PrometheusText()
            text.gauge("a", help: "", value: 1)
            text.gauge("b", help: "", value: 1)
            text.gauge("a", help: "", value: 1)
        }
    }

    @Test func `nothing gives nothing`() {
        #expect(PrometheusText().finish() == "")
    }

    // MARK: Escaping

    @Test(
        arguments: [
            (#"a"b"#, #"a\"b"#), (#"a\b"#, #"a\\b"#), ("a\nb", #"a\nb"#), ("\"\\\n", #"\"\\\n"#), ("é,{}=", "é,{}="), ("", ""),
            // CRLF, and a quote with an accent, are one character each to Swift.
            ("a\r\nb", "a\r\\nb"), ("\"\u{301}", "\\\"\u{301}"), ("\\\u{301}", "\\\\\u{301}"), ("\n\u{301}", "\\n\u{301}"),
        ] as [(String, String)])
    func `a label's value cannot leave its quotes or its line`(value: String, escaped: String) {
        var text = PrometheusText()
        text.gauge("a", help: "h", labels: [("l", value)], value: 1)
        #expect(Array(text.finish().utf8) == Array("# HELP a h\n# TYPE a gauge\na{l=\"\(escaped)\"} 1\n".utf8))
    }

    @Test func `help keeps its quotes, but not its line ends`() {
        var text = PrometheusText()
        text.gauge("a", help: "say \"x\\y\"\r\nz", value: 1)
        #expect(Array(text.finish().utf8) == Array("# HELP a say \"x\\\\y\"\r\\nz\n# TYPE a gauge\na 1\n".utf8))
    }

    // MARK: Numbers

    @Test(
        arguments: [
            (0.0, "0"), (-0.0, "0"), (1.0, "1"), (-3.0, "-3"), (0.25, "0.25"), (1e14, "100000000000000"),
            (1e15, "1000000000000000.0"), (1e300, "1e+300"), (1e-9, "1e-09"),
            (.infinity, "+Inf"), (-.infinity, "-Inf"), (.nan, "NaN"),
        ] as [(Double, String)])
    func `a number is written as Prometheus reads it`(value: Double, written: String) {
        var text = PrometheusText()
        text.gauge("a", help: "h", value: value)
        #expect(text.finish().hasSuffix("\na \(written)\n"))
    }

    @Test func `a counter may be as large as its type`() {
        var text = PrometheusText()
        text.counter("a_total", help: "h", value: .max)
        #expect(text.finish().hasSuffix("a_total 18446744073709551615\n"))
    }

    // MARK: Histograms

    @Test func `a histogram is in seconds, its buckets cumulative, the last one +Inf`() {
        let histogram = Histogram()
        for value in [1_000_000, 2_000_000, 40_000_000, 3_000_000_000] as [UInt64] { histogram.record(nanoseconds: value) }
        var text = PrometheusText()
        text.histogram(
            "t_seconds", help: "h", labels: [("l", "x")], snapshot: histogram.snapshot(), bounds: [0.001, 0.005, 0.1, 1])
        #expect(
            text.finish() == """
                # HELP t_seconds h
                # TYPE t_seconds histogram
                t_seconds_bucket{l="x",le="0.001"} 1
                t_seconds_bucket{l="x",le="0.005"} 2
                t_seconds_bucket{l="x",le="0.1"} 3
                t_seconds_bucket{l="x",le="1"} 3
                t_seconds_bucket{l="x",le="+Inf"} 4
                t_seconds_sum{l="x"} 3.043
                t_seconds_count{l="x"} 4

                """)
    }

    @Test func `no bucket counts more than the next`() {
        var random = SeededRandom(seed: 1)
        let histogram = Histogram()
        for _ in 0..<1000 { histogram.record(nanoseconds: UInt64.random(in: 0...2_000_000_000, using: &random)) }
        var text = PrometheusText()
        text.histogram("t", help: "h", snapshot: histogram.snapshot(), bounds: [0.0001, 0.01, 0.1, 0.5, 1, 2])
        let counts = text.finish().split(separator: "\n").filter { $0.hasPrefix("t_bucket") }.compactMap {
            Int($0.split(separator: " ")[1])
        }
        #expect(counts.count == 7 && counts == counts.sorted() && counts.last == 1000)
    }
}
