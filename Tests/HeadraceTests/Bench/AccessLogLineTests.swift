import Testing

@testable import headrace

@Suite struct AccessLogLineTests {
    @Test(arguments: [
        #"127.0.0.1 - - [25/Nov/2026:13:55:36 +0000] "GET /a?b=c HTTP/1.1" 200 2326"#,
        #"127.0.0.1 - frank [25/Nov/2026:13:55:36 +0000] "GET /a?b=c HTTP/1.0" 200 2326 "http://x/" "Mozilla/5.0 [en]""#,
        #"{"time_iso8601":"2026-11-25T13:55:36+00:00","request":"GET /a?b=c HTTP/2.0","status":"200"}"#,
        #"{"request_method":"GET","request_uri":"/a?b=c"}"#, #"{"method":"GET","uri":"/a?b=c","status":200}"#,
        #"{"time":"2026-11-25T13:55:36Z","client":"::1","method":"GET","host":"h","target":"/a?b=c","status":200,"bytes":5,"ms":1.2}"#,
    ])
    func `the request is found in every format`(line: String) {
        let entry = AccessLogLine(line)
        #expect(entry?.method == "GET" && entry?.target == "/a?b=c")
    }

    @Test(arguments: [
        "", "{", "{}", "nonsense", #"h - - [d] "-" 400 0"#, #"h - - [d] "\x16\x03\x01" 400 0"#, #"h - - [d] "GET http://a/ HTTP/1.1" 200 0"#,
        #"h - - [d] "OPTIONS * HTTP/1.1" 200 0"#, #"{"method":"G ET","target":"/"}"#, #"h - - [d] "GET /"#,
    ])
    func `a line without a request that can be replayed is none`(line: String) {
        #expect(AccessLogLine(line) == nil)
    }
}

@Suite struct RateTextTests {
    @Test func `a number is a steady rate, and stages are as written`() throws {
        #expect(try RateText.parse("500", duration: .seconds(10)).stages == [.init(seconds: 10, from: 500, to: 500)])
        let stages = try RateText.parse("100:30s,100-1000:2m,0.5", duration: .milliseconds(2500)).stages
        #expect(stages == [.init(seconds: 30, from: 100, to: 100), .init(seconds: 120, from: 100, to: 1000), .init(seconds: 2.5, from: 0.5, to: 0.5)])
    }

    @Test(arguments: ["", "x", "-1", "1-", "1-2-3", "1:2", "1:2s:3s", "1,", "1000001", "nan", "inf", "0", "1:0s", "1:25h", "0.01"])
    func `what is no rate is refused`(text: String) {
        #expect(throws: (any Error).self) { try RateText.parse(text, duration: .seconds(10)) }
    }
}
