import Crypto
import SwiftASN1

/// The channel binding `tls-server-end-point`: the hash of the server's certificate, by the algorithm that signed it.
/// - Source: RFC 5929 §4.1; PostgreSQL 15, "SASL Authentication".
public enum TLSServerEndPoint {
    /// - Parameter certificate: DER.
    /// - Returns: `nil` when it is no certificate, or its signature names no hash function that we know (Ed25519 and RSASSA-PSS
    ///   name none in their identifier): there is no binding then.
    public static func binding(certificate: [UInt8]) -> [UInt8]? {
        guard let node = try? DER.parse(certificate), case .constructed(let fields) = node.content else { return nil }
        // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm AlgorithmIdentifier, signatureValue } (RFC 5280 §4.1).
        var iterator = fields.makeIterator()
        guard iterator.next() != nil, let algorithm = iterator.next(), case .constructed(let parts) = algorithm.content else { return nil }
        var identifiers = parts.makeIterator()
        guard let first = identifiers.next(), let identifier = try? ASN1ObjectIdentifier(derEncoded: first) else { return nil }
        switch hashes[identifier] {
        case .sha256: return Array(SHA256.hash(data: certificate))
        case .sha384: return Array(SHA384.hash(data: certificate))
        case .sha512: return Array(SHA512.hash(data: certificate))
        case nil: return nil
        }
    }

    private enum HashFunction { case sha256, sha384, sha512 }

    /// MD5 and SHA-1 count as SHA-256 (RFC 5929 §4.1). Identifiers: RFC 3279 §2.2, RFC 4055 §5, RFC 5758 §3.
    private static let hashes: [ASN1ObjectIdentifier: HashFunction] = [
        [1, 2, 840, 113549, 1, 1, 4]: .sha256,  // md5WithRSAEncryption
        [1, 2, 840, 113549, 1, 1, 5]: .sha256,  // sha1WithRSAEncryption
        [1, 2, 840, 113549, 1, 1, 11]: .sha256,  // sha256WithRSAEncryption
        [1, 2, 840, 113549, 1, 1, 12]: .sha384,  // sha384WithRSAEncryption
        [1, 2, 840, 113549, 1, 1, 13]: .sha512,  // sha512WithRSAEncryption
        [1, 2, 840, 10040, 4, 3]: .sha256,  // dsa-with-sha1
        [2, 16, 840, 1, 101, 3, 4, 3, 2]: .sha256,  // dsa-with-sha256
        [1, 2, 840, 10045, 4, 1]: .sha256,  // ecdsa-with-SHA1
        [1, 2, 840, 10045, 4, 3, 2]: .sha256,  // ecdsa-with-SHA256
        [1, 2, 840, 10045, 4, 3, 3]: .sha384,  // ecdsa-with-SHA384
        [1, 2, 840, 10045, 4, 3, 4]: .sha512,  // ecdsa-with-SHA512
    ]
}
