import Edge

/// Everything that can be set, before it is known to make sense together; ``ConfigurationKeys`` says how each part is written.
struct Settings: Sendable {
    var edge = EdgeConfiguration()
    /// The application behind the edge.
    var application: EdgeConfiguration.SocketEndpoint?
    /// How the application is connected to; its one member is ``application``.
    var upstream = UpstreamGroup(members: [])

    /// The edge as it is to run: the default of a part is never larger than the whole that was set.
    var edgeConfiguration: EdgeConfiguration {
        var edge = edge
        edge.limits.requestLineBytesMax = min(edge.limits.requestLineBytesMax, edge.limits.headBytesMax)
        edge.cache.objectBytesMax = min(edge.cache.objectBytesMax, edge.cache.bytesMax)
        if let application {
            var upstream = upstream
            upstream.members = [UpstreamGroup.Member(application)]
            edge.application = upstream
        }
        return edge
    }
}
