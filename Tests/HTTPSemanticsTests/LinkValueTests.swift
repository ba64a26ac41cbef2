import HTTPSemantics
import Testing

@Suite struct LinkValueTests {
    private func links(_ value: String, countMax: Int = 8) -> [(text: String, relations: LinkValue.Relations, hasAnchor: Bool)] {
        let bytes = Array(value.utf8)
        return LinkValue.all(bytes.span, countMax: countMax).map {
            (String(decoding: bytes[$0.range], as: UTF8.self), $0.relations, $0.hasAnchor)
        }
    }

    @Test(arguments: [
        ("</a.css>; rel=preload; as=style", LinkValue.Relations.preload), ("</a>;rel=\"preload\"", .preload), ("<a> ; REL = PreLoad", .preload),
        ("</m.js>; rel=modulepreload", .modulePreload), ("<https://cdn.example>; rel=preconnect; crossorigin", .preconnect),
        ("</a>; rel=\"preconnect stylesheet  preload\"", [.preconnect, .preload]), ("</a>; rel=next", []), ("</a>", []), ("</a>; title=\"rel=preload\"", []),
        // §3.3: a second one is passed over.
        ("</a>; rel=next; rel=preload", []), ("</a>; ; rel=preload", .preload), ("</a,b;c>; rel=preload", .preload), ("</a>; rel=preload;x=\"a, \\\" b\"", .preload),
    ] as [(String, LinkValue.Relations)])
    func `RFC 8288 §3: a member has one target, parameters, and relations by its first rel`(value: String, relations: LinkValue.Relations) {
        let found = links(value)
        #expect(found.map(\.text) == [value] && found.map(\.relations) == [relations])
    }

    @Test func `members stand side by side, and one that is malformed takes none of the others with it`() {
        #expect(links(" , </a>;rel=preload ,</b>; rel=\"x,y\" , <c>").map(\.text) == ["</a>;rel=preload", "</b>; rel=\"x,y\"", "<c>"])
        for wrong in ["a", "<>", "< a>", "</a> x", "</a>; =b", "</a>; rel=", "</a>; rel=\"a, b\" x", "</a\"b>", "</ü>", "; rel=preload", "<a, b>"] {
            #expect(links("\(wrong), </b>").map(\.text) == ["</b>"], "\(wrong)")
        }
        // What is never closed may be anything.
        #expect(links("</a>; rel=\"preload, </b>").isEmpty && links("</a, </b").isEmpty && links("</a>; rel=\"\\").isEmpty)
        #expect(links("").isEmpty)
    }

    @Test func `another context is said, and no more are read than are wanted`() {
        #expect(links("</a>; rel=preload; Anchor=\"#x\", </b>").map(\.hasAnchor) == [true, false])
        #expect(links("<a>,<b>,<c>", countMax: 2).map(\.text) == ["<a>", "<b>"])
    }

    @Test func `wherever it is cut, what is found lies within it`() {
        let value = Array("</a.css>; rel=\"preload\"; as=style, <b>;x=\"\\\"\" ,, c, <https://d.example/>; rel=preconnect".utf8)
        for end in 0...value.count {
            for start in 0...end {
                let part = Array(value[start..<end])
                for link in LinkValue.all(part.span, countMax: 8) {
                    #expect(link.range.upperBound <= part.count && part[link.range.lowerBound] == UInt8(ascii: "<"))
                }
            }
        }
    }
}
