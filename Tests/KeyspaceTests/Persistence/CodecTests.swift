import TestSupport
import Testing

@testable import Keyspace

@Suite struct CRC64Tests {
    @Test func `the check value of the published polynomial`() {
        #expect(CRC64.checksum(octets("123456789")) == 0xE9C6_D914_C4B8_D9CA)
    }

    @Test func `any split gives the same`() {
        let bytes = (0..<100).map { UInt8($0 * 7 & 0xFF) }
        for split in 0...bytes.count {
            var crc = CRC64()
            bytes[..<split].withUnsafeBytes { crc.update($0) }
            bytes[split...].withUnsafeBytes { crc.update($0) }
            #expect(crc.value == CRC64.checksum(bytes))
        }
    }
}

@Suite struct LZFTests {
    private func decompress(_ bytes: [UInt8], count: Int) -> [UInt8]? { bytes.withUnsafeBytes { LZF.decompress($0, count: count) } }

    @Test func `what was compressed comes back`() {
        var random = SeededRandom(seed: 1)
        for count in [0, 1, 4, 5, 20, 33, 100, 264, 1000, 9000, 70_000] {
            for letters in [1, 2, 4, 26, 256] {
                let bytes = (0..<count).map { _ in UInt8(Int.random(in: 0..<letters, using: &random)) }
                guard let compressed = bytes.withUnsafeBytes({ LZF.compress($0) }) else { continue }
                #expect(compressed.count <= count - 4)
                #expect(decompress(compressed, count: count) == bytes, "\(count) bytes of \(letters) letters")
            }
        }
        #expect([UInt8](repeating: 7, count: 1000).withUnsafeBytes { LZF.compress($0) }.map { $0.count < 30 } == true)
    }

    @Test func `what does not give exactly the announced bytes is refused`() throws {
        let bytes = [UInt8](repeating: 7, count: 1000)
        let compressed = try #require(bytes.withUnsafeBytes { LZF.compress($0) })
        #expect(decompress(compressed, count: 999) == nil && decompress(compressed, count: 1001) == nil)
        for cut in 0..<compressed.count { #expect(decompress(Array(compressed[..<cut]), count: 1000) == nil) }
        // A match that reaches before the beginning; a count beyond what the input can give.
        #expect(decompress([0, 0x61, 0x20, 1], count: 4) == nil)
        #expect(decompress([0, 0x61], count: 1 << 50) == nil && decompress([], count: -1) == nil)
        #expect(decompress([], count: 0) == [])
    }
}

@Suite struct ListpackTests {
    private func read(_ bytes: [UInt8]) throws(RDBError) -> [[UInt8]] {
        try bytes.withUnsafeBufferPointer { buffer throws(RDBError) in
            try Listpack.elements(of: UnsafeRawBufferPointer(buffer)).map(\.text)
        }
    }

    @Test func `integers and texts of every width come back`() throws {
        let integers: [Int64] = [0, 127, 128, 4095, 4096, -1, -4096, -4097, .max, .min]
        let lengths = [0, 1, 63, 64, 126, 127, 4095, 4096, 16_380, 16_390, 2_097_150]
        var writer = ListpackWriter()
        for integer in integers { writer.append(integer) }
        for length in lengths { writer.append([UInt8](repeating: 0xFF, count: length)) }
        let list = writer.finish()
        #expect(try read(list) == integers.map { octets("\($0)") } + lengths.map { [UInt8](repeating: 0xFF, count: $0) })
    }

    @Test func `a list that is cut, or whose lengths disagree, is refused`() throws {
        var writer = ListpackWriter()
        for value in ["a", "hello", "world"] { writer.append(octets(value)) }
        writer.append(5000)
        let list = writer.finish()
        for count in 0..<list.count { #expect(throws: RDBError.self) { try read(Array(list[..<count])) } }
        for index in list.indices {
            var changed = list
            changed[index] ^= 0x80
            // A letter may become another; lengths and counts may not.
            if let elements = try? read(changed) { #expect(elements.count == 4 && changed[index] != 0xFF) }
        }
    }
}

@Suite struct IntsetTests {
    @Test func `integers out of order, or fewer than announced, are refused`() {
        func read(_ bytes: [UInt8]) throws(RDBError) -> [Int64] {
            try bytes.withUnsafeBufferPointer { buffer throws(RDBError) in try Intset.elements(of: UnsafeRawBufferPointer(buffer)) }
        }
        #expect((try? read([2, 0, 0, 0, 2, 0, 0, 0, 0xFF, 0xFF, 5, 0])) == [-1, 5])
        #expect((try? read([2, 0, 0, 0, 2, 0, 0, 0, 5, 0, 5, 0])) == nil)
        #expect((try? read([2, 0, 0, 0, 3, 0, 0, 0, 5, 0, 6, 0])) == nil)
        #expect((try? read([3, 0, 0, 0, 1, 0, 0, 0, 5, 0, 6])) == nil)
        #expect((try? read([8, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF])) == nil)
    }
}
