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
        ("/", "/old", true, "/old/", "/"), ("/", "/old", true, "/old", "/"), ("/?a", "", true, "//evil.example", "/evil.example?a"),
        // The path goes before a query, the query before a fragment.
        ("/new?a=b", "/old", true, "/old/x", "/new/x?a=b"), ("/new?a=b", "/old", true, "/old/x?y=1", "/new/x?a=b&y=1"),
        ("/new#frag", "/old", false, "/old?y=1", "/new?y=1#frag"), ("/new?a#b?c", "/old", true, "/old/x?y", "/new/x?a&y#b?c"),
        ("https://b.example?a", "/old", true, "/old/x", "https://b.example/x?a"), ("/new?", "/old", false, "/old?y=1", "/new?y=1"),
        ("/new#a/b", "/old", true, "/old/x", "/new/x#a/b"),
        // However the prefix is spelled.
        ("/new", "/é", true, "/%C3%A9/x%20y", "/new/x%20y"), ("/new", "/a%20b/", true, "/a%20b/x", "/new/x"), ("/new", "/old", true, "/%6Fld/x", "/new/x"),
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
