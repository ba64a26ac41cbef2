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
        let lendsBytes: Bool
        let isHalfWritten: DispatchSemaphore

        init(isPlain: Bool, lendsBytes: Bool, isHalfWritten: DispatchSemaphore) {
            (self.isPlain, self.lendsBytes, self.isHalfWritten) = (isPlain, lendsBytes, isHalfWritten)
        }

        func channelActive(context: ChannelHandlerContext) {
            let writer = SocketWriter(context, isPlain: isPlain)
            for start in stride(from: 0, to: SocketWriterTests.numberCount, by: 1_000) {
                let bytes = SocketWriterTests.numbers(start..<start + 1_000)
                if lendsBytes { bytes.withUnsafeReadableBytes { writer.writeAndFlush($0) } } else { writer.writeAndFlush(bytes) }
                guard start == SocketWriterTests.numberCount / 2 else { continue }
                // The socket is full and the channel has the rest: room that the other side makes now is not for what follows.
                isHalfWritten.signal()
                usleep(50_000)
            }
        }
    }

    /// Writes numbers of which the middle lie in a file.
    private final class Copyist: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        let isPlain: Bool
        let file: CInt
        let taken: EventLoopPromise<Int>
        let isTaken: DispatchSemaphore

        init(isPlain: Bool, file: CInt, taken: EventLoopPromise<Int>, isTaken: DispatchSemaphore) {
            (self.isPlain, self.file, self.taken, self.isTaken) = (isPlain, file, taken, isTaken)
        }

        func channelActive(context: ChannelHandlerContext) {
            let writer = SocketWriter(context, isPlain: isPlain)
            let count = SocketWriterTests.numberCount
            writer.write(SocketWriterTests.numbers(0..<1_000))
            let range = 4_000..<Int(count) * 4 - 4_000
            let taken = writer.sendNow(range, ofFile: file)
            isTaken.signal()
            let handle = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: file)
            let written = context.eventLoop.makePromise(of: Void.self)
            written.futureResult.assumeIsolated().whenComplete { _ in try? handle.close() }
            writer.write(FileRegion(fileHandle: handle, readerIndex: range.lowerBound + taken, endIndex: range.upperBound), promise: written)
            writer.write(SocketWriterTests.numbers(count - 1_000..<count))
            writer.flush()
            self.taken.succeed(taken)
        }
    }

    private static func numbers(_ range: Range<UInt32>) -> ByteBuffer {
        var bytes = ByteBuffer()
        for number in range { bytes.writeInteger(number) }
        return bytes
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

    @Test(arguments: [true, false], [true, false])
    func `all is written in its order, while the other side makes room, and what the kernel does not take is the channel's`(
        isPlain: Bool, lendsBytes: Bool
    ) async throws {
        var ends: [CInt] = [-1, -1]
        try #require(socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends) == 0)
        let end = ends[1]
        let isHalfWritten = DispatchSemaphore(value: 0)
        let reader = Task.detached { Self.readAll(end, after: isHalfWritten) }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let channel = try await ClientBootstrap(group: group).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(Scribe(isPlain: isPlain, lendsBytes: lendsBytes, isHalfWritten: isHalfWritten))
            }
        }.withConnectedSocket(ends[0]).get()
        var received = await reader.value
        #expect(received.readableBytes == Int(Self.numberCount) * 4)
        let firstWrong = (0..<Self.numberCount).first { received.readInteger() != $0 }
        #expect(firstWrong == nil)
        try await channel.close()
        try await group.shutdownGracefully()
        close(end)
    }

    @Test(arguments: [true, false])
    func `a stretch of a file goes into the socket at once, behind what was written, and the rest of it by the channel`(isPlain: Bool) async throws {
        var ends: [CInt] = [-1, -1]
        try #require(socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends) == 0)
        let end = ends[1]
        var name = Array("/tmp/headrace-XXXXXX".utf8CString)
        let file = mkstemp(&name)
        unlink(name)
        let all = Self.numbers(0..<Self.numberCount)
        try #require(all.withUnsafeReadableBytes { write(file, $0.baseAddress, $0.count) } == all.readableBytes)
        let isTaken = DispatchSemaphore(value: 0)
        let reader = Task.detached { Self.readAll(end, after: isTaken) }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let taken = group.next().makePromise(of: Int.self)
        let channel = try await ClientBootstrap(group: group).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(Copyist(isPlain: isPlain, file: file, taken: taken, isTaken: isTaken))
            }
        }.withConnectedSocket(ends[0]).get()
        // A socket takes less than all of it.
        let count = try await taken.futureResult.get()
        #expect(isPlain ? (1..<all.readableBytes).contains(count) : count == 0)
        #expect(await reader.value == all)
        try await channel.close()
        try await group.shutdownGracefully()
        close(end)
    }
}
