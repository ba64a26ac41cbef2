/// The commands of one file of the log in the form in which they are applied: transactions whole, and each with its database.
///
/// States: between commands (next: itself, `collecting` at `MULTI`), `collecting` (next: between commands at `EXEC` or `DISCARD`).
/// A file that ends while collecting is cut before its `MULTI`: half a transaction is never applied.
package struct AppendLogReplay {
    package enum Step: Equatable {
        case apply(Command)
        case applyTogether([Command])
        /// All that is whole was given. What is behind `validByteCount` is a torn tail.
        case finished(validByteCount: Int)
    }

    /// A command of the database that it is for.
    package struct Command: Equatable, Sendable {
        package var words: [[UInt8]]
        package var database: Int

        package init(_ words: [[UInt8]], database: Int) {
            self.words = words
            self.database = database
        }
    }

    private var reader: AppendLogReader
    private let databaseCount: Int
    private var database = 0
    /// The commands since `MULTI`, and where that began.
    private var collected: [Command]?
    private var collectedFrom = 0

    /// - Parameter start: where the commands begin: behind the snapshot that a file may begin with.
    package init(_ bytes: UnsafeRawBufferPointer, from start: Int = 0, databaseCount: Int = 16) {
        reader = AppendLogReader(bytes, from: start)
        self.databaseCount = databaseCount
    }

    /// Of the command that was given last, its end.
    package var offset: Int { reader.wholeOffset }

    package mutating func next() throws(AppendLogReader.Damage) -> Step {
        while true {
            let start = reader.wholeOffset
            switch try reader.next() {
            case .timestamp: continue
            case .end, .torn: return .finished(validByteCount: collected == nil ? start : collectedFrom)
            case .command(let words):
                // At least one word: the reader refuses a count of zero.
                switch (words[0].count <= 7 ? String(decoding: words[0], as: UTF8.self).uppercased() : "", words.count) {
                case ("SELECT", 2):
                    guard let number = Int(String(decoding: words[1], as: UTF8.self)), number >= 0, number < databaseCount else {
                        throw AppendLogReader.Damage(offset: start, reason: .databaseUnknown)
                    }
                    database = number
                case ("MULTI", 1):
                    guard collected == nil else { throw AppendLogReader.Damage(offset: start, reason: .transactionMalformed) }
                    collected = []
                    collectedFrom = start
                case ("EXEC", 1):
                    guard let commands = collected else { throw AppendLogReader.Damage(offset: start, reason: .transactionMalformed) }
                    collected = nil
                    return .applyTogether(commands)
                case ("DISCARD", 1): collected = nil
                default:
                    guard collected != nil else { return .apply(Command(words, database: database)) }
                    collected?.append(Command(words, database: database))
                }
            }
        }
    }
}
