import Edge
import NIOCore

/// What is wrong with a value, as the sentence that follows its key: `"256" has no unit: write 256MB, 256KB or 256B`.
struct ValueProblem: Error, Equatable {
    let text: String
    /// Which member of a list it is about.
    var member: Int?
    /// What is wrong with members behind that one.
    var others: [ValueProblem] = []

    init(_ text: String) { self.text = text }
}

/// How values of one kind are written: in the file, in the environment and on the command line alike.
///
/// A parser is given the words of the value: one, or for a list any number. It and ``render`` are each other's inverse, which a
/// test checks for every key's default.
struct ValueFormat<Value: Sendable & Equatable>: Sendable {
    /// For the reference: `size`, `duration`, `list of codings`.
    let name: String
    /// For the reference: the units, or the words that are allowed.
    let units: String
    /// For the reference; empty when anything goes.
    let range: String
    let isList: Bool
    /// Whether members may be written as a mapping, too; then each is the word `name: value`.
    let isMapping: Bool
    let parse: @Sendable ([String]) throws -> Value
    let render: @Sendable (Value) -> String

    /// A format whose values are single words.
    init(
        _ name: String, units: String = "", range: String = "", parse: @escaping @Sendable (String) throws -> Value,
        render: @escaping @Sendable (Value) -> String
    ) {
        self.name = name
        self.units = units
        self.range = range
        isList = false
        isMapping = false
        self.parse = { words in
            guard words.count == 1 else { throw ValueProblem("is a list, but one \(name) is expected") }
            return try parse(words[0])
        }
        self.render = render
    }

    private init(
        list name: String, units: String, isMapping: Bool = false, parse: @escaping @Sendable ([String]) throws -> Value,
        render: @escaping @Sendable (Value) -> String
    ) {
        self.name = name
        self.units = units
        range = ""
        isList = true
        self.isMapping = isMapping
        self.parse = parse
        self.render = render
    }

    /// The same words, or no value.
    /// - Parameter off: the word that says "none", where one may say so; without it an absent value is rendered as nothing.
    static func optional<Wrapped>(_ format: ValueFormat<Wrapped>, off: String? = nil) -> Self where Value == Wrapped? {
        Self(
            format.name, units: [format.units, off ?? ""].filter { !$0.isEmpty }.joined(separator: ", "), range: format.range,
            parse: { $0 == off ? nil : try format.parse([$0]) }, render: { $0.map(format.render) ?? off ?? "" })
    }

    /// Several of these, in order.
    static func list<Member>(_ name: String, of format: ValueFormat<Member>, isEmptyAllowed: Bool = false) -> Self
    where Value == [Member] {
        list(name, of: format, isEmptyAllowed: isEmptyAllowed, isMapping: false)
    }

    /// Several of these in order, none too, which may be written as a mapping of names to values.
    static func mapping<Member>(_ name: String, of format: ValueFormat<Member>) -> Self where Value == [Member] {
        list(name, of: format, isEmptyAllowed: true, isMapping: true)
    }

    private static func list<Member>(_ name: String, of format: ValueFormat<Member>, isEmptyAllowed: Bool, isMapping: Bool) -> Self
    where Value == [Member] {
        Self(
            list: "list of \(name)", units: format.units, isMapping: isMapping,
            parse: { words in
                guard isEmptyAllowed || !words.isEmpty else { throw ValueProblem("is an empty list") }
                var members: [Member] = []
                var problems: [ValueProblem] = []
                for (index, word) in words.enumerated() {
                    do {
                        members.append(try format.parse([word]))
                    } catch var problem as ValueProblem {
                        problem.member = index
                        problems.append(problem)
                    }
                }
                if var first = problems.first {
                    first.others = Array(problems.dropFirst())
                    throw first
                }
                return members
            },
            render: { "[" + $0.map(format.render).joined(separator: ", ") + "]" })
    }
}

extension ValueFormat where Value == Bool {
    static var boolean: Self {
        Self(
            "boolean", units: "true, false",
            parse: { word in
                switch word {
                case "true": true
                case "false": false
                default: throw ValueProblem("\"\(word)\" is neither true nor false")
                }
            }, render: { $0 ? "true" : "false" })
    }
}

extension ValueFormat where Value == Int {
    static func number(_ range: ClosedRange<Int>) -> Self {
        Self(
            "number", range: "\(range.lowerBound)…\(range.upperBound)",
            parse: { word in
                guard let value = Int(word) else { throw ValueProblem("\"\(word)\" is no whole number") }
                return try within(range, value, { "\($0)" })
            }, render: { "\($0)" })
    }

    static func size(_ range: ClosedRange<Int>) -> Self {
        Self(
            "size", units: SizeText.units, range: "\(SizeText.render(range.lowerBound))…\(SizeText.render(range.upperBound))",
            parse: { try within(range, try SizeText.parse($0, within: range), SizeText.render) }, render: SizeText.render)
    }

    static func rate(_ range: ClosedRange<Int>) -> Self {
        Self(
            "rate", units: TransferRateText.units, range: "\(TransferRateText.render(range.lowerBound))…\(TransferRateText.render(range.upperBound))",
            parse: { try within(range, try TransferRateText.parse($0, within: range), TransferRateText.render) }, render: TransferRateText.render)
    }
}

extension ValueFormat where Value == TimeAmount {
    static func duration(_ range: ClosedRange<TimeAmount>) -> Self {
        Self(
            "duration", units: DurationText.units,
            range: "\(DurationText.render(range.lowerBound))…\(DurationText.render(range.upperBound))",
            parse: { try within(range, try DurationText.parse($0, within: range), DurationText.render) }, render: DurationText.render)
    }
}

extension ValueFormat where Value == Double {
    /// A share, 0…1, written as a percentage.
    static var share: Self {
        Self(
            "share", units: "%", range: "0%…100%",
            parse: { word in
                guard word.hasSuffix("%") else {
                    guard let number = Double(word) else { throw ValueProblem("\"\(word)\" is no share such as 10%") }
                    throw ValueProblem("\"\(word)\" has no unit" + ((0...100).contains(number) ? ": write \(word)%" : ": a share is within 0%…100%"))
                }
                guard let value = Double(word.dropLast()), value >= 0, value <= 100 else {
                    throw ValueProblem("\"\(word)\" is not within 0%…100%")
                }
                return value / 100
            },
            render: { share in
                let percent = share * 100
                return percent == percent.rounded() ? "\(Int(percent))%" : "\(percent)%"
            })
    }
}

extension ValueFormat where Value == String {
    /// Any text but the empty one.
    static func text(_ name: String) -> Self {
        Self(
            name,
            parse: { word in
                guard !word.isEmpty else { throw ValueProblem("is empty, but a \(name) is expected") }
                return word
            }, render: { $0 })
    }

    static func choice(_ choices: [String]) -> Self {
        Self(
            "word", units: choices.joined(separator: ", "),
            parse: { word in
                guard choices.contains(word) else {
                    let guess = Spelling.nearest(word, in: choices).map { ": did you mean \($0)?" } ?? ""
                    throw ValueProblem("\"\(word)\" is none of \(choices.joined(separator: ", "))\(guess)")
                }
                return word
            }, render: { $0 })
    }

    static var mediaType: Self {
        Self(
            "media type", units: "type/subtype",
            parse: { word in
                let parts = word.split(separator: "/", omittingEmptySubsequences: false)
                guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }), !word.contains(where: { " ;,*\"".contains($0) }) else {
                    throw ValueProblem("\"\(word)\" is no media type such as application/json")
                }
                return word
            }, render: { $0 })
    }

    /// The path of a page: from the slash on.
    static var urlPath: Self {
        Self(
            "path",
            parse: { word in
                guard word.hasPrefix("/"), word.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "?") }) else {
                    throw ValueProblem("\"\(word)\" is no path such as /metrics")
                }
                return word
            }, render: { $0 })
    }

    /// The path of requests: as it is typed, or percent-encoded.
    static var matchedPath: Self {
        Self(
            "path",
            parse: { word in
                if let problem = ConfiguredPath.problem(word) { throw ValueProblem("\"\(word)\" \(problem)") }
                return word
            }, render: { $0 })
    }
}

extension ValueFormat where Value == EdgeConfiguration.SocketEndpoint {
    /// Where to listen: `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, `unix:/run/headrace.sock`.
    static var listenAddress: Self {
        Self(
            "address", units: "HOST:PORT, [IPv6]:PORT, unix:/PATH", parse: { try AddressText.parse($0) }, render: { $0.description })
    }

    /// An application: `http://127.0.0.1:3000`, `unix:/run/app.sock`.
    static var application: Self {
        Self(
            "URL", units: "http://HOST:PORT, unix:/PATH", parse: { try AddressText.parseApplication($0) },
            render: { endpoint in
                if case .unix = endpoint { return endpoint.description }
                return "http://\(endpoint)"
            })
    }
}

extension ValueFormat where Value == AccessRecordOptions.Format {
    static var accessLogFormat: Self {
        let word = ValueFormat<String>.choice(Value.allCases.map(\.rawValue))
        return Self(word.name, units: word.units, parse: { Value(rawValue: try word.parse([$0])) ?? .json }, render: { $0.rawValue })
    }
}

extension ValueFormat where Value == AccessRecordOptions.Field {
    static var accessLogField: Self {
        let word = ValueFormat<String>.choice(Value.allCases.map(\.rawValue))
        return Self(word.name, units: word.units, parse: { Value(rawValue: try word.parse([$0])) ?? .time }, render: { $0.rawValue })
    }
}

extension ValueFormat where Value == EdgeConfiguration.AccessLog {
    static var accessLog: Self {
        Self(
            "destination", units: "off, stdout, stderr, a file's path",
            parse: { word in
                switch word {
                case "off": return .off
                case "stdout": return .stdout
                case "stderr": return .stderr
                case let path where path.contains("/"): return .file(path)
                default: throw ValueProblem("\"\(word)\" is none of off, stdout, stderr, nor a path: write ./\(word) for a file")
                }
            },
            render: { log in
                switch log {
                case .off: "off"
                case .stdout: "stdout"
                case .stderr: "stderr"
                case .file(let path): path
                }
            })
    }
}

private func within<Value: Comparable>(_ range: ClosedRange<Value>, _ value: Value, _ render: (Value) -> String) throws -> Value {
    guard range.contains(value) else {
        throw ValueProblem("\(render(value)) is not within \(render(range.lowerBound))…\(render(range.upperBound))")
    }
    return value
}
