import NIOCore
import Testing

@testable import LoadGenerator

@Suite struct ResponseCheckTests {
    private static let body = Array("The quick brown fox jumps over the lazy dog".utf8)
    /// FIPS 180-4; the sentence's digest is in every table.
    private static let digest: [UInt8] = [
        0xD7, 0xA8, 0xFB, 0xB3, 0x07, 0xD7, 0x80, 0x94, 0x69, 0xCA, 0x9A, 0xBC, 0xB0, 0x08, 0x2E, 0x4F, 0x8D, 0x56, 0x51, 0xE4, 0x6D, 0x3C, 0xDB, 0x76, 0x2D,
        0x02, 0xD0, 0xBF, 0x37, 0xC9, 0xE5, 0x92,
    ]

    /// - Parameter size: of each part.
    private func verdict(_ expected: ResponseExpectation.Body, _ body: [UInt8] = Self.body, size: Int, status: Int = 200) -> FailureKind? {
        var check = ResponseCheck()
        // A check is used again: what the last response left behind must not matter.
        check.begin(.init(body: expected))
        check.take(ByteBuffer(string: "brown fo"))
        check.begin(.init(body: expected))
        for start in stride(from: 0, to: body.count, by: size) { check.take(ByteBuffer(bytes: body[start..<min(start + size, body.count)])) }
        #expect(check.bodyByteCount == body.count)
        return check.verdict(status: status)
    }

    @Test(arguments: 1...44) func `a body is judged alike however it is cut`(size: Int) {
        for (expected, other) in [
            (ResponseExpectation.Body.sha256(Self.digest), ResponseExpectation.Body.sha256(Self.digest.reversed())),
            (.text(Array("brown fox".utf8)), .text(Array("brown foz".utf8))), (.text(Self.body), .text(Self.body + [0x21])),
            (.text([0x54]), .text([0x58])), (.bytes(Self.body), .bytes(Array(Self.body.dropLast()) + [0])), (.length(43), .length(42)),
        ] {
            #expect(verdict(expected, size: size) == nil, "\(expected)")
            #expect(verdict(other, size: size) == .content, "\(other)")
        }
        #expect(verdict(.any, size: size, status: 404) == .status)
    }

    @Test func `a text that begins again within itself is found across parts`() {
        for size in 1...8 { #expect(verdict(.text(Array("aab".utf8)), Array("xaaab".utf8), size: size) == nil) }
        #expect(verdict(.text(Array("a".utf8)), [], size: 1) == .content)
        // The digest of nothing is not that of something.
        #expect(verdict(.sha256(Self.digest), [], size: 1) == .content)
    }
}
