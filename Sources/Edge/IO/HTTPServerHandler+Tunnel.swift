import HTTP1Wire
import HTTPSemantics
import NIOCore

// The connection from where it speaks another protocol.

extension HTTPServerHandler {
    /// Says `101 Switching Protocols`; from here on bytes pass through.
    func beginTunnel(_ head: ResponseHead, _ tunnel: Tunnel, now: NIODeadline) {
        exchange.status = link == nil ? 101 : 200
        // How long it stays open is no response time.
        exchange.isStream = true
        exchange.headNanoseconds = (now - exchange.started).nanoseconds
        responseFraming = .untilClose
        keepsAlive = false
        source = .tunnel(tunnel)
        arm(.none, for: .zero, from: now)
        if let link {
            var buffer = ByteBuffer()
            InterimResponse.write(status: 200, head.fields, into: &buffer)
            link.connection.sendInterim(buffer, on: link.stream)
        } else {
            turn { InterimResponse.write(status: 101, head.fields, into: &output) }
        }
        flush()
        if pending.readableBytes > 0 {
            let early = pending
            pending = ByteBuffer()
            tunnel.received(early, from: .client, now: now)
        }
        if isInputClosed { tunnel.inputEnded(.client, now: now) }
        resumeReading()
    }

    func sendThroughTunnel(_ bytes: ByteBuffer) {
        turn {
            emit()
            write(bytes)
        }
        flush()
        if !isWritable { updateWriteDeadline(now: .now()) }
    }

    func finishSendingThroughTunnel() {
        if let link {
            link.stream.complete()
            link.connection.added(to: link.stream)
            return link.connection.flush()
        }
        flush()
        context?.close(mode: .output, promise: nil)
    }

    func tunnelEnded(bytesToClient: Int, now: NIODeadline) {
        guard case .tunnel = source else { return }
        source = .none
        exchange.bodyBytes = bytesToClient
        count(now: now)
        hasBegun = false
        isClosing = true
        turn { closeWhenSent(now: now) }
        if link != nil { flush() }
    }
}
