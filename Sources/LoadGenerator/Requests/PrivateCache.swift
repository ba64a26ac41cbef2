import HTTPSemantics

/// What a browser keeps between two views: the cache of one visitor. No I/O, no clock.
///
/// It is a correct private cache, not an eager one: `no-store` is not kept, `no-cache` and what is stale is asked for with its validators,
/// `Vary` is heeded, `s-maxage` is not for it, and what says nothing is fresh for a tenth of its age since `Last-Modified`, as browsers have
/// it.
/// - Source: RFC 9111 §3, §4, §4.2.2, §4.3.
struct PrivateCache {
    /// What is kept of a response.
    private struct Entry {
        var page: PageFetch.Page
        var lifetime: Int
        /// Seconds since 1970 at which it was as old as it said.
        var received: Int64
        var initialAge: Int
        /// Must be asked for each time.
        var isValidatedAlways: Bool
        /// Fields of the request that `Vary` names, with what they said.
        var varied: [Workload.Field]
    }

    enum Answer {
        /// Nobody is asked.
        case fresh(PageFetch.Page)
        /// It is there, and these fields ask whether it still holds.
        case validate([Workload.Field])
        case missing
    }

    /// 64 MiB: a browser's is larger, and a visitor's visit smaller.
    static let bytesMax = 64 << 20
    private static let heuristicShare = 0.1
    private static let heuristicSecondsMax = 7 * 86_400

    private var entries: [String: Entry] = [:]
    private var bytes = 0

    init() {}

    /// - Parameters:
    ///   - url: origin and target.
    ///   - fields: that the request would have.
    ///   - now: seconds since 1970.
    func answer(_ url: String, fields: [Workload.Field], now: Int64) -> Answer {
        guard let entry = entries[url], Self.matches(entry.varied, fields) else { return .missing }
        let resident = max(now - entry.received, 0)
        if !entry.isValidatedAlways, Int64(entry.initialAge) + resident < Int64(entry.lifetime) { return .fresh(entry.page) }
        var conditions: [Workload.Field] = []
        if let tag = entry.page.head.fields.string(.etag) { conditions.append(.init("If-None-Match", tag)) }
        if let date = entry.page.head.fields.string(.lastModified) { conditions.append(.init("If-Modified-Since", date)) }
        return conditions.isEmpty ? .missing : .validate(conditions)
    }

    /// A response has come.
    /// - Returns: what the page is made of: the response, or, when it was 304, what was kept.
    mutating func received(_ page: PageFetch.Page, _ url: String, fields: [Workload.Field], requestSent: Int64) -> PageFetch.Page {
        if page.head.status == 304, var entry = entries[url] {
            // The kept one's fields stay; what is said about its age and lifetime is new.
            let said = Self.lifetime(page.head, received: page.receivedAt)
            let speaks = page.head.fields.contains(.cacheControl) || page.head.fields.contains(.expires)
            if speaks { (entry.lifetime, entry.isValidatedAlways) = said }
            entry.received = page.receivedAt
            entry.initialAge = Freshness.initialAgeSeconds(response: page.head, requestSent: requestSent, responseReceived: page.receivedAt)
            entries[url] = entry
            return entry.page
        }
        remove(url)
        let control = CacheControl(page.head.fields)
        guard page.head.status == 200, !control.noStore, bytes + page.body.count <= Self.bytesMax, let varied = Self.varied(page.head, fields) else {
            return page
        }
        let (lifetime, isValidatedAlways) = Self.lifetime(page.head, received: page.receivedAt)
        bytes += page.body.count
        entries[url] = Entry(
            page: page, lifetime: lifetime, received: page.receivedAt,
            initialAge: Freshness.initialAgeSeconds(response: page.head, requestSent: requestSent, responseReceived: page.receivedAt),
            isValidatedAlways: isValidatedAlways, varied: varied)
        return page
    }

    private mutating func remove(_ url: String) {
        guard let old = entries.removeValue(forKey: url) else { return }
        bytes -= old.page.body.count
    }

    private static func lifetime(_ head: ResponseHead, received: Int64) -> (seconds: Int, isValidatedAlways: Bool) {
        var control = CacheControl(head.fields)
        // A shared cache's; not for us.
        control.sMaxAge = nil
        let said = Freshness.lifetimeSeconds(response: head, cacheControl: control, received: received)
        if said > 0 || control.maxAge != nil || head.fields.contains(.expires) { return (said, control.noCache) }
        var rules = StoringRules()
        rules.heuristicShare = heuristicShare
        rules.heuristicSecondsMax = heuristicSecondsMax
        return (Freshness.addedLifetimeSeconds(response: head, cacheControl: control, rules: rules, received: received), control.noCache)
    }

    /// - Returns: `nil` for `*`: no other request is like this one.
    private static func varied(_ head: ResponseHead, _ fields: [Workload.Field]) -> [Workload.Field]? {
        var varied: [Workload.Field] = []
        for index in head.fields.lines.indices where head.fields.lines[index].name == .vary {
            for name in String(copying: head.fields.value(at: index)).split(separator: ",") {
                let name = name.filter { $0 != " " && $0 != "\t" }.lowercased()
                if name == "*" { return nil }
                varied.append(.init(name, value(name, fields)))
            }
        }
        return varied
    }

    private static func value(_ name: String, _ fields: [Workload.Field]) -> String {
        fields.filter { $0.name.lowercased() == name }.map(\.value).joined(separator: ",")
    }

    private static func matches(_ varied: [Workload.Field], _ fields: [Workload.Field]) -> Bool {
        varied.allSatisfy { value($0.name, fields) == $0.value }
    }
}
