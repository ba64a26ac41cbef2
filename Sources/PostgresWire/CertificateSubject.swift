import SwiftASN1

/// Who a certificate says that its owner is.
/// - Source: RFC 5280 §4.1.
public enum CertificateSubject {
    /// The common name, as PostgreSQL's `cert` compares it with the user's.
    /// - Parameter certificate: DER.
    /// - Returns: `nil` when there is none, or more than one, or one with NUL in it.
    public static func commonName(certificate: [UInt8]) -> String? {
        guard let node = try? DER.parse(certificate), var outer = children(node), let tbs = outer.next(), var fields = children(tbs)
        else { return nil }
        // version [0], which may be missing; serialNumber, signature, issuer, validity, subject.
        guard var field = fields.next() else { return nil }
        if field.identifier == ASN1Identifier(tagWithNumber: 0, tagClass: .contextSpecific) {
            guard let next = fields.next() else { return nil }
            field = next
        }
        for _ in 0..<4 {
            guard let next = fields.next() else { return nil }
            field = next
        }
        guard var relativeNames = children(field) else { return nil }
        var found: [String] = []
        while let relativeName = relativeNames.next() {
            guard var attributes = children(relativeName) else { return nil }
            while let attribute = attributes.next() {
                guard var parts = children(attribute), let type = parts.next(), let value = parts.next() else { return nil }
                guard let identifier = try? ASN1ObjectIdentifier(derEncoded: type), identifier == [2, 5, 4, 3] else { continue }
                guard case .primitive(let bytes) = value.content, let text = String(validating: bytes, as: UTF8.self) else { return nil }
                found.append(text)
            }
        }
        guard found.count == 1, !found[0].utf8.contains(0) else { return nil }
        return found[0]
    }

    private static func children(_ node: ASN1Node) -> ASN1NodeCollection.Iterator? {
        guard case .constructed(let nodes) = node.content else { return nil }
        return nodes.makeIterator()
    }
}
