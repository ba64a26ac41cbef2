/// Why a response is not stored by a shared cache. The raw value is the word in logs and `Cache-Status` details.
public enum NotStoredReason: String, CaseIterable, Sendable {
    /// The method defines no caching that we do: what GET brings is stored, and what POST does only where the route says so and the
    /// application that it is the resource itself.
    case method
    /// The request said `no-store`.
    case requestNoStore = "request-no-store"
    /// The request carried credentials, and the response does not say that it is for everybody (RFC 9111 §3.5).
    case authorization
    /// The response said `no-store`.
    case noStore = "no-store"
    /// The response said `private`.
    case isPrivate = "private"
    /// The response sets a cookie: what it shows is most likely for one person.
    case setCookie = "set-cookie"
    /// `Vary: *`: no other request is like this one.
    case varyAny = "vary-any"
    /// A part of a representation (206, or `Content-Range`).
    case partial
    /// An interim response, or a status that says nothing about later requests (RFC 9111 §3).
    case status
    /// Neither a lifetime nor a validator: it could never be used again.
    case noLifetime = "no-lifetime"
    /// Larger than what is stored.
    case tooLarge = "too-large"
    /// It names more surrogate keys, or longer ones, than are kept track of.
    case tags
    /// It ends with its connection: a whole response and a broken one look the same.
    case lengthUnknown = "length-unknown"
    /// Too many other responses were under way for this one to be held until it was whole.
    case buffersFull = "buffers-full"
    /// The application may have read other fields of the request than those by which stored responses are told apart.
    case ambiguousFields = "ambiguous-fields"

    /// Whether the next response under the same key will most likely be no different, so that nobody should wait for it.
    public var saysAboutNext: Bool {
        switch self {
        case .noStore, .isPrivate, .setCookie, .varyAny, .noLifetime, .tooLarge, .tags, .lengthUnknown: true
        case .method, .requestNoStore, .authorization, .partial, .status, .buffersFull, .ambiguousFields: false
        }
    }

    /// Whether the response is for whoever asked, or for nobody's cache, whatever else is asked for beside it.
    public var isForOneClient: Bool {
        switch self {
        case .noStore, .isPrivate, .setCookie, .varyAny: true
        case .method, .requestNoStore, .authorization, .partial, .status, .noLifetime, .tooLarge, .tags, .lengthUnknown, .buffersFull,
            .ambiguousFields:
            false
        }
    }
}

/// Whether a shared cache may store a response, by what the application itself says about it.
public enum Storability {
    /// - Returns: `nil` when it may be stored.
    /// - Source: RFC 9111 §3, §3.5; §7.3 of RFC 6265 for cookies.
    /// - Parameters:
    ///   - cacheControl: ``CacheControl/forSharedCache(_:)`` of the response.
    ///   - received: Unix seconds.
    public static func decide(
        request: RequestHead, response: ResponseHead, cacheControl: CacheControl, rules: StoringRules = StoringRules(),
        received: Int64? = nil
    ) -> NotStoredReason? {
        guard request.method == .get || rules.storesPosts && isResourceItself(request, response, cacheControl, received) else { return .method }
        if rules.heedsRequests, CacheControl(request.fields).noStore { return .requestNoStore }
        guard response.status >= 200 else { return .status }
        if response.status == 206 || response.fields.contains(.contentRange) { return .partial }
        if response.status == 304 || response.status == 416 { return .status }
        if cacheControl.noStore, !(cacheControl.mustUnderstand && isUnderstood(response.status)) { return .noStore }
        if cacheControl.mustUnderstand, !isUnderstood(response.status) { return .status }
        if cacheControl.isPrivate { return .isPrivate }
        if request.fields.contains(.authorization), !cacheControl.isPublic, !cacheControl.mustRevalidate, cacheControl.sMaxAge == nil {
            return .authorization
        }
        if response.fields.contains(.setCookie), !rules.storesCookies,
            // no-cache="Set-Cookie": everything but the cookie is for all.
            !WithheldFields(response.fields, cacheControl).contains(Array("set-cookie".utf8).span)
        {
            return .setCookie
        }
        if VaryNames(response.fields).isAny { return .varyAny }
        if Freshness.hasExplicitLifetime(response: response, cacheControl: cacheControl, received: received) { return nil }
        let added = received.map {
            Freshness.addedLifetimeSeconds(response: response, cacheControl: cacheControl, rules: rules, received: $0)
        }
        if let added, added > 0 { return nil }
        // Without a lifetime it is worth keeping if the application can say that it is still current; an error page is not.
        let hasValidator = response.fields.contains(.etag) || response.fields.contains(.lastModified)
        return hasValidator && response.status == 200 ? nil : .noLifetime
    }

    /// Whether a response to POST is what GET of the same target would bring: the application says so by a `Content-Location` that is the
    /// target, and for how long, explicitly.
    /// - Source: RFC 9110 §9.3.3, §8.7.
    private static func isResourceItself(
        _ request: RequestHead, _ response: ResponseHead, _ cacheControl: CacheControl, _ received: Int64?
    ) -> Bool {
        let fields = response.fields
        guard request.method == .post, response.status == 200, fields.count(of: .contentLocation) == 1,
            let index = fields.firstIndex(of: .contentLocation),
            Freshness.hasExplicitLifetime(response: response, cacheControl: cacheControl, received: received)
        else { return false }
        let text = request.fields.bytes
        let named = RelatedTarget.sameOrigin(
            fields.value(at: index), authority: text.span.extracting(request.authority), target: text.span.extracting(request.target))
        return named.map { $0.elementsEqual(text[request.target]) } ?? false
    }

    /// Statuses whose caching we implement, for `must-understand` (RFC 9111 §5.2.2.3).
    private static func isUnderstood(_ status: Int) -> Bool {
        [200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501].contains(status)
    }
}
