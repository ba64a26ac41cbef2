import NIOCore
import Testing
import Transport

@testable import LoadGenerator

@Suite struct TransactionScriptTests {
    private static func value(_ text: String, _ names: [String: Int64] = [:], seed: UInt64 = 1) -> Int64? {
        var parser = TransactionScript.Expression.Parser(text)
        var numbers = SeededNumbers(seed: seed)
        return parser.parse()?.value(names, &numbers)
    }

    private static func workload(_ text: String, mode: TransactionScript.Mode = .simple, keepsAlive: Bool = true) throws -> Workload {
        try TransactionScript.workload(
            [(1, try TransactionScript(text, name: "test"))], DatabaseLogin(user: "app"), at: .tcp(host: "127.0.0.1", port: 1), mode: mode,
            scale: 3, seed: 7, keepsAlive: keepsAlive)
    }

    private static func text(_ buffer: ByteBuffer) -> String { String(buffer: buffer).filter { $0 != "\0" } }

    @Test(arguments: [
        ("1 + 2 * 3", 7), ("(1 + 2) * 3", 9), ("-5 + 10", 5), ("17 / 5", 3), ("17 % 5", 2), ("100000 * :scale", 300_000), ("2 - -3", 5),
    ]) func `whole numbers are computed as pgbench does`(_ text: String, _ value: Int64) {
        #expect(Self.value(text, ["scale": 3]) == value)
    }

    @Test(arguments: ["1 +", "sin(1)", "random(1)", ":", "(1", "1 2", "random_zipfian(1, 5, 0)", String(repeating: "(", count: 100)])
    func `what is no expression is refused`(_ text: String) { #expect(Self.value(text) == nil) }

    @Test(arguments: ["9223372036854775807 + 1", "1 / 0", "1 % 0", ":unknown", "random(2, 1)", "9223372036854775807 * 2"])
    func `what has no value has none, and traps nothing`(_ text: String) { #expect(Self.value(text) == nil) }

    @Test func `draws stay in their range, and zipfian ones are mostly at its beginning`() throws {
        var small = 0
        for seed in 0..<1000 as Range<UInt64> {
            let even = try #require(Self.value("random(5, 9)", seed: seed))
            #expect((5...9).contains(even))
            let skewed = try #require(Self.value("random_zipfian(1, 1000, 1.2)", seed: seed))
            #expect((1...1000).contains(skewed))
            if skewed <= 10 { small += 1 }
        }
        // The first ten of a thousand have 57 % of the weight.
        #expect((500...640).contains(small))
    }

    @Test func `statements end at their semicolons, not at those in quotes and comments`() throws {
        let workload = try Self.workload("SELECT ';' -- ; no\n, \":x\";\nSELECT\n2")
        guard case .transaction(let next) = workload.requests[0].asking else { throw CancellationError() }
        #expect(Self.text(workload.requests[0].bytes).contains("SELECT ';' -- ; no\n, \":x\""))
        #expect(next.map { Self.text($0) }.first?.contains("SELECT\n2") == true && next.count == 1)
    }

    @Test func `names stand for numbers, casts do not, and the parts are sent one after the other`() throws {
        let workload = try Self.workload("\\set n 40 + 2\nSELECT :n::text, ':n';\nSELECT :scale;")
        #expect(Self.text(workload.requests[0].bytes).contains("SELECT 42::text, ':n'"))
        guard case .transaction(let next) = workload.requests[0].asking else { throw CancellationError() }
        #expect(next.map { Self.text($0) }.first?.contains("SELECT 3") == true)
    }

    @Test func `extended and prepared send parameters`() throws {
        let extended = Self.text(try Self.workload("\\set n 42\nSELECT :n;", mode: .extended).requests[0].bytes)
        #expect(extended.contains("SELECT $1") && extended.contains("42"))
        let prepared = try Self.workload("\\set n 42\nSELECT :n;", mode: .prepared)
        let bytes = Self.text(prepared.requests[0].bytes)
        #expect(!bytes.contains("SELECT") && bytes.contains("s0") && bytes.contains("42"))
        guard case .database(let login) = prepared.speech else { throw CancellationError() }
        #expect(login.statements == ["SELECT $1"])
    }

    @Test func `a connection per transaction takes its leave`() throws {
        let bytes = try Self.workload("SELECT 1", keepsAlive: false).requests[0].bytes
        #expect(Array(bytes.readableBytesView.suffix(5)) == [UInt8(ascii: "X"), 0, 0, 0, 4])
    }

    @Test func `the same seed draws the same numbers`() throws {
        let text = "\\set n random(1, 1000000)\nSELECT :n;"
        let (one, other) = (try Self.workload(text), try Self.workload(text))
        #expect(one.requests.map(\.bytes) == other.requests.map(\.bytes))
        #expect(Set(one.requests.map { Self.text($0.bytes) }).count > 9000)
    }

    @Test(arguments: ["", "-- nothing", "\\setrandom n 1 2\nSELECT 1;", "\\set n\nSELECT 1;", "\\set n foo(1)\nSELECT :n;", "SELECT :never;", ";;"])
    func `a script that says nothing, or what is not understood, is refused`(_ text: String) {
        #expect(throws: TransactionScript.Invalid.self) { try Self.workload(text) }
    }

    @Test func `pgbench's own scripts are all there`() throws {
        for (name, text) in TransactionScript.builtIn { _ = try TransactionScript(text, name: name) }
        #expect(TransactionScript.builtIn.keys.sorted() == ["select-only", "simple-update", "tpcb-like"])
    }
}
