import NIOCore
import PostgresWire
import Testing

@testable import Pooler

@Suite struct ClientStartupTests {
    private static func startup(_ change: (inout StartupMessage) -> Void = { _ in }) -> ByteBuffer {
        var message = StartupMessage(user: "app", database: "shop")
        change(&message)
        var buffer = ByteBuffer()
        message.write(to: &buffer)
        return buffer
    }

    private static var tlsRequest: ByteBuffer {
        var buffer = ByteBuffer()
        StartupPacket.writeTLSRequest(to: &buffer)
        return buffer
    }

    private static func received(_ startup: inout ClientStartup, _ bytes: ByteBuffer) -> ClientStartup.Action {
        var bytes = bytes
        return startup.received(&bytes)
    }

    @Test func `options are taken apart, and an explicit parameter is kept once`() {
        var startup = ClientStartup()
        let action = Self.received(
            &startup, Self.startup { $0.parameters = [.init("options", "-c search_path=a -c geqo=off"), .init("search_path", "b")] })
        guard case .login(let login) = action else { return #expect(Bool(false), "\(action)") }
        #expect(login.parameters == [.init("geqo", "off"), .init("search_path", "b")])
        #expect(!login.needsNegotiation)
    }

    @Test func `a packet that comes again is known, and no other`() {
        var startup = ClientStartup()
        let packet = Self.startup { $0.parameters = [.init("search_path", "a")] }
        guard case .login(let login) = Self.received(&startup, packet) else { return #expect(Bool(false)) }
        var recent = ClientStartup.RecentLogin()
        func taken(_ bytes: ByteBuffer) -> (login: ClientStartup.Login?, left: Int) {
            var bytes = bytes
            let login = recent.take(from: &bytes)
            return (login, bytes.readableBytes)
        }
        #expect(taken(packet) == (nil, packet.readableBytes))
        recent.keep(login, of: packet)
        #expect(taken(packet) == (login, 0))
        let others = [
            Self.startup { $0.parameters = [.init("search_path", "b")] }, packet.getSlice(at: 0, length: packet.readableBytes - 1) ?? ByteBuffer(),
            ByteBuffer(bytes: Array(packet.readableBytesView) + [0]), Self.tlsRequest, ByteBuffer(),
        ]
        for other in others { #expect(taken(other) == (nil, other.readableBytes)) }
    }

    @Test(arguments: [("true", true), ("database", false)]) func `of a replication connection the server reads the parameters`(value: String, isPhysical: Bool) {
        var startup = ClientStartup()
        let action = Self.received(
            &startup, Self.startup {
                $0.replication = value
                $0.parameters = [.init("options", "-c geqo=off -x"), .init("application_name", "standby")]
            })
        guard case .login(let login) = action else { return #expect(Bool(false), "\(action)") }
        #expect(login.startup.isReplication && login.startup.isPhysicalReplication == isPhysical)
        #expect(login.parameters == [.init("options", "-c geqo=off -x"), .init("application_name", "standby")])
    }

    @Test func `who replicates a whole server names no database, and comes to the first that is offered`() {
        var configuration = PoolerConfiguration()
        configuration.databases = ["shop": .init(hosts: []), "archive": .init(hosts: [])]
        func offered(_ database: String, _ replication: String?) -> String? {
            configuration.offered(StartupMessage(user: "app", database: database, replication: replication))?.name
        }
        #expect(offered("shop", nil) == "shop" && offered("replication", nil) == nil)
        #expect(offered("replication", "true") == "archive" && offered("shop", "true") == "shop")
        #expect(offered("replication", "database") == nil && offered("shop", "database") == "shop")
        configuration.databases = ["*": .init(hosts: [])]
        #expect(offered("replication", "true") == "replication")
    }

    @Test func `TLS is declined once; asking again, or sending more with the request, is refused`() {
        var startup = ClientStartup()
        #expect(Self.received(&startup, Self.tlsRequest) == .decline)
        guard case .refuse = Self.received(&startup, Self.tlsRequest) else { return #expect(Bool(false)) }
        var another = ClientStartup()
        var smuggled = Self.tlsRequest
        smuggled.writeImmutableBuffer(Self.startup())
        guard case .refuse = Self.received(&another, smuggled) else { return #expect(Bool(false)) }
    }

    @Test func `a request to cancel names its key`() {
        var startup = ClientStartup()
        var buffer = ByteBuffer()
        StartupPacket.writeCancel(processID: 7, secret: [1, 2, 3, 4], to: &buffer)
        #expect(Self.received(&startup, buffer) == .cancel(.init(processID: 7, secret: 0x0102_0304)))
    }

    @Test func `a client that asks for more of the protocol is told what there is`() {
        var startup = ClientStartup()
        var buffer = ByteBuffer()
        buffer.writeInteger(UInt32(0))
        buffer.writeInteger(UInt32(3 << 16 | 2))
        buffer.writeString("user\0app\0_pq_.new\01\0\0")
        buffer.setInteger(UInt32(buffer.readableBytes), at: 0)
        guard case .login(let login) = startup.received(&buffer) else { return #expect(Bool(false)) }
        #expect(login.needsNegotiation)
        #expect(login.startup.protocolOptions == ["_pq_.new"])
    }

    @Test func `an address behind the application's name is not what is cut`() {
        var parameters: [StartupMessage.Parameter] = []
        ClientStartup.Login.addClientAddress("192.0.2.1:5", to: &parameters)
        #expect(parameters == [.init("application_name", "app - 192.0.2.1:5")])
        parameters = [.init("Application_Name", String(repeating: "ä", count: 40))]
        ClientStartup.Login.addClientAddress("192.0.2.1:5", to: &parameters)
        #expect(parameters.count == 1)
        #expect(parameters[0].value == String(repeating: "ä", count: 24) + " - 192.0.2.1:5")
    }
}
