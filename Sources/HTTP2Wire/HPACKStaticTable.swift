internal import HTTPSemantics

/// The fields that both sides know from the beginning.
/// - Source: RFC 7541 Appendix A.
enum HPACKStaticTable {
    struct Entry: Sendable {
        let name: [UInt8]
        let value: [UInt8]
        let known: FieldName
    }

    /// The first has index 1.
    static let entries: [Entry] = texts.map { name, value in
        let bytes = Array(name.utf8)
        return Entry(name: bytes, value: Array(value.utf8), known: FieldName(bytes.span))
    }

    /// The index of a name, by `FieldName.rawValue`; 0 for those that are not in the table.
    static let nameIndices: [UInt8] = FieldName.allCases.map { name in
        guard name != .other, let index = entries.firstIndex(where: { $0.known == name }) else { return 0 }
        return UInt8(index + 1)
    }

    private static let texts: [(String, String)] = [
        (":authority", ""),
        (":method", "GET"),
        (":method", "POST"),
        (":path", "/"),
        (":path", "/index.html"),
        (":scheme", "http"),
        (":scheme", "https"),
        (":status", "200"),
        (":status", "204"),
        (":status", "206"),
        (":status", "304"),
        (":status", "400"),
        (":status", "404"),
        (":status", "500"),
        ("accept-charset", ""),
        ("accept-encoding", "gzip, deflate"),
        ("accept-language", ""),
        ("accept-ranges", ""),
        ("accept", ""),
        ("access-control-allow-origin", ""),
        ("age", ""),
        ("allow", ""),
        ("authorization", ""),
        ("cache-control", ""),
        ("content-disposition", ""),
        ("content-encoding", ""),
        ("content-language", ""),
        ("content-length", ""),
        ("content-location", ""),
        ("content-range", ""),
        ("content-type", ""),
        ("cookie", ""),
        ("date", ""),
        ("etag", ""),
        ("expect", ""),
        ("expires", ""),
        ("from", ""),
        ("host", ""),
        ("if-match", ""),
        ("if-modified-since", ""),
        ("if-none-match", ""),
        ("if-range", ""),
        ("if-unmodified-since", ""),
        ("last-modified", ""),
        ("link", ""),
        ("location", ""),
        ("max-forwards", ""),
        ("proxy-authenticate", ""),
        ("proxy-authorization", ""),
        ("range", ""),
        ("referer", ""),
        ("refresh", ""),
        ("retry-after", ""),
        ("server", ""),
        ("set-cookie", ""),
        ("strict-transport-security", ""),
        ("transfer-encoding", ""),
        ("user-agent", ""),
        ("vary", ""),
        ("via", ""),
        ("www-authenticate", ""),
    ]
}
