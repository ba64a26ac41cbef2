import NIOCore
import Testing
import Transport

@testable import LoadGenerator

@Suite struct CommandMixTests {
    private static func workload(_ commands: [(weight: Int, text: String)], _ change: (inout CommandMix) -> Void = { _ in }) throws -> Workload {
        var mix = CommandMix(commands)
        change(&mix)
        return try mix.workload(KeyspaceLogin(), at: .tcp(host: "127.0.0.1", port: 1), keepsAlive: true)
    }

    @Test func `commands are arrays of bulk strings, with keys of sixteen bytes and values of their size`() throws {
        let text = String(buffer: try Self.workload([(1, #"SET {{key}} {{value}} "a b""#)]) { $0.valueBytes = 10; $0.keyCount = 5 }.requests[0].bytes)
        #expect(text.wholeMatch(of: /\*4\r\n\$3\r\nSET\r\n\$16\r\nkey:00000000000[1-5]\r\n\$10\r\n[a-z]{10}\r\n\$3\r\na b\r\n/) != nil, "\(text)")
    }

    @Test func `a mix has its weights, and a class for each command`() throws {
        let workload = try Self.workload([(9, "GET {{key}}"), (1, "SET {{key}} {{value}}")])
        #expect(workload.classNames == ["GET", "SET"])
        let sets = workload.requests.count { $0.classIndex == 1 }
        #expect(sets * 10 == workload.requests.count)
    }

    @Test func `a pipeline is one request with so many replies`() throws {
        let workload = try Self.workload([(1, "PING")]) { $0.pipeline = 16 }
        guard case .commands(16) = workload.requests[0].asking else { throw CancellationError() }
        #expect(String(buffer: workload.requests[0].bytes) == String(repeating: "*1\r\n$4\r\nPING\r\n", count: 16))
    }

    @Test func `zipfian keys are those of the distribution`() throws {
        let workload = try Self.workload([(1, "GET {{key}}")]) { $0.keyCount = 1000; $0.keyDistribution = .zipf(1) }
        let first = workload.requests.count { String(buffer: $0.bytes).contains("key:000000000001\r\n") }
        // 1/H(1000) of all: 13.4 %.
        #expect((0.10...0.17).contains(Double(first) / Double(workload.requests.count)))
    }

    @Test(arguments: ["", "  ", "GET {{name}}", "GET \"a"])
    func `what is no command is refused`(_ text: String) { #expect(throws: CommandMix.Invalid.self) { try Self.workload([(1, text)]) } }

    @Test func `more than fits into memory is refused, with how much it would be`() {
        #expect(throws: CommandMix.Invalid.self) {
            try Self.workload([(1, "SET {{key}} {{value}}")]) { $0.valueBytes = 1 << 20; $0.keyCount = 100_000 }
        }
    }
}
