import HTTP2Wire
import HTTPSemantics
import NIOCore
import TestSupport
import Testing

@testable import Edge

/// Frames against the rules of RFC 9113, by section: what h2spec asks of a server in its sections generic, http2 and hpack.
@Suite struct HTTP2ServerConnectionTests {
    typealias F = HTTP2Frames

    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    /// What became of some bytes.
    private enum Outcome: Equatable, CustomStringConvertible {
        case open
        case connection(HTTP2ErrorCode)
        case stream(UInt32, HTTP2ErrorCode)

        var description: String {
            switch self {
            case .open: "open"
            case .connection(let code): "GOAWAY \(code)"
            case .stream(let id, let code): "RST_STREAM \(id) \(code)"
            }
        }
    }

    private struct Run {
        var outcome = Outcome.open
        var heads: [UInt32] = []
        var bodies: [UInt32: Int] = [:]
        var frames: [F.Frame] = []
        var floods: [HTTP2Flood] = []
    }

    private static func run(_ bytes: [UInt8], by pieceBytes: Int = .max, isPrefaced: Bool = true, limits: EdgeConfiguration.Limits = .init()) -> Run {
        var connection = HTTP2ServerConnection(limits: limits, now: start)
        var run = Run()
        var buffer = ByteBuffer()
        let all = (isPrefaced ? F.preface + F.settings() : []) + bytes
        var position = 0
        while position < all.count {
            let end = min(all.count, pieceBytes == .max ? all.count : position + pieceBytes)
            buffer.writeBytes(all[position..<end])
            position = end
            loop: while true {
                switch connection.next(&buffer, now: start) {
                case .wait: break loop
                case .head(let stream), .refused(let stream, _): run.heads.append(stream.id)
                case .body(let stream, let part):
                    run.bodies[stream.id, default: 0] += part.readableBytes
                    connection.bodyTaken(part.readableBytes, of: stream)
                case .failed(let code, let flood):
                    run.outcome = .connection(code)
                    if let flood { run.floods.append(flood) }
                case .trailers, .reset, .windowOpened, .prioritised, .handled, .goAway: break
                }
            }
        }
        var control = Array(connection.control.readableBytesView)
        run.frames = F.take(&control)
        if run.outcome == .open, let reset = run.frames.last(where: { $0.type == 3 }) {
            run.outcome = .stream(reset.stream, HTTP2ErrorCode(rawValue: reset.number(at: 0)) ?? .noError)
        }
        return run
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let claim: String
        let bytes: [UInt8]
        /// `nil` for open; with a stream the stream's, without the connection's.
        let code: HTTP2ErrorCode?
        var stream: UInt32?
        var isPrefaced = true

        init(_ claim: String, _ bytes: [UInt8], _ code: HTTP2ErrorCode?, stream: UInt32? = nil, isPrefaced: Bool = true) {
            (self.claim, self.bytes, self.code, self.stream, self.isPrefaced) = (claim, bytes, code, stream, isPrefaced)
        }

        var testDescription: String { claim }
    }

    private static let open = F.headers(1, F.request(method: "POST"), endsStream: false)
    private static let half = F.headers(1)
    private static let good = F.request()

    // A statement each: as one literal the compiler needs minutes for it.
    static let cases: [Case] = {
        var all: [Case] = []
        func add(_ claim: String, _ bytes: [UInt8], _ code: HTTP2ErrorCode?, stream: UInt32? = nil, isPrefaced: Bool = true) {
            all.append(Case(claim, bytes, code, stream: stream, isPrefaced: isPrefaced))
        }
        // 3.4
        add("3.4 no preface", Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n....".utf8), .protocolError, isPrefaced: false)
        add("3.4 a preface without SETTINGS behind it", F.preface + F.ping(), .protocolError, isPrefaced: false)
        add("3.4 an acknowledgement for the first SETTINGS", F.preface + F.acknowledgement, .protocolError, isPrefaced: false)
        // 4.1, 4.2
        add("4.1 an unknown kind", F.frame(0x42, flags: 0xFF, stream: 3, [1, 2, 3]) + half, nil)
        add("4.1 undefined flags", F.frame(6, flags: 0xFE, stream: 0, [UInt8](repeating: 0, count: 8)), nil)
        add("4.1 the reserved bit", F.frame(6, flags: 0, stream: 0x8000_0000, [UInt8](repeating: 0, count: 8)), nil)
        add("4.2 a frame of the largest size", open + F.data(1, [UInt8](repeating: 0, count: 16_384)), nil)
        add("4.2 one byte more", open + F.data(1, [UInt8](repeating: 0, count: 16_385)), .frameSizeError)
        add("4.2 large HEADERS", F.frame(1, flags: 5, stream: 1, [UInt8](repeating: 0, count: 16_385)), .frameSizeError)
        // 4.3
        add("4.3 a block that cannot be read", F.frame(1, flags: 5, stream: 1, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]), .compressionError)
        add("4.3 PRIORITY within a block", F.headers(1, endsHeaders: false) + F.frame(2, flags: 0, stream: 1, [0, 0, 0, 0, 1]), .protocolError)
        add("4.3 HEADERS of another stream within a block", F.headers(1, endsHeaders: false) + F.headers(3), .protocolError)
        // 5.1
        add("5.1 idle: DATA", F.data(1, [1]), .protocolError)
        add("5.1 idle: RST_STREAM", F.reset(1), .protocolError)
        add("5.1 idle: WINDOW_UPDATE", F.window(1, 100), .protocolError)
        add("5.1 idle: CONTINUATION", F.frame(9, flags: 4, stream: 1, F.block(good)), .protocolError)
        add("5.1 idle: PRIORITY", F.frame(2, flags: 0, stream: 3, [0, 0, 0, 0, 1]) + half, nil)
        add("5.1 half-closed: DATA", half + F.data(1, [1], endsStream: true), .streamClosed, stream: 1)
        add("5.1 half-closed: HEADERS", half + F.headers(1), .streamClosed, stream: 1)
        add("5.1 half-closed: CONTINUATION", half + F.frame(9, flags: 4, stream: 1, F.block(good)), .protocolError)
        add("5.1 half-closed: WINDOW_UPDATE, PRIORITY", half + F.window(1, 1) + F.frame(2, flags: 0, stream: 1, [0, 0, 0, 0, 1]), nil)
        add("5.1 closed: DATA behind RST_STREAM", open + F.reset(1) + F.data(1, [1]), .streamClosed)
        add("5.1 closed: HEADERS behind RST_STREAM", open + F.reset(1) + F.headers(1), .streamClosed)
        add("5.1 closed: CONTINUATION behind RST_STREAM", open + F.reset(1) + F.frame(9, flags: 4, stream: 1, F.block(good)), .protocolError)
        add("5.1 closed: PRIORITY, WINDOW_UPDATE, RST_STREAM", open + F.reset(1) + F.frame(2, flags: 0, stream: 1, [0, 0, 0, 0, 1]) + F.window(1, 1) + F.reset(1), nil)
        add("5.1.1 an even stream", F.headers(2), .protocolError)
        add("5.1.1 a stream before the last", F.headers(5) + F.headers(3), .protocolError)
        add("5.1.2 one stream too many", F.streams(129) { id in F.headers(id) }, .refusedStream, stream: 257)
        add("5.3.1 HEADERS that depend on themselves", F.frame(1, flags: 0x25, stream: 1, F.number(1) + [9] + F.block(good)), .protocolError, stream: 1)
        add("5.3.1 PRIORITY that depends on itself", open + F.frame(2, flags: 0, stream: 1, F.number(1) + [9]), .protocolError, stream: 1)
        add("5.5 an unknown kind within a block", F.headers(1, endsHeaders: false) + F.frame(0x42, flags: 0, stream: 1, [1]), .protocolError)
        // 6.1
        add("6.1 DATA of no stream", F.data(0, [1]), .protocolError)
        add("6.1 padding over the frame", open + F.frame(0, flags: 9, stream: 1, [6, 1, 2, 3, 4, 5]), .protocolError)
        add("6.1 padding that fills the frame", open + F.frame(0, flags: 9, stream: 1, [5, 1, 2, 3, 4, 5]), nil)
        // 6.2
        add("6.2 HEADERS of no stream", F.headers(0), .protocolError)
        add("6.2 HEADERS with padding over the frame", F.frame(1, flags: 0x0D, stream: 1, [200] + F.block(good)), .protocolError)
        add("6.2 HEADERS too short for a priority", F.frame(1, flags: 0x25, stream: 1, [0, 0]), .frameSizeError)
        add("6.2 HEADERS with priority and padding", F.frame(1, flags: 0x2D, stream: 1, [3] + F.number(0) + [9] + F.block(good) + [0, 0, 0]), nil)
        // 6.3
        add("6.3 PRIORITY of no stream", F.frame(2, [0, 0, 0, 0, 1]), .protocolError)
        add("6.3 PRIORITY of another size", open + F.frame(2, flags: 0, stream: 1, [0, 0, 0, 0]), .frameSizeError, stream: 1)
        // 6.4
        add("6.4 RST_STREAM of no stream", F.reset(0), .protocolError)
        add("6.4 RST_STREAM of another size", open + F.frame(3, flags: 0, stream: 1, [0, 0, 0]), .frameSizeError)
        // 6.5
        add("6.5 SETTINGS on a stream", F.frame(4, flags: 0, stream: 1, []), .protocolError)
        add("6.5 SETTINGS of another size", F.frame(4, [0, 3, 0, 0, 0]), .frameSizeError)
        add("6.5 an acknowledgement with settings", F.frame(4, flags: 1, stream: 0, [0]), .frameSizeError)
        add("6.5.2 ENABLE_PUSH of 2", F.settings([(2, 2)]), .protocolError)
        add("6.5.2 INITIAL_WINDOW_SIZE over its limit", F.settings([(4, 0x8000_0000)]), .flowControlError)
        add("6.5.2 MAX_FRAME_SIZE under its limit", F.settings([(5, 16_383)]), .protocolError)
        add("6.5.2 MAX_FRAME_SIZE over its limit", F.settings([(5, 16_777_216)]), .protocolError)
        add("6.5.2 an unknown setting", F.settings([(0xFF, 1)]), nil)
        // 6.6 to 6.8
        add("6.6 PUSH_PROMISE of a client", F.frame(5, flags: 4, stream: 1, F.number(2) + F.block(good)), .protocolError)
        add("6.7 PING on a stream", F.frame(6, flags: 0, stream: 1, [UInt8](repeating: 0, count: 8)), .protocolError)
        add("6.7 PING of another size", F.frame(6, [0, 0, 0, 0, 0, 0]), .frameSizeError)
        add("6.8 GOAWAY on a stream", F.frame(7, flags: 0, stream: 1, F.number(0) + F.number(0)), .protocolError)
        add("6.8 GOAWAY of another size", F.frame(7, [0]), .frameSizeError)
        // 6.9
        add("6.9 WINDOW_UPDATE of another size", F.frame(8, [0, 0, 1]), .frameSizeError)
        add("6.9 WINDOW_UPDATE by nothing", F.window(0, 0), .protocolError)
        add("6.9 WINDOW_UPDATE of a stream by nothing", open + F.window(1, 0), .protocolError, stream: 1)
        add("6.9.1 a window over its limit", F.window(0, 0x7FFF_FFFF) + F.window(0, 0x7FFF_FFFF), .flowControlError)
        add("6.9.1 a stream's window over its limit", open + F.window(1, 0x7FFF_FFFF), .flowControlError, stream: 1)
        add("6.9.2 a window over its limit by SETTINGS", open + F.window(1, 0x7FFE_FFFF) + F.settings([(4, 0x7FFF_FFFF)]), .flowControlError)
        // 6.10
        add("6.10 CONTINUATIONs make a block",
            F.frame(1, flags: 1, stream: 1, Array(F.block(good).prefix(5))) + F.frame(9, flags: 0, stream: 1, Array(F.block(good).dropFirst(5).prefix(5)))
                + F.frame(9, flags: 4, stream: 1, Array(F.block(good).dropFirst(10))), nil)
        add("6.10 CONTINUATION behind the end of a block", half + F.frame(9, flags: 4, stream: 1, F.block(good)), .protocolError)
        add("6.10 CONTINUATION of no stream", F.headers(1, endsHeaders: false) + F.frame(9, flags: 4, stream: 0, []), .protocolError)
        add("6.10 CONTINUATION behind DATA", open + F.data(1, [1]) + F.frame(9, flags: 4, stream: 1, F.block(good)), .protocolError)
        // 8.1
        add("8.1 trailers", open + F.headers(1, [("x-sum", "1")]), nil)
        add("8.1 a second head without an end", open + F.headers(1, [("x-sum", "1")], endsStream: false), .protocolError, stream: 1)
        add("8.1 a pseudo-field in trailers", open + F.headers(1, [(":method", "POST")]), .protocolError, stream: 1)
        add("8.1.1 a length that the body has not", F.headers(1, good + [("content-length", "2")], endsStream: false) + F.data(1, [1], endsStream: true), .protocolError, stream: 1)
        add("8.1.1 a body over its length", F.headers(1, good + [("content-length", "1")], endsStream: false) + F.data(1, [1, 2]), .protocolError, stream: 1)
        add("8.1.1 trailers before the body is whole", F.headers(1, good + [("content-length", "1")], endsStream: false) + F.headers(1, [("a", "b")]), .protocolError, stream: 1)
        add("8.2.1 a name with capitals", F.headers(1, good + [("X-A", "b")]), .protocolError, stream: 1)
        add("8.2.2 Connection", F.headers(1, good + [("connection", "close")]), .protocolError, stream: 1)
        add("8.2.2 TE", F.headers(1, good + [("te", "trailers, deflate")]), .protocolError, stream: 1)
        add("8.3 an unknown pseudo-field", F.headers(1, good + [(":test", "ok")]), .protocolError, stream: 1)
        add("8.3.1 no path", F.headers(1, good.filter { $0.0 != ":path" }), .protocolError, stream: 1)
        add("8.3.1 two methods", F.headers(1, good + [(":method", "GET")]), .protocolError, stream: 1)
        // 9218
        add("RFC 9218 7.1 PRIORITY_UPDATE", open + F.frame(0x10, F.number(1) + Array("u=1".utf8)), nil)
        add("RFC 9218 7.1 PRIORITY_UPDATE on a stream", open + F.frame(0x10, flags: 0, stream: 1, F.number(1)), .protocolError)
        add("RFC 9218 7.1 PRIORITY_UPDATE of no stream", F.frame(0x10, F.number(0)), .protocolError)
        // 7541
        add("RFC 7541 2.3.3 an index over both tables", F.frame(1, flags: 5, stream: 1, [0xC6]), .compressionError)
        add("RFC 7541 4.2 a table size behind a field", F.frame(1, flags: 5, stream: 1, F.block(good) + [0x20]), .compressionError)
        add("RFC 7541 6.3 a table over what was announced", F.frame(1, flags: 5, stream: 1, [0x3F, 0xE2, 0x1F] + F.block(good)), .compressionError)
        add("RFC 7541 5.2 padding of eight bits", F.frame(1, flags: 5, stream: 1, F.block(good) + [0x40, 0x01, 0x61, 0x82, 0x1F, 0xFF]), .compressionError)
        return all
    }()

    @Test(arguments: cases) func `each rule has its answer`(rule: Case) {
        let expected: Outcome = rule.code.map { code in rule.stream.map { .stream($0, code) } ?? .connection(code) } ?? .open
        #expect(Self.run(rule.bytes, isPrefaced: rule.isPrefaced).outcome == expected)
        // The same, a byte at a time.
        if rule.bytes.count < 1000 { #expect(Self.run(rule.bytes, by: 1, isPrefaced: rule.isPrefaced).outcome == expected) }
    }

    @Test func `what was on its way when we reset a stream is passed by`() {
        let bytes = F.headers(1, Self.good + [("content-length", "1")], endsStream: false) + F.data(1, [1, 2]) + F.data(1, [3]) + F.headers(1, [("a", "b")])
        let run = Self.run(bytes + F.headers(3))
        #expect(run.outcome == .stream(1, .protocolError) && run.heads == [1, 3])
    }

    @Test func `a ping comes back with what was in it, and settings are acknowledged`() {
        let run = Self.run(F.ping() + F.settings([(4, 100)]))
        #expect(run.frames.contains { $0.type == 6 && $0.flags == 1 && $0.payload == [UInt8](repeating: 7, count: 8) })
        #expect(run.frames.filter { $0.type == 4 && $0.flags == 1 }.count == 2)
    }

    @Test func `windows open as the body is taken, and not before a quarter of one is`() {
        let part = [UInt8](repeating: 0, count: 16_384)
        let body = Self.run(Self.open + F.times(40, F.data(1, part)))
        #expect(body.outcome == .open && body.bodies[1] == 40 * 16_384)
        let updates = body.frames.filter { $0.type == 8 && $0.stream == 1 }
        #expect(updates.map { $0.number(at: 0) } == [UInt32](repeating: 65_536, count: 10))
    }

    @Test func `a client that sends over a window is refused`() {
        var connection = HTTP2ServerConnection(limits: .init(), now: Self.start)
        let part = [UInt8](repeating: 0, count: 16_384)
        var buffer = ByteBuffer(bytes: F.preface + F.settings() + Self.open + F.times(17, F.data(1, part)))
        var hasReset = false
        loop: while true {
            switch connection.next(&buffer, now: Self.start) {
            case .wait: break loop
            case .reset: hasReset = true
            // Nobody takes it.
            case .body(let stream, let part): stream.hold(part)
            default: break
            }
        }
        #expect(hasReset, "256 KiB are the window of a stream")
    }

    // MARK: Floods

    private static func flood(_ bytes: [UInt8], count: Int) -> Run {
        run(half + open.replacing3() + F.times(count, bytes))
    }

    @Test(arguments: [
        (HTTP2Flood.settings, F.settings()), (.pings, F.ping()), (.priorities, F.frame(2, flags: 0, stream: 3, [0, 0, 0, 0, 1])),
        (.priorities, F.frame(0x10, F.number(3) + Array("u=1".utf8))), (.windowUpdates, F.window(0, 1)), (.windowUpdates, F.window(3, 1)),
        (.tinyData, F.data(3, [])), (.tinyData, F.data(3, [1])), (.unknownFrames, F.frame(0x42, [])),
    ]) func `a flood is calmed behind its allowance, and not before`(flood: HTTP2Flood, bytes: [UInt8]) {
        let burst = Int(flood.allowance.burst) - (flood == .settings ? 1 : 0)
        let within = Self.flood(bytes, count: burst)
        #expect(within.outcome == .open)
        let beyond = Self.flood(bytes, count: burst + 1)
        #expect(beyond.outcome == .connection(.enhanceYourCalm) && beyond.floods == [flood])
    }

    @Test func `a rapid reset is calmed, CVE-2023-44487`() {
        let burst = Int(HTTP2Flood.resets.allowance.burst)
        func bytes(_ count: Int) -> [UInt8] { F.streams(count) { id in F.headers(id) + F.reset(id) } }
        #expect(Self.run(bytes(burst)).outcome == .open)
        let beyond = Self.run(bytes(burst + 1))
        #expect(beyond.outcome == .connection(.enhanceYourCalm) && beyond.floods == [.resets])
    }

    @Test func `so is a client that makes us reset its streams, CVE-2025-8671`() {
        let burst = Int(HTTP2Flood.resets.allowance.burst)
        let bytes = F.streams(burst + 1) { id in F.headers(id, endsStream: false) + F.headers(id, [("a", "b")], endsStream: false) }
        let run = Self.run(bytes)
        #expect(run.outcome == .connection(.enhanceYourCalm) && run.floods == [.resets])
    }

    @Test func `a block in too many frames is calmed, CVE-2024-27316, and so is one that is too long`() {
        let begin = F.frame(1, flags: 1, stream: 1, [])
        let many = Self.run(begin + F.times(9, F.frame(9, flags: 0, stream: 1, [])))
        #expect(many.outcome == .connection(.enhanceYourCalm) && many.floods == [.continuations])
        let long = Self.run(begin + F.times(3, F.frame(9, flags: 0, stream: 1, [UInt8](repeating: 0, count: 16_384))))
        #expect(long.outcome == .connection(.enhanceYourCalm) && long.floods == [.continuations])
    }

    @Test func `a bomb of references is counted and not kept`() throws {
        // One field of 3,900 bytes in the table, and it again and again: 16 KB that mean 60 MB.
        let large: [UInt8] = [0x40, 1, UInt8(ascii: "a"), 0x7F, 0xBD, 0x1D] + [UInt8](repeating: UInt8(ascii: "b"), count: 3900)
        var connection = HTTP2ServerConnection(limits: .init(), now: Self.start)
        let first = F.frame(1, flags: 5, stream: 1, F.block(Self.good) + large)
        let bomb = F.frame(1, flags: 5, stream: 3, F.block(Self.good) + [UInt8](repeating: 0xBE, count: 16_000))
        var buffer = ByteBuffer(bytes: F.preface + F.settings() + first + bomb)
        var statuses: [Int] = []
        loop: while true {
            switch connection.next(&buffer, now: Self.start) {
            case .wait: break loop
            case .refused(_, let status): statuses.append(status)
            case .failed: Issue.record("failed")
            default: break
            }
        }
        #expect(statuses == [431])
        #expect(connection.head.fields.bytes.count < 64 << 10)
    }

    @Test func `an allowance comes back with time`() {
        var flood = HTTP2FloodGuard(now: Self.start)
        var count = 0
        while flood.allows(.pings, now: Self.start) { count += 1 }
        #expect(count == 64)
        let (soon, later) = (flood.allows(.pings, now: Self.start + .milliseconds(50)), flood.allows(.pings, now: Self.start + .seconds(1)))
        #expect(!soon && later)
        while flood.allows(.pings, now: Self.start + .seconds(1)) {}
        count = 0
        while flood.allows(.pings, now: Self.start + .hours(1)) { count += 1 }
        #expect(count == 64)
    }
}

extension [UInt8] {
    /// HEADERS of the first stream as those of the third.
    fileprivate func replacing3() -> [UInt8] {
        var bytes = self
        bytes[8] = 3
        return bytes
    }
}
