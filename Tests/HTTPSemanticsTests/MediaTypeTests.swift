import Testing

@testable import HTTPSemantics

@Suite struct MediaTypeTests {
    /// RFC 9110 §8.3.1: the same type in four spellings, and more.
    @Test(
        arguments: [
            ("text/html;charset=utf-8", "text/html"), ("Text/HTML;Charset=\"utf-8\"", "text/html"),
            ("text/html; charset=\"utf-8\"", "text/html"),
            ("text/html ;charset=UTF-8", "text/html"), ("text/html", "text/html"),
            (" application/vnd.api+json ", "application/vnd.api+json"),
            ("image/svg+xml;", "image/svg+xml"), ("a/b", "a/b"), ("text/html;;", "text/html"),
        ] as [(String, String)])
    func `the essence is type and subtype in small letters`(value: String, essence: String) {
        #expect(MediaType(Array(value.utf8).span)?.essence == essence)
    }

    @Test(arguments: [
        "", ";", "text", "text/", "/html", "text/html/x", "te xt/html", "text/ht ml", "text /html", "text/html, text/plain",
        "text/\u{E9}", "\"text/html\"", "/", "//",
    ])
    func `what is no media type is none`(value: String) {
        #expect(MediaType(Array(value.utf8).span) == nil)
    }

    @Test(
        arguments: [
            ("index.html", "text/html; charset=utf-8"), ("A.B.CSS", "text/css; charset=utf-8"),
            ("app.js", "text/javascript; charset=utf-8"),
            ("x.unknown", "application/octet-stream"), ("none", "application/octet-stream"),
            (".html", "application/octet-stream"),
            ("x.", "application/octet-stream"), ("archive.tar.gz", "application/gzip"), ("photo.WebP", "image/webp"),
        ] as [(String, String)])
    func `a file's type comes from the end of its name`(name: String, type: String) {
        #expect(MediaType.forFileName(name) == type)
    }

    @Test func `every row of the table is a media type with a name in small letters, and text says its charset`() {
        for (name, type) in MediaType.byExtension {
            let essence = MediaType(Array(type.utf8).span)?.essence
            #expect(essence != nil && type.hasPrefix(essence!), "\(name)")
            #expect(name == name.lowercased() && !name.contains("."))
            #expect(type.hasPrefix("text/") == type.hasSuffix("; charset=utf-8"), "\(name)")
            #expect(MediaType.forFileName("x." + name) == type)
        }
    }
}
