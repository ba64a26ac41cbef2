import Foundation

/// One key that is to be filled: what a line of a file, of a command's output, or a row says.
struct KeyEntry: Equatable, Sendable {
    var key: [UInt8]
    var value: [UInt8]
    /// Its own; `nil` when it has none.
    var lifetimeMilliseconds: Int?

    /// As many as a keyspace keeps for any key.
    static let lifetimeSecondsMax = 100 * 365 * 86_400

    init(key: [UInt8], value: [UInt8], lifetimeMilliseconds: Int? = nil) {
        self.key = key
        self.value = value
        self.lifetimeMilliseconds = lifetimeMilliseconds
    }

    /// - Parameter columns: key, value and perhaps a lifetime; `nil` for NULL.
    init(columns: [[UInt8]?]) throws(ValueProblem) {
        guard (2...3).contains(columns.count) else {
            throw ValueProblem("\(columns.count == 1 ? "one column" : "\(columns.count) columns"), but a key, a value and perhaps a lifetime are expected")
        }
        guard let key = columns[0] else { throw ValueProblem("the key is NULL") }
        guard let value = columns[1] else { throw ValueProblem("the value is NULL") }
        self.init(key: key, value: value)
        guard columns.count == 3, let text = columns[2], !text.isEmpty else { return }
        lifetimeMilliseconds = try Self.lifetime(String(decoding: text, as: UTF8.self))
    }

    /// Seconds, as `EXPIRE` takes them, or a duration with its unit: `3600`, `1h`.
    static func lifetime(_ text: String) throws(ValueProblem) -> Int {
        let milliseconds: Double
        if let seconds = Double(text) {
            milliseconds = seconds * 1000
        } else {
            do {
                milliseconds = Double(try DurationText.parse(text).nanoseconds) / 1e6
            } catch {
                throw ValueProblem("the lifetime \"\(text.prefix(40))\" is neither seconds nor a duration such as 1h")
            }
        }
        guard milliseconds >= 1, milliseconds <= Double(lifetimeSecondsMax) * 1000 else {
            throw ValueProblem("the lifetime \"\(text.prefix(40))\" is not between a millisecond and 100 years")
        }
        return Int(milliseconds)
    }

    /// What `SET` is told of it.
    /// - Parameter random: from 0 to 1, by which share of the jitter the lifetime is shortened.
    func arguments(_ rules: KeyFillRules, random: Double, now: Double) throws(ValueProblem) -> [[UInt8]] {
        let given = lifetimeMilliseconds ?? rules.lifetimeMilliseconds
        // Shorter only: what is filled together does not end together, and nothing lives longer than was said.
        let lifetime = given.map { max(1, Int(Double($0) * (1 - rules.jitter * random))) }
        var arguments = [Array("SET".utf8), key, rules.isForHelper ? try envelope(lifetime, now: now) : value]
        if let lifetime { arguments += [Array("PX".utf8), Array("\(lifetime)".utf8)] }
        if rules.isOnlyMissing { arguments.append(Array("NX".utf8)) }
        return arguments
    }

    /// The value as `HeadraceCache` and the Python package store JSON: behind a line that says until when it is fresh.
    private func envelope(_ lifetime: Int?, now: Double) throws(ValueProblem) -> [UInt8] {
        guard (try? JSONSerialization.jsonObject(with: Data(value), options: .fragmentsAllowed)) != nil else {
            throw ValueProblem("the value is no JSON, which is what --for-helper stores")
        }
        let fresh = lifetime.map { String(format: "%.3f", now + Double($0) / 1000) } ?? "inf"
        return Array("hr1 j \(fresh) 0 -\n".utf8) + value
    }
}

/// How keys are filled.
struct KeyFillRules: Sendable {
    /// Of entries without a lifetime of their own; `nil` for none.
    var lifetimeMilliseconds: Int?
    /// By which share at most a lifetime is shortened.
    var jitter = 0.1
    /// Whether a key that is there stays as it is.
    var isOnlyMissing = false
    /// Whether values are stored as `HeadraceCache` and the Python package read them.
    var isForHelper = false
    /// Commands that are sent before their answers are waited for.
    var concurrency = 64
    /// Keys per second at most.
    var rate: Double?
}

/// How entries are written as lines.
enum KeyLineFormat: String, CaseIterable, Sendable {
    /// Key, value and perhaps a lifetime with tabs between them, as PostgreSQL's COPY writes its text format: `\t`, `\n`, `\\`, `\N`.
    case tsv
    /// `{"key": "…", "value": …, "ttl": 3600}`; a value that is no string is stored as the JSON that it is.
    case jsonl

    /// What a file's name says.
    init(fileName: String) {
        self = ["json", "jsonl", "ndjson"].contains(fileName.split(separator: ".").last?.lowercased()) ? .jsonl : .tsv
    }

    /// - Parameters:
    ///   - line: without its end.
    ///   - keepsJSON: whether a value that is a string stays JSON, in its quotes.
    func entry(_ line: ArraySlice<UInt8>, keepsJSON: Bool) throws(ValueProblem) -> KeyEntry {
        switch self {
        case .tsv: try Self.tabs(line)
        case .jsonl: try Self.json(line, keepsJSON: keepsJSON)
        }
    }

    /// - Source: PostgreSQL 15, COPY, "Text Format".
    private static func tabs(_ line: ArraySlice<UInt8>) throws(ValueProblem) -> KeyEntry {
        var columns: [[UInt8]?] = []
        for field in line.split(separator: UInt8(ascii: "\t"), omittingEmptySubsequences: false) {
            guard field.contains(UInt8(ascii: "\\")) else {
                columns.append(Array(field))
                continue
            }
            columns.append(field.elementsEqual("\\N".utf8) ? nil : unescaped(field))
        }
        guard columns.count > 1 else { throw ValueProblem("no tab: a key, a tab and a value are expected") }
        return try KeyEntry(columns: columns)
    }

    private static let escapes: [UInt8: UInt8] = [
        UInt8(ascii: "b"): 8, UInt8(ascii: "t"): 9, UInt8(ascii: "n"): 10, UInt8(ascii: "v"): 11, UInt8(ascii: "f"): 12, UInt8(ascii: "r"): 13,
    ]

    private static func unescaped(_ field: ArraySlice<UInt8>) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = field
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "\\"), let letter = rest.popFirst() else {
                bytes.append(byte)
                continue
            }
            if let escaped = escapes[letter] {
                bytes.append(escaped)
            } else if letter == UInt8(ascii: "x"), let digits = digits(&rest, 2, radix: 16) {
                bytes.append(digits)
            } else if (UInt8(ascii: "0")...UInt8(ascii: "7")).contains(letter) {
                var octal = [letter][...] + rest.prefix(2)
                let count = octal.count
                let value = digits(&octal, 3, radix: 8) ?? 0
                rest = rest.dropFirst(count - octal.count - 1)
                bytes.append(value)
            } else {
                bytes.append(letter)
            }
        }
        return bytes
    }

    /// As many digits as there are, up to a count; of a number beyond a byte, the low eight bits, as PostgreSQL has it.
    private static func digits(_ rest: inout ArraySlice<UInt8>, _ count: Int, radix: Int) -> UInt8? {
        let digits = rest.prefix(count).prefix { Character(UnicodeScalar($0)).hexDigitValue.map { $0 < radix } ?? false }
        guard let value = Int(String(decoding: digits, as: UTF8.self), radix: radix) else { return nil }
        rest = rest.dropFirst(digits.count)
        return UInt8(truncatingIfNeeded: value)
    }

    private static func json(_ line: ArraySlice<UInt8>, keepsJSON: Bool) throws(ValueProblem) -> KeyEntry {
        guard let object = (try? JSONSerialization.jsonObject(with: Data(line))) as? [String: Any] else {
            throw ValueProblem("no JSON object such as {\"key\": \"a\", \"value\": 1}")
        }
        if let other = object.keys.sorted().first(where: { !["key", "value", "ttl"].contains($0) }) {
            throw ValueProblem("\"\(other.prefix(40))\" is none of key, value and ttl")
        }
        guard let key = object["key"] as? String else { throw ValueProblem("\"key\" is missing, or no string") }
        guard let value = object["value"], let span = span(ofValue: line) else { throw ValueProblem("\"value\" is missing") }
        var entry = KeyEntry(key: Array(key.utf8), value: Array(span))
        if let text = value as? String, !keepsJSON { entry.value = Array(text.utf8) }
        switch object["ttl"] {
        case nil, is NSNull: break
        case let text as String: entry.lifetimeMilliseconds = try KeyEntry.lifetime(text)
        case let seconds as NSNumber: entry.lifetimeMilliseconds = try KeyEntry.lifetime("\(seconds)")
        default: throw ValueProblem("\"ttl\" is neither seconds nor a duration")
        }
        return entry
    }

    /// The bytes of the object's `value` as they stand there: numbers keep their digits, objects the order of their names.
    /// - Parameter line: an object that a JSON reader has accepted.
    private static func span(ofValue line: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        var depth = 0
        var isInString = false
        var isName = false
        var nameStart = line.startIndex
        var name: ArraySlice<UInt8> = []
        var start: Int?
        var index = line.startIndex
        while index < line.endIndex {
            let byte = line[index]
            if isInString {
                if byte == UInt8(ascii: "\\") {
                    index += 1
                } else if byte == UInt8(ascii: "\"") {
                    isInString = false
                    if isName { name = line[nameStart..<index] }
                }
            } else {
                switch byte {
                case UInt8(ascii: "\""):
                    isInString = true
                    nameStart = index + 1
                case UInt8(ascii: "{"), UInt8(ascii: "["):
                    depth += 1
                    if depth == 1 { isName = true }
                case UInt8(ascii: ":") where depth == 1 && isName:
                    isName = false
                    if isValue(name) { start = index + 1 }
                case UInt8(ascii: ",") where depth == 1, UInt8(ascii: "}") where depth == 1:
                    if let start { return trimmed(line[start..<index]) }
                    isName = true
                case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
                default: break
                }
            }
            index += 1
        }
        return nil
    }

    private static func isValue(_ name: ArraySlice<UInt8>) -> Bool {
        // A name may be written with escapes, too.
        let name = (try? JSONSerialization.jsonObject(with: Data([0x22] + name + [0x22]), options: .fragmentsAllowed)) as? String
        return name == "value"
    }

    private static func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let isSpace: (UInt8) -> Bool = { $0 == 0x20 || $0 == 9 || $0 == 13 || $0 == 10 }
        var bytes = bytes.drop(while: isSpace)
        while let last = bytes.last, isSpace(last) { bytes.removeLast() }
        return bytes
    }
}
