import NIOCore
import PostgresWire
import Testing

@testable import Pooler

@Suite struct ClientAuthenticationTests {
    @Test(arguments: [0, 1, 4, 5, 9])
    func `a message is taken when it is there as a whole`(count: Int) throws {
        var whole = ByteBuffer()
        PasswordPayload.writePassword(Array("abc".utf8), to: &whole)
        #expect(whole.readableBytes == 9)
        var input = try #require(whole.getSlice(at: 0, length: count))
        let taken = try ClientAuthentication.take(from: &input)
        #expect((taken != nil) == (count == 9))
        #expect(input.readableBytes == (count == 9 ? 0 : count))
        if let taken { #expect(PasswordPayload.password(taken) == Array("abc".utf8)) }
    }

    @Test(arguments: [
        ([UInt8(ascii: "p"), 0, 0, 0, 3], LoginRefusal.messageMalformed), ([UInt8(ascii: "Q"), 0, 0, 0, 5, 0], .messageUnexpected),
        ([UInt8(ascii: "p"), 0, 0, 0x10, 0], .messageMalformed), ([UInt8(ascii: "p"), 255, 255, 255, 255], .messageMalformed),
    ])
    func `what is no password message, or longer than 4096 bytes, is refused by its head`(bytes: [UInt8], refusal: LoginRefusal) {
        var input = ByteBuffer(bytes: bytes)
        #expect(throws: refusal) { try ClientAuthentication.take(from: &input) }
    }

    @Test func `a message of 4096 bytes is awaited`() throws {
        var input = ByteBuffer(bytes: [UInt8(ascii: "p"), 0, 0, 0x0F, 0xFF])
        #expect(try ClientAuthentication.take(from: &input) == nil)
    }
}
