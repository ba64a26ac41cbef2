import Synchronization
import Telemetry

/// Commands that took longer than `slowlog-log-slower-than`, the latest `slowlog-max-len` of them.
final class SlowLog: Sendable {
    struct Item: Sendable {
        var id: Int
        /// Seconds since 1970.
        var time: Int64
        var microseconds: Int64
        var arguments: [[UInt8]]
        var client: String
        var clientName: String
    }

    private struct State {
        var items: [Item] = []
        var next = 0
    }

    /// As Redis: so many arguments of so many bytes are kept, and a word about the rest.
    static let argumentsMax = 32
    static let argumentBytesMax = 128

    private let state = Lock(State())

    func add(_ call: Call, microseconds: Int64, countMax: Int) {
        let secrets = ConnectionCommands.credentials(call)
        var arguments = call.arguments.prefix(Self.argumentsMax).enumerated().map { place, argument in
            if secrets.contains(place) { return Array("(redacted)".utf8) }
            guard argument.count > Self.argumentBytesMax else { return [UInt8](argument) }
            let rest = argument.count - Self.argumentBytesMax
            return [UInt8](argument.prefix(Self.argumentBytesMax)) + Array("... (\(rest) more bytes)".utf8)
        }
        if call.count > Self.argumentsMax {
            arguments[Self.argumentsMax - 1] = Array("... (\(call.count - Self.argumentsMax + 1) more arguments)".utf8)
        }
        let name = call.session.record.text.withLock { $0.name }
        let (client, time) = (call.session.record.address, call.now / 1000)
        state.withLock { [arguments] state in
            state.items.insert(
                Item(
                    id: state.next, time: time, microseconds: microseconds, arguments: arguments, client: client, clientName: name),
                at: 0)
            state.next += 1
            if state.items.count > countMax { state.items.removeLast(state.items.count - countMax) }
        }
    }

    var items: [Item] { state.withLock { $0.items } }
    var count: Int { state.withLock { $0.items.count } }
    func reset() { state.withLock { $0.items = [] } }
}
