import Dispatch
import Glibc
import NIOCore
import Synchronization
import Telemetry
import Testing

@testable import Transport

@Suite struct SocketLoopTests {
    @Test func `tasks of other threads run in their order, timers in theirs, and what is cancelled never`() async throws {
        let loop = SocketLoop()
        let seen = NIOLoopBoundBox.makeEmptyBox(valueType: [Int].self, eventLoop: loop)
        try await loop.submit { seen.value = [] }.get()
        for number in 0..<1_000 { loop.execute { seen.value?.append(number) } }
        #expect(try await loop.submit { seen.value }.get() == Array(0..<1_000))

        try await loop.submit { seen.value = [] }.get()
        let now = NIODeadline.now()
        let cancelled = loop.scheduleTask(deadline: now + .milliseconds(15)) { seen.value?.append(15) }
        let last = loop.scheduleTask(deadline: now + .milliseconds(40)) { seen.value?.append(40) }
        for milliseconds in [30, 10, 20, 1] as [Int64] {
            loop.scheduleTask(deadline: now + .milliseconds(milliseconds)) { seen.value?.append(Int(milliseconds)) }
        }
        cancelled.cancel()
        try await last.futureResult.get()
        #expect(try await loop.submit { seen.value }.get() == [1, 10, 20, 30, 40])
        await #expect(throws: EventLoopError.cancelled) { try await cancelled.futureResult.get() }
        #expect(NIODeadline.now() >= now + .milliseconds(40))
        try await loop.shutdownGracefully()
        // A second time it has ended already.
        try await loop.shutdownGracefully()
    }

    @Test func `of many timers each goes off in its turn, or never, and none is kept that was cancelled`() async throws {
        let loop = SocketLoop()
        let seen = NIOLoopBoundBox.makeEmptyBox(valueType: [Int].self, eventLoop: loop)
        let delays = (0..<500).map { Int64($0 * 7919 % 30 + 1) }
        let kept = try await loop.submit {
            seen.value = []
            let now = NIODeadline.now()
            let timers = delays.enumerated().map { index, delay in
                loop.scheduleTask(deadline: now + .milliseconds(delay)) { seen.value?.append(index) }
            }
            let hour = (0..<500).map { _ in loop.scheduleTask(in: .hours(1)) {} }
            for index in 0..<500 where index % 3 == 0 {
                timers[index].cancel()
                hour[index].cancel()
            }
            return loop.timersPending
        }.get()
        #expect(kept == 2 * (500 - 167))
        _ = try await loop.scheduleTask(in: .milliseconds(40)) {}.futureResult.get()
        let expected = delays.enumerated().filter { $0.offset % 3 != 0 }.sorted { ($0.element, $0.offset) < ($1.element, $1.offset) }.map(\.offset)
        #expect(try await loop.submit { seen.value }.get() == expected)
        try await loop.shutdownGracefully()
    }

    /// What a channel's reader has been given.
    private final class Reader: SocketReader {
        var received: [ByteBuffer] = []
        var wantsMore = true
        var whenReceived: () -> Void = {}

        func received(_ bytes: ByteBuffer) -> Bool {
            received.append(bytes)
            whenReceived()
            return wantsMore
        }

        var text: String { received.map { String(buffer: $0) }.joined() }
    }

    /// A reader on its loop, with the channel that it reads.
    private struct Adopted: Sendable {
        let loop: SocketLoop
        let reader: NIOLoopBound<Reader>
        let channel: SocketChannel

        static func make(_ descriptor: CInt, on loop: SocketLoop, hasData: Bool = false, wantsMore: Bool = true) async throws -> Adopted {
            try await loop.submit {
                let reader = Reader()
                reader.wantsMore = wantsMore
                let channel = try SocketChannel.adopt(descriptor, on: loop, hasData: hasData) { $0.reader = reader }
                return Adopted(loop: loop, reader: NIOLoopBound(reader, eventLoop: loop), channel: channel)
            }.get()
        }

        /// What it has received, once that is so much, or the channel's end.
        func text(count: Int) async throws -> String {
            while true {
                let text = try await loop.submit { reader.value.text }.get()
                if text.utf8.count >= count || !channel.isActive { return text }
                usleep(1_000)
            }
        }
    }

    private static func pair() throws -> (CInt, CInt) {
        var ends: [CInt] = [-1, -1]
        try #require(socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue), 0, &ends) == 0)
        return (ends[0], ends[1])
    }

    private static func say(_ text: String, to end: CInt) { _ = send(end, text, text.utf8.count, CInt(MSG_NOSIGNAL)) }

    @Test func `what is brought while the last turn goes on is done, and what is made then is closed`() throws {
        let loop = SocketLoop()
        let (end, ours) = try Self.pair()
        let (turn, last) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let (isInLastTurn, isDone) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        loop.execute { turn.wait() }
        loop.shutdownGracefully(queue: .global()) { _ in isDone.signal() }
        loop.execute {
            isInLastTurn.signal()
            last.wait()
        }
        turn.signal()
        isInLastTurn.wait()
        let isCarriedOut = Atomic(false)
        loop.execute {
            isCarriedOut.store(true, ordering: .relaxed)
            _ = try? SocketChannel.adopt(ours, on: loop) { _ in }
        }
        last.signal()
        isDone.wait()
        let wasCarriedOut = isCarriedOut.load(ordering: .relaxed)
        #expect(wasCarriedOut)
        var byte: UInt8 = 0
        #expect(recv(end, &byte, 1, CInt(MSG_DONTWAIT)) == 0, "the other side is told of its end")
        close(end)
    }

    @Test func `what lies in the socket is read when the channel begins, before the loop has waited for it`() async throws {
        let loop = SocketLoop()
        let (end, ours) = try Self.pair()
        Self.say("first", to: end)
        let received = try await loop.submit {
            let reader = Reader()
            let channel = try SocketChannel.adopt(ours, on: loop, hasData: true) { $0.reader = reader }
            defer { channel.close(promise: nil) }
            return reader.text
        }.get()
        #expect(received == "first")
        try await loop.shutdownGracefully()
        close(end)
    }

    @Test func `bytes that a reader keeps are not written over by what comes next`() async throws {
        let loop = SocketLoop()
        let (end, ours) = try Self.pair()
        let adopted = try await Adopted.make(ours, on: loop)
        var expected = ""
        for number in 0..<20 {
            Self.say("number \(number);", to: end)
            expected += "number \(number);"
            #expect(try await adopted.text(count: expected.utf8.count) == expected)
        }
        try await loop.shutdownGracefully()
        close(end)
    }

    @Test func `who wants no more is given nothing until it asks, or until the other side is gone`() async throws {
        let loop = SocketLoop()
        let (end, ours) = try Self.pair()
        let adopted = try await Adopted.make(ours, on: loop, wantsMore: false)
        Self.say("one", to: end)
        #expect(try await adopted.text(count: 3) == "one")
        // Nothing is asked for: a second turn of the loop has not read either.
        Self.say("two", to: end)
        for _ in 0..<3 { try await loop.submit {}.get() }
        #expect(try await loop.submit { adopted.reader.value.text }.get() == "one")
        try await loop.submit { adopted.channel.read0() }.get()
        #expect(try await adopted.text(count: 6) == "onetwo")
        Self.say("three", to: end)
        close(end)
        try await adopted.channel.closeFuture.get()
        #expect(try await loop.submit { adopted.reader.value.text }.get() == "onetwothree")
        try await loop.shutdownGracefully()
    }

    @Test func `what the kernel does not take is sent when there is room, and the channel says when it is writable again`() async throws {
        let loop = SocketLoop()
        let (end, ours) = try Self.pair()
        let adopted = try await Adopted.make(ours, on: loop)
        let (channel, count) = (adopted.channel, 1 << 20)
        let bytes = ByteBuffer(repeating: UInt8(ascii: "x"), count: count)
        let (written, next, lost) = (loop.makePromise(of: Void.self), loop.makePromise(of: Void.self), loop.makePromise(of: Void.self))
        channel.writeAndFlush(bytes, promise: written)
        channel.writeAndFlush(ByteBuffer(string: "end"), promise: next)
        #expect(try await loop.submit { channel.isWritable }.get() == false)
        let reader = Task.detached {
            var all = ByteBuffer()
            while all.readableBytes < count + 3 {
                let got = all.writeWithUnsafeMutableBytes(minimumWritableBytes: 65_536) { max(0, recv(end, $0.baseAddress, $0.count, 0)) }
                if got == 0 { usleep(500) }
            }
            return all
        }
        try await written.futureResult.get()
        try await next.futureResult.get()
        #expect(channel.isWritable)
        var received = await reader.value
        #expect(received.readSlice(length: count) == bytes)
        #expect(String(buffer: received) == "end")

        // What is still to be sent when it closes has failed.
        channel.writeAndFlush(bytes, promise: lost)
        try await channel.close()
        await #expect(throws: (any Error).self) { try await lost.futureResult.get() }
        try await loop.shutdownGracefully()
        close(end)
    }

    @Test func `a connection that is handed over goes on on another loop`() async throws {
        let (first, second) = (SocketLoop(), SocketLoop())
        let (end, ours) = try Self.pair()
        let before = try await Adopted.make(ours, on: first)
        Self.say("here", to: end)
        #expect(try await before.text(count: 4) == "here")
        let descriptor = try #require(try await first.submit { before.channel.surrender() }.get())
        #expect(descriptor == ours)
        #expect(!before.channel.isActive)
        let after = try await Adopted.make(descriptor, on: second)
        Self.say("there", to: end)
        #expect(try await after.text(count: 5) == "there")
        #expect(try await first.submit { before.reader.value.text }.get() == "here")
        try await first.shutdownGracefully()
        try await second.shutdownGracefully()
        // The loop that ends closes what it has.
        var byte: UInt8 = 0
        #expect(recv(end, &byte, 1, 0) == 0)
        close(end)
    }

    /// Notes what it is told of its channel's input.
    private final class InputEnd: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        var ends = 0
        var isInactive = false

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if let event = event as? ChannelEvent, event == .inputClosed { ends += 1 }
        }

        func channelInactive(context: ChannelHandlerContext) { isInactive = true }
    }

    @Test(arguments: [true, false]) func `who has said all may still read, where that is allowed, and what he said is read first`(wantsMore: Bool) async throws {
        let loop = SocketLoop()
        let (end, ours) = try Self.pair()
        let (adopted, told) = try await loop.submit {
            let (reader, told) = (Reader(), InputEnd())
            reader.wantsMore = wantsMore
            let channel = try SocketChannel.adopt(ours, on: loop) {
                $0.reader = reader
                try $0.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
                try $0.pipeline.syncOperations.addHandler(told)
            }
            return (Adopted(loop: loop, reader: NIOLoopBound(reader, eventLoop: loop), channel: channel), NIOLoopBound(told, eventLoop: loop))
        }.get()
        let count = 200_000
        let said = Task.detached {
            let text = String(repeating: "x", count: count)
            var sent = 0
            while sent < count {
                let got = send(end, text, min(count - sent, 50_000), CInt(MSG_NOSIGNAL))
                if got > 0 { sent += got } else { usleep(500) }
                // Nobody asks for it: only the end makes it read.
                if !wantsMore, sent >= 100_000 { break }
            }
            shutdown(end, CInt(SHUT_WR))
            return sent
        }
        let all = await said.value
        while try await loop.submit({ told.value.ends }).get() == 0 { usleep(500) }
        #expect(try await adopted.text(count: all).utf8.count == all)
        #expect(adopted.channel.isActive)
        try await adopted.channel.writeAndFlush(ByteBuffer(string: "answer")).get()
        var answer = [UInt8](repeating: 0, count: 6)
        #expect(recv(end, &answer, 6, 0) == 6 && String(decoding: answer, as: UTF8.self) == "answer")
        // Asked to, it reads no more; and it ends with the other side.
        adopted.channel.read()
        close(end)
        while adopted.channel.isActive { usleep(500) }
        #expect(try await loop.submit { told.value.isInactive && told.value.ends == 1 }.get())
        try await loop.shutdownGracefully()
    }

    /// Has a channel without a pipeline. Sends more once it is writable again, twice.
    private final class Owner: SocketOwner {
        let channel: SocketChannel
        var received: [String] = []
        var writabilities: [Bool] = []
        var endCount = 0

        static let bytes = ByteBuffer(repeating: UInt8(ascii: "x"), count: 4 << 20)

        init(_ channel: SocketChannel) {
            self.channel = channel
        }

        func received(_ bytes: ByteBuffer) -> Bool {
            received.append(String(buffer: bytes))
            channel.send(Self.bytes)
            return true
        }

        func writabilityChanged() {
            writabilities.append(channel.isWritable)
            if channel.isWritable, writabilities.count < 6 { channel.send(Self.bytes) }
        }

        func closed() { endCount += 1 }
    }

    @Test func `an owner is told all that happens to its channel, which has no pipeline`() async throws {
        let loop = SocketLoop()
        let (end, ours) = try Self.pair()
        let owner = try await loop.submit {
            let channel = try SocketChannel.adopt(ours, on: loop) { $0.owner = Owner($0) }
            return NIOLoopBound(try #require(channel.owner as? Owner), eventLoop: loop)
        }.get()
        Self.say("more", to: end)
        // What is sent when there is room again, and finds too little of it, is not forgotten either.
        let all = 3 * Owner.bytes.readableBytes
        let count = await Task.detached {
            var (count, misses) = (0, 0)
            var memory = [UInt8](repeating: 0, count: 65_536)
            while count < all, misses < 20_000 {
                let got = recv(end, &memory, memory.count, 0)
                if got > 0 { (count, misses) = (count + got, 0) } else { misses += 1; usleep(500) }
            }
            return count
        }.value
        #expect(count == all)
        let (received, writabilities) = try await loop.submit { (owner.value.received, owner.value.writabilities) }.get()
        #expect(received == ["more"])
        #expect(writabilities == [false, true, false, true, false, true])
        close(end)
        while try await loop.submit({ owner.value.channel.isActive }).get() { usleep(500) }
        let (endCount, isAlone) = try await loop.submit {
            owner.value.channel.send(Owner.bytes)
            return (owner.value.endCount, owner.value.channel.owner == nil && !owner.value.channel.hasPipeline)
        }.get()
        #expect(endCount == 1)
        #expect(isAlone)
        try await loop.shutdownGracefully()
    }

    /// Sends back what comes.
    private final class Echo: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        func channelRead(context: ChannelHandlerContext, data: NIOAny) { context.writeAndFlush(data, promise: nil) }
    }

    @Test(arguments: [SocketEndpoint.tcp(host: "127.0.0.1", port: 0), .unix(path: "/tmp/headrace-\(UInt64.random(in: .min ... .max)).sock")])
    func `connections are accepted on all loops, and what is sent comes back through their pipelines`(endpoint: SocketEndpoint) async throws {
        let loops = [SocketLoop(), SocketLoop()]
        let used = Lock<Set<ObjectIdentifier>>([])
        let listener = try await Listener.bind(endpoint, loops: loops, awaitsData: true) { channel in
            used.withLock { _ = $0.insert(ObjectIdentifier(channel.eventLoop)) }
            try channel.pipeline.syncOperations.addHandler(Echo())
        }
        let address: SocketEndpoint = if case .tcp = endpoint { .tcp(host: "127.0.0.1", port: listener.address.port ?? 0) } else { endpoint }
        var clients: [Adopted] = []
        for number in 0..<6 {
            let loop = loops[number % 2]
            let reader = try await loop.submit { NIOLoopBound(Reader(), eventLoop: loop) }.get()
            let channel = try await address.connect(on: loop, timeout: .seconds(10)) { $0.reader = reader.value }.get()
            clients.append(Adopted(loop: loop, reader: reader, channel: channel))
            channel.writeAndFlush(ByteBuffer(string: "client \(number)"), promise: nil)
        }
        for (number, client) in clients.enumerated() { #expect(try await client.text(count: 8) == "client \(number)") }
        #expect(used.withLock { $0.count } == 2)
        await listener.close()
        await #expect(throws: (any Error).self) { try await address.connect(on: loops[0], timeout: .seconds(10)) { _ in }.get() }
        // Those who were accepted stay.
        clients[0].channel.writeAndFlush(ByteBuffer(string: " again"), promise: nil)
        #expect(try await clients[0].text(count: 14) == "client 0 again")
        for loop in loops { try await loop.shutdownGracefully() }
    }

    @Test(arguments: [true, false]) func `a listener on loops asks the kernel for connections that have said something, where it should`(awaitsData: Bool) async throws {
        let loop = SocketLoop()
        let listener = try await Listener.bind(.tcp(host: "127.0.0.1", port: 0), loops: [loop], awaitsData: awaitsData) { _ in }
        var found: [CInt] = []
        for descriptor in 0..<CInt(1024) {
            guard let address = SocketAddress(descriptor, isPeer: false), address.port == listener.address.port else { continue }
            var (listens, seconds, size) = (CInt(0), CInt(0), socklen_t(4))
            guard getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0, listens == 1 else { continue }
            getsockopt(descriptor, CInt(IPPROTO_TCP), TCP_DEFER_ACCEPT, &seconds, &size)
            found.append(seconds)
        }
        #expect(!found.isEmpty)
        #expect(found.allSatisfy { ($0 > 0) == awaitsData })
        await listener.close()
        try await loop.shutdownGracefully()
    }
}
