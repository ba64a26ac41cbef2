/// The list of an append log's files: which base, which increments in which order, and what may be removed.
///
/// The directory always means what the manifest says, and the manifest is replaced by a rename: whenever the process ends, one of
/// two whole lists is there, and every file that it names was complete, or the last increment of it.
/// A line is `file NAME seq NUMBER type TYPE`, the type `b` (base), `i` (increment) or `h` (history: to be removed).
/// - Source: `aof.c` of Redis 7, "Append only file manifest".
package struct AppendLogManifest: Equatable, Sendable {
    package struct File: Equatable, Sendable {
        package var name: String
        package var sequence: Int

        package init(name: String, sequence: Int) {
            self.name = name
            self.sequence = sequence
        }
    }

    package var base: File?
    /// In the order in which they are replayed.
    package var increments: [File] = []
    /// Files of before the last rewrite that may still be there.
    package var history: [File] = []

    package init() {}

    package struct Malformed: Error, Equatable, Sendable {
        /// The line, from 1.
        package var line: Int
        package var reason: Reason

        /// Why it was refused. The raw value is the word for logs.
        package enum Reason: String, Sendable {
            /// No `file NAME seq NUMBER type TYPE`.
            case lineMalformed
            /// A name with a slash, a control character or nothing in it, or of more than 255 bytes, which no file has.
            case nameUnsafe
            case sequenceMalformed
            case typeUnknown
            case baseRepeated
            /// An increment's number is not above that of the one before it.
            case sequenceNotAscending
            /// More than 10,000 lines, or a line of more than 1,024 bytes.
            case tooLarge
            case empty
        }
    }

    // Redis has the same bound for a line; the number of lines is the number of rewrites that failed one after another.
    private static let lineCountMax = 10_000
    private static let lineBytesMax = 1024

    /// Reads a manifest.
    package init(parsing bytes: [UInt8]) throws(Malformed) {
        var number = 0
        for line in bytes.split(separator: 0x0A, maxSplits: Self.lineCountMax + 1, omittingEmptySubsequences: true) {
            number += 1
            guard number <= Self.lineCountMax, line.count <= Self.lineBytesMax else { throw Malformed(line: number, reason: .tooLarge) }
            if line.first == UInt8(ascii: "#") { continue }
            try read(line, number: number)
        }
        guard base != nil || !increments.isEmpty || !history.isEmpty else { throw Malformed(line: number, reason: .empty) }
    }

    private mutating func read(_ line: ArraySlice<UInt8>, number: Int) throws(Malformed) {
        guard let words = Self.words(line), words.count >= 6, words.count % 2 == 0 else {
            throw Malformed(line: number, reason: .lineMalformed)
        }
        var name: [UInt8]?
        var sequence: [UInt8]?
        var type: [UInt8]?
        // Pairs that a later version may add are passed over, as Redis does.
        for index in stride(from: 0, to: words.count, by: 2) {
            switch String(decoding: words[index], as: UTF8.self).lowercased() {
            case "file": name = words[index + 1]
            case "seq": sequence = words[index + 1]
            case "type": type = words[index + 1]
            default: break
            }
        }
        guard let name, let sequence, let type else { throw Malformed(line: number, reason: .lineMalformed) }
        guard (1...255).contains(name.count), !name.contains(where: { $0 == UInt8(ascii: "/") || $0 < 0x20 || $0 == 0x7F }),
            name != [0x2E], name != [0x2E, 0x2E], let text = String(validating: name, as: UTF8.self)
        else { throw Malformed(line: number, reason: .nameUnsafe) }
        guard let value = Int(String(decoding: sequence, as: UTF8.self)), value > 0 else {
            throw Malformed(line: number, reason: .sequenceMalformed)
        }
        let file = File(name: text, sequence: value)
        switch type {
        case [UInt8(ascii: "b")]:
            guard base == nil else { throw Malformed(line: number, reason: .baseRepeated) }
            base = file
        case [UInt8(ascii: "i")]:
            guard increments.last.map({ $0.sequence < value }) ?? true else {
                throw Malformed(line: number, reason: .sequenceNotAscending)
            }
            increments.append(file)
        case [UInt8(ascii: "h")]: history.append(file)
        default: throw Malformed(line: number, reason: .typeUnknown)
        }
    }

    /// Words between blanks; one in double quotes may hold blanks, `\"`, `\\` and `\xNN`.
    private static func words(_ line: ArraySlice<UInt8>) -> [[UInt8]]? {
        var words: [[UInt8]] = []
        var rest = line
        while let first = rest.first {
            if first == 0x20 || first == 0x09 || first == 0x0D {
                rest.removeFirst()
                continue
            }
            var word: [UInt8] = []
            if first == UInt8(ascii: "\"") {
                rest.removeFirst()
                while true {
                    guard let byte = rest.popFirst() else { return nil }
                    if byte == UInt8(ascii: "\"") { break }
                    if byte != UInt8(ascii: "\\") {
                        word.append(byte)
                        continue
                    }
                    guard let escaped = rest.popFirst() else { return nil }
                    if escaped == UInt8(ascii: "x") {
                        guard let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16), rest.count >= 2 else {
                            return nil
                        }
                        word.append(value)
                        rest = rest.dropFirst(2)
                    } else {
                        word.append(escaped)
                    }
                }
            } else {
                while let byte = rest.first, byte != 0x20, byte != 0x09, byte != 0x0D {
                    word.append(byte)
                    rest.removeFirst()
                }
            }
            words.append(word)
        }
        return words
    }

    /// As it is written to disk.
    package var bytes: [UInt8] {
        var bytes: [UInt8] = []
        if let base { Self.write(base, "b", to: &bytes) }
        for file in history { Self.write(file, "h", to: &bytes) }
        for file in increments { Self.write(file, "i", to: &bytes) }
        return bytes
    }

    private static func write(_ file: File, _ type: String, to bytes: inout [UInt8]) {
        bytes += "file ".utf8
        // Byte by byte: a quotation mark with an accent on it is one character, and another one.
        let special: [UInt8] = [UInt8(ascii: "\""), UInt8(ascii: "\\")]
        let name = file.name.utf8
        if name.contains(where: { $0 == 0x20 || special.contains($0) }) {
            bytes += "\"".utf8
            for byte in name { bytes += special.contains(byte) ? [UInt8(ascii: "\\"), byte] : [byte] }
            bytes += "\"".utf8
        } else {
            bytes += name
        }
        bytes += " seq \(file.sequence) type \(type)\n".utf8
    }

    // MARK: What happens to the directory

    /// A new increment behind the others.
    package mutating func beginIncrement(prefix: String) -> File {
        let sequence = (increments.last?.sequence ?? 0).addingReportingOverflow(1).partialValue
        let file = File(name: "\(prefix).\(sequence).incr.aof", sequence: sequence)
        increments.append(file)
        return file
    }

    /// The base that a rewrite makes: in no list until it is complete.
    package func nextBase(prefix: String) -> File {
        let sequence = (base?.sequence ?? 0).addingReportingOverflow(1).partialValue
        return File(name: "\(prefix).\(sequence).base.rdb", sequence: sequence)
    }

    /// A rewrite is complete: its base takes the place of the old one and of all increments before `first`, which become history.
    package mutating func finishRewrite(base new: File, first increment: File) {
        if let base { history.append(base) }
        let replaced = increments.prefix { $0.sequence < increment.sequence }
        history += replaced
        increments.removeFirst(replaced.count)
        base = new
    }
}
