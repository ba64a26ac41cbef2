import NIOCore
import PostgresWire
import TestSupport
import Testing

@testable import Pooler

/// One server connection's session under random conversations.
///
/// How it works:
/// 1. One seed makes one conversation. The bytes of both sides are cut anywhere and come in any order that the protocol allows.
/// 2. With a client and a server that keep to the protocol, the client must see the same bytes as from the server itself: ``ModelServer`` is asked
///    once directly, and once through the session, which has room for two statements and so closes and prepares all the time.
/// 3. With bytes that are damaged, or messages that nobody expects, nothing traps, what is kept stays bounded, and the session says so: the
///    client is refused with a word that has an SQLSTATE, or the server's connection is lost.
@Suite struct SessionFuzzTests {
    // MARK: Who keeps to the protocol

    /// A client that names statements, runs them in batches and queries, and breaks off transactions.
    private struct ModelClient {
        var random: SeededRandom
        private var known: Set<String> = []

        init(seed: UInt64) {
            random = SeededRandom(seed: seed)
        }

        private static let texts = ["one", "two", "three", "four", "begin", "commit", "error"]

        /// Messages up to one that is answered by ReadyForQuery.
        /// - Parameter isFailed: the transaction has failed: then it prepares nothing and gives nothing back, since the session answers both
        ///   by itself, and says yes where the server says 25P02.
        mutating func unit(isFailed: Bool) -> [String] {
            if isFailed {
                switch Int.random(in: 0..<4, using: &random) {
                case 0: return ["Q:" + random.pick(["one", "commit", "error", "empty"])]
                case 1: return ["P:|\(random.pick(Self.texts))", "B:||", "E:\0\0\0\0\0", "S:"]
                default:
                    guard let name = known.sorted().randomElement(using: &random) else { return ["Q:commit"] }
                    return (random.chance(oneIn: 3) ? ["D:S\(name)"] : []) + ["B:|\(name)|", "E:\0\0\0\0\0", "S:"]
                }
            }
            switch Int.random(in: 0..<10, using: &random) {
            case 0: return ["Q:" + random.pick(["one", "begin", "commit", "error", "empty"])]
            case 1:
                guard let name = known.sorted().randomElement(using: &random) else { return ["S:"] }
                known.remove(name)
                return ["Q:DEALLOCATE \(name)"]
            case 2: return ["Q:copyin", "d:some", "d:rows", "c:"]
            case 3: return ["F:\0\0\0\u{1}\0\0\0\0\0\0"]
            case 4:
                // It fails, and what follows is skipped.
                let first = random.pick([["P:|bad"], ["P:|nobind", "B:||"], ["P:|error", "B:||", "E:\0\0\0\0\0"]])
                return first + (random.chance(oneIn: 2) ? ["P:|one", "B:||", "E:\0\0\0\0\0"] : batch().dropLast()) + ["S:"]
            case 5:
                // Described in one batch, bound in the next, which does not wait for the replies.
                let first = ["P:|\(random.pick(["bad", "one", "two"]))", "D:S", "S:"]
                return (random.chance(oneIn: 3) ? [] : first) + ["B:||", "E:\0\0\0\0\0", "S:"]
            default: return batch()
            }
        }

        private mutating func batch() -> [String] {
            var messages: [String] = []
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                switch Int.random(in: 0..<6, using: &random) {
                case 0, 1:
                    let name = random.pick(["a", "b", "c"])
                    messages.append("P:\(name)|\(random.chance(oneIn: 8) ? "bad" : random.pick(Self.texts))")
                    known.insert(name)
                case 2: messages += ["P:|\(random.pick(Self.texts))"] + (random.chance(oneIn: 2) ? ["D:S"] : []) + ["B:||", "E:\0\0\0\0\0"]
                case 3:
                    guard let name = known.sorted().randomElement(using: &random), random.chance(oneIn: 2) else { continue }
                    messages.append("C:S\(name)")
                    known.remove(name)
                default:
                    guard let name = known.sorted().randomElement(using: &random) else { continue }
                    if random.chance(oneIn: 3) { messages.append("D:S\(name)") }
                    messages.append("B:|\(name)|")
                    if random.chance(oneIn: 2) { messages.append("D:P") }
                    messages.append("E:\0\0\0\0\0")
                    if random.chance(oneIn: 4) { messages.append("H:") }
                }
            }
            return messages + ["S:"]
        }
    }

    /// A PostgreSQL that knows as much as the protocol needs. In a transaction that has failed it makes no statement and runs none but the
    /// transaction's end, and looks for a name before it says so.
    /// - Source: exec_parse_message, exec_bind_message and exec_describe_statement_message of PostgreSQL's postgres.c.
    private struct ModelServer {
        private var statements: [String: String] = [:]
        private var portals: [String: String] = [:]
        private var status = TransactionStatus.idle
        private var isSkipping = false
        private var isCopying = false
        private var pending = ByteBuffer()

        /// - Parameter unnamed: of a client that was there before.
        init(unnamed: String? = nil) {
            statements[""] = unnamed
        }

        mutating func received(_ bytes: ByteBuffer) -> ByteBuffer {
            pending.writeImmutableBuffer(bytes)
            var replies: [String] = []
            while case .message(let head) = MessageFraming.head(in: pending, at: pending.readerIndex), var message = pending.readSlice(length: head.bytes) {
                message.moveReaderIndex(forwardBy: MessageFraming.headBytes)
                replies += answer(head.kind, &message)
            }
            return Talk.bytes(replies, isRequest: false)
        }

        var isFailed: Bool { status == .failed }

        private func isBarred(_ text: String) -> Bool { status == .failed && text != "commit" && text != "empty" }

        private var ready: String { "Z:\(String(decoding: [status.rawValue], as: UTF8.self))" }

        private mutating func failed(_ sqlState: String) -> [String] {
            if status == .inTransaction { status = .failed }
            portals = [:]
            return ["E:\(sqlState)"]
        }

        private mutating func answer(_ kind: UInt8, _ message: inout ByteBuffer) -> [String] {
            if isCopying {
                guard kind == FrontendKind.copyDone else { return [] }
                isCopying = false
                return ["C:COPY 2", ready]
            }
            if isSkipping, kind != FrontendKind.sync { return [] }
            switch kind {
            case FrontendKind.query:
                let text = message.readNullTerminatedString() ?? ""
                if text == "copyin" {
                    isCopying = true
                    return ["G:\0\0\0"]
                }
                let replies = run(text, isQuery: true)
                return replies + [ready]
            case FrontendKind.functionCall: return (status == .failed ? failed("25P02") : ["V:\0\0\0\0"]) + [ready]
            case FrontendKind.parse:
                let (name, text) = (message.readNullTerminatedString() ?? "", message.readNullTerminatedString() ?? "")
                if name.isEmpty { statements[""] = nil }
                guard text != "bad" else { return skip("42601") }
                if isBarred(text) { return skip("25P02") }
                statements[name] = text
                return ["1:"]
            case FrontendKind.bind:
                let (portal, name) = (message.readNullTerminatedString() ?? "", message.readNullTerminatedString() ?? "")
                guard let text = statements[name] else { return skip("26000") }
                if isBarred(text) { return skip("25P02") }
                guard text != "nobind" else { return skip("22P02") }
                portals[portal] = text
                return ["2:"]
            case FrontendKind.describe:
                let target = message.readInteger(as: UInt8.self)
                let name = message.readNullTerminatedString() ?? ""
                guard let text = (target == UInt8(ascii: "S") ? statements : portals)[name] else { return skip("26000") }
                if isBarred(text) { return skip("25P02") }
                return (target == UInt8(ascii: "S") ? ["t:\0\0"] : []) + ["T:=\(text)"]
            case FrontendKind.execute:
                guard let text = portals[message.readNullTerminatedString() ?? ""] else { return skip("34000") }
                let replies = run(text, isQuery: false)
                if replies.first?.hasPrefix("E:") == true { isSkipping = true }
                return replies
            case FrontendKind.close:
                let target = message.readInteger(as: UInt8.self)
                let name = message.readNullTerminatedString() ?? ""
                if target == UInt8(ascii: "S") { statements[name] = nil } else { portals[name] = nil }
                return ["3:"]
            case FrontendKind.sync:
                isSkipping = false
                if status == .idle { portals = [:] }
                return [ready]
            default: return []
            }
        }

        private mutating func skip(_ sqlState: String) -> [String] {
            isSkipping = true
            return failed(sqlState)
        }

        private mutating func run(_ text: String, isQuery: Bool) -> [String] {
            if isQuery { statements[""] = nil }
            if text.hasPrefix("DEALLOCATE ") {
                if status == .failed { return failed("25P02") }
                statements[String(text.dropFirst(11))] = nil
                return ["C:DEALLOCATE"]
            }
            switch text {
            case "begin":
                if status == .idle { status = .inTransaction }
                return ["C:BEGIN"]
            case "commit":
                let tag = status == .failed ? "ROLLBACK" : "COMMIT"
                status = .idle
                portals = [:]
                return ["C:\(tag)"]
            case "empty": return ["I:"]
            case _ where status == .failed: return failed("25P02")
            case "error": return failed("22012")
            default: return (isQuery ? ["T:=\(text)"] : []) + ["N:SNOTICE\0C00000\0Mhello\0\0", "D:\0\u{1}\0\0\0\u{1}x", "C:SELECT 1"]
            }
        }
    }

    private static func take(_ bytes: inout ByteBuffer, _ random: inout SeededRandom) -> ByteBuffer {
        let count = random.chance(oneIn: 3) ? bytes.readableBytes : Int.random(in: 0...min(bytes.readableBytes, 40), using: &random)
        let part = bytes.readSlice(length: count) ?? ByteBuffer()
        bytes.discardReadBytes()
        return part
    }

    @Test func `a client sees what it would see without a pooler`() {
        for seed in 1...1_000 as ClosedRange<UInt64> {
            var (client, random) = (ModelClient(seed: seed), SeededRandom(seed: seed &* 7919))
            var (direct, behind) = (ModelServer(), ModelServer(unnamed: "foreign"))
            var talk = Talk(preparedMax: 2, clientMax: 10, mode: seed.isMultiple(of: 2) ? .strict : nil)
            var (expected, seen) = (ByteBuffer(), ByteBuffer())
            var (toPooler, toServer, fromServer) = (ByteBuffer(), ByteBuffer(), ByteBuffer())
            var units = Int.random(in: 1...12, using: &random)
            var rounds = 0
            while units > 0 || toPooler.readableBytes + toServer.readableBytes + fromServer.readableBytes > 0 {
                switch Int.random(in: 0..<4, using: &random) {
                case 0 where units > 0:
                    units -= 1
                    let bytes = Talk.bytes(client.unit(isFailed: direct.isFailed), isRequest: true)
                    expected.writeImmutableBuffer(direct.received(bytes))
                    toPooler.writeImmutableBuffer(bytes)
                case 1:
                    let (requests, replies) = talk.pass(Self.take(&toPooler, &random))
                    toServer.writeImmutableBuffer(requests)
                    seen.writeImmutableBuffer(replies)
                case 2: fromServer.writeImmutableBuffer(behind.received(Self.take(&toServer, &random)))
                default:
                    seen.writeImmutableBuffer(talk.answer(bytes: Self.take(&fromServer, &random)))
                    #expect(!talk.outcome.isLost, "seed \(seed)")
                    toServer.writeImmutableBuffer(talk.session.takeRequests())
                    // What waited for replies.
                    guard talk.outcome.readyCount > 0 else { break }
                    let (requests, replies) = talk.pass(ByteBuffer())
                    toServer.writeImmutableBuffer(requests)
                    seen.writeImmutableBuffer(replies)
                }
                rounds += 1
                guard rounds < 100_000 else { return #expect(Bool(false), "seed \(seed): no end; seen \(Talk.read(seen, isRequest: false))") }
            }
            // Nothing waits any more.
            let (requests, replies) = talk.pass(ByteBuffer())
            #expect(requests.readableBytes == 0 && replies.readableBytes == 0, "seed \(seed)")
            #expect(seen == expected, "seed \(seed): \(Talk.read(seen, isRequest: false)), directly: \(Talk.read(expected, isRequest: false))")
            #expect(talk.session.queue.isEmpty, "seed \(seed)")
            #expect(talk.session.statements.count <= 2, "seed \(seed)")
        }
    }

    // MARK: Who does not

    private static let requests = [
        "Q:select 1", "Q:DEALLOCATE a", "P:a|select 1", "P:|select 1", "B:|a|", "B:||", "B:p|a|", "D:Sa", "D:P", "D:S", "E:", "E:p", "C:Sa", "C:Pp", "S:", "S:", "H:",
        "d:x", "c:", "f:no", "F:x", "X:", "p:secret", "?:", "P:", "B:", "D:", "C:",
    ]
    private static let replies = [
        "1:", "2:", "3:", "t:", "T:=a", "T:=a,b", "T:", "n:", "D:x", "C:SELECT 1", "C:DISCARD ALL", "C:", "I:", "s:", "Z:I", "Z:I", "Z:T", "Z:E", "Z:?", "Z:", "E:22012",
        "E:0A000|RevalidateCachedQuery", "E:0A000|RevalidateCachedQuery", "N:x", "S:a|b", "S:", "A:xxxx", "G:", "H:", "W:", "c:", "d:x", "V:", "?:",
    ]

    @Test func `whatever comes from both sides, nothing traps, and what is kept is bounded`() {
        var endings: [String: Int] = [:]
        for seed in 1...3_000 as ClosedRange<UInt64> {
            var random = SeededRandom(seed: seed)
            var talk = Talk(preparedMax: 2, mode: random.pick([nil, .strict, .resetAlways]))
            var (toPooler, fromServer) = (ByteBuffer(), ByteBuffer())
            // Some conversations are right for a while.
            let isDamaged = random.chance(oneIn: 3)
            steps: for _ in 0..<Int.random(in: 1...60, using: &random) {
                let isRequest = random.chance(oneIn: 2)
                var bytes = Talk.bytes([random.pick(isRequest ? Self.requests : Self.replies)], isRequest: isRequest)
                if isDamaged, random.chance(oneIn: 6) {
                    let index = Int.random(in: 0..<bytes.readableBytes, using: &random)
                    bytes.setInteger(UInt8.random(in: .min ... .max, using: &random), at: index)
                }
                if isRequest {
                    toPooler.writeImmutableBuffer(bytes)
                    let sent = talk.ask(bytes: Self.take(&toPooler, &random))
                    switch sent.outcome {
                    case .sent: break
                    case .terminated:
                        endings["terminated", default: 0] += 1
                        break steps
                    case .refused(let refusal):
                        #expect(refusal.sqlState.rawValue.utf8.count == 5 && !refusal.message.isEmpty)
                        endings[refusal.rawValue, default: 0] += 1
                        break steps
                    }
                } else {
                    fromServer.writeImmutableBuffer(bytes)
                    _ = talk.answer(bytes: Self.take(&fromServer, &random))
                    _ = talk.session.takeRequests()
                    if talk.outcome.isLost {
                        endings["lost", default: 0] += 1
                        break steps
                    }
                }
                #expect(talk.session.queue.count <= ServerSession.unansweredMax && talk.client.count <= 3 && talk.session.statements.count <= 2)
            }
        }
        // It got everywhere.
        #expect(endings.keys.count >= 5 && endings["lost", default: 0] > 100, "\(endings)")
    }

    @Test func `a start-up of any bytes ends in an answer, or waits for more`() {
        for seed in 1...3_000 as ClosedRange<UInt64> {
            var random = SeededRandom(seed: seed)
            var startup = ClientStartup(offersTLS: random.chance(oneIn: 2))
            var bytes = ByteBuffer()
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                switch Int.random(in: 0..<5, using: &random) {
                case 0: StartupPacket.writeTLSRequest(to: &bytes)
                case 1: StartupPacket.writeCancel(processID: 1, secret: Array(repeating: 1, count: random.pick([1, 4, 32])), to: &bytes)
                case 2: bytes.writeBytes((0..<Int.random(in: 1...40, using: &random)).map { _ in UInt8.random(in: .min ... .max, using: &random) })
                default:
                    StartupMessage(
                        user: random.pick(["app", ""]), database: "shop", replication: random.pick([nil, "true", "database", "no"]),
                        parameters: [.init("options", random.pick(["-c a=b", "-x", "--a=b", "-c", "\\"])), .init("a", "b")]
                    ).write(to: &bytes)
                }
                if random.chance(oneIn: 3), bytes.readableBytes > 0 {
                    bytes.setInteger(
                        UInt8.random(in: .min ... .max, using: &random), at: bytes.readerIndex + Int.random(in: 0..<bytes.readableBytes, using: &random))
                }
            }
            var input = ByteBuffer()
            feeding: while bytes.readableBytes > 0 {
                input.writeImmutableBuffer(Self.take(&bytes, &random))
                answers: while true {
                    switch startup.received(&input) {
                    case .wait: break answers
                    case .decline: continue
                    case .encrypt, .encryptDirectly, .cancel, .close: break feeding
                    case .refuse(let error):
                        #expect(error.severity == "FATAL" && error.sqlState.utf8.count == 5 && !error.message.isEmpty)
                        break feeding
                    case .login(let login):
                        #expect(!login.startup.user.isEmpty && login.parameters.count <= ParameterSets.parametersMax)
                        break feeding
                    }
                }
                #expect(input.readableBytes <= StartupPacket.bytesMax)
            }
        }
    }

    @Test func `a login at a server of any bytes ends, or waits for more`() {
        let messages = ["R:\0\0\0\0", "R:\0\0\0\u{3}", "R:\0\0\0\u{5}salt", "R:\0\0\0\u{A}SCRAM-SHA-256\0\0", "R:\0\0\0\u{B}r=x,s=eA==,i=4096", "R:\0\0\0\u{C}v=eA==", "S:a|b", "K:12345678", "Z:I", "E:28P01", "N:x", "R:", "v:x", "?:"]
        for seed in 1...2_000 as ClosedRange<UInt64> {
            var random = SeededRandom(seed: seed)
            var login = ServerLogin(user: "app", credential: random.pick([nil, .password(Array("secret".utf8))]), nonce: "nonce")
            var (bytes, input) = (ByteBuffer(), ByteBuffer())
            for _ in 0..<Int.random(in: 1...12, using: &random) { bytes.writeImmutableBuffer(Talk.bytes([random.pick(messages)], isRequest: false)) }
            if random.chance(oneIn: 2) {
                bytes.setInteger(UInt8.random(in: .min ... .max, using: &random), at: Int.random(in: 0..<bytes.readableBytes, using: &random))
            }
            feeding: while bytes.readableBytes > 0 {
                input.writeImmutableBuffer(Self.take(&bytes, &random))
                answers: while true {
                    switch login.received(&input) {
                    case .wait: break answers
                    case .send: continue
                    case .derive, .ready, .refused, .failed: break feeding
                    }
                }
                #expect(input.readableBytes <= ServerLogin.messageBytesMax)
            }
        }
    }
}
