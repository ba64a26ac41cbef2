import HTTPSemantics

/// Where a request goes.
enum Route: Equatable, Sendable {
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
    private let hasFiles: Bool
    private let hasApplication: Bool

    init(_ configuration: EdgeConfiguration) {
        metricsPath = configuration.metricsPath.map { Array($0.utf8) }
        hasFiles = configuration.root != nil
        hasApplication = configuration.upstream != nil
    }

    /// - Parameter isFromLoopback: Built-in pages show what operators may see; until there is an access rule for them,
    ///   they answer this machine only, and for everybody else the path is the application's.
    func route(_ request: borrowing RequestHead, isFromLoopback: Bool) -> Route {
        if isFromLoopback, let metricsPath, isPath(metricsPath, request) { return .metrics }
        if hasFiles, request.method == .get || request.method == .head || !hasApplication { return .files }
        return .application
    }

    private func isPath(_ path: [UInt8], _ request: borrowing RequestHead) -> Bool {
        let target = request.target
        guard target.count >= path.count else { return false }
        for index in path.indices where request.fields.bytes[target.lowerBound + index] != path[index] { return false }
        return target.count == path.count
            || request.fields.bytes[target.lowerBound + path.count] == UInt8(ascii: "?")
    }
}
