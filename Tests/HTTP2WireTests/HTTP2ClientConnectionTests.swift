import HTTPSemantics
import NIOCore
import TestSupport
import Testing

@testable import HTTP2Wire

/// What an origin may send, against the rules of RFC 9113, and what a client does of its own.
@Suite struct HTTP2ClientConnectionTests {
    typealias F = HTTP2Frames

    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private struct Run {
        var connection: HTTP2ClientConnection
        var streams: [HTTP2ClientStream] = []
        var events: [String] = []
        var bodies: [UInt32: Int] = [:]
        var output = ByteBuffer()

        init(_ settings: [(UInt16, UInt32)] = [], streamsMax: Int = 10, gets: Int = 1, posts: Int = 0) {
            connection = HTTP2ClientConnection(streamsMax: streamsMax, now: start)
            feed(F.settings(settings))
            for number in 0..<gets + posts { open(number < gets ? .get : .post) }
        }

        @discardableResult
        mutating func open(_ method: HTTPSemantics.Method) -> HTTP2ClientStream? {
            guard let stream = connection.open(method) else { return nil }
            connection.writeHead(ByteBuffer(string: "\(method.spelling) / HTTP/1.1\r\nHost: a\r\n\r\n"), isSecure: false, of: stream, endsStream: method == .get, into: &output)
            streams.append(stream)
            return stream
        }

        mutating func feed(_ bytes: [UInt8], by pieceBytes: Int = .max) {
            var buffer = ByteBuffer()
            var position = 0
            while position < bytes.count {
                let end = pieceBytes == .max ? bytes.count : min(bytes.count, position + pieceBytes)
                buffer.writeBytes(bytes[position..<end])
                position = end
                reading: while true {
                    let input = connection.next(&buffer, now: start)
                    switch input {
                    case .wait: break reading
                    case .handled, .windowOpened, .limitChanged: break
                    case .established: events.append("established")
                    case .interim: events.append("interim \(connection.head.status)")
                    case .head(let stream): events.append("head \(stream.id) \(connection.head.status)\(stream.isResponseEnded ? " end" : "")")
                    case .body(let stream, let part):
                        bodies[stream.id, default: 0] += part.readableBytes
                        connection.bodyTaken(part.readableBytes, of: stream)
                        if stream.isResponseEnded { events.append("end \(stream.id)") }
                    case .trailers(let stream): events.append("trailers \(stream.id)")
                    case .ended(let stream, let end): events.append("ended \(stream.id) \(end)")
                    case .leaving(let unprocessed): events.append("leaving \(unprocessed.map(\.id))")
                    case .failed(let code, let flood): events.append("failed \(code.word)\(flood.map { " \($0.rawValue)" } ?? "")")
                    }
                    connection.checkInvariants()
                }
            }
        }

        /// Frames that were said of the connection since the last time.
        mutating func said() -> [F.Frame] {
            var bytes = Array(connection.control.readableBytesView)
            connection.control.clear()
            if bytes.starts(with: F.preface) { bytes.removeFirst(F.preface.count) }
            return F.take(&bytes)
        }

        /// Bytes of bodies that may go out, by stream.
        mutating func sent() -> [UInt32: Int] {
            output.clear()
            connection.writeBodies(into: &output, bytesMax: 1 << 20)
            var bytes = Array(output.readableBytesView)
            var counts: [UInt32: Int] = [:]
            for frame in F.take(&bytes) where frame.type == 0 { counts[frame.stream, default: 0] += frame.payload.count }
            return counts
        }
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let claim: String
        let bytes: [UInt8]
        let events: [String]

        init(_ claim: String, _ bytes: [UInt8], _ events: [String]) { (self.claim, self.bytes, self.events) = (claim, bytes, events) }

        var testDescription: String { claim }
    }

    private static let cases: [Case] = responses + streams + connections + floods

    private static let responses: [Case] = [
        .init("a response without a body", F.response(1, endsStream: true), ["head 1 200 end"]),
        .init("a response with one", F.answer(1, "hello"), ["head 1 200", "end 1"]),
        .init("an interim response before it", F.response(1, status: 103) + F.answer(1, "hello"), ["interim 103", "head 1 200", "end 1"]),
        .init("trailers behind it", F.response(1) + F.data(1, [1]) + F.headers(1, [("x-sum", "7")]), ["head 1 200", "trailers 1"]),
        .init("trailers that do not end it, §8.1", F.response(1) + F.headers(1, [("x-sum", "7")], endsStream: false), ["head 1 200", "ended 1 malformed"]),
        .init("a pseudo-field in trailers, §8.1", F.response(1) + F.headers(1, [(":status", "200")]), ["head 1 200", "ended 1 malformed"]),
        .init("a body before its head, §8.1", F.data(1, [1]), ["ended 1 malformed"]),
        .init("capitals in a name, §8.2.1", F.response(1, [("Server", "a")]), ["ended 1 malformed"]),
        .init("a field of HTTP/1, §8.2.2", F.response(1, [("connection", "close")]), ["ended 1 malformed"]),
        .init("101, §8.6", F.response(1, status: 101), ["ended 1 malformed"]),
        .init("an interim response that ends, §8.1", F.response(1, status: 103, endsStream: true), ["ended 1 malformed"]),
        .init("more body than it said, §8.1.1", F.response(1, [("content-length", "1")]) + F.data(1, [1, 2]), ["head 1 200", "ended 1 malformed"]),
        .init("less body than it said, §8.1.1", F.response(1, [("content-length", "3")]) + F.data(1, [1, 2], endsStream: true), ["head 1 200", "ended 1 malformed"]),
        .init("less body, and trailers, §8.1.1", F.response(1, [("content-length", "3")]) + F.headers(1, [("a", "b")]), ["head 1 200", "ended 1 malformed"]),
        .init("a body of a 304", F.response(1, status: 304) + F.data(1, [1]), ["head 1 304", "ended 1 malformed"]),
        .init("seventeen interim responses", F.times(17, F.response(1, status: 103)), Array(repeating: "interim 103", count: 16) + ["ended 1 malformed"]),
    ]

    private static let streams: [Case] = [
        .init("REFUSED_STREAM, §8.7", F.reset(1, 7), ["ended 1 refused"]),
        .init("REFUSED_STREAM behind a head is too late", F.response(1) + F.reset(1, 7), ["head 1 200", "ended 1 reset(7)"]),
        .init("HTTP_1_1_REQUIRED", F.reset(1, 13), ["ended 1 http1Required"]),
        .init("CANCEL", F.reset(1), ["ended 1 reset(8)"]),
        .init("RST_STREAM of no request, §6.4", F.reset(3), ["failed protocol-error"]),
        .init("RST_STREAM that is too short, §6.4", F.frame(3, stream: 1, [0]), ["failed frame-size-error"]),
        .init("HEADERS on no request, §5.1", F.response(3), ["failed protocol-error"]),
        .init("HEADERS on a stream of its own", F.response(2), ["failed protocol-error"]),
        .init("DATA on no request, §5.1", F.data(5, [1]), ["failed protocol-error"]),
        .init("DATA on a stream that it has reset is passed by", F.reset(1) + F.data(1, [1]), ["ended 1 reset(8)"]),
        .init("a window of nothing, §6.9", F.window(1, 0), ["ended 1 malformed"]),
        .init("a window over 2³¹-1, §6.9.1", F.window(1, 0x7FFF_FFFF), ["ended 1 malformed"]),
        .init("a window of no request", F.window(3, 1), ["failed protocol-error"]),
    ]

    private static let connections: [Case] = [
        .init("GOAWAY leaves what is under way", F.goAway(last: 1) + F.answer(1, "x"), ["leaving []", "head 1 200", "end 1"]),
        .init("GOAWAY that has not looked at it, §6.8", F.goAway(last: 0), ["leaving [1]"]),
        .init("GOAWAY on a stream", F.frame(7, stream: 1, F.number(0) + F.number(0)), ["failed protocol-error"]),
        .init("GOAWAY that is too short", F.frame(7, F.number(0)), ["failed frame-size-error"]),
        .init("PUSH_PROMISE, §6.6", F.frame(5, flags: 4, stream: 1, F.number(2) + F.block([(":status", "200")])), ["failed protocol-error"]),
        .init("ENABLE_PUSH of a server, §6.5.2", F.settings([(2, 1)]), ["failed protocol-error"]),
        .init("INITIAL_WINDOW_SIZE over 2³¹-1, §6.5.2", F.settings([(4, 0x8000_0000)]), ["failed flow-control-error"]),
        .init("MAX_FRAME_SIZE under 16,384, §6.5.2", F.settings([(5, 16_383)]), ["failed protocol-error"]),
        .init("SETTINGS of an odd length, §6.5", F.frame(4, [0, 0, 0]), ["failed frame-size-error"]),
        .init("SETTINGS on a stream, §6.5", F.frame(4, stream: 1), ["failed protocol-error"]),
        .init("an acknowledgement with settings, §6.5", F.frame(4, flags: 1, [0, 0, 0, 0, 0, 0]), ["failed frame-size-error"]),
        .init("a frame over 16,384 bytes, §4.2", F.frame(0, stream: 1, [UInt8](repeating: 0, count: 16_385)), ["failed frame-size-error"]),
        .init("padding over the frame, §6.1", F.frame(0, flags: 8, stream: 1, [9, 1]), ["failed protocol-error"]),
        .init("CONTINUATION of nothing, §6.10", F.frame(9, flags: 4, stream: 1), ["failed protocol-error"]),
        .init("a block torn apart, §6.10", F.headers(1, [(":status", "200")], endsHeaders: false) + F.ping(), ["failed protocol-error"]),
        .init("a block that cannot be read, §4.3", F.frame(1, flags: 4, stream: 1, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]), ["failed compression-error"]),
        .init("a window of nothing, §6.9", F.window(0, 0), ["failed protocol-error"]),
        .init("a window over 2³¹-1, §6.9.1", F.window(0, 0x7FFF_FFFF), ["failed flow-control-error"]),
        .init("a frame of a kind that nobody knows, §4.1", F.frame(0x77) + F.answer(1, "x"), ["head 1 200", "end 1"]),
        .init("PING of another length, §6.7", F.frame(6, [1]), ["failed frame-size-error"]),
        .init("PRIORITY is passed by, §5.3.2", F.frame(2, stream: 1, [0, 0, 0, 3, 1]) + F.answer(1, "x"), ["head 1 200", "end 1"]),
        .init("an answer of HTTP/1", Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8), ["failed frame-size-error"]),
    ]

    private static let floods: [Case] = [
        .init("PING", F.times(65, F.ping()), ["failed enhance-your-calm pings"]),
        .init("SETTINGS", F.times(33, F.settings()), ["failed enhance-your-calm settings"]),
        .init("CONTINUATION", F.headers(1, [(":status", "200")], endsHeaders: false) + F.times(9, F.frame(9, stream: 1)), ["failed enhance-your-calm continuations"]),
        .init("a head over the limit", F.headers(1, [(":status", "200"), ("a", String(repeating: "b", count: 16_000))], endsHeaders: false)
            + F.times(2, F.frame(9, stream: 1, [UInt8](repeating: 0, count: 10_000))), ["failed enhance-your-calm continuations"]),
        .init("bodies of nothing", F.response(1) + F.times(5001, F.data(1, [])), ["head 1 200", "failed enhance-your-calm tiny-data"]),
        .init("RST_STREAM of what is over", F.reset(1) + F.times(1001, F.reset(1)), ["ended 1 reset(8)", "failed enhance-your-calm resets"]),
        .init("WINDOW_UPDATE", F.times(1001, F.window(0, 1)), ["failed enhance-your-calm window-updates"]),
        .init("frames of a kind that nobody knows", F.times(201, F.frame(0x77)), ["failed enhance-your-calm unknown-frames"]),
    ]

    @Test(arguments: cases) func `what an origin sends`(one: Case) {
        for pieceBytes in [Int.max, 1] where pieceBytes == .max || one.bytes.count < 20_000 {
            var run = Run()
            run.feed(one.bytes, by: pieceBytes)
            #expect(Array(run.events.dropFirst()) == one.events)
            let failed = one.events.last.flatMap { $0.hasPrefix("failed ") ? $0.split(separator: " ")[1] : nil }
            let said = run.said()
            #expect(said.last { $0.type == 7 }.map { HTTP2ErrorCode(rawValue: $0.number(at: 4))?.word ?? "" } == failed.map(String.init), "the reason is said")
            if one.events.last == "ended 1 malformed" { #expect(said.contains { $0.type == 3 && $0.stream == 1 }) }
        }
    }

    @Test func `SETTINGS come first, and no request before them`() {
        var connection = HTTP2ClientConnection(streamsMax: 10, now: Self.start)
        #expect(connection.open(.get) == nil && connection.roomCount == 0)
        var buffer = ByteBuffer(bytes: F.ping())
        guard case .failed(.protocolError, nil) = connection.next(&buffer, now: Self.start) else { return #expect(Bool(false)) }
        #expect(connection.isFailed)
        var acknowledgement = Run(gets: 0)
        acknowledgement.connection = HTTP2ClientConnection(streamsMax: 10, now: Self.start)
        acknowledgement.feed(F.acknowledgement)
        #expect(acknowledgement.events.last == "failed protocol-error")
    }

    @Test func `as many requests as both sides allow, and as the origin says anew`() {
        var run = Run([(3, 2)], streamsMax: 3, gets: 5)
        #expect(run.streams.map(\.id) == [1, 3])
        run.feed(F.settings([(3, 100)]))
        #expect(run.connection.roomCount == 1 && run.open(.get)?.id == 5 && run.open(.get) == nil)
        run.connection.finish(run.streams[0])
        #expect(run.open(.get)?.id == 7)
        run.feed(F.settings([(3, 0)]))
        #expect(run.connection.roomCount == 0)
        run.feed(F.goAway(last: 7))
        #expect(run.open(.get) == nil && run.connection.isLeaving)
    }

    @Test func `a body goes out as far as both windows let it, in turns`() {
        var run = Run([(4, 20_000)], gets: 0, posts: 2)
        for stream in run.streams { run.connection.bodyMade(ByteBuffer(repeating: 1, count: 100_000), of: stream) }
        #expect(!run.streams[0].hasRoom)
        #expect(run.sent() == [1: 20_000, 3: 20_000])
        run.feed(F.window(1, 30_000))
        #expect(run.sent() == [1: 25_535], "what is left of the connection's 65,535")
        run.feed(F.window(0, 200_000) + F.settings([(4, 90_000)]))
        #expect(run.sent() == [1: 54_465, 3: 70_000])
        #expect(Set(run.connection.takeRelieved().map(\.id)) == [1, 3])
        run.feed(F.settings([(4, 10_000)]))
        run.connection.requestMade(run.streams[0], trailers: nil)
        run.feed(F.window(1, 10_000))
        #expect(run.sent() == [1: 0], "the end needs no window")
        #expect(run.streams[0].isRequestEnded && !run.streams[1].isRequestEnded)
    }

    @Test func `windows are opened for what is taken, and what nobody takes is bounded`() {
        var run = Run(gets: 3)
        run.feed(F.response(1) + F.response(3) + F.response(5))
        _ = run.said()
        let part = [UInt8](repeating: 1, count: 16_384)
        for _ in 0..<16 { run.feed(F.data(1, part)) }
        #expect(run.bodies[1] == 16 * 16_384)
        let updates = run.said().filter { $0.type == 8 && $0.stream == 1 }
        #expect(updates.map { $0.number(at: 0) } == [65_536, 65_536, 65_536, 65_536])

        var held = Run(gets: 1)
        held.feed(F.response(1))
        var buffer = ByteBuffer(bytes: F.times(17, F.data(1, part)))
        for _ in 0..<16 {
            guard case .body(let stream, let part) = held.connection.next(&buffer, now: Self.start) else { return #expect(Bool(false)) }
            stream.hold(part)
            held.connection.checkInvariants()
        }
        #expect(held.streams[0].heldBytes == 256 << 10)
        guard case .ended(_, .malformed) = held.connection.next(&buffer, now: Self.start) else { return #expect(Bool(false), "over the window") }
        #expect(held.connection.heldBytes == 0)
    }

    @Test func `streams of which nobody takes anything leave the others their window, up to a bound`() {
        var run = Run(streamsMax: 100, gets: 40)
        let part = [UInt8](repeating: 1, count: 16_384)
        var fed = 0
        for stream in run.streams.dropLast() {
            run.feed(F.response(stream.id))
            for _ in 0..<16 where !run.connection.isFailed {
                var buffer = ByteBuffer(bytes: F.data(stream.id, part))
                guard case .body(let stream, let part) = run.connection.next(&buffer, now: Self.start) else { break }
                stream.hold(part)
                fed += part.readableBytes
            }
            run.connection.checkInvariants()
        }
        #expect(run.connection.isFailed && fed <= 6 << 20 && fed > 5 << 20, "who goes on over the window is cut: \(fed)")
        #expect(run.said().contains { $0.type == 7 && $0.number(at: 4) == 3 })
    }

    @Test func `a response that comes before the request's end gives the rest of it up`() {
        var run = Run(gets: 0, posts: 1)
        run.connection.bodyMade(ByteBuffer(repeating: 1, count: 100_000), of: run.streams[0])
        _ = run.sent()
        run.feed(F.answer(1, "no"))
        _ = run.said()
        run.connection.finish(run.streams[0])
        #expect(run.said().map(\.type) == [3])
        #expect(run.sent().isEmpty && run.connection.streams.isEmpty)
        run.feed(F.reset(1, 0))
        #expect(!run.connection.isFailed, "the origin says so, too")
        run.feed(F.data(1, [1]))
        #expect(run.events.last == "failed stream-closed")
    }

    @Test func `an origin may stop each request behind its response, as often as there are requests`() {
        var run = Run(gets: 0)
        for _ in 0..<2500 {
            guard let stream = run.open(.post) else { break }
            run.feed(F.answer(stream.id, "no"))
            run.connection.finish(stream)
            run.feed(F.reset(stream.id, 0))
        }
        #expect(!run.connection.isFailed && run.streams.count == 2500)
        run.feed(F.times(1001, F.reset(1, 0)))
        #expect(run.events.last == "failed enhance-your-calm resets", "what is said again and again is still too much")
    }

    @Test func `the table goes on through blocks that nobody wants any more`() {
        var run = Run(gets: 2)
        run.connection.reset(run.streams[0], .cancel)
        // `x-a: b` into the table, on the stream that was given up; then from the table.
        run.feed(F.frame(1, flags: 5, stream: 1, [0x88, 0x40, 3] + Array("x-a".utf8) + [1] + Array("b".utf8)))
        run.feed(F.frame(1, flags: 5, stream: 3, [0x88, 0xBE]))
        #expect(run.events.last == "head 3 200 end")
        #expect(run.connection.head.fields.lines.count == 1 && String(copying: run.connection.head.fields.value(at: 0)) == "b")
    }

    @Test func `a connection that closes says so once`() {
        var run = Run(gets: 0)
        _ = run.said()
        run.connection.close()
        run.connection.close()
        #expect(run.said().map(\.type) == [7] && run.open(.get) == nil)
    }
}
