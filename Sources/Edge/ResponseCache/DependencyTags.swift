import HTTPSemantics

/// What a stored response depends on, as its application names it: the surrogate keys by which it can be purged.
///
/// `Surrogate-Key: article-7 front` (parted by white space), `xkey` (the same, as Varnish has it) and `Cache-Tag: article-7, front`
/// (parted by commas) mean the same here. Kept are 64-bit hashes, eight bytes a tag: should two tags ever collide, a purge of one
/// drops responses of the other, which costs a fetch and shows nobody anything old.
///
/// Whatever else may make a response old later (a row of the database behind it) can be such a tag, too.
struct DependencyTags: Sendable, Equatable {
    /// Tags of one response. More are not taken, and such a response is not stored: a purge by a tag that was left out would miss it.
    static let countMax = 256
    /// Of one tag, in bytes.
    static let tagBytesMax = 1024

    /// Each once.
    private(set) var hashes: [UInt64] = []
    /// There are more of them, or longer ones, than are kept track of.
    private(set) var isOverLimit = false

    init() {}

    /// The tags in a response's, or a purge's, header section.
    init(_ fields: borrowing FieldSection) {
        for index in fields.lines.indices {
            guard let form = Self.form(fields.lines[index].name, fields.name(at: index)) else { continue }
            add(fields.value(at: index), form)
        }
    }

    init(surrogateKeys text: String) {
        add(text.utf8.span, .bySpace)
    }

    private enum Form {
        case bySpace
        case byComma
    }

    /// Whether a field is one of those that carry tags, which are between the application and the edge and go no further.
    static func isTagField(_ name: FieldName, _ spelled: Span<UInt8>) -> Bool {
        form(name, spelled) != nil
    }

    private static func form(_ name: FieldName, _ spelled: Span<UInt8>) -> Form? {
        guard name == .other else { return nil }
        switch spelled.count {
        case 4: return isName(spelled, "xkey") ? .bySpace : nil
        case 9: return isName(spelled, "cache-tag") ? .byComma : nil
        case 13: return isName(spelled, "surrogate-key") ? .bySpace : nil
        default: return nil
        }
    }

    private static func isName(_ spelled: Span<UInt8>, _ name: StaticString) -> Bool {
        for index in spelled.indices where ASCII.lowercased(spelled[index]) != name.utf8Start[index] { return false }
        return true
    }

    private mutating func add(_ value: Span<UInt8>, _ form: Form) {
        var start = 0
        while start < value.count {
            var end = start
            while end < value.count, !Self.parts(value[end], form) { end += 1 }
            // White space belongs to no tag, around one that commas part neither.
            var (first, last) = (start, end)
            while first < last, Self.isSpace(value[first]) { first += 1 }
            while last > first, Self.isSpace(value[last - 1]) { last -= 1 }
            if first < last { add(tag: value.extracting(first..<last)) }
            start = end + 1
        }
    }

    private mutating func add(tag: Span<UInt8>) {
        guard tag.count <= Self.tagBytesMax else {
            isOverLimit = true
            return
        }
        let hash = Self.hash(tag)
        guard !hashes.contains(hash) else { return }
        guard hashes.count < Self.countMax else {
            isOverLimit = true
            return
        }
        hashes.append(hash)
    }

    private static func parts(_ byte: UInt8, _ form: Form) -> Bool {
        switch form {
        case .bySpace: isSpace(byte)
        case .byComma: byte == UInt8(ascii: ",")
        }
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    /// The same in every process: tags come from the application, which gains nothing by making two collide.
    static func hash(_ tag: Span<UInt8>) -> UInt64 {
        KeyHash.hash(tag, seed: 0x5851_F42D_4C95_7F2D)
    }
}
