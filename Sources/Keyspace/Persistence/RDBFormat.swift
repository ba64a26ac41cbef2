/// The numbers of Redis' snapshot format.
///
/// - Source: `rdb.h` of Redis 7.2 and 7.4; "Redis RDB Dump File Format".
enum RDBFormat {
    /// What we write: every Redis since 5.0 reads it.
    static let versionWritten = 9
    /// What we read: 1 (Redis 1.3) to 12 (Redis 7.4).
    static let versionsRead = 1...12

    /// What a value's first byte says.
    enum ValueType: UInt8 {
        case string = 0
        case list = 1
        case set = 2
        /// Scores in digits.
        case sortedSet = 3
        case hash = 4
        /// Scores as eight bytes.
        case sortedSet2 = 5
        /// Without a way to find its end.
        case modulePreGA = 6
        case module = 7
        case hashZipmap = 9
        case listZiplist = 10
        case setIntset = 11
        case sortedSetZiplist = 12
        case hashZiplist = 13
        case listQuicklist = 14
        case streamListpacks = 15
        case hashListpack = 16
        case sortedSetListpack = 17
        case listQuicklist2 = 18
        case streamListpacks2 = 19
        case setListpack = 20
        case streamListpacks3 = 21
        /// Hashes with expiry of fields, of a release candidate: without the soonest expiry in front.
        case hashMetadataPreGA = 22
        case hashListpackExPreGA = 23
        /// Hashes with expiry of fields (Redis 7.4).
        case hashMetadata = 24
        case hashListpackEx = 25
    }

    /// What stands between values.
    enum Opcode: UInt8 {
        /// Sizes of a cluster's slot (version 12).
        case slotInfo = 244
        case function2 = 245
        case functionPreGA = 246
        case moduleAuxiliary = 247
        case idle = 248
        case frequency = 249
        case auxiliary = 250
        case resize = 251
        case expiryMilliseconds = 252
        case expirySeconds = 253
        case selectDatabase = 254
        case end = 255
    }
}
