import HTTP1Wire
import HTTPSemantics

/// Why an answer came about as it did: everything that the `detail` of `Cache-Status`, the access log's `detail` and the metric
/// `headrace_edge_reasons_total` can say.
///
/// The decisions have enums of their own, so that each can say nothing but what it may; here they meet, so that all three readers
/// have the same words. `docs/response-cache.md` lists them, and a test holds the list to this enum.
enum AnswerReason: Hashable, Sendable, CaseIterable {
    /// It went past the cache.
    case bypass(SharedCachePolicy.BypassReason)
    /// What is stored could not answer as it was.
    case forwarded(RevalidationPolicy.Reason)
    /// What is stored answered although it was stale.
    case servedStale(RevalidationPolicy.Permission)
    /// What came was not stored.
    case notStored(NotStoredReason)
    /// Nothing whole came.
    case failed(GatewayFailure)
    /// The request was refused before it was understood.
    case refused(HTTP1Error.Code)
    /// A purge was done.
    case purged(PurgeRequest.Kind)
    /// A purge was refused.
    case purgeRefused(PurgeRefusal)
    /// The edge answered, or ended it, itself.
    case edge(EdgeReason)

    /// The word in the log, the answer and the metric.
    var word: String {
        switch self {
        case .bypass(let reason): reason.rawValue
        case .forwarded(let reason): reason.rawValue
        case .servedStale(let permission): permission.rawValue
        case .notStored(let reason): reason.rawValue
        case .failed(let failure): failure.rawValue
        case .refused(let code): code.rawValue
        case .purged(let kind): kind.reason
        case .purgeRefused(let refusal): refusal.rawValue
        case .edge(let reason): reason.rawValue
        }
    }

    /// What kind of reason it is: the metric's other label.
    var kind: Kind {
        switch self {
        case .bypass: .bypass
        case .forwarded: .forwarded
        case .servedStale: .servedStale
        case .notStored: .notStored
        case .failed: .failed
        case .refused: .refused
        case .purged: .purge
        case .purgeRefused: .purgeRefused
        case .edge: .edge
        }
    }

    enum Kind: String, Sendable, CaseIterable {
        case bypass, forwarded
        case servedStale = "served-stale"
        case notStored = "not-stored"
        case failed, refused, purge
        case purgeRefused = "purge-refused"
        case edge
    }

    static let allCases: [Self] =
        SharedCachePolicy.BypassReason.allCases.map(Self.bypass) + RevalidationPolicy.Reason.allCases.map(Self.forwarded)
        + RevalidationPolicy.Permission.allCases.map(Self.servedStale) + NotStoredReason.allCases.map(Self.notStored)
        + GatewayFailure.allCases.map(Self.failed) + HTTP1Error.Code.allCases.map(Self.refused)
        + PurgeRequest.Kind.allCases.map(Self.purged) + PurgeRefusal.allCases.map(Self.purgeRefused) + EdgeReason.allCases.map(Self.edge)

    /// Its place in ``allCases``: asked for with most misses, so that nothing is looked up.
    var number: Int {
        switch self {
        case .bypass(let reason): Self.starts[0] + caseNumber(reason)
        case .forwarded(let reason): Self.starts[1] + caseNumber(reason)
        case .servedStale(let permission): Self.starts[2] + caseNumber(permission)
        case .notStored(let reason): Self.starts[3] + caseNumber(reason)
        case .failed(let failure): Self.starts[4] + caseNumber(failure)
        case .refused(let code): Self.starts[5] + caseNumber(code)
        case .purged(let kind): Self.starts[6] + caseNumber(kind)
        case .purgeRefused(let refusal): Self.starts[7] + caseNumber(refusal)
        case .edge(let reason): Self.starts[8] + caseNumber(reason)
        }
    }

    /// Where each kind begins in ``allCases``.
    private static let starts: [Int] = Kind.allCases.map { kind in allCases.firstIndex { $0.kind == kind } ?? 0 }
}

/// Why the edge answered by itself, or ended an exchange.
enum EdgeReason: String, Sendable, CaseIterable {
    /// Only what is stored was wanted, and it could not answer.
    case onlyIfCached = "only-if-cached"
    /// Another request's fetch brought what is for one client only: this one is fetched, too.
    case notShareable = "not-shareable"
    /// The client's condition is not met: 412.
    case preconditionFailed = "precondition-failed"
    /// No byte of what was asked for is there: 416.
    case rangeNotSatisfiable = "range-not-satisfiable"
    /// What is stored was shown, and nothing asked for.
    case explain
    /// The route says that it is being worked on.
    case maintenance
    /// The client's address may not.
    case clientDenied = "client-denied"
    /// The client asks more often than it may: 429.
    case rateLimit = "rate-limit"
    /// A name and a password are missing, or wrong.
    case basicAuth = "basic-auth"
    /// More passwords wait to be compared than may.
    case basicAuthBusy = "basic-auth-busy"
    /// Another server said no, or nothing.
    case forwardAuth = "forward-auth"
    /// Another server's word did not come in time.
    case authorizationDeadline = "authorization-deadline"
    /// A page of our own was not made in time.
    case pageDeadline = "page-deadline"
    /// The rest of a request's head did not come in time.
    case requestHeadDeadline = "request-head-deadline"
    /// More of a request's body did not come in time.
    case requestBodyDeadline = "request-body-deadline"
    /// A request's body came too slowly.
    case requestRate = "request-rate"
    /// The method is none that is answered here.
    case method
    /// Two readers of the path may take it for different ones.
    case pathAmbiguous = "path-ambiguous"
    /// It came without TLS and cannot be sent to HTTPS: it names no host, or no path.
    case tlsRequired = "tls-required"
    /// It is for a URL of `https` and came without TLS, from nobody who may have ended it: 421.
    case misdirected
    /// No route is for it.
    case noRoute = "no-route"
    /// There is nobody to ask.
    case noApplication = "no-application"
    /// There is no such file.
    case noFile = "no-file"
    /// The client left before its answer was whole.
    case clientGone = "client-gone"
    /// The client took nothing of its answer for too long.
    case writeDeadline = "write-deadline"
    /// The client took its answer too slowly.
    case responseRate = "response-rate"
    /// Draining ended before the answer was whole.
    case drainDeadline = "drain-deadline"
    /// A stream is not begun while draining.
    case draining
    /// The process has nearly all the memory that it may have: 503, or cut.
    case memory
    /// More watch the dashboard than may.
    case tooManyWatchers = "too-many-watchers"
}
