import Foundation
import LoadGenerator
import TestSupport
import Testing

@testable import headrace

@Suite struct RequestSourcesTests {
    private let base = try? HTTPURL("http://a.test")

    /// CR and LF together are one character of Swift's, and another one than LF.
    @Test(arguments: ["\n", "\r\n"]) func `lines end as they do on any system`(end: String) throws {
        let list = try TemporaryFile(["# what visitors ask for", "", "/a", "3@/b"].joined(separator: end) + end)
        #expect(try RequestSources.urlFile(list.path, base: base).map(\.url.target) == ["/a", "/b"])
        let line = #"1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 5"#
        let log = try TemporaryFile([line, line, "something else", line].joined(separator: end) + end)
        #expect(try RequestSources.accessLog(log.path, base: base, methods: ["GET"]).count == 3)
        #expect(try RequestSources.replay(log.path, base: base, methods: ["GET"], speed: 1).offsets.count == 3)
    }
}
