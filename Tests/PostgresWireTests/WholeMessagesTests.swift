import NIOCore
import PostgresWire
import Testing

@Suite struct WholeMessagesTests {
    private static let stream: ByteBuffer = {
        var bytes = ByteBuffer()
        BackendMessage.parameterStatus("TimeZone", "UTC", to: &bytes)
        BackendMessage.empty(BackendKind.parseComplete, to: &bytes)
        BackendMessage.readyForQuery(.idle, to: &bytes)
        return bytes
    }()

    @Test(arguments: 1...30) func `in whatever pieces they come, messages come out as wholes`(piece: Int) {
        var (messages, source, found, bytes) = (WholeMessages(bytesMax: 100), Self.stream, [UInt8](), ByteBuffer())
        while let part = source.readSlice(length: min(piece, source.readableBytes)), part.readableBytes > 0 {
            messages.received(part)
            while case .message(let kind, let message) = messages.next() {
                found.append(kind)
                bytes.writeImmutableBuffer(message)
            }
            #expect(messages.next() == .wait)
        }
        #expect(found == [BackendKind.parameterStatus, BackendKind.parseComplete, BackendKind.readyForQuery])
        #expect(bytes == Self.stream)
    }

    @Test(arguments: [(6, true), (5, false)]) func `a message may be as long as the limit`(bytesMax: Int, isTaken: Bool) {
        var messages = WholeMessages(bytesMax: bytesMax)
        var bytes = ByteBuffer()
        BackendMessage.readyForQuery(.idle, to: &bytes)
        messages.received(bytes)
        #expect(messages.next() == (isTaken ? .message(kind: BackendKind.readyForQuery, bytes) : .lost))
    }

    @Test func `a length that lies loses all that follows`() {
        var messages = WholeMessages(bytesMax: 100)
        messages.received(ByteBuffer(bytes: [UInt8(ascii: "Z"), 0, 0, 0, 3, 0, 0]))
        #expect(messages.next() == .lost)
    }
}
