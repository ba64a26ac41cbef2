import HTTPSemantics

/// What a browser is told about keeping a response of which the application says nothing.
///
/// | what | without credentials | with a cookie or `Authorization` |
/// |---|---|---|
/// | asset, hash in its file name | `public`, long, perhaps `immutable` | `private`, long, perhaps `immutable` |
/// | asset, version in its query | `private`, long, `Vary` | the same |
/// | other asset | `private`, short, `Vary` | `private, no-cache` |
/// | other type of the table | `private`, as the table says, `Vary` | `private, no-cache` |
/// | type that the table does not know | nothing | `private, no-cache` |
/// | sets a cookie, varies by credentials, status other than 200, 203, 301, 308 | `private, no-cache` | `private, no-cache` |
///
/// `Vary` is `Cookie, Authorization`: who logs in or out asks with others, and what was kept before is not what is meant. Files of our
/// own are the same for everybody (unless a route asks who is there): for them the left column holds always, with `private`, without
/// `Vary`. 206 and 304 speak of a 200 and say what it would say. All of it is added on the way out: what the response cache keeps is
/// decided by the application's own fields alone.
/// - Source: RFC 9111 §3, §3.5, §4.2.2, §5.2.2; RFC 8246.
struct BrowserCaching: Sendable {
    private let policy: BrowserCachingPolicy
    private let patterns: [HashedNamePattern]
    private let versionParameters: [[UInt8]]

    fileprivate static let noCache = "private, no-cache"

    /// - Returns: `nil` when the policy is off.
    init?(_ policy: BrowserCachingPolicy) {
        guard policy.isOn else { return nil }
        self.policy = policy
        patterns = policy.namePatterns.compactMap(HashedNamePattern.init)
        versionParameters = policy.versionParameters.map { Array($0.utf8) }
    }

    /// - Parameters:
    ///   - target: path and query of a GET or HEAD; nothing is ever added to what answers another method.
    ///   - fields: the application's own.
    ///   - isForEverybody: the response does not depend on who asks: a file, on a route that asks nobody who he is.
    ///   - isGuarded: not everybody gets an answer at all: no cache that others share may give it to them.
    /// - Returns: `nil` when nothing is to be added, whoever asks.
    func advice(
        target: Span<UInt8>, status: Int, fields: borrowing FieldSection, isForEverybody: Bool, isGuarded: Bool
    ) -> BrowserCachingAdvice? {
        let isSilent = !fields.contains(.cacheControl) && !fields.contains(.expires) && !fields.contains(.pragma)
            && !fields.contains(.cdnCacheControl)
        guard isSilent || policy.overrides else { return nil }
        let own = isSilent ? CacheControl() : CacheControl(copy fields)
        if own.noStore { return nil }
        let transform = own.noTransform ? ", no-transform" : ""
        func advice(_ open: String?, personal: String?, varies: Bool = false) -> BrowserCachingAdvice? {
            BrowserCachingAdvice(
                open: open.map { $0 + transform }, personal: personal.map { $0 + transform }, varies: varies, replaces: !isSilent)
        }

        if !isOfLastingStatus(status) || dependsOnWhoAsks(fields) { return advice(Self.noCache, personal: Self.noCache) }
        guard let row = row(fields, target) else {
            // An application's own word on what the table does not know stays.
            return isForEverybody || !isSilent ? nil : advice(nil, personal: Self.noCache)
        }
        if row.isAsset, isHashed(target) {
            let lifetime = "max-age=\(row.seconds)" + (row.isImmutable ? ", immutable" : "")
            return advice((own.isPrivate || isGuarded ? "private, " : "public, ") + lifetime, personal: "private, " + lifetime)
        }
        if row.isAsset, isVersioned(target) {
            let lifetime = "private, max-age=\(row.seconds)"
            return advice(lifetime, personal: lifetime, varies: !isForEverybody)
        }
        let lifetime = "private, max-age=\(row.isAsset ? min(policy.shortSeconds, row.seconds) : row.seconds)"
        // What the application calls private depends on who asks, whatever the request shows of that.
        let isShared = isForEverybody || !own.isPrivate
        return advice(isShared ? lifetime : Self.noCache, personal: isForEverybody ? lifetime : Self.noCache, varies: !isForEverybody)
    }

    private func isOfLastingStatus(_ status: Int) -> Bool {
        switch status {
        case 200, 203, 301, 308, 206, 304: true
        default: false
        }
    }

    private func dependsOnWhoAsks(_ fields: borrowing FieldSection) -> Bool {
        if fields.contains(.setCookie) { return true }
        guard fields.contains(.vary) else { return false }
        let vary = VaryNames(copy fields)
        return vary.isAny || vary.names.contains(Array("cookie".utf8)) || vary.names.contains(Array("authorization".utf8))
    }

    /// By `Content-Type`; where a 304 has none, by the end of the file name.
    private func row(_ fields: borrowing FieldSection, _ target: Span<UInt8>) -> BrowserCachingPolicy.Row? {
        let type: MediaType? =
            if let index = fields.firstIndex(of: .contentType) {
                MediaType(fields.value(at: index))
            } else {
                MediaType(MediaType.forFileName(String(copying: target.extracting(Self.fileName(target)))).utf8.span)
            }
        guard let essence = type?.essence else { return nil }
        return policy.rows.first { row in
            row.mediaType.hasSuffix("/*") ? essence.hasPrefix(row.mediaType.dropLast()) : row.mediaType == essence
        }
    }

    private func isHashed(_ target: Span<UInt8>) -> Bool {
        let name = target.extracting(Self.fileName(target))
        for pattern in patterns where pattern.matches(name) { return true }
        return false
    }

    private static func fileName(_ target: Span<UInt8>) -> Range<Int> {
        var (start, end) = (0, 0)
        while end < target.count, target[end] != UInt8(ascii: "?") {
            end += 1
            if target[end - 1] == UInt8(ascii: "/") { start = end }
        }
        return start..<end
    }

    /// Whether one of the parameters has a value.
    private func isVersioned(_ target: Span<UInt8>) -> Bool {
        var start = Self.fileName(target).upperBound + 1
        while start < target.count {
            var end = start
            while end < target.count, target[end] != UInt8(ascii: "&") { end += 1 }
            for parameter in versionParameters where end - start > parameter.count + 1 {
                guard target[start + parameter.count] == UInt8(ascii: "=") else { continue }
                if parameter.indices.allSatisfy({ target[start + $0] == parameter[$0] }) { return true }
            }
            start = end + 1
        }
        return false
    }
}

/// Field lines for one response, ready to write: which of them depends on the request.
struct BrowserCachingAdvice: Sendable, Equatable {
    /// For requests without credentials.
    private let open: [UInt8]
    /// For requests with a cookie or `Authorization`.
    private let personal: [UInt8]
    /// Whether the application's own `Cache-Control`, `Expires` and `Pragma` are left out for it.
    let replaces: Bool

    fileprivate init?(open: String?, personal: String?, varies: Bool, replaces: Bool) {
        func lines(_ value: String?) -> [UInt8] {
            guard let value else { return [] }
            // What is asked for each time may be asked for by anybody.
            let vary = varies && !value.hasPrefix(BrowserCaching.noCache) ? "Vary: Cookie, Authorization\r\n" : ""
            return Array("Cache-Control: \(value)\r\n\(vary)".utf8)
        }
        guard open != nil || personal != nil else { return nil }
        self.open = lines(open)
        self.personal = lines(personal)
        self.replaces = replaces
    }

    /// Whole lines, or nothing.
    func lines(for request: borrowing FieldSection) -> [UInt8] {
        request.contains(.cookie) || request.contains(.authorization) ? personal : open
    }

    /// Whether a field of the application's own is left out.
    func isReplaced(_ name: FieldName) -> Bool {
        replaces && (name == .cacheControl || name == .expires || name == .pragma || name == .cdnCacheControl)
    }

    /// What it takes in memory, in bytes, besides its place in another value.
    var memoryBytes: Int { AllocatedBytes.array(open) + AllocatedBytes.array(personal) }
}
