import HTTPSemantics
import Telemetry

/// Whether what is asked for is most likely for one client alone, by what came of its neighbours.
///
/// Who asks for a key that is not stored waits for the one who asks first, and if the answer turns out to be private, that wait was
/// for nothing: twice the application's time. So for requests that carry a cookie it is remembered for each folder how its answers turned out.
/// Where two more were for one client than were stored, nobody with a cookie waits for a key that is not stored.
///
/// A guess that is wrong costs one fetch for each who asks at the same time, once: what they bring is stored as ever. Two folders that share a
/// place (one in 4,096) share their past.
final class SharingForecast: Sendable {
    private static let placeCount = 4096
    /// Two: one private page among others is no folder of private pages.
    private static let threshold: UInt8 = 2
    /// Three: after two answers that were stored, the next ones are waited for again.
    private static let most: UInt8 = 3

    private let counts = Lock([UInt8](repeating: 0, count: placeCount))
    private let seed: UInt64

    /// - Parameter seed: what nobody knows: else a folder could be looked for that shares another's place.
    init(seed: UInt64 = .random(in: .min ... .max)) {
        self.seed = seed
    }

    /// Whether nobody should wait for another's answer.
    func isForOneClient(_ key: borrowing CacheKey, _ request: borrowing RequestHead) -> Bool {
        guard request.fields.contains(.cookie) else { return false }
        let place = place(key)
        return counts.withLock { $0[place] >= Self.threshold }
    }

    /// How an answer turned out.
    func noted(_ key: borrowing CacheKey, _ request: borrowing RequestHead, isForOneClient: Bool) {
        guard request.fields.contains(.cookie) else { return }
        let place = place(key)
        counts.withLock { counts in
            if isForOneClient {
                counts[place] = min(counts[place] + 1, Self.most)
            } else if counts[place] > 0 {
                counts[place] -= 1
            }
        }
    }

    /// By host and folder: the key up to the last slash of its path.
    private func place(_ key: borrowing CacheKey) -> Int {
        let bytes = key.bytes
        var end = 0
        var lines = 0
        for (index, byte) in bytes.enumerated() {
            if byte == UInt8(ascii: "\n") { lines += 1 }
            if lines == 2 || byte == UInt8(ascii: "?") { break }
            if byte == UInt8(ascii: "/") { end = index + 1 }
        }
        return Int(truncatingIfNeeded: KeyHash.hash(bytes.span.extracting(0..<end), seed: seed) % UInt64(Self.placeCount))
    }
}
