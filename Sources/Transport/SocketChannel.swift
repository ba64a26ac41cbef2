import CEpoll
import Glibc
public import NIOCore
import NIOPosix
import Synchronization
import Telemetry

/// Who reads a ``SocketChannel`` past its pipeline.
public protocol SocketReader: AnyObject {
    /// - Parameter bytes: in memory that is read into again: who keeps them copies them.
    /// - Returns: whether more is wanted now. If not, who reads asks for it with `read()` later.
    func received(_ bytes: ByteBuffer) -> Bool
}

/// Who has a ``SocketChannel`` that needs no pipeline: it reads, and writes by ``SocketChannel/send(_:)``.
public protocol SocketOwner: SocketReader {
    /// Of ``SocketChannel/isWritable``.
    func writabilityChanged()
    /// Called once, at once. The channel lets go of its owner in the loop's next turn.
    func closed()
}

/// A connected stream socket on a ``SocketLoop``.
///
/// It reads once for each event, as long as it is asked to. What is read goes to its ``reader`` if it has one, else through its pipeline. Input that ends
/// closes it, unless `allowRemoteHalfClosure` is set: then `ChannelEvent.inputClosed` goes through its pipeline, and it may still write. When the other side
/// is gone, what it had sent is still read, whether anybody wants it or not, and then it closes. Handlers are told of no registration. With an ``owner`` it has no pipeline, which would take 10,000 instructions of a log-in of the pooler: to make it,
/// to add and remove a handler, and to tell it of the connection's beginning and end. One is made when it is asked for.
///
/// Belongs to its event loop. `@unchecked Sendable`: what NIO lets other threads ask is atomic or never changes.
public final class SocketChannel: Channel, ChannelCore, @unchecked Sendable {
    /// What waits to be sent when the channel is not writable any more, and when it is again: as in NIO.
    private static let unsentMax = 64 << 10
    private static let unsentLow = 32 << 10

    public let eventLoop: any EventLoop
    public let remoteAddress: SocketAddress?
    public var parent: (any Channel)? { nil }
    public private(set) var allocator = ByteBufferAllocator()
    var hasPipeline: Bool { madePipeline != nil }
    public var pipeline: ChannelPipeline {
        if let madePipeline { return madePipeline }
        let pipeline = ChannelPipeline(channel: self)
        madePipeline = pipeline
        return pipeline
    }
    /// Set while nothing in the pipeline changes the bytes on their way, as TLS does.
    public var reader: (any SocketReader)?
    /// Who is told of all that happens, in the place of the pipeline, and reads.
    public var owner: (any SocketOwner)? {
        didSet { reader = owner }
    }

    let descriptor: CInt
    private let loop: SocketLoop
    private let closing = Lock(Closing())
    private let active = Atomic(false)
    private let writable = Atomic(true)
    private var isOpen = true
    private var isWatched = false
    private var isSurrendered = false
    private var autoRead = true
    private var allowsHalfClosure = false
    /// The other side has said that it sends no more.
    private var isInputEnded = false
    /// Somebody waits for input.
    private var isReadWanted = false
    /// The kernel takes no more.
    private var awaitsRoom = false
    private var interest: UInt32 = 0
    private var unsent = SocketChannel.nothing
    /// Bytes that wait until the kernel takes them.
    public private(set) var unsentBytes = 0
    /// Of `unsent`, those that may go.
    private var flushedCount = 0
    private var isSending = false
    private var madePipeline: ChannelPipeline?

    /// One that is made has room for 16.
    private static let nothing = CircularBuffer<Unsent>()

    private struct Closing {
        /// Made for who asks first: 2,000 instructions.
        var promise: EventLoopPromise<Void>?
        var hasEnded = false
    }

    private struct Unsent {
        var bytes: ByteBuffer
        let promise: EventLoopPromise<Void>?
    }

    private init(_ descriptor: CInt, _ loop: SocketLoop, remote: SocketAddress?) {
        self.descriptor = descriptor
        self.loop = loop
        eventLoop = loop
        remoteAddress = remote
    }

    /// Makes one of a connected socket that does not block. Called on the loop.
    /// - Parameters:
    ///   - descriptor: the channel's to close from now on.
    ///   - remote: the other side's address; `nil`: the socket is asked.
    ///   - hasData: its first bytes are there already, and are read at once.
    ///   - initializer: adds its handlers.
    /// - Throws: what the initializer throws: it is closed then.
    @discardableResult
    public static func adopt(
        _ descriptor: CInt, on loop: SocketLoop, remote: SocketAddress? = nil, hasData: Bool = false, initializer: (SocketChannel) throws -> Void
    ) throws -> SocketChannel {
        let channel = SocketChannel(descriptor, loop, remote: remote ?? SocketAddress(descriptor, isPeer: true))
        do {
            try initializer(channel)
        } catch {
            channel.close0(error: error, mode: .all, promise: nil)
            throw error
        }
        channel.begin(hasData: hasData)
        return channel
    }

    private func begin(hasData: Bool) {
        active.store(true, ordering: .relaxed)
        if owner != nil {
            isReadWanted = autoRead
        } else {
            pipeline.syncOperations.fireChannelActive()
            if isOpen, autoRead, !isReadWanted { pipeline.syncOperations.read() }
        }
        if isOpen, hasData, isReadWanted { _ = readable() }
        guard isOpen else { return }
        isWatched = true
        interest = wantedInterest
        if !loop.watch(descriptor, self, interest) { close0(error: IOError(errnoCode: errno, reason: "epoll_ctl"), mode: .all, promise: nil) }
    }

    // MARK: Input

    private enum Reading {
        case some, nothing, ended
    }

    private func readable() -> Reading {
        var bytes = loop.takeBuffer()
        var count = 0
        bytes.writeWithUnsafeMutableBytes(minimumWritableBytes: SocketLoop.readBytes) { memory in
            count = recv(descriptor, memory.baseAddress, memory.count, 0)
            return max(count, 0)
        }
        guard count > 0 else {
            let problem = errno
            loop.giveBack(bytes)
            if count == 0 {
                inputEnded()
            } else {
                guard ![EAGAIN, EWOULDBLOCK, EINTR].contains(problem) else { return .nothing }
                failed(IOError(errnoCode: problem, reason: "recv"))
            }
            return .ended
        }
        isReadWanted = false
        if let reader {
            if reader.received(bytes), !isInputEnded { isReadWanted = true }
        } else {
            pipeline.syncOperations.fireChannelRead(NIOAny(bytes))
            pipeline.syncOperations.fireChannelReadComplete()
            if isOpen, autoRead, !isReadWanted { pipeline.syncOperations.read() }
        }
        loop.giveBack(bytes)
        updateInterest()
        return isOpen ? .some : .ended
    }

    private func inputEnded() {
        guard allowsHalfClosure, !isInputEnded else { return close0(error: ChannelError.eof, mode: .all, promise: nil) }
        isInputEnded = true
        isReadWanted = false
        updateInterest()
        if isOpen { pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed) }
    }

    /// The other side sends no more: what it has sent is all there is.
    private func drain() {
        while isOpen {
            switch readable() {
            case .some: continue
            case .nothing: return failed(IOError(errnoCode: ECONNRESET, reason: "the other side is gone"))
            case .ended: return
            }
        }
    }

    private func failed(_ error: any Error) {
        guard isOpen else { return }
        if owner == nil { pipeline.syncOperations.fireErrorCaught(error) }
        close0(error: error, mode: .all, promise: nil)
    }

    public func read0() {
        guard isOpen, !isInputEnded else { return }
        isReadWanted = true
        updateInterest()
    }

    private var wantedInterest: UInt32 {
        (isInputEnded ? 0 : EPOLLRDHUP.rawValue) | (isReadWanted ? EPOLLIN.rawValue : 0) | (awaitsRoom ? EPOLLOUT.rawValue : 0)
    }

    private func updateInterest() {
        let wanted = wantedInterest
        guard wanted != interest, isWatched else { return }
        interest = wanted
        if !loop.change(descriptor, wanted) { failed(IOError(errnoCode: errno, reason: "epoll_ctl")) }
    }

    // MARK: Output

    public var isWritable: Bool { writable.load(ordering: .relaxed) }

    public func write0(_ data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard isOpen else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        guard let bytes = tryUnwrapData(data, as: ByteBuffer.self) else {
            promise?.fail(ChannelError.operationUnsupported)
            return
        }
        append(bytes, promise)
    }

    /// Past the pipeline: what the kernel does not take at once goes as soon as it does. Called on the loop; does nothing when it is closed.
    public func send(_ bytes: ByteBuffer) {
        guard isOpen else { return }
        var rest = bytes
        if unsent.isEmpty {
            let count = bytes.withUnsafeReadableBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            guard count < bytes.readableBytes else { return }
            // What fails is tried again below, where it closes the channel.
            rest.moveReaderIndex(forwardBy: max(count, 0))
        }
        append(rest, nil)
        flush0()
    }

    private func append(_ bytes: ByteBuffer, _ promise: EventLoopPromise<Void>?) {
        unsent.append(Unsent(bytes: bytes.inOwnMemory(), promise: promise))
        unsentBytes += bytes.readableBytes
        guard unsentBytes > Self.unsentMax, isWritable else { return }
        writable.store(false, ordering: .relaxed)
        writabilityChanged()
    }

    private func writabilityChanged() {
        if let owner { owner.writabilityChanged() } else { pipeline.syncOperations.fireChannelWritabilityChanged() }
    }

    public func flush0() {
        guard isOpen else { return }
        flushedCount = unsent.count
        if !awaitsRoom { sendUnsent() }
    }

    private func sendUnsent() {
        // A promise's end may bring more, which is sent by the loop below.
        guard !isSending else { return }
        isSending = true
        awaitsRoom = false
        while isOpen, !awaitsRoom, flushedCount > 0 {
            let bytes = unsent[unsent.startIndex].bytes
            let count = bytes.withUnsafeReadableBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            if count == bytes.readableBytes {
                flushedCount -= 1
                unsentBytes -= count
                unsent.removeFirst().promise?.succeed()
            } else if count >= 0 {
                unsent[unsent.startIndex].bytes.moveReaderIndex(forwardBy: count)
                unsentBytes -= count
                awaitsRoom = true
            } else if [EAGAIN, EWOULDBLOCK].contains(errno) {
                awaitsRoom = true
            } else if errno != EINTR {
                let error = IOError(errnoCode: errno, reason: "send")
                isSending = false
                // The other side may have said why.
                drain()
                return close0(error: error, mode: .all, promise: nil)
            }
        }
        isSending = false
        guard isOpen else { return }
        updateInterest()
        guard unsentBytes < Self.unsentLow, !isWritable else { return }
        writable.store(true, ordering: .relaxed)
        writabilityChanged()
    }

    // MARK: The end

    public func close0(error: any Error, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard isOpen else {
            promise?.fail(ChannelError.alreadyClosed)
            return
        }
        guard mode == .all else {
            promise?.fail(ChannelError.operationUnsupported)
            return
        }
        isOpen = false
        let wasActive = active.exchange(false, ordering: .relaxed)
        let owner = self.owner
        self.owner = nil
        if isWatched { loop.unwatch(descriptor, isClosed: !isSurrendered) }
        isWatched = false
        if !isSurrendered { Glibc.close(descriptor) }
        let lost = unsent
        unsent = Self.nothing
        (unsentBytes, flushedCount) = (0, 0)
        for one in lost { one.promise?.fail(error) }
        promise?.succeed()
        if let owner { owner.closed() } else if wasActive { pipeline.syncOperations.fireChannelInactive() }
        // Those who have called may still be at work, or on their way through the pipeline.
        loop.afterwards { [self] in
            if let madePipeline { removeHandlers(pipeline: madePipeline) }
            let promise = closing.withLock { closing in
                closing.hasEnded = true
                return closing.promise
            }
            promise?.succeed()
            withExtendedLifetime(owner) {}
        }
    }

    /// Ends the channel and hands over its socket, which stays connected. Called on the loop.
    /// - Returns: the caller's to close; `nil` when something is still to be sent, or when it is closed.
    public func surrender() -> CInt? {
        guard isOpen, unsent.isEmpty else { return nil }
        isSurrendered = true
        close0(error: ChannelError.eof, mode: .all, promise: nil)
        return descriptor
    }

    // MARK: What else a channel is

    public var _channelCore: any ChannelCore { self }
    public var closeFuture: EventLoopFuture<Void> {
        closing.withLock { closing in
            guard !closing.hasEnded else { return loop.makeSucceededVoidFuture() }
            let promise = closing.promise ?? loop.makePromise(of: Void.self)
            closing.promise = promise
            return promise.futureResult
        }
    }
    public var isActive: Bool { active.load(ordering: .relaxed) }
    public var localAddress: SocketAddress? { isActive ? SocketAddress(descriptor, isPeer: false) : nil }

    public func localAddress0() throws -> SocketAddress {
        guard let localAddress else { throw ChannelError.ioOnClosedChannel }
        return localAddress
    }

    public func remoteAddress0() throws -> SocketAddress {
        guard let remoteAddress else { throw ChannelError.ioOnClosedChannel }
        return remoteAddress
    }

    public func register0(promise: EventLoopPromise<Void>?) { promise?.fail(ChannelError.operationUnsupported) }
    public func bind0(to: SocketAddress, promise: EventLoopPromise<Void>?) { promise?.fail(ChannelError.operationUnsupported) }
    public func connect0(to: SocketAddress, promise: EventLoopPromise<Void>?) { promise?.fail(ChannelError.operationUnsupported) }
    public func triggerUserOutboundEvent0(_ event: Any, promise: EventLoopPromise<Void>?) { promise?.fail(ChannelError.operationUnsupported) }
    public func channelRead0(_ data: NIOAny) {}
    public func errorCaught0(error: any Error) {}

    /// Options are set and asked on the loop: ``syncOptions``.
    public func setOption<Option: ChannelOption>(_ option: Option, value: Option.Value) -> EventLoopFuture<Void> {
        eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
    }

    public func getOption<Option: ChannelOption>(_ option: Option) -> EventLoopFuture<Option.Value> {
        eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
    }

    public var syncOptions: (any NIOSynchronousChannelOptions)? { Options(channel: self) }

    private struct Options: NIOSynchronousChannelOptions {
        let channel: SocketChannel

        func setOption<Option: ChannelOption>(_ option: Option, value: Option.Value) throws {
            switch (option, value) {
            case (is ChannelOptions.Types.AutoReadOption, let value as Bool): channel.setAutoRead(value)
            case (is ChannelOptions.Types.AllowRemoteHalfClosureOption, let value as Bool): channel.allowsHalfClosure = value
            case (is ChannelOptions.Types.AllocatorOption, let value as ByteBufferAllocator): channel.allocator = value
            default: throw ChannelError.operationUnsupported
            }
        }

        func getOption<Option: ChannelOption>(_ option: Option) throws -> Option.Value {
            let value: Any? =
                switch option {
                case is ChannelOptions.Types.AutoReadOption: channel.autoRead
                case is ChannelOptions.Types.AllowRemoteHalfClosureOption: channel.allowsHalfClosure
                case is ChannelOptions.Types.BufferedWritableBytesOption: channel.unsentBytes
                default: nil
                }
            guard let value = value as? Option.Value else { throw ChannelError.operationUnsupported }
            return value
        }
    }

    /// Called on the loop.
    public func setAutoRead(_ isOn: Bool) {
        guard isOpen, autoRead != isOn else { return }
        autoRead = isOn
        isReadWanted = isOn && !isInputEnded
        updateInterest()
    }
}

extension SocketChannel: DescriptorWatcher {
    func happened(_ events: UInt32) {
        if events & EPOLLOUT.rawValue != 0 { sendUnsent() }
        guard isOpen else { return }
        if events & EPOLLIN.rawValue != 0, isReadWanted {
            _ = readable()
        } else if events & ~(EPOLLIN.rawValue | EPOLLOUT.rawValue) != 0 {
            drain()
        }
    }

    func loopEnds() { close0(error: EventLoopError.shutdown, mode: .all, promise: nil) }
}

extension ByteBuffer {
    /// The same bytes; in memory of their own where they would hold on to much more.
    public func inOwnMemory() -> ByteBuffer {
        guard storageCapacity > 2 * readableBytes + 1024 else { return self }
        var copy = ByteBuffer()
        copy.writeImmutableBuffer(self)
        return copy
    }
}

extension SocketAddress {
    /// Of a connected socket: its other side's, or its own.
    init?(_ descriptor: CInt, isPeer: Bool) {
        var storage = sockaddr_storage()
        guard headrace_address(descriptor, isPeer ? 1 : 0, &storage) == 0 else { return nil }
        self.init(storage)
    }

    init?(_ storage: sockaddr_storage) {
        let found = withUnsafeBytes(of: storage) { bytes -> SocketAddress? in
            switch CInt(storage.ss_family) {
            case AF_INET: SocketAddress(bytes.loadUnaligned(as: sockaddr_in.self), host: "")
            case AF_INET6: SocketAddress(bytes.loadUnaligned(as: sockaddr_in6.self), host: "")
            case AF_UNIX: SocketAddress(bytes.loadUnaligned(as: sockaddr_un.self))
            default: nil
            }
        }
        guard let found else { return nil }
        self = found
    }
}
