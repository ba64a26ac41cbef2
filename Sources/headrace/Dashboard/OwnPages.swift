import Edge
import Keyspace
import Pooler
import Telemetry
import Transport

/// The pages that the edge serves for the rest of the process: the metrics, and the dashboard's when there is one.
final class OwnPages: Sendable {
    /// Scrapes that may be in progress; more are refused with 503.
    private static let waitingMax = 20

    private let pooler: (any PoolerView)?
    private let keyspace: (any KeyspaceView)?
    private let dashboard: DashboardControl?
    private let pressure: MemoryPressure
    private let waiting = Lock(0)
    /// Longer than signed requests are apart, and shorter than the pause between two arms of `headrace prove`.
    private static let millisecondsWithoutLayer: Int64 = 400

    init(pooler: (any PoolerView)?, keyspace: (any KeyspaceView)?, dashboard: DashboardControl?, pressure: MemoryPressure) {
        self.pressure = pressure
        self.pooler = pooler
        self.keyspace = keyspace
        self.dashboard = dashboard
    }

    var pages: BuiltInPages {
        var pages = BuiltInPages { [self] request, reply in
            guard request.page == .metrics else {
                if let dashboard { return dashboard.answer(request, reply) }
                return reply(.whole(status: 404, contentType: "text/plain; charset=utf-8", fields: [], body: Array("there is no dashboard\n".utf8)))
            }
            let isAdmitted = waiting.withLock { waiting in
                guard waiting < Self.waitingMax else { return false }
                waiting += 1
                return true
            }
            guard isAdmitted else {
                return reply(.whole(status: 503, contentType: "text/plain; charset=utf-8", fields: [], body: Array("busy\n".utf8)))
            }
            // Ends with the figures of the pooler's event loops, which answer or are gone; bounded by what may wait.
            Task {
                let numbers = await keyspace?.numbers()
                let layers = [await pooler?.metrics(), numbers.map { numbers in MetricsPage.families { numbers.append(to: &$0) } }].compactMap(\.self)
                let others = [(Layer.pooler, await pooler?.process()), (.keyspace, await keyspace?.process())].compactMap { layer, process in process.map { (layer, $0) } }
                let text = MetricsPage.text(
                    edge: request.metrics, layers: layers, process: ProcessFigures(), workers: others.isEmpty ? [] : [(.edge, ProcessFigures())] + others,
                    pressure: pressure, standing: dashboard?.dashboard.standing)
                waiting.withLock { $0 -= 1 }
                reply(MetricsPage.answer(text, accept: request.accept))
            }
        }
        pages.switchLayers = { [keyspace, pooler] layers in
            if layers.contains(.keyspace) { keyspace?.goWithoutCache(milliseconds: Self.millisecondsWithoutLayer) }
            if layers.contains(.pooler) { pooler?.dedicate(milliseconds: Self.millisecondsWithoutLayer) }
        }
        return pages
    }
}
