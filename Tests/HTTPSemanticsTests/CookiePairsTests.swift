import Testing

@testable import HTTPSemantics

@Suite struct CookiePairsTests {
    private func fields(_ lines: [(String, String)]) -> FieldSection {
        var section = FieldSection()
        for (name, value) in lines { section.append(name, value) }
        return section
    }

    private func text(_ section: FieldSection, _ range: Range<Int>?) -> String? { range.map { String(decoding: section.bytes[$0], as: UTF8.self) } }

    @Test(arguments: [
        ("a=1; b=2", ["a|1", "b|2"]), ("a=1;b=2", ["a|1", "b|2"]), ("  a=1 ;\tb = 2 ", ["a|1", "b | 2"]), ("a", ["a|"]), ("a=", ["a|"]), ("=1", ["|1"]),
        ("a=b=c", ["a|b=c"]), ("", []), (";", ["|"]), ("a=1;;b=2", ["a|1", "|", "b|2"]),
    ]) func `pairs are found one after the other`(value: String, expected: [String]) {
        let section = fields([("Host", "a=0"), ("Cookie", value)])
        var pairs = CookiePairs()
        var found: [String] = []
        while let pair = pairs.next(in: section) { found.append("\(text(section, pair.name) ?? "")|\(text(section, pair.value) ?? "")") }
        #expect(found == expected)
    }

    @Test func `the first cookie of a name is found on any line, by its whole name and in its case`() {
        let section = fields([("Cookie", "aid=0; x=1"), ("Accept", "id=2"), ("cookie", "id=3; id=4; ID=5")])
        #expect(text(section, section.cookieValue("id".utf8)) == "3" && text(section, section.cookieValue("ID".utf8)) == "5")
        #expect(section.cookieValue("i".utf8) == nil && section.cookieValue("".utf8) == nil)
        #expect(fields([]).cookieValue("id".utf8) == nil)
    }

    @Test func `a field is found by its name in any case`() {
        let section = fields([("X-Api-Key", "one"), ("x-api-key", "two"), ("X-Api", "three"), ("Empty", "")])
        #expect(text(section, section.value(named: "x-API-key")) == "one" && text(section, section.value(named: "x-api")) == "three")
        #expect(text(section, section.value(named: "empty")) == "" && section.value(named: "x") == nil)
    }
}
