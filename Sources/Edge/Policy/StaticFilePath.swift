/// From a request target to a path below the root: decoded once, and refused whenever it could mean something else.
/// - Source: RFC 3986 §2.1, §3.3, §5.2.4.
struct StaticFilePath: Equatable, Sendable {
    /// Names below the root, none of them empty, `.` or `..`.
    let components: [String]
    /// The path ended with a slash: a folder is meant.
    let isFolder: Bool

    /// Why a path is not looked for. Both are answered with 404, which tells a prober nothing.
    enum Refusal: Error, Equatable {
        /// Not a path: bad percent-encoding, NUL or another control byte, an encoded slash, a backslash, not UTF-8.
        case malformed
        /// `..`, or a name that begins with a dot (but `.well-known`).
        case hidden
    }

    /// The root, asked for without a slash: where a route takes off the whole path.
    static let rootWithoutSlash = Self(components: [], isFolder: false)

    private init(components: [String], isFolder: Bool) {
        self.components = components
        self.isFolder = isFolder
    }

    /// - Parameter target: path and query as they came; the query is not looked at.
    init(_ target: Span<UInt8>) throws(Refusal) {
        guard target.count > 0, target[0] == UInt8(ascii: "/") else { throw .malformed }
        var names: [String] = []
        var name: [UInt8] = []
        var endsWithSlash = false
        var index = 1
        func end() throws(Refusal) {
            defer { name = [] }
            if name.isEmpty || name == [UInt8(ascii: ".")] { return }
            guard let text = String(validating: name, as: UTF8.self) else { throw .malformed }
            if text.hasPrefix("."), text != ".well-known" { throw .hidden }
            names.append(text)
        }
        while index < target.count {
            var byte = target[index]
            if byte == UInt8(ascii: "?") { break }
            if byte == UInt8(ascii: "/") {
                try end()
                endsWithSlash = true
                index += 1
                continue
            }
            if byte == UInt8(ascii: "%") {
                guard index + 2 < target.count, let high = Self.digit(target[index + 1]), let low = Self.digit(target[index + 2])
                else { throw .malformed }
                byte = high << 4 | low
                if byte == UInt8(ascii: "/") { throw .malformed }
                index += 2
            }
            if byte < 0x20 || byte == 0x7F || byte == UInt8(ascii: "\\") { throw .malformed }
            name.append(byte)
            endsWithSlash = false
            index += 1
        }
        if name.isEmpty || name == [UInt8(ascii: ".")] { endsWithSlash = true }
        try end()
        components = names
        isFolder = endsWithSlash
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }
}
