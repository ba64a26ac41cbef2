import Testing

@testable import HTTPSemantics

@Suite struct VaryNamesTests {
    private func vary(_ values: String...) -> VaryNames {
        var fields = FieldSection()
        for value in values { fields.append("Vary", value) }
        return VaryNames(fields)
    }

    private func key(_ vary: VaryNames, _ lines: (String, String)...) -> [UInt8] {
        var request = FieldSection()
        for (name, value) in lines { request.append(name, value) }
        return vary.secondaryKey(request)
    }

    // MARK: Names

    @Test func `names are compared without case, order, repetition and empty members`() {
        let expected = vary("accept, accept-language")
        #expect(vary("Accept-Language, ACCEPT") == expected)
        #expect(vary("accept,, Accept-Language , accept,") == expected)
        #expect(vary("Accept-Language", "Accept") == expected)
        #expect(expected.names.map { String(decoding: $0, as: UTF8.self) } == ["accept", "accept-language"])
        #expect(!expected.isAny && !expected.isEmpty)
    }

    @Test func `without names a response does not vary`() {
        #expect(vary().isEmpty && vary("").isEmpty && vary(" , ,").isEmpty)
        #expect(key(vary()) == [])
    }

    @Test(arguments: ["*", " * ", "Accept, *", "*, Accept"]) func `an asterisk anywhere is any`(value: String) {
        #expect(vary(value).isAny && !vary(value).isEmpty)
    }

    @Test(arguments: ["User-Agent Cookie", "Accept;q=1", "Acc\u{E9}pt", "\"Accept\"", "Accept:", "Cookie=session"])
    func `what is no field name is any: nobody knows what was meant`(value: String) {
        #expect(vary(value).isAny)
        #expect(vary("Accept, " + value).isAny)
    }

    @Test func `as many names as the limit are kept, one more is any`() {
        func names(_ count: Int) -> VaryNames { vary((0..<count).map { "x-\($0)" }.joined(separator: ",")) }
        #expect(names(VaryNames.namesMax).names.count == VaryNames.namesMax && !names(VaryNames.namesMax).isAny)
        #expect(names(VaryNames.namesMax + 1).isAny)
        // The same name again and again is one.
        #expect(vary(String(repeating: "a,", count: 10_000)).names.count == 1)
    }

    @Test func `a hostile list costs no more than its bytes`() {
        let value = (0..<10_000).map { String($0, radix: 36) }.joined(separator: ",")
        let elapsed = ContinuousClock().measure { #expect(vary(value).isAny) }
        #expect(elapsed < .seconds(2))
    }

    // MARK: Secondary keys

    @Test func `requests that say the same in these fields have the same key`() {
        let names = vary("Accept-Language, Cookie")
        let expected = key(names, ("Accept-Language", "de, en;q=0.5"), ("Cookie", "a=b"))
        #expect(key(names, ("Cookie", "a=b"), ("X", "y"), ("ACCEPT-LANGUAGE", "de, en;q=0.5")) == expected)
        #expect(key(names, ("Accept-Language", "de,en;q=0.5"), ("Cookie", "a=b")) == expected)
        #expect(key(names, ("Accept-Language", "de"), ("Accept-Language", "en;q=0.5"), ("Cookie", "a=b")) == expected)
    }

    @Test func `requests that say something else have another key`() {
        let names = vary("X, Y")
        let keys = [
            key(names), key(names, ("X", "")), key(names, ("Y", "")), key(names, ("X", "a")), key(names, ("Y", "a")),
            key(names, ("X", "A")),
            key(names, ("X", "a"), ("Y", "a")), key(names, ("X", "ab")), key(names, ("X", "a"), ("Y", "b")),
            key(names, ("X", "a,b")),
            key(names, ("X", "b,a")), key(names, ("X", "a,")), key(names, ("X", ",a")), key(names, ("X", "a b")),
            key(names, ("X", "\"a , b\"")),
            key(names, ("X", "\"a,b\"")),
        ]
        #expect(Set(keys).count == keys.count)
    }

    @Test func `white space within quotes is kept, an escaped quote ends none`() {
        let names = vary("X")
        #expect(key(names, ("X", "\"a\\\" , b\"")) != key(names, ("X", "\"a\\\",b\"")))
        #expect(key(names, ("X", "\"a\" , b")) == key(names, ("X", "\"a\",b")))
    }

    @Test func `Accept-Encoding counts by what it accepts`() {
        let names = vary("Accept-Encoding")
        let expected = key(names, ("Accept-Encoding", "gzip"))
        for spelling in ["GZIP", "gzip;q=1.0", "gzip, deflate", "x-gzip", " gzip ,", "gzip;q=0.7, identity;q=0.2"] {
            #expect(key(names, ("accept-encoding", spelling)) == expected, "\(spelling)")
        }
        #expect(key(names, ("Accept-Encoding", "gzip, br")) != expected)
        #expect(key(names) != expected)
    }
}
