import NIOCore
import Testing

@testable import PostgresWire

@Suite struct AuthenticationRequestTests {
    static let requests: [AuthenticationRequest] = [
        .ok, .cleartextPassword, .md5Password(salt: [1, 2, 3, 4]), .sasl(mechanisms: ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]),
        .saslContinue([7, 8]), .saslContinue([]), .saslFinal([9]),
    ]

    private func payload(_ request: AuthenticationRequest) -> ByteBuffer {
        var buffer = ByteBuffer()
        request.write(to: &buffer)
        #expect(buffer.readInteger(as: UInt8.self) == UInt8(ascii: "R"))
        let length = buffer.readInteger(as: UInt32.self)
        #expect(length.map(Int.init) == buffer.readableBytes + 4)
        return buffer
    }

    @Test(arguments: requests)
    func `what is written is read`(request: AuthenticationRequest) {
        #expect(AuthenticationRequest(payload: payload(request)) == request)
    }

    @Test(arguments: requests)
    func `what is cut or continued is refused, where it can be told`(request: AuthenticationRequest) throws {
        let whole = payload(request)
        for end in 0..<whole.readableBytes {
            let cut = AuthenticationRequest(payload: try #require(whole.getSlice(at: 0 + whole.readerIndex, length: end)))
            switch cut {
            case nil, .saslContinue, .saslFinal: break
            default: Issue.record("\(request), cut to \(end) bytes, is read as \(String(describing: cut))")
            }
        }
        var longer = whole
        longer.writeInteger(UInt8(1))
        switch request {
        case .saslContinue, .saslFinal: break
        default: #expect(AuthenticationRequest(payload: longer) == nil)
        }
    }

    @Test func `16 mechanisms are a list, 17 are not`() {
        for (count, isRead) in [(16, true), (17, false)] {
            let names = (0..<count).map { "M\($0)" }
            #expect((AuthenticationRequest(payload: payload(.sasl(mechanisms: names))) != nil) == isRead)
        }
        #expect(AuthenticationRequest(payload: ByteBuffer(bytes: [0, 0, 0, 10, 0])) == nil)
    }

    @Test(arguments: [2, 6, 7, 8, 9, 13, UInt32.max])
    func `what we cannot do has its number`(code: UInt32) {
        #expect(AuthenticationRequest(payload: ByteBuffer(integer: code)) == .unsupported(code: code))
    }

    @Test func `passwords end with their one terminator`() {
        #expect(PasswordPayload.password(ByteBuffer(bytes: [65, 66, 0])) == [65, 66])
        #expect(PasswordPayload.password(ByteBuffer(bytes: [0])) == [])
        for bytes: [UInt8] in [[], [65], [65, 0, 0], [65, 0, 66]] { #expect(PasswordPayload.password(ByteBuffer(bytes: bytes)) == nil) }
        // A slice's indices do not begin at 0.
        var buffer = ByteBuffer(bytes: [1, 2, 65, 0])
        buffer.moveReaderIndex(forwardBy: 2)
        #expect(PasswordPayload.password(buffer) == [65])
    }

    @Test func `SASL's first response is read as a whole or not at all`() throws {
        var buffer = ByteBuffer()
        PasswordPayload.writeSASLInitial(mechanism: .sha256, [1, 2, 3], to: &buffer)
        #expect(buffer.readInteger(as: UInt8.self) == UInt8(ascii: "p"))
        #expect(buffer.readInteger(as: UInt32.self).map(Int.init) == buffer.readableBytes + 4)
        let read = try #require(PasswordPayload.saslInitial(buffer))
        #expect(read.mechanism == "SCRAM-SHA-256")
        #expect(read.response == [1, 2, 3])
        for end in 0..<buffer.readableBytes {
            #expect(PasswordPayload.saslInitial(try #require(buffer.getSlice(at: buffer.readerIndex, length: end))) == nil)
        }
        let without: [UInt8] = [65, 0, 0xFF, 0xFF, 0xFF, 0xFF]
        #expect(try #require(PasswordPayload.saslInitial(ByteBuffer(bytes: without))).response == nil)
        #expect(PasswordPayload.saslInitial(ByteBuffer(bytes: without + [1])) == nil)
        #expect(PasswordPayload.saslInitial(ByteBuffer(bytes: [65, 0, 0xFF, 0xFF, 0xFF, 0xFE])) == nil)
        #expect(PasswordPayload.saslInitial(ByteBuffer(bytes: [65, 0, 0x7F, 0xFF, 0xFF, 0xFF, 1])) == nil)
    }
}
