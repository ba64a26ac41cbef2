import HTTP1Wire
public import HTTPSemantics
public import NIOCore
public import Transport

/// What the users ask for: requests to one origin, made ready to write. Each user sends them in rotation, and each begins
/// with another one.
public struct Workload: Sendable {
    /// A request whose bytes are written as they are, every time.
    public struct Request: Sendable {
        public var method: Method
        public var bytes: ByteBuffer
        public var expectation: ResponseExpectation
    }

    /// A field line that is sent with every request.
    public struct Field: Sendable, Equatable {
        public var name: String
        public var value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// Why no workload can be made; the description is for the operator.
    public enum Invalid: Error, Equatable, CustomStringConvertible {
        case empty
        /// The URL's host or port is not that of the first.
        case origins(String, String)
        /// The name is not a token, or the value has a control character.
        case field(String)
        /// The generator frames its requests itself.
        case reserved(String)

        public var description: String {
            switch self {
            case .empty: "there is no URL"
            case .origins(let first, let other): "all URLs must be of one origin, and \(other) is not \(first)"
            case .field(let text): "\(text): a header field is 'Name: value', without control characters"
            case .reserved(let name): "the field \(name) is the generator's own"
            }
        }
    }

    public let requests: [Request]
    /// Whether a connection is used for more than one request.
    public let keepsAlive: Bool
    /// Where the URLs' origin listens.
    public let endpoint: SocketEndpoint

    /// GET requests.
    /// - Parameter fields: sent with each request; `Host`, `User-Agent` and `Accept` replace our own.
    public init(
        urls: [HTTPURL], fields: [Field] = [], keepsAlive: Bool = true, expecting expectation: ResponseExpectation = .init()
    ) throws(Invalid) {
        guard let first = urls.first else { throw .empty }
        for url in urls where url.endpoint != first.endpoint { throw .origins(first.authority, url.authority) }
        for field in fields {
            guard !field.name.isEmpty, field.name.utf8.allSatisfy({ Self.isToken($0) }),
                field.value.utf8.allSatisfy({ ($0 >= 0x20 || $0 == 0x09) && $0 != 0x7F })
            else { throw .field("\(field.name): \(field.value)") }
            guard !["connection", "content-length", "transfer-encoding", "expect", "upgrade"].contains(field.name.lowercased())
            else { throw .reserved(field.name) }
        }
        self.keepsAlive = keepsAlive
        endpoint = first.endpoint
        requests = urls.map { url in
            var lines = fields
            let ours = [Field("Host", url.authority), Field("User-Agent", "headrace"), Field("Accept", "*/*")]
            for field in ours.reversed() where !fields.contains(where: { $0.name.lowercased() == field.name.lowercased() }) {
                lines.insert(field, at: 0)
            }
            if !keepsAlive { lines.append(Field("Connection", "close")) }
            var bytes = ByteBuffer()
            bytes.writeRequestLine(method: .get, target: url.target.utf8.span)
            for line in lines { bytes.writeString("\(line.name): \(line.value)\r\n") }
            bytes.writeEndOfHead()
            return Request(method: .get, bytes: bytes, expectation: expectation)
        }
    }

    /// `tchar` of RFC 9110 §5.6.2.
    private static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        case 0x21, 0x23...0x27, 0x2A, 0x2B, 0x2D, 0x2E, 0x5E, 0x5F, 0x60, 0x7C, 0x7E: true
        default: false
        }
    }
}
