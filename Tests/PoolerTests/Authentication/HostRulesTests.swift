import Testing

@testable import Pooler

@Suite struct HostRulesTests {
    private func client(
        _ user: String = "app", _ database: String = "shop", from address: String? = "10.1.2.3", tls: Bool = false, replication: Bool = false
    ) throws -> HostRules.Client {
        HostRules.Client(
            user: user, database: database, isReplication: replication, address: try address.map { try #require(IPAddress($0)) }, hasTLS: tls)
    }

    /// The example of PostgreSQL's documentation, without what is not understood.
    static let example = """
        # TYPE  DATABASE        USER            ADDRESS                 METHOD
        local   all             postgres                                peer
        local   sameuser        all                                     md5   # their own
        hostssl all             all             ::1/128                 cert
        host    postgres        all             192.168.93.0/24         trust
        host    shop,"all"      app, "two words" 10.0.0.0  255.0.0.0    scram-sha-256
        host    replication     copier          all                     md5
        hostnossl all           all             192.168.54.1/32         reject
        host    all             all             192.168.0.0/16          password
        """

    @Test func `the first rule that fits decides`() throws {
        let rules = try HostRules(Self.example)
        #expect(rules.rules.count == 8)
        func line(_ client: HostRules.Client) -> Int? { rules.first(for: client)?.line }
        #expect(line(try client("postgres", from: nil)) == 2)
        #expect(line(try client("shop", from: nil)) == 3)
        #expect(line(try client("app", from: nil)) == nil)
        #expect(line(try client(from: "::1", tls: true)) == 4)
        #expect(line(try client(from: "::1", tls: false)) == nil)
        #expect(line(try client("x", "postgres", from: "192.168.93.255")) == 5)
        #expect(line(try client("x", "postgres", from: "192.168.94.0")) == 9)
        #expect(line(try client()) == 6)
        #expect(line(try client("two words", "all")) == 6)
        // In quotes `all` is a name like another.
        #expect(line(try client("app", "other")) == nil)
        #expect(line(try client("copier", "x", replication: true)) == 7)
        // `all` does not mean replication.
        #expect(line(try client("app", "shop", from: "192.168.1.1", replication: true)) == nil)
        #expect(line(try client(from: "192.168.54.1")) == 8)
        #expect(line(try client(from: "192.168.54.1", tls: true)) == 9)
        #expect(line(try client(from: "192.169.0.0")) == nil)
    }

    @Test func `lines may end with CR LF`() throws {
        #expect(try HostRules("host all all all trust\r\nlocal all all md5\r\n").rules.map(\.line) == [1, 2])
    }

    @Test func `IPv4 in IPv6 is IPv4`() throws {
        let rules = try HostRules("host all all 10.0.0.0/8 trust")
        #expect(rules.first(for: try client(from: "::ffff:10.9.9.9")) != nil)
        #expect(rules.first(for: try client(from: "::ffff:11.9.9.9")) == nil)
        #expect(rules.first(for: try client(from: "fe80::1")) == nil)
    }

    @Test(arguments: [
        "host", "host all", "host all all", "host all all all", "telnet all all all trust", "host all all 10.0.0.0/33 trust",
        "host all all 10.0.0.0/-1 trust", "host all all 10.0.0.0 trust", "host all all 10.0.0.0 255.0.255.0 trust", "host all all ::1 255.0.0.0 trust",
        "host all all example.com trust", "host all all samenet trust", "host all +staff all trust", "host @file all all trust",
        "host all all all trust map=x", "host all all all ldap", "host all all all peer", "host all all all cert", "local all all cert",
        "host \"all all all trust", "host samerole all all trust", "host all all all trust,md5",
    ])
    func `what is not understood is refused`(text: String) {
        #expect {
            _ = try HostRules("\n" + text)
        } throws: {
            ($0 as? HostRules.Problem)?.line == 2
        }
    }

    @Test(arguments: AuthenticationMethod.allCases)
    func `every method can be written`(method: AuthenticationMethod) throws {
        let rule = method == .peer ? "local all all peer" : "hostssl all all all \(method.rawValue)"
        #expect(try HostRules(rule).rules.map(\.method) == [method])
    }

    @Test(arguments: [0, 1, 7, 8, 9, 31, 32])
    func `a network ends where its mask says`(length: Int) throws {
        let zero = try #require(IPAddress("0.0.0.0"))
        let network = try #require(IPNetwork(address: zero, prefixLength: length))
        #expect(network.contains(zero))
        // The highest bit of those that do not count, and the lowest of those that do.
        func address(bit: Int) throws -> IPAddress {
            let value = UInt32(1) << UInt32(31 - bit)
            return try #require(IPAddress("\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)"))
        }
        if length < 32 { #expect(network.contains(try address(bit: length))) }
        if length > 0 { #expect(!network.contains(try address(bit: length - 1))) }
    }
}
