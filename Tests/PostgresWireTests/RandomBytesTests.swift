import Testing

@testable import PostgresWire

@Suite struct RandomBytesTests {
    private struct Counting: RandomNumberGenerator {
        var count = 0

        mutating func next() -> UInt64 {
            count += 1
            return UInt64(count) &* 0x0101_0101_0101_0101
        }
    }

    @Test(arguments: [0, 1, 7, 8, 9, 18, 32]) func `a word of the generator gives eight bytes, and there are as many as were asked for`(count: Int) {
        var generator = Counting()
        #expect(RandomBytes.make(count, using: &generator) == (0..<count).map { UInt8($0 / 8 + 1) })
        #expect(generator.count == (count + 7) / 8)
    }
}
