import Testing

@testable import Pooler

@Suite struct ParsedTextsTests {
    private func find(_ texts: ParsedTexts, _ body: String, pool: Int = 0) -> ParsedTexts.Meaning? {
        Array(body.utf8).withUnsafeBytes { texts.find($0, pool: pool) }
    }

    private func keep(_ texts: ParsedTexts, _ body: String, pool: Int = 0, _ statistics: QueryStatistics? = nil) {
        Array(body.utf8).withUnsafeBytes { texts.keep($0, pool: pool, .init(text: StatementText(Array("SET a = b".utf8)), statistics: statistics)) }
    }

    @Test func `the same bytes in the same pool mean the same; one byte more, less or other does not`() {
        let texts = ParsedTexts()
        let body = "select a from t where b = $1\0\0\0"
        keep(texts, body)
        #expect(find(texts, body)?.text != nil)
        #expect(find(texts, body, pool: 1) == nil)
        #expect(find(texts, body + "x") == nil && find(texts, String(body.dropLast())) == nil)
        for index in body.utf8.indices {
            var other = Array(body.utf8)
            other[body.utf8.distance(from: body.utf8.startIndex, to: index)] ^= 1
            #expect(other.withUnsafeBytes { texts.find($0, pool: 0) } == nil)
        }
    }

    @Test func `statistics that were forgotten are looked up anew`() {
        let (texts, statistics) = (ParsedTexts(), QueryStatistics(fingerprint: 1, pool: 0, text: "x"))
        keep(texts, "x", statistics)
        #expect(find(texts, "x")?.statistics === statistics)
        statistics.isForgotten = true
        #expect(find(texts, "x") == nil)
    }

    @Test func `long bodies are not kept, and of many only as many as there are places`() {
        let texts = ParsedTexts()
        for (count, isKept) in [(ParsedTexts.bytesMax, true), (ParsedTexts.bytesMax + 1, false)] {
            let body = String(repeating: "x", count: count)
            keep(texts, body)
            #expect((find(texts, body) != nil) == isKept)
        }
        for number in 0..<10_000 { keep(texts, "select \(number)") }
        let known = (0..<10_000).count { find(texts, "select \($0)") != nil }
        #expect(known > ParsedTexts.placesMax / 2 && known <= ParsedTexts.placesMax)
    }
}
