/// Settings that a session has made, beyond the server's own: what goes with the client from one server connection to another.
///
/// Names are in lower case; values are as `set_config` takes them. Bounded in number and size: a client that sets more keeps its
/// server connection.
struct SessionSettings: Sendable, Equatable {
    private(set) var values: [String: String] = [:]

    static let countMax = 64
    /// Of a name or a value.
    static let bytesMax = 8192

    /// - Returns: `false` when there is no room, or the name or value is too long; nothing has changed then.
    mutating func set(_ name: String, _ value: String) -> Bool {
        guard name.utf8.count <= Self.bytesMax, value.utf8.count <= Self.bytesMax else { return false }
        guard values[name] != nil || values.count < Self.countMax else { return false }
        values[name] = value
        return true
    }

    mutating func reset(_ name: String) {
        values[name] = nil
    }

    /// Settings that are lists of names, each in quotes where it needs some.
    static let listsOfNames: Set<String> = [
        "search_path", "temp_tablespaces", "local_preload_libraries", "session_preload_libraries", "createrole_self_grant",
    ]

    /// A name as a list has it.
    static func quoted(_ name: String) -> String {
        let isPlain =
            name.utf8.allSatisfy { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) || $0 == UInt8(ascii: "_") || (0x30...0x39).contains($0) }
            && !name.isEmpty && !(0x30...0x39).contains(name.utf8.first ?? 0x30)
        return isPlain ? name : "\"" + name.replacing("\"", with: "\"\"") + "\""
    }
}
