import TestSupport
import Testing

@testable import HTTPSemantics

@Suite struct TraceParentTests {
    private func read(_ text: String) -> TraceParent? { TraceParent(Array(text.utf8).span) }

    private func write(_ value: TraceParent) -> String {
        var output: [UInt8] = []
        value.append(to: &output)
        return String(decoding: output, as: UTF8.self)
    }

    private static let example = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    @Test func `W3C §3.2.2: the example is read and written back`() throws {
        let trace = try #require(read(Self.example))
        #expect(
            trace
                == TraceParent(
                    traceID: (0x0af7_6519_16cd_43dd, 0x8448_eb21_1c80_319c), parentID: 0xb7ad_6b71_6920_3331, flags: 1))
        #expect(write(trace) == Self.example)
    }

    @Test(arguments: [
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff",
        "00-00000000000000000000000000000001-0000000000000001-00", "00-10000000000000000000000000000000-1000000000000000-00",
        // A later version may have more behind a hyphen.
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future",
        "fe-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
    ])
    func `valid values are read`(text: String) {
        #expect(read(text) != nil)
    }

    @Test(arguments: [
        "", "00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 ",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-B7AD6B7169203331-01", "0x-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01", "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
        "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what",
        " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ])
    func `invalid values are none`(text: String) {
        #expect(read(text) == nil)
    }

    @Test func `the next hop sees the trace, this hop's span, and the flag that version 00 defines`() throws {
        let trace = try #require(read("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff"))
        #expect(write(trace.child(spanID: 0x00ab)) == "00-0af7651916cd43dd8448eb211c80319c-00000000000000ab-01")
    }

    @Test(arguments: UInt64(1)...50) func `what is written is read back`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let trace = TraceParent(
            traceID: (random.next(), random.next()), parentID: random.next(), flags: UInt8(truncatingIfNeeded: random.next()))
        #expect(read(write(trace)) == trace)
    }
}
