public import NIOCore

/// Messages that a server sends, for where Headrace is the server.
/// - Source: PostgreSQL 15, "Message Formats".
public enum BackendMessage {
    public static func parameterStatus(_ name: String, _ value: String, to buffer: inout ByteBuffer) {
        write(BackendKind.parameterStatus, to: &buffer) {
            $0.writeNullTerminatedString(name)
            $0.writeNullTerminatedString(value)
        }
    }

    /// BackendKeyData and ReadyForQuery, which end a start-up.
    public static func startupEnded(processID: UInt32, secret: UInt32, to buffer: inout ByteBuffer) {
        buffer.writeMultipleIntegers(BackendKind.backendKeyData, UInt32(12), processID, secret)
        buffer.writeMultipleIntegers(BackendKind.readyForQuery, UInt32(5), TransactionStatus.idle.rawValue)
    }

    public static func readyForQuery(_ status: TransactionStatus, to buffer: inout ByteBuffer) {
        write(BackendKind.readyForQuery, to: &buffer) { $0.writeInteger(status.rawValue) }
    }

    /// ParseComplete, CloseComplete and others that say all by their type.
    public static func empty(_ kind: UInt8, to buffer: inout ByteBuffer) {
        write(kind, to: &buffer) { _ in }
    }

    public static func commandComplete(_ tag: String, to buffer: inout ByteBuffer) {
        write(BackendKind.commandComplete, to: &buffer) { $0.writeNullTerminatedString(tag) }
    }

    /// Tells a client which protocol it may speak, and which of its options (`_pq_.…`) are not known.
    public static func negotiateProtocolVersion(minor: UInt16, unknownOptions: [String], to buffer: inout ByteBuffer) {
        write(BackendKind.negotiateProtocolVersion, to: &buffer) { buffer in
            // The manual says "newest minor version"; PostgreSQL sends the whole number, and libpq reads it so.
            buffer.writeInteger(UInt32(3) << 16 | UInt32(minor))
            buffer.writeInteger(UInt32(unknownOptions.count))
            for option in unknownOptions { buffer.writeNullTerminatedString(option) }
        }
    }

    /// Reads ParameterStatus' payload.
    public static func parameterStatus(payload: ByteBuffer) -> (name: String, value: String)? {
        var payload = payload
        guard let name = payload.readNullTerminatedString(), let value = payload.readNullTerminatedString(), payload.readableBytes == 0
        else { return nil }
        return (name, value)
    }

    /// Reads DataRow's payload: a value for each column, `nil` for NULL.
    public static func dataRow(payload: ByteBuffer) -> [[UInt8]?]? {
        var payload = payload
        guard let count = payload.readInteger(as: Int16.self), count >= 0 else { return nil }
        var row: [[UInt8]?] = []
        for _ in 0..<count {
            guard let length = payload.readInteger(as: Int32.self) else { return nil }
            guard length >= 0 else {
                row.append(nil)
                continue
            }
            guard let value = payload.readBytes(length: Int(length)) else { return nil }
            row.append(value)
        }
        return payload.readableBytes == 0 ? row : nil
    }

    /// Writes type, length and what the closure writes.
    public static func write(_ kind: UInt8, to buffer: inout ByteBuffer, _ payload: (inout ByteBuffer) -> Void) {
        buffer.writeInteger(kind)
        let lengthIndex = buffer.writerIndex
        buffer.writeInteger(UInt32(0))
        payload(&buffer)
        buffer.setInteger(UInt32(buffer.writerIndex - lengthIndex), at: lengthIndex)
    }
}

/// Messages that a client sends, for where Headrace is the client.
/// - Source: PostgreSQL 15, "Message Formats".
public enum FrontendMessage {
    public static func query(_ text: String, to buffer: inout ByteBuffer) {
        BackendMessage.write(FrontendKind.query, to: &buffer) { $0.writeNullTerminatedString(text) }
    }

    public static func sync(to buffer: inout ByteBuffer) {
        BackendMessage.write(FrontendKind.sync, to: &buffer) { _ in }
    }

    public static func terminate(to buffer: inout ByteBuffer) {
        BackendMessage.write(FrontendKind.terminate, to: &buffer) { _ in }
    }

    /// Asks what a prepared statement takes and gives.
    public static func describeStatement(_ name: some Sequence<UInt8>, to buffer: inout ByteBuffer) {
        BackendMessage.write(FrontendKind.describe, to: &buffer) {
            $0.writeInteger(UInt8(ascii: "S"))
            $0.writeBytes(name)
            $0.writeInteger(UInt8(0))
        }
    }

    /// Closes a prepared statement.
    public static func closeStatement(_ name: some Sequence<UInt8>, to buffer: inout ByteBuffer) {
        BackendMessage.write(FrontendKind.close, to: &buffer) {
            $0.writeInteger(UInt8(ascii: "S"))
            $0.writeBytes(name)
            $0.writeInteger(UInt8(0))
        }
    }
}
