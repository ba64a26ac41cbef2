import NIOCore
import Testing

@testable import LoadGenerator

@Suite struct WorkloadTests {
    private static func text(_ workload: Workload, _ index: Int = 0) -> String {
        String(buffer: workload.requests[index].bytes)
    }

    @Test func `a request is ready to write`() throws {
        let workload = try Workload(urls: [HTTPURL("http://a:81/x?y"), HTTPURL("http://a:81/z")])
        #expect(Self.text(workload) == "GET /x?y HTTP/1.1\r\nHost: a:81\r\nUser-Agent: headrace\r\nAccept: */*\r\n\r\n")
        #expect(Self.text(workload, 1).hasPrefix("GET /z HTTP/1.1\r\n"))
        #expect(workload.endpoint == .tcp(host: "a", port: 81))
    }

    @Test func `fields are added, and replace ours whatever their case`() throws {
        let workload = try Workload(
            urls: [HTTPURL("http://a/")], fields: [.init("Accept-Encoding", "gzip"), .init("host", "b.example")],
            keepsAlive: false)
        #expect(
            Self.text(workload)
                == "GET / HTTP/1.1\r\nUser-Agent: headrace\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nhost: b.example\r\n"
                + "Connection: close\r\n\r\n")
    }

    @Test(arguments: [("X Y", "a"), ("", "a"), ("X:", "a"), ("X", "a\r\nY: b"), ("X", "a\u{0}"), ("X\n", "a")])
    func `a field that would break the request is refused`(name: String, value: String) throws {
        let url = try HTTPURL("http://a/")
        #expect(throws: Workload.Invalid.field("\(name): \(value)")) { try Workload(urls: [url], fields: [.init(name, value)]) }
    }

    @Test(arguments: ["Connection", "content-length", "Transfer-Encoding", "Expect", "Upgrade"])
    func `a field that frames is the generator's own`(name: String) throws {
        let url = try HTTPURL("http://a/")
        #expect(throws: Workload.Invalid.reserved(name)) { try Workload(urls: [url], fields: [.init(name, "1")]) }
    }

    @Test func `URLs of two origins are refused`() throws {
        let urls = [try HTTPURL("http://a/"), try HTTPURL("http://a:81/")]
        #expect(throws: Workload.Invalid.origins("a", "a:81")) { try Workload(urls: urls) }
        #expect(throws: Workload.Invalid.empty) { try Workload(urls: []) }
    }
}
