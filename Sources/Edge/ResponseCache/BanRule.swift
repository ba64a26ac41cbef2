/// Which stored responses a purge by pattern is for, by their keys.
struct BanRule: Sendable {
    enum Pattern: Sendable {
        /// Targets that begin so: `/img/`.
        case prefix([UInt8])
        /// Targets in which the expression is found.
        case regex(LinearRegex)
        case everything
    }

    /// In lower case, with a port unless it is 80; `nil` for any.
    var host: [UInt8]?
    var pattern: Pattern

    /// - Parameter key: ``CacheKey/bytes``: host, line feed, target, and perhaps more behind another line feed.
    func matches(_ key: [UInt8]) -> Bool {
        let lineFeed = UInt8(ascii: "\n")
        guard let hostEnd = key.firstIndex(of: lineFeed) else { return false }
        if let host, !key[..<hostEnd].elementsEqual(host) { return false }
        let rest = key[(hostEnd + 1)...]
        let target = rest[..<(rest.firstIndex(of: lineFeed) ?? rest.endIndex)]
        switch pattern {
        case .everything: return true
        case .prefix(let text): return target.starts(with: text)
        case .regex(let regex): return regex.isFound(in: target)
        }
    }
}
