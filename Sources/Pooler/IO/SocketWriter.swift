import NIOCore

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Writes to a connection: into its socket at once, past the channel and its pipeline, while the channel has nothing to write itself.
///
/// Mostly the kernel takes all there is, and then the pipeline, its boxes and the queue behind it are for nothing: 5,800 of the 23,400 instructions in
/// user space that a transaction took went into two such writes. What the kernel does not take, and all that follows until it has it, is the
/// channel's to write, and so is what fails: its errors, its promises and its writability are what they always are.
///
/// Belongs to its event loop: not Sendable. Who has it lets go of it with the channel.
final class SocketWriter {
    private let channel: any Channel
    /// The channel's to close. It is used while the channel is active, which it is on its event loop until just after it has closed it.
    private let descriptor: CInt?
    /// Writes that the channel has not ended.
    private var queuedCount = 0

    /// - Parameter isPlain: nothing in the pipeline changes the bytes on their way, as TLS does.
    init(_ channel: any Channel, isPlain: Bool) {
        self.channel = channel
        descriptor = isPlain ? try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { $0 } : nil
    }

    func write(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        var rest = bytes
        if let descriptor, queuedCount == 0, channel.isActive {
            let taken = bytes.withUnsafeReadableBytes { send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            guard taken < bytes.readableBytes else { return }
            if taken > 0 { rest.moveReaderIndex(forwardBy: taken) }
        }
        guard descriptor != nil else { return context.writeAndFlush(NIOAny(rest), promise: nil) }
        queuedCount += 1
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { [self] _ in queuedCount -= 1 }
        context.writeAndFlush(NIOAny(rest), promise: promise)
    }
}
