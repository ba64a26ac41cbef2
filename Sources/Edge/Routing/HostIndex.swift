import HTTPSemantics

/// From a host to the routes that may be for it, in one look at its bytes.
///
/// Each name and each wildcard of the table has its own list of rows, made before the first request: those that name it, those whose
/// wildcard includes it, and those that name no host, in the table's order. A host that is no name of the table belongs to the longest
/// wildcard that it is below of, or else to the list of rows without a host.
struct HostIndex: Sendable {
    private struct Entry: Sendable {
        let pattern: HostPattern
        let rows: Range<Int>
    }

    private var entries: [Entry] = []
    /// Open addressing; at most half full. -1 is free.
    private var slots: [Int32] = []
    private let hasWildcards: Bool
    private let anyHost: Range<Int>

    /// - Parameters:
    ///   - patterns: all hosts of all routes, each once.
    ///   - append: appends the rows of a list to the table's and says where they lie.
    init(_ patterns: [HostPattern], append: (HostPattern?) -> Range<Int>) {
        anyHost = append(nil)
        hasWildcards = patterns.contains(where: \.isWildcard)
        guard !patterns.isEmpty else { return }
        var count = 4
        while count < 2 * patterns.count { count *= 2 }
        slots = Array(repeating: -1, count: count)
        for pattern in patterns {
            var hash = Self.start
            for byte in pattern.bytes.reversed() { hash = Self.add(byte, to: hash) }
            var slot = Int(truncatingIfNeeded: hash >> 7) & (slots.count - 1)
            while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
            slots[slot] = Int32(entries.count)
            entries.append(Entry(pattern: pattern, rows: append(pattern)))
        }
    }

    func rows(_ host: Span<UInt8>) -> Range<Int> {
        guard !slots.isEmpty else { return anyHost }
        var best = anyHost
        // From the end, so that one pass passes the hash of every suffix.
        var hash = Self.start
        var index = host.count
        while index > 0 {
            index -= 1
            let byte = ASCII.lowercased(host[index])
            hash = Self.add(byte, to: hash)
            if hasWildcards, byte == UInt8(ascii: "."), let found = find(hash, host, isWildcard: true) { best = found }
        }
        return find(hash, host, isWildcard: false) ?? best
    }

    private func find(_ hash: UInt64, _ host: Span<UInt8>, isWildcard: Bool) -> Range<Int>? {
        var slot = Int(truncatingIfNeeded: hash >> 7) & (slots.count - 1)
        while slots[slot] >= 0 {
            let entry = entries[Int(slots[slot])]
            if entry.pattern.isWildcard == isWildcard, entry.pattern.matches(host) { return entry.rows }
            slot = (slot + 1) & (slots.count - 1)
        }
        return nil
    }

    /// FNV-1a: the names are the operator's, so nobody chooses them to collide.
    private static let start: UInt64 = 0xCBF2_9CE4_8422_2325

    @inline(__always)
    private static func add(_ byte: UInt8, to hash: UInt64) -> UInt64 {
        (hash ^ UInt64(byte)) &* 0x100_0000_01B3
    }
}
