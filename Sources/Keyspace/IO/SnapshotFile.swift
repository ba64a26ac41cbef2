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

    /// Gives everything in a file, in order. Keys whose expiry has passed are left out.
    /// - Parameters:
    ///   - now: milliseconds since 1970-01-01 UTC.
    ///   - sizes: how many keys of a database will come, as the file says.
    ///   - entry: returns why the keyspace did not take it; `nil` when it did.
    /// - Returns: what was found; `nil` when there is no file.
    static func load(
        _ path: String, databaseCount: Int = 16, now: Int64, sizes: (_ database: Int, _ keyCount: Int) -> Void, entry: (SnapshotEntry) -> String?
    ) throws(Refusal) -> AppendLogDirectory.Recovery? {
        guard Disk.exists(path) else { return nil }
        let result: Result<AppendLogDirectory.Recovery, Refusal>
        do throws(DiskError) {
            result = try Disk.withBytes(of: path) { (bytes) throws(Refusal) in
                try load(bytes, databaseCount: databaseCount, now: now, sizes: sizes, entry: entry)
            }
        } catch { throw .disk(error) }
        return try result.get()
    }

    private static func load(
        _ bytes: UnsafeRawBufferPointer, databaseCount: Int, now: Int64, sizes: (_ database: Int, _ keyCount: Int) -> Void, entry: (SnapshotEntry) -> String?
    ) throws(Refusal) -> AppendLogDirectory.Recovery {
        var recovery = AppendLogDirectory.Recovery()
        var reader: RDBReader
        do throws(RDBError) { reader = try RDBReader(bytes, databaseCount: databaseCount, now: now) } catch { throw .snapshot(error) }
        while true {
            let event: RDBReader.Event
            do throws(RDBError) { event = try reader.next() } catch { throw .snapshot(error) }
            switch event {
            case .entry(let found):
                if let expiry = found.expiry, expiry <= now {
                    recovery.expiredCount += 1
                    continue
                }
                recovery.entryCount += 1
                if let reason = entry(found) { throw .notApplied(offset: reader.offset, reason: reason) }
            case .function: recovery.functionCount += 1
            // No file has more keys than for each of them four bytes.
            case .sizes(let keyCount, _): sizes(reader.database, Int(clamping: min(keyCount, UInt64(bytes.count / 4))))
            case .auxiliary, .moduleAuxiliary: break
            case .end:
                recovery.fieldExpiryCount = reader.fieldExpiryCount
                return recovery
            }
        }
    }
}
