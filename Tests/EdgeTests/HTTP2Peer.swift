import Foundation
import HTTP2Wire
import HTTPSemantics
import NIOCore
import TestSupport

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
