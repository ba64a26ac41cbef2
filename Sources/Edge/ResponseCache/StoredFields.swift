import HTTPSemantics

/// The header section that is stored with a response.
enum StoredFields {
    /// The application's fields without those of its connection, and with a `Date`.
    /// - Parameter withheld: fields that are for one client only.
    /// - Parameter date: 29 bytes; the time of receipt, for an application that sent none.
    /// - Source: RFC 9111 §3.1; RFC 9110 §6.6.1.
    static func make(_ fields: FieldSection, date: [UInt8], withheld: WithheldFields = WithheldFields()) -> FieldSection {
        let connection = ConnectionOptions(fields)
        var stored = FieldSection()
        for index in fields.lines.indices {
            let name = fields.lines[index].name
            // Of a part, what is stored is said of the whole.
            if name.isHopByHop || name == .contentLength || name == .contentRange { continue }
            if !connection.isEmpty, connection.names(fields.name(at: index)) { continue }
            if !withheld.isEmpty, withheld.contains(fields.name(at: index)) { continue }
            stored.append(name: fields.name(at: index), value: fields.value(at: index))
        }
        if !fields.contains(.date) { stored.append(name: Array("Date".utf8).span, value: date.span) }
        return stored
    }

    /// What a 304 changes: each field that it carries replaces those of that name, but for those that describe the body
    /// which is stored, not the one that was not sent. `Date` and `Age` are of the moment when a message was made: the old ones go in
    /// any case, or a response that was confirmed without them would stay as old as it was when it came first.
    /// - Parameter date: 29 bytes; the time of receipt, for an application that sent none.
    /// - Source: RFC 9111 §3.2, §4.2.3; RFC 9110 §6.6.1.
    static func updated(_ stored: FieldSection, by fresh: FieldSection, date: [UInt8]) -> FieldSection {
        let connection = ConnectionOptions(fresh)
        var isReplaced = stored.lines.map { $0.name == .date || $0.name == .age }
        var additions: [Int] = []
        for index in fresh.lines.indices {
            let name = fresh.lines[index].name
            switch name {
            case .contentEncoding, .contentLength, .contentRange, .contentType: continue
            default: if name.isHopByHop { continue }
            }
            if !connection.isEmpty, connection.names(fresh.name(at: index)) { continue }
            additions.append(index)
            for old in stored.lines.indices where isSameName(stored, old, fresh, index) { isReplaced[old] = true }
        }
        var result = FieldSection()
        for index in stored.lines.indices where !isReplaced[index] {
            result.append(name: stored.name(at: index), value: stored.value(at: index))
        }
        for index in additions { result.append(name: fresh.name(at: index), value: fresh.value(at: index)) }
        if !result.contains(.date) { result.append(name: Array("Date".utf8).span, value: date.span) }
        return result
    }

    /// Whether a response to HEAD is about the representation that is stored: what both say of validators and length is the same.
    /// - Source: RFC 9111 §4.3.5.
    static func isSameRepresentation(_ stored: FieldSection, byteCount: Int, as fresh: FieldSection) -> Bool {
        for name in [FieldName.etag, .lastModified] {
            guard let index = fresh.firstIndex(of: name) else { continue }
            guard let old = stored.firstIndex(of: name), isSame(stored.value(at: old), fresh.value(at: index)) else { return false }
        }
        guard let index = fresh.firstIndex(of: .contentLength) else { return true }
        return String(copying: fresh.value(at: index)) == String(byteCount)
    }

    private static func isSame(_ left: Span<UInt8>, _ right: Span<UInt8>) -> Bool {
        guard left.count == right.count else { return false }
        for index in left.indices where left[index] != right[index] { return false }
        return true
    }

    private static func isSameName(_ left: FieldSection, _ leftIndex: Int, _ right: FieldSection, _ rightIndex: Int) -> Bool {
        let (leftName, rightName) = (left.lines[leftIndex].name, right.lines[rightIndex].name)
        guard leftName == rightName else { return false }
        guard leftName == .other else { return true }
        return String(copying: left.name(at: leftIndex)).lowercased() == String(copying: right.name(at: rightIndex)).lowercased()
    }
}
