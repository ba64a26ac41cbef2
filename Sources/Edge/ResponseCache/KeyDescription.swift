import Eviction
import HTTPSemantics
import NIOCore

/// What a shard has under one key, for those who ask why.
struct KeyDescription: Sendable {
    struct Variant: Sendable {
        let secondaryKey: [UInt8]
        let response: StoredResponse
        /// By coding: the body's bytes, and whether it is the best that we make.
        let codings: [(coding: ContentCoding, bytes: Int, isFinal: Bool)]
        /// When the whole is not stored: which bytes are, and how many the whole has.
        let parts: (runs: [Range<Int>], count: Int)?
        let memoryBytes: Int
        /// Its place in the eviction queues.
        let queue: S3FIFO.Queue
        let uses: Int
    }

    var vary: [[UInt8]] = []
    var variants: [Variant] = []
    /// Until when it is remembered that the answer cannot be shared.
    var passUntil: NIODeadline?
    var fetches = 0
    var followers = 0
}

extension ResponseShard {
    mutating func describe(_ key: borrowing CacheKey) -> KeyDescription {
        var description = KeyDescription()
        for slot in findRecord(key).flatMap({ records[$0]?.variants.map(\.entry) }) ?? [] { _ = isDroppedByBans(slot) }
        guard let position = findRecord(key), let record = records[position] else { return description }
        description.vary = record.vary.names
        description.fetches = record.fetches.count
        description.followers = record.fetches.reduce(0) { $0 + $1.followers.count }
        description.passUntil = record.passMark.map { entries[$0].pausedUntil }
        for variant in record.variants {
            let entry = entries[variant.entry]
            guard let response = entry.response else { continue }
            var codings: [(coding: ContentCoding, bytes: Int, isFinal: Bool)] = []
            for coding in ContentCoding.allCases {
                guard let ready = entry.ready[Int(coding.rawValue)] else { continue }
                codings.append((coding, ready.body.byteCount, ready.effort != .fast))
            }
            let standing = eviction.standing(variant.entry)
            description.variants.append(
                KeyDescription.Variant(
                    secondaryKey: variant.secondaryKey, response: response, codings: codings,
                    parts: parts[variant.entry].map { ($0.runs, $0.count) }, memoryBytes: memoryBytes(of: variant.entry),
                    queue: standing.queue, uses: standing.uses))
        }
        return description
    }
}
