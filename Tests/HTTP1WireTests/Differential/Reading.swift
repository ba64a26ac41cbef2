import HTTPSemantics
import NIOCore
import NIOEmbedded
import NIOHTTP1

@testable import HTTP1Wire

/// What one parser makes of a connection's bytes: its messages, and how it ended.
struct Reading {
    struct Message: Equatable {
        /// Method, target and version of a request; status and version of a response.
        var start: String
        /// `name: value`, in their order.
        var fields: [String] = []
        var body: [UInt8] = []
        /// Those that we let through.
        var trailers: [String] = []
    }

    enum Ending: Equatable {
        /// Behind a message, or before the first.
        case complete
        /// Within a message.
        case unfinished
        case refused(String)
        /// The connection is no more one of HTTP messages, or is over: what follows is not read.
        case left
    }

    var messages: [Message] = []
    var ending = Ending.complete
    /// A message whose end has not come.
    var unfinished: Message?
    /// The first byte behind the last message, when there is one.
    var restStart: UInt8?
}

extension Reading {
    /// What our parsers say.
    static func ours(_ bytes: [UInt8], from sender: Conversation.Sender) -> (Reading, refusal: HTTP1Error.Code?) {
        var reading = Reading()
        var buffer = ByteBuffer(bytes: bytes)
        var requestParser = HTTP1RequestParser()
        var responseParser = HTTP1ResponseParser()
        var request = RequestHead()
        var response = ResponseHead()
        do throws(HTTP1Error) {
            while true {
                let framing: BodyFraming
                let keepsAlive: Bool
                let leaves: Bool
                var message: Message
                switch sender {
                case .client:
                    guard try requestParser.parse(&buffer, into: &request) else { return (reading.between(buffer), nil) }
                    message = Message(start: startLine(of: request), fields: lines(of: request.fields))
                    (framing, keepsAlive) = (request.framing, request.keepsAlive)
                    leaves = request.method == .connect || request.fields.contains(.upgrade)
                case .upstream(let method):
                    guard try responseParser.parse(&buffer, into: &response, answering: method) else {
                        return (reading.between(buffer), nil)
                    }
                    message = Message(
                        start: "\(response.status) 1.\(response.minorVersion)", fields: lines(of: response.fields))
                    (framing, keepsAlive) = (response.framing, response.keepsAlive)
                    leaves = method == .connect || response.status == 101
                }
                reading.unfinished = message
                guard !leaves else {
                    reading.ending = .left
                    return (reading, nil)
                }
                var decoder = HTTP1BodyDecoder(framing)
                while case .bytes(let slice) = try decoder.next(&buffer) { message.body += slice.readableBytesView }
                if !decoder.isComplete {
                    guard framing == .untilClose else {
                        reading.ending = .unfinished
                        return (reading, nil)
                    }
                }
                message.trailers = lines(of: decoder.trailers)
                reading.messages.append(message)
                reading.unfinished = nil
                guard keepsAlive else {
                    reading.ending = .left
                    return (reading, nil)
                }
            }
        } catch {
            reading.ending = .refused("\(error.code)")
            if reading.unfinished == nil { reading.restStart = buffer.getInteger(at: buffer.readerIndex) }
            return (reading, error.code)
        }
    }

    /// The reading when no other message has begun, or only its head in part.
    private func between(_ rest: ByteBuffer) -> Reading {
        var reading = self
        reading.ending = rest.readableBytes > 0 ? .unfinished : .complete
        reading.restStart = rest.getInteger(at: rest.readerIndex)
        return reading
    }

    private static func startLine(of head: RequestHead) -> String {
        let bytes = head.fields.bytes
        let method = bytes[head.methodRange]
        // The target as it was sent, before an absolute-form lost its authority.
        let target = bytes[(head.methodRange.upperBound + 1)...].prefix { $0 != Octets.space }
        return "\(String(decoding: method, as: UTF8.self)) \(String(decoding: target, as: UTF8.self)) 1.\(head.minorVersion)"
    }

    private static func lines(of fields: FieldSection) -> [String] {
        fields.lines.indices.map { "\(String(copying: fields.name(at: $0))): \(String(copying: fields.value(at: $0)))" }
    }
}

extension Reading {
    /// What llhttp says, as NIOHTTP1 wraps it. Two habits of the wrapping are evened out here: white space behind a value
    /// stays with it (RFC 9110 §5.5 says that it is none of it), and `M-SEARCH` loses its hyphen.
    static func llhttp(_ bytes: [UInt8], from sender: Conversation.Sender) -> Reading {
        let channel = EmbeddedChannel()
        var reading = Reading()
        do {
            switch sender {
            case .client:
                try channel.pipeline.syncOperations.addHandler(
                    ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes)))
            case .upstream(let method):
                let decoder = HTTPResponseDecoder(leftOverBytesStrategy: .dropBytes, informationalResponseStrategy: .forward)
                try channel.pipeline.syncOperations.addHandler(ByteToMessageHandler(decoder))
                for _ in 0..<8 {
                    let head = HTTPRequestHead(version: .http1_1, method: HTTPMethod(rawValue: "\(method.spelling)"), uri: "/")
                    try channel.writeOutbound(HTTPClientRequestPart.head(head))
                }
            }
        } catch {
            preconditionFailure("\(error)")
        }
        var failure: (any Error)?
        do { try channel.writeInbound(ByteBuffer(bytes: bytes)) } catch { failure = error }
        read(channel, sender, into: &reading)
        if failure == nil, reading.ending == .complete {
            do { _ = try channel.finish(acceptAlreadyClosed: true) } catch { failure = error }
            read(channel, sender, into: &reading)
        } else {
            _ = try? channel.finish(acceptAlreadyClosed: true)
        }
        guard reading.ending != .left else { return reading }
        switch failure {
        case nil: reading.ending = reading.unfinished == nil ? .complete : .unfinished
        case let failure? where failure as? HTTPParserError == .invalidEOFState: reading.ending = .unfinished
        case let failure?: reading.ending = .refused("\(failure)")
        }
        return reading
    }

    private static func read(_ channel: EmbeddedChannel, _ sender: Conversation.Sender, into reading: inout Reading) {
        while reading.ending != .left {
            switch sender {
            case .client:
                guard let part = try? channel.readInbound(as: HTTPServerRequestPart.self) else { return }
                switch part {
                case .head(let head):
                    let minor = min(head.version.minor, 1)
                    let method = head.method == .MSEARCH ? "M-SEARCH" : head.method.rawValue
                    reading.begin("\(method) \(head.uri) \(head.version.major).\(minor)", head.headers)
                    if head.method == .CONNECT || head.headers.contains(name: "upgrade") { reading.ending = .left }
                case .body(let bytes): reading.unfinished?.body += bytes.readableBytesView
                case .end(let trailers): reading.end(trailers)
                }
            case .upstream(let method):
                guard let part = try? channel.readInbound(as: HTTPClientResponsePart.self) else { return }
                switch part {
                case .head(let head):
                    reading.begin("\(head.status.code) \(head.version.major).\(min(head.version.minor, 1))", head.headers)
                    if head.status.code == 101 || method == .connect {
                        reading.ending = .left
                    } else if (100..<200).contains(head.status.code) {
                        reading.end(nil)
                    }
                case .body(let bytes): reading.unfinished?.body += bytes.readableBytesView
                case .end(let trailers): reading.end(trailers)
                }
            }
        }
    }

    private mutating func begin(_ start: String, _ headers: HTTPHeaders) {
        unfinished = Message(start: start, fields: headers.map { "\($0.name): \(Self.trimmed($0.value))" })
    }

    private mutating func end(_ trailers: HTTPHeaders?) {
        guard var message = unfinished else { return }
        for (name, value) in trailers ?? [:] where FieldName(Array(name.utf8).span).isAllowedInTrailers {
            message.trailers.append("\(name): \(Self.trimmed(value))")
        }
        messages.append(message)
        unfinished = nil
    }

    private static func trimmed(_ value: String) -> String {
        let end = value.utf8.lastIndex { $0 != Octets.space && $0 != Octets.tab }
        return end.map { String(value[...$0]) } ?? ""
    }
}
