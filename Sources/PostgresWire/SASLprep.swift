import Foundation

/// Prepares a password for SCRAM as PostgreSQL does, so that what was stored there is what is computed here.
///
/// A password that RFC 4013 refuses (prohibited or unassigned characters, mixed directions, nothing left) is used as it is: both
/// PostgreSQL's server and libpq do so, lest passwords in other encodings be unusable.
/// - Source: RFC 4013; PostgreSQL 15, "SASL authentication", section on SCRAM-SHA-256, and its `pg_saslprep`.
public enum SASLprep {
    /// The bytes that go into the key derivation.
    /// - Parameter password: any bytes; ASCII passes as it is, bytes that are no UTF-8 too.
    public static func prepare(_ password: [UInt8]) -> [UInt8] {
        guard password.contains(where: { $0 >= 0x80 }), let text = String(validating: password, as: UTF8.self) else { return password }
        return prepared(text).map { Array($0.utf8) } ?? password
    }

    /// - Returns: `nil` when RFC 4013 refuses the text.
    static func prepared(_ text: String) -> String? {
        var mapped = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            if StringprepTables.contains(StringprepTables.otherSpaces, scalar) {
                mapped.append(" ")
            } else if !StringprepTables.contains(StringprepTables.mappedToNothing, scalar) {
                mapped.append(scalar)
            }
        }
        guard !mapped.isEmpty else { return nil }
        let normalized = String(mapped).precomposedStringWithCompatibilityMapping.unicodeScalars
        for scalar in normalized {
            if StringprepTables.contains(StringprepTables.prohibited, scalar) { return nil }
            if StringprepTables.contains(StringprepTables.unassigned, scalar) { return nil }
        }
        return isOneDirection(normalized) ? String(normalized) : nil
    }

    /// RFC 3454 §6: with a right-to-left character there is no left-to-right one, and the first and the last are right-to-left.
    private static func isOneDirection(_ scalars: String.UnicodeScalarView) -> Bool {
        let isRightToLeft = { StringprepTables.contains(StringprepTables.rightToLeft, $0) }
        guard scalars.contains(where: isRightToLeft) else { return true }
        guard let first = scalars.first, let last = scalars.last, isRightToLeft(first), isRightToLeft(last) else { return false }
        return !scalars.contains { StringprepTables.contains(StringprepTables.leftToRight, $0) }
    }
}
