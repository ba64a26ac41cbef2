import Foundation
import Keyspace
import Pooler

// What the edge's pages need of the layers beside it: of this process, or of one of their own. Numbers are `nil` while nobody answers.

protocol PoolerView: Sendable {
    func figures(withStatements: Bool) async -> PoolerFigures?
    func takeTraces() async -> PoolerTraces?
    /// Its families, as Prometheus reads them.
    func metrics() async -> String?
    /// The `application_name` by which it knows whoever looks whether it works.
    func nameOfProbes() async -> String?
    func dedicate(milliseconds: Int64)
    /// `nil` when it is this one's.
    func process() async -> ProcessFigures?
}

protocol KeyspaceView: Sendable {
    func numbers() async -> KeyspaceFigures?
    /// What it answers to `PING`, past its doors.
    func ping() async -> [UInt8]
    func goWithoutCache(milliseconds: Int64)
    /// `nil` when it is this one's.
    func process() async -> ProcessFigures?
}

extension PoolerServer: PoolerView {
    func metrics() async -> String? {
        guard let report = await report() else { return nil }
        return MetricsPage.families { report.append(to: &$0) }
    }

    func nameOfProbes() async -> String? { probeName }
    func process() async -> ProcessFigures? { nil }
}

extension KeyspaceServer: KeyspaceView {
    func numbers() async -> KeyspaceFigures? { figures() }
    func ping() async -> [UInt8] { local.execute([Array("PING".utf8)]) }
    func process() async -> ProcessFigures? { nil }
}

/// The pooler in a process of its own.
struct PoolerWorkerView: PoolerView {
    let door: WorkerDoor.Client

    func figures(withStatements: Bool) async -> PoolerFigures? { await door.ask(withStatements ? "statements" : "figures") }
    func takeTraces() async -> PoolerTraces? { await door.ask("traces") }
    func metrics() async -> String? { await door.ask("metrics") }
    func nameOfProbes() async -> String? { await door.ask("probes") }
    func dedicate(milliseconds: Int64) { door.tell("dedicate \(milliseconds)") }
    func process() async -> ProcessFigures? { await door.ask("process") }
}

/// The keyspace in a process of its own.
struct KeyspaceWorkerView: KeyspaceView {
    let door: WorkerDoor.Client

    func numbers() async -> KeyspaceFigures? { await door.ask("figures") }
    func ping() async -> [UInt8] { await door.ask("ping") ?? Array("it does not answer".utf8) }
    func goWithoutCache(milliseconds: Int64) { door.tell("without \(milliseconds)") }
    func process() async -> ProcessFigures? { await door.ask("process") }
}

extension WorkerDoor {
    /// What a layer's own process answers, by the names that the views above ask.
    static func answer(_ words: [Substring], pooler: PoolerServer?, keyspace: KeyspaceServer?) async -> Data? {
        let milliseconds = words.dropFirst().first.flatMap { Int64($0) }.map { min(max($0, 0), 10_000) } ?? 0
        switch (words.first, pooler, keyspace) {
        case ("process", _, _): return json(ProcessFigures())
        case ("figures", let pooler?, _): return json(await pooler.figures(withStatements: false))
        case ("statements", let pooler?, _): return json(await pooler.figures(withStatements: true))
        case ("traces", let pooler?, _): return json(await pooler.takeTraces())
        case ("metrics", let pooler?, _): return json(await pooler.metrics())
        case ("probes", let pooler?, _): return json(pooler.probeName)
        case ("dedicate", let pooler?, _):
            pooler.dedicate(milliseconds: milliseconds)
            return Data()
        case ("figures", _, let keyspace?): return json(keyspace.figures())
        case ("ping", _, let keyspace?): return json(await keyspace.ping())
        case ("without", _, let keyspace?):
            keyspace.goWithoutCache(milliseconds: milliseconds)
            return Data()
        default: return nil
        }
    }

    private static func json(_ value: (some Encodable)?) -> Data? { value.flatMap { try? JSONEncoder().encode($0) } }
}
