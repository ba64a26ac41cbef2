import NIOCore
import PostgresWire
import Testing

@Suite struct ServerLoginTests {
    private static func request(_ request: AuthenticationRequest) -> ByteBuffer {
        var buffer = ByteBuffer()
        request.write(to: &buffer)
        return buffer
    }

    private static func login(password: String? = "secret") -> ServerLogin {
        ServerLogin(user: "app", password: password.map { Array($0.utf8) }, nonce: "nonce")
    }

    private static var rest: ByteBuffer {
        var buffer = ByteBuffer()
        BackendMessage.parameterStatus("TimeZone", "UTC", to: &buffer)
        BackendMessage.startupEnded(processID: 7, secret: 0x0102_0304, to: &buffer)
        return buffer
    }

    private static func received(_ login: inout ServerLogin, _ bytes: ByteBuffer) -> ServerLogin.Action {
        var bytes = bytes
        return login.received(&bytes)
    }

    @Test func `trust: let in, told, ready, whatever the pieces`() {
        var whole = Self.request(.ok)
        whole.writeImmutableBuffer(Self.rest)
        for piece in 1...whole.readableBytes {
            var login = Self.login(password: nil)
            var (source, pending) = (whole, ByteBuffer())
            var action = ServerLogin.Action.wait
            while let part = source.readSlice(length: min(piece, source.readableBytes)), part.readableBytes > 0 {
                #expect(action == .wait)
                pending.writeImmutableBuffer(part)
                action = login.received(&pending)
            }
            #expect(action == .ready(.init(parameters: ["TimeZone": "UTC"], processID: 7, secret: [1, 2, 3, 4])))
        }
    }

    @Test func `passwords are sent as they are asked for`() {
        var (clear, md5) = (Self.login(), Self.login())
        var expected = ByteBuffer()
        PasswordPayload.writePassword(Array("secret".utf8), to: &expected)
        #expect(Self.received(&clear, Self.request(.cleartextPassword)) == .send(expected))
        expected.clear()
        PasswordPayload.writePassword(
            Array(MD5Password(password: Array("secret".utf8), user: "app").response(salt: [1, 2, 3, 4]).utf8), to: &expected)
        #expect(Self.received(&md5, Self.request(.md5Password(salt: [1, 2, 3, 4]))) == .send(expected))
    }

    @Test(arguments: [AuthenticationRequest.cleartextPassword, .md5Password(salt: [1, 2, 3, 4]), .sasl(mechanisms: ["SCRAM-SHA-256"])])
    func `without a password there is no login that needs one`(request: AuthenticationRequest) {
        var login = Self.login(password: nil)
        #expect(Self.received(&login, Self.request(request)) == .failed(.passwordMissing))
    }

    @Test func `a server that lets in before it has proved itself is not trusted`() {
        var login = Self.login()
        guard case .send = Self.received(&login, Self.request(.sasl(mechanisms: ["SCRAM-SHA-256"]))) else { return #expect(Bool(false)) }
        #expect(Self.received(&login, Self.request(.ok)) == .failed(.scram))
    }

    @Test func `the server's own refusal is passed on`() {
        var login = Self.login()
        let error = ErrorFields(severity: "FATAL", sqlState: "3D000", message: "database \"x\" does not exist")
        var buffer = ByteBuffer()
        error.write(to: &buffer)
        #expect(Self.received(&login, buffer) == .refused(error))
    }

    @Test func `messages out of place, too long or malformed end the login`() {
        var tooLong = ByteBuffer()
        tooLong.writeInteger(UInt8(ascii: "S"))
        tooLong.writeInteger(UInt32(ServerLogin.messageBytesMax))
        var malformed = ByteBuffer()
        malformed.writeInteger(UInt8(ascii: "R"))
        malformed.writeInteger(UInt32(3))
        for bytes in [Self.rest, tooLong, malformed, Self.request(.saslFinal([]))] {
            var login = Self.login()
            #expect(Self.received(&login, bytes) == .failed(.protocolViolation))
        }
    }
}
