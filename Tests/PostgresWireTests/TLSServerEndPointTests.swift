import Testing

@testable import PostgresWire

@Suite struct TLSServerEndPointTests {
    /// Certificates in Base64, and the hashes of their bytes by sha256sum and its siblings.
    static let certificates: [(signature: String, certificate: String, hash: String?)] = [
        (
            "ECDSA with SHA-256",
            "MIIBbTCCAROgAwIBAgIUQd27cQerMSYGml7KqdvfDD1Sbf4wCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBaDAeFw0yNjExMjUxMzIxNDJaFw0zNjExMjIxMzIxNDJaMAwxCjAIBgNVBAMMAWgwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATZblfvq5xI+Scgx1nkhvc7YpOoBljUfaa/UjCDODQgv+Mwa8v1E0Ky5g/juE5MxwV62JPpxdnKgCXMhwe498XWo1MwUTAdBgNVHQ4EFgQUu0kvkBVePe6kf4N2rAO6Ie0p//YwHwYDVR0jBBgwFoAUu0kvkBVePe6kf4N2rAO6Ie0p//YwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAwxXM6bKnyOlSaNIl2hoOEv+pqaDIVxf3cv4YsAHEf7sCIF0/bJHoETA8s2IyMZ/P5sCTTrMfSadaLFDdYnV1Htsn",
            "c52ab8f18cbfe1c8ff6ff2454daf001fbb0bd33ae9945c159db9d0b46e2ec359"
        ),
        (
            "ECDSA with SHA-384",
            "MIIBbTCCAROgAwIBAgIUAuakFXIctt1tDfGSPxelZfmahoowCgYIKoZIzj0EAwMwDDEKMAgGA1UEAwwBaDAeFw0yNjExMjUxMzIxNDJaFw0zNjExMjIxMzIxNDJaMAwxCjAIBgNVBAMMAWgwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATZblfvq5xI+Scgx1nkhvc7YpOoBljUfaa/UjCDODQgv+Mwa8v1E0Ky5g/juE5MxwV62JPpxdnKgCXMhwe498XWo1MwUTAdBgNVHQ4EFgQUu0kvkBVePe6kf4N2rAO6Ie0p//YwHwYDVR0jBBgwFoAUu0kvkBVePe6kf4N2rAO6Ie0p//YwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAwNIADBFAiEAuszeIVT0pUHZ9LGic42JTQpM4Y0Tb7H+KSCAhNMh6NsCIESHVxnSIwF527A6MWQMV8LI4zobzdQ3jbFaVbuKUmVu",
            "8351b6d4e1bb4f66ce0b3920979397bf2683f8e6846d4809e8533daf3e8cc760fd3e7cfce6dd03aae72ed1dd7d262287"
        ),
        (
            "ECDSA with SHA-512",
            "MIIBbTCCAROgAwIBAgIUe4iUkvStfzTCHDS1IZVgMdx+D4IwCgYIKoZIzj0EAwQwDDEKMAgGA1UEAwwBaDAeFw0yNjExMjUxMzIxNDJaFw0zNjExMjIxMzIxNDJaMAwxCjAIBgNVBAMMAWgwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATZblfvq5xI+Scgx1nkhvc7YpOoBljUfaa/UjCDODQgv+Mwa8v1E0Ky5g/juE5MxwV62JPpxdnKgCXMhwe498XWo1MwUTAdBgNVHQ4EFgQUu0kvkBVePe6kf4N2rAO6Ie0p//YwHwYDVR0jBBgwFoAUu0kvkBVePe6kf4N2rAO6Ie0p//YwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDBANIADBFAiEA3aheCVv2WSgITQeUdtRyqHCp/wvgK4Nn0BUORcHuY+kCIDe4d4Ev9O0UILuoL+R55fMEJ/WSAEjS7QmKUUHl0cWb",
            "7557cc90f5851c369784046685de15db00059abf07c223e6a945f30fea88091b706283c133e45d9cd2d8d8df1e6509571ca18576c6b390c3c0f7da5d33f36126"
        ),
        (
            "Ed25519",
            "MIIBLDCB36ADAgECAhQs2qeAX+i2Y74pYjm+oOrm3/b/5jAFBgMrZXAwDDEKMAgGA1UEAwwBaDAeFw0yNjExMjUxMzIxNDJaFw0zNjExMjIxMzIxNDJaMAwxCjAIBgNVBAMMAWgwKjAFBgMrZXADIQAWCoQiWAg2Fgz04otcisdGiQaEl50VdaKRz6zB6DsjPaNTMFEwHQYDVR0OBBYEFF2eizIWvJhzEfTiFnRb/sp/wvc7MB8GA1UdIwQYMBaAFF2eizIWvJhzEfTiFnRb/sp/wvc7MA8GA1UdEwEB/wQFMAMBAf8wBQYDK2VwA0EAop/vPFgLtFY3h0sSiBQK1ZzXK0JTWxCKsqK9HPV6BVhwcNRog0av7fwFpfOvE/TgwRj4ZKpJXSUYHV5ecdT0AA==",
            nil
        ),
    ]

    @Test(arguments: certificates)
    func `the binding is the certificate's hash by its signature's function`(signature: String, certificate: String, hash: String?) throws {
        let bytes = try #require(Base64.decode(certificate.utf8))
        let binding = TLSServerEndPoint.binding(certificate: bytes)
        #expect(binding.map { $0.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() } == hash)
    }

    @Test func `a certificate that is cut anywhere has no binding`() throws {
        let bytes = try #require(Base64.decode(Self.certificates[0].certificate.utf8))
        for end in 0..<bytes.count { #expect(TLSServerEndPoint.binding(certificate: Array(bytes[..<end])) == nil) }
    }
}
