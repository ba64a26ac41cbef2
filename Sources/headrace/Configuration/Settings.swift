import Edge

/// Everything that can be set, before it is known to make sense together; ``ConfigurationKeys`` says how each part is written.
struct Settings: Sendable {
    var edge = EdgeConfiguration()
    /// The application behind the edge.
    var application: EdgeConfiguration.SocketEndpoint?
    /// How the application is connected to; its endpoint is ``application``.
    var upstream = EdgeConfiguration.Upstream(endpoint: .tcp(host: "", port: 0))

    /// The edge as it is to run.
    var edgeConfiguration: EdgeConfiguration {
        var edge = edge
        edge.upstream = application.map { endpoint in
            var upstream = upstream
            upstream.endpoint = endpoint
            return upstream
        }
        return edge
    }
}
