import Telemetry

/// The keyspace without a socket, for the other layers of the same process.
///
/// Commands are carried out on the caller's thread, with the locks that any client's have; under `appendfsync always` a command that writes
/// waits for the disk. Callers take turns: a command takes a microsecond or two. None waits for a key: `BLPOP` answers at once.
///
/// `@unchecked Sendable`: the call is touched only between the lock's taking and its release.
public final class LocalKeyspace: @unchecked Sendable {
    private let lock = Lock(())
    private let call: Call

    init(_ keyspace: Keyspace) {
        let counters = CallCounters()
        call = Call(keyspace: keyspace, session: ClientSession(internalOf: keyspace), counters: counters, outputCapacity: 1024)
        call.mayBlock = false
        call.roomTime = Keyspace.evictionSlice
        keyspace.loops.withLock { $0.append(counters) }
    }

    /// Carries out one command.
    /// - Returns: its reply, in RESP2; an error, too.
    public func execute(_ words: [[UInt8]]) -> [UInt8] {
        guard !words.isEmpty else { return Array("-ERR no command\r\n".utf8) }
        return lock.withLock { _ in
            call.now = WallClock.nanoseconds() / 1_000_000
            call.out.clear()
            call.logPosition = 0
            call.requestBytes = words.reduce(0) { $0 + $1.count }
            Call.withPointers(words) { pointers in
                call.arguments = pointers
                Dispatcher.execute(call)
            }
            call.arguments = []
            call.waiter = nil
            guard call.logPosition == 0 || call.keyspace.persistence.waitUntilSafe(call.logPosition) else {
                return Array("-MISCONF Errors writing to the AOF file: the disk refuses\r\n".utf8)
            }
            return [UInt8](call.out.bytes)
        }
    }

    /// The string of a key; `nil` when there is none, or something else than a string.
    public func get(_ key: [UInt8]) -> [UInt8]? {
        let reply = execute([Array("GET".utf8), key])
        guard reply.first == UInt8(ascii: "$"), reply.dropFirst().first != UInt8(ascii: "-"), let end = reply.firstIndex(of: 0x0A) else { return nil }
        return Array(reply[(end + 1)...].dropLast(2))
    }

    /// - Parameter lifetime: `nil` for no end; at least a millisecond.
    /// - Returns: whether it was stored: there may be no memory left, or a disk that refuses.
    @discardableResult
    public func set(_ key: [UInt8], _ value: [UInt8], lifetime: Duration? = nil) -> Bool {
        var words = [Array("SET".utf8), key, value]
        if let lifetime {
            let (seconds, attoseconds) = lifetime.components
            // A thousand years: what Redis would refuse as an overflow is refused nowhere here.
            let milliseconds = min(max(seconds, 0), 31_536_000_000) * 1000 + attoseconds / 1_000_000_000_000_000
            words += [Array("PX".utf8), Array(String(max(milliseconds, 1)).utf8)]
        }
        return execute(words) == Array("+OK\r\n".utf8)
    }

    /// - Returns: whether it was there.
    @discardableResult
    public func delete(_ key: [UInt8]) -> Bool { execute([Array("DEL".utf8), key]) == Array(":1\r\n".utf8) }
}
