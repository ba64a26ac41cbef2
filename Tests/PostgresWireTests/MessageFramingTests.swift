import NIOCore
import PostgresWire
import Testing

@Suite struct MessageFramingTests {
    private static func message(_ kind: Character, length: UInt32, _ payload: [UInt8] = []) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeInteger(kind.asciiValue ?? 0)
        buffer.writeInteger(length)
        buffer.writeBytes(payload)
        return buffer
    }

    @Test func `a head is found once its five bytes are there`() {
        let whole = Self.message("Q", length: 9, Array("abcd\0".utf8))
        for count in 0...whole.readableBytes {
            let part = ByteBuffer(bytes: whole.readableBytesView.prefix(count))
            let found = MessageFraming.head(in: part, at: 0)
            #expect(found == (count < 5 ? .incomplete : .message(.init(kind: FrontendKind.query, bytes: 10))))
        }
    }

    @Test(arguments: [
        (0, false), (3, false), (4, true), (UInt32(1 << 30) - 1, true), (UInt32(1 << 30), false), (.max, false), (0x8000_0000, false),
    ] as [(UInt32, Bool)])
    func `a length below 4 or beyond the limit is malformed`(length: UInt32, isAccepted: Bool) {
        let found = MessageFraming.head(in: Self.message("D", length: length), at: 0)
        #expect(found == (isAccepted ? .message(.init(kind: BackendKind.dataRow, bytes: Int(length) + 1)) : .malformed))
    }

    @Test func `a message goes by in pieces of any size`() {
        for piece in 1...12 {
            var framing = MessageFraming()
            var gone = framing.pass(12, available: min(piece, 12))
            while !framing.isBetweenMessages { gone += framing.skip(available: piece) }
            #expect(gone == 12)
        }
    }

    @Test func `what follows a message is not taken for a part of it`() {
        var framing = MessageFraming()
        #expect(framing.pass(10, available: 4) == 4)
        #expect(framing.skip(available: 100) == 6)
        #expect(framing.isBetweenMessages)
    }
}
