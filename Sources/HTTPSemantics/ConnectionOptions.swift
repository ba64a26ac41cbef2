/// The field names that `Connection` lists: what they name is for this connection only and goes no further.
/// - Source: RFC 9110 §7.6.1.
public struct ConnectionOptions {
    /// Lower-case names besides `close` and `keep-alive`; mostly there are none.
    private var options: [[UInt8]] = []

    public init(_ fields: borrowing FieldSection) {
        guard fields.contains(.connection) else { return }
        for index in fields.lines.indices where fields.lines[index].name == .connection {
            let value = fields.value(at: index)
            var start = 0
            while start < value.count {
                var end = start
                while end < value.count, value[end] != UInt8(ascii: ",") { end += 1 }
                let member = ASCII.trimmed(value, start..<end)
                start = end + 1
                let name = value.extracting(member)
                if name.isEmpty || ASCII.equals(name, "close") || ASCII.equals(name, "keep-alive") { continue }
                var option: [UInt8] = []
                for position in name.indices { option.append(ASCII.lowercased(name[position])) }
                options.append(option)
            }
        }
    }

    public var isEmpty: Bool { options.isEmpty }

    /// Whether a field of that name is listed.
    public func names(_ fieldName: Span<UInt8>) -> Bool {
        options.contains { option in
            guard option.count == fieldName.count else { return false }
            for index in option.indices where ASCII.lowercased(fieldName[index]) != option[index] { return false }
            return true
        }
    }
}
