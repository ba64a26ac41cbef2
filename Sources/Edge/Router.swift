import HTTPSemantics

/// Chooses what a request gets: the first route of the table that is for it.
///
/// A class, so that asking it copies nothing.
final class Router: Sendable {
    enum Choice: Equatable, Sendable {
        /// Nothing: CONNECT asks for a tunnel, and a gateway that made one would let anybody into the network behind it.
        case tunnel
        /// Nothing: what the path says depends on who reads it; see ``RequestPath``.
        case ambiguous
        /// No route is for it.
        case none
        /// The number of the route in ``EdgeConfiguration/routeTable``, from 0.
        case route(Int)
    }

    private let table: RouteTable
    /// What `Authorization` says of whoever may see the edge's own numbers from anywhere.
    private let operatorAuthorization: [UInt8]?

    init(_ configuration: EdgeConfiguration) {
        table = RouteTable(configuration.routeTable)
        operatorAuthorization = configuration.metricsToken.map { Array("Bearer \($0)".utf8) }
    }

    /// Routes for operators answer this machine and whoever knows the token, and for everybody else they are not there. Who is one is
    /// asked when such a route would be it, which is seldom.
    /// - Parameter hasProof: the request is signed: it is an operator's, wherever it comes from.
    func route(_ request: borrowing RequestHead, from client: borrowing ClientIdentity, hasProof: Bool = false) -> Choice {
        if request.method == .connect { return .tunnel }
        var choice = table.choose(request, client: client.ip, isOperator: true)
        let mayBeForOperators =
            switch choice {
            case .route(let number): table.isForOperators(number)
            // Of two readings one may be such a route.
            case .ambiguous: true
            case .none: false
            }
        // A trusted proxy that looks whether we are there is told so: it is all that this page says.
        if mayBeForOperators, client.isProxyItself, case .route(let number) = choice, table.isAlivePage(number) { return .route(number) }
        if mayBeForOperators, !hasProof, !isOperator(request, client) { choice = table.choose(request, client: client.ip, isOperator: false) }
        switch choice {
        case .route(let number): return .route(number)
        case .none: return .none
        case .ambiguous: return .ambiguous
        }
    }

    /// What each route up to the chosen one lacked; see ``RouteTable/mismatches(_:client:isOperator:)``.
    func mismatches(_ request: borrowing RequestHead, from client: borrowing ClientIdentity) -> [CompiledMatch.Mismatch?] {
        table.mismatches(request, client: client.ip, isOperator: isOperator(request, client))
    }

    /// From this machine, or with the token.
    ///
    /// A proxy on this machine speaks for whoever is behind it. It shows by the fields that proxies add, by passing on the public name in
    /// `Host`, or by HTTP/1.0; so does a page whose name was made to lead here (DNS rebinding). Who comes through a trusted one needs the
    /// token, too, also behind a PROXY header: what it says of its client, the client may have said.
    func isOperator(_ request: borrowing RequestHead, _ client: borrowing ClientIdentity) -> Bool {
        if isAuthorized(request) { return true }
        return client.isLoopback && !client.isRelayed && client.chain.count == 1 && request.minorVersion > 0 && !Self.isForwarded(request.fields)
            && Self.namesThisMachine(request)
    }

    private static func isForwarded(_ fields: borrowing FieldSection) -> Bool {
        fields.contains(.forwarded) || fields.contains(.xForwardedFor) || fields.contains(.xForwardedHost) || fields.contains(.xForwardedProto)
            || fields.contains(.xRealIP) || fields.contains(.via)
    }

    /// Whether the request is for `localhost`, a name below it (RFC 6761 §6.3), an address of the loopback, or nothing.
    private static func namesThisMachine(_ request: borrowing RequestHead) -> Bool {
        let bytes = request.fields.bytes.span
        let host = String(copying: bytes.extracting(HostPattern.host(bytes, in: request.authority))).lowercased()
        return host.isEmpty || host == "localhost" || host.hasSuffix(".localhost")
            || IPAddress(host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host)?.isLoopback == true
    }

    /// Compares in time that does not depend on where the bytes differ.
    private func isAuthorized(_ request: borrowing RequestHead) -> Bool {
        guard let operatorAuthorization, request.fields.count(of: .authorization) == 1,
            let index = request.fields.firstIndex(of: .authorization)
        else { return false }
        let value = request.fields.value(at: index)
        guard value.count == operatorAuthorization.count else { return false }
        var difference: UInt8 = 0
        for position in operatorAuthorization.indices { difference |= value[position] ^ operatorAuthorization[position] }
        return difference == 0
    }
}
