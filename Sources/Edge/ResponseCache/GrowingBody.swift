import HTTPSemantics
import NIOCore
import Telemetry

/// A body while it is being fetched: one who appends, any number who read, each at a pace of its own and from the first byte on.
///
/// As long as the response may be stored, all of it is kept and nobody waits for anybody. When it turns out to be too large for that,
/// it is kept no more: what the slowest reader has read is dropped, nobody new may begin, and whoever appends waits once
/// ``bufferedBytesMax`` lie here.
///
/// Readers are woken in bunches (``wake()``), when a read from upstream is dealt with, not for each part.
final class GrowingBody: Sendable {
    /// What a reader gets.
    enum Next: Sendable {
        case part(ByteBuffer)
        /// The reader will be woken.
        case wait
        case end(trailers: FieldSection?)
        /// No more will come, and it is not the whole.
        case broken(GatewayFailure)
    }

    /// Bytes that lie between a fetch and the slowest of its readers when nothing is kept. 1 MiB: some 50 ms of a fast network.
    static let bufferedBytesMax = 1 << 20

    private enum End {
        case whole(trailers: FieldSection?)
        case broken(GatewayFailure)
    }

    private struct Reader {
        var position: Int
        var isWaiting = false
        let wake: @Sendable () -> Void
    }

    private struct State {
        var parts: [ByteBuffer] = []
        /// Parts that were dropped before those.
        var dropped = 0
        var bytes = 0
        var isKept = true
        var end: End?
        var readers: [UInt64: Reader] = [:]
        var nextReader: UInt64 = 0
        var isSourceWaiting = false

        mutating func dropRead() {
            guard !isKept else { return }
            let slowest = readers.values.reduce(dropped + parts.count) { min($0, $1.position) }
            let count = slowest - dropped
            guard count > 0 else { return }
            for part in parts[..<count] { bytes -= part.readableBytes }
            parts.removeFirst(count)
            dropped = slowest
        }

        /// Whether whoever appends is to be told that there is room, or nobody left to read.
        mutating func freesSource() -> Bool {
            guard isSourceWaiting || (!isKept && readers.isEmpty), bytes < bufferedBytesMax else { return false }
            isSourceWaiting = false
            return true
        }
    }

    private let state = Lock(State())
    /// Called on any thread when there is room again, or nobody reads any more what is not kept.
    private let roomAgain: @Sendable () -> Void

    init(roomAgain: @escaping @Sendable () -> Void) {
        self.roomAgain = roomAgain
    }

    // MARK: Who appends

    func append(_ part: ByteBuffer) {
        guard part.readableBytes > 0 else { return }
        state.withLock { state in
            state.parts.append(part)
            state.bytes += part.readableBytes
            state.dropRead()
        }
    }

    /// - Parameter whole: the same bytes as they are stored: who still reads has them from there, so that a slow reader keeps no second
    ///   copy in memory.
    func end(trailers: FieldSection?, whole: ByteBuffer? = nil) {
        state.withLock { state in
            state.end = .whole(trailers: trailers)
            guard let whole, state.isKept, whole.readableBytes == state.bytes else { return }
            var offset = whole.readerIndex
            for index in state.parts.indices {
                let count = state.parts[index].readableBytes
                guard let slice = whole.getSlice(at: offset, length: count) else { return }
                state.parts[index] = slice
                offset += count
            }
        }
        wake()
    }

    func fail(_ failure: GatewayFailure) {
        state.withLock { $0.end = .broken(failure) }
        wake()
    }

    /// From here on only what somebody has not read yet is kept.
    /// - Returns: whether somebody reads.
    func keepNoMore() -> Bool {
        state.withLock { state in
            state.isKept = false
            state.dropRead()
            return !state.readers.isEmpty
        }
    }

    /// Whether more may be appended now; if not, ``roomAgain`` will be called.
    var hasRoom: Bool {
        state.withLock { state in
            let hasRoom = state.isKept || state.bytes < Self.bufferedBytesMax
            state.isSourceWaiting = !hasRoom
            return hasRoom
        }
    }

    var isWhole: Bool {
        state.withLock { state in
            if case .whole? = state.end { state.isKept } else { false }
        }
    }

    var hasReaders: Bool { state.withLock { !$0.readers.isEmpty } }

    /// All parts, in one piece of memory.
    func joined() -> ByteBuffer {
        let parts = state.withLock { $0.parts }
        var whole = ByteBuffer()
        whole.reserveCapacity(parts.reduce(0) { $0 + $1.readableBytes })
        for part in parts { whole.writeImmutableBuffer(part) }
        return whole
    }

    /// Wakes those who wait, outside the lock.
    func wake() {
        let woken = state.withLock { state in
            var woken: [@Sendable () -> Void] = []
            for (id, reader) in state.readers where reader.isWaiting {
                state.readers[id]?.isWaiting = false
                woken.append(reader.wake)
            }
            return woken
        }
        for wake in woken { wake() }
    }

    // MARK: Who reads

    /// - Parameter wake: called on any thread when there is more, once for each ``Next/wait``.
    /// - Returns: `nil` when the beginning is there no more.
    func join(wake: @escaping @Sendable () -> Void) -> UInt64? {
        state.withLock { state in
            guard state.dropped == 0 else { return nil }
            state.nextReader += 1
            state.readers[state.nextReader] = Reader(position: 0, wake: wake)
            return state.nextReader
        }
    }

    func next(_ id: UInt64) -> Next {
        let (next, freesSource) = state.withLock { state -> (Next, Bool) in
            guard let reader = state.readers[id] else { return (.broken(.truncated), false) }
            let index = reader.position - state.dropped
            if index < state.parts.count {
                let part = state.parts[index]
                state.readers[id]?.position += 1
                state.dropRead()
                return (.part(part), state.freesSource())
            }
            switch state.end {
            case .whole(let trailers): return (.end(trailers: trailers), false)
            case .broken(let failure): return (.broken(failure), false)
            case nil:
                state.readers[id]?.isWaiting = true
                return (.wait, false)
            }
        }
        if freesSource { roomAgain() }
        return next
    }

    func leave(_ id: UInt64) {
        let freesSource = state.withLock { state in
            guard state.readers.removeValue(forKey: id) != nil else { return false }
            state.dropRead()
            return state.freesSource()
        }
        if freesSource { roomAgain() }
    }
}

/// A response that is being fetched for the store, and that others may have while it comes.
final class LiveResponse: Sendable {
    /// As it will be stored.
    let response: StoredResponse
    /// How many bytes the body will have; `nil` when nobody knows yet.
    let byteCount: Int?
    let body: GrowingBody
    /// What the one who asked for it said in the fields by which it varies.
    private let secondaryKey: [UInt8]

    init(_ response: StoredResponse, byteCount: Int?, requestFields: borrowing FieldSection, body: GrowingBody) {
        self.response = response
        self.byteCount = byteCount
        self.body = body
        secondaryKey = response.vary.isEmpty ? [] : response.vary.secondaryKey(requestFields)
    }

    /// Whether all of it has come, and is in the store.
    var isStored: Bool { body.isWhole }

    /// Whether it is what another request would get.
    /// - Source: RFC 9111 §4.1.
    func suits(_ fields: borrowing FieldSection) -> Bool {
        response.vary.isEmpty || response.vary.secondaryKey(fields) == secondaryKey
    }

    /// Its head for conditions to be compared with.
    var withoutBody: Representation {
        Representation(
            response: response, coding: .identity, effort: .asReceived, head: ByteBuffer(), body: ByteBuffer(),
            entityTag: response.entityTag)
    }
}
