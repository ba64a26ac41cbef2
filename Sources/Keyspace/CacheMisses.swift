import Synchronization

/// Lets keys that are a cache's be missing for a while, so that it shows what the keyspace is worth: commands that read find nothing, and those
/// that write do as ever.
///
/// Which keys those are says the configuration, by patterns: for locks, sessions and queues a miss would be a loss. The time is short and begins
/// anew with each ``begin(milliseconds:now:)``: when nobody asks any more, it is over by itself.
final class CacheMisses: Sendable {
    private let patterns: [GlobPattern]
    /// Milliseconds since 1970.
    private let until = Atomic<Int64>(0)

    init(_ patterns: [String]) {
        self.patterns = patterns.map { pattern in Array(pattern.utf8).withUnsafeBytes { GlobPattern($0) } }
    }

    /// - Parameter now: milliseconds since 1970.
    func begin(milliseconds: Int64, now: Int64) {
        guard !patterns.isEmpty else { return }
        until.store(now + milliseconds, ordering: .relaxed)
    }

    /// One load, as long as it is not asked for.
    @inline(__always)
    func isMissing(_ key: UnsafeRawBufferPointer, now: Int64) -> Bool {
        now < until.load(ordering: .relaxed) && patterns.contains { $0.matches(key) }
    }
}
