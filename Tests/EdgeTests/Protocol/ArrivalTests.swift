import Testing

@testable import Edge

@Suite struct ArrivalTests {
    @Test(arguments: [
        ("shop.example", 443, "https://shop.example/a"), ("shop.example:80", 443, "https://shop.example/a"),
        ("shop.example:8080", 8443, "https://shop.example:8443/a"), ("[2001:db8::1]", 443, "https://[2001:db8::1]/a"),
        ("[2001:db8::1]:80", 8443, "https://[2001:db8::1]:8443/a"),
    ])
    func `a client is sent to the same host on the port with TLS`(authority: String, port: Int, url: String) {
        #expect(Arrival.secureURL(authority: authority, target: "/a", port: port) == url)
    }

    @Test(arguments: [
        ("/.well-known/acme-challenge/a-B_9", true), ("/.well-known/acme-challenge/", true), ("/.well-known/acme-challenge/../x", false),
        ("/.well-known/acme-challenge/%2e%2e/x", false), ("/.well-known/acme-challenge", false), ("/a", false),
    ])
    func `a challenge is a token, and no way past the redirect`(target: String, isOne: Bool) {
        #expect(Arrival.isChallenge(target) == isOne)
    }

    @Test(arguments: [
        ("127.0.0.1", false), ("localhost", false), ("::1", false), ("0.0.0.0", true), ("192.0.2.1", true), ("::", true),
    ])
    func `clients of addresses that others reach are sent to HTTPS`(host: String, isSent: Bool) {
        var tls = EdgeTLSConfiguration()
        #expect(!tls.redirects(.tcp(host: host, port: 80)))
        tls.listen = [.tcp(host: host, port: 443)]
        #expect(tls.redirects(.tcp(host: host, port: 80)) == isSent)
        tls.redirect = .always
        #expect(tls.redirects(.tcp(host: host, port: 80)) && !tls.redirects(.unix(path: "/run/a")))
        tls.redirect = .never
        #expect(!tls.redirects(.tcp(host: host, port: 80)))
    }
}
