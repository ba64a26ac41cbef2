import HTTPSemantics
import TestSupport
import Testing

@testable import Edge

@Suite struct DependencyTagsTests {
    private func tags(_ fields: [String]) throws -> DependencyTags { DependencyTags(try ResponseHead.parsed(200, fields).fields) }

    @Test func `the three fields say the same, each in its own way`() throws {
        let expected = DependencyTags(surrogateKeys: "article-7 front").hashes
        #expect(expected.count == 2)
        for fields in [
            ["Surrogate-Key: article-7 front"], ["surrogate-key:  article-7\t front "], ["Cache-Tag: article-7,front"],
            ["Cache-Tag: article-7 , front,,"], ["xkey: article-7", "xkey: front"], ["Surrogate-Key: article-7", "Cache-Tag: front, article-7"],
        ] {
            #expect(try tags(fields).hashes == expected, "\(fields)")
        }
    }

    @Test func `a tag of Cache-Tag may have spaces in it`() throws {
        let tags = try tags(["Cache-Tag: a b, c"])
        #expect(tags.hashes.count == 2)
        #expect(tags.hashes != DependencyTags(surrogateKeys: "a b").hashes)
    }

    @Test func `other fields carry none`() throws {
        #expect(try tags(["Surrogate-Keys: a", "X-Key: a", "Cache-Tags: a", "Server: x"]).hashes.isEmpty)
    }

    @Test func `their number and their length have bounds`() throws {
        let names = (0..<DependencyTags.countMax).map { "t\($0)" }
        let full = DependencyTags(surrogateKeys: names.joined(separator: " "))
        #expect(full.hashes.count == DependencyTags.countMax && !full.isOverLimit)
        #expect(DependencyTags(surrogateKeys: (names + ["t0"]).joined(separator: " ")).isOverLimit == false)
        #expect(DependencyTags(surrogateKeys: (names + ["one-more"]).joined(separator: " ")).isOverLimit)
        let long = String(repeating: "x", count: DependencyTags.tagBytesMax)
        #expect(!DependencyTags(surrogateKeys: long).isOverLimit && DependencyTags(surrogateKeys: long + "x").isOverLimit)
    }
}

@Suite struct TagIndexTests {
    /// How it works: 1. Entries with random tags come and go. 2. After each step the index is what a dictionary says.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func `the index is what a dictionary of sets would be`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var index = TagIndex()
        var model: [UInt64: Set<Int>] = [:]
        var entries: [Int: (first: Int32, tags: [UInt64])] = [:]
        for _ in 0..<2000 {
            let entry = Int.random(in: 0..<40, using: &random)
            if let known = entries.removeValue(forKey: entry) {
                index.remove(known.first)
                for tag in known.tags { model[tag]?.remove(entry) }
            } else {
                let tags = Array(Set((0..<Int.random(in: 0...4, using: &random)).map { _ in UInt64.random(in: 0..<12, using: &random) }))
                entries[entry] = (index.insert(entry, tags: tags), tags)
                for tag in tags { model[tag, default: []].insert(entry) }
            }
            index.checkInvariants()
            for tag in 0..<12 as Range<UInt64> { #expect(Set(index.entries(of: tag)) == model[tag] ?? []) }
        }
        #expect(index.tagCount == model.values.count { !$0.isEmpty })
    }
}
