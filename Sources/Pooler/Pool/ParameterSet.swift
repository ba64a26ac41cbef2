import PostgresWire

/// The session parameters that a client has asked for, beyond the server's own defaults.
///
/// A set is a value with an identity: equal sets that come from one ``ParameterSets`` have equal numbers, so that "nothing is to be
/// changed on this server connection" is one comparison of two integers per lease.
struct ParameterSet: Sendable, Equatable {
    /// The empty set is 0.
    let id: Int
    /// Sorted by name, in lower case, as PostgreSQL compares them.
    let values: [StartupMessage.Parameter]

    static let empty = ParameterSet(id: 0, values: [])

    static func == (left: Self, right: Self) -> Bool { left.id == right.id }

    func value(_ name: String) -> String? { values.first { $0.name == name }?.value }

    /// What makes a session that has `current` one that has this set, as SQL; `nil` when nothing does.
    ///
    /// `set_config` reads a value as the startup message does, which SET does not: `search_path` is a list in a string. RESET gives
    /// back what the server connection began with.
    func statement(from current: ParameterSet) -> String? {
        guard id != current.id else { return nil }
        let resets = current.values.filter { !Self.identity.contains($0.name) && value($0.name) == nil }
        let changes = values.filter { !Self.identity.contains($0.name) && current.value($0.name) != $0.value }
        let isSameUser = Self.identity.allSatisfy { value($0) == current.value($0) }
        if isSameUser, resets.isEmpty, changes.isEmpty { return nil }
        var parts: [String] = []
        // Who is another may not set all that the session's own user may, so he comes first, and the other one last.
        if Self.identity.contains(where: { current.value($0) != nil }) { parts = ["RESET SESSION AUTHORIZATION", "RESET ROLE"] }
        parts += resets.map { "RESET \(Self.identifier($0.name))" }
        if !changes.isEmpty { parts.append("SELECT \(changes.map(Self.call).joined(separator: ","))") }
        // SET SESSION AUTHORIZATION ends a role.
        for name in Self.identity { parts += value(name).map { ["SELECT \(Self.call(.init(name, $0)))"] } ?? [] }
        return parts.joined(separator: ";")
    }

    /// In the order in which they are set.
    private static let identity = ["session_authorization", "role"]

    private static func call(_ parameter: StartupMessage.Parameter) -> String {
        "pg_catalog.set_config(\(literal(parameter.name)),\(literal(parameter.value)),false)"
    }

    private static func identifier(_ name: String) -> String {
        name.split(separator: ".", omittingEmptySubsequences: false)
            .map { "\"\($0.replacing("\"", with: "\"\""))\"" }.joined(separator: ".")
    }

    /// With `E` the meaning of a backslash does not depend on a parameter.
    private static func literal(_ text: String) -> String {
        "E'\(text.replacing("\\", with: "\\\\").replacing("'", with: "''"))'"
    }
}

/// Gives equal sets equal numbers. A value behind a lock.
struct ParameterSets: Sendable {
    /// Sets that are known at a time; beyond, all are forgotten and equal sets have two numbers for a while, which costs a statement.
    static let setsMax = 10_000
    /// Parameters of one client; PostgreSQL 15 knows some 350.
    static let parametersMax = 400

    private var ids: [[String]: Int] = [:]
    private var last = 0
    /// Applications ask for the same with each connection.
    private var recent: (parameters: [StartupMessage.Parameter], set: ParameterSet) = ([], .empty)

    mutating func make(_ parameters: [StartupMessage.Parameter]) -> ParameterSet {
        guard !parameters.isEmpty else { return .empty }
        if recent.parameters == parameters { return recent.set }
        let set = find(parameters)
        recent = (parameters, set)
        return set
    }

    private mutating func find(_ parameters: [StartupMessage.Parameter]) -> ParameterSet {
        let sorted = parameters.map { StartupMessage.Parameter($0.name.lowercased(), $0.value) }.sorted { $0.name < $1.name }
        let key = sorted.flatMap { [$0.name, $0.value] }
        if let id = ids[key] { return ParameterSet(id: id, values: sorted) }
        if ids.count >= Self.setsMax { ids = [:] }
        last += 1
        ids[key] = last
        return ParameterSet(id: last, values: sorted)
    }

    mutating func make(_ settings: SessionSettings) -> ParameterSet {
        make(settings.values.map { StartupMessage.Parameter($0.key, $0.value) })
    }

    /// The set with one more parameter, or another value of it.
    mutating func make(_ set: ParameterSet, setting name: String, to value: String) -> ParameterSet {
        let name = name.lowercased()
        guard set.value(name) != value else { return set }
        return make(set.values.filter { $0.name != name } + [StartupMessage.Parameter(name, value)])
    }
}

/// `options` of a startup message: a command line for the server process.
/// - Source: PostgreSQL 15, "postgres", Options; libpq's `options`: words are split at white space, a backslash keeps the next character.
enum StartupOptions {
    /// The parameters that `-c name=value` and `--name=value` set.
    /// - Returns: `nil` when there is any other switch.
    static func parameters(_ text: String) -> [StartupMessage.Parameter]? {
        var words: [String] = []
        var word = ""
        var hasWord = false
        var characters = text.makeIterator()
        while let character = characters.next() {
            if character == "\\" {
                guard let next = characters.next() else { break }
                word.append(next)
                hasWord = true
            } else if character.isWhitespace {
                if hasWord { words.append(word) }
                (word, hasWord) = ("", false)
            } else {
                word.append(character)
                hasWord = true
            }
        }
        if hasWord { words.append(word) }
        var parameters: [StartupMessage.Parameter] = []
        var iterator = words.makeIterator()
        while let word = iterator.next() {
            let assignment: Substring
            if word == "-c" {
                guard let next = iterator.next() else { return nil }
                assignment = next[...]
            } else if word.hasPrefix("-c") || word.hasPrefix("--") {
                assignment = word.dropFirst(2)
            } else {
                return nil
            }
            guard let equals = assignment.firstIndex(of: "="), equals != assignment.startIndex else { return nil }
            let name = assignment[..<equals].replacing("-", with: "_").lowercased()
            parameters.removeAll { $0.name == name }
            parameters.append(.init(name, String(assignment[assignment.index(after: equals)...])))
        }
        return parameters
    }
}
