/// Reads the commands of an append-only file: RESP arrays of bulk strings, one after the other, with notes between them.
///
/// What distinguishes a torn tail from a damaged middle: the tail is torn when the bytes end inside a command that is right so far, or
/// inside a transaction; everything before it is good, and it may be cut off. Bytes that no command begins with are damage.
/// - Source: `loadSingleAppendOnlyFile` in `aof.c` of Redis 7.
package struct AppendLogReader {
    package enum Event: Equatable {
        /// Words that begin at so many bytes. `MULTI` and `EXEC` come as any others.
        case command([[UInt8]])
        /// `#TS:SECONDS`: when what follows was written.
        case timestamp(Int64)
        /// The bytes end behind a whole command.
        case end
        /// The bytes end within a command.
        case torn
    }

    package struct Damage: Error, Equatable, Sendable {
        /// Of the command that could not be read.
        package var offset: Int
        package var reason: Reason

        /// The raw value is the word for logs.
        package enum Reason: String, Sendable {
            /// Something besides `*` where a command begins.
            case commandExpected
            /// A count or length is no number of digits, is negative or beyond its bound.
            case countMalformed
            /// Something besides `$` where a word begins.
            case wordExpected
            /// A word is not followed by CRLF.
            case lineEndMissing
            /// Notes of more than 1,024 bytes.
            case noteTooLong
            /// `SELECT` of a database beyond the last.
            case databaseUnknown
            /// `MULTI` within a transaction, or `EXEC` outside of one.
            case transactionMalformed
        }
    }

    /// Of one command: 1,048,576 words as in a client's request, each of at most 512 MB.
    package static let wordCountMax = 1 << 20
    package static let wordBytesMax = 512 << 20

    private var cursor: ByteCursor
    /// Where the last whole command or note ended.
    package private(set) var wholeOffset: Int

    /// - Parameters:
    ///   - bytes: the file; it stays where it is as long as the reader is used.
    ///   - start: where the commands begin: behind the snapshot that a file may begin with.
    package init(_ bytes: UnsafeRawBufferPointer, from start: Int = 0) {
        cursor = ByteCursor(bytes)
        wholeOffset = 0
        if (try? cursor.take(start)) != nil { wholeOffset = start }
    }

    package mutating func next() throws(Damage) -> Event {
        if cursor.isAtEnd { return .end }
        do throws(Stop) {
            let event = try read()
            wholeOffset = cursor.offset
            return event
        } catch {
            switch error {
            case .torn: return .torn
            case .damaged(let reason): throw Damage(offset: wholeOffset, reason: reason)
            }
        }
    }

    private enum Stop: Error {
        case torn
        case damaged(Damage.Reason)
    }

    private mutating func read() throws(Stop) -> Event {
        switch try byte() {
        case UInt8(ascii: "*"):
            let count = try number(max: Self.wordCountMax)
            guard count > 0 else { throw .damaged(.countMalformed) }
            var words: [[UInt8]] = []
            // No word takes less than six bytes, "$0", CRLF twice.
            words.reserveCapacity(min(count, cursor.remaining / 6))
            for _ in 0..<count {
                guard try byte() == UInt8(ascii: "$") else { throw .damaged(.wordExpected) }
                let length = try number(max: Self.wordBytesMax)
                guard let word = try? cursor.take(length) else { throw .torn }
                guard try byte() == 0x0D, try byte() == 0x0A else { throw .damaged(.lineEndMissing) }
                words.append(Array(word))
            }
            return .command(words)
        case UInt8(ascii: "#"):
            var note: [UInt8] = []
            while true {
                let byte = try byte()
                if byte == 0x0A { break }
                guard note.count < 1024 else { throw .damaged(.noteTooLong) }
                note.append(byte)
            }
            if note.last == 0x0D { note.removeLast() }
            guard note.starts(with: "TS:".utf8), let seconds = Int64(String(decoding: note.dropFirst(3), as: UTF8.self)) else {
                // A note of another kind says nothing about the data.
                return .timestamp(0)
            }
            return .timestamp(seconds)
        default: throw .damaged(.commandExpected)
        }
    }

    private mutating func byte() throws(Stop) -> UInt8 {
        guard let byte = try? cursor.byte() else { throw .torn }
        return byte
    }

    /// Digits up to CRLF.
    private mutating func number(max: Int) throws(Stop) -> Int {
        var value = 0
        var digitCount = 0
        while true {
            let byte = try byte()
            if byte == 0x0D { break }
            guard byte >= 0x30, byte <= 0x39, digitCount < 10 else { throw .damaged(.countMalformed) }
            value = value * 10 + Int(byte - 0x30)
            digitCount += 1
        }
        guard try byte() == 0x0A, digitCount > 0, value <= max else { throw .damaged(.countMalformed) }
        return value
    }
}
