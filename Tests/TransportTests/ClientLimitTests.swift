import NIOCore
import Testing
import Transport

@Suite struct ClientLimitTests {
    private func client(_ address: String) throws -> ClientLimit.Client {
        try #require(ClientLimit.Client(try SocketAddress(ipAddress: address, port: 1)))
    }

    @Test func `a client has as many connections as it may, and not one more; others have their own`() throws {
        let limit = ClientLimit(max: 3)
        let (one, other) = (try client("192.0.2.1"), try client("192.0.2.2"))
        for _ in 0..<3 { #expect(limit.admit(one)) }
        #expect(!limit.admit(one) && limit.admit(other))
        limit.release(one)
        #expect(limit.admit(one) && !limit.admit(one))
    }

    @Test func `a client without connections takes no memory`() throws {
        let limit = ClientLimit(max: 1)
        for number in 0..<256 {
            let client = try client("192.0.2.\(number)")
            #expect(limit.admit(client) && !limit.admit(client))
            #expect(limit.clientCount == 1)
            limit.release(client)
            limit.release(client)
        }
        #expect(limit.clientCount == 0)
    }

    @Test func `an IPv6 client is its 64 bits, an IPv4 client its address, however it is written`() throws {
        #expect(try client("2001:db8::1") == client("2001:db8::ffff:ffff:ffff:ffff"))
        #expect(try client("2001:db8::1") != client("2001:db8:0:1::1"))
        #expect(try client("::ffff:192.0.2.1") == client("192.0.2.1"))
        #expect(try client("192.0.2.1") != client("192.0.2.2"))
        #expect(try client("::1") != client("0.0.0.1"))
    }

    @Test func `who comes over a Unix socket is nobody's stranger`() throws {
        #expect(ClientLimit.Client(try SocketAddress(unixDomainSocketPath: "/a")) == nil && ClientLimit.Client(nil) == nil)
    }
}
