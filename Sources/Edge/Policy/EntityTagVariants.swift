import HTTPSemantics

/// One entity tag for each coding of a response: a tag names bytes, and each coding has bytes of its own.
///
/// The application's `"abc"` goes out as `"abc~gz"` with gzip, `"abc~br"` with brotli, `"abc~zst"` with zstd; with a `1` behind it
/// (`"abc~gz1"`) while the body is the one that was compressed fast, whose bytes are others again. A weak tag stays weak. On the
/// way back the ending is taken off, so that the application sees its own.
/// - Source: RFC 9110 §8.8.3.3.
enum EntityTagVariants {
    static func variant(of tag: EntityTag, coding: ContentCoding, effort: Representation.Effort) -> EntityTag {
        guard coding != .identity else { return tag }
        var variant = tag
        variant.opaque.append(contentsOf: suffix(coding).utf8)
        if effort == .fast { variant.opaque.append(UInt8(ascii: "1")) }
        return variant
    }

    /// The application's tag for one that a client sends.
    static func original(of tag: EntityTag) -> EntityTag {
        for coding in ContentCoding.allCases where coding != .identity {
            for ending in [suffix(coding), suffix(coding) + "1"] where tag.opaque.ends(with: ending) {
                var original = tag
                original.opaque.removeLast(ending.utf8.count)
                return original
            }
        }
        return tag
    }

    /// The value for the application of an `If-Match` or `If-None-Match`.
    /// - Returns: `nil` when the field is absent or holds nothing that is ours to change: it passes as it is.
    static func originals(_ fields: FieldSection, _ name: FieldName) -> [UInt8]? {
        guard fields.contains(name), case .tags(let tags)? = EntityTagList(fields, name) else { return nil }
        let originals = tags.map(original)
        guard originals != tags else { return nil }
        var value: [UInt8] = []
        for tag in originals {
            if !value.isEmpty { value.append(contentsOf: ", ".utf8) }
            tag.append(to: &value)
        }
        return value
    }

    /// The tag by which a client knows a response that the application calls `own`: a 304 gives it back, since with another tag
    /// the client could not tell which of its copies is meant.
    /// - Returns: `nil` when `If-None-Match` names none.
    /// - Source: RFC 9111 §4.3.4.
    static func known(_ request: FieldSection, as own: EntityTag) -> EntityTag? {
        guard case .tags(let tags)? = EntityTagList(request, .ifNoneMatch) else { return nil }
        return tags.first { original(of: $0).weaklyMatches(own) }
    }

    private static func suffix(_ coding: ContentCoding) -> String {
        switch coding {
        case .identity: ""
        case .gzip: "~gz"
        case .brotli: "~br"
        case .zstd: "~zst"
        }
    }
}

extension [UInt8] {
    fileprivate func ends(with text: String) -> Bool {
        count >= text.utf8.count && suffix(text.utf8.count).elementsEqual(text.utf8)
    }
}

/// `Vary` of a response that could also have come in another coding.
/// - Source: RFC 9110 §12.5.5.
enum VaryOnCoding {
    /// The application's own names, with `Accept-Encoding` among them once; `*` stays alone.
    static func merged(_ fields: FieldSection) -> [UInt8] {
        var value: [UInt8] = []
        var names = VaryNames()
        for index in fields.lines.indices where fields.lines[index].name == .vary {
            if !value.isEmpty { value.append(contentsOf: ", ".utf8) }
            fields.value(at: index).withUnsafeBufferPointer { value.append(contentsOf: $0) }
        }
        names = VaryNames(fields)
        if names.isAny { return Array("*".utf8) }
        if names.names.contains(Array("accept-encoding".utf8)) { return value }
        if !value.isEmpty { value.append(contentsOf: ", ".utf8) }
        value.append(contentsOf: "Accept-Encoding".utf8)
        return value
    }
}
