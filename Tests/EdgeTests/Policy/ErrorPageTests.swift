import HTTP1Wire
import Testing

@testable import Edge

@Suite struct ErrorPageTests {
    /// Every status that the edge can answer with by itself.
    private static let statuses =
        Set(HTTP1Error.Code.allCases.map { HTTP1Error($0).status }).union(GatewayFailure.allCases.map(\.status)).union([
            403, 404, 405, 408, 412,
        ])

    @Test(arguments: statuses.sorted())
    func `each status has a title of its own and says which reason`(status: Int) {
        let title = ErrorPage.title(status)
        #expect(title != "Error")
        let page = ErrorPage.body(status: status, title: title, reason: "some-reason")
        #expect(page.contains("<title>\(status) \(title)</title>") && page.contains("some-reason"))
        #expect(page.hasPrefix("<!doctype html>") && page.utf8.count < 1000)
    }

    @Test func `who is sent away for maintenance is told so, and nothing of a moment`() {
        let page = ErrorPage.body(status: 503, title: ErrorPage.title(503), reason: EdgeReason.maintenance.rawValue)
        #expect(page.contains("down for maintenance") && !page.contains("busy") && !page.contains("moment"))
        #expect(ErrorPage.body(status: 503, title: ErrorPage.title(503), reason: EdgeReason.memory.rawValue).contains("busy"))
    }

    @Test(arguments: GatewayFailure.allCases)
    func `whose fault it was decides the status (RFC 9110 §15.6)`(failure: GatewayFailure) {
        #expect([400, 502, 503, 504].contains(failure.status))
    }
}
