import Dispatch
import NIOCore
import NIOPosix
import Testing

import Transport

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

@Suite struct SocketWriterTests {
    private static let numberCount: UInt32 = 200_000

    /// Writes numbers in one turn of its event loop, far more than a socket takes at once.
    private final class Scribe: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        let isPlain: Bool
        let isHalfWritten: DispatchSemaphore

        init(isPlain: Bool, isHalfWritten: DispatchSemaphore) { (self.isPlain, self.isHalfWritten) = (isPlain, isHalfWritten) }

        func channelActive(context: ChannelHandlerContext) {
            let writer = SocketWriter(context, isPlain: isPlain)
            for start in stride(from: 0, to: SocketWriterTests.numberCount, by: 1_000) {
                var bytes = ByteBuffer()
                for number in start..<start + 1_000 { bytes.writeInteger(number) }
                writer.writeAndFlush(bytes)
                guard start == SocketWriterTests.numberCount / 2 else { continue }
                // The socket is full and the channel has the rest: room that the other side makes now is not for what follows.
                isHalfWritten.signal()
                usleep(50_000)
            }
        }
    }

    private static func readAll(_ end: CInt, after isHalfWritten: DispatchSemaphore) -> ByteBuffer {
        isHalfWritten.wait()
        var received = ByteBuffer()
        while received.readableBytes < Int(Self.numberCount) * 4 {
            let count = received.writeWithUnsafeMutableBytes(minimumWritableBytes: 8 << 10) { max(0, read(end, $0.baseAddress, 8 << 10)) }
            if count == 0 { break }
        }
        return received
    }

    @Test(arguments: [true, false])
    func `all is written in its order, while the other side makes room, and what the kernel does not take is the channel's`(isPlain: Bool) async throws {
        var ends: [CInt] = [-1, -1]
        try #require(socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends) == 0)
        let end = ends[1]
        let isHalfWritten = DispatchSemaphore(value: 0)
        let reader = Task.detached { Self.readAll(end, after: isHalfWritten) }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let channel = try await ClientBootstrap(group: group).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Scribe(isPlain: isPlain, isHalfWritten: isHalfWritten)) }
        }.withConnectedSocket(ends[0]).get()
        var received = await reader.value
        #expect(received.readableBytes == Int(Self.numberCount) * 4)
        let firstWrong = (0..<Self.numberCount).first { received.readInteger() != $0 }
        #expect(firstWrong == nil)
        try await channel.close()
        try await group.shutdownGracefully()
        close(end)
    }
}
