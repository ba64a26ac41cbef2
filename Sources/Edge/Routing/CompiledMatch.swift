import HTTPSemantics

/// A route's ``RouteMatch``, as bytes.
struct CompiledMatch: Sendable {
    /// Why a route is not for a request, the first part that does not hold. The raw value is the word in `headrace explain`.
    enum Mismatch: String, Sendable, CaseIterable {
        case host
        case path
        case method
        case header
        /// The client's address is none of those; or the page is for this machine and for whoever knows the token.
        case client
    }

    struct Path: Sendable {
        let bytes: [UInt8]
        let isExact: Bool

        func matches(_ path: Span<UInt8>) -> Bool {
            guard path.count >= bytes.count else { return false }
            for index in bytes.indices where path[index] != bytes[index] { return false }
            if path.count == bytes.count { return true }
            if isExact { return false }
            return bytes.last == UInt8(ascii: "/") || path[bytes.count] == UInt8(ascii: "/")
        }
    }

    private struct Field: Sendable {
        let name: FieldName
        /// In lower case.
        let spelling: [UInt8]
        let value: [UInt8]?
    }

    let hosts: [HostPattern]
    let paths: [Path]
    /// Bit `n` is set for the method of raw value `n`; see ``otherMethods`` for that of ``Method/other``.
    let methods: UInt16
    /// Methods that have no name of their own.
    private let otherMethods: [[UInt8]]
    private let fields: [Field]
    private let clients: [AddressRange]
    let isForOperators: Bool
    let isAlivePage: Bool

    static let allMethods: UInt16 = .max

    init(_ route: RouteConfiguration) {
        let match = route.match
        hosts = match.hosts.map(HostPattern.init)
        paths = match.paths.map { Path(bytes: ConfiguredPath.decoded($0), isExact: false) }
            + match.exactPaths.map { Path(bytes: ConfiguredPath.decoded($0), isExact: true) }
        var methods: UInt16 = match.methods.isEmpty ? Self.allMethods : 0
        var others: [[UInt8]] = []
        for name in match.methods {
            let bytes = Array(name.utf8)
            let method = Method(bytes.span)
            methods |= 1 << UInt16(method.rawValue)
            if method == .get { methods |= 1 << UInt16(Method.head.rawValue) }
            if method == .other { others.append(bytes) }
        }
        self.methods = methods
        otherMethods = others
        fields = match.fields.map { field in
            let spelling = Array(field.name.lowercased().utf8)
            return Field(name: FieldName(spelling.span), spelling: spelling, value: field.value.map { Array($0.utf8) })
        }
        clients = match.clients
        isForOperators = route.page == .metrics || route.isForOperators
        isAlivePage = route.page == .health
    }

    /// Whether host and one path decide, and nothing else is to be asked.
    var isDecidedByPath: Bool { otherMethods.isEmpty && fields.isEmpty && clients.isEmpty && !isForOperators }

    /// The first part that does not hold; `nil` when the route is for this request.
    func mismatch(
        _ request: borrowing RequestHead, host: Span<UInt8>, path: Span<UInt8>, client: IPAddress?, isOperator: Bool
    ) -> Mismatch? {
        if !hosts.isEmpty {
            var isOne = false
            for pattern in hosts where pattern.matches(host) { isOne = true }
            if !isOne { return .host }
        }
        if !paths.isEmpty {
            var isOne = false
            for pattern in paths where pattern.matches(path) { isOne = true }
            if !isOne { return .path }
        }
        return mismatchBehindPath(request, client: client, isOperator: isOperator)
    }

    /// The same for a request whose host and path are right.
    /// - Parameter client: `nil` for one on a Unix socket.
    func mismatchBehindPath(_ request: borrowing RequestHead, client: IPAddress?, isOperator: Bool) -> Mismatch? {
        guard methods & 1 << UInt16(request.method.rawValue) != 0 else { return .method }
        if request.method == .other, !otherMethods.isEmpty {
            let name = request.fields.bytes.span.extracting(request.methodRange)
            var isOne = false
            for other in otherMethods where Self.isEqual(other, name) { isOne = true }
            if !isOne { return .method }
        }
        for field in fields where !Self.has(field, request) { return .header }
        if !clients.isEmpty, !clients.contains(where: { $0.contains(client) }) { return .client }
        return isForOperators && !isOperator ? .client : nil
    }

    private static func has(_ field: Field, _ request: borrowing RequestHead) -> Bool {
        let section = request.fields
        for index in section.lines.indices where section.lines[index].name == field.name {
            if field.name == .other, !isSameName(field.spelling, section.name(at: index)) { continue }
            guard let value = field.value else { return true }
            if isEqual(value, section.value(at: index)) { return true }
        }
        return false
    }

    private static func isEqual(_ bytes: [UInt8], _ other: Span<UInt8>) -> Bool {
        guard bytes.count == other.count else { return false }
        for index in bytes.indices where bytes[index] != other[index] { return false }
        return true
    }

    private static func isSameName(_ lowercased: [UInt8], _ name: Span<UInt8>) -> Bool {
        guard lowercased.count == name.count else { return false }
        for index in lowercased.indices where lowercased[index] != ASCII.lowercased(name[index]) { return false }
        return true
    }
}

/// `example.com`, or `*.example.com` for every name below it.
struct HostPattern: Sendable, Equatable {
    /// The name in lower case; of a wildcard, from its dot on.
    let bytes: [UInt8]
    let isWildcard: Bool

    init(_ text: String) {
        isWildcard = text.hasPrefix("*.")
        bytes = Array((isWildcard ? String(text.dropFirst()) : text).lowercased().utf8)
    }

    func matches(_ host: Span<UInt8>) -> Bool {
        guard isWildcard ? host.count > bytes.count : host.count == bytes.count else { return false }
        let start = host.count - bytes.count
        for index in bytes.indices where ASCII.lowercased(host[start + index]) != bytes[index] { return false }
        return true
    }

    /// The host of an authority: without its port, and without the dot that may end a name (RFC 3986 §3.2.2).
    static func host(_ bytes: Span<UInt8>, in authority: Range<Int>) -> Range<Int> {
        var end = authority.upperBound
        var index = end
        while index > authority.lowerBound {
            index -= 1
            let byte = bytes[index]
            if byte == UInt8(ascii: ":") {
                end = index
                break
            }
            if byte &- 0x30 >= 10 { break }
        }
        if end - authority.lowerBound > 1, bytes[end - 1] == UInt8(ascii: ".") { end -= 1 }
        return authority.lowerBound..<end
    }
}
