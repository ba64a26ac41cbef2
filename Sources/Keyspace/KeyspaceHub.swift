import RESPWire
import Synchronization
import Telemetry

/// Tells clients what they asked to be told: messages of channels, events of keys, invalidations of what they have cached.
///
/// It hears of changes under the locks of their shards, and of messages from any event loop. What it does there is to look who must be
/// told, under a lock of its own, and to put the bytes into the queues of those clients' event loops. Nobody waits, and nothing
/// comes back. The locks' order is: shards first, then one of these two.
///
/// While nobody listens, it costs a command the load of a flag.
final class KeyspaceHub: Sendable {
    let pubSub = Lock(PubSub())
    let tracking = Lock(Tracking())
    private let clients: ClientRegistry
    private let eventSet = Lock(KeyspaceEvents())
    /// Bits of ``KeyspaceEvents/Class`` that are published; 0 while nobody has asked.
    private let eventClasses = Atomic<UInt16>(0)
    private let hasTracking = Atomic(false)
    private let logScript: Lock<(@Sendable (Int, String) -> Void)?> = Lock(nil)

    init(clients: ClientRegistry) { self.clients = clients }

    /// Whether nobody is told of changes of keys.
    var isQuiet: Bool { eventClasses.load(ordering: .relaxed) == 0 && !hasTracking.load(ordering: .relaxed) }

    // MARK: MONITOR

    private let monitors = Lock<Set<Int>>([])
    private let hasMonitors = Atomic(false)

    @inline(__always)
    var isMonitored: Bool { hasMonitors.load(ordering: .relaxed) }

    func setMonitor(_ client: Int, _ isOn: Bool) {
        monitors.withLock { monitors in
            if isOn { monitors.insert(client) } else { monitors.remove(client) }
            hasMonitors.store(!monitors.isEmpty, ordering: .relaxed)
        }
    }

    /// Shows a command that is about to be carried out to all who watch. Not those of administrators, and of who says who it is neither name nor password.
    func monitor(_ call: Call) {
        guard !Subcommands.isForOperators(call), call.session.id > 0 else { return }
        let microseconds = WallClock.nanoseconds() / 1000
        let fraction = String(microseconds % 1_000_000)
        var line = Array(
            "+\(microseconds / 1_000_000).\(String(repeating: "0", count: max(6 - fraction.count, 0)))\(fraction) [\(call.database) \(call.isInScript ? "lua" : call.session.record.address)]"
                .utf8)
        let secrets = ConnectionCommands.credentials(call)
        for (place, argument) in call.arguments.enumerated() {
            if secrets.contains(place) { line += Array(#" "(redacted)""#.utf8) } else { Self.quote(argument, &line) }
        }
        line += [0x0D, 0x0A]
        // Who ends its watching with RESET hears nothing more.
        let isReset = call.command.name == "reset"
        for client in monitors.withLock({ $0 }) where !(isReset && client == call.session.id) { clients[client]?.port?.push(Notice(kind: .command, bytes: line)) }
    }

    /// - Source: Redis `sds.c`, `sdscatrepr`.
    private static func quote(_ bytes: UnsafeRawBufferPointer, _ line: inout [UInt8]) {
        line += Array(" \"".utf8)
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\\"), UInt8(ascii: "\""): line += [UInt8(ascii: "\\"), byte]
            case 0x0A: line += Array("\\n".utf8)
            case 0x0D: line += Array("\\r".utf8)
            case 0x09: line += Array("\\t".utf8)
            case 0x07: line += Array("\\a".utf8)
            case 0x08: line += Array("\\b".utf8)
            case 0x20...0x7E: line.append(byte)
            default: line += Array("\\x".utf8) + Array((byte < 16 ? "0" : "").utf8) + Array(String(byte, radix: 16).utf8)
            }
        }
        line.append(UInt8(ascii: "\""))
    }

    // MARK: Settings

    /// `notify-keyspace-events`.
    var events: KeyspaceEvents {
        get { eventSet.withLock { $0 } }
        set {
            eventSet.withLock { $0 = newValue }
            eventClasses.store(newValue.published, ordering: .relaxed)
        }
    }

    /// Where `redis.log` goes: the level, 0 (debug) to 3 (warning), and the line.
    func logScripts(_ log: @escaping @Sendable (Int, String) -> Void) { logScript.withLock { $0 = log } }

    func scriptLogged(_ level: Int, _ line: String) {
        let log = logScript.withLock { $0 }
        log?(level, line)
    }

    // MARK: Messages

    /// - Returns: how many were told.
    @discardableResult
    func publish(_ message: UnsafeRawBufferPointer, to channel: UnsafeRawBufferPointer, isSharded: Bool = false) -> Int {
        let name = [UInt8](channel)
        let deliveries = pubSub.withLock { $0.isQuiet ? [] : $0.published(to: name, isSharded: isSharded) }
        for delivery in deliveries {
            guard let client = clients[delivery.client], let port = client.port else { continue }
            var writer = RESPWriter(capacity: 64 + name.count + message.count)
            writer.isRESP3 = client.isRESP3.load(ordering: .relaxed)
            switch delivery.kind {
            case .channel:
                writer.push(3)
                writer.bulk("message")
            case .shardChannel:
                writer.push(3)
                writer.bulk("smessage")
            case .pattern:
                writer.push(4)
                writer.bulk("pmessage")
                writer.bulk(delivery.subscription)
            }
            writer.bulk(name)
            writer.bulk(message)
            port.push(Notice(kind: .message(delivery.subscription, delivery.kind), bytes: [UInt8](writer.bytes)))
        }
        return deliveries.count
    }

    // MARK: Events of keys

    @inline(__always)
    func happened(_ kind: KeyspaceEvents.Class, _ event: StaticString, _ key: UnsafeRawBufferPointer, database: Int) {
        if eventClasses.load(ordering: .relaxed) & kind.rawValue != 0 { tell(kind, event, key, database: database) }
    }

    @inline(never)
    private func tell(_ kind: KeyspaceEvents.Class, _ event: StaticString, _ key: UnsafeRawBufferPointer, database: Int) {
        let name = event.withUTF8Buffer { String(decoding: $0, as: UTF8.self) }
        for (channel, message) in events.messages(kind, event: name, key: [UInt8](key), database: database) {
            message.withUnsafeBytes { message in channel.withUnsafeBytes { channel in _ = publish(message, to: channel) } }
        }
    }

    // MARK: Client-side caching

    /// A key was changed, removed, expired or evicted.
    @inline(__always)
    func keyChanged(_ key: UnsafeRawBufferPointer, call: Call?) {
        if hasTracking.load(ordering: .relaxed) { invalidate(key, call: call) }
    }

    @inline(never)
    private func invalidate(_ key: UnsafeRawBufferPointer, call: Call?) {
        let key = [UInt8](key)
        for invalidation in tracking.withLock({ $0.keyChanged(key, by: call?.session.id) }) { send(invalidation) }
    }

    /// All keys of a database, or of all, went at once.
    func flushed() {
        guard hasTracking.load(ordering: .relaxed) else { return }
        for client in tracking.withLock({ $0.allChanged() }) { send(nil, to: client) }
    }

    /// A client is about to read keys. Before it does: of a change from now on it is told.
    func keysWillBeRead(_ keys: [[UInt8]], by client: Int) {
        for invalidation in tracking.withLock({ $0.keysRead(keys, by: client) }) { send(invalidation) }
    }

    private func send(_ invalidation: Tracking.Invalidation) { send(invalidation.keys, to: invalidation.recipient) }

    /// - Parameter keys: `nil` for all.
    private func send(_ keys: [[UInt8]]?, to recipient: Int) {
        guard let client = clients[recipient], let port = client.port else { return }
        var writer = RESPWriter(capacity: 128)
        writer.isRESP3 = client.isRESP3.load(ordering: .relaxed)
        if writer.isRESP3 {
            writer.push(2)
            writer.bulk("invalidate")
        } else {
            // In RESP2 it is a message of this channel, to who has subscribed to it.
            let channel = Self.invalidationChannel
            guard pubSub.withLock({ $0.names(recipient, .channel).contains(channel) }) else { return }
            writer.push(3)
            writer.bulk("message")
            writer.bulk(channel)
        }
        if let keys {
            writer.array(keys.count)
            for key in keys { writer.bulk(key) }
        } else if writer.isRESP3 {
            writer.null()
        } else {
            writer.nullArray()
        }
        port.push(Notice(kind: writer.isRESP3 ? .invalidation : .message(Self.invalidationChannel, .channel), bytes: [UInt8](writer.bytes)))
    }

    private static let invalidationChannel = Array("__redis__:invalidate".utf8)

    /// `CLIENT TRACKING ON`.
    func trackingBegan(_ client: Int, _ options: Tracking.Options) throws(CommandFailure) {
        let refusal = tracking.withLock { tracking -> Tracking.Refusal? in
            do throws(Tracking.Refusal) { try tracking.began(client, options) } catch { return error }
            return nil
        }
        if let refusal { throw .text(refusal.text) }
        hasTracking.store(true, ordering: .relaxed)
    }

    func trackingEnded(_ client: Int) {
        tracking.withLock { tracking in
            tracking.ended(client)
            // Within the lock: a client that begins at the same time turns it on again.
            if tracking.isOff { hasTracking.store(false, ordering: .relaxed) }
        }
    }

    /// The connection is gone, or was reset.
    func closed(_ client: Int) {
        pubSub.withLock { $0.closed(client) }
        if isMonitored { setMonitor(client, false) }
        if hasTracking.load(ordering: .relaxed) { trackingEnded(client) }
    }
}
