import HTTP1Wire
import HTTPSemantics
import NIOCore

/// The head of a response that is not the last word: `102 Processing`, `103 Early Hints`, and `101 Switching Protocols`, which is the
/// last one of HTTP.
///
/// The application's fields pass, but for hop-by-hop fields and what would frame a body; 101 says anew what is switched to.
/// - Source: RFC 9110 §15.2, §7.8; RFC 8297.
enum InterimResponse {
    /// - Parameter hinted: links that the client was told already: lines that say no others are left out.
    static func write(status: Int, _ fields: FieldSection, hinted: [[UInt8]] = [], into output: inout ByteBuffer) {
        output.writeStatusLine(status)
        let connection = ConnectionOptions(fields)
        for index in fields.lines.indices {
            let name = fields.lines[index].name
            if name == .upgrade, status == 101 {
                output.writeFieldLine(of: fields, at: index)
                continue
            }
            if !passes(fields, at: index, connection, hinted: hinted) { continue }
            output.writeFieldLine(of: fields, at: index)
        }
        if status == 101 { output.writeStaticString("Connection: Upgrade\r\n") }
        output.writeEndOfHead()
    }

    private static func passes(_ fields: FieldSection, at index: Int, _ connection: ConnectionOptions, hinted: [[UInt8]]) -> Bool {
        let name = fields.lines[index].name
        if name.isHopByHop || name == .contentLength { return false }
        if !connection.isEmpty, connection.names(fields.name(at: index)) { return false }
        return hinted.isEmpty || name != .link || !EarlyHints.isKnown(fields.value(at: index), among: hinted)
    }

    /// Whether early hints say anything that the client was not told already.
    static func addsHints(_ fields: FieldSection, to hinted: [[UInt8]]) -> Bool {
        guard !hinted.isEmpty else { return true }
        let connection = ConnectionOptions(fields)
        return fields.lines.indices.contains { passes(fields, at: $0, connection, hinted: hinted) }
    }
}
