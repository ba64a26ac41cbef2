import HTTPSemantics
import NIOCore
import Telemetry

/// A body while it is being fetched: one who appends, any number who read, each at a pace of its own and from the first byte on.
///
/// As long as the response may be stored, all of it is kept and nobody waits for anybody. When it turns out to be too large for that,
/// it is kept no more: what the slowest reader has read is dropped, nobody new may begin, and whoever appends waits once
/// ``bufferedBytesMax`` lie here.
///
/// Parts become pieces of ``StoredBody/pieceBytes`` as they come, so that what is stored in the end is the memory that readers have, and none
/// of it has to be copied into one.
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
        /// Of the next byte.
        var offset: Int
        var isWaiting = false
        let wake: @Sendable () -> Void
    }

    private struct State {
        var parts: [ByteBuffer] = []
        /// Where in the body each of them begins.
        var starts: [Int] = []
        /// How many bytes have come.
        var end = 0
        /// Bytes that lie here.
        var bytes = 0
        /// Parts before this one are pieces as they are stored.
        var firstLoose = 0
        var looseBytes = 0
        var isKept = true
        var outcome: End?
        var readers: [UInt64: Reader] = [:]
        var nextReader: UInt64 = 0
        var isSourceWaiting = false

        mutating func dropRead() {
            guard !isKept else { return }
            let slowest = readers.values.reduce(end) { min($0, $1.offset) }
            var count = 0
            while count < parts.count, starts[count] + parts[count].readableBytes <= slowest { count += 1 }
            guard count > 0 else { return }
            for part in parts[..<count] { bytes -= part.readableBytes }
            parts.removeFirst(count)
            starts.removeFirst(count)
            firstLoose = 0
        }

        mutating func add(_ part: ByteBuffer) {
            parts.append(part)
            starts.append(end)
            end += part.readableBytes
            bytes += part.readableBytes
            looseBytes += part.readableBytes
        }

        /// The part that holds the byte at an offset.
        func part(at offset: Int) -> Int? {
            guard offset < end, let first = starts.first, offset >= first else { return nil }
            var (low, high) = (0, starts.count)
            while high - low > 1 {
                let middle = (low + high) / 2
                if starts[middle] <= offset { low = middle } else { high = middle }
            }
            return low
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

    /// What is all there, for one who reads it: what that one has read is let go.
    init(whole parts: [ByteBuffer]) {
        roomAgain = {}
        state.withLock { state in
            for part in parts { state.add(part) }
            state.outcome = .whole(trailers: nil)
            state.isKept = false
        }
    }

    // MARK: Who appends

    func append(_ part: ByteBuffer) {
        guard part.readableBytes > 0 else { return }
        let isPiece = state.withLock { state in
            state.add(part)
            state.dropRead()
            return state.isKept && state.looseBytes >= StoredBody.pieceBytes
        }
        if isPiece { makePiece() }
    }

    /// Makes one piece of the parts that are none yet. They are copied outside the lock: only who appends changes them while all is kept.
    private func makePiece() {
        let (loose, first) = state.withLock { ($0.parts[$0.firstLoose...], $0.firstLoose) }
        guard !loose.isEmpty else { return }
        let piece = loose.count == 1 ? loose[loose.startIndex].exactCopy() : .exact(joining: loose)
        state.withLock { state in
            state.parts.replaceSubrange(first..., with: CollectionOfOne(piece))
            state.starts.removeSubrange((first + 1)...)
            state.firstLoose = first + 1
            state.looseBytes = 0
        }
    }

    func end(trailers: FieldSection?) {
        state.withLock { $0.outcome = .whole(trailers: trailers) }
        wake()
    }

    func fail(_ failure: GatewayFailure) {
        state.withLock { $0.outcome = .broken(failure) }
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
            if case .whole? = state.outcome { state.isKept } else { false }
        }
    }

    var hasReaders: Bool { state.withLock { !$0.readers.isEmpty } }

    /// All that has come, as it is stored: the memory that readers have, too. Called by who appends, when all is there.
    func stored() -> StoredBody {
        makePiece()
        return StoredBody(parts: state.withLock { $0.parts })
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
            guard state.bytes == state.end else { return nil }
            state.nextReader += 1
            state.readers[state.nextReader] = Reader(offset: 0, wake: wake)
            return state.nextReader
        }
    }

    func next(_ id: UInt64) -> Next {
        let (next, freesSource) = state.withLock { state -> (Next, Bool) in
            guard let reader = state.readers[id] else { return (.broken(.truncated), false) }
            if let index = state.part(at: reader.offset) {
                var part = state.parts[index]
                // In the middle of it is who read parts that have become a piece since.
                part.moveReaderIndex(forwardBy: reader.offset - state.starts[index])
                state.readers[id]?.offset += part.readableBytes
                state.dropRead()
                return (.part(part), state.freesSource())
            }
            switch state.outcome {
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
