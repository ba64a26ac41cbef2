import Telemetry

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Frees whole databases on a thread of its own: a million keys take longer to free than anybody wants to wait.
final class Discarder: Sendable {
    /// `@unchecked Sendable`: who holds the box is the only one that knows the database; it is handed over once.
    private final class Box: @unchecked Sendable {
        var keys: Database?
        init(_ keys: consuming Database) { self.keys = consume keys }
    }

    /// Below it freeing at once is quicker than starting a thread.
    static let countMin = 1000

    func add(_ keys: consuming Database) {
        guard keys.count >= Self.countMin else { return }
        let box = Unmanaged.passRetained(Box(keys))
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { pointer in
                if let pointer { Unmanaged<AnyObject>.fromOpaque(pointer).release() }
                return nil
            }, box.toOpaque())
        guard status == 0 else { return box.release() }
        pthread_detach(thread)
    }
}
