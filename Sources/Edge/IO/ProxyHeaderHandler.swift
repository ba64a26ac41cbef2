import NIOCore
import Transport

/// Waits for the PROXY header of a connection that one of the trusted proxies has made, then gives its place to those who speak TLS and HTTP.
///
/// It is first in the pipeline, since the header comes before TLS. It holds at most ``ProxyHeader/bytesMax`` and what comes with them in one
/// read, for as long as a request's head may take.
final class ProxyHeaderHandler: ChannelInboundHandler, RemovableChannelHandler, DeadlineHolder {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let worker: EdgeWorker
    private let limit: ConnectionRelease
    private let serve: (ConnectionEnds) throws -> Void
    private var context: ChannelHandlerContext?
    private var pending = ByteBuffer()
    private var isOver = false
    private(set) var deadline = NIODeadline.distantFuture
    var sweepPosition = -1

    /// - Parameters:
    ///   - limit: called when the connection ends before it is served.
    ///   - serve: adds who serves the connection, behind this handler; throws when the client may have no connection more.
    init(worker: EdgeWorker, limit: ConnectionRelease, serve: @escaping (ConnectionEnds) throws -> Void) {
        (self.worker, self.limit, self.serve) = (worker, limit, serve)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        context.eventLoop.preconditionInEventLoop()
        self.context = context
        deadline = .now() + worker.configuration.deadlines.requestHead
        worker.sweep.add(self)
        worker.metrics.connections.add(1)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        worker.sweep.remove(self)
        worker.metrics.connections.subtract(1)
        if !isOver { limit.release() }
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver else { return context.fireChannelRead(data) }
        var incoming = unwrapInboundIn(data)
        pending.writeBuffer(&incoming)
        let channel = context.channel
        var ends = ConnectionEnds(client: channel.remoteAddress, own: channel.localAddress)
        switch ProxyHeader.read(from: &pending) {
        case .incomplete: return
        case .malformed(let malformation):
            worker.proxyHeaderRefused(malformation, from: channel.remoteAddress)
            return end(ProxyHeaderOutcome(malformation), context)
        case .itself:
            // Mostly its checks; HAProxy says it of clients, too, that came to it by a Unix socket.
            worker.metrics.proxyHeader(.itself)
            (ends.isRelayed, ends.isUnnamed, ends.isProxyItself) = (true, true, true)
        case .unknown:
            worker.metrics.proxyHeader(.unknown)
            (ends.isRelayed, ends.isUnnamed) = (true, true)
        case .client(let client):
            worker.metrics.proxyHeader(.client)
            ends = ConnectionEnds(client: client.address, own: client.destination, isRelayed: true)
        }
        do {
            try serve(ends)
        } catch {
            context.close(promise: nil)
            return
        }
        isOver = true
        let rest = pending
        pending = ByteBuffer()
        if rest.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(rest)) }
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        // A proxy that only looks whether we are there says nothing, and has cut nothing off.
        if !isOver, pending.readableBytes > 0 { worker.metrics.proxyHeader(.cut) }
        pending = ByteBuffer()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if !isOver, case .inputClosed? = event as? ChannelEvent { context.close(promise: nil) } else { context.fireUserInboundEventTriggered(event) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func end(_ outcome: ProxyHeaderOutcome, _ context: ChannelHandlerContext) {
        worker.metrics.proxyHeader(outcome)
        pending = ByteBuffer()
        context.close(promise: nil)
    }

    // MARK: Deadlines

    func deadlinePassed(now: NIODeadline) {
        deadline = .distantFuture
        if let context { end(worker.isDraining ? .cut : .deadline, context) }
    }

    func drainBegan(now: NIODeadline) {
        deadline = min(deadline, now + HTTPServerHandler.drainIdleTime)
    }

    func drainEnded(now: NIODeadline) {
        context?.close(promise: nil)
    }

    var heldBytes: Int { pending.storageCapacity }

    func memoryShort(now: NIODeadline) -> Int {
        let bytes = heldBytes
        worker.pressure.cut(bytes)
        context?.close(promise: nil)
        return bytes
    }
}

/// Whose connection it is and where it was made to: as the socket says, or as a trusted proxy does.
struct ConnectionEnds {
    var client: SocketAddress?
    var own: SocketAddress?
    /// A proxy connected, for somebody or itself.
    var isRelayed = false
    /// And did not say for whom.
    var isUnnamed = false
    /// Because it is for itself, as it says.
    var isProxyItself = false
}

extension ClientIdentity {
    init(_ ends: ConnectionEnds) {
        self.init(peer: ends.client?.ipAddress)
        port = UInt16(clamping: ends.client?.port ?? 0)
        isRelayed = ends.isRelayed
        isUnnamed = ends.isUnnamed
        isProxyItself = ends.isProxyItself
        own = ends.own?.ipAddress.flatMap { IPAddress($0) }
        ownPort = UInt16(clamping: ends.own?.port ?? 0)
    }

    /// What a connection begins with that is made for this client.
    ///
    /// Its port is 0 where a header field names it, since fields name none.
    func proxyHeader(_ version: ProxyHeader.Version) -> ByteBuffer {
        var header = ByteBuffer()
        var client: ProxyHeader.Client?
        // Who came to a Unix socket connected to no address.
        let destination = (own ?? (ip?.isIPv4 == true ? IPAddress(high: 0, low: 0xFFFF_0000_0000) : IPAddress(high: 0, low: 0))).socketAddress(port: ownPort)
        if let address = ip?.socketAddress(port: port), let destination {
            client = ProxyHeader.Client(address: address, destination: destination)
        }
        ProxyHeader.write(version, for: client, into: &header)
        return header
    }
}

extension IPAddress {
    fileprivate func socketAddress(port: UInt16) -> SocketAddress? {
        var bytes = ByteBuffer()
        if isIPv4 {
            bytes.writeInteger(UInt32(truncatingIfNeeded: low))
        } else {
            bytes.writeInteger(high)
            bytes.writeInteger(low)
        }
        return try? SocketAddress(packedIPAddress: bytes, port: Int(port))
    }
}
