import Testing

@testable import LoadGenerator

@Suite struct CookieJarTests {
    private static let now: Int64 = 1_800_000_000

    private func sent(_ fields: [String], from: String = "/", to target: String = "/", isSecure: Bool = false, later: Int64 = 0) -> String? {
        var jar = CookieJar()
        for field in fields { jar.received(field, target: from, now: Self.now) }
        return jar.field(target: target, isSecure: isSecure, now: Self.now + later)
    }

    @Test func `a cookie comes back, and a later one of its name replaces it`() {
        #expect(sent(["a=1", "b=2; HttpOnly; SameSite=Lax"]) == "a=1; b=2")
        #expect(sent(["a=1", "a=2"]) == "a=2")
        #expect(sent([]) == nil)
    }

    /// RFC 6265 §5.1.4.
    @Test(arguments: [
        ("/", "/docs", "/docs", true), ("/", "/docs", "/docs/web", true), ("/", "/docs", "/docsets", false), ("/", "/docs/", "/docs/web", true),
        ("/", "/docs/", "/docs", false), ("/a/b", "", "/a/c", true), ("/a/b", "", "/b", false), ("/", "/docs", "/docs?x=1", true),
    ])
    func `a cookie belongs to its path`(from: String, path: String, target: String, isSent: Bool) {
        #expect((sent(["a=1" + (path.isEmpty ? "" : "; Path=\(path)")], from: from, to: target) != nil) == isSent)
    }

    @Test func `longer paths come first`() {
        #expect(sent(["a=1; Path=/", "b=2; Path=/x"], to: "/x/y") == "b=2; a=1")
    }

    @Test func `a secure cookie is for TLS alone`() {
        #expect(sent(["a=1; Secure"]) == nil)
        #expect(sent(["a=1; Secure"], isSecure: true) == "a=1")
    }

    @Test func `a lifetime ends, by its age before its date`() {
        #expect(sent(["a=1; Max-Age=10"], later: 9) == "a=1")
        #expect(sent(["a=1; Max-Age=10"], later: 10) == nil)
        #expect(sent(["a=1", "a=; Max-Age=0"]) == nil)
        #expect(sent(["a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]) == nil)
        #expect(sent(["a=1; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]) == "a=1")
        #expect(sent(["a=1; Max-Age=9223372036854775807"], later: 1 << 40) == "a=1")
    }

    @Test(arguments: ["", "a", "=1", "a=1\r\nX: y", ";"])
    func `what is no cookie is not kept`(field: String) {
        #expect(sent([field]) == nil)
    }

    @Test func `a jar has a bound, in cookies and in bytes`() {
        let many = (0...CookieJar.cookiesMax).map { "c\($0)=1" }
        #expect(sent(Array(many.dropLast()))?.hasPrefix("c0=1; ") == true)
        #expect(sent(many)?.hasPrefix("c1=1; ") == true, "the oldest goes")
        #expect(sent(["a=" + String(repeating: "x", count: CookieJar.cookieBytesMax - 2)]) != nil)
        #expect(sent(["a=" + String(repeating: "x", count: CookieJar.cookieBytesMax - 1)]) == nil)
    }
}
