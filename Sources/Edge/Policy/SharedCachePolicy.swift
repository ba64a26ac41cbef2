import HTTPSemantics

/// Whether a request may be answered from the response cache, and whether a response may go into it.
///
/// The storing half is RFC 9111's and lies in `HTTPSemantics/Storability`; here is what the edge adds to it.
enum SharedCachePolicy {
    /// Why a request goes past the response cache. The raw value is the `detail` of `Cache-Status`.
    enum BypassReason: String, Sendable, CaseIterable {
        /// The cache is switched off.
        case disabled
        /// Only GET and HEAD are looked up.
        case method
        /// Whom another server found out to ask may change what the application says.
        case forwardAuth = "forward-auth"
        /// A GET with a body means something that only the application knows.
        case requestBody = "request-body"
        /// The request is one of `headrace prove`, which measures how it is without the cache.
        case switchedOff = "switched-off"
        /// It is one of the share of requests by which the cache's worth is measured.
        case holdOut = "hold-out"
        /// What is asked for is another protocol.
        case upgrade
        /// A part of a file comes from the file.
        case fileRange = "file-range"
    }

    static func bypassReason(_ request: borrowing RequestHead, _ configuration: EdgeConfiguration.Cache) -> BypassReason? {
        guard configuration.isEnabled else { return .disabled }
        guard request.method == .get || request.method == .head else { return .method }
        guard request.framing.isEmpty else { return .requestBody }
        if request.fields.contains(.upgrade), UpgradePolicy.isOffered(request) { return .upgrade }
        return nil
    }

    /// Whether a miss may be fetched for all who ask: only what would be the same for each of them.
    ///
    /// `Authorization` is left out although RFC 9111 §3.5 has exceptions: whether one applies is known only when the response
    /// is there, and until then nobody should wait for somebody else's private page.
    static func mayLead(_ request: borrowing RequestHead, _ cacheControl: CacheControl, heedsRequests: Bool = true) -> Bool {
        request.method == .get && !request.fields.contains(.authorization) && !(cacheControl.noStore && heedsRequests)
    }

    /// Whether a stored response may answer a request that carries credentials: only if the application said that it is for
    /// everybody. What RFC 9111 §3.5 asks of storing, we ask of reuse too: an application that greets those who log in rarely
    /// thinks of saying so to a cache.
    static func mayAnswer(_ response: StoredResponse, _ request: borrowing RequestHead) -> Bool {
        guard request.fields.contains(.authorization) else { return true }
        let cacheControl = response.cacheControl
        return cacheControl.isPublic || cacheControl.mustRevalidate || cacheControl.sMaxAge != nil
    }
}
