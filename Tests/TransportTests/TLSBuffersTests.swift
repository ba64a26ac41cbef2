import Glibc
import NIOCore
import NIOPosix
import Testing

@testable import Transport

@Suite(.serialized) struct TLSBuffersTests {
    /// Allocates as NIOSSL's handler does when it is added to a pipeline.
    private static func withBuffers(_ test: @escaping @Sendable (any Channel) throws -> Void) async throws {
        var ends: [CInt] = [-1, -1]
        try #require(socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends) == 0)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let channel = try await ClientBootstrap(group: group).withConnectedSocket(ends[0]).get()
        try await channel.eventLoop.submit { try test(channel) }.get()
        try await channel.close()
        try await group.shutdownGracefully()
        close(ends[1])
    }

    private static func allocate(_ channel: any Channel) throws -> (buffers: TLSBuffers, outgoing: ByteBuffer, decrypted: ByteBuffer) {
        var (outgoing, decrypted) = (ByteBuffer(), ByteBuffer())
        let buffers = try TLSBuffers.adding(to: channel) {
            outgoing = channel.allocator.buffer(capacity: 16 << 10)
            decrypted = channel.allocator.buffer(capacity: 32 << 10)
        }
        return (buffers, outgoing, decrypted)
    }

    /// Pages of a buffer that the kernel has memory for.
    private static func residentPages(_ buffer: ByteBuffer) -> Int {
        buffer.withVeryUnsafeBytes { bytes in
            var pages = [UInt8](repeating: 0, count: bytes.count / 4096)
            guard mincore(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count, &pages) == 0 else { return -1 }
            return pages.count { $0 & 1 == 1 }
        }
    }

    @Test func `memory that is given back comes back when it is written to`() async throws {
        try await Self.withBuffers { channel in
            var own = try Self.allocate(channel)
            for text in ["first", "second"] {
                own.outgoing.clear()
                own.outgoing.writeRepeatingByte(1, count: 16 << 10)
                own.decrypted.clear()
                own.decrypted.writeString(text)
                #expect(Self.residentPages(own.outgoing) == 4)
                #expect(Self.residentPages(own.decrypted) >= 1)
                #expect(own.decrypted.getString(at: 0, length: text.utf8.count) == text)
                own.buffers.giveBack()
                #expect(Self.residentPages(own.outgoing) == 0)
                #expect(Self.residentPages(own.decrypted) == 0)
            }
        }
    }

    @Test func `the memory of another connection is not given back`() async throws {
        try await Self.withBuffers { channel in
            let gone = try Self.allocate(channel).buffers
            var own = try Self.allocate(channel)
            own.outgoing.writeString("encrypted")
            own.decrypted.writeString("decrypted")
            gone.giveBack()
            #expect(own.outgoing.readString(length: 9) == "encrypted")
            #expect(own.decrypted.readString(length: 9) == "decrypted")
            own.buffers.giveBack()
            #expect(Self.residentPages(own.decrypted) == 0)
        }
    }

    @Test func `a buffer may outgrow its place, and others are malloc's`() async throws {
        try await Self.withBuffers { channel in
            var decrypted = try Self.allocate(channel).decrypted
            for number in 0..<UInt32(50_000) { decrypted.writeInteger(number) }
            let firstWrong = (0..<UInt32(50_000)).first { decrypted.readInteger() != $0 }
            #expect(firstWrong == nil)
            var small = TLSBuffers.allocator.buffer(capacity: 100)
            for number in 0..<UInt32(50_000) { small.writeInteger(number) }
            #expect((0..<UInt32(50_000)).first { small.readInteger() != $0 } == nil)
        }
    }
}
