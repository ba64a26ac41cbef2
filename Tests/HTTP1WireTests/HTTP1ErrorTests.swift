import Testing

@testable import HTTP1Wire

@Suite struct HTTP1ErrorTests {
    @Test func `a client's fault is answered with 400, unless a more exact status is registered`() {
        let others: [HTTP1Error.Code: Int] = [
            .requestLineTooLong: 414, .headTooLarge: 431, .fieldsTooMany: 431, .fieldTooLong: 431, .trailersTooLarge: 431,
            .bodyTooLarge: 413,
            .expectationUnknown: 417, .versionUnsupported: 505,
            // Only a response can have these.
            .statusLineTooLong: 502, .statusMalformed: 502, .reasonByte: 502,
        ]
        for code in HTTP1Error.Code.allCases { #expect(HTTP1Error(code).status == others[code] ?? 400, "\(code)") }
    }

    @Test(arguments: HTTP1Error.Code.allCases) func `an upstream's fault is answered with 502`(code: HTTP1Error.Code) {
        #expect(HTTP1Error(code).fromUpstream.status == 502)
        #expect(HTTP1Error(code).fromUpstream.code == code)
    }
}
