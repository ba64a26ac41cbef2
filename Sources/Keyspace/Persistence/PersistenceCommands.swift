import RESPWire

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// SAVE, BGSAVE, LASTSAVE and BGREWRITEAOF.
/// - Source: Redis `rdb.c`, `aof.c`.
enum PersistenceCommands {
    static let rows: [Command] = [
        .init("save", 1, [.admin, .noscript, .noMulti], .server, keys: .none, locks: .none, "1.0.0", "Synchronously saves the database(s) to disk.", save),
        .init("bgsave", -1, [.admin, .noscript], .server, keys: .none, locks: .none, "1.0.0", "Asynchronously saves the database(s) to disk.", bgsave),
        .init("bgrewriteaof", 1, [.admin, .noscript], .server, keys: .none, locks: .none, "1.0.0", "Asynchronously rewrites the append-only file to disk.", rewrite),
        .init("lastsave", 1, [.loading, .stale, .fast], .server, keys: .none, locks: .none, "1.0.0", "Returns the Unix timestamp of the last successful save to disk.") { call in
            call.out.integer(call.keyspace.persistence.status.lastSave)
        },
    ]

    /// The loop waits, the others go on: unlike Redis' SAVE, this stops nobody else.
    private static func save(_ call: Call) throws(CommandFailure) {
        let done = Completion()
        if let refusal = call.keyspace.persistence.begin(call.keyspace, nil, rewrites: false, done: { done.finish($0) }) {
            throw .text(refusal.rawValue)
        }
        guard done.wait() else { throw .text("ERR the snapshot could not be written") }
        call.out.ok()
    }

    private static func bgsave(_ call: Call) throws(CommandFailure) {
        guard call.count == 1 || call.count == 2 && call.matches(1, "schedule") else { throw .syntax }
        if let refusal = call.keyspace.persistence.begin(call.keyspace, call, rewrites: false, done: { _ in }) { throw .text(refusal.rawValue) }
        call.out.simple("Background saving started")
    }

    private static func rewrite(_ call: Call) throws(CommandFailure) {
        if let refusal = call.keyspace.persistence.begin(call.keyspace, call, rewrites: true, done: { _ in }) { throw .text(refusal.rawValue) }
        call.out.simple("Background append only file rewriting started")
    }
}

/// One thread waits for another.
///
/// `@unchecked Sendable`: `isSuccess` is written before the semaphore is raised and read after it was taken.
final class Completion: @unchecked Sendable {
    private let semaphore: UnsafeMutablePointer<sem_t>
    private var isSuccess = false

    init() {
        semaphore = .allocate(capacity: 1)
        sem_init(semaphore, 0, 0)
    }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    func finish(_ isSuccess: Bool) {
        self.isSuccess = isSuccess
        sem_post(semaphore)
    }

    func wait() -> Bool {
        while sem_wait(semaphore) != 0 {}
        return isSuccess
    }
}
