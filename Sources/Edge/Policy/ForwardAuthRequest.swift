import HTTPSemantics

/// What another server is asked before a request is answered, and what is taken over from what it says.
enum ForwardAuthRequest {
    /// A GET for `path` with the request's own fields but for those that speak of its body, its conditions and its parts, and with
    /// `X-Forwarded-Method` and `X-Forwarded-Uri` to say what is asked for.
    static func make(_ head: RequestHead, path: String) -> RequestHead {
        var request = RequestHead()
        let bytes = head.fields.bytes.span
        request.method = .get
        request.minorVersion = head.minorVersion
        request.methodRange = request.fields.appendBytes("GET")
        var fields = request.fields
        let connection = ConnectionOptions(head.fields)
        for index in head.fields.lines.indices where passes(head.fields, index) {
            if !connection.isEmpty, connection.names(head.fields.name(at: index)) { continue }
            fields.append(name: head.fields.name(at: index), value: head.fields.value(at: index))
        }
        let method = String(copying: bytes.extracting(head.methodRange))
        let target = String(copying: bytes.extracting(head.target))
        if method.utf8.count <= FieldSection.partBytesMax { fields.append("X-Forwarded-Method", method) }
        if target.utf8.count <= FieldSection.partBytesMax { fields.append("X-Forwarded-Uri", target) }
        // The path and the authority belong to no line, and lie behind them all.
        request.target = fields.appendBytes(path.utf8.span)
        request.authority = fields.appendBytes(bytes.extracting(head.authority))
        request.fields = fields
        return request
    }

    private static func passes(_ fields: FieldSection, _ index: Int) -> Bool {
        switch fields.lines[index].name {
        case .host, .contentLength, .contentType, .contentEncoding, .transferEncoding, .expect, .range, .ifRange, .ifMatch, .ifNoneMatch,
            .ifModifiedSince, .ifUnmodifiedSince:
            return false
        case let name where name.isHopByHop:
            return false
        case .other:
            // What a client says of itself here goes no further.
            let name = String(copying: fields.name(at: index)).lowercased()
            return name != "x-forwarded-method" && name != "x-forwarded-uri"
        default:
            return true
        }
    }

    /// Rules for the request to the application: the named fields as the other server gave them, and never as the client did.
    static func rules(copying names: [String], from answer: FieldSection) -> HeaderRuleSet? {
        var rules = HeaderRules()
        rules.removed = names
        for index in answer.lines.indices {
            let name = String(copying: answer.name(at: index))
            guard names.contains(where: { $0.lowercased() == name.lowercased() }) else { continue }
            rules.added.append(HeaderField(name: name, value: String(copying: answer.value(at: index))))
        }
        return HeaderRuleSet(rules)
    }
}
