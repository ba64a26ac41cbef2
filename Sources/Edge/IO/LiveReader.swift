import HTTPSemantics
import NIOCore

/// One client's way through a response that is being fetched, or that is stored in several pieces: from the first byte, at its own pace, in
/// its own coding. Belongs to the client's event loop; the fetch may be on another one.
final class LiveReader {
    /// What becomes of the bytes.
    enum Use {
        /// All of them, through a compressor if there is one.
        case all(StreamingCompressor?, flushes: Bool)
        /// Some of them.
        case part(Range<Int>)
        /// None: what is asked for can be answered from the whole only, which will be stored.
        case whole
    }

    /// Bytes that are written within a turn; then the channel has its say about how many it takes.
    private static let turnBytesMax = 256 << 10

    private let body: GrowingBody
    private let use: Use
    private var handler: HTTPServerHandler?
    private var id: UInt64 = 0
    private var offset = 0
    private var isPumping = false
    private var holdsBack = false
    /// Bytes that are held for this client alone, if the store drops them; counted in ``EdgeMetrics/heldBodyBytes``.
    private var held = 0

    /// - Returns: `nil` when the response's beginning is there no more.
    init?(_ body: GrowingBody, _ use: Use, for handler: HTTPServerHandler, held: Int = 0) {
        self.body = body
        self.use = use
        self.handler = handler
        let eventLoop = handler.worker.eventLoop
        let bound = NIOLoopBound(Weak(self), eventLoop: eventLoop)
        let id = body.join {
            if eventLoop.inEventLoop { bound.value.reader?.pump() } else { eventLoop.execute { bound.value.reader?.pump() } }
        }
        guard let id else { return nil }
        self.id = id
        self.held = held
        handler.worker.metrics.heldBodyBytes.add(held)
    }

    private struct Weak {
        weak var reader: LiveReader?

        init(_ reader: LiveReader) {
            self.reader = reader
        }
    }

    /// The client is gone, or has what it asked for.
    func leave() {
        if held > 0 { handler?.worker.metrics.heldBodyBytes.subtract(held) }
        held = 0
        handler = nil
        body.leave(id)
    }

    /// Why a turn ended.
    private enum Stop {
        /// It was long enough.
        case turnIsFull
        /// The client takes no more.
        case clientIsFull
        /// Nothing is left to be done now.
        case done
    }

    /// Sends what is there, as far as the client takes it.
    func pump() {
        guard !isPumping else { return }
        isPumping = true
        loop: while let handler, handler.isOpen {
            var stop = Stop.done
            handler.gather { stop = pumpOnce(handler) }
            switch stop {
            case .done: break loop
            case .clientIsFull:
                // The flush behind the turn may have made room at once, and what said so found us here.
                if !handler.isWritable { break loop }
            case .turnIsFull:
                guard handler.isInTurn else { continue }
                // What this turn gathers must go out before there is room for more.
                let bound = NIOLoopBound(Weak(self), eventLoop: handler.worker.eventLoop)
                handler.worker.eventLoop.execute { bound.value.reader?.pump() }
                break loop
            }
        }
        isPumping = false
    }

    private func pumpOnce(_ handler: HTTPServerHandler) -> Stop {
        var sent = 0
        while sent < Self.turnBytesMax {
            if case .whole = use {} else if !handler.isWritable { return .clientIsFull }
            switch body.next(id) {
            case .part(let part):
                sent += part.readableBytes
                if held > 0 {
                    held -= part.readableBytes
                    handler.worker.metrics.heldBodyBytes.subtract(part.readableBytes)
                }
                guard send(part, to: handler) else { return .done }
            case .wait:
                if holdsBack, case .all(let stream?, flushes: true) = use {
                    holdsBack = false
                    compress(ByteBuffer(), stream, to: handler, flush: true)
                }
                return .done
            case .end(let trailers):
                end(trailers, handler)
                return .done
            case .broken(let failure):
                leave()
                handler.failResponse(failure, now: .now())
                return .done
            }
        }
        return .turnIsFull
    }

    private func send(_ part: ByteBuffer, to handler: HTTPServerHandler) -> Bool {
        let start = offset
        offset += part.readableBytes
        switch use {
        case .all(nil, _):
            handler.sendBody(part)
        case .all(let stream?, _):
            holdsBack = true
            return compress(part, stream, to: handler, flush: false)
        case .part(let range):
            let wanted = range.clamped(to: start..<offset)
            if !wanted.isEmpty, let piece = part.getSlice(at: part.readerIndex + wanted.lowerBound - start, length: wanted.count) {
                handler.sendBody(piece)
            }
            if offset >= range.upperBound {
                leave()
                handler.endResponse(trailers: nil, now: .now())
                return false
            }
        case .whole:
            break
        }
        return true
    }

    @discardableResult
    private func compress(_ part: ByteBuffer, _ stream: StreamingCompressor, to handler: HTTPServerHandler, flush: Bool) -> Bool {
        var compressed = ByteBuffer()
        do {
            try stream.compress(part, flush: flush, into: &compressed)
            handler.noteCompressed(by: stream)
            handler.sendBody(compressed)
            return true
        } catch {
            leave()
            handler.failResponse(.truncated, now: .now())
            return false
        }
    }

    private func end(_ trailers: FieldSection?, _ handler: HTTPServerHandler) {
        leave()
        switch use {
        case .all(let stream?, _):
            var rest = ByteBuffer()
            do {
                try stream.finish(into: &rest)
            } catch {
                return handler.failResponse(.truncated, now: .now())
            }
            handler.noteCompressed(by: stream)
            handler.sendBody(rest)
            handler.noteSaved(bytes: stream.bytesIn - stream.bytesOut)
            handler.endResponse(trailers: trailers, now: .now())
        case .all(nil, _):
            handler.endResponse(trailers: trailers, now: .now())
        case .part:
            // The length that was promised is not that which came.
            handler.failResponse(.truncated, now: .now())
        case .whole:
            handler.wholeIsThere(now: .now())
        }
    }
}
