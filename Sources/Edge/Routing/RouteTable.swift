import HTTPSemantics

/// The routes of a configuration, compiled: which is the first that is for a request?
///
/// The host leads to a list of rows (``HostIndex``); a row has the first eight bytes of one path and the methods, so that a row that
/// does not match costs a load, an exclusive or and a test. 64 routes cost less than 100 ns more than one.
struct RouteTable: Sendable {
    enum Choice: Equatable, Sendable {
        /// The number of the route, from 0.
        case route(Int)
        case none
        /// The path reads differently to different servers, and its readings lead to different routes; see ``RequestPath``.
        case ambiguous
    }

    private struct Row: Sendable {
        /// The first bytes of the path, as they lie in memory, and which of them count.
        let word: UInt64
        let mask: UInt64
        let methods: UInt16
        let route: UInt16
        /// The path among the route's; `UInt16.max` for a route without.
        let path: UInt16
        /// Nothing is to be asked but the path.
        let isDecidedByPath: Bool
    }

    let matches: [CompiledMatch]
    private let rows: [Row]
    private let hosts: HostIndex
    private let hasHosts: Bool
    private let hasPaths: Bool

    init(_ routes: [RouteConfiguration]) {
        let matches = routes.map(CompiledMatch.init)
        var patterns: [HostPattern] = []
        for pattern in matches.flatMap(\.hosts) where !patterns.contains(pattern) { patterns.append(pattern) }
        var rows: [Row] = []
        hosts = HostIndex(patterns) { pattern in
            let start = rows.count
            for (index, match) in matches.enumerated() where Self.isFor(match, pattern) {
                rows += Self.rows(of: match, index)
            }
            return start..<rows.count
        }
        self.rows = rows
        self.matches = matches
        hasHosts = !patterns.isEmpty
        hasPaths = matches.contains { !$0.paths.isEmpty }
    }

    /// Whether a route may be for a host that led to this pattern.
    private static func isFor(_ match: CompiledMatch, _ pattern: HostPattern?) -> Bool {
        guard !match.hosts.isEmpty else { return true }
        guard let pattern else { return false }
        if match.hosts.contains(pattern) { return true }
        // Everything below `*.a.example` is below `*.example`, too.
        return match.hosts.contains { $0.isWildcard && $0.matches(pattern.bytes.span) }
    }

    private static func rows(of match: CompiledMatch, _ index: Int) -> [Row] {
        func row(_ path: UInt16, word: UInt64, mask: UInt64) -> Row {
            Row(
                word: word, mask: mask, methods: match.methods, route: UInt16(truncatingIfNeeded: index), path: path,
                isDecidedByPath: match.isDecidedByPath)
        }
        guard !match.paths.isEmpty else { return [row(.max, word: 0, mask: 0)] }
        return match.paths.enumerated().map { number, path in
            let count = min(8, path.bytes.count)
            return row(
                UInt16(truncatingIfNeeded: number), word: word(path.bytes.span, 0..<count),
                mask: count == 8 ? .max : (1 << UInt64(8 * count)) - 1)
        }
    }

    /// Up to eight bytes, the first lowest.
    @inline(__always)
    private static func word(_ bytes: Span<UInt8>, _ range: Range<Int>) -> UInt64 {
        if bytes.count - range.lowerBound >= 8 {
            return UInt64(littleEndian: bytes.bytes.unsafeLoadUnaligned(fromByteOffset: range.lowerBound, as: UInt64.self))
        }
        var word: UInt64 = 0
        var shift: UInt64 = 0
        for index in range.lowerBound..<min(range.upperBound, range.lowerBound + 8) {
            word |= UInt64(bytes[index]) << shift
            shift += 8
        }
        return word
    }

    /// - Parameters:
    ///   - client: `nil` for one on a Unix socket.
    ///   - isOperator: whether the client may see what is for operators.
    func choose(_ request: borrowing RequestHead, client: IPAddress?, isOperator: Bool) -> Choice {
        let bytes = request.fields.bytes.span
        var candidates = 0..<rows.count
        if hasHosts {
            candidates = hosts.rows(bytes.extracting(HostPattern.host(bytes, in: request.authority)))
        }
        guard hasPaths else { return choose(candidates, request, bytes, 0..<0, client: client, isOperator: isOperator) }
        let (end, isPlain) = RequestPath.scan(bytes, request.target)
        if isPlain { return choose(candidates, request, bytes, request.target.lowerBound..<end, client: client, isOperator: isOperator) }
        let path = RequestPath(bytes, request.target.lowerBound..<end)
        let plain = choose(candidates, request, path.plain.span, 0..<path.plain.count, client: client, isOperator: isOperator)
        let eager = choose(candidates, request, path.eager.span, 0..<path.eager.count, client: client, isOperator: isOperator)
        return plain == eager ? plain : .ambiguous
    }

    private func choose(
        _ candidates: Range<Int>, _ request: borrowing RequestHead, _ bytes: Span<UInt8>, _ path: Range<Int>, client: IPAddress?,
        isOperator: Bool
    ) -> Choice {
        let rows = rows.span
        let word = path.isEmpty ? 0 : Self.word(bytes, path)
        let method: UInt16 = 1 << UInt16(request.method.rawValue)
        for index in candidates {
            let row = rows[index]
            guard (word ^ row.word) & row.mask == 0, row.methods & method != 0 else { continue }
            // Chained, and not by way of a constant: that would be a copy, with a retain for each of its arrays.
            if row.path != .max {
                guard matches[Int(row.route)].paths[Int(row.path)].matches(bytes.extracting(path)) else { continue }
            }
            if row.isDecidedByPath
                || matches[Int(row.route)].mismatchBehindPath(request, client: client, isOperator: isOperator) == nil
            {
                return .route(Int(row.route))
            }
        }
        return .none
    }

    /// Whether the route with that number is there for operators alone.
    func isForOperators(_ number: Int) -> Bool { matches[number].isForOperators }

    /// Whether the route with that number says that the process serves, and nothing else.
    func isAlivePage(_ number: Int) -> Bool { matches[number].isAlivePage }

    /// What each route up to the chosen one lacked, for `headrace explain`; the same questions, asked one by one.
    func mismatches(_ request: borrowing RequestHead, client: IPAddress?, isOperator: Bool) -> [CompiledMatch.Mismatch?] {
        let bytes = request.fields.bytes.span
        let host = bytes.extracting(HostPattern.host(bytes, in: request.authority))
        let end = RequestPath.scan(bytes, request.target).end
        let path = RequestPath(bytes, request.target.lowerBound..<end)
        var found: [CompiledMatch.Mismatch?] = []
        for match in matches {
            found.append(match.mismatch(request, host: host, path: path.eager.span, client: client, isOperator: isOperator))
            if found.last == .some(nil) { break }
        }
        return found
    }
}
