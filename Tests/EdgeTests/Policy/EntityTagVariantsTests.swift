import HTTPSemantics
import Testing

@testable import Edge

@Suite struct EntityTagVariantsTests {
    @Test(arguments: [ContentCoding.gzip, .brotli, .zstd], [Representation.Effort.fast, .high])
    func `a variant's tag leads back to the application's`(coding: ContentCoding, effort: Representation.Effort) throws {
        for text in ["\"abc\"", "W/\"abc\"", "\"\"", "\"a~gz~\""] {
            let tag = try EntityTag(text)
            let variant = EntityTagVariants.variant(of: tag, coding: coding, effort: effort)
            #expect(variant != tag && variant.isWeak == tag.isWeak)
            #expect(EntityTagVariants.original(of: variant) == tag)
        }
    }

    @Test func `all codings and efforts have tags of their own`() throws {
        let tag = try EntityTag("\"abc\"")
        var tags: Set<String> = [tag.text]
        for coding in ContentCoding.allCases where coding != .identity {
            for effort in [Representation.Effort.fast, .high] {
                tags.insert(EntityTagVariants.variant(of: tag, coding: coding, effort: effort).text)
            }
        }
        #expect(tags.count == 7)
        #expect(EntityTagVariants.variant(of: tag, coding: .identity, effort: .asReceived) == tag)
    }

    @Test(arguments: [
        ("If-None-Match: \"a~gz\"", "\"a\""), ("If-None-Match: W/\"a~br1\", \"b\"", "W/\"a\", \"b\""),
        ("If-None-Match: \"a~zst\" , \"b~gz1\"", "\"a\", \"b\""),
    ])
    func `tags of ours are mapped back for the application`(field: String, expected: String) throws {
        let head = try RequestHead.get("/", [field])
        #expect(EntityTagVariants.originals(head.fields, .ifNoneMatch).map { String(decoding: $0, as: UTF8.self) } == expected)
    }

    @Test(arguments: ["If-None-Match: \"a\"", "If-None-Match: *", "If-Match: \"a~gz\"", "X: y"])
    func `what holds none of ours passes as it is`(field: String) throws {
        #expect(EntityTagVariants.originals(try RequestHead.get("/", [field]).fields, .ifNoneMatch) == nil)
    }

    @Test func `a 304 gives back the tag by which the client knows the response`() throws {
        let head = try RequestHead.get("/", ["If-None-Match: \"old\", \"abc~gz1\", \"abc\""])
        #expect(EntityTagVariants.known(head.fields, as: try EntityTag("\"abc\""))?.text == "\"abc~gz1\"")
        #expect(EntityTagVariants.known(head.fields, as: try EntityTag("\"new\"")) == nil)
    }
}

@Suite struct VaryOnCodingTests {
    @Test(arguments: [
        ([], "Accept-Encoding"), (["Vary: Accept-Language"], "Accept-Language, Accept-Encoding"),
        (["Vary: accept-encoding"], "accept-encoding"), (["Vary: Cookie, Accept-Encoding"], "Cookie, Accept-Encoding"),
        (["Vary: A", "Vary: B"], "A, B, Accept-Encoding"), (["Vary: *"], "*"), (["Vary: A, *"], "*"),
    ])
    func `the application's names stay, Accept-Encoding is there once`(fields: [String], expected: String) throws {
        #expect(String(decoding: VaryOnCoding.merged(try ResponseHead.parsed(200, fields).fields), as: UTF8.self) == expected)
    }
}
