import NIOCore
import PostgresWire
import Testing

@Suite struct StartupPacketTests {
    private static let startup = StartupMessage(
        user: "app", database: "shop", parameters: [.init("application_name", "cart"), .init("options", "-c search_path=x")])

    private static func packet(_ code: UInt32, _ payload: [UInt8] = [], length: UInt32? = nil) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeInteger(length ?? UInt32(8 + payload.count))
        buffer.writeInteger(code)
        buffer.writeBytes(payload)
        return buffer
    }

    private static func read(_ buffer: ByteBuffer) -> StartupPacket.Found {
        var buffer = buffer
        return StartupPacket.read(from: &buffer)
    }

    @Test func `a startup message survives writing and reading, split anywhere`() {
        var whole = ByteBuffer()
        Self.startup.write(to: &whole)
        for count in 0..<whole.readableBytes {
            #expect(Self.read(ByteBuffer(bytes: whole.readableBytesView.prefix(count))) == .incomplete)
        }
        whole.writeString("next")
        #expect(StartupPacket.read(from: &whole) == .packet(.startup(Self.startup)))
        #expect(whole.readString(length: whole.readableBytes) == "next")
    }

    @Test func `requests for TLS, Kerberos and cancelling are told apart`() {
        #expect(Self.read(Self.packet(80_877_103)) == .packet(.tlsRequest))
        #expect(Self.read(Self.packet(80_877_104)) == .packet(.gssRequest))
        #expect(
            Self.read(Self.packet(80_877_102, [0, 0, 0, 7, 1, 2, 3, 4])) == .packet(.cancel(processID: 7, secret: [1, 2, 3, 4])))
        var written = ByteBuffer()
        StartupPacket.writeCancel(processID: 7, secret: [1, 2, 3, 4], to: &written)
        #expect(Self.read(written) == .packet(.cancel(processID: 7, secret: [1, 2, 3, 4])))
    }

    @Test(arguments: [
        (packet(3 << 16, length: 7), .lengthOutOfBounds), (packet(3 << 16, length: 0), .lengthOutOfBounds),
        (packet(3 << 16, length: 10_001), .lengthOutOfBounds), (packet(3 << 16, length: .max), .lengthOutOfBounds),
        (packet(2 << 16), .versionUnsupported), (packet(4 << 16), .versionUnsupported),
        (packet(3 << 16), .malformed), (packet(3 << 16, Array("user\0a".utf8)), .malformed),
        (packet(3 << 16, Array("user\0a\0".utf8)), .malformed), (packet(3 << 16, Array("user\0a\0\0x".utf8)), .malformed),
        (packet(3 << 16, [0]), .userMissing), (packet(80_877_103, [1]), .malformed), (packet(80_877_102, [0, 0, 0, 7]), .malformed),
        (packet(80_877_102, Array(repeating: 1, count: 4 + 257)), .malformed),
    ] as [(ByteBuffer, StartupPacket.Refusal)])
    func `what does not follow the format is refused by name`(packet: ByteBuffer, refusal: StartupPacket.Refusal) {
        #expect(Self.read(packet) == .refused(refusal))
    }

    @Test func `without a database it is the user's own; a repeated name counts once, the last`() {
        let found = Self.read(
            Self.packet(3 << 16 | 2, Array("user\0app\0search_path\0a\0_pq_.x\01\0search_path\0b\0replication\0off\0\0".utf8)))
        guard case .packet(.startup(let startup)) = found else { return #expect(Bool(false), "\(found)") }
        #expect(startup.database == "app")
        #expect(startup.minor == 2)
        #expect(startup.parameters == [.init("search_path", "b")])
        #expect(startup.protocolOptions == ["_pq_.x"])
        #expect(!startup.isReplication)
    }
}
