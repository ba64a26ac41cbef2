import NIOCore
import PostgresWire
import Testing

@testable import Pooler

/// Conversations through a server connection, as PostgreSQL 15's "Message Flow" has them.
@Suite struct ServerSessionTests {
    @Test func `a simple query goes by as it is, and the connection is free when the server is idle`() {
        var talk = Talk()
        #expect(talk.ask("Q:select 1") == .init(requests: ["Q:select 1"], replies: [], outcome: .sent))
        #expect(!talk.session.isQuiescent)
        #expect(talk.answer("T:x", "D:1", "C:SELECT 1", "Z:I") == ["T:x", "D:1", "C:SELECT 1", "Z:I"])
        #expect(talk.outcome.readyCount == 1)
        #expect(talk.session.isQuiescent)
    }

    @Test(arguments: ["T", "E"]) func `a transaction, failed or not, keeps the connection`(status: String) {
        var talk = Talk()
        _ = talk.ask("Q:begin")
        _ = talk.answer("C:BEGIN", "Z:\(status)")
        #expect(!talk.session.isQuiescent)
        _ = talk.ask("Q:rollback")
        _ = talk.answer("C:ROLLBACK", "Z:I")
        #expect(talk.session.isQuiescent)
    }

    @Test func `of pipelined queries the last one's end counts`() {
        var talk = Talk()
        _ = talk.ask("Q:a", "Q:b")
        _ = talk.answer("C:A", "Z:I")
        #expect(talk.outcome.readyCount == 1 && !talk.session.isQuiescent)
        _ = talk.answer("C:B", "Z:I")
        #expect(talk.session.isQuiescent)
    }

    @Test func `what a pipeline's answers end is counted, however many of them come in one read`() {
        var talk = Talk()
        _ = talk.ask("Q:a", "Q:begin", "Q:b", "Q:commit", "P:|c", "B:||", "E:", "S:", "S:")
        _ = talk.answer("C:A", "Z:I", "C:BEGIN", "Z:T", "E:22012", "Z:E", "C:ROLLBACK", "Z:I", "1:", "2:", "C:C", "Z:I")
        #expect(talk.outcome.readyCount == 5 && talk.outcome.idleCount == 3 && !talk.session.isQuiescent)
        _ = talk.answer("Z:I")
        #expect(talk.outcome.readyCount == 1 && talk.outcome.idleCount == 1 && talk.session.isQuiescent)
        // Of ours none counts.
        var bytes = ByteBuffer()
        talk.session.setupSent(["set a", "set b"], to: &bytes)
        _ = talk.answer("C:SET", "Z:I", "C:SET", "Z:I")
        #expect(talk.outcome.readyCount == 0 && talk.outcome.idleCount == 0 && talk.outcome.setup == .done)
    }

    @Test func `a batch is open until its Sync is answered`() {
        var talk = Talk()
        _ = talk.ask("P:|select 1", "B:||", "E:", "H:")
        _ = talk.answer("1:", "2:", "D:1", "C:SELECT 1")
        #expect(!talk.session.isQuiescent)
        _ = talk.ask("S:")
        _ = talk.answer("Z:I")
        #expect(talk.session.isQuiescent)
    }

    @Test func `a named statement is prepared under our name, once per connection, and the client sees its own replies only`() {
        var talk = Talk()
        let first = talk.ask("P:s1|select 1", "S:")
        #expect(first.requests == ["P:headrace_1|select 1", "S"])
        #expect(talk.answer("1:", "Z:I") == ["1", "Z:I"])
        // Another name for the same text: answered here.
        let second = talk.ask("P:s2|select 1", "S:")
        #expect(second.requests == ["S"])
        #expect(second.replies == ["1"])
        #expect(talk.answer("Z:I") == ["Z:I"])
        #expect(talk.ask("B:p|s2|x", "D:Ss1", "E:p", "S:").requests == ["B:p|headrace_1|x", "D:Sheadrace_1", "E:p", "S"])
        #expect(talk.answer("2:", "t:", "T:x", "C:SELECT 1", "Z:I") == ["2", "t", "T:x", "C:SELECT 1", "Z:I"])
        #expect(talk.session.isQuiescent)
    }

    @Test func `on a connection that has not seen the statement it is prepared unseen`() {
        var talk = Talk()
        _ = talk.ask("P:s1|select 1", "S:")
        _ = talk.answer("1:", "Z:I")
        talk.session = ServerSession(.init(), limits: PoolerConfiguration.Limits())
        #expect(talk.ask("B:|s1|", "E:", "S:").requests == ["P:headrace_1|select 1", "B:|headrace_1", "E", "S"])
        #expect(talk.answer("1:", "2:", "C:SELECT 1", "Z:I") == ["2", "C:SELECT 1", "Z:I"])
    }

    @Test func `an answer of ours comes where its message stands in the batch`() {
        var talk = Talk()
        _ = talk.ask("P:s1|select 1", "S:")
        _ = talk.answer("1:", "Z:I")
        let sent = talk.ask("B:|s1|", "P:s2|select 1", "C:Ss1", "E:", "S:")
        #expect(sent.requests == ["B:|headrace_1", "E", "S"])
        #expect(sent.replies == [])
        #expect(talk.answer("2:", "C:X", "Z:I") == ["2", "1", "3", "C:X", "Z:I"])
    }

    @Test func `an unnamed statement that is described first is bound later, on any connection`() {
        var talk = Talk()
        #expect(talk.ask("P:|select 1", "D:S", "S:").requests == ["P:|select 1", "D:S", "S"])
        _ = talk.answer("1:", "t:", "T:x", "Z:I")
        talk.session = ServerSession(.init(), limits: PoolerConfiguration.Limits())
        #expect(talk.ask("B:||", "E:", "S:").requests == ["P:headrace_1|select 1", "B:|headrace_1", "E", "S"])
        #expect(talk.answer("1:", "2:", "C:X", "Z:I") == ["2", "C:X", "Z:I"])
        // A simple query destroys it, and a batch that parses and binds keeps nothing.
        _ = talk.ask("Q:x")
        #expect(talk.client.unnamed == nil)
        _ = talk.ask("P:|select 2", "B:||", "E:", "S:")
        #expect(talk.client.unnamed == nil)
    }

    @Test func `DEALLOCATE of a statement that has another name at the server is answered here, in its turn`() {
        var talk = Talk()
        _ = talk.ask("P:s1|select 1", "S:")
        _ = talk.answer("1:", "Z:I")
        #expect(talk.ask("Q:a", "Q:DEALLOCATE s1").requests == ["Q:a"])
        #expect(talk.answer("C:A", "Z:T") == ["C:A", "Z:T", "C:DEALLOCATE", "Z:T"])
        #expect(talk.client.find("s1") == nil)
        #expect(talk.ask("Q:DEALLOCATE s1").requests == ["Q:DEALLOCATE s1"])
    }

    @Test(arguments: [
        ("DEALLOCATE s1", "s1"), ("deallocate prepare S1 ;", "s1"), ("DEALLOCATE SÉ", "sÉ"), ("DEALLOCATE \"S 1\"", "S 1"), ("DEALLOCATE \"a\"\"b\";", "a\"b"),
        ("DEALLOCATE ALL", nil), ("DELETE FROM t", nil), ("DEALLOCATE s1; SELECT 1", nil), ("DEALLOCATE", nil), ("DEALLOCATE prepare", "prepare"),
    ] as [(String, String?)])
    func `the name in DEALLOCATE is read as SQL reads it`(text: String, name: String?) {
        let bytes = Talk.bytes(["Q:\(text)"], isRequest: true)
        guard case .message(let head) = MessageFraming.head(in: bytes, at: 0) else { return #expect(Bool(false)) }
        #expect(Deallocation.name(head, in: bytes, at: 0) == name)
    }

    @Test func `a DEALLOCATE of which a part has come waits for the rest: the server knows the statement by another name`() {
        let whole = Talk.bytes(["Q:DEALLOCATE s1"], isRequest: true)
        for count in 1..<whole.readableBytes {
            var talk = Talk()
            _ = talk.ask("P:s1|select 1", "S:")
            _ = talk.answer("1:", "Z:I")
            guard let part = whole.getSlice(at: 0, length: count), let rest = whole.getSlice(at: count, length: whole.readableBytes - count) else {
                return #expect(Bool(false))
            }
            var (requests, replies) = talk.pass(part)
            #expect(requests.readableBytes == 0 && replies.readableBytes == 0, "\(count)")
            (requests, replies) = talk.pass(rest)
            #expect(requests.readableBytes == 0 && Talk.read(replies, isRequest: false) == ["C:DEALLOCATE", "Z:I"], "\(count)")
        }
    }

    @Test func `what waits is dropped up to its end, if that is there`() {
        for (messages, isDropped, rest) in [
            (["Q:a", "Q:b"], true, ["Q:b"]), (["P:|a", "B:||", "E:", "S:", "Q:b"], true, ["Q:b"]), (["P:|a", "E:"], false, ["P:|a", "E"]),
        ] {
            var pending = Talk.bytes(messages, isRequest: true)
            #expect(WaitingRequest.drop(from: &pending) == isDropped)
            #expect(Talk.read(pending, isRequest: true) == rest)
        }
    }

    @Test func `what was used longest ago makes room, unseen`() {
        var talk = Talk(preparedMax: 2)
        _ = talk.ask("P:a|A", "P:b|B", "S:")
        _ = talk.answer("1:", "1:", "Z:I")
        _ = talk.ask("B:|a|", "S:")
        _ = talk.answer("2:", "Z:I")
        #expect(talk.ask("P:c|C", "S:").requests == ["C:Sheadrace_2", "P:headrace_3|C", "S"])
        #expect(talk.answer("3:", "1:", "Z:I") == ["1", "Z:I"])
        #expect(talk.session.statements.count == 2)
    }

    @Test func `what was to be prepared and made room in the same batch is not there when the batch has failed`() {
        var talk = Talk(preparedMax: 2, clientMax: 10)
        _ = talk.ask("P:a|A", "P:b|B", "S:")
        _ = talk.answer("1:", "1:", "Z:I")
        #expect(
            talk.ask("P:|bad", "P:c|C", "P:d|D", "P:e|E", "S:").requests
                == ["P:|bad", "C:Sheadrace_1", "P:headrace_3|C", "C:Sheadrace_2", "P:headrace_4|D", "C:Sheadrace_3", "P:headrace_5|E", "S"])
        #expect(talk.answer("E:42601", "Z:I") == ["E:42601", "Z:I"])
        #expect(talk.session.statements.count == 2)
        // Those two are there yet, and no other.
        #expect(talk.ask("B:|a|", "B:|b|", "S:").requests == ["B:|headrace_1", "B:|headrace_2", "S"])
        _ = talk.answer("2:", "2:", "Z:I")
        #expect(talk.ask("P:c|C", "S:").requests == ["C:Sheadrace_1", "P:headrace_3|C", "S"])
    }

    @Test func `after an error the server has skipped what followed, and what was not prepared is prepared anew`() {
        var talk = Talk()
        _ = talk.ask("P:a|A", "B:|a|", "P:b|B", "S:")
        #expect(talk.answer("E:42601", "Z:I") == ["E:42601", "Z:I"])
        #expect(talk.session.isQuiescent)
        #expect(talk.session.statements.count == 0)
        // The client has no such statement: the server says so.
        #expect(talk.ask("B:|a|", "S:").requests == ["B:|a", "S"])
        #expect(talk.answer("E:26000", "Z:I") == ["E:26000", "Z:I"])
        #expect(talk.ask("P:a|A", "S:").requests == ["P:headrace_1|A", "S"])
    }

    @Test func `a Parse or Close that the server skips changes nothing`() {
        var talk = Talk(preparedMax: 10)
        _ = talk.ask("P:a|A", "S:")
        _ = talk.answer("1:", "Z:I")
        // Sent before the error is known, in a pipeline whose next batch prepares the name anew.
        _ = talk.ask("P:|bad", "C:Sa", "P:b|B", "P:a|C", "S:", "P:b|D", "S:")
        #expect(talk.answer("E:42601", "Z:I", "1:", "Z:I") == ["E:42601", "Z:I", "1", "Z:I"])
        #expect(talk.client.find("a")?.body.first == UInt8(ascii: "A"))
        #expect(talk.client.find("b")?.body.first == UInt8(ascii: "D"))
        // And after it is known.
        _ = talk.ask("P:|bad", "H:")
        _ = talk.answer("E:42601")
        _ = talk.ask("C:Sa", "P:c|C", "S:")
        _ = talk.answer("Z:I")
        #expect(talk.client.find("a") != nil && talk.client.find("c") == nil)
        #expect(talk.session.isQuiescent)
    }

    @Test func `what comes after an error and before the Sync is skipped here, too`() {
        var talk = Talk()
        _ = talk.ask("P:|A", "H:")
        _ = talk.answer("E:42601")
        _ = talk.ask("B:||", "E:", "Q:x", "S:")
        #expect(talk.answer("Z:I") == ["Z:I"])
        #expect(talk.session.isQuiescent)
    }

    @Test func `an error in a simple query skips nothing`() {
        var talk = Talk()
        _ = talk.ask("Q:a", "P:|x", "S:")
        #expect(talk.answer("E:42601", "Z:I", "1:", "Z:I") == ["E:42601", "Z:I", "1", "Z:I"])
        #expect(talk.session.isQuiescent)
    }

    @Test func `DISCARD ALL and DEALLOCATE ALL leave nothing prepared`() {
        for tag in ["DISCARD ALL", "DEALLOCATE ALL"] {
            var talk = Talk()
            _ = talk.ask("P:a|A", "S:")
            _ = talk.answer("1:", "Z:I")
            _ = talk.ask("Q:x")
            _ = talk.answer("C:\(tag)", "Z:I")
            #expect(talk.session.statements.count == 0)
        }
    }

    @Test func `COPY in both protocols: the Sync that libpq sends on the heels of Execute is not answered`() {
        var simple = Talk()
        _ = simple.ask("Q:copy")
        _ = simple.answer("G:")
        _ = simple.ask("d:1", "d:2", "c:")
        #expect(simple.answer("C:COPY 2", "Z:I") == ["C:COPY 2", "Z:I"])
        #expect(simple.session.isQuiescent)
        for isLate in [false, true] {
            var extended = Talk()
            _ = extended.ask("P:|copy", "B:||", "E:", "S:")
            if !isLate { _ = extended.answer("1:", "2:", "G:") }
            _ = extended.ask("d:1", "c:", "S:")
            if isLate { _ = extended.answer("1:", "2:", "G:") }
            #expect(extended.answer("C:COPY 1", "Z:I") == ["C:COPY 1", "Z:I"])
            #expect(extended.session.isQuiescent)
        }
    }

    @Test func `a COPY that fails, or that ended, is the client's until the Sync that the server sees`() {
        for end in ["E:22P02", "C:COPY 1"] {
            var talk = Talk()
            _ = talk.ask("P:|copy", "B:||", "E:", "S:")
            _ = talk.answer("1:", "2:", "G:")
            _ = talk.ask("d:1")
            if end.hasPrefix("C") { _ = talk.ask("c:") }
            #expect(talk.answer(end) == [end])
            #expect(!talk.session.isQuiescent, "\(end)")
            _ = talk.ask("S:")
            #expect(talk.answer("Z:I") == ["Z:I"])
            #expect(talk.session.isQuiescent, "\(end)")
        }
    }

    @Test func `a query of ours is seen by nobody, and its error is kept`() {
        var talk = Talk()
        var output = ByteBuffer()
        talk.session.setupSent("set x", to: &output)
        #expect(talk.answer("S:x|1", "C:SET", "Z:I") == [])
        #expect(talk.outcome.setup == .done)
        talk.session.setupSent("set x", to: &output)
        #expect(talk.answer("E:22023", "Z:I") == [])
        #expect(talk.outcome.setup == .failed)
        #expect(talk.session.setupError == .init(severity: "ERROR", sqlState: "22023", message: "no"))
    }

    @Test func `parameters that the server reports are told`() {
        var talk = Talk()
        _ = talk.ask("Q:set")
        #expect(talk.answer("S:TimeZone|UTC", "C:SET", "Z:I") == ["S:TimeZone|UTC", "C:SET", "Z:I"])
        #expect(talk.outcome.hasParameters)
        #expect(talk.session.takeReportedChanges() == [.init("TimeZone", "UTC")])
        #expect(talk.session.takeReportedChanges() == [])
        #expect(talk.session.reported["TimeZone"] == "UTC")
    }

    @Test(arguments: [["2:"], ["1:"], ["3:"], ["Z:I"], ["Z:X"], ["?:"]]) func `what is no answer loses the connection`(messages: [String]) {
        var talk = Talk()
        _ = talk.answer(bytes: Talk.bytes(messages, isRequest: false))
        #expect(talk.outcome.isLost)
    }

    @Test func `lengths that lie are refused on both sides`() {
        for length in [UInt32(0), 3, 1 << 30, .max] {
            var bytes = ByteBuffer()
            bytes.writeInteger(UInt8(ascii: "Q"))
            bytes.writeInteger(length)
            var talk = Talk()
            #expect(talk.ask(bytes: bytes).outcome == .refused(.messageLengthOutOfBounds))
            _ = talk.answer(bytes: bytes)
            #expect(talk.outcome.isLost)
        }
    }

    @Test func `messages that no client may send are refused`() {
        var talk = Talk()
        #expect(talk.ask("p:x").outcome == .refused(.messageUnexpected))
        #expect(talk.ask("Z:I").outcome == .refused(.messageUnexpected))
        var closing = Talk()
        #expect(closing.ask("Q:a", "X:") == .init(requests: ["Q:a"], replies: [], outcome: .terminated))
    }

    @Test(arguments: [(3, true), (4, false)]) func `a client's statements have a bound`(count: Int, isAccepted: Bool) {
        var talk = Talk()
        var outcome = ServerSession.RequestOutcome.sent
        for index in 1...count { outcome = talk.ask("P:s\(index)|x").outcome }
        #expect(outcome == (isAccepted ? .sent : .refused(.tooManyStatements)))
    }

    @Test(arguments: [(100, true), (101, false)]) func `a statement that is kept has a bound`(bytes: Int, isAccepted: Bool) {
        var talk = Talk()
        // Type, length, "s", two terminators.
        let outcome = talk.ask("P:s|\(String(repeating: "x", count: bytes - 8))").outcome
        #expect(outcome == (isAccepted ? .sent : .refused(.statementTooLong)))
    }

    @Test func `more requests are taken when replies have come`() {
        var talk = Talk()
        let many = Talk.bytes(Array(repeating: "E:", count: ServerSession.unansweredMax + 1) + ["S:"], isRequest: true)
        _ = talk.ask(bytes: many)
        #expect(talk.session.queue.count == ServerSession.unansweredMax)
        _ = talk.answer("C:A", "C:B")
        _ = talk.ask(bytes: ByteBuffer())
        #expect(talk.session.queue.count == ServerSession.unansweredMax)
    }

    /// A conversation with all that changes messages, cut into pieces of every size: both sides see the same bytes.
    @Test(arguments: 1...40) func `any split gives the same`(piece: Int) {
        func run(_ piece: Int) -> (ByteBuffer, ByteBuffer) {
            var talk = Talk()
            var (toServer, toClient) = (ByteBuffer(), ByteBuffer())
            let conversation: [([String], [String])] = [
                (["P:s1|select 1", "B:p|s1|abc", "E:p", "S:"], ["1:", "2:", "D:0123456789", "C:SELECT 1", "Z:I"]),
                (["P:s2|select 1", "B:|s2|x", "D:Ss2", "C:Ss1", "E:", "S:"], ["2:", "t:", "T:row", "C:SELECT 1", "Z:T"]),
                (["Q:\(String(repeating: "long", count: 30))"], ["S:a|b", "E:42601", "Z:E"]),
            ]
            for (requests, replies) in conversation {
                var bytes = Talk.bytes(requests, isRequest: true)
                while let part = bytes.readSlice(length: min(piece, bytes.readableBytes)), part.readableBytes > 0 {
                    let (requests, replies) = talk.pass(part)
                    toServer.writeImmutableBuffer(requests)
                    toClient.writeImmutableBuffer(replies)
                }
                var answer = Talk.bytes(replies, isRequest: false)
                while let part = answer.readSlice(length: min(piece, answer.readableBytes)), part.readableBytes > 0 {
                    toClient.writeImmutableBuffer(talk.answer(bytes: part))
                }
            }
            return (toServer, toClient)
        }
        let (whole, parts) = (run(10_000), run(piece))
        #expect(Talk.read(parts.0, isRequest: true) == Talk.read(whole.0, isRequest: true))
        #expect(Talk.read(parts.1, isRequest: false) == Talk.read(whole.1, isRequest: false))
    }
}
