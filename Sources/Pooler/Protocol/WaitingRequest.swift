import NIOCore
import PostgresWire

/// A request that waits for a server connection, and is cancelled meanwhile: nothing has been sent, so it is only dropped.
enum WaitingRequest {
    /// Takes the first query, or the first batch with its Sync, from what a client has sent.
    /// - Returns: `false` when its end is not there; nothing is taken then.
    static func drop(from pending: inout ByteBuffer) -> Bool {
        var index = pending.readerIndex
        var isInBatch = false
        while case .message(let head) = MessageFraming.head(in: pending, at: index), head.bytes <= pending.writerIndex - index {
            index += head.bytes
            if head.kind == FrontendKind.sync || (head.kind == FrontendKind.query || head.kind == FrontendKind.functionCall) && !isInBatch {
                pending.moveReaderIndex(to: index)
                return true
            }
            isInBatch = true
        }
        return false
    }
}
