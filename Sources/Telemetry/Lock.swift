#if HEADRACE_THREAD_SANITIZER
import Glibc

/// A value behind a lock. Under ThreadSanitizer this is a pthread mutex: the sanitizer knows those, and takes
/// `Synchronization.Mutex`, which is a bare futex, for a race.
public struct Lock<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
    // Sendable because `value` is touched between lock and unlock only, and neither pointer ever changes.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let value: UnsafeMutablePointer<Value>

    public init(_ value: consuming sending Value) {
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        self.value = .allocate(capacity: 1)
        self.value.initialize(to: value)
    }

    deinit {
        value.deinitialize(count: 1)
        value.deallocate()
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    public borrowing func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&value.pointee)
    }
}
#else
public import Synchronization

/// A value behind a lock: `Synchronization.Mutex`, but for builds under ThreadSanitizer (`-DHEADRACE_THREAD_SANITIZER`).
public typealias Lock = Mutex
#endif
