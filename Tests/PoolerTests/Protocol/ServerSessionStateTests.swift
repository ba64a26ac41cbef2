import NIOCore
import PostgresWire
import Testing

@testable import Pooler

/// What conversations through a server connection mean to the client's session.
@Suite struct ServerSessionStateTests {
    private func settings(_ talk: Talk) -> [String: String]? { talk.client.session?.settings.values }

    @Test func `a SET by a simple query counts when it has succeeded`() {
        var talk = Talk(mode: .strict)
        _ = talk.ask("Q:set a.b = 1")
        #expect(settings(talk) == [:])
        _ = talk.answer("C:SET", "Z:I")
        #expect(settings(talk) == ["a.b": "1"])
        #expect(talk.client.session?.verdict() == .release(isKnown: true))
        _ = talk.ask("Q:set a.b = 2; select 1/0")
        _ = talk.answer("C:SET", "E:22012", "Z:I")
        #expect(settings(talk) == ["a.b": "1"])
    }

    @Test func `a SET by the unnamed statement, a named one and one prepared earlier counts`() {
        var talk = Talk(mode: .strict)
        _ = talk.ask("P:|set a.a = 1", "B:||", "E:\0xxxx", "P:s1|set a.b = 1", "B:|s1|", "E:\0xxxx", "S:")
        _ = talk.answer("1:", "2:", "C:SET", "1:", "2:", "C:SET", "Z:I")
        #expect(settings(talk) == ["a.a": "1", "a.b": "1"])
        _ = talk.ask("Q:set a.b = 2")
        _ = talk.answer("C:SET", "Z:I")
        _ = talk.ask("B:p|s1|", "E:p\0xxxx", "S:")
        _ = talk.answer("2:", "C:SET", "Z:I")
        #expect(settings(talk) == ["a.a": "1", "a.b": "1"])
    }

    @Test func `portals are told apart, until their transaction ends`() {
        var talk = Talk(mode: .strict)
        _ = talk.ask("P:s1|set a.b = 1", "P:s2|select 1", "B:p1|s1|", "B:p2|s2|", "E:p2\0xxxx", "S:")
        _ = talk.answer("1:", "1:", "2:", "2:", "C:SELECT 1", "Z:I")
        #expect(settings(talk) == [:])
        // p1 is gone; were it run, the server would refuse.
        _ = talk.ask("E:p1\0xxxx", "S:")
        _ = talk.answer("E:34000", "Z:I")
        #expect(settings(talk) == [:])
    }

    @Test func `what the server skips after an error is counted, so that later answers find their statements`() {
        var talk = Talk(mode: .strict)
        _ = talk.ask("P:|select 1/0", "B:||", "E:\0xxxx", "Q:set a.a = 1", "S:", "Q:set a.b = 2")
        _ = talk.answer("1:", "2:", "E:22012", "Z:I", "C:SET", "Z:I")
        #expect(settings(talk) == ["a.b": "2"])
        #expect(talk.session.isQuiescent)
    }

    @Test func `a Sync that COPY ignores is no unit of its own`() {
        var talk = Talk(mode: .strict)
        _ = talk.ask("P:|copy t from stdin", "B:||", "E:\0xxxx", "S:")
        _ = talk.answer("1:", "2:", "G:")
        _ = talk.ask("d:1", "c:", "S:", "Q:set a.b = 2")
        _ = talk.answer("C:COPY 1", "Z:I", "C:SET", "Z:I")
        #expect(settings(talk) == ["a.b": "2"])
    }

    @Test func `DISCARD ALL of the client's, and statements of ours, are no unit that is missing`() {
        var talk = Talk(mode: .strict)
        _ = talk.ask("P:s1|select 1", "S:")
        _ = talk.answer("1:", "Z:I")
        #expect(talk.ask("Q:DEALLOCATE s1").requests == [])
        _ = talk.ask("Q:set a.b = 2")
        _ = talk.answer("C:SET", "Z:I")
        #expect(settings(talk) == ["a.b": "2"])
    }

    @Test func `an unknown function, a function call and a text too long are asked about`() {
        for request in ["Q:select f()", "F:x", "Q:" + String(repeating: " ", count: ServerSession.unnamedBytesMax) + "select 1"] {
            var talk = Talk(mode: .strict)
            _ = talk.ask(request)
            _ = talk.answer("C:SELECT 1", "Z:I")
            let isLong = request.utf8.count > 1000
            #expect(talk.client.session?.verdict() == (isLong ? .release(isKnown: true) : .probe), "\(request.prefix(20))")
        }
        // Not whole at hand.
        var talk = Talk(mode: .strict)
        var bytes = Talk.bytes(["Q:" + String(repeating: " ", count: ServerSession.unnamedBytesMax) + "select 1"], isRequest: true)
        let first = bytes.readSlice(length: 1000) ?? ByteBuffer()
        _ = talk.pass(first)
        _ = talk.pass(bytes)
        _ = talk.answer("C:SELECT 1", "Z:I")
        #expect(talk.client.session?.verdict() == .probe)
    }

    @Test func `the question is seen by nobody, and its answer is read`() {
        var talk = Talk(mode: .strict)
        _ = talk.ask("Q:select f()")
        _ = talk.answer("C:SELECT 1", "Z:I")
        var output = ByteBuffer()
        talk.session.probeSent(to: &output)
        #expect(talk.session.isBeingProbed)
        var row = ByteBuffer()
        BackendMessage.write(BackendKind.dataRow, to: &row) { row in
            row.writeInteger(Int16(4))
            for value in ["t", "f", "f", "f"] {
                row.writeInteger(Int32(1))
                row.writeString(value)
            }
        }
        #expect(talk.answer("T:x") == [])
        #expect(talk.answer(bytes: row).readableBytes == 0)
        #expect(talk.answer("C:SELECT 1", "Z:I") == [])
        #expect(talk.outcome.isProbed)
        #expect(talk.session.probeAnswer == .init(advisoryLocks: true))
        #expect(talk.session.isQuiescent)
    }

    @Test func `requests wait for the whole of a query that is looked at, split at each byte`() {
        let bytes = Talk.bytes(["Q:set a.b = 1", "P:|set a.c = 2", "B:||", "E:\0xxxx", "S:"], isRequest: true)
        for index in 1..<bytes.readableBytes {
            var talk = Talk(mode: .strict)
            var rest = bytes
            var sent = ByteBuffer()
            let first = rest.readSlice(length: index) ?? ByteBuffer()
            sent.writeImmutableBuffer(talk.pass(first).requests)
            sent.writeImmutableBuffer(talk.pass(rest).requests)
            #expect(sent == bytes)
            _ = talk.answer("C:SET", "Z:I", "1:", "2:", "C:SET", "Z:I")
            #expect(settings(talk) == ["a.b": "1", "a.c": "2"], "split at \(index)")
        }
    }
}
