/// A snapshot file on disk, read mapped. Everything blocks.
enum SnapshotFile {
    /// Why a snapshot was not loaded.
    enum Refusal: Error, Equatable, CustomStringConvertible {
        case disk(DiskError)
        case snapshot(RDBError)
        /// The keyspace did not take an entry that ends at so many bytes.
        case notApplied(offset: Int, reason: String)

        var description: String {
            switch self {
            case .disk(let error): error.description
            case .snapshot(let error): error.description
            case .notApplied(let offset, let reason): "the entry before byte \(offset) was refused: \(reason)"
            }
        }
    }

    /// Takes what is read.
    struct Target {
        /// How many keys of a database will come, as the file says.
        var sizes: (_ database: Int, _ keyCount: Int) -> Void = { _, _ in }
        /// Returns why the keyspace did not take it; `nil` when it did. What it is given is valid until the file has been read.
        var string: (MappedString) -> String?
        var entry: (SnapshotEntry) -> String?
        /// All has come: the strings' memory goes.
        var end: () -> Void = {}
    }

    /// Gives everything in a file, in order. Keys whose expiry has passed are left out.
    /// - Parameter now: milliseconds since 1970-01-01 UTC.
    /// - Returns: what was found; `nil` when there is no file.
    static func load(_ path: String, databaseCount: Int = 16, now: Int64, into target: Target) throws(Refusal) -> AppendLogDirectory.Recovery? {
        guard Disk.exists(path) else { return nil }
        let result: Result<AppendLogDirectory.Recovery, Refusal>
        do throws(DiskError) {
            result = try Disk.withBytes(of: path) { (bytes) throws(Refusal) in
                var recovery = AppendLogDirectory.Recovery()
                _ = try read(bytes, databaseCount: databaseCount, now: now, keepsExpired: false, into: target, &recovery)
                return recovery
            }
        } catch { throw .disk(error) }
        return try result.get()
    }

    /// Gives everything in the snapshot that bytes begin with.
    /// - Parameter keepsExpired: whether keys whose expiry has passed are given, too.
    /// - Returns: where it ends.
    static func read(
        _ bytes: UnsafeRawBufferPointer, databaseCount: Int, now: Int64, keepsExpired: Bool, into target: Target, _ recovery: inout AppendLogDirectory.Recovery
    ) throws(Refusal) -> Int {
        var reader: RDBReader
        do throws(RDBError) { reader = try RDBReader(bytes, databaseCount: databaseCount, now: now) } catch { throw .snapshot(error) }
        /// Whether it is still wanted.
        func counted(_ expiry: Int64?) -> Bool {
            if let expiry, expiry <= now, !keepsExpired {
                recovery.expiredCount += 1
                return false
            }
            recovery.entryCount += 1
            return true
        }
        while true {
            var reason: String?
            do throws(RDBError) {
                if let string = try reader.mappedString() {
                    if counted(string.expiry) { reason = target.string(string) }
                } else {
                    switch try reader.next() {
                    case .entry(let found): if counted(found.expiry) { reason = target.entry(found) }
                    case .function: recovery.functionCount += 1
                    // No file has more keys than for each of them four bytes.
                    case .sizes(let keyCount, _): target.sizes(reader.database, Int(clamping: min(keyCount, UInt64(bytes.count / 4))))
                    case .auxiliary, .moduleAuxiliary: break
                    case .end:
                        target.end()
                        recovery.fieldExpiryCount += reader.fieldExpiryCount
                        return reader.offset
                    }
                }
            } catch { throw .snapshot(error) }
            if let reason { throw .notApplied(offset: reader.offset, reason: reason) }
        }
    }
}
