import HTTPSemantics
import LoadGenerator

/// What became of one request that was to have a page stored, as the answer's `Cache-Status` tells it.
enum WarmOutcome: String, CaseIterable, Sendable {
    /// It was fetched and is stored now.
    case stored
    /// It was there, and fresh.
    case there = "there already"
    /// It was answered, and not stored.
    case notStored = "not stored"
    /// An error, or no answer.
    case failed

    /// - Parameter status: the value of `Cache-Status`; `nil` without one.
    init(status code: Int, cacheStatus: String?) {
        if code >= 400 {
            self = .failed
        } else if let cacheStatus, Self.ours(cacheStatus).contains("hit") {
            self = .there
        } else if let cacheStatus, Self.ours(cacheStatus).contains(where: { $0 == "stored" || $0 == "collapsed" }) {
            self = .stored
        } else {
            self = .notStored
        }
    }

    /// Why it was not, in the edge's word.
    static func detail(_ cacheStatus: String?) -> String? {
        guard let cacheStatus else { return nil }
        return ours(cacheStatus).first { $0.hasPrefix("detail=") }.map { String($0.dropFirst(7)) }
    }

    /// The parameters of the last member: that of the cache nearest to us.
    /// - Source: RFC 9211 §2.
    private static func ours(_ text: String) -> [String] {
        let member = text.split(separator: ",").last ?? ""
        return member.split(separator: ";").dropFirst().map { parameter in
            let trimmed = parameter.drop { $0 == " " }
            return String(trimmed)
        }
    }
}
