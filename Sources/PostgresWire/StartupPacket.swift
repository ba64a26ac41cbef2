public import NIOCore

/// The first packet of a connection, which has no type byte.
/// - Source: PostgreSQL 15, "Message Formats": StartupMessage, SSLRequest, GSSENCRequest, CancelRequest.
public enum StartupPacket: Equatable, Sendable {
    case startup(StartupMessage)
    /// The client would like TLS: answered by one byte, `S` or `N`.
    case tlsRequest
    /// The client would like Kerberos' encryption: answered by one byte, `G` or `N`.
    case gssRequest
    case cancel(processID: UInt32, secret: [UInt8])

    /// Why a packet was refused. The raw value is the word in logs and metrics.
    public enum Refusal: String, Error, Sendable, CaseIterable {
        /// A length below 8 or beyond ``bytesMax``.
        case lengthOutOfBounds
        /// Protocol 2, or 4 and later, or nothing of the kind.
        case versionUnsupported
        /// Names and values do not come in pairs, are not terminated, or something follows them.
        case malformed
        case userMissing
    }

    public enum Found: Equatable, Sendable {
        case incomplete
        case packet(StartupPacket)
        case refused(Refusal)
    }

    /// As PostgreSQL has it (`MAX_STARTUP_PACKET_LENGTH`).
    public static let bytesMax = 10_000
    static let cancelCode: UInt32 = 1234 << 16 | 5678
    static let tlsCode: UInt32 = 1234 << 16 | 5679
    static let gssCode: UInt32 = 1234 << 16 | 5680
    /// A cancel key of protocol 3.2 may have up to 256 bytes, one of 3.0 has four.
    static let secretBytesMax = 256

    /// Takes the packet from the front of the buffer, once it is there whole.
    public static func read(from buffer: inout ByteBuffer) -> Found {
        guard let length = buffer.getInteger(at: buffer.readerIndex, as: UInt32.self) else { return .incomplete }
        guard length >= 8, length <= UInt32(bytesMax) else { return .refused(.lengthOutOfBounds) }
        guard buffer.readableBytes >= Int(length), var packet = buffer.readSlice(length: Int(length)) else { return .incomplete }
        packet.moveReaderIndex(forwardBy: 4)
        guard let code = packet.readInteger(as: UInt32.self) else { return .refused(.malformed) }
        switch code {
        case tlsCode: return packet.readableBytes == 0 ? .packet(.tlsRequest) : .refused(.malformed)
        case gssCode: return packet.readableBytes == 0 ? .packet(.gssRequest) : .refused(.malformed)
        case cancelCode:
            guard let processID = packet.readInteger(as: UInt32.self), (1...secretBytesMax).contains(packet.readableBytes),
                let secret = packet.readBytes(length: packet.readableBytes)
            else { return .refused(.malformed) }
            return .packet(.cancel(processID: processID, secret: secret))
        default:
            guard code >> 16 == 3 else { return .refused(.versionUnsupported) }
            do {
                return .packet(.startup(try StartupMessage(minor: UInt16(truncatingIfNeeded: code), pairs: &packet)))
            } catch {
                return .refused(error)
            }
        }
    }

    /// Appends a CancelRequest.
    public static func writeCancel(processID: UInt32, secret: [UInt8], to buffer: inout ByteBuffer) {
        buffer.writeInteger(UInt32(12 + secret.count))
        buffer.writeInteger(cancelCode)
        buffer.writeInteger(processID)
        buffer.writeBytes(secret)
    }

    /// Appends an SSLRequest.
    public static func writeTLSRequest(to buffer: inout ByteBuffer) {
        buffer.writeInteger(UInt32(8))
        buffer.writeInteger(tlsCode)
    }
}

/// Who a client is, where it wants to, and what its session begins with.
public struct StartupMessage: Equatable, Sendable {
    /// One name and its value, in the order sent.
    public struct Parameter: Equatable, Sendable {
        public var name: String
        public var value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// 0 for protocol 3.0, 2 for 3.2.
    public var minor: UInt16
    public var user: String
    /// The user's name when none is given.
    public var database: String
    /// `replication` as it was sent: `true`, `database` and others make it a replication connection.
    public var replication: String?
    /// All others but `_pq_.…`; `options` among them. When a name is repeated, the last counts.
    public var parameters: [Parameter]
    /// Protocol options, `_pq_.…`, none of which we know.
    public var protocolOptions: [String]

    public init(
        minor: UInt16 = 0, user: String, database: String, replication: String? = nil, parameters: [Parameter] = [],
        protocolOptions: [String] = []
    ) {
        self.minor = minor
        self.user = user
        self.database = database
        self.replication = replication
        self.parameters = parameters
        self.protocolOptions = protocolOptions
    }

    init(minor: UInt16, pairs: inout ByteBuffer) throws(StartupPacket.Refusal) {
        self.init(minor: minor, user: "", database: "")
        while true {
            guard let name = pairs.readNullTerminatedString() else { throw .malformed }
            if name.isEmpty { break }
            guard let value = pairs.readNullTerminatedString() else { throw .malformed }
            switch name {
            case "user": user = value
            case "database": database = value
            case "replication": replication = value
            case _ where name.hasPrefix("_pq_."): protocolOptions.append(name)
            default:
                parameters.removeAll { $0.name == name }
                parameters.append(Parameter(name, value))
            }
        }
        guard pairs.readableBytes == 0 else { throw .malformed }
        guard !user.isEmpty else { throw .userMissing }
        if database.isEmpty { database = user }
    }

    /// Whether this is a replication connection, which speaks another language and belongs to one server connection.
    public var isReplication: Bool {
        guard let replication else { return false }
        return !["false", "off", "no", "0", "f", "n"].contains(replication.lowercased())
    }

    /// Whether it is a replication connection that belongs to no database: `database` in the place of `true` asks for one that does.
    public var isPhysicalReplication: Bool { isReplication && replication != "database" }

    /// Appends the whole packet, for protocol 3.0.
    public func write(to buffer: inout ByteBuffer) {
        let lengthIndex = buffer.writerIndex
        buffer.writeInteger(UInt32(0))
        buffer.writeInteger(UInt32(3) << 16)
        var pairs = [Parameter("user", user), Parameter("database", database)]
        if let replication { pairs.append(Parameter("replication", replication)) }
        for pair in pairs + parameters {
            buffer.writeNullTerminatedString(pair.name)
            buffer.writeNullTerminatedString(pair.value)
        }
        buffer.writeInteger(UInt8(0))
        buffer.setInteger(UInt32(buffer.writerIndex - lengthIndex), at: lengthIndex)
    }
}
