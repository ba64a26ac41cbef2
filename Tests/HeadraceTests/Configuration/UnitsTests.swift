import Edge
import NIOCore
import Testing

@testable import headrace

@Suite struct DurationTextTests {
    @Test(arguments: [
        ("250ms", TimeAmount.milliseconds(250)), ("30s", .seconds(30)), ("5m", .minutes(5)), ("2h", .hours(2)), ("7d", .hours(168)),
        ("1m30s", .seconds(90)), ("1h1m1s1ms", .milliseconds(3_661_001)), ("0.5s", .milliseconds(500)), ("0s", .zero),
    ])
    func `durations are read`(text: String, duration: TimeAmount) throws {
        #expect(try DurationText.parse(text) == duration)
    }

    @Test(arguments: ["5", "1.5", "0"])
    func `a bare number is asked for its unit`(text: String) {
        #expect(throws: ValueProblem("\"\(text)\" has no unit: write \(text)s, \(text)ms or \(text)m")) { try DurationText.parse(text) }
    }

    @Test(arguments: ["", "s", "5 s", "5sec", "-5s", "5s5", "1e3s", "99999999999999999999d", "5µs", "٣s"])
    func `what is no duration is refused`(text: String) {
        #expect(throws: ValueProblem.self) { try DurationText.parse(text) }
    }

    @Test(arguments: [TimeAmount.zero, .milliseconds(1), .seconds(90), .minutes(5), .hours(24), .hours(25), .milliseconds(1500)])
    func `what is rendered is read as the same`(duration: TimeAmount) throws {
        #expect(try DurationText.parse(DurationText.render(duration)) == duration)
    }
}

@Suite struct SizeTextTests {
    @Test(arguments: [("512B", 512), ("8KB", 8 << 10), ("256MB", 256 << 20), ("1GB", 1 << 30), ("1.5kb", 1536), ("0B", 0)])
    func `sizes are read`(text: String, bytes: Int) throws {
        #expect(try SizeText.parse(text) == bytes)
    }

    @Test func `a bare number is asked for its unit`() {
        #expect(throws: ValueProblem("\"256\" has no unit: write 256MB, 256KB or 256B")) { try SizeText.parse("256") }
    }

    @Test(arguments: ["", "MB", "1TB", "-1MB", "1 MB", "99999999999999999GB", "1MBs"])
    func `what is no size is refused`(text: String) {
        #expect(throws: ValueProblem.self) { try SizeText.parse(text) }
    }

    @Test(arguments: [0, 1, 1023, 1024, 1536, 256 << 20, 1 << 40])
    func `what is rendered is read as the same`(bytes: Int) throws {
        #expect(try SizeText.parse(SizeText.render(bytes)) == bytes)
    }
}

@Suite struct TransferRateTextTests {
    @Test(arguments: [("512B/s", 512), ("64KB/s", 64 << 10), ("0B/s", 0)])
    func `rates are read, and rendered as the same`(text: String, bytes: Int) throws {
        #expect(try TransferRateText.parse(text) == bytes)
        #expect(TransferRateText.render(bytes) == text)
    }

    @Test func `what has no time, or no unit, is asked for it`() {
        #expect(throws: ValueProblem("\"512\" has no unit: write 512KB/s or 512B/s")) { try TransferRateText.parse("512") }
        #expect(throws: ValueProblem("\"512B\" is a size, and a rate has a time: write 512B/s")) { try TransferRateText.parse("512B") }
    }

    @Test(arguments: ["", "/s", "5/s", "1TB/s", "-1B/s", "1B/m"]) func `what is no rate is refused`(text: String) {
        #expect(throws: ValueProblem.self) { try TransferRateText.parse(text) }
    }
}

@Suite struct AddressTextTests {
    @Test(arguments: [
        ("127.0.0.1:8080", EdgeConfiguration.SocketEndpoint.tcp(host: "127.0.0.1", port: 8080)),
        ("[::1]:443", .tcp(host: "::1", port: 443)), ("localhost:0", .tcp(host: "localhost", port: 0)),
        ("unix:/run/a.sock", .unix(path: "/run/a.sock")),
    ])
    func `listen addresses are read`(text: String, endpoint: EdgeConfiguration.SocketEndpoint) throws {
        #expect(try AddressText.parse(text) == endpoint)
    }

    @Test(arguments: ["", ":80", "127.0.0.1", "::1:80", "[::1]", "[::1:80", "a:65536", "a:-1", "a:8o", "unix:relative", "a b:80", "a:"])
    func `what is no listen address is refused`(text: String) {
        #expect(throws: ValueProblem.self) { try AddressText.parse(text) }
    }

    @Test(arguments: [
        ("http://127.0.0.1:3000", EdgeConfiguration.SocketEndpoint.tcp(host: "127.0.0.1", port: 3000)),
        ("http://app/", .tcp(host: "app", port: 80)), ("127.0.0.1:3000", .tcp(host: "127.0.0.1", port: 3000)),
        ("http://[::1]:3000", .tcp(host: "::1", port: 3000)), ("unix:/run/app.sock", .unix(path: "/run/app.sock")),
    ])
    func `applications are read`(text: String, endpoint: EdgeConfiguration.SocketEndpoint) throws {
        #expect(try AddressText.parseApplication(text) == endpoint)
    }

    @Test(arguments: [
        ("https://a:8443", "a", 8443, true), ("https://a", "a", 443, true), ("https://a/", "a", 443, true), ("https://a:80", "a", 80, true),
        ("https://[::1]:8443", "::1", 8443, true), ("https://[::1]/", "::1", 443, true), ("http://a", "a", 80, false),
    ])
    func `members may be reached with TLS`(text: String, host: String, port: Int, isSecure: Bool) throws {
        let member = try ValueFormat<UpstreamGroup.Member>.member.parse([text])
        #expect(member.address == .endpoint(.tcp(host: host, port: port)) && member.isSecure == isSecure)
        #expect(try ValueFormat<UpstreamGroup.Member>.member.parse([ValueFormat<UpstreamGroup.Member>.member.render(member)]) == member)
    }

    @Test(arguments: ["https://", "https://a:0", "https://a/path", "https://u:p@a", "https://a:b", "https://unix:/a"])
    func `what is no member is refused`(text: String) {
        #expect(throws: ValueProblem.self) { try ValueFormat<UpstreamGroup.Member>.member.parse([text]) }
    }

    @Test(arguments: ["https://a:443", "http://a:0", "http://a/path", "http://u:p@a:80", "ftp://a", "http://", "a", "http://a:b"])
    func `what is no application is refused`(text: String) {
        #expect(throws: ValueProblem.self) { try AddressText.parseApplication(text) }
    }
}

@Suite struct SpellingTests {
    @Test(arguments: [("cahce", "cache"), ("cach", "cache"), ("Cache", "cache"), ("limit", "limits"), ("deadline", "deadlines")])
    func `a near miss is understood`(written: String, meant: String) {
        #expect(Spelling.nearest(written, in: ["cache", "limits", "deadlines", "compression"]) == meant)
    }

    @Test(arguments: ["", "x", "pooler", "zzzzzzzz"])
    func `what is far from everything is not guessed at`(written: String) {
        #expect(Spelling.nearest(written, in: ["cache", "limits", "deadlines", "compression"]) == nil)
    }
}
