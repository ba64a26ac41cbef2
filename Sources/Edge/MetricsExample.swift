import NIOCore
import Transport

/// Every family of metrics that the edge has, of an edge that has served nothing: what `docs/metrics.md` is printed from.
public enum MetricsExample {
    /// In Prometheus' text format.
    public static func text() -> String {
        let metrics = EdgeMetrics()
        _ = metrics.rows(ofRoutes: ["edge.app"])
        return EdgeReport(
            loops: [metrics], store: ResponseStore(configuration: .init(), codingOrder: [.gzip]), background: BackgroundCompression(queueMax: 0, share: 0),
            upstreams: { [("app", Self.upstream)] }, certificates: { [.init(file: "/etc/ssl/shop.pem", names: [], expires: 0)] },
            responseBuffers: FillBudget(bytesMax: 0), accessLogDropped: { 0 }, rateStore: { .init() }
        ).text()
    }

    private static var upstream: UpstreamMachine {
        var machine = UpstreamMachine(UpstreamGroup(members: [.init(.tcp(host: "127.0.0.1", port: 3000))]), loops: 1)
        _ = machine.resolved(ResolvedMembers.list(machine.group, [:]), now: .now())
        return machine
    }
}
