import NIOCore
import Testing

@testable import HTTP2Wire

@Suite struct HTTP2InputTests {
    @Test func `what is cut anywhere comes whole, and nothing is kept of what was taken`() {
        let text = "abcdefgh"
        for cut in 0...text.utf8.count {
            var input = HTTP2Input()
            var first = input.joined(ByteBuffer(string: String(text.prefix(cut))))
            // Takes out pairs, as whole frames are taken.
            var taken = ""
            func takePairs(_ bytes: inout ByteBuffer) { while bytes.readableBytes >= 2 { taken += bytes.readString(length: 2) ?? "" } }
            takePairs(&first)
            input.keep(first)
            #expect(input.byteCount == cut % 2)
            var second = input.joined(ByteBuffer(string: String(text.dropFirst(cut))))
            #expect(input.byteCount == 0, "what is being read is held once")
            takePairs(&second)
            input.keep(second)
            #expect(taken == text && input.byteCount == 0 && input.capacity == 0)
        }
    }
}
