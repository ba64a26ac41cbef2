import NIOCore
import PostgresWire
import Testing

@Suite struct StatementNameTests {
    private static func message(_ kind: UInt8, _ payload: String) -> ByteBuffer {
        var buffer = ByteBuffer()
        BackendMessage.write(kind, to: &buffer) { $0.writeString(payload) }
        return buffer
    }

    private static let examples: [(ByteBuffer, String, String)] = [
        (message(FrontendKind.parse, "s1\0SELECT 1\0\0\0"), "s1", "SELECT 1"),
        (message(FrontendKind.parse, "\0SELECT 1\0\0\0"), "", "SELECT 1"),
        (message(FrontendKind.bind, "portal\0s1\0rest"), "s1", "rest"),
        (message(FrontendKind.bind, "\0\0rest"), "", "rest"),
        (message(FrontendKind.describe, "Ss1\0"), "s1", ""),
        (message(FrontendKind.close, "Ss1\0"), "s1", ""),
    ]

    private static func find(_ buffer: ByteBuffer) -> StatementName.Found? {
        guard case .message(let head) = MessageFraming.head(in: buffer, at: buffer.readerIndex) else { return nil }
        return StatementName.find(head, in: buffer, at: buffer.readerIndex)
    }

    @Test(arguments: examples)
    func `the name is found as soon as its end is there, and another put in its place`(whole: ByteBuffer, name: String, rest: String) {
        for count in 5...whole.readableBytes {
            switch Self.find(ByteBuffer(bytes: whole.readableBytesView.prefix(count))) {
            case .incomplete: break
            case .name(let found):
                #expect(whole.getString(at: found.index, length: found.length) == name)
            case let other: Issue.record("\(String(describing: other)) after \(count) bytes")
            }
        }
        guard case .message(let head) = MessageFraming.head(in: whole, at: 0), case .name(let found)? = Self.find(whole) else {
            return #expect(Bool(false))
        }
        var output = ByteBuffer()
        let next = found.replace(with: Array("another".utf8), head, in: whole, at: 0, to: &output)
        output.writeBytes(whole.readableBytesView[next...])
        guard case .message(let newHead) = MessageFraming.head(in: output, at: 0), case .name(let newName)? = Self.find(output) else {
            return #expect(Bool(false))
        }
        #expect(newHead.bytes == output.readableBytes)
        #expect(output.getString(at: newName.index, length: newName.length) == "another")
        #expect(output.readableBytes - head.bytes == "another".utf8.count - name.utf8.count)
        #expect(rest.isEmpty || String(buffer: output).contains(rest))
    }

    @Test func `a portal has no statement's name`() {
        #expect(Self.find(Self.message(FrontendKind.describe, "Pp\0")) == StatementName.Found.none)
    }

    @Test(arguments: [
        message(FrontendKind.parse, ""), message(FrontendKind.parse, "abc"), message(FrontendKind.bind, "p\0abc"),
        message(FrontendKind.bind, "p\0"), message(FrontendKind.describe, "Xs\0"), message(FrontendKind.close, ""),
    ])
    func `a name without an end is malformed`(buffer: ByteBuffer) {
        #expect(Self.find(buffer) == .malformed)
    }

    @Test(arguments: [(1023, true), (1024, false)])
    func `a name has a bound`(length: Int, isFound: Bool) {
        let found = Self.find(Self.message(FrontendKind.parse, String(repeating: "n", count: length) + "\0S\0\0\0"))
        #expect((found == .malformed) == !isFound)
    }
}
