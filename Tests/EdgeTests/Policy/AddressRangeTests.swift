import Testing

@testable import Edge

@Suite struct AddressRangeTests {
    @Test(arguments: [
        ("0.0.0.0", UInt64(0), UInt64(0xFFFF_0000_0000)), ("192.0.2.1", 0, 0xFFFF_C000_0201), ("255.255.255.255", 0, 0xFFFF_FFFF_FFFF),
        ("::", 0, 0), ("::1", 0, 1), ("1::", 0x0001_0000_0000_0000, 0), ("2001:db8::8:800:200c:417a", 0x2001_0db8_0000_0000, 0x0008_0800_200C_417A),
        ("2001:DB8:0:0:8:800:200C:417A", 0x2001_0db8_0000_0000, 0x0008_0800_200C_417A), ("::ffff:129.144.52.38", 0, 0xFFFF_8190_3426),
        ("::13.1.68.3", 0, 0x0D01_4403), ("1:2:3:4:5:6:7:8", 0x0001_0002_0003_0004, 0x0005_0006_0007_0008),
        ("1:2:3:4:5:6:7::", 0x0001_0002_0003_0004, 0x0005_0006_0007_0000),
    ])
    func `an address is read as RFC 4291 §2·2 writes it`(text: String, high: UInt64, low: UInt64) throws {
        let address = try #require(IPAddress(text))
        #expect(address.high == high && address.low == low)
    }

    @Test(arguments: [
        "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.", ".1.2.3", "1..2.3", "1.2.3.4 ", "a.b.c.d", "1.2.3.-4", ":", ":::",
        "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", "g::", "::1%eth0", "[::1]", "1:2:3:4:5:6:7:8::", "1:", ":1", "::1:",
        "1.2.3.4::", "::1.2.3", "1:2:3:4:5:6:7:1.2.3.4",
    ])
    func `what is no address is none`(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.255.255", true), ("10.0.0.0/8", "11.0.0.0", false), ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false), ("0.0.0.0/0", "203.0.113.9", true), ("0.0.0.0/0", "2001:db8::1", false),
        ("::/0", "2001:db8::1", true), ("::/0", "192.0.2.1", true), ("2001:db8::/33", "2001:db8:7fff::1", true),
        ("2001:db8::/33", "2001:db8:8000::1", false), ("fe80::/64", "fe80::1:2:3:4", true), ("fe80::/65", "fe80::8000:0:0:1", false),
        ("10.0.0.0/8", "::ffff:10.1.2.3", true), ("192.0.2.128/25", "192.0.2.127", false), ("192.0.2.128/25", "192.0.2.128", true),
    ])
    func `a network has the addresses with its prefix`(range: String, address: String, isIn: Bool) throws {
        #expect(try #require(AddressRange(range)).contains(IPAddress(address)) == isIn)
    }

    @Test func `a peer on a Unix socket is in no network, and unix is for it alone`() throws {
        #expect(try #require(AddressRange("unix")).contains(nil))
        #expect(!(try #require(AddressRange("::/0")).contains(nil)))
        #expect(!(try #require(AddressRange("unix")).contains(IPAddress("::1"))))
    }

    @Test(arguments: ["10.0.0.0/33", "10.0.0.1/8", "::/129", "2001:db8::1/64", "10.0.0.0/", "10.0.0.0/a", "10.0.0.0/-1", "/8", "unix/1", "all"])
    func `what is no network is refused`(text: String) {
        #expect(AddressRange(text) == nil)
    }
}
