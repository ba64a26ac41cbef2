import HTTP2Wire
import HTTPSemantics
import NIOCore

/// What an origin of HTTP/2 sends to the edge, while the edge asks and gives up: whatever it is, the connection keeps its bounds, nobody is
/// given more than a response that is whole says, and a connection that has failed says so once and is silent.
///
/// The input is bytes of frames, of which the first byte of every piece says how long the piece is and what the edge does behind it.
func checkOrigin(_ input: UnsafeBufferPointer<UInt8>) {
    let now = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
    var connection = HTTP2ClientConnection(streamsMax: 4, headBytesMax: 4096, fieldCountMax: 32, now: now)
    var open: [HTTP2ClientStream] = []
    var promised: [UInt32: Int] = [:]
    var buffer = ByteBuffer()
    var output = ByteBuffer()
    var position = 0
    var failures = 0
    while position < input.count {
        let action = input[position]
        let end = min(position + 1 + Int(action & 0x3F) * 4, input.count)
        buffer.writeBytes(input[position + 1..<max(end, position + 1)])
        position = max(end, position + 1)
        reading: while true {
            switch connection.next(&buffer, now: now) {
            case .wait: break reading
            case .head(let stream):
                precondition(connection.head.status >= 200 && connection.head.status <= 999 && connection.head.status != 101, "no final status")
                precondition(!connection.head.fields.contains(.connection) && !connection.head.fields.contains(.transferEncoding), "of HTTP/1 alone")
                if case .length(let count) = connection.head.framing { promised[stream.id] = count }
                if stream.isResponseEnded { precondition(promised[stream.id] ?? 0 == 0, "a body that never comes") }
            case .body(let stream, let part):
                if let left = promised[stream.id] {
                    promised[stream.id] = left - part.readableBytes
                    precondition(left >= part.readableBytes && (!stream.isResponseEnded || left == part.readableBytes), "another length than it said")
                }
                connection.bodyTaken(part.readableBytes, of: stream)
            case .trailers(let stream): precondition(promised[stream.id] ?? 0 == 0, "trailers before the body's end")
            case .ended(let stream, _): precondition(stream.isClosed, "an end that is none")
            case .failed: failures += 1
            case .interim: precondition((100..<200).contains(connection.head.status), "no interim status")
            case .established, .windowOpened, .limitChanged, .handled, .leaving: break
            }
            connection.checkInvariants()
        }
        for stream in open where stream.isResponseEnded { connection.finish(stream) }
        open.removeAll { $0.isClosed }
        switch action >> 6 {
        case 0: break
        case 1:
            guard let stream = connection.open(.get) else { break }
            connection.writeHead(ByteBuffer(string: "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), isSecure: false, of: stream, endsStream: true, into: &output)
            open.append(stream)
        case 2:
            guard let stream = connection.open(.post) else { break }
            connection.writeHead(ByteBuffer(string: "POST / HTTP/1.1\r\nHost: a\r\n\r\n"), isSecure: true, of: stream, endsStream: false, into: &output)
            connection.bodyMade(ByteBuffer(repeating: 7, count: 40_000), of: stream)
            connection.requestMade(stream, trailers: nil)
            open.append(stream)
        default: if let stream = open.popLast() { connection.reset(stream, .cancel) }
        }
        connection.writeBodies(into: &output, bytesMax: 1 << 16)
        output.clear()
        connection.checkInvariants()
    }
    precondition(failures <= 1 && connection.isFailed == (failures == 1), "failed once, or not at all")
    precondition(!connection.isFailed || connection.roomCount == 0, "a request on a connection that has failed")
}
