import NIOCore
import Testing

import Transport

/// Examples and limits of haproxy.org's "The PROXY protocol".
@Suite struct ProxyHeaderTests {
    private func read(_ bytes: [UInt8]) -> (ProxyHeader.Result, rest: Int) {
        var input = ByteBuffer(bytes: bytes)
        let result = ProxyHeader.read(from: &input)
        return (result, input.readableBytes)
    }

    private func client(_ address: String, _ port: Int, _ destination: String, _ destinationPort: Int) throws -> ProxyHeader.Result {
        .client(try named(address, port, destination, destinationPort))
    }

    private func named(_ address: String, _ port: Int, _ destination: String, _ destinationPort: Int) throws -> ProxyHeader.Client {
        .init(address: try SocketAddress(ipAddress: address, port: port), destination: try SocketAddress(ipAddress: destination, port: destinationPort))
    }

    @Test(arguments: [
        ("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", "192.0.2.1", 56324, "192.0.2.2", 443),
        ("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", "2001:db8::1", 0, "::1", 65535),
    ])
    func `a line names the client`(line: String, address: String, port: Int, destination: String, destinationPort: Int) throws {
        let (result, rest) = read(Array((line + "next").utf8))
        #expect(try result == client(address, port, destination, destinationPort))
        #expect(rest == 4)
        for count in 0..<line.utf8.count { #expect(read(Array(line.utf8.prefix(count))).0 == .incomplete) }
    }

    @Test(arguments: ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff:f::f ffff:f::f 65535 65535\r\n"]) func `a client may be unknown`(line: String) {
        #expect(read(Array(line.utf8)).0 == .unknown)
    }

    private static let malformed: [(String, ProxyHeader.Malformation)] = [
        ("GET / HTTP/1.1\r\n", ProxyHeader.Malformation.missing), ("PROXYTCP4 192.0.2.1 192.0.2.2 56324 443\r\n", .missing), ("\r\n\r\nGET", .missing),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\n", .syntax), ("PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n", .syntax),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 443\r\n", .syntax), ("PROXY TCP4 ::1 ::1 1 1\r\n", .syntax), ("PROXY TCP6 192.0.2.1 192.0.2.2 1 1\r\n", .syntax),
        ("PROXY TCP4 x y 1 1\r\n", .syntax), ("PROXY TCP4 192.0.2.1 192.0.2.2 -1 443\r\n", .syntax), ("PROXY \r\n", .syntax),
        // A zone, as libFuzzer found it: it was read, and not written again.
        ("PROXY TCP6 2000:db8::1 ::%1 0 65535\r\n", .syntax), ("PROXY TCP6 fe80::1%lo ::1 1 443\r\n", .syntax),
        ("PROXY TCP4 192.0.2.1\0 192.0.2.2 1 443\r\n", .syntax), ("PROXY TCP4  192.0.2.1 192.0.2.2 1 443\r\n", .syntax),
        ("PROXY \(String(repeating: "x", count: 101))", .oversize), ("PROXY \(String(repeating: "x", count: 100))\r\n", .oversize),
    ]

    @Test(arguments: malformed)
    func `what is no header is malformed`(line: String, malformation: ProxyHeader.Malformation) {
        #expect(read(Array(line.utf8)).0 == .malformed(malformation))
    }

    @Test func `a line is no longer than 107 bytes`() {
        #expect(read(Array("PROXY UNKNOWN \(String(repeating: "x", count: 91))\r\n".utf8)).0 == .unknown)
        #expect(read(Array("PROXY UNKNOWN \(String(repeating: "x", count: 92))\r\n".utf8)).0 == .malformed(.oversize))
    }

    private static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]

    @Test func `version 2 names the client, with what we do not read behind it`() throws {
        let four = Self.signature + [0x21, 0x11, 0, 15, 192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x34, 1, 187, 4, 0, 0]
        #expect(try read(four + [1]).0 == client("192.0.2.1", 0x1234, "192.0.2.2", 443))
        #expect(read(four + [1]).rest == 1)
        for count in 0..<four.count { #expect(read(Array(four.prefix(count))).0 == .incomplete) }
        let six = Self.signature + [0x21, 0x21, 0, 36, 0x20, 0x01, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [1]
            + [UInt8](repeating: 0, count: 16) + [0, 80, 0, 81]
        #expect(try read(six).0 == client("2001:db8::1", 80, "::", 81))
        #expect(read(Self.signature + [0x20, 0, 0, 0]).0 == .itself)
        // Unix sockets, datagrams, what is unspecified.
        for family in [0x00, 0x12, 0x31, 0xFF] as [UInt8] { #expect(read(Self.signature + [0x21, family, 0, 0]).0 == .unknown) }
        #expect(read(Self.signature + [0x21, 0x31, 0, 216] + [UInt8](repeating: 0, count: 216) + [9]).rest == 1)
    }

    @Test func `version 2 has limits`() {
        #expect(read(Self.signature + [0x31, 0x11, 0, 12]).0 == .malformed(.syntax))
        #expect(read(Self.signature + [0x22, 0x11, 0, 12]).0 == .malformed(.syntax))
        #expect(read(Self.signature + [0x21, 0x11, 0, 2, 1, 2]).0 == .malformed(.syntax))
        #expect(read(Self.signature + [0x21, 0x11, 0, 11] + [UInt8](repeating: 1, count: 11)).0 == .malformed(.syntax))
        #expect(read(Self.signature + [0x21, 0x21, 0, 35] + [UInt8](repeating: 1, count: 35)).0 == .malformed(.syntax))
        #expect(read(Self.signature + [0x21, 0x11, 0x10, 0x00]).0 == .incomplete)
        #expect(read(Self.signature + [0x21, 0x11, 0x10, 0x01]).0 == .malformed(.oversize))
    }

    @Test(arguments: ProxyHeader.Version.allCases) func `what is written is read as the same`(version: ProxyHeader.Version) throws {
        for client in [try named("192.0.2.1", 56324, "192.0.2.2", 443), try named("2001:db8::1", 1, "2001:db8::2", 65535)] {
            var output = ByteBuffer()
            ProxyHeader.write(version, for: client, into: &output)
            output.writeString("next")
            #expect(ProxyHeader.read(from: &output) == .client(client))
            #expect(output.readableBytes == 4)
        }
        var output = ByteBuffer()
        ProxyHeader.write(version, for: nil, into: &output)
        #expect(ProxyHeader.read(from: &output) == .unknown)
        ProxyHeader.write(version, for: .init(address: try SocketAddress(unixDomainSocketPath: "/a"), destination: try .init(ipAddress: "::1", port: 1)), into: &output)
        #expect(ProxyHeader.read(from: &output) == .unknown)
        ProxyHeader.writeItself(version, into: &output)
        #expect(ProxyHeader.read(from: &output) == (version == .v1 ? .unknown : .itself))
        #expect(output.readableBytes == 0)
    }

    @Test(arguments: ProxyHeader.Version.allCases) func `of two families both become IPv6`(version: ProxyHeader.Version) throws {
        var output = ByteBuffer()
        ProxyHeader.write(version, for: try named("192.0.2.1", 7, "::1", 8), into: &output)
        #expect(try ProxyHeader.read(from: &output) == client("::ffff:192.0.2.1", 7, "::1", 8))
    }

    @Test func `the line is as the specification writes it`() throws {
        var output = ByteBuffer()
        ProxyHeader.write(.v1, for: try named("192.168.0.1", 56324, "192.168.0.11", 443), into: &output)
        #expect(String(buffer: output) == "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n")
    }
}
