/// How many statements a page asks the database, and how often a page asks the same one: requests of the edge and statements of the pooler,
/// joined by the id of their trace. No clock, no I/O.
///
/// The edge gives each request that it passes on a trace (`traceparent`), and the pooler reads it in the comment behind a statement, where
/// the application has put it. Statements without one are nobody's, and nothing is guessed about them. A page that asks nothing is not
/// counted: whether it asked, or its application says no trace, cannot be told apart. Nor is a trace of several requests: whose statements
/// they are cannot be told either.
///
/// | a trace | waits for | becomes |
/// |---|---|---|
/// | with a page | ``settleSeconds``: statements and pages come once a second, from one loop after the other | counted, or given up |
/// | without | a page, up to ``forgetSeconds`` | given up: another edge's, or a job's |
public struct PageStatements: Sendable {
    /// What one request's statements came to, or a part of them.
    public struct Trace: Sendable {
        public var id: String
        public var calls: Double
        public var seconds: Double
        /// By text, as ``Facts/Statement`` has it.
        public var statements: [(text: String, database: String, calls: Double)]

        public init(id: String, calls: Double, seconds: Double, statements: [(text: String, database: String, calls: Double)]) {
            self.id = id
            self.calls = calls
            self.seconds = seconds
            self.statements = statements
        }
    }

    /// What pages of one pattern have asked so far.
    public struct Page: Sendable, Equatable {
        /// Those that asked at all.
        public var pages = 0.0
        public var calls = 0.0
        public var seconds = 0.0
    }

    /// How one statement is asked.
    public struct Statement: Sendable, Equatable {
        /// Pages that asked it.
        public var pages = 0.0
        public var calls = 0.0
        /// The pattern of the page that asked it most often, and how often.
        public var worst = ""
        public var worstCalls = 0.0
    }

    struct StatementKey: Hashable {
        var text: String
        var database: String
    }

    private struct Open {
        var since: Int64
        var patterns: [String] = []
        var calls = 0.0
        var seconds = 0.0
        var statements: [StatementKey: Double] = [:]
    }

    static let settleSeconds: Int64 = 5
    static let forgetSeconds: Int64 = 60
    /// Traces that are waited for: some 2,000 pages a second.
    static let openMax = 20_000
    static let patternsMax = 400
    static let statementsMax = 1_000
    /// Of one page; a page may have more, of which nothing is said.
    static let statementsPerPageMax = 100

    private var open: [String: Open] = [:]
    private var pages: [String: Page] = [:]
    private var statements: [StatementKey: Statement] = [:]

    public init() {}

    public func page(_ pattern: String) -> Page? { pages[pattern] }
    public func statement(_ text: String, database: String) -> Statement? { statements[StatementKey(text: text, database: database)] }

    /// Requests that the application answered have ended.
    public mutating func pagesEnded(_ ended: [(trace: String, pattern: String)], now: Int64) {
        for page in ended {
            guard let place = place(page.trace, now: now) else { return }
            // Two are as many as ten: it is no one's.
            if open.values[place].patterns.count < 2 { open.values[place].patterns.append(page.pattern) }
        }
    }

    /// Statements have ended.
    /// - Parameter isComplete: false when some were lost: then nothing that is open is known as a whole.
    public mutating func statementsEnded(_ traces: [Trace], isComplete: Bool, now: Int64) {
        guard isComplete else { return open = [:] }
        for trace in traces {
            guard let place = place(trace.id, now: now) else { return }
            open.values[place].calls += trace.calls
            open.values[place].seconds += trace.seconds
            for statement in trace.statements {
                let key = StatementKey(text: statement.text, database: statement.database)
                guard open.values[place].statements[key] != nil || open.values[place].statements.count < Self.statementsPerPageMax else { continue }
                open.values[place].statements[key, default: 0] += statement.calls
            }
        }
    }

    private mutating func place(_ trace: String, now: Int64) -> Dictionary<String, Open>.Index? {
        if let place = open.index(forKey: trace) { return place }
        guard open.count < Self.openMax else {
            open = [:]
            return nil
        }
        open[trace] = Open(since: now)
        return open.index(forKey: trace)
    }

    /// Counts what is whole by now.
    public mutating func secondPassed(now: Int64) {
        for (id, trace) in open {
            let age = now - trace.since
            let isSettled = age >= Self.settleSeconds && !trace.patterns.isEmpty
            guard isSettled || age >= Self.forgetSeconds || age < 0 else { continue }
            open[id] = nil
            if isSettled, trace.patterns.count == 1, trace.calls > 0 { count(trace, of: trace.patterns[0]) }
        }
    }

    private mutating func count(_ trace: Open, of pattern: String) {
        if pages[pattern] == nil, pages.count >= Self.patternsMax {
            let median = pages.values.map(\.pages).sorted()[Self.patternsMax / 2]
            pages = pages.filter { $0.value.pages > median }
        }
        pages[pattern, default: Page()].add(trace.calls, seconds: trace.seconds)
        if !statements.isEmpty, statements.count + trace.statements.count > Self.statementsMax {
            let median = statements.values.map(\.pages).sorted()[statements.count / 2]
            statements = statements.filter { $0.value.pages > median }
        }
        for (key, calls) in trace.statements { statements[key, default: Statement()].add(calls, of: pattern) }
    }
}

extension PageStatements.Page {
    fileprivate mutating func add(_ calls: Double, seconds: Double) {
        pages += 1
        self.calls += calls
        self.seconds += seconds
    }

    public var perPage: Double { pages > 0 ? calls / pages : 0 }
}

extension PageStatements.Statement {
    fileprivate mutating func add(_ calls: Double, of pattern: String) {
        pages += 1
        self.calls += calls
        if calls > worstCalls { (worst, worstCalls) = (pattern, calls) }
    }

    public var perPage: Double { pages > 0 ? calls / pages : 0 }
}
