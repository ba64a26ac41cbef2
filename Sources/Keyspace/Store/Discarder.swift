import Synchronization
import Telemetry

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Frees on a thread of its own what takes longer to free than anybody wants to wait: whole databases, values of many elements, long strings.
///
/// What is handed over belongs to no key any more and is counted no more. The thread is there while there is something to free.
final class Discarder: Sendable {
    /// `@unchecked Sendable`: the thread does nothing but let go of it. A block belongs to nobody else; an object may, as after RENAME, and then whoever has
    /// it has a reference of his own, whose count is atomic.
    private enum Item: @unchecked Sendable {
        case object(AnyObject)
        case block(UnsafeMutableRawPointer)
    }

    private struct Queue: Sendable {
        var items: [Item] = []
        var isServed = false
    }

    private final class Keys {
        private let keys: Database
        init(_ keys: consuming Database) { self.keys = consume keys }
    }

    /// Elements of a value, keys of a database: fewer are freed at once, in less time than a thread takes to begin, some 50 µs.
    static let countMin = 1024
    /// Of a string: beyond, its pages go back to the system, which takes a microsecond for some kilobytes.
    static let bytesMin = 1 << 20

    private let queue = Lock(Queue())
    private let pending = Atomic<Int>(0)
    private let done = Atomic<Int>(0)

    /// What waits to be freed, and what was: `lazyfree_pending_objects` and `lazyfreed_objects` of `INFO`.
    var pendingCount: Int { pending.load(ordering: .relaxed) }
    var doneCount: Int { done.load(ordering: .relaxed) }

    func add(_ keys: consuming Database) {
        guard keys.count >= Self.countMin else { return }
        add(.object(Keys(keys)))
    }

    /// - Parameter object: whose last reference this may be; it goes when the caller lets go of its own.
    func add(_ object: StoredObject) { add(.object(object)) }

    func add(block: UnsafeMutableRawPointer) { add(.block(block)) }

    private func add(_ item: Item) {
        pending.add(1, ordering: .relaxed)
        let mustBegin = queue.withLock { queue in
            queue.items.append(item)
            defer { queue.isServed = true }
            return !queue.isServed
        }
        guard mustBegin else { return }
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { pointer in
                if let pointer { Unmanaged<Discarder>.fromOpaque(pointer).takeRetainedValue().serve() }
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        guard status == 0 else {
            Unmanaged.passUnretained(self).release()
            return serve()
        }
        pthread_detach(thread)
    }

    private func serve() {
        while true {
            let taken = queue.withLock { queue in
                let taken = Queue(items: queue.items, isServed: true)
                queue.items = []
                queue.isServed = !taken.items.isEmpty
                return taken
            }
            guard !taken.items.isEmpty else { return }
            var items = taken.items
            while let item = items.popLast() {
                if case .block(let block) = item { free(block) }
                // An object goes with the last that refers to it, which is this.
                pending.subtract(1, ordering: .relaxed)
                done.add(1, ordering: .relaxed)
            }
        }
    }
}
