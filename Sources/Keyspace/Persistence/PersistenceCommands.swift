import RESPWire

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// SAVE, BGSAVE, LASTSAVE, BGREWRITEAOF and SHUTDOWN.
/// - Source: Redis `rdb.c`, `aof.c`.
enum PersistenceCommands {
    static let rows: [Command] = [
        .init("save", 1, [.noAsyncLoading, .admin, .noscript, .noMulti], .server, keys: .none, locks: .none, "1.0.0", "Synchronously saves the database(s) to disk.", save),
        .init("bgsave", -1, [.noAsyncLoading, .admin, .noscript], .server, keys: .none, locks: .none, "1.0.0", "Asynchronously saves the database(s) to disk.", bgsave),
        .init("bgrewriteaof", 1, [.noAsyncLoading, .admin, .noscript], .server, keys: .none, locks: .none, "1.0.0", "Asynchronously rewrites the append-only file to disk.", rewrite),
        .init("lastsave", 1, [.loading, .stale, .fast], .server, keys: .none, locks: .none, "1.0.0", "Returns the Unix timestamp of the last successful save to disk.") { call in
            call.out.integer(call.keyspace.persistence.status.lastSave)
        },
        .init(
            "shutdown", -1, [.admin, .noscript, .noMulti, .loading, .stale, .allowBusy], .server, keys: .none, locks: .none, "1.0.0",
            "Synchronously saves the database(s) to disk and shuts down the Redis server.", shutdown),
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

    /// `SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] | ABORT`. There are no replicas to wait for: `NOW` says nothing new.
    ///
    /// Only where the process serves nothing else: a client of the keyspace has no say over the edge and the pooler.
    /// - Source: Redis `db.c`, `shutdownCommand`.
    private static func shutdown(_ call: Call) throws(CommandFailure) {
        var (saves, savesNot, isForced, isAborting) = (false, false, false, false)
        for index in 1..<max(call.count, 1) {
            switch call.lowercased(index) {
            case "nosave": savesNot = true
            case "save": saves = true
            case "now": break
            case "force": isForced = true
            case "abort": isAborting = true
            default: throw .syntax
            }
        }
        guard !(saves && savesNot), !isAborting || call.count == 2 else { throw .syntax }
        guard !isAborting else { throw .err("No shutdown in progress.") }
        let persistence = call.keyspace.persistence
        guard let end = call.keyspace.endProcess else {
            throw .err("this process serves more than the keyspace: it is stopped where it was started")
        }
        let savesByItself = call.keyspace.settings.values.withLock { !$0.savePoints.isEmpty }
        if saves || savesByItself && !savesNot, !call.keyspace.configuration.directory.isEmpty {
            let done = Completion()
            // One that is under way shows an earlier instant.
            while let refusal = persistence.begin(call.keyspace, nil, rewrites: false, done: { done.finish($0) }) {
                guard refusal != .off else { throw .text(refusal.rawValue) }
                usleep(10_000)
            }
            guard done.wait() || isForced else { throw .err("Errors trying to SHUTDOWN. Check logs.") }
        }
        if savesNot { persistence.forgoLastSave() }
        // No answer: the connection's end is one.
        call.session.isClosing = true
        end()
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
