package import HTTPSemantics
package import NIOCore

/// The client side of one connection of HTTP/2, to an origin: requests become frames, and frames responses and parts of them; what has to be
/// said of the connection itself is written to ``control``. No I/O, no clock.
///
/// | state | waits for | next |
/// |---|---|---|
/// | settings | the origin's SETTINGS; no request is sent before, so that its limits hold for the first one | open, failed |
/// | open | frames, requests | continuation, leaving, failed |
/// | continuation | the rest of a header block, and nothing else | open, failed |
/// | leaving | the responses that are under way: either side has said GOAWAY | failed |
/// | failed | nothing: what still comes is thrown away | – |
///
/// A mistake within one response ends that stream; one that leaves the two sides with different ideas of the connection ends it.
/// - Source: RFC 9113.
package struct HTTP2ClientConnection {
    /// What the next bytes are.
    package enum Input {
        /// More bytes are needed.
        case wait
        /// The origin has said what it takes: requests may be sent.
        case established
        /// An interim response's head is in ``HTTP2ClientConnection/head``; another follows.
        case interim(HTTP2ClientStream)
        /// The response's head is in ``HTTP2ClientConnection/head``; ``HTTP2ClientStream/isResponseEnded`` says whether it is all.
        case head(HTTP2ClientStream)
        /// A part of a response's body, perhaps empty, and perhaps its end.
        case body(HTTP2ClientStream, ByteBuffer)
        /// A response's trailers are in it, and nothing follows.
        case trailers(HTTP2ClientStream)
        /// The stream is closed, by the origin or for its mistakes, without a whole response.
        case ended(HTTP2ClientStream, StreamEnd)
        /// More may be sent.
        case windowOpened
        /// More or fewer requests may be under way.
        case limitChanged
        /// Something that nobody besides has to know.
        case handled
        /// The origin takes no more requests, and has not looked at these.
        case leaving(unprocessed: [HTTP2ClientStream])
        /// The connection is over; the reason is in ``HTTP2ClientConnection/control``.
        case failed(HTTP2ErrorCode, HTTP2Flood?)
    }

    /// Why a stream ended without a whole response.
    package enum StreamEnd: Equatable, Sendable {
        /// REFUSED_STREAM: nothing of the request was looked at (RFC 9113 §8.7).
        case refused
        /// HTTP_1_1_REQUIRED.
        case http1Required
        /// RST_STREAM with any other code.
        case reset(UInt32)
        /// What came is no response.
        case malformed
    }

    private enum State {
        case settings
        case open
        case failed
    }

    /// A header block whose end has not come.
    private struct Block {
        let stream: UInt32
        let endsStream: Bool
        var bytes: ByteBuffer
        var frames = 0
    }

    /// What an origin may send of a body before anybody has taken it: of one stream, and of all together.
    /// 256 KiB: 5 ms of a gigabit link are 600 KiB, and few applications are that far away. 4 MiB: sixteen clients may take nothing before the
    /// other streams of the connection notice.
    package static let streamWindow = 256 << 10
    package static let connectionWindow = 4 << 20
    /// Interim responses before the final one. 16: servers send one or two; without a bound an origin could keep us reading for ever.
    static let interimMax = 16
    /// Frames of one header block: with the largest frames four of them hold more than the largest block.
    static let blockFramesMax = 8
    /// Streams that the origin has ended, of which it is kept that they were there. 256: more than are under way at a time by default.
    private static let rememberedMax = 256
    /// RFC 9113 §5.1.1.
    private static let streamMax = UInt32(Int32.max)

    private var state = State.settings
    private let limits: HTTP2ResponseFields.Limits
    private let keepsFields: Bool
    private var decoder = HeaderBlockDecoder()
    private var block: Block?
    /// Ascending by their numbers.
    package private(set) var streams: [HTTP2ClientStream] = []
    private var nextStream: UInt32 = 1
    private var remembered: [UInt32] = []
    private var rememberedNext = 0
    private var guardian: HTTP2FloodGuard
    /// Requests that may be under way: ours, and the origin's.
    package var streamsMax: Int
    private var originStreamsMax = Int.max
    /// What the origin takes of all streams together.
    package private(set) var sendWindow = HTTP2Framing.windowDefault
    private var initialSendWindow = HTTP2Framing.windowDefault
    private var receiveWindow = HTTP2ClientConnection.connectionWindow
    /// Bytes that were received and not given back to the origin's window.
    private var ungiven = 0
    /// Of all streams, bytes that nobody has taken.
    package private(set) var heldBytes = 0
    /// Of those, what was not given back.
    private var ungivenHeld = 0
    /// Streams that have something to send, in turns.
    private var ready: [HTTP2ClientStream] = []
    /// Streams whose clients may send on.
    private var relieved: [HTTP2ClientStream] = []
    /// Frames that have to go out, before any others.
    package var control = ByteBuffer()
    private var hasWrittenBlock = false
    /// No request is begun any more, on the word of either side.
    package private(set) var isLeaving = false
    private var isGoAwaySent = false
    /// The response's head that was read last.
    package var head = ResponseHead()

    /// - Parameters:
    ///   - streamsMax: requests that we have under way at a time, at most.
    ///   - headBytesMax: of a response's head, by HTTP/2's count, and compressed.
    ///   - keepsFields: whether anybody looks at a head's fields; if not, it has its status and its framing alone.
    package init(streamsMax: Int, headBytesMax: Int = 32_768, fieldCountMax: Int = 100, keepsFields: Bool = true, now: NIODeadline) {
        self.keepsFields = keepsFields
        limits = .init(headBytesMax: headBytesMax, fieldCountMax: fieldCountMax)
        self.streamsMax = max(1, streamsMax)
        guardian = HTTP2FloodGuard(now: now)
        control.writeStaticString(HTTP2Framing.preface)
        control.writeSettings([
            (.enablePush, 0), (.initialWindowSize, UInt32(Self.streamWindow)), (.maxHeaderListSize, UInt32(clamping: headBytesMax)),
        ])
        control.writeWindowUpdate(0, Self.connectionWindow - HTTP2Framing.windowDefault)
    }

    package var isEstablished: Bool {
        switch state {
        case .settings, .failed: false
        case .open: true
        }
    }

    package var isFailed: Bool { if case .failed = state { true } else { false } }
    /// Requests that may be begun now.
    package var roomCount: Int {
        guard isEstablished, !isLeaving, nextStream <= Self.streamMax else { return 0 }
        return max(0, min(streamsMax, originStreamsMax) - streams.count)
    }
    /// How much of the window is taken by what nobody takes is too much for yet another stream.
    package var isCongested: Bool { heldBytes > Self.connectionWindow / 2 }

    // MARK: Requests

    /// Whether all numbers of streams are used up.
    /// - Source: RFC 9113 §5.1.1.
    package var isExhausted: Bool { nextStream > Self.streamMax }

    /// Begins a request.
    /// - Parameter old: a closed stream of any connection that nobody looks at any more, to be used again in the place of a new object.
    /// - Returns: `nil` when none may be begun now.
    package mutating func open(_ method: Method, reusing old: HTTP2ClientStream? = nil) -> HTTP2ClientStream? {
        guard roomCount > 0 else { return nil }
        let stream: HTTP2ClientStream
        if let old {
            stream = old
            stream.begin(id: nextStream, method: method, sendWindow: initialSendWindow, receiveWindow: Self.streamWindow)
        } else {
            stream = HTTP2ClientStream(id: nextStream, method: method, sendWindow: initialSendWindow, receiveWindow: Self.streamWindow)
        }
        nextStream += 2
        streams.append(stream)
        return stream
    }

    /// Writes HEADERS with a head that was made for HTTP/1.1.
    package mutating func writeHead(
        _ head: ByteBuffer, isSecure: Bool, of stream: HTTP2ClientStream, endsStream: Bool, into output: inout ByteBuffer
    ) {
        let isFirst = !hasWrittenBlock
        hasWrittenBlock = true
        output.writeHeaders(stream.id, endsStream: endsStream) { output in
            if isFirst { output.writeHPACKTableSizeZero() }
            output.writeHPACKRequest(head, isSecure: isSecure)
        }
        if endsStream { stream.isRequestEnded = true }
    }

    /// Writes HEADERS with a block that is ready: one that puts nothing into the origin's table.
    package mutating func writeBlock(_ block: ByteBuffer, of stream: HTTP2ClientStream, endsStream: Bool, into output: inout ByteBuffer) {
        let isFirst = !hasWrittenBlock
        hasWrittenBlock = true
        output.writeHeaders(stream.id, endsStream: endsStream) { output in
            if isFirst { output.writeHPACKTableSizeZero() }
            output.writeImmutableBuffer(block)
        }
        if endsStream { stream.isRequestEnded = true }
    }

    /// More of a request's body has come from its client.
    package mutating func bodyMade(_ part: ByteBuffer, of stream: HTTP2ClientStream) {
        stream.append(part)
        makeReady(stream)
    }

    /// All of a request has come from its client.
    package mutating func requestMade(_ stream: HTTP2ClientStream, trailers: FieldSection?) {
        guard !stream.isRequestEnded else { return }
        stream.complete(trailers: trailers)
        makeReady(stream)
    }

    private mutating func makeReady(_ stream: HTTP2ClientStream) {
        guard !stream.isReady, stream.isSendable else { return }
        stream.isReady = true
        ready.append(stream)
    }

    /// Writes frames of requests' bodies, a frame of each stream in turn, until there are about so many bytes or nothing may be sent.
    package mutating func writeBodies(into output: inout ByteBuffer, bytesMax: Int) {
        // How many in a row could not send because of the connection's window.
        var stuck = 0
        while output.readableBytes < bytesMax, stuck < ready.count {
            let stream = ready.removeFirst()
            stream.isReady = false
            guard stream.isSendable else { continue }
            if writeNext(of: stream, into: &output) { stuck = 0 } else { stuck += 1 }
            makeReady(stream)
        }
    }

    /// - Returns: `false` when the connection's window does not let it.
    private mutating func writeNext(of stream: HTTP2ClientStream, into output: inout ByteBuffer) -> Bool {
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
        if stream.isFull, stream.queuedBytes <= HTTP2ClientStream.queuedBytesLow {
            stream.isFull = false
            relieved.append(stream)
        }
        guard isLast else { return true }
        if let trailers = stream.trailers { output.writeHeaders(stream.id, endsStream: true) { $0.writeHPACKFields(trailers) } }
        stream.isRequestEnded = true
        return true
    }

    /// Takes out the streams whose clients may send on.
    package mutating func takeRelieved() -> [HTTP2ClientStream] {
        guard !relieved.isEmpty else { return [] }
        defer { relieved.removeAll(keepingCapacity: true) }
        return relieved
    }

    // MARK: Frames

    /// Takes the next frame from the buffer.
    package mutating func next(_ buffer: inout ByteBuffer, now: NIODeadline) -> Input {
        if case .failed = state {
            buffer.moveReaderIndex(to: buffer.writerIndex)
            return .wait
        }
        guard let lengthAndType = buffer.getInteger(at: buffer.readerIndex, as: UInt32.self) else { return .wait }
        let count = Int(lengthAndType >> 8)
        if count > HTTP2Framing.frameBytesMax { return fail(.frameSizeError, "a frame over 16,384 bytes") }
        let type = HTTP2FrameType(rawValue: UInt8(truncatingIfNeeded: lengthAndType))
        // Before the frame is whole: who answers in HTTP/1 says nothing that would ever make one.
        if case .settings = state, type != .settings { return fail(.protocolError, "SETTINGS come first") }
        guard buffer.readableBytes >= HTTP2Framing.frameHeaderBytes + count else { return .wait }
        let flags = buffer.getInteger(at: buffer.readerIndex + 4, as: UInt8.self) ?? 0
        let id = (buffer.getInteger(at: buffer.readerIndex + 5, as: UInt32.self) ?? 0) & 0x7FFF_FFFF
        buffer.moveReaderIndex(forwardBy: HTTP2Framing.frameHeaderBytes)
        guard var payload = buffer.readSlice(length: count) else { return .wait }
        if case .settings = state {
            guard flags & HTTP2Flags.acknowledgement == 0 else { return fail(.protocolError, "SETTINGS come first") }
            let input = settingsReceived(id, flags, &payload, now: now)
            if case .failed = input { return input }
            state = .open
            return .established
        }
        if let block {
            guard type == .continuation, id == block.stream else { return fail(.protocolError, "a header block is torn apart") }
        }
        switch type {
        case .data: return dataReceived(id, flags, &payload, now: now)
        case .headers: return headersReceived(id, flags, &payload, now: now)
        case .continuation: return continuationReceived(flags, &payload, now: now)
        case .priority:
            guard id != 0 else { return fail(.protocolError, "PRIORITY of no stream") }
            guard payload.readableBytes == 5 else { return fail(.frameSizeError, "PRIORITY") }
            return guardian.allows(.priorities, now: now) ? .handled : calm(.priorities)
        case .resetStream: return resetReceived(id, payload, now: now)
        case .settings: return settingsReceived(id, flags, &payload, now: now)
        case .pushPromise: return fail(.protocolError, "a promise that nobody wants")
        case .ping: return pingReceived(id, flags, payload, now: now)
        case .goAway: return goAwayReceived(id, &payload, now: now)
        case .windowUpdate: return windowUpdateReceived(id, &payload, now: now)
        case .priorityUpdate: return fail(.protocolError, "PRIORITY_UPDATE is a client's")
        case nil: return guardian.allows(.unknownFrames, now: now) ? .handled : calm(.unknownFrames)
        }
    }

    private mutating func fail(_ code: HTTP2ErrorCode, _ text: StaticString, _ flood: HTTP2Flood? = nil) -> Input {
        state = .failed
        block = nil
        isGoAwaySent = true
        // No stream is the origin's.
        control.writeGoAway(lastStream: 0, code, text: text)
        return .failed(code, flood)
    }

    private mutating func calm(_ flood: HTTP2Flood) -> Input { fail(.enhanceYourCalm, "too much of that", flood) }

    /// A mistake of the origin's that concerns one stream.
    private mutating func streamError(_ stream: HTTP2ClientStream, _ code: HTTP2ErrorCode) -> Input {
        control.writeResetStream(stream.id, code)
        remove(stream)
        return .ended(stream, .malformed)
    }

    private func index(_ id: UInt32) -> Int? {
        var (low, high) = (0, streams.count)
        while low < high {
            let middle = (low + high) / 2
            if streams[middle].id < id { low = middle + 1 } else { high = middle }
        }
        return low < streams.count && streams[low].id == id ? low : nil
    }

    private func find(_ id: UInt32) -> HTTP2ClientStream? { index(id).map { streams[$0] } }

    /// Sends nothing more of a stream's request.
    private mutating func stop(_ stream: HTTP2ClientStream) {
        if stream.isReady { ready.removeAll { $0 === stream } }
        stream.isReady = false
        stream.stop()
    }

    private mutating func remove(_ stream: HTTP2ClientStream) {
        guard let index = index(stream.id) else { return }
        streams.remove(at: index)
        if stream.isReady { ready.removeAll { $0 === stream } }
        // What nobody took of its body is nobody's now.
        giveBack(stream.heldBytes, held: true)
        stream.close()
        guardian.requestEnded()
    }

    private mutating func remember(_ id: UInt32) {
        if remembered.count < Self.rememberedMax {
            remembered.append(id)
        } else {
            remembered[rememberedNext] = id
            rememberedNext = (rememberedNext + 1) % Self.rememberedMax
        }
    }

    /// Something has come for a stream that is not there: on its way when we gave it up, or a mistake.
    private mutating func endedReceived(_ id: UInt32) -> Input {
        remembered.contains(id) ? fail(.streamClosed, "a frame on a stream that it has ended") : .handled
    }

    /// Whether no request had this number.
    private func isIdle(_ id: UInt32) -> Bool { id >= nextStream || id % 2 == 0 }

    /// Takes padding off.
    /// - Returns: whether it is as long as it may be.
    private static func unpad(_ payload: inout ByteBuffer, _ flags: UInt8) -> Bool {
        guard flags & HTTP2Flags.padded != 0 else { return true }
        guard let padding = payload.readInteger(as: UInt8.self), Int(padding) <= payload.readableBytes else { return false }
        payload.moveWriterIndex(to: payload.writerIndex - Int(padding))
        return true
    }

    // MARK: Responses

    /// - Source: RFC 9113 §6.2.
    private mutating func headersReceived(_ id: UInt32, _ flags: UInt8, _ payload: inout ByteBuffer, now: NIODeadline) -> Input {
        guard !isIdle(id) else { return fail(.protocolError, "HEADERS on a stream that nobody opened") }
        guard Self.unpad(&payload, flags) else { return fail(.protocolError, "padding over the frame") }
        if flags & HTTP2Flags.priority != 0 {
            guard payload.readInteger(as: UInt32.self) != nil, payload.readInteger(as: UInt8.self) != nil else { return fail(.frameSizeError, "HEADERS") }
        }
        let block = Block(stream: id, endsStream: flags & HTTP2Flags.endStream != 0, bytes: payload)
        guard block.bytes.readableBytes <= limits.headBytesMax else { return calm(.continuations) }
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
        guard block.frames <= Self.blockFramesMax, block.bytes.readableBytes <= limits.headBytesMax else { return calm(.continuations) }
        if flags & HTTP2Flags.endHeaders != 0 { return blockReceived(block, now: now) }
        self.block = block
        return .handled
    }

    private mutating func blockReceived(_ block: Block, now: NIODeadline) -> Input {
        let stream = find(block.stream)
        let isTrailers = stream?.hasHead ?? false
        var fields = HTTP2ResponseFields(limits: limits, isTrailers: isTrailers, keepsFields: keepsFields)
        var section = FieldSection()
        swap(&section, &head.fields)
        section.removeAll()
        // Also what nobody wants: the table is the connection's.
        do throws(HeaderBlockDecoder.Failure) {
            try decoder.decode(block.bytes.readableBytesUInt8Span) { known, name, value in fields.add(known, name, value, to: &section) }
        } catch {
            return fail(.compressionError, "a header block that cannot be read")
        }
        guard let stream else { return endedReceived(block.stream) }
        guard !stream.isResponseEnded else { return fail(.streamClosed, "HEADERS behind the end of a response") }
        if isTrailers {
            var ignored = ResponseHead()
            guard block.endsStream, fields.finish(&ignored, answering: stream.method, endsStream: true) == nil, stream.lengthLeft ?? 0 == 0 else {
                return streamError(stream, .protocolError)
            }
            stream.receivedTrailers = section
            stream.isResponseEnded = true
            return .trailers(stream)
        }
        swap(&section, &head.fields)
        guard fields.finish(&head, answering: stream.method, endsStream: block.endsStream) == nil else { return streamError(stream, .protocolError) }
        if head.status < 200 {
            stream.interimCount += 1
            return stream.interimCount > Self.interimMax ? streamError(stream, .enhanceYourCalm) : .interim(stream)
        }
        stream.hasHead = true
        stream.isResponseEnded = block.endsStream
        switch head.framing {
        case .none: stream.lengthLeft = 0
        case .length(let count): stream.lengthLeft = count
        case .chunked, .untilClose: break
        }
        return .head(stream)
    }

    /// - Source: RFC 9113 §6.1, §6.9.
    private mutating func dataReceived(_ id: UInt32, _ flags: UInt8, _ payload: inout ByteBuffer, now: NIODeadline) -> Input {
        guard !isIdle(id) else { return fail(.protocolError, "DATA on a stream that nobody opened") }
        let count = payload.readableBytes
        receiveWindow -= count
        guard receiveWindow >= 0 else { return fail(.flowControlError, "more than the window of the connection") }
        guard Self.unpad(&payload, flags) else { return fail(.protocolError, "padding over the frame") }
        let endsStream = flags & HTTP2Flags.endStream != 0
        // An event stream's parts may be of a few bytes each; one that is empty is of use to nobody.
        if payload.readableBytes == 0, !endsStream, !guardian.allows(.tinyData, now: now) { return calm(.tinyData) }
        guard let stream = find(id) else {
            giveBack(count, held: false)
            return endedReceived(id)
        }
        guard !stream.isResponseEnded else { return fail(.streamClosed, "DATA behind the end of a response") }
        stream.receiveWindow -= count
        guard stream.receiveWindow >= 0 else {
            giveBack(count, held: false)
            return streamError(stream, .flowControlError)
        }
        let left = stream.lengthLeft.map { $0 - payload.readableBytes }
        guard stream.hasHead, left ?? 0 >= 0, !endsStream || left ?? 0 == 0 else {
            giveBack(count, held: false)
            return streamError(stream, .protocolError)
        }
        stream.lengthLeft = left
        stream.isResponseEnded = endsStream
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

    /// Lets the origin send so many bytes more, over all streams.
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

    /// Somebody has taken bytes of a response's body.
    package mutating func bodyTaken(_ count: Int, of stream: HTTP2ClientStream) {
        giveBack(count, held: true)
        stream.ungiven += count
        guard !stream.isResponseEnded, !stream.isClosed, stream.ungiven >= Self.streamWindow / 4 else { return }
        control.writeWindowUpdate(stream.id, stream.ungiven)
        stream.receiveWindow += stream.ungiven
        stream.ungiven = 0
    }

    /// Lets a stream go whose response is here. What was not sent of its request is not wanted any more.
    /// - Source: RFC 9113 §8.1.
    package mutating func finish(_ stream: HTTP2ClientStream) {
        guard !stream.isClosed else { return }
        if !stream.isRequestEnded { control.writeResetStream(stream.id, .cancel) }
        remember(stream.id)
        remove(stream)
    }

    /// Gives a stream up.
    package mutating func reset(_ stream: HTTP2ClientStream, _ code: HTTP2ErrorCode) {
        guard !stream.isClosed else { return }
        if !isFailed { control.writeResetStream(stream.id, code) }
        remove(stream)
    }

    // MARK: The connection's own

    /// - Source: RFC 9113 §6.4.
    private mutating func resetReceived(_ id: UInt32, _ payload: ByteBuffer, now: NIODeadline) -> Input {
        guard !isIdle(id) else { return fail(.protocolError, "RST_STREAM of a stream that nobody opened") }
        guard payload.readableBytes == 4, let code = payload.getInteger(at: payload.readerIndex, as: UInt32.self) else {
            return fail(.frameSizeError, "RST_STREAM")
        }
        // Each stream has cost a request of ours, and behind an early response the origin stops the rest of that (RFC 9113 §8.1); more than once,
        // there is no need to say it.
        guard let stream = find(id) else { return guardian.allows(.resets, now: now) ? .handled : calm(.resets) }
        // The response is here, if it is not passed on yet: it is the rest of the request that is not wanted (RFC 9113 §8.1).
        if stream.isResponseEnded {
            stop(stream)
            return .handled
        }
        remove(stream)
        switch HTTP2ErrorCode(rawValue: code) {
        case .refusedStream where !stream.hasHead: return .ended(stream, .refused)
        case .http11Required where !stream.hasHead: return .ended(stream, .http1Required)
        default: return .ended(stream, .reset(code))
        }
    }

    /// - Source: RFC 9113 §6.5.
    private mutating func settingsReceived(_ id: UInt32, _ flags: UInt8, _ payload: inout ByteBuffer, now: NIODeadline) -> Input {
        guard id == 0 else { return fail(.protocolError, "SETTINGS on a stream") }
        guard guardian.allows(.settings, now: now) else { return calm(.settings) }
        if flags & HTTP2Flags.acknowledgement != 0 {
            return payload.readableBytes == 0 ? .handled : fail(.frameSizeError, "an acknowledgement with settings")
        }
        guard payload.readableBytes % 6 == 0 else { return fail(.frameSizeError, "SETTINGS") }
        var (hasOpened, hasLimit) = (false, false)
        while let number = payload.readInteger(as: UInt16.self), let value = payload.readInteger(as: UInt32.self) {
            switch HTTP2Setting(rawValue: number) {
            case .enablePush:
                // §6.5.2: a server never says 1.
                guard value == 0 else { return fail(.protocolError, "SETTINGS_ENABLE_PUSH") }
            case .initialWindowSize:
                guard value <= UInt32(Int32.max) else { return fail(.flowControlError, "SETTINGS_INITIAL_WINDOW_SIZE") }
                let change = Int(value) - initialSendWindow
                initialSendWindow = Int(value)
                for stream in streams {
                    stream.sendWindow += change
                    guard stream.sendWindow <= HTTP2Framing.windowMax else { return fail(.flowControlError, "a window over 2³¹-1") }
                    makeReady(stream)
                }
                hasOpened = hasOpened || change > 0
            case .maxFrameSize:
                guard (16_384...16_777_215).contains(value) else { return fail(.protocolError, "SETTINGS_MAX_FRAME_SIZE") }
            case .maxConcurrentStreams:
                originStreamsMax = Int(value)
                hasLimit = true
            // Nothing is put into the origin's table; what its heads may be it says itself, by 431.
            case .headerTableSize, .maxHeaderListSize, .enableConnectProtocol, .noRFC7540Priorities, nil: break
            }
        }
        control.writeFrameHeader(.settings, flags: HTTP2Flags.acknowledgement, stream: 0, count: 0)
        return hasLimit ? .limitChanged : hasOpened ? .windowOpened : .handled
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

    /// - Source: RFC 9113 §6.8, §8.7.
    private mutating func goAwayReceived(_ id: UInt32, _ payload: inout ByteBuffer, now: NIODeadline) -> Input {
        guard id == 0 else { return fail(.protocolError, "GOAWAY on a stream") }
        guard let last = payload.readInteger(as: UInt32.self), payload.readInteger(as: UInt32.self) != nil else { return fail(.frameSizeError, "GOAWAY") }
        guard guardian.allows(.settings, now: now) else { return calm(.settings) }
        isLeaving = true
        let unprocessed = streams.filter { $0.id > last & 0x7FFF_FFFF }
        for stream in unprocessed { remove(stream) }
        return .leaving(unprocessed: unprocessed)
    }

    /// - Source: RFC 9113 §6.9.
    private mutating func windowUpdateReceived(_ id: UInt32, _ payload: inout ByteBuffer, now: NIODeadline) -> Input {
        guard payload.readableBytes == 4, let value = payload.readInteger(as: UInt32.self) else { return fail(.frameSizeError, "WINDOW_UPDATE") }
        guard guardian.allows(.windowUpdates, now: now) else { return calm(.windowUpdates) }
        let increment = Int(value & 0x7FFF_FFFF)
        if id == 0 {
            guard increment > 0 else { return fail(.protocolError, "a window that opens by nothing") }
            sendWindow += increment
            return sendWindow <= HTTP2Framing.windowMax ? .windowOpened : fail(.flowControlError, "a window over 2³¹-1")
        }
        guard !isIdle(id) else { return fail(.protocolError, "WINDOW_UPDATE of a stream that nobody opened") }
        guard let stream = find(id) else { return .handled }
        guard increment > 0 else { return streamError(stream, .protocolError) }
        stream.sendWindow += increment
        guard stream.sendWindow <= HTTP2Framing.windowMax else { return streamError(stream, .flowControlError) }
        makeReady(stream)
        return .windowOpened
    }

    // MARK: End

    /// No request is begun from here on.
    package mutating func retire() {
        isLeaving = true
    }

    /// Says that the connection ends here.
    package mutating func close() {
        isLeaving = true
        guard !isGoAwaySent else { return }
        isGoAwaySent = true
        control.writeGoAway(lastStream: 0, .noError)
    }

    // MARK: Tests

    /// What must hold between any two events.
    package func checkInvariants() {
        precondition(zip(streams, streams.dropFirst()).allSatisfy { $0.id < $1.id }, "streams are in their order")
        precondition(streams.allSatisfy { !$0.isClosed && $0.id < nextStream && $0.id % 2 == 1 })
        precondition(streams.count <= streamsMax, "more requests than may be under way")
        precondition(sendWindow <= HTTP2Framing.windowMax && receiveWindow >= 0 || isFailed)
        precondition(heldBytes >= 0 && ungivenHeld >= 0 && ungivenHeld <= heldBytes && ungiven >= 0)
        precondition(streams.reduce(0) { $0 + $1.heldBytes } <= heldBytes, "what is held is counted")
        precondition(heldBytes <= Self.connectionWindow * 3 / 2 + HTTP2Framing.frameBytesMax, "more is held than the windows let come")
        precondition(remembered.count <= Self.rememberedMax && ready.count <= streams.count + Self.rememberedMax)
    }
}
