/// A snapshot on its way into a file, from the shards' ``ShardSnapshot``s: a piece is taken, then written, by turns. Everything blocks.
struct SnapshotJob: ~Copyable {
    /// What the keys of a piece take in memory, and the most that is written at a time, but for what the last key has.
    private static let pieceBytes = 64 << 10
    /// The disk begins with so many: syncing all at the end would take a core for a millisecond for 60 MB, and less at a time is more requests to it.
    private static let writebackBytes = 1 << 20

    private let keyspace: Keyspace
    private var file: DiskFile
    /// `nil` when all is written.
    private var rdb: RDBWriter?
    private var shard = 0
    private var piece = ShardSnapshot.Piece()
    /// Of the piece.
    private var writtenCount = 0
    private var begunByteCount = 0

    /// Begins the file; what is there under its name goes.
    /// - Parameter isBase: of an append log: the file says so.
    init(of keyspace: Keyspace, to path: String, isBase: Bool) throws(DiskError) {
        self.keyspace = keyspace
        file = try DiskFile(path: path, isNew: true)
        rdb = RDBWriter(auxiliary: [("redis-ver", "7.2.0"), ("redis-bits", "64"), ("aof-base", isBase ? "1" : "0")])
    }

    var isDone: Bool { rdb == nil }

    /// Frees the piece once it is written: nothing for an event loop, when it has much.
    mutating func forgetWritten() {
        if writtenCount == piece.entries.count { (piece, writtenCount) = (ShardSnapshot.Piece(), 0) }
    }

    /// Takes some keys, with the lock of their shard.
    /// - Returns: whether there is room for more.
    mutating func take() -> Bool {
        guard writtenCount == 0, shard < keyspace.shards.count, piece.byteCount < Self.pieceBytes else { return false }
        let shard = keyspace.shards[shard]
        let (taken, isDone) = shard.withLock { () -> (ShardSnapshot.Piece, Bool) in
            guard let taken = shard.snapshot?.proceed(shard) else { return (ShardSnapshot.Piece(), true) }
            let isDone = shard.snapshot?.isDone ?? true
            if isDone { shard.snapshot = nil }
            return (taken, isDone)
        }
        piece.add(taken)
        if isDone { self.shard += 1 }
        return true
    }

    /// Writes the piece, or a part of a large one.
    /// - Returns: how many keys.
    mutating func write() throws(DiskError) -> Int {
        let before = writtenCount
        while writtenCount < piece.entries.count, let count = rdb?.pendingByteCount, count < Self.pieceBytes {
            rdb?.write(piece.entries[writtenCount])
            writtenCount += 1
        }
        let isLast = shard == keyspace.shards.count && writtenCount == piece.entries.count
        try file.append((isLast ? rdb.take()?.finish() : rdb?.takeBytes()) ?? [])
        if file.byteCount - begunByteCount >= Self.writebackBytes {
            file.beginWriteback(begunByteCount..<file.byteCount)
            begunByteCount = file.byteCount
        }
        return writtenCount - before
    }

    func sync() throws(DiskError) { try file.sync() }
}
