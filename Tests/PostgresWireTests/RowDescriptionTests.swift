import PostgresWire
import Testing

@Suite struct RowDescriptionTests {
    private static func payload(_ columns: [(name: String, type: UInt8, format: UInt8)]) -> [UInt8] {
        [0, UInt8(columns.count)]
            + columns.flatMap { column -> [UInt8] in
                Array(column.name.utf8) + [0] + [0, 0, 0, 1, 0, 2, 0, 0, 0, column.type, 0, 4, 255, 255, 255, 255, 0, column.format]
            }
    }

    private static func fingerprint(_ payload: [UInt8]) -> UInt64? { payload.withUnsafeBytes { RowDescription.fingerprint(payload: $0) } }

    @Test func `formats do not count, names, types and number do`() {
        let base = Self.fingerprint(Self.payload([("id", 23, 0), ("name", 25, 0)]))
        #expect(base != nil)
        #expect(Self.fingerprint(Self.payload([("id", 23, 1), ("name", 25, 0)])) == base)
        for other in [[("id", 23, 0), ("nam", 25, 0)], [("id", 20, 0), ("name", 25, 0)], [("id", 23, 0)], [("name", 25, 0), ("id", 23, 0)], []] {
            let found = Self.fingerprint(Self.payload(other.map { (name: $0.0, type: UInt8($0.1), format: UInt8($0.2)) }))
            #expect(found != nil && found != base)
        }
    }

    @Test func `a description that is cut, or too long, has none`() {
        let whole = Self.payload([("id", 23, 0), ("name", 25, 0)])
        for length in 0..<whole.count { #expect(Self.fingerprint(Array(whole.prefix(length))) == nil) }
        #expect(Self.fingerprint(whole + [0]) == nil)
        #expect(Self.fingerprint([255, 255] + whole.dropFirst(2)) == nil)
    }
}
