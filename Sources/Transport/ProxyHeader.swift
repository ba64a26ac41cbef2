public import NIOCore

/// The PROXY protocol's header, versions 1 and 2: who the client is for whom a proxy has connected, before any of its bytes.
///
/// It is believed of peers that the configuration names, and they must send it: who guesses whether it is there believes everybody.
/// - Source: haproxy.org, "The PROXY protocol", Versions 1 & 2.
public enum ProxyHeader {
    public enum Result: Equatable, Sendable {
        case incomplete
        case client(Client)
        /// The proxy speaks for itself (`LOCAL`), such as to see whether we are there.
        case itself
        /// It speaks for somebody whom it does not know, or cannot name by an IP address (`UNKNOWN`, a Unix socket, datagrams).
        case unknown
        case malformed(Malformation)
    }

    /// Why bytes are no header. The raw value is the word in logs and metrics.
    public enum Malformation: String, Sendable, CaseIterable {
        /// They begin otherwise.
        case missing
        case syntax
        /// There may be one, but it is longer than we read.
        case oversize
    }

    public struct Client: Equatable, Sendable {
        public var address: SocketAddress
        /// Where it connected to.
        public var destination: SocketAddress

        public init(address: SocketAddress, destination: SocketAddress) {
            (self.address, self.destination) = (address, destination)
        }
    }

    public enum Version: String, Sendable, CaseIterable {
        /// A line of text.
        case v1
        case v2
    }

    /// Of a header of version 1, with its line end.
    private static let lineBytesMax = 107
    /// Of a header of version 2 behind the first 16 bytes: addresses, and what we do not read. The format's own bound is 65,535.
    private static let bodyBytesMax = 4_096
    /// Of any header: when so many wait, one is here or will never be.
    public static let bytesMax = 16 + bodyBytesMax

    private static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]

    // MARK: Reading

    /// Takes the header from the input when it is there as a whole; what is malformed may stay in part.
    public static func read(from input: inout ByteBuffer) -> Result {
        let bytes = Array(input.readableBytesView.prefix(max(lineBytesMax, 16)))
        if bytes.starts(with: signature.prefix(bytes.count)) { return readBinary(bytes, &input) }
        guard bytes.prefix(6).elementsEqual("PROXY ".utf8.prefix(bytes.count)) else { return .malformed(.missing) }
        guard let end = bytes.firstIndex(of: 0x0A) else { return bytes.count < lineBytesMax ? .incomplete : .malformed(.oversize) }
        guard end > 0, bytes[end - 1] == 0x0D else { return .malformed(.syntax) }
        let words = bytes[..<(end - 1)].split(separator: 0x20, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
        input.moveReaderIndex(forwardBy: end + 1)
        guard words.count >= 2 else { return .malformed(.syntax) }
        if words[1] == "UNKNOWN" { return .unknown }
        guard words.count == 6, words[1] == "TCP4" || words[1] == "TCP6",
            let address = address(words[2], words[4], isIPv6: words[1] == "TCP6"), let destination = self.address(words[3], words[5], isIPv6: words[1] == "TCP6")
        else { return .malformed(.syntax) }
        return .client(Client(address: address, destination: destination))
    }

    private static func address(_ text: String, _ port: String, isIPv6: Bool) -> SocketAddress? {
        // Nothing else: a zero byte would end the text for whoever reads it behind us, and a zone (`%eth0`) means nothing on another machine.
        let isWritten = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): true
            case UInt8(ascii: ":"), UInt8(ascii: "."): true
            default: false
            }
        }
        guard isWritten, text.utf8.contains(UInt8(ascii: ":")) == isIPv6, let port = self.port(port) else { return nil }
        return try? SocketAddress(ipAddress: text, port: port)
    }

    private static func port(_ text: String) -> Int? {
        guard !text.isEmpty, text.utf8.count <= 5, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = Int(text), port <= 65_535
        else { return nil }
        return port
    }

    private static func readBinary(_ bytes: [UInt8], _ input: inout ByteBuffer) -> Result {
        guard bytes.count >= 16 else { return .incomplete }
        let length = Int(bytes[14]) << 8 | Int(bytes[15])
        guard bytes[12] >> 4 == 2, bytes[12] & 0x0F <= 1 else { return .malformed(.syntax) }
        guard length <= bodyBytesMax else { return .malformed(.oversize) }
        guard input.readableBytes >= 16 + length, let body = input.getBytes(at: input.readerIndex + 16, length: length) else { return .incomplete }
        input.moveReaderIndex(forwardBy: 16 + length)
        guard bytes[12] & 0x0F == 1 else { return .itself }
        switch bytes[13] {
        case 0x11 where length >= 12: return client(body, addressBytes: 4)
        case 0x21 where length >= 36: return client(body, addressBytes: 16)
        case 0x11, 0x21: return .malformed(.syntax)
        default: return .unknown
        }
    }

    /// Two addresses, then two ports; what follows them (TLVs) is not read.
    private static func client(_ body: [UInt8], addressBytes count: Int) -> Result {
        func address(_ first: Int, port: Int) -> SocketAddress? {
            try? SocketAddress(packedIPAddress: ByteBuffer(bytes: body[first..<first + count]), port: Int(body[port]) << 8 | Int(body[port + 1]))
        }
        guard let source = address(0, port: 2 * count), let destination = address(count, port: 2 * count + 2) else { return .malformed(.syntax) }
        return .client(Client(address: source, destination: destination))
    }

    // MARK: Writing

    /// Writes the header of a connection that is made for a client.
    ///
    /// Of two families both are written as IPv6, IPv4 in its mapped form (RFC 4291 §2.5.5.2): a header has room for one.
    /// - Parameter client: `nil` for one that has no IP address.
    public static func write(_ version: Version, for client: Client?, into output: inout ByteBuffer) {
        guard let client, let source = packed(client.address), let destination = packed(client.destination) else {
            switch version {
            case .v1: output.writeStaticString("PROXY UNKNOWN\r\n")
            case .v2: writeBinary(command: 0x21, family: 0, [], into: &output)
            }
            return
        }
        let isIPv6 = source.address.count == 16 || destination.address.count == 16
        let both = [source, destination].map { isIPv6 ? mapped($0.address) : $0.address }
        switch version {
        case .v1:
            let texts = both.map { (try? SocketAddress(packedIPAddress: ByteBuffer(bytes: $0), port: 0))?.ipAddress ?? "::" }
            output.writeString("PROXY \(isIPv6 ? "TCP6" : "TCP4") \(texts[0]) \(texts[1]) \(source.port) \(destination.port)\r\n")
        case .v2:
            let ports = [source.port, destination.port].flatMap { [UInt8(truncatingIfNeeded: $0 >> 8), UInt8(truncatingIfNeeded: $0)] }
            writeBinary(command: 0x21, family: isIPv6 ? 0x21 : 0x11, both[0] + both[1] + ports, into: &output)
        }
    }

    /// Writes the header of a connection that is made for nobody, such as a probe.
    public static func writeItself(_ version: Version, into output: inout ByteBuffer) {
        switch version {
        // Version 1 has no word of its own for it.
        case .v1: output.writeStaticString("PROXY UNKNOWN\r\n")
        case .v2: writeBinary(command: 0x20, family: 0, [], into: &output)
        }
    }

    private static func writeBinary(command: UInt8, family: UInt8, _ body: [UInt8], into output: inout ByteBuffer) {
        output.writeBytes(signature)
        output.writeBytes([command, family, UInt8(truncatingIfNeeded: body.count >> 8), UInt8(truncatingIfNeeded: body.count)])
        output.writeBytes(body)
    }

    private static func mapped(_ address: [UInt8]) -> [UInt8] {
        address.count == 4 ? [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF] + address : address
    }

    /// The bytes of an address, in the order of the network; `nil` for a Unix socket.
    private static func packed(_ address: SocketAddress) -> (address: [UInt8], port: Int)? {
        switch address {
        case .v4(let four): (withUnsafeBytes(of: four.address.sin_addr) { Array($0) }, address.port ?? 0)
        case .v6(let six): (withUnsafeBytes(of: six.address.sin6_addr) { Array($0) }, address.port ?? 0)
        case .unixDomainSocket: nil
        }
    }
}
