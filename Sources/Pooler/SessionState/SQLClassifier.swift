/// Reads off SQL text what it means to pooling: one list of effects per statement, in order. Made once per distinct text.
/// - Source: PostgreSQL 15, "SQL Commands".
enum SQLClassifier {
    /// More statements in one text are not looked at one by one: all count as `unknown`.
    static let statementsMax = 1000
    /// Utility statements are short: one with more tokens is not understood.
    private static let tokensMax = 256

    /// - Returns: an entry for each statement, which answers with one CommandComplete; one for an empty text, which answers with
    ///   EmptyQueryResponse.
    static func classify(_ text: String) -> [[StatementEffect]] {
        classify(Array(text.utf8).span)
    }

    static func classify(_ sql: Span<UInt8>) -> [[StatementEffect]] {
        var scanner = SQLScanner()
        var statements: [[StatementEffect]] = []
        while true {
            let first = scanner.next(in: sql)
            switch first.kind {
            case .end: return statements.isEmpty ? [[]] : statements
            case .semicolon: continue
            default: break
            }
            guard statements.count < statementsMax else {
                statements[statementsMax - 1] = [.unknown]
                return statements
            }
            let keyword = first.keyword(in: sql) ?? ""
            if utilities.contains(keyword) {
                var tokens: [SQLScanner.Token] = []
                var isWhole = true
                while true {
                    let token = scanner.next(in: sql)
                    if token.kind == .end || token.kind == .semicolon { break }
                    if tokens.count < tokensMax { tokens.append(token) } else { isWhole = false }
                }
                statements.append(isWhole ? UtilityStatement(keyword, tokens[...]).effects(in: sql) : [.unknown])
            } else {
                statements.append(calls(after: first, keyword, &scanner, sql))
            }
        }
    }

    /// Statements whose words have to be read; all others are looked through for calls.
    private static let utilities: Set<String> = [
        "set", "reset", "discard", "listen", "unlisten", "prepare", "deallocate", "close", "savepoint", "release", "rollback", "load",
        "drop", "do", "call",
    ]

    /// DDL is full of parentheses that call nothing, but for a query or an expression that it has evaluated: what follows AS, DEFAULT, USING, CHECK.
    private static let definitions: Set<String> = [
        "create", "alter", "comment", "grant", "revoke", "truncate", "vacuum", "analyze", "cluster", "reindex", "begin", "start", "commit",
        "end", "abort", "show", "fetch", "move", "lock", "checkpoint", "notify", "security", "reassign", "import",
    ]

    /// Looks through a statement for function calls, up to its end.
    private static func calls(
        after first: SQLScanner.Token, _ keyword: String, _ scanner: inout SQLScanner, _ sql: Span<UInt8>
    ) -> [StatementEffect] {
        var isDefinition = definitions.contains(keyword)
        /// CREATE TABLE and CREATE MATERIALIZED VIEW: a query follows AS.
        var mayHaveQuery = false
        // What a materialized view asks is not in the text.
        var effects: [StatementEffect] = keyword == "execute" || keyword == "refresh" ? [.unknown] : []
        var previous = first
        /// The word before the last name, to know that `INSERT INTO t (a)` calls nothing.
        var leader = ""
        var isPath = false
        var count = 1
        var call: SettingCall?
        func add(_ effect: StatementEffect) {
            if !effects.contains(effect), effects.count < 16 { effects.append(effect) }
        }
        while true {
            let token = scanner.next(in: sql)
            switch token.kind {
            case .end, .semicolon: return effects
            default: break
            }
            count += 1
            if let seen = call?.tokenRead(token, sql) {
                if case .effect(let effect) = seen { add(effect) }
                if seen != .unfinished { call = nil }
            }
            if token.kind == .symbol(UInt8(ascii: "(")) {
                if previous.kind == .quotedIdentifier, previous.name(in: sql) == nil {
                    // U&"…", which would have to be decoded.
                    if !isDefinition { add(.unknown) }
                } else if let name = previous.name(in: sql), previous.kind == .quotedIdentifier || !isDefinition {
                    if leader == "into" || leader == "copy" {
                        // A list of columns.
                    } else if name == "set_config" {
                        call = SettingCall()
                    } else if let effect = effect(ofCalling: name) {
                        if !isDefinition { add(effect) }
                    } else if previous.kind == .quotedIdentifier || !HarmlessFunctions.contains(name), !isDefinition {
                        add(.unknown)
                    }
                }
                leader = ""
            } else if keyword == "create" || keyword == "select", count <= 64, let word = token.name(in: sql) {
                // CREATE [GLOBAL|LOCAL] TEMP …, CREATE OR REPLACE TEMP VIEW; SELECT … INTO TEMP; the schema of what is temporary.
                let isTemporary = token.kind == .word && (word == "temp" || word == "temporary")
                if isTemporary && (keyword == "create" ? count <= 5 : previous.keyword(in: sql) == "into") || word == "pg_temp" { add(.pin(.temporaryTable)) }
            } else if keyword == "declare" {
                if token.keyword(in: sql) == "hold", previous.keyword(in: sql) == "with" { add(.pin(.holdableCursor)) }
            } else if keyword == "update", token.name(in: sql) == "pg_settings" {
                // PostgreSQL has a rule there that sets them.
                add(.unknown)
            }
            if isDefinition, let word = token.keyword(in: sql) {
                if keyword == "create", count <= 4, word == "table" || word == "materialized" { mayHaveQuery = true }
                if mayHaveQuery && word == "as" || keyword == "alter" && ["default", "using", "check"].contains(word) { isDefinition = false }
            } else if mayHaveQuery, previous.keyword(in: sql) == "as", token.keyword(in: sql) == "execute" {
                add(.unknown)
            }
            // `leader` is the word before a name, through all of its path: INTO a.b.c (…
            if token.kind == .word || token.kind == .quotedIdentifier {
                if !isPath { leader = previous.keyword(in: sql) ?? "" }
                isPath = false
            } else {
                isPath = token.kind == .symbol(UInt8(ascii: "."))
            }
            if isPath { continue }
            previous = token
        }
    }

    /// Functions of PostgreSQL's that are known, and known not to be harmless.
    private static func effect(ofCalling name: String) -> StatementEffect? {
        switch name {
        case "pg_advisory_lock", "pg_advisory_lock_shared", "pg_try_advisory_lock", "pg_try_advisory_lock_shared": .pin(.advisoryLock)
        case "pg_advisory_unlock", "pg_advisory_unlock_shared": .mayUnpin(.advisoryLock)
        case "pg_advisory_unlock_all": .unpin(.advisoryLock)
        default: nil
        }
    }
}

/// `set_config('name', 'value', false)`, token by token from behind its parenthesis.
private struct SettingCall {
    enum Seen: Equatable {
        case unfinished
        /// It sets for the transaction only.
        case local
        case effect(StatementEffect)
    }

    private var arguments: [SQLScanner.Token] = []

    /// A call with anything but constants is a pin: the text does not tell what was set.
    mutating func tokenRead(_ token: SQLScanner.Token, _ sql: Span<UInt8>) -> Seen {
        arguments.append(token)
        let unreadable = Seen.effect(.pin(.setting))
        switch arguments.count {
        case 1, 3: return token.kind == .string ? .unfinished : unreadable
        case 2, 4: return token.kind == .symbol(UInt8(ascii: ",")) ? .unfinished : unreadable
        case 5:
            let isLocal = token.keyword(in: sql)
            return isLocal == "true" || isLocal == "false" ? .unfinished : unreadable
        default:
            guard token.kind == .symbol(UInt8(ascii: ")")) else { return unreadable }
            if arguments[4].keyword(in: sql) == "true" { return .local }
            guard let name = arguments[0].stringValue(in: sql), let value = arguments[2].stringValue(in: sql) else { return unreadable }
            return .effect(.set(name: name.lowercased(), value: value))
        }
    }
}

/// A statement that is read word by word.
private struct UtilityStatement {
    let keyword: String
    var tokens: ArraySlice<SQLScanner.Token>

    init(_ keyword: String, _ tokens: ArraySlice<SQLScanner.Token>) {
        self.keyword = keyword
        self.tokens = tokens
    }

    func effects(in sql: Span<UInt8>) -> [StatementEffect] {
        let words = tokens.prefix(8).map { $0.keyword(in: sql) }
        let first = words.first ?? nil
        let second = words.count > 1 ? words[1] : nil
        /// The name that is the last token.
        let name = tokens.last?.name(in: sql)
        switch keyword {
        case "set":
            let effects = set(sql)
            // What is created from then on may be temporary without a word of it.
            if case .set("search_path", let value)? = effects.first, value.contains("pg_temp") { return effects + [.pin(.temporaryTable)] }
            return effects
        case "reset":
            if first == "all" { return [.resetAll] }
            if first == "session", second == "authorization" { return [.reset(name: "session_authorization"), .reset(name: "role")] }
            if first == "time", second == "zone" { return [.reset(name: "timezone")] }
            if first == "transaction" { return [] }
            return settingName(sql).map { [.reset(name: $0.name)] } ?? [.pin(.setting)]
        case "discard":
            switch first {
            case "all": return [.discardAll]
            case "temp", "temporary": return [.unpin(.temporaryTable)]
            default: return []
            }
        case "listen": return name.map { [.listen($0)] } ?? [.pin(.listen)]
        case "unlisten":
            if case .symbol? = tokens.first?.kind { return [.unlistenAll] }
            return name.map { [.unlisten($0)] } ?? []
        case "prepare": return first == "transaction" ? [] : [.pin(.preparedStatement)]
        case "deallocate": return first == "all" || (first == "prepare" && second == "all") ? [.unpin(.preparedStatement)] : [.mayUnpin(.preparedStatement)]
        case "close": return [first == "all" ? .unpin(.holdableCursor) : .mayUnpin(.holdableCursor)]
        case "savepoint": return name.map { [.savepoint($0)] } ?? []
        case "release": return name.map { [.release($0)] } ?? []
        case "rollback":
            // ROLLBACK [WORK|TRANSACTION] TO [SAVEPOINT] name. A plain ROLLBACK is known by its tag.
            return words.prefix(2).contains("to") ? name.map { [.rollbackTo($0)] } ?? [] : []
        case "load": return [.pin(.library)]
        case "drop": return ["table", "view", "sequence", "schema", "owned"].contains(first ?? "") ? [.mayUnpin(.temporaryTable)] : []
        default: return [.unknown]
        }
    }

    private func set(_ sql: Span<UInt8>) -> [StatementEffect] {
        var rest = tokens
        var words = rest.prefix(3).map { $0.keyword(in: sql) }
        if words.first == "local" || words.first == "constraints" || words.first == "transaction" { return [] }
        if words.first == "session", words.count > 1, words[1] != nil {
            guard words[1] != "authorization" else {
                let value = rest.last
                if value?.keyword(in: sql) == "default" { return [.reset(name: "session_authorization"), .reset(name: "role")] }
                guard let user = value?.stringValue(in: sql) ?? value?.name(in: sql) else { return [.pin(.setting)] }
                return [.set(name: "session_authorization", value: user), .reset(name: "role")]
            }
            if words[1] == "characteristics" { return characteristics(rest.dropFirst(4), sql) }
            rest = rest.dropFirst()
            words = rest.prefix(3).map { $0.keyword(in: sql) }
        }
        switch words.first {
        case "role":
            let value = rest.dropFirst().last
            if value?.keyword(in: sql) == "none" { return [.reset(name: "role")] }
            guard let role = value?.stringValue(in: sql) ?? value?.name(in: sql) else { return [.pin(.setting)] }
            return [.set(name: "role", value: role)]
        case "time" where words.count > 1 && words[1] == "zone":
            return setting("timezone", rest.dropFirst(2), sql, resets: ["local", "default"])
        case "names": return rest.count == 1 ? [.reset(name: "client_encoding")] : setting("client_encoding", rest.dropFirst(), sql)
        case "schema": return setting("search_path", rest.dropFirst(), sql)
        case "seed", "transaction_isolation", "transaction_read_only", "transaction_deferrable": return []
        case "xml": return rest.last?.keyword(in: sql).map { [.set(name: "xmloption", value: $0)] } ?? [.pin(.setting)]
        default: break
        }
        guard let (name, count) = UtilityStatement("set", rest).settingName(sql) else { return [.pin(.setting)] }
        let sign = rest.dropFirst(count).first
        guard sign?.kind == .symbol(UInt8(ascii: "=")) || sign?.keyword(in: sql) == "to" else { return [.pin(.setting)] }
        return setting(name, rest.dropFirst(count + 1), sql)
    }

    /// `name`, or `extension.name`, folded: PostgreSQL looks settings up without regard to case.
    private func settingName(_ sql: Span<UInt8>) -> (name: String, count: Int)? {
        guard var name = tokens.first?.name(in: sql) else { return nil }
        var count = 1
        var rest = tokens.dropFirst()
        while rest.first?.kind == .symbol(UInt8(ascii: ".")), let part = rest.dropFirst().first?.name(in: sql) {
            name += "." + part
            count += 2
            rest = rest.dropFirst(2)
        }
        return (name.lowercased(), count)
    }

    /// A list of values, made into the one text that `set_config` takes for the same.
    /// - Source: PostgreSQL 15, "SET"; lists of names are kept with quotes where they need some.
    private func setting(
        _ name: String, _ values: ArraySlice<SQLScanner.Token>, _ sql: Span<UInt8>, resets: Set<String> = ["default"]
    ) -> [StatementEffect] {
        if values.count == 1, let word = values.first?.keyword(in: sql), resets.contains(word) { return [.reset(name: name)] }
        let isListOfNames = SessionSettings.listsOfNames.contains(name)
        var parts: [String] = []
        var sign = ""
        var needsValue = true
        for token in values {
            switch token.kind {
            case .symbol(UInt8(ascii: ",")) where !needsValue: needsValue = true
            case .symbol(UInt8(ascii: "-")) where needsValue && sign.isEmpty: sign = "-"
            case .symbol(UInt8(ascii: "+")) where needsValue && sign.isEmpty: break
            case .number where needsValue:
                parts.append(sign + token.text(in: sql))
                (sign, needsValue) = ("", false)
            case .string, .word, .quotedIdentifier:
                guard needsValue, sign.isEmpty, let value = token.stringValue(in: sql) ?? token.name(in: sql) else { return [.pin(.setting)] }
                parts.append(isListOfNames ? SessionSettings.quoted(value) : value)
                needsValue = false
            default: return [.pin(.setting)]
            }
        }
        guard !needsValue else { return [.pin(.setting)] }
        return [.set(name: name, value: parts.joined(separator: ", "))]
    }

    /// `SET SESSION CHARACTERISTICS AS TRANSACTION …`, which is three settings.
    private func characteristics(_ modes: ArraySlice<SQLScanner.Token>, _ sql: Span<UInt8>) -> [StatementEffect] {
        var words = modes.compactMap { $0.keyword(in: sql) }[...]
        var effects: [StatementEffect] = []
        while let word = words.popFirst() {
            switch (word, words.first) {
            case ("read", let access?):
                effects.append(.set(name: "default_transaction_read_only", value: access == "only" ? "on" : "off"))
                words = words.dropFirst()
            case ("deferrable", _): effects.append(.set(name: "default_transaction_deferrable", value: "on"))
            case ("not", "deferrable"):
                effects.append(.set(name: "default_transaction_deferrable", value: "off"))
                words = words.dropFirst()
            case ("isolation", "level"):
                words = words.dropFirst()
                guard let first = words.popFirst() else { return [.pin(.setting)] }
                guard first != "serializable" else {
                    effects.append(.set(name: "default_transaction_isolation", value: first))
                    continue
                }
                guard let second = words.popFirst() else { return [.pin(.setting)] }
                effects.append(.set(name: "default_transaction_isolation", value: "\(first) \(second)"))
            default: return [.pin(.setting)]
            }
        }
        return effects
    }
}
