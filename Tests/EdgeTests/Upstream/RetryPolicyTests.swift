import HTTPSemantics
import Testing

@testable import Edge

/// RFC 9110 §9.2.2: a proxy must not retry what is not idempotent, unless it knows that it was not applied.
@Suite struct RetryPolicyTests {
    private func verdict(
        _ failure: GatewayFailure?, _ method: HTTPSemantics.Method = .get, count: Int = 1, wasSent: Bool = true, wasReused: Bool = false,
        isBodyHeld: Bool = true, hasResponse: Bool = false
    ) -> RetryPolicy.Verdict {
        RetryPolicy.verdict(
            .init(
                failure: failure, method: method, count: count, wasSent: wasSent, wasReused: wasReused, isBodyHeld: isBodyHeld,
                hasResponse: hasResponse), attemptsMax: 3)
    }

    @Test func `a connection that could not be made harms nobody, whatever the method`() {
        for method in HTTPSemantics.Method.allCases {
            #expect(verdict(.connectFailed, method, wasSent: false) == .onAnotherMember)
            #expect(verdict(.connectTimeout, method, wasSent: false) == .onAnotherMember)
        }
    }

    @Test func `what was sent is sent again only if doing it twice is doing it once`() {
        for failure in [GatewayFailure.closedEarly, .firstByteTimeout, .malformed, nil] {
            for method in HTTPSemantics.Method.allCases {
                #expect(verdict(failure, method) == (method.isIdempotent ? .onAnotherMember : .giveUp), "\(method)")
            }
        }
    }

    @Test func `a kept-alive connection that was closed is tried again on a new one, whatever the count`() {
        #expect(verdict(.closedEarly, count: 3, wasReused: true) == .onNewConnection)
        #expect(verdict(.closedEarly, .post, wasReused: true) == .giveUp)
        #expect(verdict(.closedEarly, .post, wasSent: false, wasReused: true) == .onNewConnection, "it was found closed before")
        #expect(verdict(.firstByteTimeout, wasReused: true) == .onAnotherMember)
    }

    @Test func `nothing is sent again once a response was passed on, nor without the whole body`() {
        #expect(verdict(.closedEarly, hasResponse: true) == .giveUp)
        #expect(verdict(.closedEarly, wasReused: true, hasResponse: true) == .giveUp)
        #expect(verdict(.closedEarly, .put, isBodyHeld: false) == .giveUp)
        #expect(verdict(.closedEarly, .put, isBodyHeld: true) == .onAnotherMember)
    }

    @Test func `what a server of HTTP-2 has not looked at is sent again, whatever the method, with the whole body`() {
        for method in HTTPSemantics.Method.allCases {
            #expect(verdict(.refused, method) == .onAnyMember)
            #expect(verdict(.goingAway, method, wasReused: true) == .onNewConnection)
            #expect(verdict(.refused, method, isBodyHeld: false) == .giveUp)
            #expect(verdict(.goingAway, method, count: 3) == .giveUp && verdict(.refused, method, count: 3) == .giveUp)
            #expect(verdict(.streamReset, method) == (method.isIdempotent ? .onAnotherMember : .giveUp))
        }
    }

    @Test func `so many attempts and no more`() {
        #expect(verdict(.connectFailed, count: 2, wasSent: false) == .onAnotherMember)
        #expect(verdict(.connectFailed, count: 3, wasSent: false) == .giveUp)
    }

    @Test(arguments: [
        GatewayFailure.queueFull, .queueTimeout, .noMember, .readTimeout, .truncated, .unexpectedUpgrade, .requestAborted, .totalTimeout,
    ])
    func `what another member could not do better is not tried`(failure: GatewayFailure) {
        #expect(verdict(failure, wasSent: false) == .giveUp)
        #expect(verdict(failure) == .giveUp)
    }
}
