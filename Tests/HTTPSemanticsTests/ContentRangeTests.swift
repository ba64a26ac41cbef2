import HTTPSemantics
import TestSupport
import Testing

/// RFC 9110 §14.4.
@Suite struct ContentRangeTests {
    private func parse(_ text: String) -> ContentRange? { ContentRange(Array(text.utf8).span) }

    @Test func `the RFC's examples say which bytes of how many`() {
        // "The first 500 bytes", "all except for the first 500 bytes", "the last 500 bytes"; of 1234.
        for (text, range) in [("bytes 0-499/1234", 0..<500), ("bytes 500-1233/1234", 500..<1234), ("bytes 734-1233/1234", 734..<1234)] {
            #expect(parse(text)?.range == range && parse(text)?.count == 1234, "\(text)")
        }
        #expect(parse("BYTES 0-0/1")?.range == 0..<1)
    }

    @Test(arguments: [
        // The length is not known; nothing was satisfied (both §14.4).
        "bytes 42-1233/*", "bytes */1234",
        // "A Content-Range field value is invalid if it contains a range-resp that has a last-pos value less than its first-pos value, or a
        // complete-length value less than or equal to its last-pos value."
        "bytes 5-4/10", "bytes 0-10/10", "bytes 0-499/0",
        "seconds 0-1/2", "bytes=0-1/2", "bytes 0-1", "bytes 0-1/", "bytes -1/2", "bytes 0-/2", "bytes 0-1/2 ", "bytes 0-1/2, bytes 0-1/2", "bytes", "",
        "bytes 0-99999999999999999998/99999999999999999999", "bytes 0-1/99999999999999999999",
    ])
    func `what is not known, or contradicts itself, is none`(text: String) {
        #expect(parse(text) == nil)
    }

    @Test func `any bytes are read without harm, and what is read holds`() {
        var random = SeededRandom(seed: 8)
        for _ in 0..<20_000 {
            let text = (0..<Int.random(in: 0...24, using: &random)).map { _ in random.pick(Array("bytes 0123456789-/*,=")) }
            let found = parse((random.chance(oneIn: 2) ? "bytes " : "") + String(text))
            if let found { #expect(!found.range.isEmpty && found.range.lowerBound >= 0 && found.range.upperBound <= found.count) }
        }
    }
}
