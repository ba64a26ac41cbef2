/// The page that lists a folder.
enum DirectoryListing {
    /// - Parameters:
    ///   - path: of the folder, without percent-encoding: `docs/old`; empty for the root.
    ///   - names: those of folders end with a slash.
    ///   - more: names that are left out.
    static func page(path: String, names: [String], more: Int) -> String {
        let title = "Index of /\(escaped(path))"
        var rows = path.isEmpty ? "" : "<li><a href=\"../\">../</a></li>\n"
        for name in names {
            // "./" before it: a name such as "javascript:x" is no scheme.
            rows += "<li><a href=\"./\(encoded(name))\">\(escaped(name))</a></li>\n"
        }
        if more > 0 { rows += "<li>and \(more) more</li>\n" }
        return """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><title>\(title)</title></head>
            <body><h1>\(title)</h1>
            <ul>
            \(rows)</ul></body></html>

            """
    }

    private static func escaped(_ text: String) -> String {
        var escaped = ""
        for character in text.unicodeScalars {
            switch character {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            default: escaped.unicodeScalars.append(character)
            }
        }
        return escaped
    }

    /// A name as a path segment; its slash at the end stays.
    /// - Source: RFC 3986 §2.1, §3.3.
    private static func encoded(_ name: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var encoded: [UInt8] = []
        for byte in name.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"),
                UInt8(ascii: "/"):
                encoded.append(byte)
            default:
                encoded.append(UInt8(ascii: "%"))
                encoded.append(digits[Int(byte >> 4)])
                encoded.append(digits[Int(byte & 0xF)])
            }
        }
        return String(decoding: encoded, as: UTF8.self)
    }
}
