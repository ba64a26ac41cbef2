import NIOCore
import Testing

@testable import Pooler

/// Examples and limits of haproxy.org's "The PROXY protocol".
@Suite struct ProxyHeaderTests {
    private func read(_ bytes: [UInt8]) -> (ProxyHeader.Result, rest: Int) {
        var input = ByteBuffer(bytes: bytes)
        let result = ProxyHeader.read(from: &input)
        return (result, input.readableBytes)
    }

    private func client(_ address: String, _ port: Int) throws -> ProxyHeader.Result {
        .client(.init(address: try #require(IPAddress(address)), port: port))
    }

    @Test(arguments: [
        ("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", "192.0.2.1", 56324), ("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", "2001:db8::1", 0),
    ])
    func `a line names the client`(line: String, address: String, port: Int) throws {
        let (result, rest) = read(Array((line + "next").utf8))
        #expect(try result == client(address, port))
        #expect(rest == 4)
        for count in 0..<line.utf8.count { #expect(read(Array(line.utf8.prefix(count))).0 == .incomplete) }
    }

    @Test(arguments: ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff:f::f ffff:f::f 65535 65535\r\n"]) func `an unknown client is the balancer itself`(line: String) {
        #expect(read(Array(line.utf8)).0 == .itself)
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\n", "PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 443\r\n", "PROXY TCP4 ::1 ::1 1 1\r\n", "PROXY TCP6 192.0.2.1 192.0.2.2 1 1\r\n", "PROXY TCP4 x y 1 1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 -1 443\r\n", "PROXY \r\n",
        "PROXY " + String(repeating: "x", count: 101),
    ])
    func `what is no header is malformed`(line: String) {
        #expect(read(Array(line.utf8)).0 == .malformed)
    }

    private static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]

    @Test func `version 2 names the client, with what we do not read behind it`() throws {
        let four = Self.signature + [0x21, 0x11, 0, 15, 192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x34, 1, 187, 4, 0, 0]
        #expect(try read(four + [1]).0 == client("192.0.2.1", 0x1234))
        #expect(read(four + [1]).rest == 1)
        for count in 0..<four.count { #expect(read(Array(four.prefix(count))).0 == .incomplete) }
        let six = Self.signature + [0x21, 0x21, 0, 36, 0x20, 0x01, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [1]
            + [UInt8](repeating: 0, count: 16) + [0, 80, 0, 81]
        #expect(try read(six).0 == client("2001:db8::1", 80))
        #expect(read(Self.signature + [0x20, 0, 0, 0]).0 == .itself)
        #expect(read(Self.signature + [0x21, 0x31, 0, 0]).0 == .itself)
    }

    @Test func `version 2 has limits`() {
        #expect(read(Self.signature + [0x31, 0x11, 0, 12]).0 == .malformed)
        #expect(read(Self.signature + [0x22, 0x11, 0, 12]).0 == .malformed)
        #expect(read(Self.signature + [0x21, 0x11, 0, 2, 1, 2]).0 == .malformed)
        #expect(read(Self.signature + [0x21, 0x11, 0x10, 0x00]).0 == .incomplete)
        #expect(read(Self.signature + [0x21, 0x11, 0x10, 0x01]).0 == .malformed)
    }

    @Test func `an address behind the application's name is not what is cut`() {
        var login = ClientStartup.Login(startup: .init(user: "a", database: "b"), parameters: [], needsNegotiation: false)
        login.addClientAddress("192.0.2.1:5")
        #expect(login.parameters == [.init("application_name", "app - 192.0.2.1:5")])
        login.parameters = [.init("Application_Name", String(repeating: "ä", count: 40))]
        login.addClientAddress("192.0.2.1:5")
        #expect(login.parameters.count == 1)
        #expect(login.parameters[0].value == String(repeating: "ä", count: 24) + " - 192.0.2.1:5")
    }
}
