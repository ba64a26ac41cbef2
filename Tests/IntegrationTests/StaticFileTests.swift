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

    /// As a release is made: a link is set anew, or a folder put in the place of another.
    @Test func `the folder is the one to which its path leads now`() throws {
        for release in ["one", "two"] {
            try FileManager.default.createDirectory(at: folder.appending(path: release), withIntermediateDirectories: true)
            try Data(release.utf8).write(to: folder.appending(path: "\(release)/name.txt"))
        }
        let current = folder.appending(path: "current")
        try FileManager.default.createSymbolicLink(at: current, withDestinationURL: folder.appending(path: "one"))
        let edge = try HeadraceProcess(["--root", current.path])
        func name() throws -> String { try RawClient.get(port: edge.port, "/name.txt").text }
        #expect(try name() == "one")
        let next = folder.appending(path: "next")
        try FileManager.default.createSymbolicLink(at: next, withDestinationURL: folder.appending(path: "two"))
        try #require(rename(next.path, current.path) == 0)
        try FileManager.default.removeItem(at: folder.appending(path: "one"))
        #expect(try eventually { try name() == "two" })
        try FileManager.default.moveItem(at: folder.appending(path: "two"), to: folder.appending(path: "old"))
        try FileManager.default.createDirectory(at: folder.appending(path: "two"), withIntermediateDirectories: true)
        try Data("three".utf8).write(to: folder.appending(path: "two/name.txt"))
        #expect(try eventually { try name() == "three" })
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
        // So is a folder that would not answer itself: an application that sends /css/ to /css would be sent round for ever.
        for target in ["/css", "/css/", "/css?x"] { #expect(try RawClient.get(port: edge.port, target).text == "from the application", "\(target)") }
        #expect(try RawClient.get(port: edge.port, "/docs").field("Location") == "/docs/")
        #expect(origin.requests.map(\.target).contains("/css?x"))
        #expect(
            try RawClient.exchange(port: edge.port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").text
                == "from the application")
    }

    /// From outside, bytes that are read and written look the same.
    @Test(.enabled(if: Command.find("strace") != nil, "strace is not installed: run scripts/setup"))
    func `a large file goes by sendfile`() throws {
        try write("large.bin", String(repeating: "0123456789abcdef", count: 200_000))
        let calls = folder.appending(path: "calls")
        let edge = try HeadraceProcess(
            ["--root", root.path], by: [try #require(Command.find("strace")).path, "-D", "-f", "-qq", "-e", "trace=sendfile", "-o", calls.path])
        #expect(try RawClient.get(port: edge.port, "/large.bin").body.count == 3_200_000)
        let isAll = try eventually {
            let lines = try String(contentsOf: calls, encoding: .utf8).split(separator: "\n").filter { $0.contains("sendfile") }
            return lines.compactMap { $0.split(separator: "= ").last.flatMap { Int($0) } }.filter { $0 > 0 }.reduce(0, +) == 3_200_000
        }
        #expect(isAll)
    }

    // MARK: Ranges

    @Test(arguments: [true, false])
    func `a range is a part, and a part is of the whole`(isCached: Bool) throws {
        try write("digits.txt", String(repeating: "0123456789", count: 100))
        let edge = try edge(["--set", "edge.cache.enabled=\(isCached)"])
        let whole = try RawClient.get(port: edge.port, "/digits.txt")
        #expect(whole.field("Accept-Ranges") == "bytes")
        let part = try RawClient.get(port: edge.port, "/digits.txt", ["Range: bytes=5-14", "Accept-Encoding: gzip"])
        #expect(part.status == 206 && part.text == "5678901234" && part.field("Content-Range") == "bytes 5-14/1000")
        #expect(part.field("ETag") == whole.field("ETag") && part.field("Content-Encoding") == nil)
        let beyond = try RawClient.get(port: edge.port, "/digits.txt", ["Range: bytes=1000-"])
        #expect(beyond.status == 416 && beyond.field("Content-Range") == "bytes */1000")
        let tag = try #require(whole.field("ETag"))
        #expect(try RawClient.get(port: edge.port, "/digits.txt", ["Range: bytes=0-0", "If-Range: \(tag)"]).status == 206)
        #expect(try RawClient.get(port: edge.port, "/digits.txt", ["Range: bytes=0-0", "If-Range: \"x\""]).status == 200)
        #expect(try RawClient.get(port: edge.port, "/digits.txt", ["Range: bytes=0-0", "If-None-Match: \(tag)"]).status == 304)
    }

    @Test func `several ranges come as parts of one answer`() throws {
        try write("digits.txt", String(repeating: "0123456789", count: 100))
        let edge = try edge()
        let response = try RawClient.get(port: edge.port, "/digits.txt", ["Range: bytes=0-2,500-502,-3"])
        let type = try #require(response.field("Content-Type"))
        let boundary = try #require(type.split(separator: "boundary=").last)
        #expect(response.status == 206 && type.hasPrefix("multipart/byteranges; boundary="))
        let parts = response.text.components(separatedBy: "--\(boundary)")
        #expect(parts.count == 5 && parts[4] == "--\r\n")
        #expect(parts[1].hasSuffix("\r\n\r\n012\r\n") && parts[1].contains("Content-Range: bytes 0-2/1000\r\n"))
        #expect(parts[2].hasSuffix("\r\n\r\n012\r\n") && parts[3].hasSuffix("\r\n\r\n789\r\n"))
        #expect(response.field("Content-Length") == "\(response.body.count)")
    }

    /// Nobody waits for all of a large file to be compressed; and of two files that would do, a part is always of the plain one.
    @Test func `a part comes from the file itself, whatever is stored of it`() throws {
        let text = String(repeating: "0123456789", count: 400_000)
        try write("digits.txt", text)
        try write("digits.txt.gz", String(repeating: "g", count: 1000))
        let plain = try edge()
        let first = try RawClient.get(port: plain.port, "/digits.txt", ["Range: bytes=5-9"])
        #expect(first.status == 206 && first.text == "56789" && first.field("Cache-Status")?.contains("file-range") == true, "\(first.head)")
        let coded = try edge(["--set", "edge.files.precompressed=gzip"])
        for fields in [["Accept-Encoding: gzip"], [], ["Accept-Encoding: gzip"]] {
            _ = try RawClient.get(port: coded.port, "/digits.txt", fields)
            let part = try RawClient.get(port: coded.port, "/digits.txt", fields + ["Range: bytes=5-9"])
            #expect(part.status == 206 && part.text == "56789" && part.field("Content-Encoding") == nil, "\(fields)")
        }
    }

    // MARK: Files beside files

    @Test(arguments: [true, false])
    func `a file that is compressed already goes out to whoever accepts it`(isCached: Bool) throws {
        let text = String(repeating: "let a = 1\n", count: 100)
        try write("app.js", text)
        for ending in ["gz", "br"] { try write("app.js.\(ending)", "the bytes of \(ending)") }
        let edge = try edge(["--set", "edge.files.precompressed=br,gzip", "--set", "edge.cache.enabled=\(isCached)"])
        // Twice, so that what is stored answers, too.
        for _ in 0..<2 {
            for (accepted, coding) in [("gzip", "gzip"), ("gzip, br", "br"), ("br;q=0.5, gzip", "gzip"), ("zstd", nil), ("identity", nil)] {
                let response = try RawClient.get(port: edge.port, "/app.js", ["Accept-Encoding: \(accepted)"])
                #expect(response.field("Content-Type") == "text/javascript; charset=utf-8")
                #expect(response.field("Vary")?.contains("Accept-Encoding") == true)
                if let coding {
                    #expect(response.field("Content-Encoding") == coding, "\(accepted)")
                    #expect(response.text == "the bytes of \(coding == "gzip" ? "gz" : coding)")
                } else {
                    #expect(try Decoded.text(response) == text, "\(accepted)")
                }
            }
            #expect(try RawClient.get(port: edge.port, "/app.js").text == text)
        }
        let old = [FileAttributeKey.modificationDate: Date(timeIntervalSince1970: 1_000_000)]
        for ending in ["gz", "br"] { try FileManager.default.setAttributes(old, ofItemAtPath: root.appending(path: "app.js.\(ending)").path) }
        #expect(
            try eventually(seconds: 3) {
                try Decoded.text(try RawClient.get(port: edge.port, "/app.js", ["Accept-Encoding: br"])) == text
            })
    }

    // MARK: Folders

    @Test func `a folder is listed when asked to, without what is hidden or outside`() throws {
        try write("list/<b>.txt", "x")
        try write("list/.secret", "x")
        try write("list/sub/a", "x")
        try FileManager.default.createSymbolicLink(
            at: root.appending(path: "list/out"), withDestinationURL: folder.appending(path: "outside.txt"))
        let plain = try edge()
        #expect(try RawClient.get(port: plain.port, "/list/").status == 404)
        let edge = try edge(["--set", "edge.files.listing=true"])
        let page = try RawClient.get(port: edge.port, "/list/")
        #expect(page.status == 200 && page.text.contains("&lt;b&gt;.txt") && page.text.contains("./sub/"))
        #expect(!page.text.contains("secret") && !page.text.contains("out<") && !page.text.contains("<b>"))
        #expect(try RawClient.get(port: edge.port, "/docs/").text == "docs")
    }

    @Test func `a single-page application answers for its paths, but not for files that are missing`() throws {
        let edge = try edge(["--set", "edge.files.fallback=/index.html"])
        for target in ["/", "/users/7", "/users/7/"] { #expect(try RawClient.get(port: edge.port, target).text == "<h1>home</h1>", "\(target)") }
        #expect(try RawClient.get(port: edge.port, "/app.js").status == 404)
        #expect(try RawClient.get(port: edge.port, "/.env").status == 404)
    }

    @Test func `index names are tried in their order`() throws {
        try write("docs/home.htm", "home")
        let edge = try edge(["--set", "edge.files.index=nothing.html,home.htm,index.html"])
        #expect(try RawClient.get(port: edge.port, "/docs/").text == "home")
        #expect(try RawClient.get(port: edge.port, "/").text == "<h1>home</h1>")
    }

    @Test(arguments: [("refuse", 404, 404), ("inside", 200, 404), ("follow", 200, 200)])
    func `links lead where they may`(links: String, inside: Int, outside: Int) throws {
        try FileManager.default.createSymbolicLink(
            at: root.appending(path: "folder"), withDestinationURL: root.appending(path: "docs"))
        try FileManager.default.createSymbolicLink(at: root.appending(path: "up"), withDestinationURL: folder)
        let edge = try edge(["--set", "edge.files.links=\(links)"])
        for target in ["/inside.html", "/folder/index.html", "/folder/"] {
            #expect(try RawClient.get(port: edge.port, target).status == inside, "\(target)")
        }
        for target in ["/escape.txt", "/up/outside.txt"] {
            #expect(try RawClient.get(port: edge.port, target).status == outside, "\(target)")
        }
        #expect(try RawClient.get(port: edge.port, "/index.html").status == 200)
    }

    @Test func `what is neither file nor folder is not opened`() throws {
        #expect(mkfifo(root.appending(path: "pipe").path, 0o600) == 0)
        let edge = try edge()
        #expect(try RawClient.get(port: edge.port, "/pipe").status == 404)
    }

    // MARK: Large files

    @Test func `a large file goes out piece by piece to a slow client, and the next request on its connection is answered`() throws {
        let text = String(repeating: "0123456789abcdef", count: 1 << 17)  // 2 MiB
        try write("large.bin", text)
        let edge = try edge()
        let client = try RawClient(port: edge.port, receiveBuffer: 8 << 10)
        client.send("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\nGET /docs/ HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readResponse(seconds: 20).text == text)
        #expect(try client.readResponse().text == "docs")
        let range = try RawClient.get(port: edge.port, "/large.bin", ["Range: bytes=1048570-1048585"])
        #expect(range.text == "abcdef0123456789" && range.status == 206)
        let tag = try #require(range.field("ETag"))
        #expect(try RawClient.get(port: edge.port, "/large.bin", ["If-None-Match: \(tag)"]).status == 304)
        let old = try RawClient(port: edge.port)
        old.send("GET /large.bin HTTP/1.0\r\n\r\n")
        #expect(try old.readResponse(seconds: 20).text == text)
    }

    @Test func `a file that was looked at again is served from memory again`() throws {
        let edge = try edge()
        var states: [String] = []
        let end = Date().addingTimeInterval(20)
        // Stored, served, grown old, looked at, and served again: in the broken case each request after the first second looks.
        while Date() < end, !(states.contains { $0.contains("fwd=stale") } && states.last?.contains("hit") == true) {
            states.append(try RawClient.get(port: edge.port, "/docs/").field("Cache-Status") ?? "")
            usleep(20_000)
        }
        #expect(states.last?.contains("hit") == true, "\(states.suffix(5))")
        #expect(states.contains { $0.contains("fwd=stale; fwd-status=304") })
    }

    @Test func `a file that becomes shorter while it is sent is cut, not made up`() throws {
        try write("large.bin", String(repeating: "0123456789abcdef", count: 1 << 20))  // 16 MiB
        let edge = try edge()
        let client = try RawClient(port: edge.port, receiveBuffer: 8 << 10)
        client.send("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        // The first byte is here: the head has promised all of them.
        #expect(client.readSlowly(upTo: 1) == 1)
        #expect(truncate(root.appending(path: "large.bin").path, 5 << 20) == 0)
        let rest = client.readToEnd(seconds: 20)
        #expect(client.isClosedByPeer && rest.utf8.count < 16 << 20)
    }
}
