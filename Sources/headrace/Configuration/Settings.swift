import Edge
import Keyspace
import Pooler

/// Everything that can be set, before it is known to make sense together; ``ConfigurationKeys`` says how each part is written.
struct Settings: Sendable {
    var edge = EdgeConfiguration()
    /// Where its rate limits keep their buckets.
    var rateStore = RateStoreSetting.off
    var rateStorePassword: String?
    /// The application behind the edge.
    var application: EdgeConfiguration.SocketEndpoint?
    /// How the application is connected to; its one member is ``application``.
    var upstream = UpstreamGroup(members: [])

    var pooler = PoolerConfiguration()
    /// What the pooler stands before.
    var postgres: PostgresURL?
    var postgresPassword: String?
    var poolerUsersFile: String?
    var poolerRulesFile: String?

    var processes = ProcessLayout.one
    /// Who serves when root has started it; `nil`: root.
    var user: String?
    /// The most memory of the process, or of all of them; `nil` for no bound.
    var memoryBytesMax: Int?

    var keyspace = KeyspaceConfiguration()
    var dashboard = DashboardSettings()
    var schedule = ScheduleSettings()

    /// The key that says to listen there.
    func key(ofListening endpoint: EdgeConfiguration.SocketEndpoint) -> String? {
        [
            ("edge.listen", edge.listen), ("edge.tls.listen", edge.tls.listen), ("pooler.listen", pooler.listen), ("keyspace.listen", keyspace.listen),
            ("keyspace.tls.listen", keyspace.tls.listen),
        ].first { $0.1.contains(endpoint) }?.0
    }

    var hasKeyspace: Bool { !keyspace.listen.isEmpty || !keyspace.tls.listen.isEmpty }

    /// Whether there is anything for the edge to serve.
    var hasEdge: Bool { application != nil || edge.application != nil || edge.root != nil || !edge.routes.isEmpty }

    /// The pooler as it is to run; `nil` when there is none.
    var poolerConfiguration: PoolerConfiguration? {
        guard !pooler.listen.isEmpty, let postgres else { return nil }
        var pooler = pooler
        pooler.databases = postgres.offered(password: postgresPassword)
        pooler.limits.minPoolSize = min(pooler.limits.minPoolSize, pooler.limits.poolSize)
        return pooler
    }

    /// The edge as it is to run: the default of a part is never larger than the whole that was set.
    var edgeConfiguration: EdgeConfiguration {
        var edge = edge
        edge.limits.requestLineBytesMax = min(edge.limits.requestLineBytesMax, edge.limits.headBytesMax)
        edge.cache.objectBytesMax = min(edge.cache.objectBytesMax, edge.cache.bytesMax)
        edge.limits.rateStore = rateStore.resolved(keyspace, password: rateStorePassword)
        if let application {
            var upstream = upstream
            upstream.members = [UpstreamGroup.Member(application)]
            edge.application = upstream
        }
        return edge
    }
}
