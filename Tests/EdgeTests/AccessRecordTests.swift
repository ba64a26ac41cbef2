import Foundation
import HTTPSemantics
import NIOCore
import Testing

@testable import Edge

@Suite struct AccessRecordTests {
    private func line(
        _ target: String, _ options: AccessRecordOptions = AccessRecordOptions(), fields: [(String, String)] = [],
        _ change: (inout Exchange) -> Void = { _ in }
    ) -> String {
        var head = RequestHead()
        let text = Array("GET \(target) a.example".utf8)
        head.fields.replaceBytes(text.span)
        head.methodRange = 0..<3
        head.target = 4..<4 + target.utf8.count
        head.authority = text.count - 9..<text.count
        for (name, value) in fields { head.fields.append(name, value) }
        var exchange = Exchange(
            started: .uptimeNanoseconds(1_000_000), trace: TraceParent(traceID: (1, 0xAB), parentID: 2, flags: 0))
        exchange.status = 200
        exchange.bodyBytes = 8273
        change(&exchange)
        var second = WallClockSecond()
        second.assign(1_769_860_800)
        var line = ByteBuffer()
        AccessRecord(options).append(
            exchange, head, client: Array("127.0.0.1".utf8), ended: .uptimeNanoseconds(1_042_000), second: second,
            milliseconds: 7, to: &line)
        return String(buffer: line)
    }

    @Test func `is one JSON object with the exchange's facts`() throws {
        let text = line("/scans/7") { $0.cacheResult = .hit }
        let object = try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        #expect(object["time"] as? String == "2026-01-31T12:00:00.007Z")
        #expect(object["client"] as? String == "127.0.0.1")
        #expect(object["method"] as? String == "GET")
        #expect(object["host"] as? String == "a.example")
        #expect(object["target"] as? String == "/scans/7")
        #expect(object["status"] as? Int == 200)
        #expect(object["bytes"] as? Int == 8273)
        #expect(object["ms"] as? Double == 0.042)
        #expect(object["cache"] as? String == "hit")
        #expect(object["coding"] as? String == "identity")
        #expect(object["trace"] as? String == "000000000000000100000000000000ab")
        #expect(object["error"] == nil && object["upstream_ms"] == nil && object["detail"] == nil)
        #expect(text.hasSuffix("}\n"))
    }

    @Test func `stays valid JSON whatever the target holds`() throws {
        let text = line("/a\"b\\c\u{7F}é<script>")
        let object = try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        #expect((object["target"] as? String)?.hasPrefix("/a\"b\\c\u{7F}") == true)
    }

    @Test func `names the route, if there is one`() {
        #expect(line("/x") { $0.route = "edge.routes[1]" }.contains("\"target\":\"/x\",\"route\":\"edge.routes[1]\",\"status\":200"))
        #expect(!line("/x").contains("route"))
    }

    @Test func `names who has logged in, if anybody has, and stays one line whatever the name holds`() throws {
        let text = line("/x") { $0.user = "ü \"x\"\n" }
        let object = try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        #expect(object["user"] as? String == "ü \"x\"\n" && text.split(separator: "\n").count == 1)
        #expect(!line("/x").contains("user"))
        var options = AccessRecordOptions()
        options.format = .combined
        #expect(line("/x", options) { $0.user = "ann\"\n" }.hasPrefix("127.0.0.1 - ann\\x22\\x0a [31/Jan/2026:12:00:00 +0000] \"GET /x "))
    }

    @Test func `names the failure and the time upstream`() throws {
        let text = line("/") {
            $0.failure = .firstByteTimeout
            $0.upstreamNanoseconds = 12_034_000
        }
        let object = try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        #expect(object["error"] as? String == "first-byte-timeout")
        #expect(object["upstream_ms"] as? Double == 12.034)
    }

    @Test(arguments: AccessRecordOptions.Field.allCases)
    func `each field can be chosen, and stands there alone besides the time`(field: AccessRecordOptions.Field) throws {
        var options = AccessRecordOptions()
        options.fields = [field]
        let text = line("/", options, fields: [("Referer", "r\"1"), ("User-Agent", "u\u{1}")]) {
            $0.failure = .truncated
            $0.reason = .notStored(.noStore)
            $0.route = "shop"
            $0.user = "ann"
            $0.upstreamNanoseconds = 1
            $0.headNanoseconds = 1
            for (place, stage) in [StageTimes.Stage.queue, .connect, .firstByte, .write].enumerated() {
                $0.stages.entered(stage, now: .uptimeNanoseconds(1_010_000 + 5_000 * UInt64(place)))
            }
            $0.stages.compressed(nanoseconds: 1_000)
        }
        let object = try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        #expect(Set(object.keys) == ["time", field.rawValue])
    }

    @Test func `the stages are what the whole time is made of`() throws {
        var options = AccessRecordOptions()
        options.fields = [.ms, .lookupMilliseconds, .queueMilliseconds, .connectMilliseconds, .firstByteMilliseconds, .compressMilliseconds, .writeMilliseconds]
        let text = line("/", options) {
            $0.stages.entered(.queue, now: .uptimeNanoseconds(1_010_000))
            $0.stages.entered(.firstByte, now: .uptimeNanoseconds(1_010_000))
            $0.stages.entered(.write, now: .uptimeNanoseconds(1_030_000))
        }
        #expect(text.hasSuffix(",\"ms\":0.042,\"lookup_ms\":0.010,\"first_byte_ms\":0.020,\"write_ms\":0.012}\n"), "\(text)")
    }

    @Test func `a line of the combined format is what Apache writes`() {
        var options = AccessRecordOptions()
        options.format = .combined
        #expect(
            line("/a\"b\n", options, fields: [("Referer", "http://a/"), ("User-Agent", "x\\é")])
                == "127.0.0.1 - - [31/Jan/2026:12:00:00 +0000] \"GET /a\\x22b\\x0a HTTP/1.1\" 200 8273 \"http://a/\" \"x\\x5c\\xc3\\xa9\"\n")
        #expect(line("/", options).hasSuffix(" 200 8273 \"-\" \"-\"\n"))
    }

    @Test(arguments: [AccessRecordOptions.Format.json, .combined], [512, 513, 8000])
    func `what a client says of itself is cut to 512 bytes`(format: AccessRecordOptions.Format, count: Int) {
        var options = AccessRecordOptions()
        options.format = format
        options.fields = [.userAgent]
        let text = line("/", options, fields: [("User-Agent", String(repeating: "\u{1}", count: count))])
        #expect(text.components(separatedBy: format == .json ? "\\u0001" : "\\x01").count - 1 == min(count, 512))
    }

    @Test(arguments: [(0.0, 0), (0.25, 1), (0.5, 2), (1.0, 4)])
    func `traces are sampled by their number, and errors always have a line`(share: Double, expected: Int) {
        var options = AccessRecordOptions()
        options.sampledShare = share
        let record = AccessRecord(options)
        func isSampled(_ part: UInt64, _ change: (inout Exchange) -> Void = { _ in }) -> Bool {
            var exchange = Exchange(started: .uptimeNanoseconds(0), trace: TraceParent(traceID: (1, part), parentID: 1, flags: 0))
            exchange.status = 200
            change(&exchange)
            return record.isSampled(exchange)
        }
        #expect([0x1, 0x4000_0000_0000_0001, 0x8000_0000_0000_0001, .max].count { isSampled($0) } == expected)
        #expect(isSampled(.max) { $0.status = 500 } && isSampled(.max) { $0.failure = .truncated })
    }

    @Test(arguments: [
        (0, "1970-01-01T00:00:00"), (951_782_399, "2000-02-28T23:59:59"), (951_782_400, "2000-02-29T00:00:00"),
        (4_102_444_799, "2099-12-31T23:59:59"), (-1, "1969-12-31T23:59:59"),
    ])
    func `a second is rendered in the Gregorian calendar`(unixSeconds: Int, text: String) {
        var second = WallClockSecond()
        second.assign(Int64(unixSeconds))
        #expect(String(decoding: second.iso8601, as: UTF8.self) == text)
    }
}

@Suite struct ByteBufferTextTests {
    @Test(arguments: [0, 7, 10, 99, 100, 12_345, Int.max, -1, Int.min])
    func `decimal numbers are what String makes of them`(value: Int) {
        var buffer = ByteBuffer()
        buffer.writeDecimal(value)
        #expect(String(buffer: buffer) == String(value))
    }

    @Test(arguments: [(Int64(0), "0.000"), (1_999, "0.001"), (12_034_567, "12.034"), (-5, "0.000")])
    func `milliseconds have three decimals`(nanoseconds: Int64, text: String) {
        var buffer = ByteBuffer()
        buffer.writeText(bytesMax: 24) { $0.milliseconds(nanoseconds) }
        #expect(String(buffer: buffer) == text)
    }
}
