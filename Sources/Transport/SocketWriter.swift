import CEpoll
import Glibc
public import NIOCore

/// Writes to a connection: into its socket at once, past the channel and its pipeline, while the channel has nothing to write itself.
///
/// Mostly the kernel takes all there is, and then the pipeline, its boxes and the queue behind it are for nothing: some 2,800 instructions in user
/// space for each write, of the 23,400 that a transaction of the pooler took. What the kernel does not take, and all that follows until it has it, is
/// the channel's to write, and so is what fails: its errors, its promises and its writability are what they always are.
///
/// Belongs to its event loop: not Sendable. The handler that has it writes by it alone, and lets go of it when it is removed.
public final class SocketWriter {
    private let context: ChannelHandlerContext
    private let channel: any Channel
    /// The channel's to close. It is used while the channel is active, which it is on its event loop until just after it has closed it.
    private let descriptor: CInt?
    /// What was written since the last flush, if it is one piece; several are the channel's, which gives them to the kernel together.
    private var held: ByteBuffer?
    /// Writes that the channel has not ended.
    private var queuedCount = 0

    /// - Parameter isPlain: nothing in the pipeline changes the bytes on their way, as TLS does.
    public init(_ context: ChannelHandlerContext, isPlain: Bool) {
        self.context = context
        channel = context.channel
        descriptor =
            if !isPlain {
                nil
            } else if let socket = channel as? SocketChannel {
                socket.descriptor
            } else {
                (channel._channelCore as? any NIOTransportAccessibleChannelCore).flatMap { Self.descriptor(of: $0) }
            }
    }

    /// Through the pipeline it would be asked whether it has a transport of this type, for which the type is made anew: 14,000 instructions.
    private static func descriptor(of core: some NIOTransportAccessibleChannelCore) -> CInt? {
        (try? core.withUnsafeTransport { $0 as? NIOBSDSocket.Handle }) ?? nil
    }

    /// Goes out with the next ``flush()``.
    public func write(_ bytes: ByteBuffer) {
        guard descriptor != nil else { return context.write(NIOAny(bytes), promise: nil) }
        guard queuedCount == 0, held == nil else { return queue(NIOAny(bytes), context.eventLoop.makePromise()) }
        held = bytes
    }

    /// The same by way of the channel, since somebody waits for its end.
    public func write(_ bytes: ByteBuffer, promise: EventLoopPromise<Void>) {
        guard descriptor != nil else { return context.write(NIOAny(bytes), promise: promise) }
        queue(NIOAny(bytes), promise)
    }

    /// A stretch of a file, behind what was written since the last flush: the kernel holds that back to send it with the stretch (`MSG_MORE`), and not in a
    /// segment of its own, for which the other side would wake.
    public func write(_ region: FileRegion, promise: EventLoopPromise<Void>) {
        let data = NIOAny(IOData.fileRegion(region))
        guard descriptor != nil else { return context.write(data, promise: promise) }
        sendHeld(CInt(MSG_MORE))
        queue(data, promise)
    }

    /// Gives the kernel a stretch of a file at once, behind what was written since the last flush. While the other side takes it there is no end to
    /// this: nobody should give one after the other in one turn.
    /// - Returns: how many bytes of it the kernel has taken; what is left is for ``write(_:promise:)-(FileRegion,_)``.
    public func sendNow(_ range: Range<Int>, ofFile file: CInt) -> Int {
        guard let descriptor, channel.isActive else { return 0 }
        sendHeld(CInt(MSG_MORE))
        guard queuedCount == 0 else { return 0 }
        var offset = off_t(range.lowerBound)
        return max(0, sendfile(descriptor, file, &offset, range.count))
    }

    private func sendHeld(_ flags: CInt) {
        guard let bytes = held else { return }
        held = nil
        if let rest = rest(of: bytes, flags) { queue(NIOAny(rest), context.eventLoop.makePromise()) }
    }

    public func flush() {
        guard let bytes = held else {
            if queuedCount > 0 || descriptor == nil { context.flush() }
            return
        }
        held = nil
        send(bytes)
    }

    /// ``write(_:)`` and ``flush()``.
    public func writeAndFlush(_ bytes: ByteBuffer) {
        guard held == nil, queuedCount == 0, descriptor != nil else {
            write(bytes)
            return flush()
        }
        send(bytes)
    }

    /// The same of bytes in somebody else's memory: what the kernel takes at once is not copied.
    public func writeAndFlush(_ bytes: UnsafeRawBufferPointer) {
        var sentCount = 0
        if let descriptor, held == nil, queuedCount == 0, channel.isActive {
            sentCount = max(Glibc.send(descriptor, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL)), 0)
            guard sentCount < bytes.count else { return }
        }
        let rest = channel.allocator.buffer(bytes: bytes[sentCount...])
        if descriptor == nil { context.write(NIOAny(rest), promise: nil) } else { queue(NIOAny(rest), context.eventLoop.makePromise()) }
        context.flush()
    }

    private func send(_ bytes: ByteBuffer) {
        guard let rest = rest(of: bytes, 0) else { return }
        queue(NIOAny(rest), context.eventLoop.makePromise())
        context.flush()
    }

    /// - Returns: what the kernel has not taken; `nil` when it took all.
    private func rest(of bytes: ByteBuffer, _ flags: CInt) -> ByteBuffer? {
        guard let descriptor, channel.isActive else { return bytes }
        let count = bytes.withUnsafeReadableBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL) | flags) }
        guard count < bytes.readableBytes else { return nil }
        var rest = bytes
        if count > 0 { rest.moveReaderIndex(forwardBy: count) }
        return rest
    }

    private func queue(_ data: NIOAny, _ promise: EventLoopPromise<Void>) {
        queuedCount += 1
        promise.futureResult.assumeIsolated().whenComplete { [self] _ in queuedCount -= 1 }
        guard let bytes = held else { return context.write(data, promise: promise) }
        held = nil
        queue(NIOAny(bytes), context.eventLoop.makePromise())
        context.write(data, promise: promise)
    }
}
