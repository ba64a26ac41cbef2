import Crypto
import Foundation
import NIOCore
import SwiftASN1
import X509

/// A certificate authority for one machine: it vouches for certificates for trying, and nobody else believes it.
///
/// Its two files stay in its folder (`ca.pem`, `ca-key.pem`), so that who trusts it once trusts what it makes later. Whoever can read the key can pose as
/// any site to whom trusts the certificate: it is readable by its owner alone.
struct DevelopmentAuthority {
    /// A name or an address that a certificate is made out to.
    enum Subject: Equatable {
        case name(String)
        case address([UInt8])

        /// - Parameter text: `shop.test`, `*.shop.test`, `127.0.0.1`, `::1`.
        /// - Throws: ``Unusable``.
        /// - Source: RFC 1034 §3.5, RFC 1123 §2.1: labels of letters, digits and hyphens, 63 octets each, 253 in all; RFC 6125 §6.4.3: the
        ///   leftmost one may be `*`.
        init(_ text: String) throws(Unusable) {
            if let address = try? SocketAddress(ipAddress: text, port: 0) {
                self = .address(Self.octets(address))
                return
            }
            let labels = text.split(separator: ".", omittingEmptySubsequences: false)
            let isName = text.utf8.count <= 253 && labels.enumerated().allSatisfy { position, label in
                if position == 0, label == "*", labels.count > 2 { return true }
                return (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                    && label.utf8.allSatisfy { $0 == 0x2D || (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) }
            }
            guard isName else { throw Unusable("\(text) is no host name, such as shop.test or *.shop.test, and no address") }
            self = .name(text.lowercased())
        }

        private static func octets(_ address: SocketAddress) -> [UInt8] {
            switch address {
            case .v4(let v4): withUnsafeBytes(of: v4.address.sin_addr) { Array($0) }
            case .v6(let v6): withUnsafeBytes(of: v6.address.sin6_addr) { Array($0) }
            case .unixDomainSocket: []
            }
        }

        fileprivate var generalName: GeneralName {
            switch self {
            case .name(let name): .dnsName(name)
            case .address(let octets): .ipAddress(ASN1OctetString(contentBytes: octets[...]))
            }
        }
    }

    /// What was asked for cannot be had.
    struct Unusable: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }

    /// What was made.
    struct Issued {
        /// Private key, certificate, and that of the authority, in PEM: what `edge.tls.certificates` takes.
        let file: String
        let expires: Date
    }

    /// 10 years: it is trusted once.
    private static let authorityLifetime: TimeInterval = 3650 * 86_400
    /// 90 days, as public authorities have come to: what is renewed often is renewed without trouble.
    static let lifetime: TimeInterval = 90 * 86_400
    /// Clocks of machines and of virtual machines on them differ.
    private static let skew: TimeInterval = 3600

    let folder: String
    private let key: P256.Signing.PrivateKey
    private let certificate: Certificate

    var certificateFile: String { folder + "/ca.pem" }

    /// The one of a folder, made when there is none.
    /// - Throws: ``Unusable`` when a file cannot be read or written, or is over.
    init(folder: String, now: Date) throws(Unusable) {
        self.folder = folder
        let (certificateFile, keyFile) = (folder + "/ca.pem", folder + "/ca-key.pem")
        let manager = FileManager.default
        if manager.fileExists(atPath: certificateFile) || manager.fileExists(atPath: keyFile) {
            do {
                certificate = try Certificate(pemEncoded: String(contentsOfFile: certificateFile, encoding: .utf8))
                key = try P256.Signing.PrivateKey(pemRepresentation: String(contentsOfFile: keyFile, encoding: .utf8))
            } catch {
                throw Unusable("\(certificateFile) and \(keyFile) are no authority of headrace cert dev (\(error)): remove both to have a new one")
            }
            guard Certificate.PublicKey(key.publicKey) == certificate.publicKey else {
                throw Unusable("\(keyFile) is not the key of \(certificateFile): remove both to have a new one")
            }
            guard certificate.notValidAfter > now + Self.lifetime else {
                throw Unusable("\(certificateFile) ends \(Self.day(certificate.notValidAfter)): remove it and \(keyFile) to have a new one")
            }
            return
        }
        let key = P256.Signing.PrivateKey()
        do {
            let name = try DistinguishedName {
                OrganizationName("Headrace development")
                CommonName("Headrace development authority of \(ProcessInfo.processInfo.hostName.prefix(32))")
            }
            let publicKey = Certificate.PublicKey(key.publicKey)
            certificate = try Certificate(
                version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: publicKey, notValidBefore: now - Self.skew,
                notValidAfter: now + Self.authorityLifetime, issuer: name, subject: name, signatureAlgorithm: .ecdsaWithSHA256,
                extensions: try Certificate.Extensions {
                    Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                    Critical(KeyUsage(keyCertSign: true, cRLSign: true))
                    SubjectKeyIdentifier(hash: publicKey)
                }, issuerPrivateKey: Certificate.PrivateKey(key))
            try manager.createDirectory(atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw Unusable("\(folder): \(error)")
        }
        self.key = key
        do {
            try Self.write(key.pemRepresentation + "\n", to: keyFile, mode: 0o600)
            try Self.write(certificate.serializeAsPEM().pemString + "\n", to: certificateFile, mode: 0o644)
        } catch {
            throw Unusable("\(certificateFile): \(error)")
        }
    }

    /// Makes a certificate with a new key, in a file named after its first subject, in the place of one that is there.
    /// - Parameter subjects: at least one; the texts that they came from.
    /// - Source: RFC 5280 §4.2; CA/Browser Forum Baseline Requirements §7.1.2.7.
    func issue(to subjects: [String], now: Date) throws(Unusable) -> Issued {
        var names: [GeneralName] = []
        for subject in subjects { names.append(try Subject(subject).generalName) }
        guard let first = subjects.first else { throw Unusable("a certificate is made out to one host at least") }
        guard !["ca", "ca-key"].contains(first.lowercased()) else { throw Unusable("\(first): the authority's own file has that name: name another host first") }
        let key = P256.Signing.PrivateKey()
        let expires = now + Self.lifetime
        let file = folder + "/" + first.replacing("*", with: "_").replacing(":", with: "_") + ".pem"
        do {
            let publicKey = Certificate.PublicKey(key.publicKey)
            let issued = try Certificate(
                version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: publicKey, notValidBefore: now - Self.skew, notValidAfter: expires,
                issuer: certificate.subject, subject: try DistinguishedName { OrganizationName("Headrace development") },
                signatureAlgorithm: .ecdsaWithSHA256,
                extensions: try Certificate.Extensions {
                    Critical(BasicConstraints.notCertificateAuthority)
                    Critical(KeyUsage(digitalSignature: true))
                    try ExtendedKeyUsage([.serverAuth])
                    SubjectAlternativeNames(names)
                    SubjectKeyIdentifier(hash: publicKey)
                    AuthorityKeyIdentifier(keyIdentifier: SubjectKeyIdentifier(hash: certificate.publicKey).keyIdentifier)
                }, issuerPrivateKey: Certificate.PrivateKey(self.key))
            let chain = try [issued, certificate].map { try $0.serializeAsPEM().pemString + "\n" }
            try Self.write(([key.pemRepresentation + "\n"] + chain).joined(), to: file, mode: 0o600)
        } catch {
            throw Unusable("\(file): \(error)")
        }
        return Issued(file: file, expires: expires)
    }

    static func day(_ date: Date) -> String { String(date.ISO8601Format().prefix(10)) }

    /// In one step: an edge that reads it meanwhile has the old one or the new one. Nobody else can read it at any moment, unless `mode` says so.
    private static func write(_ text: String, to path: String, mode: mode_t) throws {
        let new = path + ".new"
        unlink(new)
        let descriptor = open(new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw Unusable("cannot be written: \(String(cString: strerror(errno)))") }
        let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        try file.write(contentsOf: Data(text.utf8))
        try file.synchronize()
        guard rename(new, path) == 0 else { throw Unusable("cannot be written: \(String(cString: strerror(errno)))") }
    }
}
