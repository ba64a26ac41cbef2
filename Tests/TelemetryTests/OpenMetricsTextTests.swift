import Telemetry
import Testing

@Suite struct OpenMetricsTextTests {
    @Test func `counters lose their suffix in the family's name, bounds get a point, and the end is marked`() {
        var text = PrometheusText()
        text.counter("a_requests_total", help: "So called \"requests\".", labels: [("x", "le=\"5\"")], value: 3)
        text.counter("a_seconds_total", help: "Time.", amount: 1.5)
        text.gauge("b_bytes", help: "Bytes.", value: 7)
        var histogram = HistogramSnapshot()
        histogram = Histogram().snapshot()
        text.histogram("c_seconds", help: "Times.", labels: [("x", "y,\"}")], snapshot: histogram, bounds: [0.5, 1])
        #expect(
            OpenMetricsText.made(of: text.finish()) == """
                # HELP a_requests So called \\"requests\\".
                # TYPE a_requests counter
                a_requests_total{x="le=\\"5\\""} 3
                # HELP a_seconds Time.
                # TYPE a_seconds counter
                # UNIT a_seconds seconds
                a_seconds_total 1.5
                # HELP b_bytes Bytes.
                # TYPE b_bytes gauge
                # UNIT b_bytes bytes
                b_bytes 7
                # HELP c_seconds Times.
                # TYPE c_seconds histogram
                # UNIT c_seconds seconds
                c_seconds_bucket{x="y,\\"}",le="0.5"} 0
                c_seconds_bucket{x="y,\\"}",le="1.0"} 0
                c_seconds_bucket{x="y,\\"}",le="+Inf"} 0
                c_seconds_sum{x="y,\\"}"} 0
                c_seconds_count{x="y,\\"}"} 0
                # EOF

                """)
    }

    @Test(arguments: [
        ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", true),
        ("application/openmetrics-text", true), ("Application/OpenMetrics-Text ; q=0.5 , text/plain;q=0.4", true),
        ("application/openmetrics-text;q=0.4, text/plain", false), ("application/openmetrics-text;q=0", false), ("*/*", false), ("", false),
        ("text/html", false), ("application/openmetrics-text;q=x", false),
    ])
    func `who asks for it gets it`(accept: String, isPreferred: Bool) {
        #expect(OpenMetricsText.isPreferred(accept) == isPreferred)
    }
}
