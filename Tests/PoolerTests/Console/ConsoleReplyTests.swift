import NIOCore
import Testing

@testable import Pooler

@Suite struct ConsoleReplyTests {
    @Test func `a result is rows of text between a description and a tag`() {
        var buffer = ByteBuffer()
        ConsoleReply.writeDescription(of: [.init(name: "list", type: .text), .init(name: "items", type: .int4)], to: &buffer)
        ConsoleReply.write(row: ["ab", .number(-7)], to: &buffer)
        ConsoleReply.write(row: [nil, ConsoleCell(true)], to: &buffer)
        ConsoleReply.writeComplete("SHOW", to: &buffer)
        ConsoleReply.writeReady(to: &buffer)
        let expected: [UInt8] =
            [0x54, 0, 0, 0, 53, 0, 2] + Array("list".utf8) + [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 255, 255, 255, 255, 255, 255, 0, 0]
            + Array("items".utf8) + [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 23, 0, 4, 255, 255, 255, 255, 0, 0]
            + [0x44, 0, 0, 0, 18, 0, 2, 0, 0, 0, 2, 97, 98, 0, 0, 0, 2, 45, 55] + [0x44, 0, 0, 0, 15, 0, 2, 255, 255, 255, 255, 0, 0, 0, 1, 49]
            + [0x43, 0, 0, 0, 9] + Array("SHOW".utf8) + [0] + [0x5A, 0, 0, 0, 5, 73]
        #expect(Array(buffer.readableBytesView) == expected)
    }

    @Test func `errors and notices are made of fields`() {
        var buffer = ByteBuffer()
        ConsoleReply.writeError("no\0way", sqlState: "42601", to: &buffer)
        #expect(Array(buffer.readableBytesView) == [0x45, 0, 0, 0, 34] + Array("SERROR\0VERROR\0C42601\0Mno way\0\0".utf8))
        buffer.clear()
        ConsoleReply.writeNotice("usage", detail: "x", to: &buffer)
        #expect(Array(buffer.readableBytesView) == [0x4E, 0, 0, 0, 38] + Array("SNOTICE\0VNOTICE\0C00000\0Musage\0Dx\0\0".utf8))
        buffer.clear()
        ConsoleReply.writeEmpty(to: &buffer)
        #expect(Array(buffer.readableBytesView) == [0x49, 0, 0, 0, 4])
    }
}
