import Testing

@testable import LoadGenerator

@Suite struct PageLinksTests {
    private func links(_ html: String) -> [String] { PageLinks.subresources(Array(html.utf8)) }

    @Test func `what a browser fetches with the page is found, each once, in order`() {
        let html = """
            <!DOCTYPE html><html><head><LINK REL="preload stylesheet" HREF='/site.css?a=1&amp;b=2'><link rel=icon href=/i.png>
            <script src="app.js" defer></script><script>var a = "<img src='no-matter'";</script><link rel="canonical" href="/no">
            <!-- <img src="commented.png"> --></head><body><a href="/page">x</a><img alt=">" src = "/a.png"/><img src="/a.png"><img src="">
            """
        #expect(links(html).filter { $0 != "no-matter" } == ["/site.css?a=1&b=2", "/i.png", "app.js", "/a.png"])
    }

    @Test func `no text makes it fail or go on for ever`() {
        let html = #"<link rel="stylesheet" href="/a.css"><img src='/b.png'><!-- c --><script src=/d.js></script>"#
        for end in 0...html.utf8.count { _ = PageLinks.subresources(Array(html.utf8.prefix(end))) }
        for odd in ["<", "<<", "<img", "<img =", "<img = >", "<img src", "<img src=", "<img src=\"", "<!--", "<!-- -", "<img / / >", "<img ==\"\">"] { #expect(links(odd).isEmpty, "\(odd)") }
        var random = SeededNumbers(seed: 5)
        let alphabet = Array("<>=\"'/!- imgsrclinkhref\u{0}\u{FF}".utf8)
        for _ in 0..<2000 { _ = PageLinks.subresources((0..<60).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &random)] }) }
    }

    @Test func `links have their bound`() {
        let html = (0...PageLinks.linksMax).map { "<img src=/\($0)>" }.joined()
        #expect(links(html).count == PageLinks.linksMax)
    }
}
