import HTTPSemantics

/// Whether a request whose attempt failed is sent again. What may be retried at all is said here; how many, by ``RetryBudget``.
enum RetryPolicy {
    /// What is known of the attempt.
    struct Attempt {
        /// `nil` for a response with one of ``UpstreamGroup/Retry/statuses``.
        var failure: GatewayFailure?
        var method: Method
        /// Attempts so far, this one included.
        var count: Int
        /// Whether the request, or a part of it, was given to a connection.
        var wasSent: Bool
        /// Whether the connection had served another request before.
        var wasReused: Bool
        /// Whether the whole of the request's body that was sent is still at hand.
        var isBodyHeld: Bool
        /// Whether the response's head was passed on, or its body begun to be kept.
        var hasResponse: Bool
    }

    enum Verdict: Equatable {
        case giveUp
        /// On a new connection: a kept-alive one that its server closed just as we used it is nobody's error.
        case onNewConnection
        case onAnotherMember
        /// Or on the same one, if there is no other: it has not looked at the request.
        case onAnyMember
    }

    /// - Source: RFC 9110 §9.2.2: not automatically, unless it is idempotent or was never applied; RFC 9112 §9.3.1; RFC 9113 §8.7.
    static func verdict(_ attempt: Attempt, attemptsMax: Int) -> Verdict {
        guard !attempt.hasResponse else { return .giveUp }
        let isUnprocessed = !attempt.wasSent || attempt.failure == .refused || attempt.failure == .goingAway
        guard !attempt.wasSent || attempt.isBodyHeld, isUnprocessed || attempt.method.isIdempotent else { return .giveUp }
        switch attempt.failure {
        case .closedEarly where attempt.wasReused:
            return .onNewConnection
        case .goingAway:
            return attempt.count < attemptsMax ? .onNewConnection : .giveUp
        case .refused:
            return attempt.count < attemptsMax ? .onAnyMember : .giveUp
        case .connectFailed, .connectTimeout, .closedEarly, .streamReset, .firstByteTimeout, .malformed, nil:
            return attempt.count < attemptsMax ? .onAnotherMember : .giveUp
        // These are not a member's fault, or come too late.
        case .queueFull, .queueTimeout, .noMember, .readTimeout, .truncated, .unexpectedUpgrade, .requestAborted, .totalTimeout,
            .errorStatus:
            return .giveUp
        }
    }
}
