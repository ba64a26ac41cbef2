import HTTPSemantics
import NIOCore
import Testing

@testable import Edge

@Suite struct CacheKeyingTests {
    private func key(
        _ target: String, _ fields: [String] = [], host: String = "a.example", _ change: (inout CacheKeyRules) -> Void = { _ in }
    ) throws -> String {
        var rules = CacheKeyRules()
        change(&rules)
        var key = CacheKey()
        key.assign(
            try .parsed("GET \(target) HTTP/1.1", host: host, fields), CacheKeying(scope: [], rules), client: ClientIdentity(peer: "192.0.2.7"),
            seed: 7)
        return String(decoding: key.bytes, as: UTF8.self)
    }

    @Test func `without rules it is host and target`() throws {
        #expect(try key("/a?b=1", host: "A.Example:80") == "a.example\n/a?b=1")
    }

    @Test(arguments: [
        ("/a?b=1&utm_source=x", "/a?b=1"), ("/a?utm_source=x", "/a"), ("/a?utm_source", "/a"), ("/a?fbclid=1&b=1&utm_=2", "/a?b=1"),
        ("/a?utm=1", "/a?utm=1"), ("/a?xfbclid=1", "/a?xfbclid=1"), ("/a?", "/a"), ("/a?&&b=1&", "/a?b=1"), ("/a?b=1?utm_x=2", "/a?b=1?utm_x=2"),
    ])
    func `ignored parameters do not count`(target: String, expected: String) throws {
        #expect(try key(target) { $0.ignoredParameters = ["utm_*", "fbclid"] } == "a.example\n\(expected)")
    }

    @Test(arguments: [
        ("/a?b=2&a=1", "/a?a=1&b=2"), ("/a?b=2&b=1&a=3", "/a?a=3&b=2&b=1"), ("/a?ab=1&a=2", "/a?a=2&ab=1"), ("/a?a", "/a?a"), ("/a", "/a"),
    ])
    func `an ordered query is in the order of names, and keeps that of values`(target: String, expected: String) throws {
        #expect(try key(target) { $0.sortsQuery = true } == "a.example\n\(expected)")
    }

    @Test func `a client's language is the one that it comes to, and what the application is asked for`() throws {
        let name = Array("Accept-Language".utf8)
        var rules = CacheKeyRules()
        rules.languages = ["EN", "de"]
        let keying = CacheKeying(scope: [], rules)
        for (said, expected) in [("de-AT, en;q=0.5", "de"), ("DE", "de"), ("en", "en"), ("fr", "en"), ("", "en")] {
            let fields = said.isEmpty ? [] : ["Accept-Language: \(said)"]
            #expect(try key("/a", fields) { $0.languages = ["EN", "de"] } == "a.example\n/a\n\u{1}~\(expected)")
            let asked = keying.language(try RequestHead.get("/a", fields).fields)
            #expect(asked == Array(expected.utf8))
        }
        let isPassedOn = keying.passes(.acceptLanguage, name.span)
        #expect(!isPassedOn, "the application gets the one that is in the key")
        let plain = CacheKeying(scope: [])
        let isPassedOnPlainly = plain.passes(.acceptLanguage, name.span)
        let language = plain.language(try RequestHead.get("/a").fields)
        #expect(isPassedOnPlainly && language == nil)
    }

    @Test func `only selected parameters count`() throws {
        #expect(try key("/a?x=1&page=2&id=3&sort_by=4") { $0.selectedParameters = ["id", "page"] } == "a.example\n/a?page=2&id=3")
        #expect(try key("/a?x=1") { $0.selectedParameters = ["id"] } == "a.example\n/a")
        let both = try key("/a?id=1&idx=2") {
            $0.selectedParameters = ["id*"]
            $0.ignoredParameters = ["idx"]
        }
        #expect(both == "a.example\n/a?id=1")
    }

    @Test(arguments: [
        ("/%7Euser/%c3%a4", "/~user/%C3%A4"), ("/a%2fb", "/a%2Fb"), ("/%41%2E%2e/x", "/A%2E%2E/x"), ("/a%", "/a%"), ("/a%4", "/a%4"), ("/%zz", "/%zz"),
        ("/%41?%41=1", "/A?%41=1"),
    ])
    func `escapes in the path are made one (RFC 3986 §6.2.2)`(target: String, expected: String) throws {
        #expect(try key(target) { $0.normalisesPath = true } == "a.example\n\(expected)")
    }

    @Test func `fields and cookies count when they are named, and a missing one is not an empty one`() throws {
        func keyed(_ fields: [String]) throws -> String {
            try key("/", fields) {
                $0.fields = ["X-Plan"]
                $0.cookies = ["tier"]
            }
        }
        let keys = try [
            keyed([]), keyed(["X-Plan: "]), keyed(["x-plan: pro"]), keyed(["X-Plan: a", "X-Plan: b"]), keyed(["Cookie: tier=1"]),
            keyed(["Cookie: tier="]), keyed(["Cookie: x=1; tier=2; y=3"]),
        ]
        #expect(Set(keys).count == keys.count)
        #expect(try keyed(["Cookie: xtier=1; tierx=2; Tier=3"]) == keyed([]))
        #expect(try keyed(["Cookie: a=b; tier=1"]) == keyed(["Cookie: tier=1; session=secret", "X-Other: 1"]))
    }

    @Test func `no value can run into another part of the key`() throws {
        let one = try key("/", ["X-A: 1", "X-B: 2"]) { $0.fields = ["X-A", "X-B"] }
        #expect(one == "a.example\n/\n\u{1}:x-a=1\u{1}:x-b=2")
        let scoped = CacheKeying(scope: Array("shop".utf8), CacheKeyRules())
        var key = CacheKey()
        key.assign(try .get("/"), scoped, client: ClientIdentity(peer: nil), seed: 7)
        #expect(String(decoding: key.bytes, as: UTF8.self) == "a.example\n/\nshop")
    }

    @Test(arguments: [
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605 Mobile/15E148 Safari/604.1", DeviceClass.phone),
        ("Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36", .phone),
        ("Mozilla/5.0 (Linux; Android 13; SM-X900) AppleWebKit/537.36 Chrome/120.0 Safari/537.36", .tablet),
        ("Mozilla/5.0 (iPad; CPU OS 16_0 like Mac OS X) AppleWebKit/605 Mobile/15E148", .tablet),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0", .desktop),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", .robot), ("", .desktop), ("x", .desktop),
    ])
    func `devices are told apart coarsely`(agent: String, expected: DeviceClass) throws {
        #expect(DeviceClass(try RequestHead.get("/", ["User-Agent: \(agent)"]).fields) == expected)
        #expect(try key("/", ["User-Agent: \(agent)"]) { $0.hasDeviceClass = true } == "a.example\n/\n\u{1}@\(expected.rawValue)")
    }

    @Test func `a client with TLS, and one who asked a proxy for another host, have keys of their own`() throws {
        let head = try RequestHead.get("/")
        let keying = CacheKeying(scope: [], CacheKeyRules())
        func key(_ change: (inout ClientIdentity) -> Void) -> [UInt8] {
            var client = ClientIdentity(peer: "192.0.2.7")
            change(&client)
            var key = CacheKey()
            key.assign(head, keying, client: client, seed: 7)
            return key.bytes
        }
        let plain = key { _ in }
        let secure = key { $0.isSecure = true }
        let other = key { $0.host = Array("b.example".utf8) }
        #expect(Set([plain, secure, other]).count == 3)
        #expect(String(decoding: other, as: UTF8.self) == "b.example\n/")
    }

    @Test func `of a cookie that comes twice both count, in their order (RFC 6265 §8.6)`() throws {
        func key(_ cookies: String) throws -> String { try self.key("/a", ["Cookie: \(cookies)"]) { $0.cookies = ["plan"] } }
        let keys = try ["plan=a", "plan=b", "plan=a; plan=b", "plan=b; plan=a", "plan=a,b", "x=1"].map(key)
        #expect(Set(keys).count == keys.count)
        #expect(try key("y=2; plan=a; x=1; plan=b") == keys[2])
    }

    @Test(arguments: [
        ("POST /a HTTP/1.1", "a.example", [], true), ("POST /a HTTP/1.1", "A.example", [], false), ("POST /a HTTP/1.1", "a.example:80", [], false),
        ("POST /a?utm_x=1 HTTP/1.1", "a.example", [], false), ("POST /a?b=1 HTTP/1.1", "a.example", ["Cookie: a=b", "X-Custom: 1"], true),
        ("POST /a HTTP/1.1", "a.example", ["X-Original-URL: /b"], false), ("POST /a HTTP/1.1", "a.example", ["X_Custom: 1"], false),
    ])
    func `a request is passed whole when nothing of it would be left out to store its answer`(
        line: String, host: String, fields: [String], expected: Bool
    ) throws {
        var rules = CacheKeyRules()
        rules.ignoredParameters = ["utm_*"]
        let head = try RequestHead.parsed(line, host: host, fields + ["Content-Length: 0"])
        #expect(CacheKeying(scope: [], rules).passesWhole(head, client: ClientIdentity(peer: "192.0.2.7")) == expected)
        rules.hasDeviceClass = true
        #expect(!CacheKeying(scope: [], rules).passesWhole(head, client: ClientIdentity(peer: "192.0.2.7")), "the application is told the class")
    }

    @Test func `what the application is asked is what is in the key`() throws {
        var rules = CacheKeyRules()
        rules.ignoredParameters = ["utm_*"]
        rules.sortsQuery = true
        let keying = CacheKeying(scope: [], rules)
        #expect(keying.upstreamTarget(try .get("/a?b=1&utm_x=evil&a=2")).map { String(decoding: $0, as: UTF8.self) } == "/a?a=2&b=1")
        #expect(CacheKeying(scope: [], CacheKeyRules()).upstreamTarget(try .get("/a?b=1")) == nil)
    }

    @Test(arguments: ["X-Original-URL", "x-rewrite-url", "X-HTTP-Method-Override", "X-Forwarded-Scheme", "X-Forwarded-Port", "X-Host", "X-Forwarded-Protocol", "Front-End-Https"])
    func `what would change a stored answer and is not in its key goes no further`(name: String) throws {
        var rules = CacheKeyRules()
        rules.fields = [name]
        let (plain, keyed) = (CacheKeying(scope: [], CacheKeyRules()), CacheKeying(scope: [], rules))
        func passes(_ keying: CacheKeying, _ name: String) -> Bool { keying.passes(.other, name.utf8.span) }
        #expect(!passes(plain, name))
        #expect(passes(keyed, name))
        #expect(passes(plain, "X-Custom"))
    }
}
