import NIOCore
import PostgresWire
public import Transport

/// Transactions against a database, written as pgbench's scripts are: `\set` lines that draw numbers, and SQL that names them.
///
/// | line | |
/// |---|---|
/// | `\set NAME EXPRESSION` | whole numbers, `:NAME`, `+ - * / %`, parentheses, `random(a, b)`, `random_zipfian(a, b, s)` |
/// | `-- …` | a comment |
/// | everything else | SQL, to its `;`; `:NAME` stands for a number |
///
/// `:scale` is there from the beginning. Numbers are drawn, and requests rendered, beforehand.
/// - Source: PostgreSQL 15, "pgbench", Custom Scripts.
public struct TransactionScript: Sendable {
    /// How statements are sent, as pgbench's `--protocol` says it.
    public enum Mode: String, Sendable, CaseIterable {
        case simple
        case extended
        case prepared
    }

    /// Why no workload can be made; the description is for the operator.
    public struct Invalid: Error, Equatable, CustomStringConvertible {
        public let description: String
    }

    /// Variants that are drawn beforehand; behind the last comes the first.
    static let variantsMax = 10_000
    static let bytesMax = 256 << 20
    static let statementsMax = 1000

    struct Statement: Equatable {
        /// SQL around the places of variables: one more than there are those.
        var texts: [String]
        var names: [String]
    }

    let name: String
    private(set) var sets: [(name: String, expression: Expression)] = []
    private(set) var statements: [Statement] = []

    /// - Parameter name: of the class in tables.
    public init(_ text: String, name: String) throws(Invalid) {
        self.name = name
        var sql = ""
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let trimmed = line.drop { $0 == " " || $0 == "\t" || $0 == "\r" }
            if trimmed.hasPrefix("--") || trimmed.isEmpty { continue }
            if trimmed.hasPrefix("\\") {
                let words = trimmed.split(maxSplits: 2, whereSeparator: { $0 == " " || $0 == "\t" })
                guard words.first == "\\set", words.count == 3 else {
                    throw Invalid(description: "line \(index + 1): \(words.first ?? ""): of pgbench's commands \\set NAME EXPRESSION is understood")
                }
                var parser = Expression.Parser(String(words[2]))
                guard let expression = parser.parse() else {
                    throw Invalid(description: "line \(index + 1): \(words[2]): not an expression of whole numbers, :names and random(a, b)")
                }
                sets.append((String(words[1]), expression))
                continue
            }
            sql += line + "\n"
            while let end = Self.endOfStatement(sql) {
                try append(String(sql[..<end]))
                sql = String(sql[end...].dropFirst())
            }
        }
        if sql.contains(where: { !$0.isWhitespace }) { try append(sql) }
        guard !statements.isEmpty else { throw Invalid(description: "\(name): there is no SQL statement") }
    }

    private mutating func append(_ sql: String) throws(Invalid) {
        guard statements.count < Self.statementsMax else { throw Invalid(description: "\(name): more than \(Self.statementsMax) statements") }
        let statement = Self.split(sql.trimmed)
        if statement.texts != [""] { statements.append(statement) }
    }

    /// Several scripts in one workload, each as often as its weight says.
    /// - Precondition: there is a script; weights are at least 1.
    public static func workload(
        _ scripts: [(weight: Int, script: TransactionScript)], _ login: DatabaseLogin, at endpoint: SocketEndpoint, mode: Mode, scale: Int,
        seed: UInt64, keepsAlive: Bool
    ) throws(Invalid) -> Workload {
        var login = login
        var firstStatement: [Int] = []
        for (_, script) in scripts {
            firstStatement.append(login.statements.count)
            if mode == .prepared { login.statements += script.statements.map(\.numbered) }
        }
        let turns = WeightedOrder.indices(weights: scripts.map(\.weight))
        let drawsNumbers = scripts.contains { !$0.script.sets.isEmpty }
        let count = drawsNumbers ? max(variantsMax, turns.count) : turns.count
        var numbers = SeededNumbers(seed: seed)
        var requests: [Workload.Request] = []
        var bytes = 0
        for turn in 0..<count {
            let index = Int(turns[turn % turns.count])
            var parts = try scripts[index].script.render(mode, firstStatement: firstStatement[index], scale: scale, &numbers)
            if !keepsAlive { FrontendMessage.terminate(to: &parts[parts.count - 1]) }
            bytes += parts.reduce(0) { $0 + $1.readableBytes }
            guard bytes <= bytesMax else { throw Invalid(description: "the scripts are too long: more than \(bytesMax >> 20) MiB would be made beforehand") }
            requests.append(.init(bytes: parts[0], classIndex: min(index, Workload.classCountMax - 1), asking: .transaction(next: Array(parts.dropFirst()))))
        }
        return Workload(
            speech: .database(login), endpoint: endpoint, requests: requests, order: requests.indices.map { Int32($0) },
            classNames: Array(scripts.map(\.script.name).prefix(Workload.classCountMax)), keepsAlive: keepsAlive)
    }

    private func render(_ mode: Mode, firstStatement: Int, scale: Int, _ numbers: inout SeededNumbers) throws(Invalid) -> [ByteBuffer] {
        var values = ["scale": Int64(scale)]
        for (name, expression) in sets {
            guard let value = expression.value(values, &numbers) else {
                throw Invalid(description: "\\set \(name): a name that is not set, an empty range, or a number beyond 64 bits")
            }
            values[name] = value
        }
        var parts: [ByteBuffer] = []
        for (index, statement) in statements.enumerated() {
            var arguments: [String] = []
            for name in statement.names {
                guard let value = values[name] else { throw Invalid(description: ":\(name) is not set") }
                arguments.append(String(value))
            }
            var buffer = ByteBuffer()
            switch mode {
            case .simple: FrontendMessage.query(statement.filled(arguments), to: &buffer)
            case .extended:
                buffer.writeParse(name: "", statement.numbered)
                buffer.writeExecution(of: "", arguments)
                FrontendMessage.sync(to: &buffer)
            case .prepared:
                buffer.writeExecution(of: "s\(firstStatement + index)", arguments)
                FrontendMessage.sync(to: &buffer)
            }
            parts.append(buffer)
        }
        return parts
    }
}

// MARK: SQL

extension TransactionScript {
    /// The place of a `;` outside of quotes and comments.
    private static func endOfStatement(_ sql: String) -> String.Index? {
        var end: String.Index?
        scan(sql) { index, character in
            if character == ";", end == nil { end = index }
        }
        return end
    }

    private static func split(_ sql: String) -> Statement {
        var statement = Statement(texts: [], names: [])
        var places: [String.Index] = []
        scan(sql) { index, character in if character == ":" { places.append(index) } }
        var start = sql.startIndex
        for place in places where place >= start {
            let name = sql[place...].dropFirst().prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
            // `::` is a cast.
            let isCast = sql[..<place].last == ":" || name.isEmpty || name.first?.isNumber == true
            guard !isCast else { continue }
            statement.texts.append(String(sql[start..<place]))
            statement.names.append(String(name))
            start = name.endIndex
        }
        statement.texts.append(String(sql[start...]))
        return statement
    }

    /// Calls for each character that is outside of quotes and comments.
    private static func scan(_ sql: String, _ visit: (String.Index, Character) -> Void) {
        var quote: Character?
        var isComment = false
        for index in sql.indices {
            let character = sql[index]
            if isComment {
                isComment = character != "\n"
            } else if let open = quote {
                if character == open { quote = nil }
            } else if character == "'" || character == "\"" {
                quote = character
            } else if sql[index...].hasPrefix("--") {
                isComment = true
            } else {
                visit(index, character)
            }
        }
    }
}

extension TransactionScript.Statement {
    func filled(_ values: [String]) -> String {
        zip(texts, values).map { $0 + $1 }.joined() + (texts.last ?? "")
    }

    /// With `$1`, `$2`, … in the places.
    var numbered: String { filled(names.indices.map { "$\($0 + 1)" }) }
}

extension StringProtocol {
    fileprivate var trimmed: String {
        let left = drop { $0.isWhitespace }
        return String(left.prefix(left.count - left.reversed().prefix { $0.isWhitespace }.count))
    }
}

// MARK: Built-in scripts

extension TransactionScript {
    /// pgbench's own scripts, by their names there.
    /// - Source: PostgreSQL 15, `src/bin/pgbench/pgbench.c`: what they do, in our words.
    public static let builtIn: [String: String] = [
        "select-only": """
            \\set aid random(1, 100000 * :scale)
            SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
            """,
        "simple-update": draws + """

            BEGIN;
            UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
            SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
            INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);
            END;
            """,
        "tpcb-like": draws + """

            BEGIN;
            UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
            SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
            UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
            UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
            INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);
            END;
            """,
    ]

    private static let draws = """
        \\set aid random(1, 100000 * :scale)
        \\set bid random(1, 1 * :scale)
        \\set tid random(1, 10 * :scale)
        \\set delta random(-5000, 5000)
        """
}
