import HTTPSemantics
import NIOCore

@testable import HTTP1Wire

/// What a peer's bytes turn out to be, in a form that does not depend on how they were split into reads.
enum WireEvent: Equatable, CustomStringConvertible {
    /// A request's or a response's head, all that was understood of it.
    case head(String)
    /// All of a body's bytes that came one after the other.
    case body([UInt8])
    /// The message is complete; its trailers.
    case end(String)
    /// The bytes ended within a message that was not refused so far.
    case unfinished
    case refused(HTTP1Error.Code)

    var description: String {
        switch self {
        case .head(let text): "head(\(text))"
        case .body(let bytes): "body(\(String(decoding: bytes, as: UTF8.self).debugDescription))"
        case .end(let trailers): "end(\(trailers))"
        case .unfinished: "unfinished"
        case .refused(let code): "refused(\(code))"
        }
    }
}

/// Feeds one connection's bytes to a head parser and a body decoder in turn, as the two ends of a proxy do.
struct Conversation {
    /// Who sends the bytes.
    enum Sender: Equatable {
        case client
        /// An upstream, which answers requests of this method.
        case upstream(Method)
    }

    private(set) var events: [WireEvent] = []
    /// Bytes that came and are still to be used.
    private(set) var buffer = ByteBuffer()
    private let sender: Sender
    private let limits: HTTP1Limits
    private var requestParser: HTTP1RequestParser
    private var responseParser: HTTP1ResponseParser
    private(set) var request = RequestHead()
    private(set) var response = ResponseHead()
    private var decoder: HTTP1BodyDecoder?

    init(_ sender: Sender, limits: HTTP1Limits = HTTP1Limits()) {
        self.sender = sender
        self.limits = limits
        requestParser = HTTP1RequestParser(limits: limits)
        responseParser = HTTP1ResponseParser(limits: limits)
    }

    /// The events of a connection that brings these parts and is closed then.
    static func events(
        _ sender: Sender, limits: HTTP1Limits = HTTP1Limits(), _ parts: ArraySlice<UInt8>...
    ) -> [WireEvent] {
        var conversation = Conversation(sender, limits: limits)
        for part in parts { conversation.received(part) }
        conversation.closed()
        return conversation.events
    }

    /// The same with one byte at a time.
    static func eventsByteByByte(_ sender: Sender, limits: HTTP1Limits = HTTP1Limits(), _ bytes: [UInt8]) -> [WireEvent] {
        var conversation = Conversation(sender, limits: limits)
        for index in bytes.indices { conversation.received(bytes[index...index]) }
        conversation.closed()
        return conversation.events
    }

    private var isRefused: Bool {
        if case .refused = events.last { true } else { false }
    }

    mutating func received(_ bytes: ArraySlice<UInt8>) {
        guard !isRefused else { return }
        // As NIO's handlers do: what was read is thrown away now and then, so that indices do not start at zero.
        buffer.discardReadBytes()
        buffer.writeBytes(bytes)
        let before = buffer.readableBytes
        do throws(HTTP1Error) {
            while try step() {}
        } catch {
            events.append(.refused(error.code))
        }
        precondition(buffer.readableBytes <= before, "more was used than was there")
    }

    mutating func closed() {
        guard !isRefused else { return }
        guard decoder != nil else {
            if buffer.readableBytes > 0 { events.append(.unfinished) }
            return
        }
        do throws(HTTP1Error) {
            try decoder?.inputClosed()
            while try step() {}
        } catch {
            events.append(error.code == .truncated ? .unfinished : .refused(error.code))
        }
    }

    /// - Returns: whether there may be more.
    private mutating func step() throws(HTTP1Error) -> Bool {
        guard decoder == nil else { return try readBody() }
        let framing: BodyFraming
        switch sender {
        case .client:
            guard try requestParser.parse(&buffer, into: &request) else { return false }
            events.append(.head(Self.text(request)))
            framing = request.framing
        case .upstream(let method):
            guard try responseParser.parse(&buffer, into: &response, answering: method) else { return false }
            events.append(.head(Self.text(response)))
            framing = response.framing
        }
        decoder = HTTP1BodyDecoder(framing, limits: limits)
        return true
    }

    private mutating func readBody() throws(HTTP1Error) -> Bool {
        switch try decoder!.next(&buffer) {
        case .needMore:
            return false
        case .bytes(let slice):
            precondition(slice.readableBytes > 0, "an empty piece of a body")
            if case .body(let before) = events.last {
                events[events.count - 1] = .body(before + slice.readableBytesView)
            } else {
                events.append(.body(Array(slice.readableBytesView)))
            }
            return true
        case .end:
            events.append(.end(Self.text(decoder!.trailers)))
            decoder = nil
            return true
        }
    }

    private static func text(_ head: RequestHead) -> String {
        let bytes = head.fields.bytes
        let method = String(latin1: bytes[head.methodRange])
        let target = String(latin1: bytes[head.target])
        let authority = String(latin1: bytes[head.authority])
        var text = "\(method) \(target) at '\(authority)' 1.\(head.minorVersion) \(head.framing)"
        if head.keepsAlive { text += " keepsAlive" }
        if head.expectsContinue { text += " expectsContinue" }
        return text + " " + Self.text(head.fields)
    }

    private static func text(_ head: ResponseHead) -> String {
        var text = "\(head.status) 1.\(head.minorVersion) \(head.framing)"
        if head.keepsAlive { text += " keepsAlive" }
        return text + " " + Self.text(head.fields)
    }

    private static func text(_ fields: FieldSection) -> String {
        let lines = fields.lines.indices.map { index in
            let line = fields.lines[index]
            let name = fields.bytes[Int(line.nameStart)..<Int(line.nameStart) + Int(line.nameCount)]
            let value = fields.bytes[Int(line.valueStart)..<Int(line.valueStart) + Int(line.valueCount)]
            return "\(String(latin1: name))=\(String(latin1: value))"
        }
        return "[" + lines.joined(separator: "|") + "]"
    }
}

extension String {
    /// A character per byte, so that no two inputs look the same.
    init(latin1 bytes: some Sequence<UInt8>) {
        var scalars = String.UnicodeScalarView()
        for byte in bytes { scalars.append(Unicode.Scalar(byte)) }
        self.init(scalars)
    }

    /// A byte per character, which must be below U+0100.
    var latin1: [UInt8] { unicodeScalars.map { UInt8($0.value) } }
}
