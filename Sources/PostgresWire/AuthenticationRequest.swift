public import NIOCore

/// What an authentication message of a server (`R`) asks for, or that it is content.
/// - Source: PostgreSQL 15, "Message Formats", Authentication….
public enum AuthenticationRequest: Equatable, Sendable {
    /// Let in.
    case ok
    /// The password itself, in PasswordMessage.
    case cleartextPassword
    /// ``MD5Password/response(salt:)``.
    case md5Password(salt: [UInt8])
    /// SASL by one of these mechanisms.
    case sasl(mechanisms: [String])
    /// SASL goes on.
    case saslContinue([UInt8])
    /// SASL's last word; `ok` must follow.
    case saslFinal([UInt8])
    /// Kerberos, GSSAPI, SSPI or something of the future; the number is the protocol's.
    case unsupported(code: UInt32)

    /// More names than that are no list of mechanisms.
    static let mechanismsMax = 16

    /// Reads the payload, which follows type and length.
    /// - Parameter payload: the whole payload and nothing else.
    /// - Returns: `nil` when it does not follow the format.
    public init?(payload: ByteBuffer) {
        var payload = payload
        guard let code = payload.readInteger(as: UInt32.self) else { return nil }
        switch code {
        case 0: self = .ok
        case 3: self = .cleartextPassword
        case 5:
            guard let salt = payload.readBytes(length: 4) else { return nil }
            self = .md5Password(salt: salt)
        case 10:
            var names: [String] = []
            while true {
                guard let name = payload.readNullTerminatedString() else { return nil }
                if name.isEmpty { break }
                guard names.count < Self.mechanismsMax else { return nil }
                names.append(name)
            }
            guard !names.isEmpty else { return nil }
            self = .sasl(mechanisms: names)
        case 11: self = .saslContinue(payload.readBytes(length: payload.readableBytes) ?? [])
        case 12: self = .saslFinal(payload.readBytes(length: payload.readableBytes) ?? [])
        default:
            self = .unsupported(code: code)
            return
        }
        guard payload.readableBytes == 0 else { return nil }
    }

    /// Appends the whole message, type and length included. `unsupported` is nothing that we ask for.
    public func write(to buffer: inout ByteBuffer) {
        buffer.writeInteger(UInt8(ascii: "R"))
        let lengthIndex = buffer.writerIndex
        buffer.writeInteger(UInt32(0))
        switch self {
        case .ok: buffer.writeInteger(UInt32(0))
        case .cleartextPassword: buffer.writeInteger(UInt32(3))
        case .md5Password(let salt):
            buffer.writeInteger(UInt32(5))
            buffer.writeBytes(salt)
        case .sasl(let mechanisms):
            buffer.writeInteger(UInt32(10))
            for mechanism in mechanisms { buffer.writeNullTerminatedString(mechanism) }
            buffer.writeInteger(UInt8(0))
        case .saslContinue(let bytes):
            buffer.writeInteger(UInt32(11))
            buffer.writeBytes(bytes)
        case .saslFinal(let bytes):
            buffer.writeInteger(UInt32(12))
            buffer.writeBytes(bytes)
        case .unsupported: preconditionFailure("a server of ours asks for nothing that it cannot check")
        }
        buffer.setInteger(UInt32(buffer.writerIndex - lengthIndex), at: lengthIndex)
    }
}

/// What a client's `p` message carries. Which of them it is, only the request tells.
/// - Source: PostgreSQL 15, "Message Formats", PasswordMessage, SASLInitialResponse, SASLResponse.
public enum PasswordPayload {
    /// A password or its MD5 response.
    /// - Returns: the bytes before the terminator; `nil` when there is none, or something behind it.
    public static func password(_ payload: ByteBuffer) -> [UInt8]? {
        guard let end = payload.readableBytesView.firstIndex(of: 0), end == payload.writerIndex - 1 else { return nil }
        return Array(payload.readableBytesView.dropLast())
    }

    /// SASLInitialResponse: a mechanism and its first message, which may be missing (length −1).
    public static func saslInitial(_ payload: ByteBuffer) -> (mechanism: String, response: [UInt8]?)? {
        var payload = payload
        guard let mechanism = payload.readNullTerminatedString(), let length = payload.readInteger(as: Int32.self) else { return nil }
        guard length != -1 else { return payload.readableBytes == 0 ? (mechanism, nil) : nil }
        guard length >= 0, payload.readableBytes == Int(length), let response = payload.readBytes(length: Int(length)) else { return nil }
        return (mechanism, response)
    }

    /// Appends a whole PasswordMessage.
    public static func writePassword(_ password: [UInt8], to buffer: inout ByteBuffer) {
        write(to: &buffer) { buffer in
            buffer.writeBytes(password)
            buffer.writeInteger(UInt8(0))
        }
    }

    /// Appends a whole SASLInitialResponse.
    public static func writeSASLInitial(mechanism: SCRAMMechanism, _ response: [UInt8], to buffer: inout ByteBuffer) {
        write(to: &buffer) { buffer in
            buffer.writeNullTerminatedString(mechanism.rawValue)
            buffer.writeInteger(Int32(response.count))
            buffer.writeBytes(response)
        }
    }

    /// Appends a whole SASLResponse.
    public static func writeSASLResponse(_ response: [UInt8], to buffer: inout ByteBuffer) {
        write(to: &buffer) { $0.writeBytes(response) }
    }

    private static func write(to buffer: inout ByteBuffer, _ payload: (inout ByteBuffer) -> Void) {
        buffer.writeInteger(UInt8(ascii: "p"))
        let lengthIndex = buffer.writerIndex
        buffer.writeInteger(UInt32(0))
        payload(&buffer)
        buffer.setInteger(UInt32(buffer.writerIndex - lengthIndex), at: lengthIndex)
    }
}
