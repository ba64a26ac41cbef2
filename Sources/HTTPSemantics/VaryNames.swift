/// By which request fields a response varies, and what a request says in them.
/// - Source: RFC 9110 §12.5.5; RFC 9111 §4.1.
public struct VaryNames: Equatable, Sendable {
    /// Lower-case names, sorted, each once; empty when ``isAny``.
    public private(set) var names: [[UInt8]] = []
    /// `*` is among them; or something that is no name, so that nobody knows what was meant; or more than ``namesMax``.
    public private(set) var isAny = false

    /// The most names that are kept. 64: applications have a handful, and every lookup walks the request once per name.
    public static let namesMax = 64

    public init() {}

    public init(_ response: FieldSection) {
        guard response.contains(.vary) else { return }
        for index in response.lines.indices where response.lines[index].name == .vary {
            let value = response.value(at: index)
            var start = 0
            while start < value.count {
                var end = start
                while end < value.count, value[end] != UInt8(ascii: ",") { end += 1 }
                let member = ASCII.trimmed(value, start..<end)
                start = end + 1
                guard !member.isEmpty else { continue }
                var name: [UInt8] = []
                for position in member {
                    let byte = value[position]
                    if !ASCII.isToken(byte) { isAny = true }
                    name.append(ASCII.lowercased(byte))
                }
                if name == [UInt8(ascii: "*")] { isAny = true } else if !names.contains(name) { names.append(name) }
                // Nothing that follows could change what this means, and a hostile list would take long to read.
                if names.count > Self.namesMax { isAny = true }
                if isAny {
                    names = []
                    return
                }
            }
        }
        names.sort { $0.lexicographicallyPrecedes($1) }
    }

    /// The others than a name, which is in lower case.
    public func without(_ name: String) -> VaryNames {
        var rest = self
        rest.names.removeAll { $0.elementsEqual(name.utf8) }
        return rest
    }

    public var isEmpty: Bool { names.isEmpty && !isAny }

    /// What a request says in these fields, normalised: requests with the same key get the same response.
    ///
    /// `Accept-Encoding` counts by what it accepts, so that all spellings of "gzip" are one. In other fields the lines are
    /// joined and the white space around list members is dropped; a field that is missing equals only one that is missing.
    public func secondaryKey(_ request: borrowing FieldSection) -> [UInt8] {
        var key: [UInt8] = []
        for name in names {
            if ASCII.equals(name.span, "accept-encoding") {
                var signature = AcceptedCodings(request).signature
                for _ in 0..<8 {
                    key.append(UInt8(truncatingIfNeeded: signature))
                    signature >>= 8
                }
                continue
            }
            var isPresent = false
            for index in request.lines.indices where Self.isSame(request.name(at: index), name) {
                key.append(isPresent ? UInt8(ascii: ",") : 1)
                isPresent = true
                Self.appendNormalised(request.value(at: index), to: &key)
            }
            // No field value holds a NUL, so that keys of several fields cannot run into each other.
            key.append(0)
        }
        return key
    }

    private static func isSame(_ spelled: Span<UInt8>, _ name: [UInt8]) -> Bool {
        guard spelled.count == name.count else { return false }
        for index in name.indices where ASCII.lowercased(spelled[index]) != name[index] { return false }
        return true
    }

    private static func appendNormalised(_ value: Span<UInt8>, to key: inout [UInt8]) {
        var start = 0
        while start <= value.count {
            var end = start
            var isQuoted = false
            while end < value.count, isQuoted || value[end] != UInt8(ascii: ",") {
                if isQuoted, value[end] == UInt8(ascii: "\\") {
                    end += 1
                } else if value[end] == UInt8(ascii: "\"") {
                    isQuoted.toggle()
                }
                end += 1
            }
            end = min(end, value.count)
            if start > 0 { key.append(UInt8(ascii: ",")) }
            for position in ASCII.trimmed(value, start..<end) { key.append(value[position]) }
            start = end + 1
        }
    }
}
