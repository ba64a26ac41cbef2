import TestSupport
import Testing

@testable import Keyspace

/// All steps up to the end, and where the whole commands end.
private func replay(_ bytes: [UInt8], from start: Int = 0) throws(AppendLogReader.Damage) -> (steps: [AppendLogReplay.Step], validCount: Int) {
    try bytes.withUnsafeBufferPointer { buffer throws(AppendLogReader.Damage) in
        var replay = AppendLogReplay(UnsafeRawBufferPointer(buffer), from: start)
        var steps: [AppendLogReplay.Step] = []
        while true {
            let step = try replay.next()
            if case .finished(let count) = step { return (steps, count) }
            steps.append(step)
        }
    }
}

private func words(_ text: String) -> [[UInt8]] { text.split(separator: " ").map { octets(String($0)) } }

private func command(_ text: String, _ database: Int) -> AppendLogReplay.Command { AppendLogReplay.Command(words(text), database: database) }

@Suite struct AppendLogTests {
    @Test func `what was appended is replayed, in its databases and transactions`() throws {
        var log = AppendLog()
        log.append(words("SET a 1"), database: 0)
        log.append([octets("SET"), [0, 13, 10, 255], []], database: 0)
        log.appendTransaction([command("INCR n", 3), command("INCR m", 4)])
        log.appendTransaction([command("INCR alone", 3)])
        log.append(words("DEL a"), database: 0)
        let (steps, count) = try replay(log.takeBatch().before)
        #expect(
            steps == [
                .apply(command("SET a 1", 0)), .apply(AppendLogReplay.Command([octets("SET"), [0, 13, 10, 255], []], database: 0)),
                .applyTogether([command("INCR n", 3), command("INCR m", 4)]), .apply(command("INCR alone", 3)), .apply(command("DEL a", 0)),
            ])
        #expect(UInt64(count) == log.appendedCount)
    }

    @Test func `each file says its database by itself`() throws {
        var log = AppendLog()
        log.append(words("SET a 1"), database: 5)
        log.beginFile()
        log.append(words("SET b 1"), database: 5)
        let batch = log.takeBatch()
        #expect(batch.beginsFile)
        #expect(try replay(batch.before).steps == [.apply(command("SET a 1", 5))])
        #expect(try replay(batch.after).steps == [.apply(command("SET b 1", 5))])
    }

    @Test func `it is full at its bound and not before`() {
        var log = AppendLog(pendingBytesMax: 100)
        log.append(words("SET a 1"), database: 0)
        while log.pendingByteCount < 100 {
            #expect(!log.isFull)
            log.append([octets("X")], database: 0)
        }
        #expect(log.isFull)
        _ = log.takeBatch()
        #expect(!log.isFull)
    }

    @Test func `a tail torn at any byte leaves the whole commands before it`() throws {
        var log = AppendLog()
        log.append(words("SET a 1"), database: 0)
        log.append(words("SET b 2"), database: 0)
        let whole = log.takeBatch().before
        log.appendTransaction([command("INCR n", 0), command("INCR m", 0)])
        let bytes = whole + log.takeBatch().before
        for cut in whole.count..<bytes.count {
            let (steps, count) = try replay(Array(bytes[..<cut]))
            #expect(steps.count == 2 && count == whole.count, "cut after \(cut)")
        }
        #expect(try replay(bytes).steps.count == 3)
    }

    @Test func `a damaged middle is refused with the offset of its command`() throws {
        var log = AppendLog()
        log.append(words("SET first 1"), database: 0)
        let place = log.pendingByteCount
        log.append(words("SET second 2"), database: 0)
        log.append(words("SET third 3"), database: 0)
        let bytes = log.takeBatch().before
        for (index, byte) in [(0, UInt8(ascii: "x")), (1, UInt8(ascii: "-")), (4, UInt8(ascii: "x")), (2, UInt8(ascii: "x"))] {
            var damaged = bytes
            damaged[place + index] = byte
            let error = #expect(throws: AppendLogReader.Damage.self) { try replay(damaged) }
            #expect(error?.offset == place)
        }
    }

    @Test func `counts beyond their bounds are damage, not memory`() {
        for text in ["*1048577\r\n", "*99999999999999999999\r\n", "*-1\r\n", "*0\r\n", "*\r\n", "*1\r\n$536870913\r\n", "*1\r\n$-1\r\n", "*1\r\n:1\r\n"] {
            #expect(throws: AppendLogReader.Damage.self, "\(text)") { try replay(octets(text)) }
        }
        #expect(try! replay(octets("*1048576\r\n")).steps.isEmpty)
        #expect(try! replay(octets("*1\r\n$536870912\r\nabc")).steps.isEmpty)
    }

    @Test func `notes are passed over, transactions within transactions are damage`() throws {
        let note = octets("#TS:1700000000\r\n")
        var log = AppendLog()
        log.append(words("SET a 1"), database: 0)
        let bytes = note + log.takeBatch().before + note
        #expect(try replay(bytes).validCount == bytes.count)
        log.append(words("MULTI"), database: 0)
        log.append(words("MULTI"), database: 0)
        #expect(throws: AppendLogReader.Damage.self) { try replay(log.takeBatch().before) }
        log.append(words("EXEC"), database: 0)
        #expect(throws: AppendLogReader.Damage.self) { try replay(log.takeBatch().before) }
        log.append(words("SELECT 16"), database: 0)
        #expect(throws: AppendLogReader.Damage.self) { try replay(log.takeBatch().before) }
    }
}

@Suite struct AppendLogManifestTests {
    private let prefix = "appendonly.aof"

    @Test func `what is written is read again`() throws {
        var manifest = AppendLogManifest()
        _ = manifest.beginIncrement(prefix: "with \"blank\\ s")
        let base = manifest.nextBase(prefix: "with \"blank\\ s")
        let next = manifest.beginIncrement(prefix: prefix)
        manifest.finishRewrite(base: base, first: next)
        #expect(manifest.history.count == 1 && manifest.increments == [next] && manifest.base == base)
        #expect(try AppendLogManifest(parsing: manifest.bytes) == manifest)
    }

    /// A quotation mark with an accent on it is one character; on disk it is a quotation mark (Fuzz/FailCases).
    @Test(arguments: ["a\"\u{59D}", "\\\u{301} b", String(repeating: "\"", count: 255)]) func `a name is escaped byte by byte`(name: String) throws {
        var manifest = AppendLogManifest()
        manifest.base = AppendLogManifest.File(name: name, sequence: 1)
        #expect(try AppendLogManifest(parsing: manifest.bytes) == manifest)
    }

    @Test func `the example of Redis`() throws {
        let manifest = try AppendLogManifest(
            parsing: octets(
                "# a comment\nfile appendonly.aof.2.base.rdb seq 2 type b\nfile appendonly.aof.1.incr.aof seq 1 type h\n"
                    + "file appendonly.aof.4.incr.aof seq 4 type i\nfile appendonly.aof.5.incr.aof seq 5 type i later words\n"))
        #expect(manifest.base == AppendLogManifest.File(name: "appendonly.aof.2.base.rdb", sequence: 2))
        #expect(manifest.increments.map(\.sequence) == [4, 5] && manifest.history.count == 1)
    }

    @Test(arguments: [
        ("file a seq 1", AppendLogManifest.Malformed.Reason.lineMalformed), ("file a seq 1 type", .lineMalformed),
        ("file ../a seq 1 type b", .nameUnsafe), ("file .. seq 1 type b", .nameUnsafe), ("file \"\" seq 1 type b", .nameUnsafe),
        ("file \(String(repeating: "a", count: 256)) seq 1 type b", .nameUnsafe), ("file \"a\\x00\" seq 1 type b", .nameUnsafe), ("file \"a seq 1 type b", .lineMalformed),
        ("file a seq 0 type b", .sequenceMalformed), ("file a seq 99999999999999999999 type b", .sequenceMalformed),
        ("file a seq 1 type x", .typeUnknown), ("file a seq 1 type b\nfile b seq 2 type b", .baseRepeated),
        ("file a seq 2 type i\nfile b seq 2 type i", .sequenceNotAscending), ("", .empty), ("# nothing", .empty),
        (String(repeating: "x", count: 1025), .tooLarge),
    ])
    func `what it cannot be is refused with a reason`(text: String, reason: AppendLogManifest.Malformed.Reason) {
        let error = #expect(throws: AppendLogManifest.Malformed.self) { try AppendLogManifest(parsing: octets(text)) }
        #expect(error?.reason == reason)
    }

    @Test func `a rewrite replaces the base and the increments before its own`() {
        var manifest = AppendLogManifest()
        let first = manifest.beginIncrement(prefix: prefix)
        #expect(first.name == "appendonly.aof.1.incr.aof")
        let base = manifest.nextBase(prefix: prefix)
        #expect(base.name == "appendonly.aof.1.base.rdb")
        let second = manifest.beginIncrement(prefix: prefix)
        manifest.finishRewrite(base: base, first: second)
        #expect(manifest.base == base && manifest.increments == [second] && manifest.history == [first])
        // A rewrite that failed leaves one increment more; the next one takes both away.
        let third = manifest.beginIncrement(prefix: prefix)
        let newBase = manifest.nextBase(prefix: prefix)
        let fourth = manifest.beginIncrement(prefix: prefix)
        manifest.finishRewrite(base: newBase, first: fourth)
        #expect(newBase.sequence == 2 && manifest.increments == [fourth] && manifest.history == [first, base, second, third])
    }
}
