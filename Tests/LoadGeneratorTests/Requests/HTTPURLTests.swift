import Testing

@testable import LoadGenerator

@Suite struct HTTPURLTests {
    @Test(arguments: [
        ("http://127.0.0.1:8080/a/b?c=d#part", "127.0.0.1", 8080, "127.0.0.1:8080", "/a/b?c=d"),
        ("http://localhost", "localhost", 80, "localhost", "/"),
        ("HTTP://a-b.example?q", "a-b.example", 80, "a-b.example", "/?q"),
        ("http://[::1]:81/x", "::1", 81, "[::1]:81", "/x"),
        ("http://[2001:db8::1]/", "2001:db8::1", 80, "[2001:db8::1]", "/"),
        ("http://h/a@b:c/%20", "h", 80, "h", "/a@b:c/%20"),
    ])
    func `a URL gives host, port, authority and target`(
        text: String, host: String, port: Int, authority: String, target: String
    ) throws {
        let url = try HTTPURL(text)
        #expect(url.host == host)
        #expect(url.port == port)
        #expect(url.authority == authority)
        #expect(url.target == target)
    }

    @Test func `https has its own port, and is said`() throws {
        let url = try HTTPURL("https://a.example/x")
        #expect(url.isSecure && url.port == 443 && url.origin == "https://a.example")
        #expect(try HTTPURL("https://a:8443/").port == 8443)
        #expect(try !HTTPURL("http://a/").isSecure)
    }

    /// RFC 3986 §5.4, of its examples those that lead to a page.
    @Test(arguments: [
        ("g", "/b/c/g"), ("./g", "/b/c/g"), ("g/", "/b/c/g/"), ("/g", "/g"), ("?y", "/b/c/d;p?y"), ("g?y", "/b/c/g?y"), ("g#s", "/b/c/g"),
        (";x", "/b/c/;x"), (".", "/b/c/"), ("./", "/b/c/"), ("..", "/b/"), ("../", "/b/"), ("../g", "/b/g"), ("../..", "/"), ("../../g", "/g"),
        ("../../../g", "/g"), ("/./g", "/g"), ("/../g", "/g"), ("g.", "/b/c/g."), ("..g", "/b/c/..g"), ("./../g", "/b/g"), ("g/./h", "/b/c/g/h"),
        ("g/../h", "/b/c/h"), ("g?y/./x", "/b/c/g?y/./x"),
    ])
    func `a reference is resolved as RFC 3986 5_4 says`(reference: String, target: String) throws {
        let base = try HTTPURL("http://a/b/c/d;p?q")
        #expect(base.resolving(reference)?.target == target)
        #expect(base.resolving(reference)?.authority == "a")
    }

    @Test func `a reference to elsewhere keeps its origin, and what is no page is nothing`() throws {
        let base = try HTTPURL("https://a/b/c")
        #expect(base.resolving("//g/x")?.origin == "https://g")
        #expect(base.resolving("http://g/x")?.origin == "http://g")
        for text in ["mailto:a@b", "data:,x", "#top", "", "javascript:void(0)", "/a b"] { #expect(base.resolving(text) == nil, "\(text)") }
    }

    @Test(arguments: [
        ("127.0.0.1:8080/", HTTPURL.Invalid.schemeMissing("127.0.0.1:8080/")),
        ("", .schemeMissing("")),
        ("ftp://a/", .schemeUnknown("ftp://a/")),
        ("http://user:secret@a/", .userInformation("http://user:secret@a/")),
        ("http://", .host("http://")),
        ("http://:80/", .host("http://:80/")),
        ("http://a b/", .host("http://a b/")),
        ("http://ä/", .host("http://ä/")),
        ("http://[::1/", .host("http://[::1/")),
        ("http://[]/", .host("http://[]/")),
        ("http://[::1]80/", .port("http://[::1]80/")),
        ("http://a:/", .port("http://a:/")),
        ("http://a:0/", .port("http://a:0/")),
        ("http://a:65536/", .port("http://a:65536/")),
        ("http://a:+1/", .port("http://a:+1/")),
        ("http://a/b c", .target("http://a/b c")),
        ("http://a/ä", .target("http://a/ä")),
        ("http://a/\r\nX: y", .target("http://a/\r\nX: y")),
    ])
    func `what cannot be asked for is refused with its reason`(text: String, reason: HTTPURL.Invalid) {
        #expect(throws: reason) { try HTTPURL(text) }
        #expect(reason.description.hasPrefix(text))
    }
}
