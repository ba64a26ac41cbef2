/// The trace of an HTTP request, as sqlcommenter writes it behind a query: `/*traceparent='00-<trace id>-<span id>-01'*/`.
/// - Source: W3C "Trace Context" §3.2; google.github.io/sqlcommenter, "Specification".
enum TraceParent {
    private static let key = Array("traceparent='".utf8)
    /// A comment is looked for in so many bytes at the end.
    private static let bytesMax = 1_000

    /// The application says it in its name: `00-<trace id>-<span id>-01`, perhaps with something around it.
    static func find(inName name: String) -> String? {
        // Most names are short.
        guard name.utf8.count >= 55 else { return nil }
        let bytes = Array(name.utf8)
        for start in 0...(bytes.count - 55) where bytes[start + 2] == UInt8(ascii: "-") && bytes[start + 35] == UInt8(ascii: "-") {
            let (id, span) = (bytes[(start + 3)..<(start + 35)], bytes[(start + 36)..<(start + 52)])
            guard bytes[start + 52] == UInt8(ascii: "-"), id.allSatisfy(isDigit), span.allSatisfy(isDigit) else { continue }
            return String(decoding: id, as: UTF8.self)
        }
        return nil
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte) }

    /// - Returns: the trace id, 32 hexadecimal digits; `nil` when there is none. It costs two comparisons then.
    static func find(in sql: UnsafeRawBufferPointer) -> String? {
        var end = sql.count
        while end > 0, sql[end - 1] <= 0x20 || sql[end - 1] == UInt8(ascii: ";") { end -= 1 }
        guard end > 4, sql[end - 1] == UInt8(ascii: "/"), sql[end - 2] == UInt8(ascii: "*") else { return nil }
        var index = max(0, end - bytesMax)
        while index + key.count + 36 <= end {
            if sql[index] == key[0], sql[index..<(index + key.count)].elementsEqual(key) {
                let id = sql[(index + key.count + 3)..<(index + key.count + 35)]
                guard sql[index + key.count + 2] == UInt8(ascii: "-"), sql[index + key.count + 35] == UInt8(ascii: "-"),
                    id.allSatisfy(isDigit)
                else { return nil }
                return String(decoding: id, as: UTF8.self)
            }
            index += 1
        }
        return nil
    }
}
