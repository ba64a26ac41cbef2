import HTTPSemantics
import Testing

@testable import Edge

@Suite struct BrowserCachingTests {
    /// The lines that a response gets, joined.
    private func lines(
        _ target: String, _ fields: [String], request: [String] = [], status: Int = 200, isForEverybody: Bool = false, isGuarded: Bool = false,
        _ policy: BrowserCachingPolicy = .standard
    ) throws -> String {
        let caching = try #require(BrowserCaching(policy))
        let head = try ResponseHead.parsed(status, fields)
        let advice = caching.advice(
            target: Array(target.utf8).span, status: status, fields: head.fields, isForEverybody: isForEverybody, isGuarded: isGuarded)
        let bytes = advice?.lines(for: try RequestHead.get("/", request).fields) ?? []
        return String(decoding: bytes, as: UTF8.self).replacing("\r\n", with: "|").replacing("Cache-Control: ", with: "")
    }

    private static let vary = "Vary: Cookie, Authorization|"

    @Test(arguments: [
        ("text/html", "private, max-age=300|", "private, max-age=300|", "private, max-age=300|"),
        ("text/css", "public, max-age=31536000, immutable|", "private, max-age=31536000|", "private, max-age=300|"),
        ("text/javascript", "public, max-age=31536000, immutable|", "private, max-age=31536000|", "private, max-age=300|"),
        ("application/javascript", "public, max-age=31536000, immutable|", "private, max-age=31536000|", "private, max-age=300|"),
        ("image/png", "public, max-age=15552000, immutable|", "private, max-age=15552000|", "private, max-age=300|"),
        ("image/svg+xml", "public, max-age=15552000, immutable|", "private, max-age=15552000|", "private, max-age=300|"),
        ("font/woff2", "public, max-age=31536000|", "private, max-age=31536000|", "private, max-age=300|"),
        ("application/vnd.ms-fontobject", "public, max-age=31536000|", "private, max-age=31536000|", "private, max-age=300|"),
        ("application/json", "", "", ""),
    ])
    func `each row of the standard table: hash in the name, version in the query, neither`(
        type: String, hashed: String, versioned: String, plain: String
    ) throws {
        let fields = ["Content-Type: \(type)"]
        #expect(try lines("/a/app.3f2a9c1b.x", fields, isForEverybody: true) == hashed)
        #expect(try lines("/app.x?v=3", fields, isForEverybody: true) == versioned)
        #expect(try lines("/app.x", fields, isForEverybody: true) == plain)
        // An application's responses may depend on who asks: what is not named by its content varies by that.
        #expect(try lines("/app.x?a=1&v=3", fields) == (versioned.isEmpty ? "" : versioned + Self.vary))
        #expect(try lines("/app.x", fields) == (plain.isEmpty ? "" : plain + Self.vary))
        #expect(BrowserCachingPolicy.standard.rows.contains { type.hasPrefix($0.mediaType.replacing("*", with: "")) } || plain.isEmpty)
    }

    @Test func `what only some may have is for no cache that others share`() throws {
        for type in ["text/css", "image/png", "font/woff2"] {
            #expect(try lines("/app.3f2a9c1b.x", ["Content-Type: \(type)"], isGuarded: true).hasPrefix("private, max-age="))
        }
    }

    @Test(arguments: ["Cookie: session=1", "Authorization: Basic eDp5"], [
        ("/app.3f2a9c1b.css", "text/css", "private, max-age=31536000, immutable|"),
        ("/app.css?v=1", "text/css", "private, max-age=31536000|" + vary), ("/app.css", "text/css", "private, no-cache|"),
        ("/", "text/html", "private, no-cache|"), ("/api", "application/json", "private, no-cache|"),
    ])
    func `with credentials nothing is for others, and pages are asked for each time`(
        credentials: String, row: (target: String, type: String, expected: String)
    ) throws {
        #expect(try lines(row.target, ["Content-Type: \(row.type)"], request: [credentials]) == row.expected)
    }

    @Test(arguments: [
        ["Set-Cookie: a=b"], ["Vary: Cookie"], ["Vary: Accept, authorization"], ["Vary: *"],
    ])
    func `what sets a cookie or depends on who asks is kept by nobody without asking, whatever its name`(fields: [String]) throws {
        for target in ["/app.3f2a9c1b.css", "/app.css?v=1", "/"] {
            #expect(try lines(target, ["Content-Type: text/css"] + fields) == "private, no-cache|")
        }
    }

    @Test(arguments: 200...599)
    func `only 200, 203, 301 and 308 get a lifetime, and 206 and 304, which speak of a 200`(status: Int) throws {
        let line = try lines("/app.3f2a9c1b.css", ["Content-Type: text/css"], status: status)
        #expect(line.contains("max-age") == [200, 203, 206, 301, 304, 308].contains(status))
        #expect(line.contains("max-age") || line == "private, no-cache|")
    }

    @Test(arguments: [
        "Cache-Control: max-age=1", "Cache-Control: private", "Cache-Control:", "Expires: 0", "Pragma: no-cache", "CDN-Cache-Control: max-age=1",
    ])
    func `an application that says anything is not talked over`(field: String) throws {
        for request in [[], ["Cookie: a=b"]] {
            #expect(try lines("/app.3f2a9c1b.css", ["Content-Type: text/css", field], request: request) == "")
        }
    }

    @Test func `a 304 without a type is known by its name`() throws {
        #expect(try lines("/app.3f2a9c1b.css", [], status: 304) == "public, max-age=31536000, immutable|")
        #expect(try lines("/page", [], request: ["Cookie: a=b"], status: 304) == "private, no-cache|")
    }

    @Test(arguments: [
        ("/app.css?v=", false), ("/app.css?v", false), ("/app.css?V=1", false), ("/app.css?av=1", false), ("/app.css?v=1", true),
        ("/app.css?&&hash=0", true), ("/app.css?x=v=1", false), ("/v=1/app.css", false), ("/app.css?ver=1&v", true),
    ])
    func `a version is a parameter of the query with a value`(target: String, expected: Bool) throws {
        #expect(try lines(target, ["Content-Type: text/css"]).contains("31536000") == expected)
    }

    @Test(arguments: [
        ("public, max-age=10", [], "private, max-age=300|" + vary), ("no-cache", [], "private, max-age=300|" + vary),
        ("no-store", [], ""), ("private, max-age=10", [], "private, no-cache|"), ("max-age=10", ["Cookie: a=b"], "private, no-cache|"),
        ("max-age=10, no-transform", [], "private, max-age=300, no-transform|" + vary),
    ])
    func `override replaces lifetimes, but neither no-store nor private`(own: String, request: [String], expected: String) throws {
        var policy = BrowserCachingPolicy.standard
        policy.overrides = true
        let fields = ["Content-Type: text/html", "Cache-Control: \(own)"]
        #expect(try lines("/", fields, request: request, policy) == expected)
        let advice = try #require(BrowserCaching(policy)).advice(
            target: Array("/".utf8).span, status: 200, fields: try ResponseHead.parsed(200, fields).fields, isForEverybody: false, isGuarded: false)
        #expect((advice?.isReplaced(.cacheControl) ?? false) == !expected.isEmpty)
        if own == "private, max-age=10" {
            #expect(
                try lines("/app.3f2a9c1b.css", ["Content-Type: text/css", "Cache-Control: \(own)"], policy)
                    == "private, max-age=31536000, immutable|")
        }
    }

    @Test func `no policy makes anything storable by others but assets named by their content`() throws {
        var override = BrowserCachingPolicy.standard
        override.overrides = true
        var custom = BrowserCachingPolicy()
        custom.rows = [.init("text/html", seconds: 86_400), .init("image/*", seconds: 1)]
        for policy in [.standard, override, custom] {
            for status in [200, 203, 204, 206, 301, 302, 304, 308, 404, 500] {
                for type in ["text/html", "text/css", "image/png", "application/json"] {
                    for target in ["/", "/app.css", "/app.css?v=1", "/app.3f2a9c1b.css"] {
                        for request in [[], ["Cookie: a=b"], ["Authorization: Basic x"]] {
                            let line = try lines(target, ["Content-Type: \(type)"], request: request, status: status, policy)
                            guard !line.isEmpty, !line.hasPrefix("private, ") else { continue }
                            #expect(target == "/app.3f2a9c1b.css" && request.isEmpty && ["text/css", "image/png"].contains(type))
                        }
                    }
                }
            }
        }
    }

    @Test func `tables that cannot be meant are refused, at both ends of each limit`() {
        func problems(_ change: (inout BrowserCachingPolicy) -> Void) -> Int {
            var policy = BrowserCachingPolicy.standard
            change(&policy)
            return policy.problems.count
        }
        #expect(problems { _ in } == 0)
        #expect(problems { $0.rows = [.init("text/html", seconds: 86_400)] } == 0)
        #expect(problems { $0.rows = [.init("text/html", seconds: 86_401)] } == 1)
        #expect(problems { $0.rows = [.init("text/css", seconds: 31_536_000)] } == 0)
        #expect(problems { $0.rows = [.init("text/css", seconds: 31_536_001)] } == 1)
        #expect(problems { $0.rows = [.init("text/html", seconds: 1, isImmutable: true)] } == 1)
        #expect(problems { $0.rows = .init(repeating: .init("a/b", seconds: 1), count: 100) } == 0)
        #expect(problems { $0.rows = .init(repeating: .init("a/b", seconds: 1), count: 101) } == 1)
        #expect(problems { $0.shortSeconds = 86_400 } == 0)
        #expect(problems { $0.shortSeconds = 86_401 } == 1)
        #expect(problems { $0.namePatterns = .init(repeating: "{hex}", count: 20) } == 0)
        #expect(problems { $0.namePatterns = .init(repeating: "{hex}", count: 21) } == 1)
        #expect(problems { $0.namePatterns = ["*"] } == 1)
    }
}
