/// What is appended to the log: commands as they are to be replayed, and in front of them the database that they are of.
///
/// Shards append in the order in which they applied their commands; the writer takes batches. The buffer has a bound: whoever
/// appends asks ``isFull`` first, and waits or answers with an error. A machine without a file: `IO/AppendLogWriter` writes.
package struct AppendLog: Sendable {
    private var buffer: [UInt8] = []
    /// Where in the buffer a new file begins.
    private var boundary: Int?
    /// Of the last command; -1 makes the next one say it.
    private var database = -1
    /// Bytes appended since the beginning: a command is on disk when the writer has written so many.
    package private(set) var appendedCount: UInt64 = 0
    package let pendingBytesMax: Int

    package init(pendingBytesMax: Int = 64 << 20) {
        self.pendingBytesMax = pendingBytesMax
    }

    package var isFull: Bool { buffer.count >= pendingBytesMax }
    package var pendingByteCount: Int { buffer.count }

    /// A command as it is to be replayed: with absolute times of expiry, and nothing that depends on chance.
    /// - Returns: what ``appendedCount`` must reach on disk for the command to be safe.
    @discardableResult
    package mutating func append(_ words: [[UInt8]], database: Int) -> UInt64 {
        let before = buffer.count
        if database != self.database {
            self.database = database
            write(["SELECT", String(database)].map { Array($0.utf8) })
        }
        write(words)
        appendedCount &+= UInt64(buffer.count - before)
        return appendedCount
    }

    /// Commands that are replayed all together or not at all.
    @discardableResult
    package mutating func appendTransaction(_ commands: [AppendLogReplay.Command]) -> UInt64 {
        guard let first = commands.first, commands.count > 1 else {
            return commands.first.map { append($0.words, database: $0.database) } ?? appendedCount
        }
        append([Array("MULTI".utf8)], database: first.database)
        for command in commands { append(command.words, database: command.database) }
        return append([Array("EXEC".utf8)], database: database)
    }

    /// What is appended from now on belongs into a new file; its first command says its database again.
    package mutating func beginFile() {
        database = -1
        // An earlier boundary was of a rewrite that failed: what followed it goes to the file before this one.
        boundary = buffer.count
    }

    /// What waits to be written: to the current file, and then, perhaps, to a new one.
    package struct Batch: Equatable, Sendable {
        package var before: [UInt8] = []
        package var beginsFile = false
        package var after: [UInt8] = []

        package init() {}

        package var byteCount: Int { before.count + after.count }

        /// Puts what came later behind.
        package mutating func add(_ later: Batch) {
            if beginsFile, !later.beginsFile {
                after += later.before
            } else {
                // Of two boundaries the first was of a rewrite that failed.
                before += after + later.before
                beginsFile = later.beginsFile
                after = later.after
            }
        }
    }

    package mutating func takeBatch() -> Batch {
        var batch = Batch()
        if let boundary {
            batch.before = Array(buffer[..<boundary])
            batch.after = Array(buffer[boundary...])
            batch.beginsFile = true
            buffer = []
        } else {
            swap(&batch.before, &buffer)
        }
        boundary = nil
        return batch
    }

    private mutating func write(_ words: [[UInt8]]) {
        writeCount("*", words.count)
        for word in words {
            writeCount("$", word.count)
            buffer += word
            buffer.append(0x0D)
            buffer.append(0x0A)
        }
    }

    private mutating func writeCount(_ mark: Unicode.Scalar, _ count: Int) {
        buffer.append(UInt8(ascii: mark))
        buffer += String(count).utf8
        buffer.append(0x0D)
        buffer.append(0x0A)
    }
}

/// When what was appended is forced to the disk.
public enum FsyncPolicy: String, CaseIterable, Sendable {
    /// Before the reply: nothing acknowledged is ever lost.
    case always
    /// Once a second: at most the last second is lost.
    case everysec
    /// When the system likes.
    case no
}
