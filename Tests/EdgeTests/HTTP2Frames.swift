import Foundation
import HTTP2Wire
import HTTPSemantics
import NIOCore
import TestSupport

/// Frames as bytes, right and wrong ones.
enum HTTP2Frames {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    static func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
        let count = UInt32(payload.count)
        var bytes: [UInt8] = Array(number(count).dropFirst())
        bytes.append(type)
        bytes.append(flags)
        bytes += number(stream)
        bytes += payload
        return bytes
    }

    static func number(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

    static func settings(_ values: [(UInt16, UInt32)] = []) -> [UInt8] {
        var payload: [UInt8] = []
        for (setting, value) in values {
            payload += number(UInt32(setting)).suffix(2)
            payload += number(value)
        }
        return frame(4, payload)
    }

    static let acknowledgement = frame(4, flags: 1)

    static func frame(_ type: UInt8, _ payload: [UInt8]) -> [UInt8] { frame(type, flags: 0, stream: 0, payload) }

    /// Fields as literals that go into no table.
    static func block(_ fields: [(String, String)]) -> [UInt8] {
        func string(_ text: String) -> [UInt8] {
            let count = text.utf8.count
            guard count >= 127 else { return [UInt8(count)] + Array(text.utf8) }
            var prefix: [UInt8] = [127]
            var rest = count - 127
            while rest >= 128 {
                prefix.append(UInt8(rest & 0x7F) | 0x80)
                rest >>= 7
            }
            prefix.append(UInt8(rest))
            return prefix + Array(text.utf8)
        }
        var bytes: [UInt8] = []
        for (name, value) in fields {
            bytes.append(0)
            bytes += string(name)
            bytes += string(value)
        }
        return bytes
    }

    static func request(_ path: String = "/", method: String = "GET", _ fields: [(String, String)] = []) -> [(String, String)] {
        [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a.example")] + fields
    }

    static func headers(_ stream: UInt32, _ fields: [(String, String)] = request(), endsStream: Bool = true, endsHeaders: Bool = true) -> [UInt8] {
        frame(1, flags: (endsStream ? 1 : 0) | (endsHeaders ? 4 : 0), stream: stream, block(fields))
    }

    static func data(_ stream: UInt32, _ bytes: [UInt8], endsStream: Bool = false) -> [UInt8] {
        frame(0, flags: endsStream ? 1 : 0, stream: stream, bytes)
    }

    /// The same of so many streams, from the first on. Written for the compiler, which takes minutes for it as one expression.
    static func streams(_ count: Int, _ frames: (UInt32) -> [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        for number in 0..<UInt32(count) { bytes += frames(number * 2 + 1) }
        return bytes
    }

    static func times(_ count: Int, _ frame: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<count { bytes += frame }
        return bytes
    }

    static func reset(_ stream: UInt32, _ code: UInt32 = 8) -> [UInt8] { frame(3, flags: 0, stream: stream, number(code)) }
    static func window(_ stream: UInt32, _ count: UInt32) -> [UInt8] { frame(8, flags: 0, stream: stream, number(count)) }
    static func ping() -> [UInt8] { frame(6, [UInt8](repeating: 7, count: 8)) }

    struct Frame {
        let type: UInt8
        let flags: UInt8
        let stream: UInt32
        let payload: [UInt8]

        var endsStream: Bool { (type == 0 || type == 1) && flags & 1 != 0 }

        func number(at offset: Int) -> UInt32 { payload.dropFirst(offset).prefix(4).reduce(0) { $0 << 8 | UInt32($1) } }
    }

    /// Takes whole frames from the front.
    static func take(_ bytes: inout [UInt8]) -> [Frame] {
        var frames: [Frame] = []
        var position = 0
        while bytes.count - position >= 9 {
            let head = bytes[position..<position + 9]
            let count = head.prefix(3).reduce(0) { $0 << 8 | Int($1) }
            guard bytes.count - position - 9 >= count else { break }
            frames.append(
                Frame(
                    type: bytes[position + 3], flags: bytes[position + 4], stream: head.suffix(4).reduce(0) { $0 << 8 | UInt32($1) },
                    payload: Array(bytes[position + 9..<position + 9 + count])))
            position += 9 + count
        }
        bytes.removeFirst(position)
        return frames
    }
}

/// A client of HTTP/2 that says what a test tells it to, and nothing else.
final class HTTP2Peer {
    struct Response {
        var fields: [(String, String)] = []
        var interim: [[(String, String)]] = []
        var trailers: [(String, String)] = []
        var body: [UInt8] = []
        var isComplete = false
        var resetCode: UInt32?

        var status: Int { field(":status").flatMap(Int.init) ?? 0 }
        var text: String { String(decoding: body, as: UTF8.self) }
        func field(_ name: String) -> String? { fields.first { $0.0 == name }?.1 }
    }

    let client: RawClient
    private var bytes: [UInt8] = []
    private var decoder = HeaderBlockDecoder()
    private(set) var frames: [HTTP2Frames.Frame] = []
    private(set) var responses: [UInt32: Response] = [:]
    private(set) var goAways: [(last: UInt32, code: UInt32)] = []
    /// The streams in the order in which parts of their bodies came.
    private(set) var order: [UInt32] = []
    /// Whether windows are opened as bytes come.
    var takesBodies = true

    init(port: Int, settings: [(UInt16, UInt32)] = []) throws {
        client = try RawClient(port: port)
        client.send(HTTP2Frames.preface + HTTP2Frames.settings(settings))
    }

    func send(_ frames: [UInt8]...) { client.send(frames.flatMap { $0 }) }

    /// Reads on until something holds, or the time is over, or the connection is.
    @discardableResult
    func read(seconds: Double = 30, until isDone: (HTTP2Peer) -> Bool) -> Bool {
        let end = Date().addingTimeInterval(seconds)
        while !isDone(self) {
            guard Date() < end, !client.isClosedByPeer else { return isDone(self) }
            bytes += client.takeBytes(milliseconds: 20)
            for frame in HTTP2Frames.take(&bytes) { received(frame) }
        }
        return true
    }

    func isTold(lastStream: UInt32, _ code: UInt32) -> Bool {
        guard let last = goAways.last else { return false }
        return last.last == lastStream && last.code == code
    }

    private func isDone(_ stream: UInt32) -> Bool {
        if let response = responses[stream], response.isComplete || response.resetCode != nil { return true }
        guard let last = goAways.last else { return false }
        return last.code != 0
    }

    func response(_ stream: UInt32, seconds: Double = 30) -> Response {
        read(seconds: seconds) { $0.isDone(stream) }
        return responses[stream] ?? Response()
    }

    private func received(_ frame: HTTP2Frames.Frame) {
        frames.append(frame)
        switch frame.type {
        case 0:
            responses[frame.stream, default: Response()].body += frame.payload
            if !frame.payload.isEmpty { order.append(frame.stream) }
            if takesBodies, !frame.payload.isEmpty {
                client.send(HTTP2Frames.window(0, UInt32(frame.payload.count)))
                if !frame.endsStream { client.send(HTTP2Frames.window(frame.stream, UInt32(frame.payload.count))) }
            }
        case 1:
            var fields: [(String, String)] = []
            try? decoder.decode(frame.payload.span) { _, name, value in fields.append((String(copying: name), String(copying: value))) }
            var response = responses[frame.stream] ?? Response()
            if fields.first?.0 != ":status" {
                response.trailers = fields
            } else if fields[0].1.hasPrefix("1") {
                response.interim.append(fields)
            } else {
                response.fields = fields
            }
            responses[frame.stream] = response
        case 3: responses[frame.stream, default: Response()].resetCode = frame.number(at: 0)
        case 4 where frame.flags & 1 == 0: client.send(HTTP2Frames.acknowledgement)
        case 7: goAways.append((frame.number(at: 0), frame.number(at: 4)))
        default: break
        }
        if frame.endsStream { responses[frame.stream]?.isComplete = true }
    }
}
