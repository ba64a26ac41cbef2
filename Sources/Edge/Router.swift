import HTTPSemantics

/// Where a request goes.
enum Route: Equatable, Sendable {
    /// Nowhere: CONNECT asks for a tunnel, and a gateway that made one would let anybody into the network behind it.
    case tunnel
    /// The metrics in Prometheus' text format.
    case metrics
    /// The folder of static files; what is none there goes to the application, if there is one.
    case files
    /// The application.
    case application
}

/// Chooses a route. Built-in pages first, then files, then the application.
struct Router: Sendable {
    private let metricsPath: [UInt8]?
    /// What `Authorization` says of whoever may read the metrics from anywhere.
    private let metricsAuthorization: [UInt8]?
    private let hasFiles: Bool
    private let hasApplication: Bool

    init(_ configuration: EdgeConfiguration) {
        metricsPath = configuration.metricsPath.map { Array($0.utf8) }
        metricsAuthorization = configuration.metricsToken.map { Array("Bearer \($0)".utf8) }
        hasFiles = configuration.root != nil
        hasApplication = configuration.application != nil
    }

    /// - Parameter isFromLoopback: Built-in pages show what operators may see: they answer this machine and whoever knows the
    ///   token, and for everybody else the path is the application's.
    func route(_ request: borrowing RequestHead, isFromLoopback: Bool) -> Route {
        if request.method == .connect { return .tunnel }
        if let metricsPath, isPath(metricsPath, request), isFromLoopback || isAuthorized(request) { return .metrics }
        if hasFiles, request.method == .get || request.method == .head || !hasApplication { return .files }
        return .application
    }

    /// Compares in time that does not depend on where the bytes differ.
    private func isAuthorized(_ request: borrowing RequestHead) -> Bool {
        guard let metricsAuthorization, request.fields.count(of: .authorization) == 1,
            let index = request.fields.firstIndex(of: .authorization)
        else { return false }
        let value = request.fields.value(at: index)
        guard value.count == metricsAuthorization.count else { return false }
        var difference: UInt8 = 0
        for position in metricsAuthorization.indices { difference |= value[position] ^ metricsAuthorization[position] }
        return difference == 0
    }

    private func isPath(_ path: [UInt8], _ request: borrowing RequestHead) -> Bool {
        let target = request.target
        guard target.count >= path.count else { return false }
        for index in path.indices where request.fields.bytes[target.lowerBound + index] != path[index] { return false }
        return target.count == path.count
            || request.fields.bytes[target.lowerBound + path.count] == UInt8(ascii: "?")
    }
}
