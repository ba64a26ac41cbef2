import HTTPSemantics

/// What of a request decides its member under consistent hashing.
enum BalancingKey {
    /// - Returns: `nil` when the request has nothing of that kind, or the group is balanced otherwise.
    static func hash(_ request: borrowing RequestHead, clientAddress: [UInt8], _ balancing: UpstreamGroup.Balancing) -> UInt64? {
        guard case .consistentHash(let key) = balancing else { return nil }
        switch key {
        case .client: return Balancer.hash(clientAddress)
        case .target: return Balancer.hash(request.fields.bytes[request.target])
        case .field(let name): return value(of: name, in: request.fields).map { Balancer.hash(request.fields.bytes[$0]) }
        case .cookie(let name): return cookie(name, in: request.fields).map { Balancer.hash(request.fields.bytes[$0]) }
        }
    }

    private static func value(of name: String, in fields: borrowing FieldSection) -> Range<Int>? {
        for index in fields.lines.indices where isNamed(fields.name(at: index), name) {
            let line = fields.lines[index]
            guard line.valueCount > 0 else { return nil }
            return Int(line.valueStart)..<Int(line.valueStart) + Int(line.valueCount)
        }
        return nil
    }

    private static func isNamed(_ bytes: Span<UInt8>, _ name: String) -> Bool {
        let name = name.utf8.span
        guard bytes.count == name.count else { return false }
        for index in bytes.indices where lowercased(bytes[index]) != lowercased(name[index]) { return false }
        return true
    }

    private static func lowercased(_ byte: UInt8) -> UInt8 { byte &- 0x41 < 26 ? byte | 0x20 : byte }

    /// - Source: RFC 6265 §4.2.1: `name=value` pairs with `; ` between them.
    private static func cookie(_ name: String, in fields: borrowing FieldSection) -> Range<Int>? {
        let wanted = Array(name.utf8)
        for index in fields.lines.indices where fields.lines[index].name == .cookie {
            let line = fields.lines[index]
            let end = Int(line.valueStart) + Int(line.valueCount)
            var start = Int(line.valueStart)
            while start < end {
                var next = start
                while next < end, fields.bytes[next] != UInt8(ascii: ";") { next += 1 }
                var pair = start
                while pair < next, fields.bytes[pair] == UInt8(ascii: " ") { pair += 1 }
                let valueStart = pair + wanted.count + 1
                if valueStart < next, fields.bytes[pair..<pair + wanted.count].elementsEqual(wanted),
                    fields.bytes[valueStart - 1] == UInt8(ascii: "=")
                {
                    return valueStart..<next
                }
                start = next + 1
            }
        }
        return nil
    }
}
