import NIOCore

/// The PROXY protocol's header, versions 1 and 2: who the client of a load balancer in front is.
///
/// It is believed of peers that the configuration names, and they must send it; to all others it is bytes that are no startup message.
/// - Source: haproxy.org, "The PROXY protocol", Versions 1 & 2.
enum ProxyHeader {
    enum Result: Equatable {
        case incomplete
        case client(Client)
        /// The balancer speaks for itself (`UNKNOWN`, `LOCAL`, a family that we do not know): its own address counts.
        case itself
        case malformed
    }

    struct Client: Equatable {
        var address: IPAddress
        var port: Int
    }

    /// Of a header of version 1, with its line end.
    private static let lineBytesMax = 107
    /// Of a header of version 2 behind the first 16 bytes: addresses, and what we do not read. The format's own bound is 65,535.
    private static let bodyBytesMax = 4_096

    private static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]

    /// Takes the header from the input when it is there as a whole.
    static func read(from input: inout ByteBuffer) -> Result {
        let bytes = Array(input.readableBytesView.prefix(max(lineBytesMax, 16)))
        if bytes.starts(with: signature.prefix(bytes.count)) { return readBinary(bytes, &input) }
        guard bytes.prefix(6).elementsEqual("PROXY ".utf8.prefix(bytes.count)) else { return .malformed }
        guard let end = bytes.firstIndex(of: 0x0A) else { return bytes.count < lineBytesMax ? .incomplete : .malformed }
        guard end > 0, bytes[end - 1] == 0x0D else { return .malformed }
        let words = bytes[..<(end - 1)].split(separator: 0x20, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
        input.moveReaderIndex(forwardBy: end + 1)
        guard words.count >= 2 else { return .malformed }
        if words[1] == "UNKNOWN" { return .itself }
        guard words.count == 6, words[1] == "TCP4" || words[1] == "TCP6", let address = IPAddress(words[2]), IPAddress(words[3]) != nil,
            let port = port(words[4]), self.port(words[5]) != nil, words[2].contains(":") == (words[1] == "TCP6")
        else { return .malformed }
        return .client(Client(address: address, port: port))
    }

    private static func port(_ text: String) -> Int? {
        guard !text.isEmpty, text.utf8.count <= 5, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = Int(text), port <= 65_535
        else { return nil }
        return port
    }

    private static func readBinary(_ bytes: [UInt8], _ input: inout ByteBuffer) -> Result {
        guard bytes.count >= 16 else { return .incomplete }
        let length = Int(bytes[14]) << 8 | Int(bytes[15])
        guard bytes[12] >> 4 == 2, bytes[12] & 0x0F <= 1, length <= bodyBytesMax else { return .malformed }
        guard input.readableBytes >= 16 + length, let body = input.getBytes(at: input.readerIndex + 16, length: length) else { return .incomplete }
        input.moveReaderIndex(forwardBy: 16 + length)
        // LOCAL: a health check of the balancer's.
        guard bytes[12] & 0x0F == 1 else { return .itself }
        switch bytes[13] {
        case 0x11 where length >= 12:
            return .client(Client(address: IPAddress(bytes: Array(body[0..<4])), port: Int(body[8]) << 8 | Int(body[9])))
        case 0x21 where length >= 36:
            return .client(Client(address: IPAddress(bytes: Array(body[0..<16])), port: Int(body[32]) << 8 | Int(body[33])))
        case 0x11, 0x21: return .malformed
        // Datagrams, Unix sockets and what is unspecified name nobody.
        default: return .itself
        }
    }
}
