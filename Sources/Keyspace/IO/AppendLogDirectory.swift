/// The files of an append log: opened, replayed, appended to, replaced by a rewrite. Everything blocks.
///
/// At every instant the manifest on disk names only files that are whole, but for the end of the last increment:
/// 1. A new increment is made, empty, and synced before the manifest names it.
/// 2. A rewrite's base is written under another name, synced, renamed, and only then named by the manifest.
/// 3. What the manifest no longer names is history in it first, then removed, then forgotten.
/// Whatever is in the directory and not in the manifest is what an interrupted step left; it is overwritten or stays unread.
struct AppendLogDirectory: ~Copyable {
    /// Why a log cannot be opened. The operator decides: nothing is lost or changed by refusing.
    enum Refusal: Error, Equatable, CustomStringConvertible {
        case disk(DiskError)
        case manifest(AppendLogManifest.Malformed)
        case snapshot(file: String, RDBError)
        case commands(file: String, AppendLogReader.Damage)
        /// A file that is not the last one ends within a command.
        case tornBeforeTheLast(file: String, offset: Int)
        /// A command in the log was refused by the keyspace.
        case notApplied(file: String, offset: Int, reason: String)

        var description: String {
            switch self {
            case .disk(let error): error.description
            case .manifest(let error): "the append log's manifest, line \(error.line): \(error.reason.rawValue)"
            case .snapshot(let file, let error): "\(file): \(error)"
            case .commands(let file, let damage): "\(file): \(damage.reason.rawValue) at byte \(damage.offset)"
            case .tornBeforeTheLast(let file, let offset): "\(file), which is not the last, ends within the command at byte \(offset)"
            case .notApplied(let file, let offset, let reason): "\(file): the command before byte \(offset) was refused: \(reason)"
            }
        }
    }

    /// What replaying found.
    struct Recovery: Equatable {
        var entryCount = 0
        /// Keys of a snapshot whose time had passed: they were left out.
        var expiredCount = 0
        var commandCount = 0
        /// The last file's torn tail, which was cut off.
        var cutByteCount = 0
        var functionCount = 0
        /// Fields of hashes whose own expiry was dropped.
        var fieldExpiryCount = 0
    }

    /// Takes what is replayed: a base, and commands that belong together.
    struct Target {
        var base: SnapshotFile.Target
        /// Returns why they could not be applied; `nil` when they were.
        var commands: ([AppendLogReplay.Command]) -> String?
    }

    /// `appenddirname` and `appendfilename` of Redis, as everybody leaves them.
    static let usualName = "appendonlydir"
    static let usualPrefix = "appendonly.aof"

    private let directory: String
    private let prefix: String
    private(set) var manifest: AppendLogManifest
    /// An increment that the manifest does not name yet.
    private var unlisted: AppendLogManifest.File? = nil
    /// The last increment.
    private var file: DiskFile
    /// Bytes of the base and of all increments before the last.
    private var olderByteCount: Int

    private var manifestPath: String { "\(directory)/\(prefix).manifest" }

    /// Opens the log, replays all of it, and makes it ready to be appended to.
    /// - Parameters:
    ///   - directory: made when it is not there (`appenddirname`).
    ///   - prefix: of the files' names (`appendfilename`).
    ///   - cutsTornTail: refuse instead when `false` (`aof-load-truncated`).
    init(
        directory: String, prefix: String, databaseCount: Int = 16, cutsTornTail: Bool = true, now: Int64, into target: Target,
        recovery: inout Recovery
    ) throws(Refusal) {
        var found = AppendLogManifest()
        let last = try Self.open(
            directory, prefix, databaseCount: databaseCount, cutsTornTail: cutsTornTail, now: now, target, &found, &recovery)
        self.directory = directory
        self.prefix = prefix
        manifest = found
        file = last
        olderByteCount = ([found.base].compactMap(\.self) + found.increments.dropLast()).reduce(0) { $0 + Disk.byteCount("\(directory)/\($1.name)") }
        try? removeHistory()
    }

    /// - Returns: the last increment.
    private static func open(
        _ directory: String, _ prefix: String, databaseCount: Int, cutsTornTail: Bool, now: Int64, _ target: Target,
        _ manifest: inout AppendLogManifest, _ recovery: inout Recovery
    ) throws(Refusal) -> DiskFile {
        do throws(DiskError) {
            try Disk.makeDirectory(directory)
            try Disk.syncDirectory(of: directory)
        } catch { throw .disk(error) }
        let manifestPath = "\(directory)/\(prefix).manifest"
        guard Disk.exists(manifestPath) else { return try makeIncrement(directory: directory, prefix: prefix, &manifest) }
        manifest = try readManifest(manifestPath)
        for file in [manifest.base].compactMap(\.self) + manifest.increments {
            try replay(
                "\(directory)/\(file.name)", isLast: file == manifest.increments.last ?? manifest.base, databaseCount: databaseCount,
                cutsTornTail: cutsTornTail, now: now, target, &recovery)
        }
        guard let last = manifest.increments.last else { return try makeIncrement(directory: directory, prefix: prefix, &manifest) }
        do throws(DiskError) { return try DiskFile(path: "\(directory)/\(last.name)", isNew: false) } catch { throw .disk(error) }
    }

    private static func readManifest(_ path: String) throws(Refusal) -> AppendLogManifest {
        let result: Result<AppendLogManifest, AppendLogManifest.Malformed>
        do throws(DiskError) {
            result = try Disk.withBytes(of: path) { (bytes) throws(AppendLogManifest.Malformed) in
                try AppendLogManifest(parsing: Array(bytes.prefix(16 << 20)))
            }
        } catch { throw .disk(error) }
        switch result {
        case .success(let manifest): return manifest
        case .failure(let error): throw .manifest(error)
        }
    }

    // MARK: What was there before the log

    /// What a keyspace without a log had, and what becomes of it when the log is turned on.
    enum Predecessor {
        /// The log that Redis before 7 had: one file. It is moved, as Redis 7 does.
        case singleFile
        /// A snapshot. It is copied: whoever turns the log off again finds it where it was.
        case snapshot
    }

    /// Makes what was there the base of a new log, when there is none yet. Otherwise the first start with `append_only` would come up
    /// empty. The manifest comes last: until it is there, the next start finds all as it was.
    /// - Parameters:
    ///   - directory: the log's.
    ///   - singleFile: where a log of one file would be.
    ///   - snapshot: where a snapshot would be.
    static func adoptPredecessor(
        directory: String, prefix: String, singleFile: String, snapshot: String
    ) throws(DiskError) -> Predecessor? {
        let manifestPath = "\(directory)/\(prefix).manifest"
        guard !Disk.exists(manifestPath) else { return nil }
        var manifest = AppendLogManifest()
        if Disk.exists(singleFile) {
            try Disk.makeDirectory(directory)
            manifest.base = AppendLogManifest.File(name: prefix, sequence: 1)
            try Disk.link(singleFile, to: "\(directory)/\(prefix)")
            try Disk.replace(manifestPath, with: manifest.bytes)
            try Disk.remove(singleFile)
            return .singleFile
        }
        guard Disk.exists(snapshot) else { return nil }
        try Disk.makeDirectory(directory)
        let base = manifest.nextBase(prefix: prefix)
        var file = try DiskFile(path: "\(directory)/\(base.name)", isNew: true)
        let copied: Result<Void, DiskError> = try Disk.withBytes(of: snapshot) { (bytes) throws(DiskError) in
            // 1 MB at a time: the copy takes no more memory than that.
            for start in stride(from: 0, to: bytes.count, by: 1 << 20) {
                try file.append(Array(bytes[start..<min(start + 1 << 20, bytes.count)]))
            }
            try file.sync()
        }
        try copied.get()
        manifest.base = base
        try Disk.replace(manifestPath, with: manifest.bytes)
        return .snapshot
    }

    // MARK: Replay

    /// One file: a snapshot, commands, or a snapshot with commands behind it.
    private static func replay(
        _ path: String, isLast: Bool, databaseCount: Int, cutsTornTail: Bool, now: Int64, _ target: Target, _ recovery: inout Recovery
    ) throws(Refusal) {
        var found = recovery
        let result: Result<(valid: Int, count: Int), Refusal>
        do throws(DiskError) {
            result = try Disk.withBytes(of: path) { (bytes) throws(Refusal) in
                let start = try loadSnapshot(bytes, path, databaseCount: databaseCount, now: now, target, &found)
                return (try runCommands(bytes, from: start, path, databaseCount: databaseCount, target, &found), bytes.count)
            }
        } catch { throw .disk(error) }
        recovery = found
        let (valid, count) = try result.get()
        guard valid < count else { return }
        guard isLast, cutsTornTail else { throw .tornBeforeTheLast(file: path, offset: valid) }
        do throws(DiskError) {
            var file = try DiskFile(path: path, isNew: false)
            try file.truncate(to: valid)
            try file.sync()
        } catch { throw .disk(error) }
        recovery.cutByteCount = count - valid
    }

    /// - Returns: where the snapshot ends; 0 when the file does not begin with one.
    private static func loadSnapshot(
        _ bytes: UnsafeRawBufferPointer, _ path: String, databaseCount: Int, now: Int64, _ target: Target, _ recovery: inout Recovery
    ) throws(Refusal) -> Int {
        guard bytes.starts(with: "REDIS".utf8) else { return 0 }
        do throws(SnapshotFile.Refusal) {
            // A base is read with its expired keys: the increments behind it may speak of them.
            return try SnapshotFile.read(bytes, databaseCount: databaseCount, now: now, keepsExpired: true, into: target.base, &recovery)
        } catch {
            switch error {
            case .disk(let error): throw .disk(error)
            case .snapshot(let error): throw .snapshot(file: path, error)
            case .notApplied(let offset, let reason): throw .notApplied(file: path, offset: offset, reason: reason)
            }
        }
    }

    private static func runCommands(
        _ bytes: UnsafeRawBufferPointer, from start: Int, _ path: String, databaseCount: Int, _ target: Target, _ recovery: inout Recovery
    ) throws(Refusal) -> Int {
        var replay = AppendLogReplay(bytes, from: start, databaseCount: databaseCount)
        while true {
            let step: AppendLogReplay.Step
            do throws(AppendLogReader.Damage) { step = try replay.next() } catch { throw .commands(file: path, error) }
            let reason: String?
            switch step {
            case .apply(let command):
                recovery.commandCount += 1
                reason = target.commands([command])
            case .applyTogether(let commands):
                recovery.commandCount += commands.count
                reason = target.commands(commands)
            case .finished(let validByteCount): return validByteCount
            }
            if let reason { throw .notApplied(file: path, offset: replay.offset, reason: reason) }
        }
    }

    // MARK: Appending

    /// Bytes of the last increment.
    var incrementByteCount: Int { file.byteCount }
    /// Bytes of all files that a start would replay.
    var byteCount: Int { olderByteCount + file.byteCount }

    mutating func append(_ bytes: [UInt8]) throws(DiskError) { try file.append(bytes) }

    func sync() throws(DiskError) { try file.sync() }

    /// What is appended from now on goes to a new increment.
    /// - Parameter isListed: `false` when commands are missing between the last increment and this one: it means nothing until a base
    ///   is there, and ``finishRewrite()`` names both in one step.
    mutating func beginIncrement(isListed: Bool = true) throws(DiskError) {
        // Behind a gap it is given up: what it has more than was synced may go with a crash.
        if isListed { try file.sync() }
        var next = manifest
        let increment = next.beginIncrement(prefix: prefix)
        let new = try DiskFile(path: "\(directory)/\(increment.name)", isNew: true)
        try new.sync()
        if isListed {
            try Disk.replace(manifestPath, with: next.bytes)
            manifest = next
            unlisted = nil
        } else {
            unlisted = increment
        }
        olderByteCount += file.byteCount
        file = new
    }

    private static func makeIncrement(
        directory: String, prefix: String, _ manifest: inout AppendLogManifest
    ) throws(Refusal) -> DiskFile {
        do throws(DiskError) {
            let increment = manifest.beginIncrement(prefix: prefix)
            let file = try DiskFile(path: "\(directory)/\(increment.name)", isNew: true)
            try file.sync()
            try Disk.replace("\(directory)/\(prefix).manifest", with: manifest.bytes)
            return file
        } catch { throw .disk(error) }
    }

    // MARK: Rewriting

    /// Where a rewrite writes its base: in no list yet.
    var temporaryBasePath: String { "\(directory)/temp-rewrite.base.rdb" }

    /// What ``finishRewrite()`` removes.
    var replacedPaths: [String] {
        ([manifest.base].compactMap(\.self) + manifest.increments.dropLast(unlisted == nil ? 1 : 0)).map { "\(directory)/\($0.name)" }
    }

    /// The temporary base is whole and synced: it takes the place of the old base and of all increments but the last.
    mutating func finishRewrite() throws(DiskError) {
        var next = manifest
        if let unlisted { next.increments.append(unlisted) }
        guard let last = next.increments.last else { return }
        let base = next.nextBase(prefix: prefix)
        next.finishRewrite(base: base, first: last)
        try Disk.move(temporaryBasePath, to: "\(directory)/\(base.name)")
        try Disk.replace(manifestPath, with: next.bytes)
        manifest = next
        unlisted = nil
        olderByteCount = Disk.byteCount("\(directory)/\(base.name)")
        try removeHistory()
    }

    /// Removes the files of before the last rewrite. What cannot be removed stays in the list for the next time.
    mutating func removeHistory() throws(DiskError) {
        guard !manifest.history.isEmpty else { return }
        for file in manifest.history { try Disk.remove("\(directory)/\(file.name)") }
        var next = manifest
        next.history = []
        try Disk.replace(manifestPath, with: next.bytes)
        manifest = next
    }
}
