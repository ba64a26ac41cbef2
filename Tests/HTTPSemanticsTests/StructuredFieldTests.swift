import Testing

@testable import HTTPSemantics

@Suite struct StructuredFieldTests {
    private func value(_ text: String) -> StructuredValue? {
        guard case .item(let item)? = StructuredDictionary(Array("a=\(text)".utf8))?["a"], item.parameters.isEmpty else { return nil }
        return item.value
    }

    @Test func `RFC 9651 §3.3: each type is read as it is written`() {
        let rows: [(String, StructuredValue?)] = [
            ("42", .integer(42)), ("-0", .integer(0)), ("007", .integer(7)), ("-999999999999999", .integer(-999_999_999_999_999)),
            ("1000000000000000", nil), ("-", nil), ("--1", nil), ("+1", nil), ("1e3", nil),
            ("4.5", .decimal(4500)), ("-0.001", .decimal(-1)), ("1.", nil), ("1.2345", nil), (".5", nil), ("1234567890123.1", nil),
            ("123456789012.123", .decimal(123_456_789_012_123)),
            ("\"a \\\"b\\\" \\\\\"", .string(Array("a \"b\" \\".utf8))), ("\"\"", .string([])), ("\"a", nil), ("\"a\\b\"", nil), ("\"\u{E9}\"", nil),
            ("\"a\tb\"", nil),
            ("foo123/456:x", .token(Array("foo123/456:x".utf8))), ("*a", .token(Array("*a".utf8))), ("A", .token([0x41])),
            (":cHJldGVuZCB0aGlzIGlzIGJpbmFyeSBjb250ZW50Lg==:", .bytes(Array("pretend this is binary content.".utf8))),
            ("::", .bytes([])), (":YQ:", .bytes([0x61])), (":YR:", nil), (":Y:", nil), (":Y=Q:", nil), (":YQ==", nil), (":Y-_:", nil),
            ("?1", .boolean(true)), ("?0", .boolean(false)), ("?", nil), ("?2", nil), ("?true", nil),
            ("@1659578233", .date(1_659_578_233)), ("@-1", .date(-1)), ("@1.5", nil), ("@", nil),
            ("%\"This is %c3%bc\"", .displayString(Array("This is \u{FC}".utf8))), ("%\"%C3%BC\"", nil), ("%\"%c3\"", nil), ("%\"%c\"", nil),
            ("%a", nil), ("", nil), ("=", nil), ("'a'", nil),
        ]
        for (text, expected) in rows { #expect(value(text) == expected, "\(text)") }
    }

    private func keys(_ text: String) -> [String]? {
        StructuredDictionary(Array(text.utf8))?.members.map { String(decoding: $0.key, as: UTF8.self) }
    }

    @Test func `RFC 9651 §3.2: dictionaries, and what is none`() {
        #expect(keys("") == [] && keys("   ") == [])
        #expect(keys("a=?0, b, c; foo=bar") == ["a", "b", "c"], "§3.2's example")
        #expect(keys("rating=1.5, feelings=(joy sadness)") == ["rating", "feelings"])
        #expect(keys("a=(1 2), b=3, c=4;aa=bb, d=(5 6);valid") == ["a", "b", "c", "d"])
        #expect(keys(" a=1 ,\tb=2 ") == ["a", "b"])
        #expect(keys("*a-b_c.d*1=1") == ["*a-b_c.d*1"])
        for text in ["a,", ",a", "a,,b", "a b", "A=1", "1=a", "a=1;B", "a=(1", "a=(1 2", "a=(1,2)", "a=(1\t2)", "a = 1", "a=1;;b", "a;", "\ta"] {
            #expect(keys(text) == nil, "\(text)")
        }
    }

    @Test func `of a repeated key the last value counts, in the first one's place`() {
        let dictionary = StructuredDictionary(Array("a=1,b=2,a=3;x;x=5".utf8))
        #expect(dictionary?.members.map { $0.key } == [Array("a".utf8), Array("b".utf8)])
        #expect(dictionary?["a"] == .item(StructuredItem(.integer(3), parameters: [StructuredParameter(Array("x".utf8), .integer(5))])))
    }

    @Test func `lines are one list`() {
        var fields = FieldSection()
        fields.append("CDN-Cache-Control", "a=1")
        fields.append("CDN-Cache-Control", "b")
        #expect(StructuredDictionary(fields, .cdnCacheControl)?.members.count == 2)
        #expect(StructuredDictionary(fields, .cacheControl) == nil)
    }

    @Test func `a dictionary has a bound, and what is cut anywhere does not trap`() {
        let many = (0..<StructuredDictionary.membersMax).map { "k\($0)" }.joined(separator: ",")
        #expect(StructuredDictionary(Array(many.utf8))?.members.count == StructuredDictionary.membersMax)
        #expect(StructuredDictionary(Array((many + ",x").utf8)) == nil)
        let text = Array("a=1.5;b=\"x\\\"\", c=(:YQ==: ?1 @5);d=%\"%c3%bc\", e=t/o:k".utf8)
        #expect(StructuredDictionary(text) != nil)
        for end in text.indices { _ = StructuredDictionary(Array(text[..<end])) }
        for start in text.indices { _ = StructuredDictionary(Array(text[start...])) }
    }
}

@Suite struct TargetedCacheControlTests {
    private func shared(_ lines: (String, String)...) -> CacheControl {
        var fields = FieldSection()
        for (name, value) in lines { fields.append(name, value) }
        return CacheControl.forSharedCache(fields)
    }

    @Test func `RFC 9213 §2.2: the field that speaks to us most closely counts alone`() {
        let plain = ("Cache-Control", "no-store")
        let (cdn, own, surrogate) = (("CDN-Cache-Control", "max-age=60"), ("Headrace-Cache-Control", "max-age=5"), ("Surrogate-Control", "max-age=7"))
        #expect(shared(plain).noStore && !shared(plain).isTargeted)
        let targeted = shared(plain, cdn)
        #expect(!targeted.noStore && targeted.maxAge == 60 && targeted.isTargeted)
        #expect(shared(plain, cdn, own, surrogate).maxAge == 5)
        #expect(shared(plain, surrogate, cdn).maxAge == 60)
        #expect(shared(plain, surrogate).maxAge == 7)
    }

    @Test(arguments: ["", "max-age=60,", "max-age=", "MAX-AGE=60", "max-age=60; Bad", "max-age = 60", "no-store, &"])
    func `RFC 9213 §2.1: an empty or malformed field is as if it were not there`(value: String) {
        let found = shared(("Cache-Control", "max-age=5"), ("CDN-Cache-Control", value))
        #expect(found.maxAge == 5 && !found.isTargeted)
    }

    @Test func `RFC 9213 §2.2: a directive of the wrong type, and every parameter, is ignored`() {
        #expect(shared(("CDN-Cache-Control", "max-age=\"60\", s-maxage=1.5, no-store")) == shared(("CDN-Cache-Control", "no-store")))
        #expect(shared(("CDN-Cache-Control", "max-age=60;no-store, no-cache=1")).noStore == false)
        #expect(!shared(("CDN-Cache-Control", "max-age=60, no-cache=1")).noCache)
        #expect(!shared(("CDN-Cache-Control", "max-age=60, no-store=?0")).noStore)
        #expect(shared(("CDN-Cache-Control", "max-age=-5")).maxAge == 0)
        #expect(shared(("CDN-Cache-Control", "max-age=999999999999999")).maxAge == 1 << 31)
        #expect(shared(("CDN-Cache-Control", "max-age=60, max-age=5")).maxAge == 5, "of a repeated key the last counts")
    }

    @Test func `field names are texts or inner lists`() {
        func names(_ value: String) -> [String] {
            var fields = FieldSection()
            fields.append("CDN-Cache-Control", value)
            return WithheldFields(fields, .forSharedCache(fields)).names.map { String(decoding: $0, as: UTF8.self) }
        }
        #expect(names("private=\"X-A, x-b\", max-age=5") == ["x-a", "x-b"])
        #expect(names("no-cache=(\"X-A\" x-b), max-age=5") == ["x-a", "x-b"])
        #expect(names("private, max-age=5") == [])
    }

    @Test func `Surrogate-Control has a lifetime, and a second one for stale answers`() {
        let found = shared(("Surrogate-Control", "max-age=3600+600, content=\"ESI/1.0\""))
        #expect(found.maxAge == 3600 && found.staleWhileRevalidate == 600 && found.staleIfError == 600)
        #expect(shared(("Surrogate-Control", "no-store"), ("Cache-Control", "max-age=5")).noStore)
        #expect(shared(("Surrogate-Control", "content=\"ESI/1.0\""), ("Cache-Control", "max-age=5")).maxAge == 5)
        #expect(shared(("Surrogate-Control", "max-age=x")).maxAge == 0)
        #expect(shared(("Surrogate-Control", "max-age=60, x=\"no-store")).noStore)
    }

    @Test func `no-transform counts wherever it is said`() {
        #expect(shared(("Cache-Control", "no-transform"), ("CDN-Cache-Control", "max-age=5")).noTransform)
    }
}

@Suite struct RelatedTargetTests {
    private func resolve(_ reference: String, from target: String = "/a/b?x=1", authority: String = "Example.com:80") -> String? {
        RelatedTarget.sameOrigin(
            Array(reference.utf8).span, authority: Array(authority.utf8).span, target: Array(target.utf8).span
        ).map { String(decoding: $0, as: UTF8.self) }
    }

    @Test(
        arguments: [
            ("/c", "/c"), ("/c?y#z", "/c?y"), ("c", "/a/c"), ("./c", "/a/c"), ("../c", "/c"), ("../../../c", "/c"), ("?y=2", "/a/b?y=2"),
            ("", "/a/b?x=1"), ("#f", "/a/b?x=1"), (".", "/a/"), ("..", "/"), ("/c/../d/./e", "/d/e"), ("/c/..", "/"),
            ("http://example.com/c", "/c"), ("HTTPS://EXAMPLE.COM:443/c?d", "/c?d"), ("http://example.com", "/"), ("http://example.com?q", "/?q"),
            ("//example.com/c", "/c"), ("http://user@example.com:/c", "/c"), ("c:d", nil), ("./c:d", "/a/c:d"), ("/c/http://x/", "/c/http://x/"),
            ("http://other.example/c", nil), ("http://example.com.evil/c", nil), ("http://example.com:8080/c", nil), ("//other.example/c", nil),
            ("ftp://example.com/c", nil), ("http:/c", nil), ("/c d", nil), ("mailto:a@example.com", nil),
        ] as [(String, String?)])
    func `RFC 9111 §4.4: of the same origin only, resolved as RFC 3986 §5.2 says`(reference: String, expected: String?) {
        #expect(resolve(reference) == expected)
    }
}
