import Foundation
import NIOCore
import NIOPosix
import Telemetry
import TestSupport
import Testing

@testable import Transport

@Suite struct ListenerTests {
    /// Sends back what comes.
    private final class Echo: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        func channelRead(context: ChannelHandlerContext, data: NIOAny) { context.writeAndFlush(data, promise: nil) }
    }

    private static func answer(_ client: RawClient, _ text: String) -> String {
        var answer = ""
        let end = Date().addingTimeInterval(20)
        while answer.count < text.count, !client.isClosedByPeer, Date() < end { answer += client.readAvailable(milliseconds: 10) }
        return answer
    }

    private static var path: String { "/tmp/headrace-\(UInt64.random(in: .min ... .max)).sock" }

    @Test func `who is accepted for a loop that is busy is served, though the listener has closed meanwhile`() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let accepting = Lock<(any EventLoop)?>(nil)
        let listener = try await Listener.bind(.tcp(host: "127.0.0.1", port: 0), group: group) { channel in
            accepting.withLock { $0 = channel.parent?.eventLoop }
            try channel.pipeline.syncOperations.addHandler(Echo())
        }
        let port = listener.address.port ?? 0
        let first = try RawClient(port: port)
        first.send("first")
        #expect(Self.answer(first, "first") == "first")
        let loop = try #require(accepting.withLock { $0 })
        let other = try #require(group.makeIterator().first { $0 !== loop })
        let isHeld = DispatchSemaphore(value: 0)
        other.execute { isHeld.wait() }
        // One of two is that loop's.
        let clients = try (0..<2).map { _ in try RawClient(port: port) }
        for client in clients { client.send("hello") }
        await listener.close()
        isHeld.signal()
        for client in clients { #expect(Self.answer(client, "hello") == "hello") }
        try await group.shutdownGracefully()
    }

    @Test(arguments: [true, false]) func `who waits in a Unix socket when the listener closes is served`(isOnSocketLoop: Bool) async throws {
        let path = Self.path
        let (loop, group) = (SocketLoop(), MultiThreadedEventLoopGroup(numberOfThreads: 1))
        let listener = isOnSocketLoop
            ? try await Listener.bind(.unix(path: path), loops: [loop], awaitsData: false) { try $0.pipeline.syncOperations.addHandler(Echo()) }
            : try await Listener.bind(.unix(path: path), group: group) { try $0.pipeline.syncOperations.addHandler(Echo()) }
        let busy: any EventLoop = isOnSocketLoop ? loop : group.next()
        let isHeld = DispatchSemaphore(value: 0)
        busy.execute { isHeld.wait() }
        // Connected by the kernel, and accepted by nobody yet.
        let clients = try (0..<20).map { _ in try RawClient(unixPath: path) }
        for client in clients { client.send("hello") }
        async let closed: Void = listener.close()
        try await Task.sleep(for: .milliseconds(30))
        isHeld.signal()
        await closed
        #expect(throws: RawClient.Failure.self) { try RawClient(unixPath: path) }
        for client in clients { #expect(Self.answer(client, "hello") == "hello") }
        try await loop.shutdownGracefully()
        try await group.shutdownGracefully()
    }

    @Test func `a socket's file that another listener has put in its place is left to that one`() async throws {
        let path = Self.path
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let listeners = [
            try await Listener.bind(.unix(path: path), group: group) { try $0.pipeline.syncOperations.addHandler(Echo()) },
            try await Listener.bind(.unix(path: path), group: group) { try $0.pipeline.syncOperations.addHandler(Echo()) },
        ]
        await listeners[0].close()
        let client = try RawClient(unixPath: path)
        client.send("hello")
        #expect(Self.answer(client, "hello") == "hello")
        await listeners[1].close()
        #expect(!FileManager.default.fileExists(atPath: path))
        try await group.shutdownGracefully()
    }

    @Test func `a socket is let in to again by who takes it over from one that has closed`() async throws {
        let bound = try ListeningSocket.bind(.tcp(host: "127.0.0.1", port: 0))
        defer { close(bound) }
        let port = try #require(SocketAddress(bound, isPeer: false)?.port)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        for _ in 0..<2 {
            // As a process that is started anew has it.
            let endpoint = SocketEndpoint.tcp(host: "127.0.0.1", port: 0)
            ListeningSocket.inherit(ListeningSocket.text(of: [(endpoint, dup(bound))]))
            let listener = try await Listener.bind(endpoint, group: group) { try $0.pipeline.syncOperations.addHandler(Echo()) }
            // By NIO, since it gives up after a time.
            let client = try await ClientBootstrap(group: group).connectTimeout(.seconds(5)).connect(host: "127.0.0.1", port: port).get()
            try await client.close()
            await listener.close()
        }
        try await group.shutdownGracefully()
    }
}
