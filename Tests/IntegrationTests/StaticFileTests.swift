import Foundation
import TestSupport
import Testing

/// `headrace serve --root FOLDER`.
@Suite final class StaticFileTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "static-\(UUID().uuidString)")
    private let root: URL

    init() throws {
        root = folder.appending(path: "public")
        try write("index.html", "<h1>home</h1>")
        try write("css/site.css", String(repeating: "p { color: red }\n", count: 200))
        try write("docs/index.html", "docs")
        try write("a b/é.txt", "odd")
        try write("empty", "")
        try write(".env", "secret")
        try write(".well-known/security.txt", "contact")
        try write("../outside.txt", "outside")
        try FileManager.default.createSymbolicLink(
            at: root.appending(path: "escape.txt"), withDestinationURL: folder.appending(path: "outside.txt"))
        try FileManager.default.createSymbolicLink(
            at: root.appending(path: "inside.html"), withDestinationURL: root.appending(path: "index.html"))
    }

    deinit {
        try? FileManager.default.removeItem(at: folder)
    }

    private func write(_ path: String, _ text: String) throws {
        let url = root.appending(path: path).standardizedFileURL
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: url)
    }

    private func edge(_ more: [String] = []) throws -> HeadraceProcess { try HeadraceProcess(["--root", root.path] + more) }

    @Test func `files come with their type, length and validators`() throws {
        let edge = try edge()
        let home = try RawClient.get(port: edge.port, "/")
        #expect(home.text == "<h1>home</h1>" && home.field("Content-Type") == "text/html; charset=utf-8")
        #expect(home.field("ETag") != nil && home.field("Last-Modified") != nil && home.field("Content-Length") == "13")
        for (target, text) in [
            ("/index.html", "<h1>home</h1>"), ("/docs/", "docs"), ("/a%20b/%C3%A9.txt", "odd"), ("/empty", ""),
            ("/.well-known/security.txt", "contact"), ("/inside.html", "<h1>home</h1>"), ("/index.html?v=1", "<h1>home</h1>"),
        ] {
            let response = try RawClient.get(port: edge.port, target)
            #expect(response.status == 200 && response.text == text, "\(target)")
        }
    }

    @Test(arguments: [
        "/nothing", "/.env", "/%2eenv", "/../outside.txt", "/%2e%2e/outside.txt", "/docs/..%2f..%2foutside.txt", "/escape.txt",
        "/index.html/",
        "/css/", "/index.html%00.txt", "/..%5coutside.txt",
    ])
    func `nothing outside, hidden or odd is found`(target: String) throws {
        let edge = try edge()
        let response = try RawClient.get(port: edge.port, target)
        #expect(response.status == 404)
        #expect(!response.text.contains("secret") && !response.text.contains("outside"))
    }

    @Test func `a folder without its slash is sent there, on this host`() throws {
        let edge = try edge()
        #expect(try RawClient.get(port: edge.port, "/docs?x=1").field("Location") == "/docs/?x=1")
        #expect(try RawClient.get(port: edge.port, "//docs").field("Location") == "/docs/")
        #expect(try RawClient.get(port: edge.port, "/docs").status == 301)
    }

    @Test func `what does not read is refused, with what would be allowed`() throws {
        let edge = try edge()
        let response = try RawClient.exchange(port: edge.port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        #expect(response.status == 405 && response.field("Allow") == "GET, HEAD")
    }

    @Test(arguments: [true, false])
    func `conditions are answered, with a cache and without`(isCached: Bool) throws {
        let edge = try edge(["--set", "edge.cache.enabled=\(isCached)"])
        let first = try RawClient.get(port: edge.port, "/css/site.css", ["Accept-Encoding: gzip"])
        let (tag, date) = (try #require(first.field("ETag")), try #require(first.field("Last-Modified")))
        for condition in ["If-None-Match: \(tag)", "If-Modified-Since: \(date)"] {
            #expect(try RawClient.get(port: edge.port, "/css/site.css", ["Accept-Encoding: gzip", condition]).status == 304)
        }
        #expect(try RawClient.get(port: edge.port, "/css/site.css", ["If-None-Match: \"x\""]).status == 200)
        #expect(try RawClient.get(port: edge.port, "/css/site.css", ["If-Match: \"x\""]).status == 412)
    }

    @Test func `a file is compressed, and still whole after it has been looked at again`() throws {
        let edge = try edge()
        let text = String(repeating: "p { color: red }\n", count: 200)
        var confirmed = 0
        let isConfirmed = try eventually {
            let response = try RawClient.get(port: edge.port, "/css/site.css", ["Accept-Encoding: gzip"])
            #expect(response.field("Content-Encoding") == "gzip")
            #expect(try Decoded.text(response) == text)
            if response.field("Cache-Status")?.contains("fwd-status=304") == true { confirmed += 1 }
            return confirmed == 2
        }
        #expect(isConfirmed)
        #expect(try RawClient.get(port: edge.port, "/css/site.css").text == text)
    }

    @Test func `a change shows within a second`() throws {
        let edge = try edge()
        #expect(try RawClient.get(port: edge.port, "/docs/").text == "docs")
        try write("docs/index.html", "changed")
        #expect(try eventually(seconds: 3) { try RawClient.get(port: edge.port, "/docs/").text == "changed" })
    }

    @Test func `a large file comes whole, also to a client that closes`() throws {
        let text = String(repeating: "0123456789abcdef", count: 3 << 18)  // 12 MiB
        try write("large.bin", text)
        let edge = try edge()
        let client = try RawClient(port: edge.port)
        client.send("GET /large.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        let response = try client.readResponse(seconds: 20)
        #expect(response.body.count == text.utf8.count && response.text == text)
        let head = try RawClient.exchange(port: edge.port, "HEAD /large.bin HTTP/1.1\r\nHost: a\r\n\r\n", hasBody: false)
        #expect(head.field("Content-Length") == "\(text.utf8.count)")
    }

    @Test func `with an application too, what is no file is the application's`() throws {
        let origin = try ScriptedOrigin(body: "from the application")
        let edge = try edge(["--app", origin.url])
        #expect(try RawClient.get(port: edge.port, "/").text == "<h1>home</h1>")
        #expect(try RawClient.get(port: edge.port, "/api").text == "from the application")
        #expect(
            try RawClient.exchange(port: edge.port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").text
                == "from the application")
    }
}
