import Testing

@testable import HTTPSemantics

@Suite struct EntityTagTests {
    private func tag(_ text: String) -> EntityTag? { EntityTag(Array(text.utf8).span) }

    @Test(
        arguments: [
            ("\"xyzzy\"", false, "xyzzy"), ("W/\"xyzzy\"", true, "xyzzy"), ("\"\"", false, ""), ("W/\"\"", true, ""),
            ("\"a\\b\"", false, "a\\b"),
            ("\"é!#'\"", false, "é!#'"), ("\"W/\"", false, "W/"),
        ] as [(String, Bool, String)])
    func `RFC 9110 §8.8.3: a tag is read and written back`(text: String, isWeak: Bool, opaque: String) throws {
        let tag = try #require(self.tag(text))
        #expect(tag == EntityTag(isWeak: isWeak, opaque: Array(opaque.utf8)))
        var output: [UInt8] = []
        tag.append(to: &output)
        #expect(output == Array(text.utf8))
    }

    @Test(arguments: [
        "", "xyzzy", "\"", "\"a", "a\"", "w/\"a\"", "W/", "W/a", "W /\"a\"", "W/ \"a\"", "\"a b\"", "\"a\"b", "\"a\" ",
        " \"a\"", "\"a\u{0}\"", "\"\u{7F}\"", "'a'", "\"a\"\"",
    ])
    func `what is no tag is none`(text: String) {
        #expect(tag(text) == nil)
    }

    /// RFC 9110 §8.8.3.2, the table.
    @Test(
        arguments: [
            ("W/\"1\"", "W/\"1\"", false, true), ("W/\"1\"", "W/\"2\"", false, false), ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
        ] as [(String, String, Bool, Bool)])
    func `strong and weak comparison`(left: String, right: String, strong: Bool, weak: Bool) throws {
        let (left, right) = (try #require(tag(left)), try #require(tag(right)))
        #expect(left.stronglyMatches(right) == strong && right.stronglyMatches(left) == strong)
        #expect(left.weaklyMatches(right) == weak && right.weaklyMatches(left) == weak)
    }
}

@Suite struct EntityTagListTests {
    private func list(_ values: String...) -> EntityTagList? {
        var fields = FieldSection()
        for value in values { fields.append("If-None-Match", value) }
        return EntityTagList(fields, .ifNoneMatch)
    }

    private func tags(_ tags: String...) -> EntityTagList {
        .tags(tags.map { EntityTag(isWeak: $0.hasPrefix("W/"), opaque: Array($0.trimmingPrefix("W/").utf8)) })
    }

    @Test func `RFC 9110 §13.1.2: its examples`() {
        #expect(list("\"xyzzy\"") == tags("xyzzy"))
        #expect(list("W/\"xyzzy\"") == tags("W/xyzzy"))
        #expect(list("\"xyzzy\", \"r2d2xxxx\", \"c3piozzzz\"") == tags("xyzzy", "r2d2xxxx", "c3piozzzz"))
        #expect(list("W/\"xyzzy\", W/\"r2d2xxxx\", W/\"c3piozzzz\"") == tags("W/xyzzy", "W/r2d2xxxx", "W/c3piozzzz"))
        #expect(list("*") == .any)
    }

    @Test func `lists in the wild`() {
        #expect(list() == nil)
        #expect(list("") == .tags([]))
        #expect(list(",, \"a\",\t\"b\" ,") == tags("a", "b"))
        #expect(list("\"a,b\", \"c\"") == tags("a,b", "c"))
        #expect(list("\"a\"", "\"b\"") == tags("a", "b"))
        #expect(list("\"a\"", "*") == .any)
        // What follows something that is no tag cannot be trusted.
        #expect(list("\"a\", b, \"c\"") == tags("a"))
        #expect(list("\"a\", *") == tags("a"))
        #expect(list("abc") == .tags([]))
    }

    @Test func `any contains every tag, a list those it names`() {
        let weak = EntityTag(isWeak: true, opaque: Array("a".utf8))
        let strong = EntityTag(isWeak: false, opaque: Array("a".utf8))
        #expect(EntityTagList.any.weaklyContains(weak) && EntityTagList.any.stronglyContains(strong))
        #expect(tags("b", "W/a").weaklyContains(strong) && !tags("b", "W/a").stronglyContains(strong))
        #expect(tags("a").stronglyContains(strong) && !tags("a").stronglyContains(weak))
        #expect(!tags("b").weaklyContains(weak))
    }
}
