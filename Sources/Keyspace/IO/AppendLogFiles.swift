import Telemetry

/// What the writer's thread holds: the directory, what the disk has not taken yet, and the base that a rewrite is writing.
struct AppendLogFiles: ~Copyable {
    private(set) var directory: AppendLogDirectory
    /// What was taken from the log and is not in a file yet, in order.
    private(set) var unwritten = AppendLog.Batch()
    /// Written and not synced.
    private var isDirty = false
    private var base: DiskFile?
    /// The log has a gap before the new increment: the manifest may name that only together with a base.
    private var hasGap = false

    /// Bytes of the log after the last rewrite, or at the start.
    private(set) var rewrittenByteCount: Int

    init(directory: consuming AppendLogDirectory) {
        rewrittenByteCount = directory.byteCount
        self.directory = directory
    }

    /// - Parameter isSyncDue: a second has passed since it was due the last time.
    mutating func write(_ batch: AppendLog.Batch, policy: FsyncPolicy, isSyncDue: Bool) throws(DiskError) {
        unwritten.add(batch)
        if !unwritten.before.isEmpty {
            try directory.append(unwritten.before)
            unwritten.before = []
            isDirty = true
        }
        if unwritten.beginsFile {
            try directory.beginIncrement(isListed: !hasGap)
            unwritten.beginsFile = false
        }
        if !unwritten.after.isEmpty {
            try directory.append(unwritten.after)
            unwritten.after = []
            isDirty = true
        }
        guard isDirty else { return }
        switch policy {
        case .always: break
        case .everysec: guard isSyncDue else { return }
        case .no: return
        }
        try directory.sync()
        isDirty = false
    }

    /// Gives up what the disk does not take.
    mutating func drop() {
        unwritten = AppendLog.Batch()
        hasGap = true
    }

    mutating func beginBase() throws(DiskError) {
        base = nil
        base = try DiskFile(path: directory.temporaryBasePath, isNew: true)
    }

    mutating func appendBase(_ bytes: [UInt8]) throws(DiskError) { try base?.append(bytes) }

    /// The base is complete: it takes the place of what was before.
    mutating func finishBase() throws(DiskError) {
        try base?.sync()
        base = nil
        try directory.finishRewrite()
        rewrittenByteCount = directory.byteCount
        hasGap = false
    }

    mutating func sync() throws(DiskError) { try directory.sync() }
}
