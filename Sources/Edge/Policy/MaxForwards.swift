import HTTPSemantics

/// How far an OPTIONS or TRACE may still go, and the answer of whoever is the last to get it.
/// - Source: RFC 9110 §7.6.2; other methods may ignore the field, and here they do.
enum MaxForwards {
    /// - Returns: `nil` when the request may go as far as it likes; what is no number is no limit.
    static func hopsLeft(_ request: borrowing RequestHead) -> Int? {
        guard request.method == .options || request.method == .trace, let index = request.fields.firstIndex(of: .maxForwards) else {
            return nil
        }
        let digits = request.fields.value(at: index)
        // 9 digits fit any `Int`; more hops than that there are not.
        guard (1...9).contains(digits.count) else { return nil }
        var hops = 0
        for position in digits.indices {
            guard digits[position] &- 0x30 < 10 else { return nil }
            hops = hops * 10 + Int(digits[position] &- 0x30)
        }
        return hops
    }

    /// What the edge forwards; what becomes of it is each application's affair.
    static let allow: StaticString = "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE\r\n"

    /// The request as it came, for the answer to a TRACE: without what must not be told, for a script could have made the request.
    /// - Source: RFC 9110 §9.3.8.
    static func reflection(_ request: borrowing RequestHead) -> String {
        let fields = request.fields
        var text = String(copying: fields.bytes.span.extracting(request.methodRange)) + " "
        text += String(copying: fields.bytes.span.extracting(request.target)) + " HTTP/1.\(request.minorVersion)\r\n"
        for index in fields.lines.indices {
            switch fields.lines[index].name {
            case .authorization, .proxyAuthorization, .cookie: continue
            default: text += "\(String(copying: fields.name(at: index))): \(String(copying: fields.value(at: index)))\r\n"
            }
        }
        return text + "\r\n"
    }
}
