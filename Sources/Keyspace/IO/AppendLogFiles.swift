import Telemetry

/// What the writer's thread holds: the directory, and what the disk has not taken yet.
struct AppendLogFiles: ~Copyable {
    private(set) var directory: AppendLogDirectory
    /// What was taken from the log and is not in a file yet, in order.
    private(set) var unwritten = AppendLog.Batch()
    /// Written and not synced.
    private var isDirty = false
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

    /// The temporary base is complete: it takes the place of what was before.
    mutating func finishRewrite() throws(DiskError) {
        try directory.finishRewrite()
        rewrittenByteCount = directory.byteCount
        hasGap = false
    }

    mutating func sync() throws(DiskError) { try directory.sync() }
}
