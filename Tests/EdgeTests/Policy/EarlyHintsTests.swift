import HTTPSemantics
import NIOCore
import Testing

@testable import Edge

@Suite struct EarlyHintsTests {
    private func hints(_ change: (inout EarlyHintsConfiguration) -> Void) -> EarlyHints? {
        var configuration = EarlyHintsConfiguration()
        change(&configuration)
        return EarlyHints(configuration)
    }

    private func texts(_ links: [[UInt8]]) -> [String] { links.map { String(decoding: $0, as: UTF8.self) } }

    @Test func `nothing is hinted by default, and a route may say otherwise or nothing`() {
        #expect(hints { _ in } == nil)
        var edge = EarlyHintsConfiguration()
        edge.links = ["</a>; rel=preload"]
        var route = RouteEarlyHints()
        #expect(route.applied(to: edge) == edge)
        (route.learns, route.includesHTTP1, route.links) = (true, true, ["</b>; rel=preload"])
        let own = route.applied(to: edge)
        #expect(own.learns && own.includesHTTP1 && own.links == route.links)
        route.isEnabled = false
        #expect(EarlyHints(route.applied(to: edge)) == nil)
    }

    @Test(arguments: [
        (["Sec-Fetch-Mode: navigate"], true), (["sec-fetch-mode: no-cors", "Accept: text/html"], false), (["Sec-Fetch-Mode: navigated"], false),
        (["Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"], true), (["Accept: */*, TEXT/html;q=0.9"], true), (["Accept: */*"], false),
        (["Accept: text/htmlx"], false), ([], false),
    ])
    func `they are for who asks for a page`(fields: [String], isOne: Bool) throws {
        let hints = try #require(hints { $0.learns = true })
        #expect(hints.areFor(try .get("/", fields), isHTTP2: true) == isOne)
        #expect(!hints.areFor(try .parsed("HEAD / HTTP/1.1", fields), isHTTP2: true))
    }

    @Test func `HTTP-1.1 gets them when that is asked for, HTTP-1.0 never`() throws {
        let fields = ["Sec-Fetch-Mode: navigate"]
        let (careful, bold) = (try #require(hints { $0.learns = true }), try #require(hints { ($0.learns, $0.includesHTTP1) = (true, true) }))
        #expect(!careful.areFor(try .get("/", fields), isHTTP2: false))
        #expect(bold.areFor(try .get("/", fields), isHTTP2: false))
        #expect(!bold.areFor(try .parsed("GET / HTTP/1.0", fields), isHTTP2: false))
    }

    @Test func `of a page's links those make hints that a browser can use before it has the page, each once and within limits`() throws {
        let head = try ResponseHead.parsed(200, [
            "Link: </a.css>; rel=preload; as=style, </next>; rel=next", "Link: <https://cdn.example>; rel=preconnect,</a.css>; rel=preload; as=style",
            "X-Link: </x>; rel=preload", "Link: </b>; rel=preload; anchor=\"#b\"",
        ])
        #expect(texts(EarlyHints.links(of: head.fields)) == ["</a.css>; rel=preload; as=style", "<https://cdn.example>; rel=preconnect"])
        let many = (0..<20).map { "Link: </\($0)>; rel=preload" }
        #expect(EarlyHints.links(of: try ResponseHead.parsed(200, many).fields).count == EarlyHintsConfiguration.linksMax)
        let frame = "</>; rel=preload".utf8.count
        for (more, count) in [(0, 1), (1, 0)] {
            let long = "Link: </\(String(repeating: "p", count: EarlyHintsConfiguration.bytesMax - frame + more))>; rel=preload"
            #expect(EarlyHints.links(of: try ResponseHead.parsed(200, [long]).fields).count == count)
        }
    }

    @Test(arguments: [
        (200, ["Content-Type: text/html; charset=utf-8"], true), (200, ["Content-Type: text/html", "Vary: Accept-Encoding"], true),
        (200, ["Content-Type: text/html", "Vary: Accept-Encoding, Cookie"], false), (200, ["Content-Type: text/html", "Vary: Accept-Language"], false),
        (200, ["Content-Type: text/html", "Vary: *"], false), (200, ["Content-Type: text/css"], false), (200, [], false),
        (404, ["Content-Type: text/html"], false), (200, ["Content-Type: text/html", "Cache-Control: max-age=600, private=\"link\""], false),
        (200, ["Content-Type: text/html", "Cache-Control: max-age=600, private=\"x-user\""], true),
    ])
    func `they are learnt from pages that say the same to everybody`(status: Int, fields: [String], isLearnt: Bool) throws {
        let head = try ResponseHead.parsed(status, fields)
        let withheld = WithheldFields(head.fields, CacheControl.forSharedCache(head.fields))
        #expect(EarlyHints.areLearnt(from: head, withheld: withheld) == isLearnt)
    }

    @Test(arguments: [
        ("</a>; rel=preload", true), ("</a>; rel=preload, </b>; rel=preload", true), ("</a>; rel=preload, </c>; rel=preload", false), ("", false),
        ("</a>;rel=preload", false), (String(repeating: "</a>; rel=preload,", count: 17), false),
    ])
    func `a line is known when all that it says was said`(value: String, isKnown: Bool) {
        let hinted = ["</a>; rel=preload", "</b>; rel=preload"].map { Array($0.utf8) }
        #expect(EarlyHints.isKnown(Array(value.utf8).span, among: hinted) == isKnown)
    }

    @Test func `a configured link is one link with one of the relations`() {
        for right in ["</a.css>; rel=preload; as=style", "<https://cdn.example>; rel=\"preconnect\"", "<m.js>;rel=modulepreload"] {
            #expect(EarlyHintsConfiguration.link(right) == right)
        }
        for wrong in ["", "/a.css", "</a>", "</a>; rel=next", "</a>; rel=preload, </b>; rel=preload", " </a>; rel=preload", "</a>; rel=preload; anchor=x", "</a>; rel=preload;\r\nX: y"] {
            #expect(EarlyHintsConfiguration.link(wrong) == nil, "\(wrong)")
        }
    }
}
