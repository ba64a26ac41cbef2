import CEpoll
import Glibc
import NIOCore
import NIOPosix

/// Accepts connections for ``SocketLoop``s, on the first of them, in turn for each.
final class SocketAcceptor: DescriptorWatcher {
    /// Pause when the system has no descriptor left.
    private static let pause = TimeAmount.seconds(1)

    private let descriptor: CInt
    private let loops: [SocketLoop]
    private let hasData: Bool
    private let initializer: @Sendable (SocketChannel) throws -> Void
    private var next = 0
    private var isEnded = false

    /// - Parameters:
    ///   - descriptor: of a socket that listens and does not block; the acceptor's to close.
    ///   - loops: at least one; called on the first.
    ///   - hasData: those who are accepted have sent something.
    init(_ descriptor: CInt, _ loops: [SocketLoop], hasData: Bool, _ initializer: @escaping @Sendable (SocketChannel) throws -> Void) {
        (self.descriptor, self.loops, self.hasData, self.initializer) = (descriptor, loops, hasData, initializer)
        begin()
    }

    private func begin() {
        _ = loops[0].watch(descriptor, self, EPOLLIN.rawValue)
    }

    /// One for each event: who is connected has its turn between two who come.
    func happened(_ events: UInt32) {
        var address = sockaddr_storage()
        let accepted = headrace_accept(descriptor, &address)
        guard accepted >= 0 else {
            if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(errno) { rest() }
            return
        }
        let loop = loops[next]
        next = (next + 1) % loops.count
        let (remote, hasData, initializer) = (SocketAddress(address), self.hasData, self.initializer)
        if loop === loops[0] {
            _ = try? SocketChannel.adopt(accepted, on: loop, remote: remote, hasData: hasData, initializer: initializer)
        } else {
            loop.execute { _ = try? SocketChannel.adopt(accepted, on: loop, remote: remote, hasData: hasData, initializer: initializer) }
        }
    }

    private func rest() {
        loops[0].unwatch(descriptor, isClosed: false)
        let bound = NIOLoopBound(self, eventLoop: loops[0])
        loops[0].scheduleTask(in: Self.pause) { if !bound.value.isEnded { bound.value.begin() } }
    }

    func loopEnds() { end() }

    func end() {
        guard !isEnded else { return }
        isEnded = true
        // NIO's channel has the same socket: to close this descriptor alone leaves it watched.
        loops[0].unwatch(descriptor, isClosed: false)
        close(descriptor)
    }
}
