/// What is stored: the value's bytes behind a line that says what they are worth.
///
///     hr1 j 1764338400.125 0.031000 scan%3A7=9f31c2,reports=01ab44\n[1,2]
///
/// The format of the value (`j`: JSON); until when it is fresh (seconds since 1970); what it cost to compute (seconds); tags and their
/// tokens, `-` for none. The Python package writes the same: `clients/python/headrace_cache/envelope.py`.
struct CacheEnvelope {
    var freshUntil: Double
    var cost: Double
    var tags: [(tag: String, token: String)]
    var data: [UInt8]

    init(freshUntil: Double, cost: Double, tags: [(tag: String, token: String)], data: [UInt8]) {
        self.freshUntil = freshUntil
        self.cost = cost
        self.tags = tags
        self.data = data
    }

    /// - Returns: `nil` for bytes that are no envelope, or of another format.
    init?(parsing bytes: [UInt8]) {
        // The head has a bound: what another program wrote under the key may be anything.
        guard let end = bytes.prefix(64 << 10).firstIndex(of: 0x0A) else { return nil }
        let words = String(decoding: bytes[..<end], as: UTF8.self).split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 5, words[0] == "hr1", words[1] == "j", let freshUntil = Double(words[2]), let cost = Double(words[3]) else { return nil }
        self.freshUntil = freshUntil
        self.cost = cost
        data = Array(bytes[(end + 1)...])
        tags = []
        guard words[4] != "-" else { return }
        for pair in words[4].split(separator: ",", omittingEmptySubsequences: false) {
            let parts = pair.split(separator: "=", omittingEmptySubsequences: false)
            guard parts.count == 2, let tag = Self.decoded(parts[0]) else { return nil }
            tags.append((tag, String(parts[1])))
        }
    }

    var bytes: [UInt8] {
        let names = tags.map { "\(Self.encoded($0.tag))=\($0.token)" }.joined(separator: ",")
        let fresh = freshUntil.isFinite ? "\(freshUntil)" : "inf"
        return Array("hr1 j \(fresh) \(cost) \(names.isEmpty ? "-" : names)\n".utf8) + data
    }

    /// - Source: RFC 3986 §2.3: what is not unreserved is percent-encoded.
    private static func encoded(_ tag: String) -> String {
        tag.utf8.map { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: String(UnicodeScalar(byte))
            default: "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }.joined()
    }

    private static func decoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else { return nil }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
