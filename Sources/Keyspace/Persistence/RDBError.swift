/// Why a snapshot, a payload or a part of one was refused, and where.
package struct RDBError: Error, Equatable, Sendable, CustomStringConvertible {
    package var code: Code
    /// Bytes from the beginning of what was read: of the file, or of the packed value inside it.
    package var offset: Int

    package init(_ code: Code, at offset: Int) {
        self.code = code
        self.offset = offset
    }

    package var description: String { "\(code.rawValue) at byte \(offset)" }

    /// One case per refusal. The raw value is the word for logs.
    package enum Code: String, CaseIterable, Sendable {
        /// It does not begin with `REDIS` and four digits.
        case notASnapshot
        /// A version that is older than 1 or newer than what is documented.
        case versionUnknown
        /// The bytes end before what they announce.
        case truncated
        /// A length is written in a form that does not exist, or is more than can be.
        case lengthMalformed
        /// A string is written in a form that does not exist.
        case stringMalformed
        /// Compressed bytes do not give what they announce.
        case compressionMalformed
        /// A type of value that no documented version has.
        case typeUnknown
        /// A value of a module: only its module knows what it means.
        case moduleValue
        /// Functions in the form of a pre-release of Redis 7.
        case functionMalformed
        /// A score is no number.
        case scoreMalformed
        /// A packed list, map or set does not hold what its head announces.
        case packedMalformed
        /// A stream's entries or groups contradict each other.
        case streamMalformed
        /// A database beyond those that there can be.
        case databaseUnknown
        /// An element comes twice where it cannot, or there is none where one must be.
        case elementsMalformed
        /// The checksum is of other bytes.
        case checksumWrong
        /// Bytes follow where the end should be.
        case trailingBytes
    }
}
