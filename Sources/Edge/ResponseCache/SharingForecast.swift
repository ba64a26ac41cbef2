import HTTPSemantics
import Telemetry

/// Whether what is asked for is most likely for one client alone, by what came of its neighbours.
///
/// Who asks for a key that is not stored waits for the one who asks first, and if the answer turns out to be private, that wait was
/// for nothing: twice the application's time. So for requests that carry a cookie it is remembered for each folder how its answers turned out.
/// Where two more were for one client than were stored, nobody with a cookie waits for a key that is not stored. Of a folder of which nothing is
/// known yet the cookie's name says it: who carries a session is most likely shown something of their own (``SessionCookie``).
///
/// A guess that is wrong costs one fetch for each who asks at the same time, once: what they bring is stored as ever. Two folders that share a
/// place (one in 4,096) share their past.
final class SharingForecast: Sendable {
    private static let placeCount = 4096
    /// What is known of a folder. It goes up by one with an answer for one client, and down by one with one that was stored.
    private enum Score {
        static let unknown: UInt8 = 0
        static let shared: UInt8 = 1
        /// Two above: one private page among others is no folder of private pages.
        static let forOneClient: UInt8 = 3
        /// After two answers that were stored, the next ones are waited for again.
        static let most: UInt8 = 4
    }

    private let counts = Lock([UInt8](repeating: Score.unknown, count: placeCount))
    private let seed: UInt64

    /// - Parameter seed: what nobody knows: else a folder could be looked for that shares another's place.
    init(seed: UInt64 = .random(in: .min ... .max)) {
        self.seed = seed
    }

    /// Whether nobody should wait for another's answer.
    func isForOneClient(_ key: borrowing CacheKey, _ request: borrowing RequestHead) -> Bool {
        guard request.fields.contains(.cookie) else { return false }
        let place = place(key)
        let score = counts.withLock { $0[place] }
        return score >= Score.forOneClient || score == Score.unknown && SessionCookie.isIn(request.fields)
    }

    /// How an answer turned out.
    func noted(_ key: borrowing CacheKey, _ request: borrowing RequestHead, isForOneClient: Bool) {
        guard request.fields.contains(.cookie) else { return }
        let place = place(key)
        let isSession = SessionCookie.isIn(request.fields)
        counts.withLock { counts in
            let score = counts[place]
            counts[place] =
                switch (isForOneClient, score) {
                case (true, Score.unknown): isSession ? Score.forOneClient : Score.shared + 1
                case (true, _): min(score + 1, Score.most)
                case (false, ...Score.shared): Score.shared
                case (false, _): score - 1
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
