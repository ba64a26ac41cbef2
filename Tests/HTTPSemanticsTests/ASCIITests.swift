import Testing

@testable import HTTPSemantics

@Suite struct ASCIITests {
    @Test func `every octet is classed as the grammar says`() {
        let letters = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)
        let digits = Set("0123456789".utf8)
        let token = letters.union(digits).union("!#$%&'*+-.^_`|~".utf8)
        for byte in UInt8.min...UInt8.max {
            #expect(ASCII.isToken(byte) == token.contains(byte))
            #expect(ASCII.isDigit(byte) == digits.contains(byte))
            #expect(ASCII.isSpace(byte) == (byte == 0x20 || byte == 0x09))
            let lowered: UInt8 = 0x41...0x5A ~= byte ? byte + 32 : byte
            #expect(ASCII.lowercased(byte) == lowered)
        }
    }

    @Test func `words are compared without case`() {
        func equals(_ text: String, _ word: StaticString) -> Bool { ASCII.equals(Array(text.utf8).span, word) }
        #expect(equals("GZip", "gzip") && equals("gzip", "GZIP") && equals("", ""))
        #expect(!equals("gzi", "gzip") && !equals("gzipp", "gzip") && !equals("@", "`"))
    }
}
