import HTTP2Wire
import HTTPSemantics
import NIOCore

/// Header blocks of one connection, each behind a byte with its length: whatever they are, the table keeps its bound, a request that is
/// good lies within its bytes, and what we make of any head is read again.
func checkHeaderBlocks(_ input: UnsafeBufferPointer<UInt8>) {
    var decoder = HeaderBlockDecoder()
    var position = 0
    while position < input.count {
        let end = min(position + 1 + Int(input[position]), input.count)
        let block = Array(input[position + 1..<max(end, position + 1)])
        position = max(end, position + 1)
        var head = RequestHead()
        var reading = HTTP2RequestFields(limits: .init(headBytesMax: 4096, fieldCountMax: 32, targetBytesMax: 256))
        do throws(HeaderBlockDecoder.Failure) {
            try decoder.decode(block.span) { known, name, value in
                precondition(known == FieldName(name), "a name is another than it is spelled")
                reading.add(known, name, value, to: &head.fields)
            }
        } catch {
            break
        }
        precondition(decoder.tableBytes <= HeaderBlockDecoder.tableBytesMax, "a table over its bound")
        precondition(head.fields.bytes.count <= 2 * 4096 + 32 * 8, "fields over their bound were kept")
        guard reading.finish(&head, endsStream: true) == .good else { continue }
        let count = head.fields.bytes.count
        precondition([head.methodRange, head.target, head.authority].allSatisfy { $0.upperBound <= count && !$0.isEmpty }, "a part out of the head")
        precondition(head.fields.count(of: .host) == 1 && !head.fields.contains(.connection), "no request of HTTP/1.1")
        for index in head.fields.lines.indices {
            let value = head.fields.value(at: index)
            for byte in value.indices { precondition(value[byte] != 0x0D && value[byte] != 0x0A && value[byte] != 0, "a line of the client's making") }
        }
    }
    var text = ByteBuffer(string: "HTTP/1.1 200 OK\r\n")
    text.writeBytes(input)
    var block = ByteBuffer()
    block.writeHPACKHead(text)
    var again = HeaderBlockDecoder()
    do throws(HeaderBlockDecoder.Failure) {
        try again.decode(block.readableBytesUInt8Span) { _, _, _ in }
    } catch {
        preconditionFailure("a block of ours that cannot be read: \(error)")
    }
}
