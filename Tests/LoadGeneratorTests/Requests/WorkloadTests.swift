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

    @Test func `a body brings its length, and a method that wants one has it even when empty`() throws {
        let url = try HTTPURL("http://a/x")
        let workload = try Workload([
            RequestSpecification(url, method: "POST", fields: [.init("Content-Type", "text/plain")], body: Array("hello".utf8)),
            RequestSpecification(url, method: "PUT"), RequestSpecification(url, method: "DELETE"),
        ])
        #expect(Self.text(workload).hasPrefix("POST /x HTTP/1.1\r\n") && Self.text(workload).hasSuffix("Content-Length: 5\r\n\r\nhello"))
        #expect(Self.text(workload, 1).contains("Content-Length: 0\r\n"))
        #expect(!Self.text(workload, 2).contains("Content-Length"))
        #expect(throws: Workload.Invalid.method("GET /")) { try Workload([RequestSpecification(url, method: "GET /")]) }
        #expect(throws: Workload.Invalid.method("CONNECT")) { try Workload([RequestSpecification(url, method: "CONNECT")]) }
    }

    @Test(arguments: [
        ([5, 1, 1], [0, 0, 1, 0, 2, 0, 0]), ([1, 1, 1], [0, 1, 2]), ([2, 2], [0, 1]), ([7], [0]), ([], []), ([0, 2], [1, 0, 1]),
    ])
    func `requests follow each other by weight, and evenly`(weights: [Int], order: [Int32]) {
        #expect(WeightedOrder.indices(weights: weights) == order)
    }

    @Test func `weights beyond the bound keep their proportion`() {
        let order = WeightedOrder.indices(weights: [3_000_000, 1_000_000])
        #expect(order.count <= WeightedOrder.countMax + 2)
        #expect(abs(Double(order.count { $0 == 0 }) / Double(order.count) - 0.75) < 0.001)
        #expect(!WeightedOrder.indices(weights: [.max, .max - 1]).isEmpty)
    }

    @Test(arguments: [
        ("/scans/400?page=2", "/scans/*"), ("/", "/"), ("/a/b.css", "/a/b.css"), ("/x/2fd4e1c67a2d28fced849ee1bb76e739", "/x/*"),
        ("/x/550e8400-e29b-41d4-a716-446655440000/y", "/x/*/y"), ("/deadbeef", "/deadbeef"),
    ])
    func `a class is a path in which keys are stars`(target: String, name: String) {
        #expect(RequestSpecification.className(target) == name)
    }

    @Test func `classes beyond the bound are one`() throws {
        func names(_ count: Int) throws -> [String] {
            try Workload((0..<count).map { RequestSpecification(try HTTPURL("http://a/p\($0)x")) }).classNames
        }
        #expect(try names(Workload.classCountMax - 1).last == "/p48x")
        #expect(try names(Workload.classCountMax).last == Workload.otherClasses)
        #expect(try names(Workload.classCountMax + 5).count == Workload.classCountMax)
    }

    @Test func `a redirection stays in its origin, and changes what may change`() throws {
        let workload = try Workload([
            RequestSpecification(try HTTPURL("http://a/x/y"), method: "POST", body: [1]), RequestSpecification(try HTTPURL("http://a/h"), method: "HEAD"),
        ])
        let (post, head) = (workload.requests[0], workload.requests[1])
        let next = try #require(workload.redirected(post, status: 303, location: "z"))
        #expect(String(buffer: next.bytes).hasPrefix("GET /x/z HTTP/1.1\r\n"))
        #expect(workload.redirected(head, status: 301, location: "http://a/z")?.http?.method == .head)
        #expect(workload.redirected(post, status: 307, location: "/z") == nil, "a body is not sent twice")
        #expect(workload.redirected(head, status: 301, location: "http://b/z") == nil)
        #expect(workload.redirected(head, status: 301, location: "https://a/z") == nil)
        #expect(workload.redirected(head, status: 301, location: "/a b") == nil)
    }
}
