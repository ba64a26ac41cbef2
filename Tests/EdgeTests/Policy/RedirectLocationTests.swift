import HTTPSemantics
import Testing

@testable import Edge

@Suite struct RedirectLocationTests {
    @Test(arguments: [
        // location, prefix, keeps the path, target, expected
        ("https://b.example/x", "/old", false, "/old/1?q=2", "https://b.example/x?q=2"),
        ("https://b.example/x", "/old", true, "/old/1?q=2", "https://b.example/x/1?q=2"),
        ("https://b.example/x/", "/old", true, "/old/1", "https://b.example/x/1"),
        ("https://b.example", "/", true, "/a/b", "https://b.example/a/b"),
        ("https://b.example", "", true, "/a/", "https://b.example/a/"),
        ("https://b.example/x?a=1", "/old", false, "/old?q", "https://b.example/x?a=1&q"),
        ("/new", "/old", true, "/old", "/new"), ("/new", "/old/", true, "/old/x", "/new/x"),
        // Never another host than the one that is written.
        ("/", "/old", true, "/old//evil.example/x", "/evil.example/x"), ("/", "", true, "//evil.example", "/evil.example"),
        ("https://b.example", "/old", true, "/old/@evil.example", "https://b.example/@evil.example"),
        ("/", "/old", true, "/old/", "/"), ("/", "/old", true, "/old", "/"),
    ])
    func `where a client is sent`(location: String, prefix: String, keepsPath: Bool, target: String, expected: String) throws {
        var redirect = RouteConfiguration.Redirect()
        redirect.location = location
        redirect.keepsPath = keepsPath
        var match = RouteMatch()
        match.paths = prefix.isEmpty ? [] : [prefix]
        #expect(redirect.location(for: try .get(target), of: match) == expected)
    }

    @Test func `the query can be left out`() throws {
        var redirect = RouteConfiguration.Redirect()
        redirect.location = "/new"
        redirect.keepsQuery = false
        #expect(redirect.location(for: try .get("/a?b=c"), of: RouteMatch()) == "/new")
    }
}
