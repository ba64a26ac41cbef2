import HTTPSemantics

/// Whether an application may read other fields of a request than those by which its stored responses are told apart.
///
/// | the request says | the application reads |
/// |---|---|
/// | `Connection: Accept-Language`, `Accept-Language: de` | no language at all: what `Connection` names goes no further |
/// | `X_Region: south` | `X-Region`, where its interface has one name for both, as CGI, WSGI, Rack and PHP do |
///
/// By the key or by `Vary` the first is a request for the German variant, and what the application makes of it is not; so with the second.
/// Whoever asks like that asks for himself alone: what is stored may answer him, and what he brings is not stored. Browsers never do.
/// - Source: RFC 9110 §7.6.1; RFC 3875 §4.1.18.
enum AmbiguousFields {
    /// - Parameter keyed: names of fields that are in the key, in lower case: an underscore that is spelled so there is meant.
    static func contains(_ fields: borrowing FieldSection, keyed: [[UInt8]]) -> Bool {
        let connection = ConnectionOptions(fields)
        for index in fields.lines.indices {
            let name = fields.lines[index].name
            let spelled = fields.name(at: index)
            if !connection.isEmpty, !isOfConnection(name, spelled), connection.names(spelled) { return true }
            guard name == .other else { continue }
            let isKeyed = keyed.contains { isSame(spelled, $0, anyHyphen: false) }
            if !isKeyed, hasUnderscore(spelled) || keyed.contains(where: { isSame(spelled, $0, anyHyphen: true) }) { return true }
        }
        return false
    }

    /// What goes no further in any case, or is written anew.
    private static func isOfConnection(_ name: FieldName, _ spelled: Span<UInt8>) -> Bool {
        if name.isHopByHop { return true }
        switch name {
        case .host, .contentLength, .expect: return true
        // RFC 7540 §3.2.1: with `Upgrade: h2c`, which curl sends with every request when told to.
        case .other: return isSame(spelled, http2Settings, anyHyphen: false)
        default: return false
        }
    }

    private static let http2Settings = Array("http2-settings".utf8)

    private static func hasUnderscore(_ name: Span<UInt8>) -> Bool {
        for index in name.indices where name[index] == UInt8(ascii: "_") { return true }
        return false
    }

    /// - Parameters:
    ///   - name: in lower case.
    ///   - anyHyphen: an underscore is a hyphen.
    static func isSame(_ spelled: Span<UInt8>, _ name: [UInt8], anyHyphen: Bool) -> Bool {
        guard spelled.count == name.count else { return false }
        for index in name.indices {
            let (left, right) = (ASCII.lowercased(spelled[index]), name[index])
            guard left == right || anyHyphen && isHyphen(left) && isHyphen(right) else { return false }
        }
        return true
    }

    private static func isHyphen(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_") }
}
