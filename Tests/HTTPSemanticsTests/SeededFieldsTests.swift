import HTTPSemantics
import TestSupport
import Testing

/// Field values from a seed.
///
/// How it works: 1. Words that these fields are made of, numbers at the ends of their ranges and junk are put together at random, and now and
/// then a byte is changed. 2. What must hold for every input holds, as in `Fuzz/Targets/Fields.swift`, which looks longer and elsewhere.
@Suite struct SeededFieldsTests {
    private static let rounds = 4_000
    private static let words = [
        "max-age", "s-maxage", "no-cache", "private", "stale-if-error", "max-stale", "must-revalidate", "=", "=", "=\"", "\"", ",", ", ", ";", " ", "\t",
        "0", "1", "60", "2147483647", "2147483648", "9223372036854775808", "99999999999999999999", "-1", "1.5", "?1", "?0", ":YWJj:", ":", "@1", "\\",
        "bytes=", "0-", "-5", "0-0", "5-2", "-", "9223372036854775807-", "items=", "bytes = ", "a", "A", "*", "%", "(", ")", "é", "\u{0}", "\u{7F}",
        "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Mon", "31 Feb", "24:00:00", "08:49:60", "GMT",
        "W/", "W/\"a\"", "\"a\"", "gzip", ";q=", "0.5", "Set-Cookie",
    ]

    private static let whole = [
        "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "W/\"a\"", "\"a\"", "bytes=0-", "bytes=-5",
        "bytes=0-0,5-9,-1", "bytes=9223372036854775807-", "max-age=60, stale-if-error=9", "max-age=60;a=1, no-cache=?1", "a=:YWJj:, b=(1 2)",
    ]

    private static func value(_ random: inout SeededRandom) -> [UInt8] {
        // Now and then one that means something, whole or with one byte changed.
        let whole = random.chance(oneIn: 4) ? Self.whole.randomElement(using: &random) : nil
        var bytes = whole.map { Array($0.utf8) } ?? (0..<Int.random(in: 0...8, using: &random)).flatMap { _ in Array(random.pick(words).utf8) }
        if !bytes.isEmpty, random.chance(oneIn: 3) { bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: .min ... .max, using: &random) }
        return bytes
    }

    private static func spelled(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self).debugDescription }

    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func `Cache-Control means the same in one line and in two, and its lifetimes are within their range`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<Self.rounds {
            let (first, second) = (Self.value(&random), Self.value(&random))
            var two = FieldSection()
            for line in [first, second] { two.append(name: Array("Cache-Control".utf8).span, value: line.span) }
            var one = FieldSection()
            one.append(name: Array("Cache-Control".utf8).span, value: (first + Array(",".utf8) + second).span)
            let (apart, together) = (CacheControl(two), CacheControl(one))
            for seconds in [apart.maxAge, apart.sMaxAge, apart.staleIfError, apart.staleWhileRevalidate, apart.minFresh] {
                #expect(seconds.map { (0...CacheControl.secondsMax).contains($0) } ?? true, "seed \(seed): \(Self.spelled(first))")
            }
            // A quote that does not end on one line makes of the next what it did not say: then nothing may be kept.
            if !first.contains(UInt8(ascii: "\"")), !second.contains(UInt8(ascii: "\"")) {
                #expect(apart == together, "seed \(seed): \(Self.spelled(first)), \(Self.spelled(second))")
            }
        }
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func `dates, tags and ranges that are accepted come back as they were`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var accepted = 0
        for _ in 0..<Self.rounds {
            let bytes = Self.value(&random)
            let text = Self.spelled(bytes)
            var output: [UInt8] = []
            if let seconds = HTTPDate.parse(bytes.span) {
                accepted += 1
                HTTPDate.append(seconds, to: &output)
                #expect(output.count == 29 && HTTPDate.parse(output.span) == seconds, "seed \(seed): \(text)")
            }
            output = []
            if let tag = EntityTag(bytes.span) {
                accepted += 1
                tag.append(to: &output)
                #expect(EntityTag(output.span) == tag && output == bytes, "seed \(seed): \(text)")
            }
            guard let ranges = ByteRange.parse(bytes.span) else { continue }
            accepted += 1
            for count in [0, 1, 1000, Int.max] {
                for range in ranges {
                    let found = range.resolved(count: count)
                    #expect(found.map { !$0.isEmpty && $0.lowerBound >= 0 && $0.upperBound <= count } ?? true, "seed \(seed): \(text)")
                }
            }
        }
        #expect(accepted > 50, "seed \(seed): \(accepted) of it are well-formed")
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func `a structured dictionary is within its bound, and a targeted field says nothing unless it is one`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var accepted = 0
        for _ in 0..<Self.rounds {
            let bytes = Self.value(&random)
            let dictionary = StructuredDictionary(bytes)
            if let dictionary, !dictionary.members.isEmpty { accepted += 1 }
            #expect(dictionary.map { $0.members.count <= StructuredDictionary.membersMax } ?? true)
            var fields = FieldSection()
            fields.append("Cache-Control", "max-age=7")
            fields.append(name: Array("CDN-Cache-Control".utf8).span, value: bytes.span)
            let shared = CacheControl.forSharedCache(fields)
            if dictionary == nil { #expect(shared.maxAge == 7 && !shared.isTargeted, "seed \(seed): \(Self.spelled(bytes))") }
            let lifetime = shared.sMaxAge ?? shared.maxAge ?? 0
            #expect((0...CacheControl.secondsMax).contains(lifetime), "seed \(seed): \(Self.spelled(bytes))")
        }
        #expect(accepted > 50, "seed \(seed): \(accepted) of it are well-formed")
    }
}
