import NIOCore
import Telemetry

/// One group of servers, shared by all event loops: the machine behind its lock, and the way to the loops that it has word for.
final class SharedUpstream: Sendable {
    let name: String
    private let machine: Lock<UpstreamMachine>
    private let secured = Lock<UpstreamTLS?>(nil)
    /// By the number of their loop.
    private let connectors = Lock<[Int: NIOLoopBound<UpstreamConnector>]>([:])

    init(name: String, _ group: UpstreamGroup, loops: Int) {
        self.name = name
        machine = Lock(UpstreamMachine(group, loops: loops))
    }

    /// Asks or tells the machine. Nothing is called, logged or waited for in `body`.
    func withMachine<Result: Sendable>(_ body: (inout UpstreamMachine) -> Result) -> Result {
        machine.withLock { body(&$0) }
    }

    /// What connections with TLS are made with; `nil` where no member has it.
    var tls: UpstreamTLS? {
        get { secured.withLock { $0 } }
        set { secured.withLock { $0 = newValue } }
    }

    var snapshot: UpstreamMachine { machine.withLock { $0 } }

    /// Called once by each event loop.
    /// - Returns: the loop's number here.
    func add(_ connector: UpstreamConnector, on eventLoop: any EventLoop) -> Int {
        let bound = NIOLoopBound(connector, eventLoop: eventLoop)
        return connectors.withLock {
            $0[$0.count] = bound
            return $0.count - 1
        }
    }

    /// The group is no more, and nothing of it is left on this loop.
    func remove(loop: Int) {
        connectors.withLock { $0[loop] = nil }
    }

    /// Brings each message to its loop, in a tick of its own: whoever caused it is in the middle of another exchange.
    func deliver(_ messages: [UpstreamMachine.Message]) {
        guard !messages.isEmpty else { return }
        let connectors = connectors.withLock { $0 }
        for message in messages {
            guard let connector = connectors[message.loop] else { continue }
            connector.eventLoop.execute { connector.value.received(message) }
        }
    }
}
