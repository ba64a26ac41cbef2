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

    private static let notWritten = "ERR the snapshot could not be written"

    /// The client waits for it, and nobody else, also on its event loop: unlike Redis' SAVE, this stops no others, however long it takes.
    private static func save(_ call: Call) throws(CommandFailure) {
        let keyspace = call.keyspace
        guard call.mayBlock, let port = call.session.record.port else { return try saveHere(call) }
        // No key's waiter; the first shard's lock is what decides who answers it.
        let waiter = Waiter(arguments: [], keys: [], shards: 1, deadline: nil, session: call.session.standIn(), port: port, answerWhenLate: [])
        let refusal = keyspace.persistence.begin(keyspace, nil, rewrites: false) { isSaved in
            keyspace.answer(waiter, Array((isSaved ? "+OK\r\n" : "-\(notWritten)\r\n").utf8))
        }
        if let refusal { throw .text(refusal.rawValue) }
        call.waiter = waiter
    }

    /// For who has no connection to be answered on.
    private static func saveHere(_ call: Call) throws(CommandFailure) {
        let done = Completion()
        if let refusal = call.keyspace.persistence.begin(call.keyspace, nil, rewrites: false, isHurried: true, done: { done.finish($0) }) {
            throw .text(refusal.rawValue)
        }
        guard done.wait() else { throw .text(notWritten) }
        call.out.ok()
    }

    /// `SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] | ABORT`. There are no replicas to wait for: `NOW` says nothing new.
    ///
    /// Only where the process serves nothing else: a client of the keyspace has no say over the edge and the pooler. What others write
    /// while it saves is acknowledged, and so is saved again at the very end.
    /// - Source: Redis `db.c`, `shutdownCommand`.
    private static func shutdown(_ call: Call) throws(CommandFailure) {
        var words: Set<String> = []
        for index in 1..<max(call.count, 1) {
            let word = call.lowercased(index)
            guard ["nosave", "save", "now", "force", "abort"].contains(word) else { throw .syntax }
            words.insert(word)
        }
        let isAborting = words.contains("abort")
        guard !words.isSuperset(of: ["save", "nosave"]), !isAborting || words.count == 1 else { throw .syntax }
        guard !isAborting else { throw .err("No shutdown in progress.") }
        guard let end = call.keyspace.endProcess else {
            throw .err("this process serves more than the keyspace: it is stopped where it was started")
        }
        let persistence = call.keyspace.persistence
        let hasSavePoints = !call.keyspace.configuration.directory.isEmpty && call.keyspace.settings.values.withLock { !$0.savePoints.isEmpty }
        if words.contains("save") || hasSavePoints && !words.contains("nosave") {
            call.keyspace.isSavingToEnd.store(true, ordering: .relaxed)
            defer { call.keyspace.isSavingToEnd.store(false, ordering: .relaxed) }
            guard try isSaved(call) || words.contains("force") else { throw .err("Errors trying to SHUTDOWN. Check logs.") }
        }
        if words.contains("save") { persistence.setLastSave(.always) }
        if words.contains("nosave") { persistence.setLastSave(.never) }
        // No answer: the connection's end is one.
        call.session.isClosing = true
        end()
    }

    /// Saves what is there now.
    private static func isSaved(_ call: Call) throws(CommandFailure) -> Bool {
        let done = Completion()
        while let refusal = call.keyspace.persistence.begin(call.keyspace, nil, rewrites: false, isHurried: true, done: { done.finish($0) }) {
            guard refusal != .off else { throw .text(refusal.rawValue) }
            call.keyspace.persistence.interrupt()
            usleep(10_000)
        }
        return done.wait()
    }

    /// In a transaction: half of it is done.
    /// - Source: Redis `rdb.c`, `bgsaveCommand`; `aof.c`, `bgrewriteaofCommand`.
    private static func scheduled(_ call: Call, rewrites: Bool, _ reply: StaticString) throws(CommandFailure) {
        guard !call.keyspace.configuration.directory.isEmpty, !rewrites || call.keyspace.persistence.writer != nil else { throw .text(KeyspacePersistence.Refusal.off.rawValue) }
        call.keyspace.persistence.schedule(rewrites: rewrites)
        call.out.simple(reply)
    }

    private static func bgsave(_ call: Call) throws(CommandFailure) {
        guard call.count == 1 || call.count == 2 && call.matches(1, "schedule") else { throw .syntax }
        if call.holdsAll { return try scheduled(call, rewrites: false, "Background saving scheduled") }
        if let refusal = call.keyspace.persistence.begin(call.keyspace, call, rewrites: false, done: { _ in }) { throw .text(refusal.rawValue) }
        call.out.simple("Background saving started")
    }

    private static func rewrite(_ call: Call) throws(CommandFailure) {
        if call.holdsAll { return try scheduled(call, rewrites: true, "Background append only file rewriting scheduled") }
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
