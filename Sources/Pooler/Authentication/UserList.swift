/// Users and their passwords from a file in PgBouncer's format: `"name" "password"` on each line.
///
/// What follows the second field is passed over, as are empty lines and those that begin with `;` or `#`. A double quote in a field
/// is written twice. Of a name that comes twice the last line counts.
/// - Source: pgbouncer.org, "Authentication file format".
public struct UserList: Sendable, Equatable {
    /// By name. A user with an empty password is here with `nil`: he can log in where no password is asked for.
    private(set) var passwords: [String: StoredPassword?] = [:]

    /// An operator's mistake.
    public struct Problem: Error, Equatable, CustomStringConvertible {
        /// From 1.
        public var line: Int
        public var expected: String

        public var description: String { "line \(line): \(expected)" }
    }

    /// PostgreSQL's own names have 63 bytes; PgBouncer takes 127.
    static let nameBytesMax = 127

    public init() {}

    public init(_ text: String) throws(Problem) {
        // By bytes: to a String, CR LF is one character.
        for (index, line) in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            var rest = line.drop(while: Self.isSpace)
            guard let first = rest.first, first != UInt8(ascii: ";"), first != UInt8(ascii: "#") else { continue }
            let number = index + 1
            guard let name = Self.takeField(&rest) else { throw Problem(line: number, expected: "a name in double quotes") }
            guard !name.isEmpty, name.utf8.count <= Self.nameBytesMax else {
                throw Problem(line: number, expected: "a name of 1 to \(Self.nameBytesMax) bytes")
            }
            guard let password = Self.takeField(&rest) else { throw Problem(line: number, expected: "a password in double quotes") }
            let stored = StoredPassword(password)
            guard stored != nil || password.isEmpty else {
                throw Problem(line: number, expected: "a password of at most \(StoredPassword.bytesMax) bytes")
            }
            passwords[name] = .some(stored)
        }
    }

    private static func takeField(_ rest: inout Substring.UTF8View) -> String? {
        rest = rest.drop(while: isSpace)
        guard rest.first == UInt8(ascii: "\"") else { return nil }
        rest = rest.dropFirst()
        var field: [UInt8] = []
        while let byte = rest.first {
            rest = rest.dropFirst()
            if byte == UInt8(ascii: "\"") {
                guard rest.first == byte else { return String(validating: field, as: UTF8.self) }
                rest = rest.dropFirst()
            }
            field.append(byte)
        }
        return nil
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\r")
    }
}
