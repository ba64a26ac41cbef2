import Edge
import NIOCore

// How the parts of a route are written.

extension ValueFormat where Value == String {
    /// A name, or nothing.
    static var optionalName: Self {
        Self(
            "name", units: "letters, digits, - and _",
            parse: { word in
                guard !word.isEmpty, word.utf8.count <= 64, word.utf8.allSatisfy({ isNameByte($0) }) else {
                    throw ValueProblem("\"\(word)\" is no name: letters, digits, - and _, at most 64")
                }
                return word
            }, render: { $0 })
    }

    /// Any text, the empty one too.
    static var optionalText: Self { Self("text", parse: { $0 }, render: { $0 }) }

    /// `www.example.com`, `*.example.com`.
    static var hostPattern: Self {
        Self(
            "host name", units: "example.com, *.example.com",
            parse: { word in
                let name = word.hasPrefix("*.") ? word.dropFirst(2) : word[...]
                let isAddress = name.hasPrefix("[") && name.hasSuffix("]")
                let isName = !name.isEmpty && name.utf8.count <= 253 && !name.hasPrefix(".") && !name.hasSuffix(".")
                    && name.utf8.allSatisfy { isNameByte($0) || $0 == UInt8(ascii: ".") }
                guard isName || isAddress else { throw ValueProblem("\"\(word)\" is no host such as example.com or *.example.com") }
                return word.lowercased()
            }, render: { $0 })
    }

    static var method: Self {
        Self(
            "method", units: "GET, POST, …",
            parse: { word in
                guard !word.isEmpty, word.utf8.count <= 32, word.utf8.allSatisfy({ $0 &- 0x41 < 26 || $0 == UInt8(ascii: "-") }) else {
                    throw ValueProblem("\"\(word)\" is no method such as GET: methods are written in capitals")
                }
                return word
            }, render: { $0 })
    }

    /// A link that makes an early hint.
    static var earlyLink: Self {
        Self(
            "link", units: "<URL>; rel=preload, modulepreload, preconnect",
            parse: { word in
                guard let link = EarlyHintsConfiguration.link(word) else {
                    throw ValueProblem("\"\(word)\" is no link with rel=preload, modulepreload or preconnect, such as </app.css>; rel=preload; as=style")
                }
                return link
            }, render: { $0 })
    }

    /// Where a client is sent.
    static var location: Self {
        Self(
            "URL", units: "http://…, https://…, /path",
            parse: { word in
                let isKnown = word.hasPrefix("http://") || word.hasPrefix("https://") || (word.hasPrefix("/") && !word.hasPrefix("//"))
                guard isKnown, word.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
                    throw ValueProblem("\"\(word)\" is neither a URL such as https://example.com/ nor a path such as /new")
                }
                return word
            }, render: { $0 })
    }

    /// The name of a field that a rule may change.
    static var fieldName: Self {
        Self(
            "name",
            parse: { word in
                try checkRule(word)
                return word
            }, render: { $0 })
    }
}

extension ValueFormat where Value == Int {
    static var redirectStatus: Self {
        let statuses = RouteConfiguration.Redirect.statuses
        let words = statuses.map(String.init).joined(separator: ", ")
        return Self(
            "number", units: words,
            parse: { word in
                guard let status = Int(word), statuses.contains(status) else { throw ValueProblem("\"\(word)\" is none of \(words)") }
                return status
            }, render: { "\($0)" })
    }

    /// Of a final response that may answer anything (RFC 9110 §15); 304 answers a condition.
    static var responseStatus: Self {
        let number = number(200...599)
        return Self(
            number.name, range: number.range,
            parse: { word in
                let status = try number.parse([word])
                guard status != 304 else { throw ValueProblem("304 answers a condition, and nothing else") }
                return status
            }, render: number.render)
    }
}

extension ValueFormat where Value == RouteConfiguration.BuiltInPage {
    static var builtInPage: Self {
        let words = Value.allCases.map(\.rawValue)
        let word = ValueFormat<String>.choice(words)
        return Self(
            word.name, units: word.units, parse: { Value(rawValue: try word.parse([$0])) ?? .health }, render: { $0.rawValue })
    }
}

extension ValueFormat where Value == String {
    /// What stands between the quotes of `realm="…"`.
    static var realm: Self {
        Self(
            "text",
            parse: { word in
                guard !word.isEmpty, word.utf8.count <= 256, word.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x5C })
                else { throw ValueProblem("\"\(word)\" is no realm: ASCII without quotes and backslashes, at most 256") }
                return word
            }, render: { $0 })
    }
}

extension ValueFormat where Value == AddressRange {
    static var addressRange: Self {
        Self(
            "network", units: "10.0.0.0/8, 2001:db8::/32, 192.0.2.1, unix",
            parse: { word in
                guard let range = AddressRange(word) else {
                    throw ValueProblem("\"\(word)\" is no network such as 10.0.0.0/8 or 2001:db8::/32, no address, nor unix")
                }
                return range
            }, render: { $0.text })
    }
}

extension ValueFormat where Value == RateLimit.Rate {
    /// `10/s`, `600/m`, `5000/h`.
    static var requestRate: Self {
        let units: [(unit: String, period: TimeAmount)] = [("s", .seconds(1)), ("m", .minutes(1)), ("h", .hours(1))]
        return Self(
            "rate", units: "requests as 10/s, 600/m, 5000/h", range: "1…1000000 of them",
            parse: { word in
                let parts = word.split(separator: "/", omittingEmptySubsequences: false)
                guard let count = Int(parts[0]) else { throw ValueProblem("\"\(word)\" is no rate such as 10/s or 600/m") }
                guard parts.count == 2, let unit = units.first(where: { $0.unit == parts[1] }) else {
                    throw ValueProblem("\"\(word)\" does not say in which time: write \(count)/s, \(count)/m or \(count)/h")
                }
                guard (1...1_000_000).contains(count) else { throw ValueProblem("\"\(word)\" is not within 1…1000000 requests") }
                return RateLimit.Rate(count: count, per: unit.period)
            }, render: { rate in "\(rate.count)/\(units.first { $0.period == rate.period }?.unit ?? "s")" })
    }
}

extension ValueFormat where Value == RateLimit.Client {
    static var rateLimitClient: Self {
        let choices = ["client", "header:NAME", "cookie:NAME"]
        return Self(
            "word", units: choices.joined(separator: ", "),
            parse: { word in
                if word == "client" { return .address }
                for (prefix, make) in [("header:", Value.header), ("cookie:", Value.cookie)] where word.hasPrefix(prefix) {
                    let name = word.dropFirst(prefix.count)
                    guard !name.isEmpty, name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && !"=;,:".utf8.contains($0) }) else { break }
                    return make(String(name))
                }
                throw ValueProblem("\"\(word)\" is none of \(choices.joined(separator: ", "))")
            },
            render: { value in
                switch value {
                case .address: "client"
                case .header(let name): "header:\(name)"
                case .cookie(let name): "cookie:\(name)"
                }
            })
    }
}

extension ValueFormat where Value == ForwardingConfiguration.Field {
    static var forwardedField: Self {
        let word = ValueFormat<String>.choice(Value.allCases.map(\.rawValue))
        return Self(
            word.name, units: word.units, parse: { Value(rawValue: try word.parse([$0])) ?? .xForwardedFor }, render: { $0.rawValue })
    }
}

extension ValueFormat where Value == [HeaderField] {
    /// `{X-Frame-Options: DENY}`, or `["X-Frame-Options: DENY"]`.
    static var headerFields: Self {
        mapping("header fields", of: HeaderFieldFormat.field)
    }
}

extension ValueFormat where Value == [RouteMatch.Field] {
    /// `{X-Debug: "1"}`; `[X-Debug]` for a field with any value.
    static var fieldConditions: Self {
        mapping("header fields", of: HeaderFieldFormat.condition)
    }
}

private enum HeaderFieldFormat {
    static let field = ValueFormat<HeaderField>(
        "header field", units: "Name: value",
        parse: { word in
            let (name, value) = try split(word)
            try checkRule(name)
            guard let value else { throw ValueProblem("\"\(word)\" has no value: write \(name): value") }
            return HeaderField(name: name, value: value)
        }, render: { "\"\($0.name): \($0.value)\"" })

    static let condition = ValueFormat<RouteMatch.Field>(
        "header field", units: "Name, Name: value",
        parse: { word in
            let (name, value) = try split(word)
            return RouteMatch.Field(name: name, value: value)
        }, render: { field in field.value.map { "\"\(field.name): \($0)\"" } ?? field.name })

    private static func split(_ word: String) throws -> (name: String, value: String?) {
        let name = word.prefix { $0 != ":" }
        guard isFieldName(String(name)) else { throw ValueProblem("\"\(name)\" is no name of a header field") }
        guard name.endIndex < word.endIndex else { return (String(name), nil) }
        let value = word[name.endIndex...].dropFirst().drop { $0 == " " }
        guard value.utf8.count <= 8192, value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }) else {
            throw ValueProblem("the value of \(name) has a character that no header field may have, or is longer than 8 KB")
        }
        return (String(name), String(value))
    }
}

private func checkRule(_ name: String) throws {
    guard isFieldName(name) else { throw ValueProblem("\"\(name)\" is no name of a header field") }
    if HeaderRules.untouchable.contains(name.lowercased()) {
        throw ValueProblem("\(name) frames the message or belongs to one connection: no rule may change it")
    }
}

private func isNameByte(_ byte: UInt8) -> Bool {
    (byte | 0x20) &- 0x61 < 26 || byte &- 0x30 < 10 || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
}

/// - Source: RFC 9110 §5.6.2 (token).
private func isFieldName(_ word: String) -> Bool {
    !word.isEmpty && word.utf8.count <= 256 && word.utf8.allSatisfy { isNameByte($0) || "!#$%&'*+.^`|~".utf8.contains($0) }
}
