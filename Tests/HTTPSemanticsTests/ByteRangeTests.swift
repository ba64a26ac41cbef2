import HTTPSemantics
import Testing

@Suite struct ByteRangeTests {
    private func parse(_ text: String) -> [ByteRange]? { ByteRange.parse(Array(text.utf8).span) }

    @Test(
        arguments: [
            ("bytes=0-499", [.from(0, last: 499)]), ("bytes=500-999", [.from(500, last: 999)]), ("bytes=-500", [.suffix(500)]),
            ("bytes=9500-", [.from(9500, last: nil)]), ("bytes=0-0,-1", [.from(0, last: 0), .suffix(1)]),
            ("bytes= 0-0, -2", [.from(0, last: 0), .suffix(2)]), ("bytes= 0-999, 4500-5499, -1000", [.from(0, last: 999), .from(4500, last: 5499), .suffix(1000)]),
            ("bytes=500-600,601-999", [.from(500, last: 600), .from(601, last: 999)]), ("BYTES=1-2", [.from(1, last: 2)]),
            ("bytes=,1-2,,", [.from(1, last: 2)]), ("bytes=99999999999999999999999-", [.from(.max, last: nil)]),
            ("bytes=0-99999999999999999999999", [.from(0, last: .max)]),
        ] as [(String, [ByteRange])])
    func `the examples of RFC 9110 §14.1.2, and spellings as odd`(text: String, expected: [ByteRange]) {
        #expect(parse(text) == expected)
    }

    @Test(arguments: [
        "", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=a-b", "bytes=2-1", "bytes=1", "bytes=1-2-3", "bytes=1 -2", "bytes 1-2", "lines=1-2",
        "bytes=+1-2", "bytes=1-2;3-4", "bytes=--1",
    ])
    func `other units and what is malformed are no ranges`(text: String) {
        #expect(parse(text) == nil)
    }

    @Test(
        arguments: [
            (.from(0, last: 499), 10_000, 0..<500), (.from(9500, last: nil), 10_000, 9500..<10_000), (.suffix(500), 10_000, 9500..<10_000),
            (.suffix(20_000), 10_000, 0..<10_000), (.from(9999, last: 20_000), 10_000, 9999..<10_000), (.from(10_000, last: nil), 10_000, nil),
            (.suffix(0), 10, nil), (.suffix(1), 0, nil), (.from(0, last: nil), 0, nil), (.from(0, last: .max), 1, 0..<1),
        ] as [(ByteRange, Int, Range<Int>?)])
    func `a range is of the bytes that are there, and of none beyond`(range: ByteRange, count: Int, expected: Range<Int>?) {
        #expect(range.resolved(count: count) == expected)
    }
}
