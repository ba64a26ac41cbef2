import NIOCore
import PostgresWire
import Testing

@testable import Pooler

/// Batches on each other's heels, of which one fails: what it was to prepare or close it has not, for those behind it either.
@Suite struct PipelineTests {
    @Test func `a statement of a batch that fails is not there for the batch behind it`() {
        var talk = Talk()
        let sent = talk.ask("P:|bad", "P:a|select 1", "S:", "B:|a|", "E:", "S:")
        #expect(sent.requests == ["P:|bad", "P:headrace_1|select 1", "S"])
        #expect(talk.answer("E:42601", "Z:I") == ["E:42601", "Z:I"])
        // PostgreSQL says that there is none, in the client's words.
        #expect(talk.ask().requests == ["B:|a", "E", "S"])
        #expect(talk.answer("E:26000", "Z:I") == ["E:26000", "Z:I"])
        #expect(talk.session.isQuiescent && talk.session.statements.count == 0 && talk.client.count == 0)
    }

    @Test func `a statement of a batch that does not fail is there, one round trip later`() {
        var talk = Talk()
        #expect(talk.ask("P:a|select 1", "S:", "B:|a|", "E:", "S:").requests == ["P:headrace_1|select 1", "S"])
        #expect(talk.answer("1:") == ["1"])
        #expect(talk.ask().requests == ["B:|headrace_1", "E", "S"])
        #expect(talk.answer("Z:I", "2:", "C:SELECT 1", "Z:I") == ["Z:I", "2", "C:SELECT 1", "Z:I"])
        #expect(talk.session.isQuiescent)
    }

    @Test func `what has nothing to do with it does not wait`() {
        var talk = Talk(preparedMax: 4)
        _ = talk.ask("P:a|select 1", "S:")
        _ = talk.answer("1:", "Z:I")
        #expect(
            talk.ask("P:b|select 2", "S:", "B:|a|", "E:", "S:", "P:c|select 3", "S:", "Q:x").requests
                == ["P:headrace_2|select 2", "S", "B:|headrace_1", "E", "S", "P:headrace_3|select 3", "S", "Q:x"])
    }

    @Test func `what the pooler was to prepare unseen in a batch that fails is prepared for the batch behind it`() {
        var talk = Talk()
        _ = talk.ask("P:a|select 1", "S:")
        _ = talk.answer("1:", "Z:I")
        // On a server connection that does not have it.
        talk.session.statements.removeAll()
        let batch = ["P:headrace_1|select 1", "B:|headrace_1", "E", "S"]
        #expect(talk.ask("P:|bad", "B:|a|", "E:", "S:", "B:|a|", "E:", "S:").requests == ["P:|bad"] + batch)
        #expect(talk.answer("E:42601", "Z:I") == ["E:42601", "Z:I"])
        #expect(talk.ask().requests == batch)
        #expect(talk.answer("1:", "2:", "C:SELECT 1", "Z:I") == ["2", "C:SELECT 1", "Z:I"])
    }

    @Test func `the same text under another name in the batch behind it is prepared, too`() {
        var talk = Talk()
        #expect(talk.ask("P:|bad", "P:a|select 1", "S:", "P:b|select 1", "S:").requests == ["P:|bad", "P:headrace_1|select 1", "S"])
        _ = talk.answer("E:42601", "Z:I")
        #expect(talk.ask().requests == ["P:headrace_1|select 1", "S"])
        #expect(talk.answer("1:", "Z:I") == ["1", "Z:I"])
    }

    @Test func `a name that was to mean something else means what it did`() {
        var talk = Talk()
        _ = talk.ask("P:a|select 1", "S:")
        _ = talk.answer("1:", "Z:I")
        #expect(talk.ask("P:|bad", "C:Sa", "P:a|select 2", "S:", "B:|a|", "E:", "S:").requests == ["P:|bad", "P:headrace_2|select 2", "S"])
        _ = talk.answer("E:42601", "Z:I")
        #expect(talk.ask().requests == ["B:|headrace_1", "E", "S"])
    }

    @Test func `a Close that is skipped leaves the statement to a Close, or a DEALLOCATE, behind it`() {
        for message in ["C:Sa", "Q:DEALLOCATE a"] {
            var talk = Talk()
            _ = talk.ask("P:a|select 1", "S:")
            _ = talk.answer("1:", "Z:I")
            _ = talk.ask("P:|bad", "C:Sa", "S:", message, "S:")
            #expect(talk.client.count == 0)
            _ = talk.answer("E:42601", "Z:I")
            // Until then it waited.
            #expect(talk.client.count == 1)
            #expect(talk.ask().requests == ["S"], "\(message)")
            #expect(talk.client.count == 0, "\(message)")
        }
    }

    @Test func `who made room in a batch that fails is still there`() {
        var talk = Talk(preparedMax: 1)
        _ = talk.ask("P:a|select 1", "S:")
        _ = talk.answer("1:", "Z:I")
        let sent = talk.ask("P:|bad", "P:b|select 2", "S:", "B:|a|", "E:", "S:").requests
        #expect(sent == ["P:|bad", "C:Sheadrace_1", "P:headrace_2|select 2", "S"])
        _ = talk.answer("E:42601", "Z:I")
        #expect(talk.ask().requests == ["B:|headrace_1", "E", "S"])
    }

    @Test func `a plan that was to be given up in a batch that fails is given up in the next`() {
        var talk = Talk()
        _ = talk.ask("P:a|select 1", "S:")
        _ = talk.answer("1:", "Z:I")
        _ = talk.ask("Q:begin")
        _ = talk.answer("C:BEGIN", "Z:T")
        _ = talk.ask("B:|a|", "E:", "S:")
        _ = talk.answer("E:0A000|RevalidateCachedQuery", "Z:E")
        let anew = ["C:Sheadrace_1", "P:headrace_1|select 1", "B:|headrace_1", "E", "S"]
        #expect(talk.ask("P:|bad", "B:|a|", "E:", "S:").requests == ["P:|bad"] + anew)
        _ = talk.answer("E:42601", "Z:E")
        #expect(talk.ask("B:|a|", "E:", "S:").requests == anew)
    }

    @Test func `an unnamed statement of a batch that fails is not bound by the batch behind it`() {
        var talk = Talk()
        #expect(talk.ask("P:|bad", "D:S", "S:", "B:||", "E:", "S:").requests == ["P:|bad", "D:S", "S"])
        _ = talk.answer("E:42601", "Z:I")
        // On the connection where it has failed there is none.
        #expect(talk.ask().requests == ["B", "E", "S"])
        var right = Talk()
        #expect(right.ask("P:|good", "D:S", "S:", "B:||", "E:", "S:").requests == ["P:|good", "D:S", "S"])
        _ = right.answer("1:", "t:", "n:", "Z:I")
        #expect(right.ask().requests == ["P:headrace_1|good", "B:|headrace_1", "E", "S"])
    }

    @Test(arguments: 1...30) func `an unnamed statement is bound in the next batch, wherever its own was cut`(piece: Int) {
        var talk = Talk()
        var bytes = Talk.bytes(["P:|good", "D:S", "S:"], isRequest: true)
        while let part = bytes.readSlice(length: min(piece, bytes.readableBytes)), part.readableBytes > 0 { _ = talk.pass(part) }
        _ = talk.answer("1:", "t:", "n:", "Z:I")
        #expect(talk.ask("B:||", "E:", "S:").requests == ["P:headrace_1|good", "B:|headrace_1", "E", "S"])
    }

    @Test func `an unnamed statement that fails before its batch has ended is not bound by the next`() {
        var talk = Talk()
        _ = talk.ask("P:|bad")
        _ = talk.answer("E:42601")
        #expect(talk.ask("D:S", "S:", "B:||", "E:", "S:").requests == ["D:S", "S", "B", "E", "S"])
    }

    @Test func `another client's unnamed statement is not bound, and not described`() {
        let batches: [([String], [String])] = [
            (["P:|bad", "D:S", "S:"], ["E:42601", "Z:I"]), (["P:|A", "B:||", "E:", "S:"], ["1:", "2:", "C:X", "Z:I"]),
            (["P:|\(String(repeating: "x", count: ServerSession.unnamedBytesMax))", "D:S", "S:"], ["1:", "t:", "n:", "Z:I"]), ([], []),
        ]
        for (requests, replies) in batches {
            for (message, expected) in [("B:||", "B"), ("D:S", "D:S")] {
                var talk = Talk()
                _ = talk.ask(bytes: Talk.bytes(requests, isRequest: true))
                _ = talk.answer(bytes: Talk.bytes(replies, isRequest: false))
                // It waited until the connection was released, and has another's now.
                talk.session = ServerSession(.init(), limits: PoolerConfiguration.Limits())
                var other = talk
                other.client = ClientStatements(max: 3)
                _ = other.ask("P:|foreign", "B:||", "E:", "S:")
                _ = other.answer("1:", "2:", "C:X", "Z:I")
                talk.session = other.session
                talk.session.leaseBegan()
                #expect(talk.ask(message, "E:", "S:").requests == ["C:S", expected, "E", "S"], "\(requests.first?.prefix(10) ?? "nothing")")
                // Our Close is answered for nobody.
                #expect(talk.answer("3:", "E:26000", "Z:I") == ["E:26000", "Z:I"])
                #expect(talk.session.isQuiescent)
            }
        }
    }

    @Test func `an unnamed statement of the same lease is bound again, as soon as it is sure that it is there`() {
        var talk = Talk()
        // First on the connection, it cannot have been skipped.
        #expect(talk.ask("P:|A", "B:||", "E:", "S:", "B:||", "E:", "S:").requests == ["P:|A", "B", "E", "S", "B", "E", "S"])
        for (answers, expected) in [(["2:", "1:", "2:", "Z:T"], ["B", "S"]), (["E:22P02", "Z:E"], ["C:S", "B", "S"])] {
            talk = Talk()
            _ = talk.ask("P:s|B", "S:")
            _ = talk.answer("1:", "Z:I")
            // Another's is here, and whether it is replaced depends on the first Bind.
            talk.session.leaseBegan()
            #expect(talk.ask("B:|s|", "P:|A", "B:||", "S:", "B:||", "S:").requests == ["B:|headrace_1", "P:|A", "B", "S"])
            _ = talk.answer(bytes: Talk.bytes(answers, isRequest: false))
            #expect(talk.ask().requests == expected)
        }
    }

    @Test func `a batch that waits behind one that began COPY goes on, and ends COPY with an error`() {
        var talk = Talk()
        let sent = talk.ask("P:a|copy", "B:|a|", "E:", "S:", "B:|a|", "E:", "S:").requests
        #expect(sent == ["P:headrace_1|copy", "B:|headrace_1", "E", "S"])
        #expect(talk.answer("1:", "2:", "G:") == ["1", "2", "G"])
        // No ReadyForQuery comes: this is what tells that it may go on.
        #expect(talk.outcome.hasBegunCopy && talk.outcome.readyCount == 0)
        #expect(talk.ask().requests == ["B:|headrace_1", "E", "S"])
        #expect(talk.answer("E:08P01", "Z:I") == ["E:08P01", "Z:I"])
        #expect(talk.session.isQuiescent)
        // The same when it did not wait.
        _ = talk.ask("B:|a|", "E:", "S:", "B:|a|", "E:", "S:")
        #expect(talk.answer("2:", "G:", "E:08P01", "Z:I") == ["2", "G", "E:08P01", "Z:I"])
        #expect(talk.session.isQuiescent)
    }

    @Test func `a simple query, and a Close, destroy the unnamed statement, in the middle of a batch, too`() {
        for (requests, replies) in [(["Q:x"], ["C:X", "Z:I"]), (["C:S"], ["3:"])] {
            for isApart in [false, true] {
                var talk = Talk()
                _ = talk.ask("P:|A")
                if isApart { _ = talk.answer("1:") }
                _ = talk.ask(bytes: Talk.bytes(requests + ["S:"], isRequest: true))
                _ = talk.answer(bytes: Talk.bytes((isApart ? [] : ["1:"]) + replies + ["Z:I"], isRequest: false))
                #expect(talk.session.isQuiescent && talk.client.unnamed == nil)
                #expect(talk.ask("B:||", "E:", "S:").requests == ["B", "E", "S"])
                // In one write.
                var whole = Talk()
                _ = whole.ask(bytes: Talk.bytes(["P:|A"] + requests + ["S:"], isRequest: true))
                #expect(whole.client.unnamed == nil)
                // What an earlier batch has left.
                var left = Talk()
                _ = left.ask("P:|A", "D:S", "S:")
                _ = left.answer("1:", "t:", "n:", "Z:I")
                _ = left.ask(bytes: Talk.bytes(requests + ["S:"], isRequest: true))
                #expect(left.client.unnamed == nil)
            }
        }
        var talk = Talk()
        _ = talk.ask("P:s1|B", "P:|A", "B:||", "S:")
        _ = talk.answer("1:", "1:", "2:", "Z:I")
        // PostgreSQL has not seen it.
        #expect(talk.ask("Q:DEALLOCATE s1").requests == [])
        #expect(talk.ask("B:||", "S:").requests == ["C:S", "B", "S"])
    }

    @Test func `with many under way the next waits for all, and then goes`() {
        var talk = Talk(preparedMax: 500, clientMax: 500)
        let count = ReplyQueue.searchedMax + 1
        for number in 0..<count { _ = talk.ask("P:s\(number)|select \(number)", "S:") }
        #expect(talk.ask("B:|s0|", "E:", "S:").requests == [])
        for _ in 0..<count {
            _ = talk.answer("1:", "Z:I")
            _ = talk.ask()
        }
        #expect(talk.session.queue.first?.kind == .bind)
        #expect(talk.client.count == count)
    }
}
