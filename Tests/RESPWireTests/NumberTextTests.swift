import RESPWire
import Testing

@Suite struct NumberTextTests {
    private func parse(_ text: String) -> Int64? { Array(text.utf8).withUnsafeBytes { DecimalText.parse($0) } }
    private func double(_ text: String) -> Double? { Array(text.utf8).withUnsafeBytes { DoubleText.parse($0) } }

    @Test(arguments: [0, 1, -1, 9, 10, 99, 100, 12345, .max, .min, .max - 1, .min + 1] as [Int64])
    func `a whole number goes round trip`(value: Int64) {
        let bytes = DecimalText.bytes(value)
        #expect(String(decoding: bytes, as: UTF8.self) == "\(value)")
        #expect(parse("\(value)") == value)
    }

    @Test(arguments: ["", "-", "+1", "01", "-0", "1 ", " 1", "1a", "9223372036854775808", "-9223372036854775809", "18446744073709551616"])
    func `what is not the one way to write a number is none`(text: String) {
        #expect(parse(text) == nil)
    }

    @Test(arguments: [
        (3.14, "3.14"), (0, "0"), (-0.0, "-0"), (1e20, "1e+20"), (1e-7, "1e-7"), (17, "17"), (.infinity, "inf"),
        (-.infinity, "-inf"), (0.1, "0.1"), (1.5e300, "1.5e+300"),
    ] as [(Double, String)])
    func `a double is written short and reads as itself`(value: Double, text: String) {
        #expect(DoubleText.render(value) == text)
        #expect(double(text) == value)
    }

    @Test(arguments: ["", "nan", " 1", "1 ", "1e400", "x", "1x"])
    func `no double`(text: String) {
        #expect(double(text) == nil)
    }
}
