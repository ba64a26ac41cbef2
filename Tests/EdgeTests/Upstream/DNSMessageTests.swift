import TestSupport
import Testing

@testable import Edge

@Suite struct DNSMessageTests {
    private static let header: [UInt8] = [0x12, 0x34, 0x81, 0x80]

    private static func counts(_ questions: UInt8, _ answers: UInt8) -> [UInt8] { [0, questions, 0, answers, 0, 0, 0, 0] }

    /// `app.internal`, then the type and the class IN.
    private static func question(_ type: UInt8) -> [UInt8] { [3] + "app".utf8 + [8] + "internal".utf8 + [0, 0, type, 0, 1] }

    /// A record whose name points to the question's.
    private static func record(_ type: UInt8, seconds: UInt8 = 60, _ data: [UInt8]) -> [UInt8] {
        [0xC0, 12, 0, type, 0, 1, 0, 0, 0, seconds, UInt8(data.count >> 8), UInt8(data.count & 255)] + data
    }

    private static let twoAddresses = header + counts(1, 2) + question(1) + record(1, [10, 0, 0, 1]) + record(1, seconds: 30, [10, 0, 0, 2])
    /// Priority 10, weight 5, port 8080, target `b.app.internal` with a pointer to the question's name.
    private static let service = header + counts(1, 1) + question(33) + record(33, [0, 10, 0, 5, 0x1F, 0x90, 1] + Array("b".utf8) + [0xC0, 12])

    @Test func `addresses are read, with how long they hold`() throws {
        #expect(try DNSMessage(Self.twoAddresses).records == [
            .address([10, 0, 0, 1], seconds: 60), .address([10, 0, 0, 2], seconds: 30),
        ])
        let six = [UInt8](repeating: 0, count: 15) + [1]
        let message = try DNSMessage(Self.header + Self.counts(1, 1) + Self.question(28) + Self.record(28, six))
        #expect(message.records == [.address(six, seconds: 60)])
    }

    @Test func `a service is read, its target put together from pieces`() throws {
        #expect(try DNSMessage(Self.service).records == [
            .service(priority: 10, weight: 5, port: 8080, target: "b.app.internal", seconds: 60)
        ])
    }

    @Test func `records of other types and classes are passed over`() throws {
        let alias = Self.record(5, [1] + Array("x".utf8) + [0])
        let message = try DNSMessage(Self.header + Self.counts(1, 2) + Self.question(1) + alias + Self.record(1, [10, 0, 0, 1]))
        #expect(message.records == [.address([10, 0, 0, 1], seconds: 60)])
    }

    @Test func `a message that is cut anywhere is no message`() {
        for message in [Self.twoAddresses, Self.service] {
            for count in 0..<message.count {
                #expect(throws: DNSMessage.Fault.self) { try DNSMessage(Array(message.prefix(count))) }
            }
        }
    }

    @Test(arguments: [[0xC0, 12] as [UInt8], [1, 0x61, 0xC0, 41], [0x80, 0], [0x40, 0], [1, 0x2E, 0], [1, 0, 0], [1, 0xFF, 0]])
    func `pointers that lead in a circle, unknown labels and bytes of no host name are malformed`(target: [UInt8]) {
        // The service's target begins at 41: 12 + 18 of question, 12 of record, 6 of numbers, less what is counted from 0.
        let circle = target == [0xC0, 12] ? [0xC0, 48] : target == [1, 0x61, 0xC0, 41] ? [1, 0x61, 0xC0, 48] : target
        let message = Self.header + Self.counts(1, 1) + Self.question(33) + Self.record(33, [0, 1, 0, 1, 0, 80] + circle)
        #expect(throws: DNSMessage.Fault.malformed) { try DNSMessage(message) }
    }

    @Test func `an address of the wrong length is malformed`() {
        for count in [0, 3, 5, 16] {
            let message = Self.header + Self.counts(1, 1) + Self.question(1) + Self.record(1, [UInt8](repeating: 1, count: count))
            #expect(throws: DNSMessage.Fault.malformed) { try DNSMessage(message) }
        }
    }

    @Test func `so many records are read and no more`() throws {
        let many = (0..<300).flatMap { _ in Self.record(1, [10, 0, 0, 1]) }
        let message = Self.header + [0, 1, 1, 44, 0, 0, 0, 0] + Self.question(1) + many
        #expect(try DNSMessage(message).records.count == DNSMessage.recordsMax)
    }

    @Test(arguments: 0..<50)
    func `bytes that were changed at random never trap`(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        for _ in 0..<200 {
            var message = random.pick([Self.twoAddresses, Self.service])
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                message[Int.random(in: 0..<message.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            _ = try? DNSMessage(message)
        }
    }

    @Test func `the targets of a service rank by their priority, and have at least a little weight`() throws {
        let records: [[UInt8]] = [
            [0, 20, 0, 9, 0, 80, 1, 0x63, 0], [0, 10, 0, 0, 0, 81, 1, 0x61, 0], [0, 10, 0, 7, 0, 82, 1, 0x62, 0], [0, 10, 0, 7, 0, 0, 1, 0x64, 0],
        ]
        let message = try DNSMessage(Self.header + Self.counts(1, 4) + Self.question(33) + records.flatMap { Self.record(33, $0) })
        let (targets, seconds) = ResolvedMembers.targets(message)
        #expect(
            targets == [
                .init(host: "c", port: 80, weight: 9, rank: 1), .init(host: "a", port: 81, weight: 1, rank: 0),
                .init(host: "b", port: 82, weight: 7, rank: 0),
            ])
        #expect(seconds == 60)
        let none = try DNSMessage(Self.header + Self.counts(1, 1) + Self.question(33) + Self.record(33, [0, 0, 0, 0, 0, 0, 0]))
        #expect(ResolvedMembers.targets(none).targets.isEmpty, "RFC 2782: a target of . means that there is no such service")
    }
}
