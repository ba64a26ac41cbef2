import HTTPSemantics

/// A WebSocket that is asked for on a stream, made into what an application of HTTP/1.1 is asked.
/// - Source: RFC 8441 §4, §5; RFC 6455 §4.1.
enum ExtendedConnect {
    /// - Parameter random: for the key of the handshake, which need not be secret.
    static func makeUpgrade(_ head: inout RequestHead, random: (UInt64, UInt64)) {
        head.method = .get
        head.methodRange = head.fields.appendBytes("GET")
        head.framing = .none
        head.expectsContinue = false
        head.fields.append("Connection", "Upgrade")
        head.fields.append("Upgrade", "websocket")
        head.fields.append("Sec-WebSocket-Key", key(random))
    }

    /// Sixteen bytes in base 64.
    private static func key(_ random: (UInt64, UInt64)) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var bytes: [UInt8] = []
        for word in [random.0, random.1] { withUnsafeBytes(of: word.bigEndian) { bytes += $0 } }
        var text: [UInt8] = []
        for start in stride(from: 0, to: 16, by: 3) {
            let group = (0..<3).reduce(UInt32(0)) { $0 << 8 | (start + $1 < 16 ? UInt32(bytes[start + $1]) : 0) }
            for shift in [18, 12, 6, 0] as [UInt32] { text.append(alphabet[Int(group >> shift & 63)]) }
        }
        // Two thirds of the last group are not there.
        text.replaceSubrange(22..<24, with: [UInt8(ascii: "="), UInt8(ascii: "=")])
        return String(decoding: text, as: UTF8.self)
    }
}
