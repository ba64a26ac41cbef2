import HTTP1Wire
import HTTP2Wire
public import HTTPSemantics
public import NIOCore
public import Transport

/// What is asked for: requests to one origin, made ready to write, and the order in which they are sent. Each connection or user
/// begins at another place of it.
public struct Workload: Sendable {
    /// A request whose bytes are written as they are, every time. An object: it is passed on some ten times each time that it is sent, and a copy of
    /// its parts would count a reference to each of them.
    public final class Request: Sendable {
        public let bytes: ByteBuffer
        /// The place of its class in ``Workload/classNames``.
        public let classIndex: Int
        public let asking: Asking

        init(bytes: ByteBuffer, classIndex: Int, asking: Asking) {
            self.bytes = bytes
            self.classIndex = classIndex
            self.asking = asking
        }

        /// Of HTTP.
        var http: HTTPRequest? { if case .http(let http) = asking { http } else { nil } }

        /// With a `Cookie` field more, of a request of HTTP.
        func bytes(adding cookies: String) -> ByteBuffer {
            guard let http, var bytes = bytes.getSlice(at: 0, length: http.endOfFields),
                var rest = self.bytes.getSlice(at: http.endOfFields, length: self.bytes.writerIndex - http.endOfFields)
            else { return self.bytes }
            bytes.writeString("Cookie: \(cookies)\r\n")
            bytes.writeBuffer(&rest)
            return bytes
        }
    }

    /// What a request is, to the connection that sends it.
    public enum Asking: Sendable {
        case http(HTTPRequest)
        /// A pipeline of so many commands in RESP.
        case commands(Int)
        /// A transaction: what is sent each time when the server is ready again.
        case transaction(next: [ByteBuffer])
    }

    public struct HTTPRequest: Sendable {
        public var method: Method
        public var expectation: ResponseExpectation
        /// Where the empty line is that ends the head: fields that a connection adds go before it.
        var endOfFields: Int
        /// The head for HTTP/2, compressed once; empty for HTTP/1.
        var block: ByteBuffer
        var url: HTTPURL

        /// Of the request as it is for HTTP/1, what comes before the body.
        var headByteCount: Int { endOfFields + 2 }
    }

    /// The protocol, and what is said first on every connection.
    public enum Speech: Sendable {
        case http
        /// HTTP/2, with so many requests under way on one connection, at most.
        case http2(streams: Int)
        case keyspace(KeyspaceLogin)
        case database(DatabaseLogin)
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
        /// The URL's scheme, host or port is not that of the first.
        case origins(String, String)
        /// The name is not a token, or the value has a control character.
        case field(String)
        /// The generator frames its requests itself.
        case reserved(String)
        /// The method is not a token, or one that has another kind of connection.
        case method(String)

        public var description: String {
            switch self {
            case .empty: "there is no URL"
            case .origins(let first, let other): "all URLs must be of one origin, and \(other) is not \(first)"
            case .field(let text): "\(text): a header field is 'Name: value', without control characters"
            case .reserved(let name): "the field \(name) is the generator's own"
            case .method(let name): "\(name): a method is a word such as GET or POST; CONNECT cannot be measured"
            }
        }
    }

    /// Classes beyond this count as one, whose name says so: each has a histogram of 36 KB on each event loop.
    public static let classCountMax = 50
    public static let otherClasses = "(others)"

    public let requests: [Request]
    /// Indices of ``requests``; never empty.
    public let order: [Int32]
    public let classNames: [String]
    /// Whether a connection is used for more than one request.
    public let keepsAlive: Bool
    /// Whether a connection keeps the cookies that it is given.
    public let keepsCookies: Bool
    /// Redirections within the origin are followed, and the whole chain counts as one request.
    public let followsRedirects: Bool
    /// Where the URLs' origin listens.
    public let endpoint: SocketEndpoint
    /// Whether it speaks TLS.
    public let isSecure: Bool
    public let speech: Speech
    private let fields: [Field]

    /// Of another protocol than HTTP.
    /// - Precondition: there is a request, and `order` and the classes' indices are within bounds.
    init(speech: Speech, endpoint: SocketEndpoint, requests: [Request], order: [Int32], classNames: [String], keepsAlive: Bool) {
        self.speech = speech
        self.endpoint = endpoint
        self.requests = requests
        self.order = order
        self.classNames = classNames
        self.keepsAlive = keepsAlive
        keepsCookies = false
        followsRedirects = false
        isSecure = false
        fields = []
    }

    /// Whether somebody looks at more of a response's head than its status and its length.
    var readsFields: Bool { keepsCookies || followsRedirects }

    /// Requests that share a connection at the same time, at most: 1 but for HTTP/2.
    public var streams: Int { if case .http2(let streams) = speech { streams } else { 1 } }

    /// Of a new connection, but for HTTP/2: there several requests share one.
    func conversation() -> any Conversation {
        switch speech {
        case .http, .http2: HTTP1Conversation()
        case .keyspace(let login): RESPConversation(login)
        case .database(let login): PostgresConversation(login)
        }
    }

    /// GET requests.
    /// - Parameter fields: sent with each request; `Host`, `User-Agent` and `Accept` replace our own.
    public init(
        urls: [HTTPURL], fields: [Field] = [], keepsAlive: Bool = true, expecting expectation: ResponseExpectation = .init()
    ) throws(Invalid) {
        try self.init(urls.map { RequestSpecification($0) }, fields: fields, keepsAlive: keepsAlive, expecting: expectation)
    }

    /// - Parameters:
    ///   - fields: sent with each request; `Host`, `User-Agent` and `Accept` replace our own.
    ///   - http2Streams: speaks HTTP/2, with so many requests under way on one connection, at most.
    public init(
        _ specifications: [RequestSpecification], fields: [Field] = [], keepsAlive: Bool = true, keepsCookies: Bool = false,
        followsRedirects: Bool = false, http2Streams: Int? = nil, expecting expectation: ResponseExpectation = .init()
    ) throws(Invalid) {
        guard let first = specifications.first?.url else { throw .empty }
        for url in specifications.map(\.url) where url.endpoint != first.endpoint || url.isSecure != first.isSecure {
            throw first.authority == url.authority ? .origins(first.origin, url.origin) : .origins(first.authority, url.authority)
        }
        for specification in specifications {
            guard Self.isToken(specification.method), specification.method != "CONNECT" else { throw .method(specification.method) }
            for field in fields + specification.fields { try Self.check(field) }
        }
        speech = http2Streams.map { .http2(streams: max($0, 1)) } ?? .http
        self.keepsAlive = keepsAlive
        self.keepsCookies = keepsCookies
        self.followsRedirects = followsRedirects
        self.fields = fields
        endpoint = first.endpoint
        isSecure = first.isSecure

        var names: [String] = []
        var places: [String: Int] = [:]
        var requests: [Request] = []
        for specification in specifications {
            var name = specification.className
            if places[name] == nil, names.count >= Self.classCountMax - 1 { name = Self.otherClasses }
            let place = places[name] ?? names.count
            if place == names.count {
                names.append(name)
                places[name] = place
            }
            requests.append(
                Self.render(
                    specification, fields: fields, keepsAlive: keepsAlive, isHTTP2: http2Streams != nil, expecting: expectation, classIndex: place))
        }
        self.requests = requests
        classNames = names
        order = WeightedOrder.indices(weights: specifications.map(\.weight))
    }

    /// The request that follows a redirection, or nothing when it may not be followed.
    /// - Parameter location: as it was received.
    /// - Source: RFC 9110 §15.4: 307 and 308 keep the method and the body, the others become GET, or stay HEAD.
    func redirected(_ request: Request, status: Int, location: String) -> Request? {
        guard let http = request.http, let url = http.url.resolving(location), url.endpoint == endpoint, url.isSecure == isSecure else { return nil }
        let keepsMethod = status == 307 || status == 308
        guard !keepsMethod || http.method == .get || http.method == .head else { return nil }
        let specification = RequestSpecification(url, method: http.method == .head ? "HEAD" : "GET")
        return Self.render(
            specification, fields: fields, keepsAlive: keepsAlive, isHTTP2: !http.block.readableBytesView.isEmpty, expecting: http.expectation, classIndex: request.classIndex)
    }

    private static func render(
        _ specification: RequestSpecification, fields: [Field], keepsAlive: Bool, isHTTP2: Bool,
        expecting expectation: ResponseExpectation, classIndex: Int
    ) -> Request {
        var lines = fields + specification.fields
        let ours = [Field("Host", specification.url.authority), Field("User-Agent", "headrace"), Field("Accept", "*/*")]
        for field in ours.reversed() where !lines.contains(where: { $0.name.lowercased() == field.name.lowercased() }) {
            lines.insert(field, at: 0)
        }
        let hasBody = !specification.body.isEmpty || ["POST", "PUT", "PATCH"].contains(specification.method)
        if hasBody { lines.append(Field("Content-Length", "\(specification.body.count)")) }
        if !keepsAlive { lines.append(Field("Connection", "close")) }
        var bytes = ByteBuffer()
        bytes.writeRequestLine(method: specification.method.utf8.span, target: specification.url.target.utf8.span)
        for line in lines { bytes.writeString("\(line.name): \(line.value)\r\n") }
        let endOfFields = bytes.writerIndex
        bytes.writeEndOfHead()
        var block = ByteBuffer()
        if isHTTP2 { block.writeHPACKRequest(bytes, isSecure: specification.url.isSecure) }
        bytes.writeBytes(specification.body)
        let http = HTTPRequest(
            method: Method(specification.method.utf8.span), expectation: expectation, endOfFields: endOfFields, block: block,
            url: specification.url)
        return Request(bytes: bytes, classIndex: classIndex, asking: .http(http))
    }

    private static func check(_ field: Field) throws(Invalid) {
        guard isToken(field.name), field.value.utf8.allSatisfy({ ($0 >= 0x20 || $0 == 0x09) && $0 != 0x7F }) else {
            throw .field("\(field.name): \(field.value)")
        }
        guard !["connection", "content-length", "transfer-encoding", "expect", "upgrade"].contains(field.name.lowercased())
        else { throw .reserved(field.name) }
    }

    private static func isToken(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { isToken($0) }
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
