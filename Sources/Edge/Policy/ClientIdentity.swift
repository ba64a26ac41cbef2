import HTTPSemantics

/// Who sent a request, as far as the edge believes it: the peer of the connection, or whom a trusted proxy names.
struct ClientIdentity: Sendable {
    /// The address as text; `unix:` for a peer on a Unix socket.
    var address: [UInt8]
    /// `nil` for a peer on a Unix socket, which is this machine.
    var ip: IPAddress?
    /// The client and the proxies between it and the edge, nearest last: what `X-Forwarded-For` says.
    var chain: [[UInt8]]
    /// Whether the client itself came by HTTPS.
    var isSecure = false
    /// The authority that the client asked for, if a trusted proxy says that it was another than `Host`.
    var host: [UInt8]?
    /// The client's port; 0 when it is not known.
    var port: UInt16 = 0
    /// Where it connected to; `nil` for a Unix socket.
    var own: IPAddress?
    var ownPort: UInt16 = 0
    /// The connection began with a PROXY header: whoever it names, a proxy speaks.
    var isRelayed = false
    /// That header named nobody: the address is the proxy's, and who wrote the fields of a request is not known.
    var isUnnamed = false
    /// It said that the proxy itself asks, as with its checks.
    var isProxyItself = false

    /// Who made the connection may say for whom it speaks: see ``ForwardingConfiguration/trusted``.
    var isPeerTrusted = false

    /// - Parameter text: an address as the system prints it; `nil` for a Unix socket.
    init(peer text: String?) {
        address = Array((text ?? "unix:").utf8)
        ip = text.flatMap { IPAddress($0) }
        chain = [address]
    }

    var isLoopback: Bool { ip?.isLoopback ?? true }
}

/// What the operator says about proxies in front of the edge.
public struct ForwardingConfiguration: Sendable, Equatable {
    /// Who may say for whom it speaks. Nobody, unless told: a header field is what anybody writes.
    public var trusted: [AddressRange] = []
    /// The field in which they say it. One of the two, since what a proxy does not write it passes through from the client.
    public var field = Field.xForwardedFor

    public init() {}

    public enum Field: String, Sendable, CaseIterable {
        case xForwardedFor = "x-forwarded-for"
        /// RFC 7239.
        case forwarded
    }
}

/// Finds the client behind trusted proxies.
///
/// The list is read from its end, where the nearest proxy wrote: as long as whoever wrote is trusted, the one before is believed. What
/// stands before the first that is not trusted was written by nobody we know, and is dropped. Behind a PROXY header that names nobody that is all of
/// it: the proxy that sent it passes bytes on and writes no fields, so that they are its client's, whoever that is.
/// - Source: RFC 7239 §4, §5, §8.1.
enum ForwardedPolicy {
    /// More proxies than anybody has in a row.
    static let hopsMax = 32

    static func client(
        _ fields: borrowing FieldSection, peer: ClientIdentity, _ configuration: ForwardingConfiguration
    ) -> ClientIdentity {
        guard !peer.isUnnamed, configuration.trusted.contains(where: { $0.contains(peer.ip) }) else { return peer }
        var hops: [Hop] =
            switch configuration.field {
            case .xForwardedFor: xForwarded(fields)
            case .forwarded: forwarded(fields)
            }
        var client = peer
        client.isPeerTrusted = true
        while client.chain.count < hopsMax, configuration.trusted.contains(where: { $0.contains(client.ip) }), let hop = hops.popLast() {
            guard let ip = hop.ip else { break }
            client.address = hop.address
            client.ip = ip
            client.port = 0
            client.chain.insert(hop.address, at: 0)
            client.isSecure = hop.isSecure
            client.host = hop.host
        }
        return client
    }

    private struct Hop {
        var address: [UInt8] = []
        var ip: IPAddress?
        var isSecure = false
        var host: [UInt8]?

        /// - Parameter node: `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]`, `[2001:db8::1]:80`, `2001:db8::1`.
        mutating func assign(node: Span<UInt8>) {
            var range = 0..<node.count
            if node.count > 2, node[0] == UInt8(ascii: "[") {
                var end = 1
                while end < node.count, node[end] != UInt8(ascii: "]") { end += 1 }
                range = 1..<end
            } else {
                var colons = 0
                var last = 0
                for index in node.indices where node[index] == UInt8(ascii: ":") {
                    colons += 1
                    last = index
                }
                if colons == 1 { range = 0..<last }
            }
            let text = node.extracting(range)
            ip = IPAddress(text)
            address = ip == nil ? [] : text.withUnsafeBufferPointer { Array($0) }
        }
    }

    // MARK: X-Forwarded-…

    /// The proxies are believed about scheme and host as well; both speak of the client's own request.
    private static func xForwarded(_ fields: borrowing FieldSection) -> [Hop] {
        var isSecure = false
        var host: [UInt8]?
        for index in fields.lines.indices {
            switch fields.lines[index].name {
            case .xForwardedProto:
                isSecure = members(fields.value(at: index)).last.map { equals($0, "https") } ?? isSecure
            case .xForwardedHost:
                host = members(fields.value(at: index)).last.flatMap { isHost($0) ? $0 : nil } ?? host
            default: continue
            }
        }
        var hops: [Hop] = []
        for index in fields.lines.indices where fields.lines[index].name == .xForwardedFor {
            for member in members(fields.value(at: index)) {
                var hop = Hop(isSecure: isSecure, host: host)
                hop.assign(node: member.span)
                hops.append(hop)
            }
        }
        return hops
    }

    private static func members(_ value: Span<UInt8>) -> [[UInt8]] {
        value.withUnsafeBufferPointer { bytes in
            bytes.split(separator: UInt8(ascii: ",")).map { trimmed($0[...]) }.filter { !$0.isEmpty }
        }
    }

    // MARK: Forwarded

    private static func forwarded(_ fields: borrowing FieldSection) -> [Hop] {
        var hops: [Hop] = []
        for index in fields.lines.indices where fields.lines[index].name == .forwarded {
            let value = fields.value(at: index).withUnsafeBufferPointer { Array($0) }
            for element in split(value, at: UInt8(ascii: ",")) where !trimmed(element[...]).isEmpty {
                var hop = Hop()
                for pair in split(element, at: UInt8(ascii: ";")) {
                    guard let equals = pair.firstIndex(of: UInt8(ascii: "=")) else { continue }
                    let name = trimmed(pair[..<equals])
                    let text = unquoted(trimmed(pair[(equals + 1)...]))
                    if self.equals(name, "for") { hop.assign(node: text.span) }
                    if self.equals(name, "proto") { hop.isSecure = self.equals(text, "https") }
                    if self.equals(name, "host"), isHost(text) { hop.host = text }
                }
                hops.append(hop)
            }
        }
        return hops
    }

    /// The parts between separators that stand in no quoted string. An end within one is taken as the end of the string.
    private static func split(_ bytes: [UInt8], at separator: UInt8) -> [[UInt8]] {
        var parts: [[UInt8]] = []
        var part: [UInt8] = []
        var (isQuoted, isEscaped) = (false, false)
        for byte in bytes {
            if !isQuoted, byte == separator {
                parts.append(part)
                part = []
                continue
            }
            if isQuoted, !isEscaped, byte == UInt8(ascii: "\\") {
                isEscaped = true
            } else {
                if byte == UInt8(ascii: "\""), !isEscaped { isQuoted.toggle() }
                isEscaped = false
            }
            part.append(byte)
        }
        parts.append(part)
        return parts
    }

    private static func unquoted(_ text: [UInt8]) -> [UInt8] {
        guard text.count >= 2, text.first == UInt8(ascii: "\""), text.last == UInt8(ascii: "\"") else { return text }
        var result: [UInt8] = []
        var isEscaped = false
        for byte in text.dropFirst().dropLast() {
            if byte == UInt8(ascii: "\\"), !isEscaped {
                isEscaped = true
            } else {
                result.append(byte)
                isEscaped = false
            }
        }
        return result
    }

    // MARK: Bytes

    private static func trimmed<Bytes: BidirectionalCollection<UInt8>>(_ bytes: Bytes) -> [UInt8] {
        var rest = bytes[...]
        while let first = rest.first, first == 0x20 || first == 0x09 { rest = rest.dropFirst() }
        while let last = rest.last, last == 0x20 || last == 0x09 { rest = rest.dropLast() }
        return Array(rest)
    }

    private static func equals(_ bytes: [UInt8], _ word: StaticString) -> Bool {
        guard bytes.count == word.utf8CodeUnitCount else { return false }
        for index in bytes.indices where ASCII.lowercased(bytes[index]) != word.utf8Start[index] { return false }
        return true
    }

    /// What may be passed on as an authority: a name or an address, perhaps a port.
    private static func isHost(_ bytes: [UInt8]) -> Bool {
        !bytes.isEmpty && bytes.count <= 255
            && bytes.allSatisfy { byte in
                (byte | 0x20) &- 0x61 < 26 || byte &- 0x30 < 10 || "-._:[]".utf8.contains(byte)
            }
    }
}
