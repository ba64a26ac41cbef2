import CEpoll
import NIOCore

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Sockets without TLS of one worker's connections, past NIO's channels: one `recv` and one `send` for each request, and one wait for as many as
/// are ready. A channel's pipeline costs as much as the kernel's part of a small request, and then a generator measures itself.
///
/// It is used on the worker's event loop, which does everything else: the wait is one of its tasks, and bounded.
final class PlainSockets {
    private static let eventsMax = 256

    let buffers: ReadBuffers
    private let epoll: CInt
    private let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: eventsMax)
    /// By descriptor.
    private var sockets: [PlainSocket?] = []
    /// Whose connection is not made yet, oldest first; those that are may be among them.
    private var connecting: [PlainSocket] = []
    /// Descriptors that are closed when the events that were read are dealt with: a number must not be another socket's meanwhile.
    private var closing: [CInt] = []
    /// Connections that failed at once, which their clients are told in the next turn.
    private var failed: [(completion: PlainSocket.Completion, error: any Error)] = []

    /// - Returns: `nil` when the system has no descriptor left.
    init?(_ buffers: ReadBuffers) {
        self.buffers = buffers
        epoll = epoll_create1(CInt(EPOLL_CLOEXEC))
        guard epoll >= 0 else {
            events.deallocate()
            return nil
        }
        headrace_wait_precisely()
    }

    deinit {
        guard epoll >= 0 else { return }
        events.deallocate()
        for descriptor in closing { close(descriptor) }
        close(epoll)
    }

    /// Begins to connect; the completion is told later.
    func begin(_ connection: LoadConnection, to address: SocketAddress, now: UInt64, _ completion: @escaping PlainSocket.Completion) {
        var problem: CInt = 0
        let descriptor = address.withSockAddr { pointer, size in
            let descriptor = headrace_stream_socket(CInt(pointer.pointee.sa_family))
            guard descriptor >= 0 else {
                problem = errno
                return descriptor
            }
            var yes: CInt = 1
            if CInt(pointer.pointee.sa_family) != AF_UNIX {
                setsockopt(descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<CInt>.size))
            }
            if connect(descriptor, pointer, socklen_t(size)) != 0, errno != EINPROGRESS { problem = errno }
            return descriptor
        }
        let socket = PlainSocket(descriptor, connection, self, since: now, completion)
        if problem == 0, !watch(socket, EPOLL_CTL_ADD, output: true) { problem = errno }
        guard problem == 0 else {
            if descriptor >= 0 { closing.append(descriptor) }
            return failed.append((completion, IOError(errnoCode: problem, reason: "connect")))
        }
        let place = Int(descriptor)
        if place >= sockets.count { sockets += Array(repeating: nil, count: place + 1 - sockets.count) }
        sockets[place] = socket
        connecting.append(socket)
    }

    /// Waits until something happens, and deals with it.
    func wait(nanoseconds: UInt64) {
        let count = headrace_epoll_wait(epoll, events, CInt(Self.eventsMax), failed.isEmpty ? Int64(clamping: nanoseconds) : 0)
        // Below 0: a signal came between.
        for index in 0..<max(Int(count), 0) {
            let (place, happened) = (Int(events[index].data.fd), events[index].events)
            // The run may have ended meanwhile.
            if place < sockets.count { sockets[place]?.happened(happened) }
        }
        for descriptor in closing { close(descriptor) }
        closing.removeAll(keepingCapacity: true)
        guard !failed.isEmpty else { return }
        let told = failed
        failed.removeAll()
        for one in told { one.completion(.failure(one.error)) }
    }

    /// Gives up what is not connected since then: whoever asked for it has given it up, too.
    func expire(before time: UInt64) {
        connecting.removeAll { socket in
            if socket.isConnecting, socket.since < time { socket.close() }
            return !socket.isConnecting
        }
    }

    /// Closes all of them; nobody is told.
    func end() {
        for socket in sockets { socket?.close() }
        sockets.removeAll()
        connecting.removeAll()
        failed.removeAll()
    }

    /// - Returns: whether that could be done.
    @discardableResult
    fileprivate func watch(_ socket: PlainSocket, _ operation: CInt, output: Bool) -> Bool {
        var event = epoll_event()
        event.events = EPOLLIN.rawValue | (output ? EPOLLOUT.rawValue : 0)
        event.data.fd = socket.descriptor
        return epoll_ctl(epoll, operation, socket.descriptor, &event) == 0
    }

    fileprivate func remove(_ socket: PlainSocket) {
        if Int(socket.descriptor) < sockets.count { sockets[Int(socket.descriptor)] = nil }
        epoll_ctl(epoll, EPOLL_CTL_DEL, socket.descriptor, nil)
        closing.append(socket.descriptor)
    }
}

/// One of them.
final class PlainSocket: LoadTransport {
    typealias Completion = (Result<any RequestLink, any Error>) -> Void

    fileprivate let descriptor: CInt
    /// When the connection was begun.
    fileprivate let since: UInt64
    private let sockets: PlainSockets
    private let connection: LoadConnection
    /// Until the connection is made.
    private var completion: Completion?
    /// What the kernel has not taken yet.
    private var unsent = ByteBuffer()
    private var isClosed = false
    /// Sending has told of an error.
    private var hasFailed = false

    fileprivate init(_ descriptor: CInt, _ connection: LoadConnection, _ sockets: PlainSockets, since: UInt64, _ completion: @escaping Completion) {
        self.descriptor = descriptor
        self.connection = connection
        self.sockets = sockets
        self.since = since
        self.completion = completion
    }

    fileprivate var isConnecting: Bool { completion != nil }

    func write(_ bytes: ByteBuffer) {
        guard !isClosed else { return }
        guard unsent.readableBytes == 0 else {
            unsent.writeImmutableBuffer(bytes)
            return
        }
        let count = send(bytes)
        guard count < bytes.readableBytes else { return }
        unsent = bytes
        unsent.moveReaderIndex(forwardBy: count)
        sockets.watch(self, EPOLL_CTL_MOD, output: true)
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        completion = nil
        connection.transport = nil
        sockets.remove(self)
    }

    fileprivate func happened(_ events: UInt32) {
        if isConnecting { return connected() }
        if events & EPOLLOUT.rawValue != 0 { flush() }
        if events & ~EPOLLOUT.rawValue != 0 { readable() }
    }

    private func connected() {
        var problem: CInt = 0
        var size = socklen_t(MemoryLayout<CInt>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &problem, &size)
        let completion = self.completion
        self.completion = nil
        guard problem == 0 else {
            close()
            completion?(.failure(IOError(errnoCode: problem, reason: "connect")))
            return
        }
        sockets.watch(self, EPOLL_CTL_MOD, output: false)
        connection.transport = self
        completion?(.success(connection))
    }

    private func flush() {
        guard unsent.readableBytes > 0 else { return }
        unsent.moveReaderIndex(forwardBy: send(unsent))
        guard unsent.readableBytes == 0 else { return }
        unsent = ByteBuffer()
        sockets.watch(self, EPOLL_CTL_MOD, output: false)
    }

    private func readable() {
        guard !isClosed else { return }
        var bytes = sockets.buffers.take(ByteBufferAllocator())
        var count = 0
        bytes.writeWithUnsafeMutableBytes(minimumWritableBytes: 1) { memory in
            count = recv(descriptor, memory.baseAddress, memory.count, 0)
            return max(count, 0)
        }
        switch count {
        case 1...:
            connection.received(bytes)
            sockets.buffers.giveBack(bytes)
        case 0:
            close()
            if hasFailed { connection.broken() } else { connection.inputClosed() }
        default:
            guard ![EAGAIN, EWOULDBLOCK, EINTR].contains(errno) else { return sockets.buffers.giveBack(bytes) }
            close()
            connection.broken()
        }
    }

    /// - Returns: how many were taken. What is wrong with the socket is told when it is read from, and not to who is just sending: it is kept until
    ///   then, since the kernel says it once, and an orderly end from then on.
    private func send(_ bytes: ByteBuffer) -> Int {
        let flags = CInt(MSG_NOSIGNAL)
        #if canImport(Glibc)
        let count = bytes.withUnsafeReadableBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, flags) }
        #else
        let count = bytes.withUnsafeReadableBytes { Musl.send(descriptor, $0.baseAddress, $0.count, flags) }
        #endif
        if count < 0, ![EAGAIN, EWOULDBLOCK, EINTR].contains(errno) { hasFailed = true }
        return max(count, 0)
    }
}
