import TestSupport
import Testing

@testable import Keyspace

/// Bytes that nobody in their right mind sends, to the parsers that clients and files reach: rules of ACL SETUSER, IDs and options of streams, payloads
/// of RESTORE, the append log's manifest.
///
/// How it works:
/// 1. One seed makes one input: right ones are cut, joined and changed in a byte or two, so that most get past the first check.
/// 2. Nothing may trap, and what is accepted must be sound: written and read again it is the same, and the tables' invariants hold.
/// 3. `Fuzz/` looks at the same parsers for as long as it is given, watching which branches are reached; this is the part that runs with every test.
@Suite struct HostileBytesTests {
    /// Cuts, joins, changes.
    private static func damaged(_ samples: [[UInt8]], _ random: inout SeededRandom) -> [UInt8] {
        var bytes = random.pick(samples)
        for _ in 0..<Int.random(in: 0...3, using: &random) {
            switch Int.random(in: 0..<5, using: &random) {
            case 0: bytes = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &random)))
            case 1: bytes += random.pick(samples).suffix(8)
            case 2: bytes.insert(UInt8.random(in: .min ... .max, using: &random), at: Int.random(in: 0...bytes.count, using: &random))
            default:
                guard !bytes.isEmpty else { continue }
                let index = Int.random(in: 0..<bytes.count, using: &random)
                bytes[index] = random.pick([0, 1, 0x7F, 0x80, 0xFE, 0xFF, bytes[index] ^ 1, bytes[index] &+ 1, UInt8.random(in: .min ... .max, using: &random)])
            }
        }
        return bytes
    }

    @Test func `rules that are accepted mean the same when they are written and read again`() {
        let samples = [
            "on", "off", "nopass", "resetpass", ">secret", "<secret", "#" + String(repeating: "a", count: 64), "!" + String(repeating: "a", count: 64), "~*", "~key:*",
            "%R~read:*", "%W~write:*", "%RW~both", "allkeys", "resetkeys", "&*", "&news.*", "allchannels", "resetchannels", "+@all", "-@all", "+get", "-set",
            "+config|get", "-config|set", "+@read", "-@dangerous", "allcommands", "nocommands", "reset", "+client|", "+|", "%", "%R", "%X~a", "+@", "@", "", "(+get ~a)",
            "clearselectors", "sanitize-payload", "+@none", "+nosuch", "-nosuch|sub",
        ].map(octets)
        for seed in 1...400 as ClosedRange<UInt64> {
            var random = SeededRandom(seed: seed)
            var rules = AccessRules()
            for _ in 0..<Int.random(in: 1...30, using: &random) {
                let rule = Self.damaged(samples, &random)
                let before = rules
                if rules.apply(rule) != nil { #expect(rules.text == before.text, "seed \(seed): \(String(decoding: rule, as: UTF8.self)) is refused and changes something") }
            }
            // What is no text cannot be written in a line of it.
            let text = rules.text
            guard !text.contains("\u{FFFD}") else { continue }
            var again = AccessRules()
            let refused = text.split(separator: " ").filter { again.apply(octets(String($0))) != nil }
            #expect(refused == [] && again.text == text, "seed \(seed): \(text)")
        }
    }

    @Test func `streams of any IDs and options stay in order`() {
        let ids = [
            "0", "1", "0-0", "0-1", "1-*", "*", "5-5", "5-*", "-", "+", "(5", "(5-5", "(0-0", "(18446744073709551615-18446744073709551615", "18446744073709551615",
            "18446744073709551615-18446744073709551615", "18446744073709551616", "-1", "5-", "-5", "5--5", "$", ">", "1-1-1", "", "٣", "1e3", "0x5",
        ].map(octets)
        for seed in 1...150 as ClosedRange<UInt64> {
            var random = SeededRandom(seed: seed)
            let conversation = Conversation()
            func id() -> [UInt8] { Self.damaged(ids, &random) }
            for _ in 0..<40 {
                conversation.now += 1
                let trim = random.pick([[], ["MAXLEN", "3"], ["MAXLEN", "~", "0"], ["MAXLEN", "=", "-1"], ["MINID", "5"], ["MAXLEN", "~", "5", "LIMIT", "2"], ["MINID"]]).map(octets)
                let count = random.pick([[], ["COUNT", "2"], ["COUNT", "0"], ["COUNT", "-1"], ["COUNT", "9223372036854775807"]]).map(octets)
                let words: [[UInt8]]
                switch Int.random(in: 0..<8, using: &random) {
                case 0, 1, 2: words = [octets("XADD"), octets("s")] + trim + [id(), octets("field"), octets("value")]
                case 3: words = [octets(random.pick(["XRANGE", "XREVRANGE"])), octets("s"), id(), id()] + count
                case 4: words = [octets("XREAD")] + count + [octets("STREAMS"), octets("s"), id()]
                case 5: words = [octets("XDEL"), octets("s"), id(), id()]
                case 6: words = [octets("XTRIM"), octets("s")] + trim
                default: words = [octets(random.pick(["XLEN", "XINFO", "DUMP", "TYPE"])), octets("s")]
                }
                let reply = conversation.say(words)
                #expect(!reply.isEmpty, "seed \(seed)")
            }
            let length = conversation.line("XLEN s")
            let all = conversation.line("XRANGE s - +")
            let found = all.split(separator: "|").filter { $0.contains("-") && $0.allSatisfy { $0.isNumber || $0 == "-" } }.compactMap { text -> SnapshotStream.ID? in
                let parts = text.split(separator: "-")
                guard parts.count == 2, let first = UInt64(parts[0]), let second = UInt64(parts[1]) else { return nil }
                return SnapshotStream.ID(first, second)
            }
            #expect(":\(found.count)|" == length, "seed \(seed): \(all)")
            #expect(zip(found, found.dropFirst()).allSatisfy { $0 < $1 }, "seed \(seed): \(found)")
            conversation.checkInvariants()
        }
    }

    /// A payload's checksum would stop every change at the door: of zero it says that there is none.
    private static func payload(_ value: SnapshotValue) -> [UInt8] { Array(DumpPayload.make(value).dropLast(10)) }

    @Test func `payloads of streams and packed lists are refused or sound`() {
        let small: [SnapshotValue] = [
            .stream(SnapshotSamples.stream), .stream(SnapshotStream()), .list([octets("one"), octets("-5"), octets("300")]), .set([octets("1"), octets("-70000")]),
            .set([octets("a"), octets("b")]), .hash([.init(name: octets("f"), value: octets("12"))]),
            .sortedSet([.init(bytes: octets("m"), score: 1.5), .init(bytes: octets("n"), score: -.infinity)]), .string(octets("text")),
        ]
        var samples = small.map(Self.payload)
        // The packed forms of Redis, which ours does not write: a list, a hash, a sorted set and a set as listpacks; a set of integers.
        let pair: [UInt8] = [11, 0, 0, 0, 2, 0, 0x81, 0x61, 2, 5, 1, 0xFF].enumerated().map { $0.offset == 0 ? 12 : $0.element }
        for type in [16, 17, 20] as [UInt8] { samples.append([type, UInt8(pair.count)] + pair) }
        samples.append([18, 1, 2, UInt8(pair.count)] + pair)
        samples.append([11, 12, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 2, 0])
        var restored = 0
        for seed in 1...4_000 as ClosedRange<UInt64> {
            var random = SeededRandom(seed: seed)
            let conversation = Conversation()
            let payload = Self.damaged(samples, &random) + [9, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            let reply = conversation.say([octets("RESTORE"), octets("k"), octets("0"), payload])
            guard reply == "+OK|" else {
                #expect(reply.hasPrefix("-"), "seed \(seed): \(reply)")
                continue
            }
            restored += 1
            conversation.checkInvariants()
            // What came in goes out and comes in again.
            let dump = DumpPayload.make((try? payload.withUnsafeBytes { bytes throws(DumpPayload.Refusal) in try DumpPayload.read(bytes, now: 1) }) ?? .string([]))
            #expect(conversation.say([octets("RESTORE"), octets("again"), octets("0"), dump]) == "+OK|", "seed \(seed)")
            for line in ["OBJECT ENCODING k", "TYPE k", "LRANGE k 0 -1", "SMEMBERS k", "HGETALL k", "ZRANGE k 0 -1", "XRANGE k - +", "MEMORY USAGE k", "COPY k l", "DEL k"] {
                #expect(!conversation.line(line).isEmpty)
            }
            conversation.checkInvariants()
        }
        #expect(restored > 300, "most were refused at once: \(restored)")
    }

    @Test func `a manifest that is accepted is the same when it is written and read again`() {
        let samples = [
            "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\nfile appendonly.aof.2.incr.aof seq 2 type i\n",
            "file a seq 9223372036854775807 type i\n", "file \"a b\" seq 1 type b\n", "file a seq -1 type h\nfile b seq 0 type h\n", "# remark\n\nfile a seq 1 type h\n",
            "file ../a seq 1 type b\n", "file a seq 1 type\n",
        ].map(octets)
        for seed in 1...3_000 as ClosedRange<UInt64> {
            var random = SeededRandom(seed: seed)
            let bytes = Self.damaged(samples, &random)
            guard let manifest = try? AppendLogManifest(parsing: bytes) else { continue }
            #expect((try? AppendLogManifest(parsing: manifest.bytes)) == manifest, "seed \(seed): \(String(decoding: bytes, as: UTF8.self))")
            for name in ([manifest.base].compactMap { $0 } + manifest.increments + manifest.history).map(\.name) {
                #expect(!name.contains("/") && name != ".." && !name.isEmpty, "seed \(seed): \(name)")
            }
        }
    }
}
