/// What a text of SQL means to the session that it runs in; texts that mean nothing have none.
final class StatementText: Sendable {
    /// One list of effects for each statement of the text.
    let statements: [[StatementEffect]]
    /// Its beginning, for the console.
    let beginning: String

    /// Of a text, in the console.
    static let beginningBytesMax = 500

    /// - Parameter sql: the text, without its terminator.
    /// - Returns: `nil` when it is harmless.
    init?(_ sql: [UInt8]) {
        statements = SQLClassifier.classify(sql.span)
        guard statements.contains(where: { !$0.isEmpty }) else { return nil }
        beginning = String(decoding: sql.prefix(Self.beginningBytesMax), as: UTF8.self)
    }

    /// A Parse has one statement; with more, PostgreSQL refuses it.
    var effects: [StatementEffect] { statements.first ?? [] }
}

/// What the texts that clients of one event loop send mean to their sessions. Most are told harmless at a glance; of the others, those
/// that come again are read once. Belongs to its event loop: not Sendable.
final class StatementTexts {
    /// Texts that are remembered, and how long they may be; when there are more, all are forgotten.
    static let countMax = 1_000
    static let bytesMax = 4_096

    private var known: [[UInt8]: StatementText?] = [:]
    let parsed = ParsedTexts()

    var count: Int { known.count }

    /// - Parameter sql: the text, perhaps with the terminator.
    /// - Returns: `nil` when it leaves nothing behind in the session.
    func find(_ sql: UnsafeRawBufferPointer) -> StatementText? {
        let sql = Self.unterminated(sql)
        return HarmlessGlance.passes(sql) ? nil : read(sql)
    }

    /// The same, with what is known of the text's beginning.
    func find(_ sql: UnsafeRawBufferPointer, _ beginning: inout QueryBeginning) -> StatementText? {
        let sql = Self.unterminated(sql)
        return beginning.isHarmless(sql) ? nil : read(sql)
    }

    private static func unterminated(_ sql: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        sql.last == 0 ? UnsafeRawBufferPointer(rebasing: sql.dropLast()) : sql
    }

    private func read(_ sql: UnsafeRawBufferPointer) -> StatementText? {
        let bytes = Array(sql)
        if let found = known[bytes] { return found }
        let text = StatementText(bytes)
        guard bytes.count <= Self.bytesMax else { return text }
        if known.count >= Self.countMax { known = [:] }
        known[bytes] = .some(text)
        return text
    }
}

/// Tells the most frequent statements harmless in one pass over their bytes, without reading them: a single SELECT, INSERT, UPDATE, DELETE
/// or end of a transaction that has neither a parenthesis, which may call something, nor the beginning of TEMPORARY, nor that of pg_settings.
///
/// It costs some 50 ns where reading a statement token by token costs a microsecond, for each query that is not prepared.
enum HarmlessGlance {
    /// - Parameter start: what precedes it has passed already, and ends in something else than a letter.
    static func passes(_ sql: UnsafeRawBufferPointer, from start: Int = 0) -> Bool {
        var index = start
        guard start > 0 || isFrequent(firstWord(sql, &index)) else { return false }
        while index < sql.count {
            switch sql[index] {
            case UInt8(ascii: "("): return false
            case UInt8(ascii: ";"):
                while index + 1 < sql.count {
                    index += 1
                    guard sql[index] <= 0x20 else { return false }
                }
            case UInt8(ascii: "t"), UInt8(ascii: "T"):
                if index + 3 < sql.count, sql[index + 1] | 0x20 == UInt8(ascii: "e"), sql[index + 2] | 0x20 == UInt8(ascii: "m"),
                    sql[index + 3] | 0x20 == UInt8(ascii: "p")
                {
                    return false
                }
            case UInt8(ascii: "p"), UInt8(ascii: "P"):
                if index + 3 < sql.count, sql[index + 1] | 0x20 == UInt8(ascii: "g"), sql[index + 2] == UInt8(ascii: "_"), sql[index + 3] | 0x20 == UInt8(ascii: "s") {
                    return false
                }
            default: break
            }
            index += 1
        }
        return true
    }

    /// Seven letters tell the statements apart; the eighth byte ends the word.
    private static func firstWord(_ sql: UnsafeRawBufferPointer, _ index: inout Int) -> UInt64 {
        while index < sql.count, sql[index] <= 0x20 { index += 1 }
        var word: UInt64 = 0
        var letters = 0
        while index < sql.count, letters < 8 {
            let letter = sql[index] | 0x20
            guard (0x61...0x7A).contains(letter) else { break }
            word = word << 8 | UInt64(letter)
            letters += 1
            index += 1
        }
        return word
    }

    /// As one number, big end first: a comparison with constants, where an array would be looked for and through.
    private static func isFrequent(_ word: UInt64) -> Bool {
        switch word {
        case 0x7365_6C65_6374 /* select */, 0x6265_6769_6E /* begin */, 0x636F_6D6D_6974 /* commit */, 0x65_6E64 /* end */,
            0x7570_6461_7465 /* update */, 0x696E_7365_7274 /* insert */, 0x6465_6C65_7465 /* delete */, 0x66_6574_6368 /* fetch */,
            0x7368_6F77 /* show */, 0x7461_626C_65 /* table */, 0x7374_6172_74 /* start */:
            true
        default: false
        }
    }
}
