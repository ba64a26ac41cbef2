import HTTPSemantics
import NIOCore
import Testing

@testable import Edge

@Suite struct ForwardedPolicyTests {
    private func client(
        _ fields: [String], peer: String? = "10.0.0.9", trusted: [String] = ["10.0.0.0/8"], field: ForwardingConfiguration.Field = .xForwardedFor
    ) throws -> ClientIdentity {
        var configuration = ForwardingConfiguration()
        configuration.trusted = trusted.compactMap { AddressRange($0) }
        configuration.field = field
        return ForwardedPolicy.client(try RequestHead.get("/", fields).fields, peer: ClientIdentity(peer: peer), configuration)
    }

    private func text(_ client: ClientIdentity) -> String {
        client.chain.map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")
    }

    @Test(arguments: [
        // What the proxies wrote, and the chain that is believed, client first.
        (["X-Forwarded-For: 203.0.113.1"], "203.0.113.1 10.0.0.9"),
        (["X-Forwarded-For: 6.6.6.6, 203.0.113.1"], "203.0.113.1 10.0.0.9"),
        (["X-Forwarded-For: 203.0.113.1, 10.0.0.8"], "203.0.113.1 10.0.0.8 10.0.0.9"),
        (["X-Forwarded-For: 6.6.6.6, 203.0.113.1", "X-Forwarded-For: 10.0.0.8"], "203.0.113.1 10.0.0.8 10.0.0.9"),
        (["X-Forwarded-For: 10.0.0.7,10.0.0.8"], "10.0.0.7 10.0.0.8 10.0.0.9"),
        (["X-Forwarded-For: 203.0.113.1, nonsense"], "10.0.0.9"), (["X-Forwarded-For: 203.0.113.1, nonsense, 10.0.0.8"], "10.0.0.8 10.0.0.9"),
        (["X-Forwarded-For: 203.0.113.1:4711"], "203.0.113.1 10.0.0.9"), (["X-Forwarded-For: [2001:db8::1]:4711"], "2001:db8::1 10.0.0.9"),
        (["X-Forwarded-For: 2001:db8::1"], "2001:db8::1 10.0.0.9"), (["X-Forwarded-For: ,, "], "10.0.0.9"), ([], "10.0.0.9"),
        (["Forwarded: for=203.0.113.1"], "10.0.0.9"),
    ] as [([String], String)])
    func `the list is believed from its end, as long as whoever wrote is trusted`(fields: [String], chain: String) throws {
        #expect(text(try client(fields)) == chain)
    }

    @Test func `nobody is believed who is not trusted`() throws {
        #expect(text(try client(["X-Forwarded-For: 203.0.113.1"], peer: "192.0.2.1")) == "192.0.2.1")
        #expect(text(try client(["X-Forwarded-For: 203.0.113.1"], trusted: [])) == "10.0.0.9")
        #expect(text(try client(["X-Forwarded-For: 203.0.113.1"], peer: nil)) == "unix:")
        #expect(text(try client(["X-Forwarded-For: 203.0.113.1"], peer: nil, trusted: ["unix"])) == "203.0.113.1 unix:")
    }

    @Test(arguments: ForwardingConfiguration.Field.allCases)
    func `nobody is believed behind a PROXY header that names nobody`(field: ForwardingConfiguration.Field) throws {
        var configuration = ForwardingConfiguration()
        configuration.trusted = ["10.0.0.0/8", "unix"].compactMap { AddressRange($0) }
        configuration.field = field
        let fields = ["X-Forwarded-For: 203.0.113.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: a.example", "Forwarded: for=203.0.113.1;proto=https"]
        let head = try RequestHead.get("/", fields)
        for address in ["10.0.0.9", nil] {
            var peer = ClientIdentity(peer: address)
            peer.isRelayed = true
            #expect(ForwardedPolicy.client(head.fields, peer: peer, configuration).chain.count == 2)
            peer.isUnnamed = true
            let client = ForwardedPolicy.client(head.fields, peer: peer, configuration)
            #expect(client.address == peer.address && client.chain.count == 1 && !client.isSecure && client.host == nil)
        }
    }

    @Test(arguments: [
        // RFC 7239 §4.
        ("for=\"_gazonk\"", "10.0.0.9"), ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17 10.0.0.9"),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60 10.0.0.9"), ("for=192.0.2.43, for=10.0.0.8", "192.0.2.43 10.0.0.8 10.0.0.9"),
        // RFC 7239 §7.1, and strings with commas and quotes in them.
        ("for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=unknown", "10.0.0.9"), ("for=192.0.2.43;x=\"a,b\\\"c;d\"", "192.0.2.43 10.0.0.9"),
        ("for=192.0.2.43;x=\"unended, for=6.6.6.6", "192.0.2.43 10.0.0.9"), ("proto=https", "10.0.0.9"), (";;=,=;", "10.0.0.9"), ("", "10.0.0.9"),
    ])
    func `Forwarded is read as RFC 7239 writes it`(value: String, chain: String) throws {
        #expect(text(try client(["Forwarded: \(value)"], field: .forwarded)) == chain)
    }

    @Test func `scheme and host are those that the client used`() throws {
        let plain = try client(["X-Forwarded-For: 203.0.113.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example"])
        #expect(plain.isSecure && plain.host == Array("shop.example".utf8))
        let standard = try client(["Forwarded: for=203.0.113.1;proto=https;host=\"shop.example:8443\", for=10.0.0.8;proto=http"], field: .forwarded)
        #expect(standard.isSecure && standard.host == Array("shop.example:8443".utf8))
        let odd = try client(["X-Forwarded-For: 203.0.113.1", "X-Forwarded-Host: a b\"c"])
        #expect(!odd.isSecure && odd.host == nil)
    }

    @Test(arguments: [ForwardedPolicy.hopsMax - 1, ForwardedPolicy.hopsMax])
    func `a chain has an end`(count: Int) throws {
        let list = (1...count).map { "10.0.1.\($0)" }.joined(separator: ", ")
        #expect(try client(["X-Forwarded-For: \(list)"]).chain.count == ForwardedPolicy.hopsMax)
    }

    @Test func `the application is told all of it, in both ways`() throws {
        var output = ByteBuffer()
        let client = try client(["X-Forwarded-For: 2001:db8::1", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example"])
        ForwardedFields.write(client, authority: Array("inner".utf8).span, into: &output)
        #expect(
            lines(output) == [
                "X-Forwarded-For: 2001:db8::1, 10.0.0.9", "X-Real-IP: 2001:db8::1", "X-Forwarded-Proto: https",
                "X-Forwarded-Host: shop.example",
                "Forwarded: for=\"[2001:db8::1]\";proto=https;host=\"shop.example\", for=10.0.0.9",
            ])
        output.clear()
        ForwardedFields.write(ClientIdentity(peer: nil), authority: Array("a:80".utf8).span, into: &output)
        #expect(lines(output).last == "Forwarded: for=unknown;proto=http;host=\"a:80\"")
    }
}
