import History

/// What is asked of the dashboard.
public struct DashboardRequest: Sendable {
    /// Behind the dashboard's own path: empty, `/latest.json`.
    public var path: String
    /// Without the question mark; empty for none.
    public var query: String
    /// May see addresses, paths and statements.
    public var isOperator: Bool
    /// Seconds since 1970.
    public var now: Int64
    /// `nil` for what is only read.
    public var post: Post?

    public struct Post: Sendable {
        /// What is to be marked.
        public var mark: String
        /// A browser sends it for some page, and nobody knows whether the person before it means it.
        public var isFromPage: Bool

        public init(mark: String, isFromPage: Bool) {
            self.mark = mark
            self.isFromPage = isFromPage
        }
    }

    public init(path: String, query: String, isOperator: Bool, now: Int64, post: Post? = nil) {
        self.post = post
        self.path = path
        self.query = query
        self.isOperator = isOperator
        self.now = now
    }
}

public enum DashboardAnswer: Sendable {
    case whole(status: Int, contentType: String, fields: [(String, String)], body: [UInt8])
    /// A stream of events, by ``Dashboard/watch(_:)``.
    case events
}

extension Dashboard {
    /// Answers all but the stream. May wait for the disk.
    public func answer(_ request: DashboardRequest) -> DashboardAnswer {
        if let post = request.post { return answer(post, request) }
        switch request.path {
        case "", "/":
            let (page, policy) = DashboardPage.rendered(path: options.path)
            return .whole(
                status: 200, contentType: "text/html; charset=utf-8",
                fields: Self.guards + [("Content-Security-Policy", policy)], body: page)
        case _ where Self.latestPaths.contains(request.path): return Self.json(200, latest(isOperator: request.isOperator))
        case "/api/series": return series(request)
        case "/events", "/api/events": return .events
        default: return Self.problem(404, "there is no such page: /latest.json, /api/series, /events; by POST /api/marks")
        }
    }

    /// In characters: a version, a name, and not a changelog.
    public static let markLengthMax = 100
    /// Within ``flushSeconds``: more marks are no marks.
    static let freshMarksMax = 50

    /// What a mark is to say, without the spaces around it, which a field does not keep either.
    /// - Returns: `nil` where that is no mark: it has 1 to ``markLengthMax`` of Unicode's characters (of which one that is seen may have several),
    ///   and none of them ends a line or controls a terminal.
    public static func markText(_ said: String) -> String? {
        let start = said.drop { $0 == " " }
        guard let last = start.lastIndex(where: { $0 != " " }) else { return nil }
        let scalars = start[...last].unicodeScalars
        let refused: [Unicode.GeneralCategory] = [.control, .lineSeparator, .paragraphSeparator]
        guard scalars.count <= markLengthMax, scalars.allSatisfy({ !refused.contains($0.properties.generalCategory) }) else { return nil }
        return String(scalars)
    }

    /// Puts an operator's mark there: "v1.2 is out". Nothing else can be changed.
    private func answer(_ post: DashboardRequest.Post, _ request: DashboardRequest) -> DashboardAnswer {
        guard request.path == "/api/marks" else { return Self.problem(405, "nothing is changed here", [("Allow", "GET, HEAD")]) }
        guard request.isOperator else { return Self.problem(403, "marks are for operators: edge.metrics_token, a login, this machine") }
        guard !post.isFromPage else { return Self.problem(403, "marks are not for pages in a browser: Origin or Sec-Fetch-Site says that it is one") }
        guard let text = Self.markText(post.mark) else {
            return Self.problem(400, "the field Headrace-Mark says what is marked, in 1 to \(Self.markLengthMax) characters")
        }
        let marker = Marker(time: request.now, kind: "mark", text: text)
        guard mark(marker, freshMax: Self.freshMarksMax) else { return Self.problem(429, "\(Self.freshMarksMax) marks within some seconds are enough") }
        return Self.json(200, Array((JSON.object([("schema", .integer(Self.schema))] + Self.members(marker)).rendered + "\n").utf8))
    }

    /// Has events sent, each a whole one, once a second.
    /// - Parameter client: who watches, as text; `nil` for an operator, who is not counted by address.
    /// - Returns: for ``unwatch(_:)``; `nil` when too many watch already.
    public func watch(client: String?, _ send: @escaping @Sendable ([UInt8]) -> Void) -> UInt64? { feed.add(client: client, send) }

    public func unwatch(_ number: UInt64) { feed.remove(number) }

    private static let guards = [
        ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"), ("X-Frame-Options", "DENY"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    ]

    static let latestPaths = ["/latest.json", "/api/latest"]

    static func json(_ status: Int, _ body: [UInt8]) -> DashboardAnswer {
        .whole(status: status, contentType: "application/json", fields: guards, body: body)
    }

    private static func problem(_ status: Int, _ words: String, _ fields: [(String, String)] = []) -> DashboardAnswer {
        let body = Array((JSON.object([("schema", .integer(schema)), ("error", .text(words))]).rendered + "\n").utf8)
        return .whole(status: status, contentType: "application/json", fields: guards + fields, body: body)
    }

    /// `range=1h&to=…&points=300&names=requests,cache_hits`.
    private func series(_ request: DashboardRequest) -> DashboardAnswer {
        let query = Query(request.query)
        guard let length = query.duration("range", standard: 3600) else {
            return Self.problem(400, "range is a time such as 5m, 1h, 24h or 15d, and 15d at most")
        }
        guard let end = query.integer("to", standard: request.now), end > 0, end <= request.now + 60 else {
            return Self.problem(400, "to is a moment in seconds since 1970 that is not yet to come")
        }
        guard let points = query.integer("points", standard: Int64(Self.pointsMax)), (2...Int64(Self.pointsMax)).contains(points) else {
            return Self.problem(400, "points is a number from 2 to \(Self.pointsMax)")
        }
        let names = query["names"].map { Set($0.split(separator: ",").map(String.init)) }
        if let unknown = names?.first(where: { Series(rawValue: $0) == nil }) {
            return Self.problem(400, "there is no series \(unknown.prefix(40))")
        }
        let times = max(0, end - length)..<end
        do throws(SampleHistory.Unusable) {
            let (tier, samples) = try samples(times, now: request.now)
            // A mark of this very second is there, too, which has no sample yet.
            let marks = try markers(times.lowerBound..<end + 1).map { $0.seen(byOperator: request.isOperator) }
            let document = Self.seriesDocument(samples, tier: tier, times, pointsMax: Int(points), names: names, markers: marks)
            return Self.json(200, Array(document.rendered.utf8))
        } catch {
            return Self.problem(503, "the history cannot be read: \(error)")
        }
    }

    static func members(_ marker: Marker) -> [(String, JSON)] {
        [("time", .integer(marker.time)), ("kind", .text(marker.kind)), ("text", .text(marker.text))]
    }

    // MARK: Health

    /// `/readyz` and `/readyz/NAME`: 200 when what is asked for can be used, 503 when it cannot.
    /// - Parameter name: of one service; `nil` for all, of which those count that are required.
    public func readiness(_ name: String?, isDraining: Bool, isOperator: Bool) -> DashboardAnswer {
        let services = withState { $0.services }
        let asked = services.filter { name == nil || $0.name == name }
        if let name, asked.isEmpty { return Self.problem(404, "there is no service \(name.prefix(40))") }
        let isReady = !isDraining && asked.allSatisfy { $0.health.state != .down || name == nil && !$0.isRequired }
        let document = JSON.object([
            ("schema", .integer(Self.schema)), ("ready", .boolean(isReady)), ("draining", .boolean(isDraining)),
            ("services", .array(asked.map { Self.service($0, isOperator: isOperator) })),
        ])
        return Self.json(isReady ? 200 : 503, Array((document.rendered + "\n").utf8))
    }
}

extension Marker {
    /// What a reload has changed names addresses and paths, and what an operator writes is for operators.
    func seen(byOperator isOperator: Bool) -> Marker {
        isOperator || !["reload", "mark"].contains(kind) ? self : Marker(time: time, kind: kind, text: "")
    }
}

/// The parameters of a query: `a=b&c`. Percent signs stay as they are: nothing that is asked for here needs them.
struct Query {
    private var values: [String: String] = [:]

    init(_ text: String) {
        for part in text.utf8.prefix(2000).split(separator: UInt8(ascii: "&")) {
            let pair = part.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            values[String(decoding: pair[0], as: UTF8.self)] = pair.count > 1 ? String(decoding: pair[1], as: UTF8.self) : ""
        }
    }

    subscript(name: String) -> String? { values[name] }

    /// - Returns: `nil` when it is no whole number.
    func integer(_ name: String, standard: Int64) -> Int64? {
        guard let text = values[name] else { return standard }
        return Int64(text)
    }

    /// `90s`, `5m`, `24h`, `15d`, in seconds.
    /// - Returns: `nil` when it is no time, none at all, or longer than anything is kept.
    func duration(_ name: String, standard: Int64) -> Int64? {
        guard let text = values[name] else { return standard }
        let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
        guard let unit = text.last.flatMap({ units[$0] }), let number = Int64(text.dropLast()), number > 0, number <= 2_000_000 else { return nil }
        let seconds = number * unit
        return seconds <= SampleTier.minute.keptSeconds ? seconds : nil
    }
}
