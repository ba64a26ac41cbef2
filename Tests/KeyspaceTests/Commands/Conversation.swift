import RESPWire
import Telemetry

@testable import Keyspace

/// Clients of a keyspace without sockets: words in, the reply's bytes as text out.
final class Conversation {
    let keyspace: Keyspace
    private var calls: [Int: Call] = [:]
    private let ports: Ports
    /// Milliseconds since 1970.
    var now: Int64 = 1_000_000

    /// Answers to commands that had waited.
    final class Ports: ReplyPort, Sendable {
        private let answers = Lock<[String]>([])
        func answer(_ waiter: Waiter, _ bytes: [UInt8]) {
            answers.withLock { $0.append("\(waiter.session.id): " + String(decoding: bytes, as: UTF8.self)) }
        }
        func push(_ notice: Notice) { answers.withLock { $0.append(String(decoding: notice.bytes, as: UTF8.self)) } }
        func close() { answers.withLock { $0.append("closed") } }
        func take() -> [String] {
            answers.withLock { answers in
                defer { answers = [] }
                return answers
            }
        }
    }

    init(_ configure: (inout KeyspaceConfiguration) -> Void = { _ in }) {
        var configuration = KeyspaceConfiguration()
        configure(&configuration)
        keyspace = Keyspace(configuration)
        ports = Ports()
    }

    func client(_ id: Int) -> Call {
        if let call = calls[id] { return call }
        let record = ClientRecord(id: id, address: "127.0.0.1:\(id)", localAddress: "", created: now, port: ports)
        let session = ClientSession(id: id, record: record, user: keyspace.access.standard, isAuthenticated: keyspace.access.isOpen)
        let counters = CallCounters()
        keyspace.loops.withLock { $0.append(counters) }
        let call = Call(keyspace: keyspace, session: session, counters: counters, outputCapacity: 64)
        calls[id] = call
        keyspace.clients.add(record)
        return call
    }

    /// What a command answers; `(waits)` when it does not.
    func say(_ words: String..., by id: Int = 1) -> String { say(words.map { Array($0.utf8) }, by: id) }

    func say(_ words: [[UInt8]], by id: Int = 1) -> String {
        let call = client(id)
        call.now = now
        call.out.clear()
        call.out.isRESP3 = call.session.isRESP3
        call.requestBytes = words.reduce(0) { $0 + $1.count }
        Call.withPointers(words) { pointers in
            call.arguments = pointers
            Dispatcher.execute(call)
        }
        if call.waiter != nil {
            call.waiter = nil
            return "(waits)"
        }
        return String(decoding: call.out.bytes, as: UTF8.self).replacing("\r\n", with: "|")
    }

    /// A line of words, separated by spaces.
    func line(_ text: String, by id: Int = 1) -> String {
        say(text.split(separator: " ", omittingEmptySubsequences: false).map { Array($0.utf8) }, by: id)
    }

    func delivered() -> [String] { ports.take().map { $0.replacing("\r\n", with: "|") } }

    func checkInvariants() {
        for shard in keyspace.shards { for database in 0..<16 { shard[database].checkInvariants() } }
    }
}
