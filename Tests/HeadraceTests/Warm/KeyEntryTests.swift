import Foundation
import Testing

@testable import headrace

@Suite struct KeyEntryTests {
    private func entry(_ line: String, _ format: KeyLineFormat = .tsv, keepsJSON: Bool = false) throws -> KeyEntry {
        try format.entry(Array(line.utf8)[...], keepsJSON: keepsJSON)
    }

    private func problem(_ line: String, _ format: KeyLineFormat = .tsv) -> String {
        do {
            return "no problem: \(try entry(line, format))"
        } catch {
            return (error as? ValueProblem)?.text ?? "\(error)"
        }
    }

    @Test(arguments: [
        ("a\t1", "a", "1", nil), ("a\t\t", "a", "", nil), ("a\t1\t60", "a", "1", 60_000), ("a\t1\t1.5", "a", "1", 1500), ("a\t1\t1h30m", "a", "1", 5_400_000),
        (#"a\tb\tc"#.replacing("b\\t", with: "b\t"), "a\tb", "c", nil), ("k\t\\\\x\\n\\r\\b\\f\\vend\\q", "k", "\\x\n\r\u{8}\u{C}\u{B}endq", nil),
        ("k\t\\x41\\x4a\\101\\7.", "k", "AJA\u{7}.", nil), ("k\t1\t\\N", "k", "1", nil), ("k\tv\\", "k", "v\\", nil),
    ] as [(String, String, String, Int?)])
    func `lines with tabs are read as COPY writes them`(line: String, key: String, value: String, lifetime: Int?) throws {
        #expect(try entry(line) == KeyEntry(key: Array(key.utf8), value: Array(value.utf8), lifetimeMilliseconds: lifetime))
    }

    @Test func `bytes that are no text go through`() throws {
        let line: [UInt8] = [0xFF, 0x00, 0x09, 0xFE, 0x5C, 0x78, 0x66, 0x66]
        #expect(try KeyLineFormat.tsv.entry(line[...], keepsJSON: false) == KeyEntry(key: [0xFF, 0], value: [0xFE, 0xFF]))
    }

    @Test(arguments: [
        ("a", "no tab"), ("a\t1\t2\t3", "4 columns"), ("\\N\t1", "the key is NULL"), ("a\t\\N", "the value is NULL"), ("a\t1\tsoon", "\"soon\" is neither"),
        ("a\t1\t0", "not between"), ("a\t1\t-5", "not between"), ("a\t1\t1e300", "not between"), ("a\t1\tnan", "not between"), ("a\t1\tinf", "not between"),
    ])
    func `what is wrong with a line is named`(line: String, words: String) { #expect(problem(line).contains(words), "\(problem(line))") }

    @Test(arguments: [
        (#"{"key": "a", "value": "text"}"#, "a", "text", nil), (#"{"value":{"b": 1.10, "a": [ 1 ,2]} ,"key":"a"}"#, "a", #"{"b": 1.10, "a": [ 1 ,2]}"#, nil),
        (#"{"key":"a","value":123456789012345678901234567890,"ttl":60}"#, "a", "123456789012345678901234567890", 60_000),
        (#"{"key":"a","value":"q\"uo\u0074e","ttl":"5m"}"#, "a", "q\"uote", 300_000), (#"{"ttl":null,"key":"value","value":null}"#, "value", "null", nil),
        (#"{"key":"a","value":[{"value":"inner"},"}"]}"#, "a", #"[{"value":"inner"},"}"]"#, nil), (#"{"\u0076alue": true, "key": "ä"}"#, "ä", "true", nil),
    ] as [(String, String, String, Int?)])
    func `lines of JSON keep the value as it stands there`(line: String, key: String, value: String, lifetime: Int?) throws {
        #expect(try entry(line, .jsonl) == KeyEntry(key: Array(key.utf8), value: Array(value.utf8), lifetimeMilliseconds: lifetime))
    }

    @Test func `a string stays JSON where JSON is stored`() throws {
        #expect(try entry(#"{"key":"a","value":"text"}"#, .jsonl, keepsJSON: true).value == Array(#""text""#.utf8))
    }

    @Test(arguments: [
        ("a\t1", "no JSON object"), ("[1]", "no JSON object"), (#"{"key":"a"}"#, "\"value\" is missing"), (#"{"value":1}"#, "\"key\" is missing"),
        (#"{"key":1,"value":1}"#, "\"key\" is missing, or no string"), (#"{"key":"a","value":1,"tll":1}"#, "\"tll\" is none of"),
        (#"{"key":"a","value":1,"ttl":[]}"#, "\"ttl\" is neither"), (#"{"key":"a","value":1,"ttl":0}"#, "not between"), (#"{"key":"a","value":1"#, "no JSON object"),
    ])
    func `what is wrong with a line of JSON is named`(line: String, words: String) {
        #expect(problem(line, .jsonl).contains(words), "\(problem(line, .jsonl))")
    }

    @Test func `an entry's own lifetime goes before the rules', and jitter only shortens`() throws {
        var rules = KeyFillRules()
        let entry = KeyEntry(key: Array("k".utf8), value: Array("v".utf8))
        func words(_ entry: KeyEntry, random: Double = 0) throws -> [String] {
            try entry.arguments(rules, random: random, now: 1000).map { String(decoding: $0, as: UTF8.self) }
        }
        #expect(try words(entry) == ["SET", "k", "v"])
        rules.lifetimeMilliseconds = 60_000
        #expect(try words(entry) == ["SET", "k", "v", "PX", "60000"])
        #expect(try words(entry, random: 1) == ["SET", "k", "v", "PX", "54000"])
        rules.isOnlyMissing = true
        var own = entry
        own.lifetimeMilliseconds = 1000
        #expect(try words(own) == ["SET", "k", "v", "PX", "1000", "NX"])
        own.lifetimeMilliseconds = 1
        #expect(try words(own, random: 1) == ["SET", "k", "v", "PX", "1", "NX"])
        rules = KeyFillRules(isForHelper: true)
        own.value = Array("[1, 2]".utf8)
        #expect(try words(own) == ["SET", "k", "hr1 j 1000.001 0 -\n[1, 2]", "PX", "1"])
        own.lifetimeMilliseconds = nil
        #expect(try words(own) == ["SET", "k", "hr1 j inf 0 -\n[1, 2]"])
        own.value = Array("v".utf8)
        #expect(throws: ValueProblem.self) { try words(own) }
    }

    @Test(arguments: [("a.jsonl", KeyLineFormat.jsonl), ("b.NDJSON", .jsonl), ("c.tsv", .tsv), ("jsonl", .jsonl), ("-", .tsv)])
    func `a file's name says how its lines are written`(name: String, format: KeyLineFormat) {
        #expect(KeyLineFormat(fileName: name) == format)
    }

    /// Lines longer than what is read at a time, ends of either kind, and a last one without an end.
    @Test func `lines are told apart wherever a read ends`() throws {
        let values = (0..<200).map { String(repeating: "v", count: ($0 * 7919) % 9000) } + [String(repeating: "long", count: 200_000)]
        var text = ""
        for (index, value) in values.enumerated() { text += "key:\(index)\t\(value)" + (index % 3 == 0 ? "\r\n" : index % 5 == 0 ? "\n\n" : "\n") }
        let file = FileManager.default.temporaryDirectory.appending(path: "lines-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        try Data(text.dropLast().utf8).write(to: file)
        let source = try LineSource(file: file.path, format: nil, keepsJSON: false)
        for (index, value) in values.enumerated() {
            let next = try #require(try source.next())
            #expect(try next.entry.get() == KeyEntry(key: Array("key:\(index)".utf8), value: Array(value.utf8)))
        }
        let end = try source.next()
        #expect(end == nil && source.share == 1)
        #expect(throws: KeySourceFailure.self) { try LineSource(file: "/nothing/here", format: nil, keepsJSON: false) }
        #expect(throws: KeySourceFailure.self) { try LineSource(file: "/tmp", format: nil, keepsJSON: false) }
    }

    @Test func `a command that closes its output and lives on is not waited for without end`() throws {
        let source = try LineSource(command: "echo 'a\t1'; exec >&-; exec sleep 900", format: nil, keepsJSON: false, endSeconds: 1)
        #expect(try source.next() != nil)
        #expect(throws: KeySourceFailure.self) { try source.next() }
    }

    @Test func `progress without a total has no bar, and a share has one`() {
        #expect(WarmProgress.line(done: 10, total: nil, failed: 0, seconds: 2) == "10, 5/s")
        #expect(WarmProgress.line(done: 10, total: nil, share: 1, failed: 1, seconds: 2) == String(repeating: "█", count: 30) + " 10, 5/s, 1 failed")
    }
}
