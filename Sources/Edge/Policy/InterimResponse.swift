import HTTP1Wire
import HTTPSemantics
import NIOCore

/// The head of a response that is not the last word: `102 Processing`, `103 Early Hints`, and `101 Switching Protocols`, which is the
/// last one of HTTP.
///
/// The application's fields pass, but for hop-by-hop fields and what would frame a body; 101 says anew what is switched to.
/// - Source: RFC 9110 §15.2, §7.8; RFC 8297.
enum InterimResponse {
    static func write(status: Int, _ fields: FieldSection, into output: inout ByteBuffer) {
        output.writeStatusLine(status)
        let connection = ConnectionOptions(fields)
        for index in fields.lines.indices {
            let name = fields.lines[index].name
            if name == .upgrade, status == 101 {
                output.writeFieldLine(of: fields, at: index)
                continue
            }
            if name.isHopByHop || name == .contentLength { continue }
            if !connection.isEmpty, connection.names(fields.name(at: index)) { continue }
            output.writeFieldLine(of: fields, at: index)
        }
        if status == 101 { output.writeStaticString("Connection: Upgrade\r\n") }
        output.writeEndOfHead()
    }
}
