import Testing

@testable import Edge

@Suite struct HashedNamePatternTests {
    private static let standard = BrowserCachingPolicy.standardPatterns.compactMap(HashedNamePattern.init)

    @Test(arguments: [
        "app.3f2a9c1b.js", "app-3f2a9c1b.js", "app_3f2a9c1b77.css", "3f2a9c1b.js", "main.3f2a9c1b.chunk.js", "a.b.C0FFEE01.woff2",
        "app.d41d8cd98f00b204e9800998ecf8427e.css", "app-0a1b2c3d.min.js", "logo.0123456789abcdef0123456789abcdef01234567.svg",
    ])
    func `what build tools write is known by its hash`(name: String) {
        #expect(Self.standard.contains { $0.matches(Array(name.utf8).span) })
    }

    @Test(arguments: [
        "", "app.js", "app.3f2a9c1.js", "report-20260131.png", "photo-deadbeef.jpg", "photo.3f2A9c1b.js", "app.3f2a9c1bx.js", "appx3f2a9c1b.js",
        "jquery-3.7.1.min.js", "app.3f2a9c1b", "scan-Holiday1.jpg", "font-awesome.min.css", "bootstrap.bundle.js", "%33f2a9c1b.js",
    ])
    func `dates, words and versions are no hashes`(name: String) {
        #expect(!Self.standard.contains { $0.matches(Array(name.utf8).span) })
    }

    @Test(arguments: [
        ("*-{base64}.*", "index-BsK3h2Qz.js", true), ("*-{base64}.*", "index-holiday1.js", false), ("*-{base64:10}.*", "index-BsK3h2Qz.js", false),
        ("{hex:6}.css", "a1b2c3.css", true), ("{hex:6}.css", "a1b2c.css", false), ("v{hex}", "v0a1b2c3d", true), ("*.{hex}", "app.0a1b2c3d", true),
    ])
    func `patterns can be set`(pattern: String, name: String, expected: Bool) throws {
        #expect(try #require(HashedNamePattern(pattern)).matches(Array(name.utf8).span) == expected)
    }

    @Test(arguments: [
        "", "*.js", "{hex}{hex}", "{hex", "{sha}", "{hex:5}", "{hex:65}", "{hex:a}", "{hex:8:9}", "*a*{hex}b*", "a/{hex}", "}{hex}",
        String(repeating: "a", count: 124) + "{hex}",
    ])
    func `what is no pattern is refused`(pattern: String) {
        #expect(HashedNamePattern.problem(pattern) != nil && HashedNamePattern(pattern) == nil)
    }

    @Test func `a pattern of 128 bytes is one, and names count up to 255 bytes`() throws {
        #expect(HashedNamePattern.problem(String(repeating: "a", count: 123) + "{hex}") == nil)
        let pattern = try #require(HashedNamePattern("*.{hex}.*"))
        let name = ".3f2a9c1b.js"
        for (count, expected) in [(255, true), (256, false)] {
            let long = String(repeating: "a", count: count - name.utf8.count) + name
            #expect(pattern.matches(Array(long.utf8).span) == expected)
        }
    }
}
