import PostgresWire

/// What is known of a user's password, in any of the forms that `pg_authid.rolpassword` and PgBouncer's `auth_file` have.
enum StoredPassword: Sendable, Equatable {
    /// The password itself.
    case plain([UInt8])
    case md5(MD5Password)
    case scram(SCRAMSecret)

    /// Longer ones are refused, as PgBouncer refuses them (`MAX_PASSWORD`).
    static let bytesMax = 2048

    /// Every text is a password: what looks like neither `md5…` nor `SCRAM-SHA-256$…` is one in the clear.
    /// - Returns: `nil` for the empty text, which is no password, and for one that is too long.
    init?(_ text: String) {
        guard !text.isEmpty, text.utf8.count <= Self.bytesMax else { return nil }
        if let password = MD5Password(stored: text) {
            self = .md5(password)
        } else if let secret = SCRAMSecret(text) {
            self = .scram(secret)
        } else {
            self = .plain(Array(text.utf8))
        }
    }
}
