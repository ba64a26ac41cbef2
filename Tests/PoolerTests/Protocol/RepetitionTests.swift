import NIOCore
import PostgresWire
import Testing

@testable import Pooler

/// A plan that is outdated, and who hears of it.
@Suite struct RepetitionTests {
    private static let outdated = "E:0A000|RevalidateCachedQuery"
    private static let batch = ["B:|s1|", "E:", "S:"]
    private static let sent = ["B:|headrace_1", "E", "S"]

    /// A client that has prepared `s1` and was told of its columns.
    private func talk(columns: String? = "a") -> Talk {
        var talk = Talk()
        if let columns {
            _ = talk.ask("P:s1|select * from t", "D:Ss1", "S:")
            _ = talk.answer("1:", "t:", "T:=\(columns)", "Z:I")
        } else {
            _ = talk.ask("P:s1|select * from t", "S:")
            _ = talk.answer("1:", "Z:I")
        }
        return talk
    }

    private func expectUnseen(_ talk: inout Talk, columns: String, batch: [String] = Self.batch, sent: [String] = Self.sent) {
        #expect(talk.ask(bytes: Talk.bytes(batch, isRequest: true)).requests == sent)
        #expect(talk.answer(Self.outdated) == [])
        #expect(talk.answer("Z:I") == [])
        #expect(!talk.session.isQuiescent)
        #expect(talk.requested() == ["C:Sheadrace_1", "P:headrace_1|select * from t", "D:Sheadrace_1", "S"])
        #expect(talk.answer("3:", "1:", "t:", "T:=\(columns)") == [])
        #expect(talk.answer("Z:I") == [])
        #expect(talk.requested() == sent)
        #expect(talk.outcome.readyCount == 0)
    }

    private func expectError(_ talk: inout Talk) {
        #expect(talk.answer(Self.outdated, "Z:I") == ["E:0A000", "Z:I"])
        #expect(talk.requested() == [])
        #expect(talk.session.isQuiescent)
        // Prepared anew when it is used again.
        #expect(talk.ask("B:|s1|", "E:", "S:").requests == ["C:Sheadrace_1", "P:headrace_1|select * from t", "B:|headrace_1", "E", "S"])
        #expect(talk.answer("3:", "1:", "2:", "C:SELECT 1", "Z:I") == ["2", "C:SELECT 1", "Z:I"])
    }

    @Test func `a batch whose rows are what the client was told is repeated unseen`() {
        var talk = talk()
        expectUnseen(&talk, columns: "a")
        #expect(talk.answer("2:", "D:1", "C:SELECT 1", "Z:I") == ["2", "D:1", "C:SELECT 1", "Z:I"])
        #expect(talk.outcome.readyCount == 1 && talk.outcome.errorCount == 0 && talk.session.isQuiescent)
        #expect(talk.ask("B:|s1|", "E:", "S:").requests == Self.sent)
    }

    @Test func `rows that are others than the client was told are an error, once`() {
        var talk = talk()
        _ = talk.ask("B:|s1|", "E:", "S:")
        #expect(talk.answer(Self.outdated, "Z:I") == [])
        #expect(talk.requested().count == 4)
        #expect(talk.answer("3:", "1:", "t:", "T:=a,b", "Z:I") == ["E:0A000", "Z:I"])
        #expect(talk.outcome.readyCount == 1 && talk.outcome.errorCount == 1 && talk.session.isQuiescent)
        #expect(talk.requested() == [])
        // It is prepared, and works.
        #expect(talk.ask("B:|s1|", "D:P", "E:", "S:").requests == ["B:|headrace_1", "D:P", "E", "S"])
        _ = talk.answer("2:", "T:=a,b", "C:SELECT 1", "Z:I")
        // Now it knows: on the next server connection nothing is seen.
        expectUnseen(&talk, columns: "a,b")
    }

    @Test func `who never asked what the rows are and asks in the batch sees nothing`() {
        var talk = talk(columns: nil)
        let sent = ["B:|headrace_1", "D:P", "E", "S"]
        expectUnseen(&talk, columns: "a", batch: ["B:|s1|", "D:P", "E:", "S:"], sent: sent)
        let told = talk.answer("2:", "T:=a", "C:SELECT 1", "Z:I")
        #expect(told.count == 4 && told.last == "Z:I")
        #expect(talk.client.description(of: 1) != nil)
    }

    @Test func `who asks what the rows are, and for none of them, is told`() {
        var talk = talk()
        expectUnseen(&talk, columns: "a,b", batch: ["D:Ss1", "S:"], sent: ["D:Sheadrace_1", "S"])
        #expect(talk.answer("t:", "T:=a,b", "Z:I").count == 3)
        #expect(talk.session.isQuiescent)
    }

    @Test func `who never asked, and does not ask, gets the error`() {
        var talk = talk(columns: nil)
        _ = talk.ask("B:|s1|", "E:", "S:")
        #expect(talk.answer(Self.outdated, "Z:I") == [])
        #expect(talk.answer("3:", "1:", "t:", "T:=a", "Z:I") == ["E:0A000", "Z:I"])
        #expect(talk.session.isQuiescent)
    }

    @Test func `within a transaction the error is the client's`() {
        var talk = talk()
        _ = talk.ask("Q:begin")
        _ = talk.answer("C:BEGIN", "Z:T")
        _ = talk.ask("B:|s1|", "E:", "S:")
        #expect(talk.answer(Self.outdated, "Z:E") == ["E:0A000", "Z:E"])
        #expect(talk.requested() == [])
    }

    @Test(arguments: [
        // Something of the pipeline was answered, or is to be answered before or after it.
        ["B:|s1|", "E:", "S:", "B:|s1|", "E:", "S:"], ["B:|s1|", "E:", "S:", "Q:x"],
    ])
    func `in a pipeline the error is the client's`(messages: [String]) {
        var talk = talk()
        _ = talk.ask(bytes: Talk.bytes(messages, isRequest: true))
        #expect(talk.answer(Self.outdated, "Z:I") == ["E:0A000", "Z:I"])
        #expect(talk.requested() == [])
    }

    @Test func `what was answered already is not answered again`() {
        var talk = talk()
        _ = talk.ask("B:|s1|", "E:", "S:")
        #expect(talk.answer("2:", Self.outdated, "Z:I") == ["2", "E:0A000", "Z:I"])
        var local = self.talk()
        #expect(local.ask("P:s2|select * from t", "B:|s1|", "E:", "S:").replies == ["1"])
        expectError(&local)
    }

    @Test func `a batch that was sent in pieces, or is followed by another, is not repeated`() {
        var talk = talk()
        _ = talk.ask("B:|s1|")
        _ = talk.ask("E:", "S:")
        expectError(&talk)
        var followed = self.talk()
        _ = followed.ask("B:|s1|", "E:", "S:")
        _ = followed.ask("Q:x")
        #expect(followed.answer(Self.outdated, "Z:I") == ["E:0A000", "Z:I"])
    }

    @Test func `what the client says meanwhile waits`() {
        var talk = talk()
        _ = talk.ask("B:|s1|", "E:", "S:")
        _ = talk.answer(Self.outdated)
        #expect(talk.ask("Q:x").requests == [])
        _ = talk.answer("Z:I")
        #expect(talk.requested().count == 4)
        #expect(talk.ask().requests == [])
        _ = talk.answer("3:", "1:", "t:", "T:=a", "Z:I")
        #expect(talk.requested() == Self.sent)
        #expect(talk.ask().requests == ["Q:x"])
        #expect(talk.answer("2:", "C:SELECT 1", "Z:I", "C:X", "Z:I") == ["2", "C:SELECT 1", "Z:I", "C:X", "Z:I"])
    }

    @Test func `a statement that cannot be prepared any more fails in PostgreSQL's first words`() {
        var talk = talk()
        _ = talk.ask("B:|s1|", "E:", "S:")
        _ = talk.answer(Self.outdated, "Z:I")
        #expect(talk.answer("3:", "E:42P01", "Z:I") == ["E:0A000", "Z:I"])
        #expect(talk.session.isQuiescent && talk.session.statements.count == 0)
    }

    @Test func `who asks for the columns of before the migration is told, in the words that drivers know`() {
        var talk = talk()
        _ = talk.ask("B:|s1|", "E:", "S:")
        // The statement was prepared anew for another client.
        #expect(talk.answer("E:08P01|PortalSetResultFormat", "Z:I") == ["E:0A000", "Z:I"])
        _ = talk.ask("B:|s1|", "E:", "S:")
        #expect(talk.answer("E:08P01|PortalSetResultFormat", "Z:I") == ["E:08P01", "Z:I"])
        // Who was told nothing miscounts by itself.
        var other = self.talk(columns: nil)
        _ = other.ask("B:|s1|", "E:", "S:")
        #expect(other.answer("E:08P01|PortalSetResultFormat", "Z:I") == ["E:08P01", "Z:I"])
    }

    @Test func `another error is the client's`() {
        var talk = talk()
        _ = talk.ask("B:|s1|", "E:", "S:")
        #expect(talk.answer("E:22012", "Z:I") == ["E:22012", "Z:I"])
        #expect(talk.requested() == [])
    }

    @Test(arguments: 1...20) func `any split of the replies gives the same`(piece: Int) {
        var talk = talk()
        _ = talk.ask("B:|s1|", "E:", "S:")
        var told = ByteBuffer()
        var asked: [String] = []
        for replies in [[Self.outdated, "Z:I"], ["3:", "1:", "t:", "T:=a", "Z:I"], ["2:", "D:1", "C:SELECT 1", "Z:I"]] {
            var bytes = Talk.bytes(replies, isRequest: false)
            while let part = bytes.readSlice(length: min(piece, bytes.readableBytes)), part.readableBytes > 0 {
                told.writeImmutableBuffer(talk.answer(bytes: part))
                asked += talk.requested()
            }
        }
        #expect(Talk.read(told, isRequest: false) == ["2", "D:1", "C:SELECT 1", "Z:I"])
        #expect(asked == ["C:Sheadrace_1", "P:headrace_1|select * from t", "D:Sheadrace_1", "S"] + Self.sent)
    }

    @Test func `what is known of rows is bounded`() {
        var client = ClientStatements(max: 1)
        for statement in 1...(ClientStatements.descriptionsMax + 1) { client.described(statement, 7) }
        #expect(client.description(of: 1) == nil)
        #expect(client.description(of: ClientStatements.descriptionsMax + 1) == 7)
        client.described(ClientStatements.descriptionsMax + 1, nil)
        #expect(client.description(of: ClientStatements.descriptionsMax + 1) == nil)
    }
}
