import NIOCore
import Testing

@testable import Edge

@Suite struct HeldRequestBodyTests {
    private func part(_ count: Int) -> ByteBuffer { ByteBuffer(repeating: 1, count: count) }

    @Test func `what waits is kept whatever the limit, and forgotten once it is sent and over it`() {
        var body = HeldRequestBody(keptBytesMax: 10)
        body.received(part(8), isSent: false)
        body.received(part(8), isSent: false)
        #expect(body.bytes == 16 && body.isFromStart)
        body.sent()
        #expect(body.bytes == 0 && body.parts.isEmpty && !body.isFromStart)
    }

    @Test func `what was sent is kept up to the limit, and not a byte over it`() {
        var body = HeldRequestBody(keptBytesMax: 10)
        body.received(part(10), isSent: true)
        #expect(body.bytes == 10 && body.isFromStart)
        body.received(part(1), isSent: true)
        #expect(body.parts.isEmpty && !body.isFromStart)
        body.received(part(1), isSent: true)
        #expect(body.parts.isEmpty, "a part without those before it is of no use")
    }

    @Test func `no body is held whole`() {
        var body = HeldRequestBody(keptBytesMax: 0)
        body.sent()
        #expect(body.isFromStart)
    }
}
