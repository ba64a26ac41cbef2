import Testing

@testable import PostgresWire

@Suite struct SASLprepTests {
    /// RFC 4013 §3.
    @Test(arguments: [
        ("I\u{AD}X", "IX"), ("user", "user"), ("USER", "USER"), ("\u{AA}", "a"), ("\u{2168}", "IX"), ("\u{7}", nil), ("\u{627}1", nil),
    ])
    func `the examples of RFC 4013 §3 come out`(text: String, prepared: String?) {
        #expect(SASLprep.prepared(text) == prepared)
    }

    @Test(arguments: [
        ("a\u{A0}b\u{3000}c", "a b c"), ("\u{AD}", nil), ("\u{200C}\u{FEFF}x", "x"), ("a\u{200B}x", "a x"), ("e\u{301}", "é"), ("\u{E000}", nil), ("\u{221}", nil),
        ("\u{627}x", nil), ("\u{627}\u{628}", "\u{627}\u{628}"), ("\u{627}x\u{628}", nil), ("x\u{627}", nil), ("\u{E0041}", nil), ("\u{FFFD}", nil),
        ("\u{10FFFF}", nil),
    ])
    func `spaces, nothing, directions and what is prohibited`(text: String, prepared: String?) {
        #expect(SASLprep.prepared(text) == prepared)
    }

    @Test func `what is refused, and what is no UTF-8, is used as it is`() {
        #expect(SASLprep.prepare(Array("\u{AD}".utf8)) == [0xC2, 0xAD])
        #expect(SASLprep.prepare([0xFF, 0x41]) == [0xFF, 0x41])
        #expect(SASLprep.prepare([7]) == [7])
        #expect(SASLprep.prepare([]) == [])
    }

    @Test(arguments: [
        StringprepTables.mappedToNothing, StringprepTables.otherSpaces, StringprepTables.prohibited, StringprepTables.rightToLeft,
        StringprepTables.leftToRight, StringprepTables.unassigned,
    ])
    func `every table is in order, and its ends are in it`(table: [UInt32]) throws {
        #expect(table.count.isMultiple(of: 2))
        for index in stride(from: 0, to: table.count, by: 2) {
            #expect(table[index] <= table[index + 1])
            if index > 0 { #expect(table[index - 1] < table[index]) }
            for value in [table[index], table[index + 1]] {
                // Surrogates are in the table and can be in no string.
                guard let scalar = Unicode.Scalar(value) else { continue }
                #expect(StringprepTables.contains(table, scalar))
            }
            if let before = Unicode.Scalar(table[index] &- 1), index == 0 || table[index - 1] < before.value {
                #expect(!StringprepTables.contains(table, before))
            }
        }
    }
}
