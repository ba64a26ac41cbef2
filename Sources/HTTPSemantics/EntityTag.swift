/// A validator that names one version of a representation.
/// - Source: RFC 9110 §8.8.3.
public struct EntityTag: Equatable, Hashable, Sendable {
    public var isWeak: Bool
    /// What stands between the quotes.
    public var opaque: [UInt8]

    public init(isWeak: Bool, opaque: [UInt8]) {
        self.isWeak = isWeak
        self.opaque = opaque
    }

    /// Reads a field value that is exactly one entity tag.
    public init?(_ value: Span<UInt8>) {
        guard let (tag, end) = Self.read(value, 0), end == value.count else { return nil }
        self = tag
    }

    /// Reads a tag that begins at a position, and says where it ends.
    static func read(_ bytes: Span<UInt8>, _ start: Int) -> (EntityTag, Int)? {
        var position = start
        var isWeak = false
        // "W/" is case-sensitive (RFC 9110 §8.8.3).
        if position + 1 < bytes.count, bytes[position] == UInt8(ascii: "W"), bytes[position + 1] == UInt8(ascii: "/") {
            isWeak = true
            position += 2
        }
        guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else { return nil }
        position += 1
        var opaque: [UInt8] = []
        while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
            let byte = bytes[position]
            guard byte == 0x21 || byte >= 0x23, byte != 0x7F else { return nil }
            opaque.append(byte)
            position += 1
        }
        guard position < bytes.count else { return nil }
        return (EntityTag(isWeak: isWeak, opaque: opaque), position + 1)
    }

    /// - Source: RFC 9110 §8.8.3.2.
    public func stronglyMatches(_ other: EntityTag) -> Bool {
        !isWeak && !other.isWeak && opaque == other.opaque
    }

    /// - Source: RFC 9110 §8.8.3.2.
    public func weaklyMatches(_ other: EntityTag) -> Bool { opaque == other.opaque }

    public func append(to output: inout [UInt8]) {
        if isWeak { output.append(contentsOf: "W/".utf8) }
        output.append(UInt8(ascii: "\""))
        output.append(contentsOf: opaque)
        output.append(UInt8(ascii: "\""))
    }
}

/// The value of `If-Match` and `If-None-Match`.
/// - Source: RFC 9110 §13.1.1, §13.1.2.
public enum EntityTagList: Equatable, Sendable {
    case any
    case tags([EntityTag])

    /// Reads all lines of that name.
    /// - Returns: `nil` when the field is absent. A member that is no tag ends the list: what follows it cannot be trusted, and
    ///   a list that is too short can only cost a transfer.
    public init?(_ fields: FieldSection, _ name: FieldName) {
        guard fields.contains(name) else { return nil }
        var tags: [EntityTag] = []
        for index in fields.lines.indices where fields.lines[index].name == name {
            let value = fields.value(at: index)
            if value.count == 1, value[0] == UInt8(ascii: "*") {
                self = .any
                return
            }
            var position = 0
            while position < value.count {
                if ASCII.isSpace(value[position]) || value[position] == UInt8(ascii: ",") {
                    position += 1
                    continue
                }
                guard let (tag, end) = EntityTag.read(value, position) else { break }
                tags.append(tag)
                position = end
            }
        }
        self = .tags(tags)
    }

    public func weaklyContains(_ tag: EntityTag) -> Bool {
        switch self {
        case .any: true
        case .tags(let tags): tags.contains { $0.weaklyMatches(tag) }
        }
    }

    public func stronglyContains(_ tag: EntityTag) -> Bool {
        switch self {
        case .any: true
        case .tags(let tags): tags.contains { $0.stronglyMatches(tag) }
        }
    }
}
