import Synchronization
import Telemetry

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Frees on a thread of its own what takes longer to free than anybody wants to wait: whole databases, values of many elements, long strings.
///
/// What is handed over belongs to no key any more and is counted with the keys no more. The thread is there while there is something to free. It
/// frees faster than clients can fill; but a machine may give it no time, so what waits has a bound: beyond it whoever removes frees in place, and
/// does not remove faster than memory comes back.
final class Discarder: Sendable {
    /// `@unchecked Sendable`: the thread does nothing but let go of it. A block belongs to nobody else; an object may for a moment, and then whoever
    /// has it has a reference of his own, whose count is atomic.
    private struct Item: @unchecked Sendable {
        enum Content {
            /// The reference goes with the item, so that nobody who hands one over is the last to have it.
            case object(Unmanaged<AnyObject>)
            case block(UnsafeMutableRawPointer)
        }

        let content: Content
        /// Of keys that were flushed as many as there were, else 1: Redis counts so.
        let count: Int
        let bytes: Int
    }

    private struct Queue: Sendable {
        var items: [Item] = []
        var isServed = false
    }

    /// The keys of a shard's database that was flushed.
    final class Keys {
        private let keys: Database
        let count: Int
        let bytes: Int
        /// What the keyspace's sum had heard of.
        let publishedBytes: Int

        init(_ keys: consuming Database) {
            (count, bytes, publishedBytes) = (keys.count, keys.bytes, keys.publishedTotal)
            self.keys = consume keys
        }
    }

    /// All that one flush has taken out.
    private final class Flushed {
        private let keys: [Keys]
        init(_ keys: consuming [Keys]) { self.keys = consume keys }
    }

    /// Elements of a value, keys of a flush: fewer are freed at once, in less time than a thread takes to begin, some 50 µs.
    static let countMin = 1024
    /// Of a value: beyond, its pages go back to the system, which takes a microsecond for some kilobytes.
    static let bytesMin = 1 << 20
    /// 16 MB: some values that are worth it also where the keyspace is small.
    private static let usualBytesMax = 16 << 20

    /// How much may wait for one more to be taken, for a `maxmemory` of so many bytes: an eighth of it. What is taken last may be larger.
    static func bytesMax(limit: Int) -> Int { max(limit / 8, usualBytesMax) }

    private let queue = Lock(Queue())
    private let pending = Atomic<Int>(0)
    private let pendingMemory = Atomic<Int>(0)
    private let done = Atomic<Int>(0)
    private let bound = Atomic<Int>(usualBytesMax)

    /// What waits to be freed, and what was: `lazyfree_pending_objects` and `lazyfreed_objects` of `INFO`.
    var pendingCount: Int { pending.load(ordering: .relaxed) }
    var doneCount: Int { done.load(ordering: .relaxed) }
    /// Memory of what waits.
    var pendingBytes: Int { pendingMemory.load(ordering: .relaxed) }

    /// See ``bytesMax(limit:)``.
    var bytesMax: Int {
        get { bound.load(ordering: .relaxed) }
        set { bound.store(newValue, ordering: .relaxed) }
    }

    /// Frees all that one flush has taken out; what is little, or has no place, at once.
    func add(_ keys: consuming [Keys]) {
        let (count, bytes) = keys.reduce((0, 0)) { ($0.0 + $1.count, $0.1 + $1.bytes) }
        guard count >= Self.countMin || bytes >= Self.bytesMin else { return }
        let object = Unmanaged<AnyObject>.passRetained(Flushed(consume keys))
        if !add(Item(content: .object(object), count: count, bytes: bytes)) { object.release() }
    }

    /// - Parameter object: with the reference that its entry had.
    /// - Returns: `false` when too much waits already; the reference is the caller's then.
    func add(_ object: Unmanaged<AnyObject>, bytes: Int) -> Bool { add(Item(content: .object(object), count: 1, bytes: bytes)) }

    /// - Returns: `false` when too much waits already; the block is the caller's then.
    func add(block: UnsafeMutableRawPointer, bytes: Int) -> Bool { add(Item(content: .block(block), count: 1, bytes: bytes)) }

    private func add(_ item: Item) -> Bool {
        let (isTaken, mustBegin) = queue.withLock { queue in
            guard pendingBytes <= bytesMax else { return (false, false) }
            pending.add(item.count, ordering: .relaxed)
            pendingMemory.add(item.bytes, ordering: .relaxed)
            queue.items.append(item)
            defer { queue.isServed = true }
            return (true, !queue.isServed)
        }
        guard mustBegin else { return isTaken }
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { pointer in
                if let pointer { Unmanaged<Discarder>.fromOpaque(pointer).takeRetainedValue().serve() }
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        guard status == 0 else {
            Unmanaged.passUnretained(self).release()
            serve()
            return true
        }
        pthread_detach(thread)
        return true
    }

    private func serve() {
        while true {
            let items = queue.withLock { queue in
                defer { queue.items = [] }
                queue.isServed = !queue.items.isEmpty
                return queue.items
            }
            guard !items.isEmpty else { return }
            for item in items {
                switch item.content {
                case .object(let object): object.release()
                case .block(let block): free(block)
                }
                pending.subtract(item.count, ordering: .relaxed)
                pendingMemory.subtract(item.bytes, ordering: .relaxed)
                done.add(item.count, ordering: .relaxed)
            }
        }
    }
}
