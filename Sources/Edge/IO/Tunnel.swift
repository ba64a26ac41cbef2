import NIOCore

/// Passes the bytes of two connections to each other until both have ended; ``TunnelMachine`` says when. Both are on one event loop.
///
/// A side is not read from while the other is not writable.
final class Tunnel: DeadlineHolder {
    private var machine: TunnelMachine
    private var client: HTTPServerHandler?
    private var server: UpstreamHandler?
    private let worker: EdgeWorker
    var sweepPosition = -1

    init(_ configuration: UpstreamGroup.Tunnel, client: HTTPServerHandler, server: UpstreamHandler, worker: EdgeWorker, now: NIODeadline) {
        machine = TunnelMachine(configuration, now: now)
        self.client = client
        self.server = server
        self.worker = worker
        worker.sweep.add(self)
        worker.metrics.tunnels.add(1)
    }

    var deadline: NIODeadline { machine.deadline }

    func wantsInput(from side: TunnelMachine.Side) -> Bool {
        switch side {
        case .client: server?.isWritable ?? false
        case .server: client?.isWritable ?? false
        }
    }

    func received(_ bytes: ByteBuffer, from side: TunnelMachine.Side, now: NIODeadline) {
        machine.bytesReceived(bytes.readableBytes, from: side, now: now)
        switch side {
        case .client: server?.write(bytes)
        case .server: client?.sendThroughTunnel(bytes)
        }
    }

    func becameWritable(_ side: TunnelMachine.Side) {
        switch side {
        case .client: server?.resumeReading()
        case .server: client?.resumeReading()
        }
    }

    func inputEnded(_ side: TunnelMachine.Side, now: NIODeadline) {
        run(machine.inputEnded(side), now: now)
    }

    func closed(_ side: TunnelMachine.Side, now: NIODeadline) {
        run(machine.closed(side), now: now)
    }

    func deadlinePassed(now: NIODeadline) {
        run(machine.deadlinePassed(now: now), now: now)
    }

    func drainBegan(now: NIODeadline) {}

    private func run(_ action: TunnelMachine.Action, now: NIODeadline) {
        switch action {
        case .none: break
        case .finishWriting(.client): client?.finishSendingThroughTunnel()
        case .finishWriting(.server): server?.finishWriting()
        case .close:
            worker.sweep.remove(self)
            worker.metrics.tunnels.subtract(1)
            let (client, server) = (client, server)
            (self.client, self.server) = (nil, nil)
            server?.closeWhenWritten()
            client?.tunnelEnded(bytesToClient: machine.bytesToClient, now: now)
        }
    }
}
