import HTTP2Wire
import HTTPSemantics
import NIOCore

/// The server side of one connection of HTTP/2: bytes become requests and parts of them; what has to be said of the connection itself is
/// written to ``control``. No I/O, no clock.
///
/// Written here and not taken from NIOHTTP2: a channel for each stream and a promise for each frame cost more than the whole answer of a
/// stored response; what waits, in which order it leaves, and what a client may send too much of are the edge's own to decide.
///
/// | state | waits for | next |
/// |---|---|---|
/// | preface | 24 bytes, and SETTINGS | open, failed |
/// | open | frames | continuation, failed |
/// | continuation | the rest of a header block, and nothing else | open, failed |
/// | failed | nothing: what still comes is thrown away | – |
///
/// A mistake within one stream resets that stream; one that leaves the two sides with different ideas of the connection ends it.
/// - Source: RFC 9113.
struct HTTP2ServerConnection {
    /// What the next bytes are.
    enum Input {
        /// More bytes are needed.
        case wait
        /// A request's head is in ``HTTP2ServerConnection/head``.
        case head(HTTP2Stream)
        /// A request's head that is answered with this status: 431, 417. What of it could be kept is in ``HTTP2ServerConnection/head``.
        case refused(HTTP2Stream, status: Int)
        /// A part of a request's body, perhaps empty, and perhaps its end.
        case body(HTTP2Stream, ByteBuffer)
        /// A request's trailers are in it, and nothing follows.
        case trailers(HTTP2Stream)
        /// The client, or this side for the client's mistake, has given the stream up.
        case reset(HTTP2Stream)
        /// More may be sent: on this stream, or on all.
        case windowOpened(HTTP2Stream?)
        case prioritised(HTTP2Stream)
        /// Something that nobody besides has to know.
        case handled
        /// The client makes no more requests.
        case goAway
        /// The connection is over; the reason is in ``HTTP2ServerConnection/control``.
        case failed(HTTP2ErrorCode, HTTP2Flood?)
    }

    private enum State {
        case preface
        case settings
        case open
        case failed
    }

    /// A header block whose end has not come.
    private struct Block {
        let stream: UInt32
        let endsStream: Bool
        let dependsOnItself: Bool
        var bytes: ByteBuffer
        var frames = 0
    }

    /// Requests that a client may have under way.
    static let streamsMax = 128
    /// What a client may send of a body before anybody has taken it: of one stream, and of all together.
    static let streamWindow = 256 << 10
    static let connectionWindow = 1 << 20
    /// Frames of one header block: with the largest frames four of them hold more than the largest block.
    static let blockFramesMax = 8
    /// Streams of which it is kept that they were there. 256: twice what a client may have had under way.
    private static let rememberedMax = 256
    /// A part of a body that is smaller says too little for a frame.
    private static let tinyBytes = 64

    private var state = State.preface
    private let fieldLimits: HTTP2RequestFields.Limits
    private let blockBytesMax: Int
    private var decoder = HeaderBlockDecoder()
    private var block: Block?
    private(set) var streams: [HTTP2Stream] = []
    private(set) var lastStream: UInt32 = 0
    /// The last that is served, once that was said.
    private var lastServed: UInt32?
    /// Streams that have ended; with the top bit those that we ended, of which something may still be on its way.
    private var remembered: [UInt32] = []
    private var rememberedNext = 0
    private var guardian: HTTP2FloodGuard
    /// What the client takes of all streams together.
    private(set) var sendWindow = HTTP2Framing.windowDefault
    private var initialSendWindow = HTTP2Framing.windowDefault
    private var receiveWindow = HTTP2ServerConnection.connectionWindow
    /// Bytes that were received and not given back to the client's window.
    private var ungiven = 0
    /// Of all streams, bytes that nobody has taken.
    private var heldBytes = 0
    private(set) var frameBytesMax = HTTP2Framing.frameBytesMax
    /// Frames that have to go out, before any others.
    var control = ByteBuffer()
    private var hasWrittenBlock = false
    /// The head of the request that was read last.
    var head = RequestHead()
    private(set) var connectProtocol: String?

    init(limits: EdgeConfiguration.Limits, now: NIODeadline) {
        fieldLimits = .init(headBytesMax: limits.headBytesMax, fieldCountMax: limits.fieldCountMax, targetBytesMax: limits.requestLineBytesMax)
        // Compressed it is hardly ever longer than what it says; twice that, and it is there to be read.
        blockBytesMax = limits.headBytesMax
        guardian = HTTP2FloodGuard(now: now)
        control.writeSettings([
            (.maxConcurrentStreams, UInt32(Self.streamsMax)), (.initialWindowSize, UInt32(Self.streamWindow)),
            (.maxHeaderListSize, UInt32(clamping: limits.headBytesMax)), (.enableConnectProtocol, 1), (.noRFC7540Priorities, 1),
        ])
        control.writeWindowUpdate(0, Self.connectionWindow - HTTP2Framing.windowDefault)
    }

    /// Whether it has begun as it must.
    var isEstablished: Bool {
        switch state {
        case .preface, .settings, .failed: false
        case .open: true
        }
    }

    var isFailed: Bool { if case .failed = state { true } else { false } }
    /// Whether the rest of a header block is awaited.
    var isInBlock: Bool { block != nil }
    /// What there is of it, and the memory that it takes: of a first frame, what it was read into.
    var blockBytes: Int { block?.bytes.readableBytes ?? 0 }
    var blockCapacity: Int { block?.bytes.storageCapacity ?? 0 }

    // MARK: Frames

    /// Takes the next frame from the buffer.
    mutating func next(_ buffer: inout ByteBuffer, now: NIODeadline) -> Input {
        switch state {
        case .failed:
            buffer.moveReaderIndex(to: buffer.writerIndex)
            return .wait
        case .preface:
            let count = HTTP2Framing.preface.utf8CodeUnitCount
            guard HTTP2Framing.isPrefaceOrBeginning(buffer.readableBytesUInt8Span) else { return fail(.protocolError, "no preface") }
            guard buffer.readableBytes >= count else { return .wait }
            buffer.moveReaderIndex(forwardBy: count)
            state = .settings
        case .settings, .open: break
        }
        guard let lengthAndType = buffer.getInteger(at: buffer.readerIndex, as: UInt32.self), buffer.readableBytes >= HTTP2Framing.frameHeaderBytes
        else { return .wait }
        let count = Int(lengthAndType >> 8)
        if count > HTTP2Framing.frameBytesMax { return fail(.frameSizeError, "a frame over 16,384 bytes") }
        guard buffer.readableBytes >= HTTP2Framing.frameHeaderBytes + count else { return .wait }
        let flags = buffer.getInteger(at: buffer.readerIndex + 4, as: UInt8.self) ?? 0
        let id = (buffer.getInteger(at: buffer.readerIndex + 5, as: UInt32.self) ?? 0) & 0x7FFF_FFFF
        buffer.moveReaderIndex(forwardBy: HTTP2Framing.frameHeaderBytes)
        guard var payload = buffer.readSlice(length: count) else { return .wait }
        let type = HTTP2FrameType(rawValue: UInt8(truncatingIfNeeded: lengthAndType))
        if case .settings = state {
            guard type == .settings, flags & HTTP2Flags.acknowledgement == 0 else { return fail(.protocolError, "SETTINGS come first") }
            state = .open
        }
        if let block {
            guard type == .continuation, id == block.stream else { return fail(.protocolError, "a header block is torn apart") }
        }
        switch type {
        case .data: return dataReceived(id, flags, &payload, now: now)
        case .headers: return headersReceived(id, flags, &payload, now: now)
        case .continuation: return continuationReceived(flags, &payload, now: now)
        case .priority: return priorityReceived(id, payload, now: now)
        case .resetStream: return resetReceived(id, payload, now: now)
        case .settings: return settingsReceived(id, flags, &payload, now: now)
        case .pushPromise: return fail(.protocolError, "a client promises nothing")
        case .ping: return pingReceived(id, flags, payload, now: now)
        case .goAway: return id != 0 ? fail(.protocolError, "GOAWAY on a stream") : count < 8 ? fail(.frameSizeError, "GOAWAY") : .goAway
        case .windowUpdate: return windowUpdateReceived(id, &payload, now: now)
        case .priorityUpdate: return priorityUpdateReceived(id, &payload, now: now)
        case nil: return guardian.allows(.unknownFrames, now: now) ? .handled : calm(.unknownFrames)
        }
    }

    private mutating func fail(_ code: HTTP2ErrorCode, _ text: StaticString, _ flood: HTTP2Flood? = nil) -> Input {
        state = .failed
        block = nil
        // §6.8: never a later stream than was said before.
        control.writeGoAway(lastStream: lastServed ?? lastStream, code, text: text)
        return .failed(code, flood)
    }

    private mutating func calm(_ flood: HTTP2Flood) -> Input { fail(.enhanceYourCalm, "too much of that", flood) }

    /// A mistake of the client's that concerns one stream.
    private mutating func streamError(_ id: UInt32, _ code: HTTP2ErrorCode, now: NIODeadline) -> Input {
        control.writeResetStream(id, code)
        remember(id, isOurs: true)
        let stream = remove(id)
        // It cost us the stream, and the client nothing.
        guard guardian.allows(.resets, now: now) else { return calm(.resets) }
        return stream.map(Input.reset) ?? .handled
    }

    private func find(_ id: UInt32) -> HTTP2Stream? {
        // Mostly one of the last.
        var index = streams.count - 1
        while index >= 0 {
            if streams[index].id == id { return streams[index] }
            index -= 1
        }
        return nil
    }

    private mutating func remove(_ id: UInt32) -> HTTP2Stream? {
        guard let index = streams.firstIndex(where: { $0.id == id }) else { return nil }
        let stream = streams.remove(at: index)
        // What nobody took of its body is nobody's now.
        giveBack(stream.receivedBytes, held: true)
        stream.close()
        return stream
    }

    private static let isOurs: UInt32 = 0x8000_0000

    private mutating func remember(_ id: UInt32, isOurs: Bool) {
        let mark = isOurs ? id | Self.isOurs : id
        if remembered.count < Self.rememberedMax {
            remembered.append(mark)
        } else {
            remembered[rememberedNext] = mark
            rememberedNext = (rememberedNext + 1) % Self.rememberedMax
        }
    }

    /// Something has come for a stream that is not there.
    private mutating func endedReceived(_ id: UInt32) -> Input {
        // Of a request that GOAWAY has left to others.
        if let lastServed, id > lastServed { return .handled }
        // On its way when we ended it.
        if remembered.contains(id | Self.isOurs) { return .handled }
        // §5.1.1: a number that was passed over is no stream.
        return remembered.contains(id) ? fail(.streamClosed, "a frame on a closed stream") : fail(.protocolError, "a frame on no stream")
    }

    private func isIdle(_ id: UInt32) -> Bool { id > lastStream || id % 2 == 0 }

    /// Takes padding off.
    /// - Returns: whether it is as long as it may be.
    private static func unpad(_ payload: inout ByteBuffer, _ flags: UInt8) -> Bool {
        guard flags & HTTP2Flags.padded != 0 else { return true }
        guard let padding = payload.readInteger(as: UInt8.self), Int(padding) <= payload.readableBytes else { return false }
        payload.moveWriterIndex(to: payload.writerIndex - Int(padding))
        return true
    }

    // MARK: Requests

    /// - Source: RFC 9113 §6.2.
    private mutating func headersReceived(_ id: UInt32, _ flags: UInt8, _ payload: inout ByteBuffer, now: NIODeadline) -> Input {
        guard id % 2 == 1 else { return fail(.protocolError, "HEADERS on a stream that is not the client's") }
        guard Self.unpad(&payload, flags) else { return fail(.protocolError, "padding over the frame") }
        var dependsOnItself = false
        if flags & HTTP2Flags.priority != 0 {
            guard let dependency = payload.readInteger(as: UInt32.self), payload.readInteger(as: UInt8.self) != nil else {
                return fail(.frameSizeError, "HEADERS")
            }
            dependsOnItself = dependency & 0x7FFF_FFFF == id
        }
        let block = Block(stream: id, endsStream: flags & HTTP2Flags.endStream != 0, dependsOnItself: dependsOnItself, bytes: payload)
        if flags & HTTP2Flags.endHeaders != 0 { return blockReceived(block, now: now) }
        self.block = block
        return .handled
    }

    /// - Source: RFC 9113 §6.10.
    private mutating func continuationReceived(_ flags: UInt8, _ payload: inout ByteBuffer, now: NIODeadline) -> Input {
        guard var block else { return fail(.protocolError, "CONTINUATION of nothing") }
        self.block = nil
        block.frames += 1
        block.bytes.writeBuffer(&payload)
        guard block.frames <= Self.blockFramesMax, block.bytes.readableBytes <= blockBytesMax else { return calm(.continuations) }
        if flags & HTTP2Flags.endHeaders != 0 { return blockReceived(block, now: now) }
        self.block = block
        return .handled
    }

    private mutating func blockReceived(_ block: Block, now: NIODeadline) -> Input {
        let known = find(block.stream)
        let isNew = known == nil && block.stream > lastStream
        var fields = HTTP2RequestFields(limits: fieldLimits, isTrailers: !isNew)
        var section = FieldSection()
        swap(&section, &head.fields)
        section.removeAll()
        do throws(HeaderBlockDecoder.Failure) {
            try decoder.decode(block.bytes.readableBytesUInt8Span) { known, name, value in fields.add(known, name, value, to: &section) }
        } catch {
            return fail(.compressionError, "a header block that cannot be read")
        }
        guard isNew else { return trailersReceived(known, block, fields, section, now: now) }
        swap(&section, &head.fields)
        lastStream = block.stream
        // Nothing of it was looked at: it may be sent again elsewhere.
        if let lastServed, block.stream > lastServed { return .handled }
        if block.dependsOnItself { return streamError(block.stream, .protocolError, now: now) }
        guard streams.count < Self.streamsMax else {
            control.writeResetStream(block.stream, .refusedStream)
            remember(block.stream, isOurs: true)
            return guardian.allows(.streams, now: now) ? .handled : calm(.streams)
        }
        let verdict = fields.finish(&head, endsStream: block.endsStream)
        if case .malformed = verdict { return streamError(block.stream, .protocolError, now: now) }
        connectProtocol = fields.connectProtocol(head)
        let stream = HTTP2Stream(
            id: block.stream, sendWindow: initialSendWindow, receiveWindow: Self.streamWindow, priority: fields.priority)
        stream.isRequestEnded = block.endsStream
        if case .length(let count) = head.framing { stream.lengthLeft = count }
        streams.append(stream)
        switch verdict {
        case .good: return .head(stream)
        case .tooLarge: return .refused(stream, status: 431)
        case .expectationUnknown: return .refused(stream, status: 417)
        case .malformed: return .handled
        }
    }

    private mutating func trailersReceived(
        _ stream: HTTP2Stream?, _ block: Block, _ fields: HTTP2RequestFields, _ section: FieldSection, now: NIODeadline
    ) -> Input {
        guard let stream else {
            return endedReceived(block.stream)
        }
        if stream.isRequestEnded { return streamError(stream.id, .streamClosed, now: now) }
        var ignored = RequestHead()
        guard block.endsStream, !block.dependsOnItself, fields.finish(&ignored, endsStream: true) == .good, stream.lengthLeft ?? 0 == 0 else {
            return streamError(stream.id, .protocolError, now: now)
        }
        stream.isRequestEnded = true
        stream.receivedTrailers = section
        return .trailers(stream)
    }

    /// - Source: RFC 9113 §6.1, §6.9.
    private mutating func dataReceived(_ id: UInt32, _ flags: UInt8, _ payload: inout ByteBuffer, now: NIODeadline) -> Input {
        guard !isIdle(id) else { return fail(.protocolError, "DATA on an idle stream") }
        let count = payload.readableBytes
        receiveWindow -= count
        guard receiveWindow >= 0 else { return fail(.flowControlError, "more than the window of the connection") }
        guard Self.unpad(&payload, flags) else { return fail(.protocolError, "padding over the frame") }
        let endsStream = flags & HTTP2Flags.endStream != 0
        if payload.readableBytes < Self.tinyBytes, !endsStream, !guardian.allows(.tinyData, now: now) { return calm(.tinyData) }
        guard let stream = find(id) else {
            giveBack(count, held: false)
            return endedReceived(id)
        }
        if stream.isRequestEnded {
            giveBack(count, held: false)
            return streamError(id, .streamClosed, now: now)
        }
        stream.receiveWindow -= count
        guard stream.receiveWindow >= 0 else {
            giveBack(count, held: false)
            return streamError(id, .flowControlError, now: now)
        }
        if let left = stream.lengthLeft {
            stream.lengthLeft = left - payload.readableBytes
            guard left >= payload.readableBytes, !endsStream || left == payload.readableBytes else {
                giveBack(count, held: false)
                return streamError(id, .protocolError, now: now)
            }
        }
        stream.isRequestEnded = endsStream
        // Padding is used up at once.
        let padding = count - payload.readableBytes
        stream.receiveWindow += padding
        if padding > 0, !endsStream { control.writeWindowUpdate(id, padding) }
        giveBack(padding, held: false)
        heldBytes += payload.readableBytes
        // A stream of which nobody takes the body does not hold the others, until all of that is too much.
        if heldBytes <= Self.connectionWindow / 2 { giveBack(payload.readableBytes, held: false) } else { ungivenHeld += payload.readableBytes }
        return .body(stream, payload)
    }

    /// Bytes that are held and were not given back to the window of the connection.
    private var ungivenHeld = 0

    /// Lets the client send so many bytes more, over all streams.
    private mutating func giveBack(_ count: Int, held: Bool) {
        var count = count
        if held {
            heldBytes -= count
            count = min(count, ungivenHeld)
            ungivenHeld -= count
        }
        ungiven += count
        guard ungiven >= Self.connectionWindow / 4 else { return }
        control.writeWindowUpdate(0, ungiven)
        receiveWindow += ungiven
        ungiven = 0
    }

    /// Somebody has taken bytes of a request's body, or nobody will.
    mutating func bodyTaken(_ count: Int, of stream: HTTP2Stream) {
        giveBack(count, held: true)
        stream.ungiven += count
        guard !stream.isRequestEnded, !stream.isClosed, stream.ungiven >= Self.streamWindow / 4 else { return }
        control.writeWindowUpdate(stream.id, stream.ungiven)
        stream.receiveWindow += stream.ungiven
        stream.ungiven = 0
    }

    // MARK: The connection's own

    /// - Source: RFC 9113 §6.3, §5.3.2: read, and not acted on.
    private mutating func priorityReceived(_ id: UInt32, _ payload: ByteBuffer, now: NIODeadline) -> Input {
        guard id != 0 else { return fail(.protocolError, "PRIORITY of no stream") }
        guard guardian.allows(.priorities, now: now) else { return calm(.priorities) }
        guard payload.readableBytes == 5 else { return isIdle(id) ? fail(.frameSizeError, "PRIORITY") : streamError(id, .frameSizeError, now: now) }
        guard let dependency = payload.getInteger(at: payload.readerIndex, as: UInt32.self), dependency & 0x7FFF_FFFF == id else { return .handled }
        return isIdle(id) ? fail(.protocolError, "a stream that depends on itself") : streamError(id, .protocolError, now: now)
    }

    /// - Source: RFC 9218 §7.1.
    private mutating func priorityUpdateReceived(_ id: UInt32, _ payload: inout ByteBuffer, now: NIODeadline) -> Input {
        guard id == 0 else { return fail(.protocolError, "PRIORITY_UPDATE on a stream") }
        guard let prioritised = payload.readInteger(as: UInt32.self) else { return fail(.frameSizeError, "PRIORITY_UPDATE") }
        guard prioritised & 0x7FFF_FFFF != 0 else { return fail(.protocolError, "PRIORITY_UPDATE of no stream") }
        guard guardian.allows(.priorities, now: now) else { return calm(.priorities) }
        // One for a request that has not come is not kept: it says itself what it wants.
        guard let stream = find(prioritised & 0x7FFF_FFFF) else { return .handled }
        var priority = HTTP2Priority()
        priority.update(payload.readableBytesUInt8Span)
        stream.priority = priority
        return .prioritised(stream)
    }

    /// - Source: RFC 9113 §6.4.
    private mutating func resetReceived(_ id: UInt32, _ payload: ByteBuffer, now: NIODeadline) -> Input {
        guard id != 0, !isIdle(id) else { return fail(.protocolError, "RST_STREAM of an idle stream") }
        guard payload.readableBytes == 4 else { return fail(.frameSizeError, "RST_STREAM") }
        guard guardian.allows(.resets, now: now) else { return calm(.resets) }
        guard let stream = remove(id) else { return .handled }
        remember(id, isOurs: false)
        return .reset(stream)
    }

    /// - Source: RFC 9113 §6.5.
    private mutating func settingsReceived(_ id: UInt32, _ flags: UInt8, _ payload: inout ByteBuffer, now: NIODeadline) -> Input {
        guard id == 0 else { return fail(.protocolError, "SETTINGS on a stream") }
        if flags & HTTP2Flags.acknowledgement != 0 {
            guard payload.readableBytes == 0 else { return fail(.frameSizeError, "an acknowledgement with settings") }
            return guardian.allows(.settings, now: now) ? .handled : calm(.settings)
        }
        guard payload.readableBytes % 6 == 0 else { return fail(.frameSizeError, "SETTINGS") }
        guard guardian.allows(.settings, now: now) else { return calm(.settings) }
        var hasOpened = false
        while let number = payload.readInteger(as: UInt16.self), let value = payload.readInteger(as: UInt32.self) {
            switch HTTP2Setting(rawValue: number) {
            case .enablePush:
                guard value <= 1 else { return fail(.protocolError, "SETTINGS_ENABLE_PUSH") }
            case .initialWindowSize:
                guard value <= UInt32(Int32.max) else { return fail(.flowControlError, "SETTINGS_INITIAL_WINDOW_SIZE") }
                let change = Int(value) - initialSendWindow
                initialSendWindow = Int(value)
                for stream in streams {
                    stream.sendWindow += change
                    guard stream.sendWindow <= HTTP2Framing.windowMax else { return fail(.flowControlError, "a window over 2³¹-1") }
                }
                hasOpened = hasOpened || change > 0
            case .maxFrameSize:
                guard (16_384...16_777_215).contains(value) else { return fail(.protocolError, "SETTINGS_MAX_FRAME_SIZE") }
            // Nothing is put into the client's table, and nothing is promised to it.
            case .headerTableSize, .maxConcurrentStreams, .maxHeaderListSize, .enableConnectProtocol, .noRFC7540Priorities, nil: break
            }
        }
        control.writeFrameHeader(.settings, flags: HTTP2Flags.acknowledgement, stream: 0, count: 0)
        return hasOpened ? .windowOpened(nil) : .handled
    }

    /// - Source: RFC 9113 §6.7.
    private mutating func pingReceived(_ id: UInt32, _ flags: UInt8, _ payload: ByteBuffer, now: NIODeadline) -> Input {
        guard id == 0 else { return fail(.protocolError, "PING on a stream") }
        guard payload.readableBytes == 8 else { return fail(.frameSizeError, "PING") }
        guard guardian.allows(.pings, now: now) else { return calm(.pings) }
        if flags & HTTP2Flags.acknowledgement == 0 {
            control.writeFrameHeader(.ping, flags: HTTP2Flags.acknowledgement, stream: 0, count: 8)
            control.writeImmutableBuffer(payload)
        }
        return .handled
    }

    /// - Source: RFC 9113 §6.9.
    private mutating func windowUpdateReceived(_ id: UInt32, _ payload: inout ByteBuffer, now: NIODeadline) -> Input {
        guard payload.readableBytes == 4, let value = payload.readInteger(as: UInt32.self) else { return fail(.frameSizeError, "WINDOW_UPDATE") }
        guard guardian.allows(.windowUpdates, now: now) else { return calm(.windowUpdates) }
        let increment = Int(value & 0x7FFF_FFFF)
        if id == 0 {
            guard increment > 0 else { return fail(.protocolError, "a window that opens by nothing") }
            sendWindow += increment
            guard sendWindow <= HTTP2Framing.windowMax else { return fail(.flowControlError, "a window over 2³¹-1") }
            return .windowOpened(nil)
        }
        guard !isIdle(id) else { return fail(.protocolError, "WINDOW_UPDATE of an idle stream") }
        guard let stream = find(id) else { return .handled }
        guard increment > 0 else { return streamError(id, .protocolError, now: now) }
        stream.sendWindow += increment
        guard stream.sendWindow <= HTTP2Framing.windowMax else { return streamError(id, .flowControlError, now: now) }
        return .windowOpened(stream)
    }

    // MARK: Responses

    /// Writes HEADERS with a head that was made for HTTP/1.1.
    mutating func writeHead(_ head: ByteBuffer, of stream: HTTP2Stream, endsStream: Bool, into output: inout ByteBuffer) {
        let isFirst = !hasWrittenBlock
        hasWrittenBlock = true
        output.writeHeaders(stream.id, endsStream: endsStream) { output in
            if isFirst { output.writeHPACKTableSizeZero() }
            output.writeHPACKHead(head)
        }
        if endsStream { stream.isResponseEnded = true }
    }

    /// Writes the next frame of a stream's response, as large as it may be.
    /// - Returns: `false` when the connection's window does not let it.
    mutating func writeNext(of stream: HTTP2Stream, into output: inout ByteBuffer) -> Bool {
        let count = min(stream.queuedBytes, max(0, stream.sendWindow), max(0, sendWindow), HTTP2Framing.frameBytesMax)
        if count == 0, stream.queuedBytes > 0 { return false }
        let isLast = stream.isComplete && count == stream.queuedBytes
        if count > 0 || stream.trailers == nil {
            let ends = isLast && stream.trailers == nil
            output.writeFrameHeader(.data, flags: ends ? HTTP2Flags.endStream : 0, stream: stream.id, count: count)
            stream.take(count, into: &output)
            sendWindow -= count
            guardian.sent()
        }
        guard isLast else { return true }
        if let trailers = stream.trailers { output.writeHeaders(stream.id, endsStream: true) { $0.writeHPACKFields(trailers) } }
        stream.isResponseEnded = true
        return true
    }

    /// Lets a stream go whose response is out. What the client has not sent of its request is not wanted any more.
    /// - Source: RFC 9113 §8.1.
    mutating func finish(_ stream: HTTP2Stream) {
        if !stream.isRequestEnded { control.writeResetStream(stream.id, .noError) }
        remember(stream.id, isOurs: !stream.isRequestEnded)
        _ = remove(stream.id)
    }

    /// Gives a stream up.
    mutating func reset(_ stream: HTTP2Stream, _ code: HTTP2ErrorCode) {
        guard !stream.isClosed else { return }
        control.writeResetStream(stream.id, code)
        remember(stream.id, isOurs: true)
        _ = remove(stream.id)
    }

    // MARK: End

    /// Says that the connection will end: no request may be lost that is on its way, so that at first none is refused.
    /// - Source: RFC 9113 §6.8.
    mutating func drainBegan() {
        guard !isFailed else { return }
        control.writeGoAway(lastStream: UInt32(Int32.max), .noError)
    }

    /// From here on no new request is served.
    mutating func closing() {
        guard lastServed == nil, !isFailed else { return }
        lastServed = lastStream
        control.writeGoAway(lastStream: lastStream, .noError)
    }

    var isClosing: Bool { lastServed != nil }
}
