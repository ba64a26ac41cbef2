import Foundation
import TestSupport
import Testing

/// The programs that people use, through the edge. A program that is missing is skipped by name: scripts/setup installs them.
@Suite struct PeerTests {
    private static func has(_ name: String) -> Bool { Command.find(name) != nil }

    private static let page = """
        <!doctype html><title>edge</title><link rel="stylesheet" href="/site.css"><p id="p">waiting</p>
        <script src="/site.js"></script>
        """ + String(repeating: "<!-- a comment that compresses well -->\n", count: 50)

    /// An application with a page, its style and a script that changes the page.
    private func site() throws -> ScriptedOrigin {
        try ScriptedOrigin { request in
            switch request.target {
            case "/":
                [
                    .send(
                        ScriptedOrigin.response(
                            fields: ["Content-Type: text/html", "Cache-Control: max-age=60", "ETag: \"p\""], body: Self.page))
                ]
            case "/site.js":
                [
                    .send(
                        ScriptedOrigin.response(
                            fields: ["Content-Type: text/javascript", "Cache-Control: max-age=60"],
                            body: "document.getElementById('p').textContent = 'script ' + 'ran';"
                                + String(repeating: " ", count: 500)))
                ]
            case "/site.css":
                [
                    .send(
                        ScriptedOrigin.response(
                            fields: ["Content-Type: text/css", "Cache-Control: max-age=60"], body: "p{color:#123}"))
                ]
            case "/echo": [.send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: request.body))]
            default: [.send(ScriptedOrigin.response(status: "404 Not Found", body: "no"))]
            }
        }
    }

    @Test(
        .enabled(if: has("curl"), "curl is not installed: run scripts/setup"),
        arguments: [[], ["--http1.0"], ["--compressed"], ["-H", "Connection: close"]])
    func `curl gets the page, sends a body, and revalidates`(options: [String]) throws {
        let origin = try site()
        let edge = try HeadraceProcess(["--app", origin.url])
        let url = "http://127.0.0.1:\(edge.port)"
        for _ in 0..<2 { #expect(try Command.run("curl", ["-sS", "--fail"] + options + [url + "/"]).text == Self.page) }
        let body = String(repeating: "x", count: 5000)
        // Over 1024 bytes curl may ask with Expect: 100-continue.
        let echo = try Command.run(
            "curl", ["-sS", "-H", "Expect: 100-continue", "--data-binary", "@-"] + options + [url + "/echo"],
            input: Data(body.utf8))
        #expect(echo.text == body, "\(echo.errors)")
        let status = try Command.run(
            "curl", ["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", "If-None-Match: \"p\""] + options + [url + "/"])
        #expect(status.text == "304")
        let missing = try Command.run("curl", ["-sS", "-o", "/dev/null", "-w", "%{http_code}"] + options + [url + "/missing"])
        #expect(missing.text == "404")
    }

    @Test(.enabled(if: has("ab"), "ab is not installed: run scripts/setup"), arguments: [["-k"], []])
    func `ab has no failed request`(options: [String]) throws {
        let origin = try site()
        let edge = try HeadraceProcess(["--app", origin.url])
        let result = try Command.run("ab", ["-q", "-n", "2000", "-c", "20"] + options + ["http://127.0.0.1:\(edge.port)/"])
        #expect(result.status == 0, "\(result.errors)")
        #expect(
            result.text.contains(/Complete requests: +2000\n/) && result.text.contains(/Failed requests: +0\n/), "\(result.text)")
        #expect(!result.text.contains("Non-2xx"))
        if options == ["-k"] { #expect(result.text.contains(/Keep-Alive requests: +2000\n/)) }
    }

    @Test(.enabled(if: has("wrk"), "wrk is not installed: run scripts/setup"), arguments: [[], ["-H", "Accept-Encoding: gzip"]])
    func `wrk has no error`(options: [String]) throws {
        let origin = try site()
        let edge = try HeadraceProcess(["--app", origin.url])
        let result = try Command.run("wrk", ["-t1", "-c20", "-d1s"] + options + ["http://127.0.0.1:\(edge.port)/"])
        #expect(
            result.status == 0 && !result.text.contains("Socket errors") && !result.text.contains("Non-2xx"), "\(result.text)")
        #expect(origin.requestCount == 1)
    }

    /// Its names on Debian, on Ubuntu, and Google's own.
    private static let browser = ["chromium", "chromium-browser", "google-chrome"].first { Command.find($0) != nil }

    @Test(.enabled(if: browser != nil, "Chromium is not installed: run scripts/setup"))
    func `chromium shows the page, runs its script, and takes its picture`() throws {
        let origin = try site()
        let edge = try HeadraceProcess(["--app", origin.url])
        let folder = FileManager.default.temporaryDirectory.appending(path: "chromium-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let picture = folder.appending(path: "page.png")
        // One run for both: a browser takes seconds to start.
        let result = try Command.run(
            try #require(Self.browser),
            [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                "--disable-background-networking",
                "--user-data-dir=\(folder.appending(path: "profile").path)", "--screenshot=\(picture.path)", "--dump-dom",
                "http://127.0.0.1:\(edge.port)/",
            ])
        #expect(result.text.contains("script ran"), "\(result.errors)")
        #expect(try Data(contentsOf: picture).starts(with: [0x89, 0x50, 0x4E, 0x47]))
        let lines = try edge.logLines(atLeast: 3)
        for target in ["/", "/site.css", "/site.js"] {
            #expect(lines.contains { $0["target"] as? String == target && $0["status"] as? Int == 200 }, "\(target)")
        }
        // It may load the page twice, for the picture and for the text; while one load has the page compressed, the other gets it plain.
        let isCoded = lines.contains { $0["target"] as? String == "/" && $0["coding"] as? String != "identity" }
        #expect(isCoded, "a browser accepts codings")
    }
}
