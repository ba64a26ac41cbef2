import Edge
import NIOCore

/// What can be said of the response cache's keys, for the edge as a whole and for a route, and of who may purge.
enum ResponseCacheKeys {
    static let edge: [ConfigurationKey] = rules.map { ConfigurationKey($0, under: "edge.cache.key", at: \.edge.cache.key) } + purge

    static let route: [SettingKey<RouteConfiguration>] = rules.map { SettingKey($0, under: "cache.key", at: \.cacheKey) }

    private static let purge: [ConfigurationKey] = [
        .init(
            "edge.purge.token", \.edge.purge.token, .optional(.text("token")), isReloadable: true, isSecret: true,
            "Who sends it (Headrace-Key, Fastly-Key or Authorization: Bearer …) may purge and ask what is stored."),
        .init(
            "edge.purge.clients", \.edge.purge.clients, .list("networks", of: .addressRange, isEmptyAllowed: true), isReloadable: true,
            "From where; anywhere, when only a token is set. With neither of the two nobody may."),
    ]

    private static let rules: [SettingKey<CacheKeyRules>] = [
        .init(
            "sort_query", \.sortsQuery, .boolean, isReloadable: true,
            "The order of the query's parameters does not count. What does not count is not asked of the application, either."),
        .init(
            "ignore_query", \.ignoredParameters, .list("patterns", of: .parameterPattern, isEmptyAllowed: true), isReloadable: true,
            "Parameters that do not count, such as utm_* and fbclid."),
        .init(
            "select_query", \.selectedParameters, .list("patterns", of: .parameterPattern, isEmptyAllowed: true), isReloadable: true,
            "The only parameters that count; all, when there is none."),
        .init(
            "headers", \.fields, .list("names", of: .keyName, isEmptyAllowed: true), isReloadable: true,
            "Header fields that count, as if every response said Vary."),
        .init("cookies", \.cookies, .list("names", of: .keyName, isEmptyAllowed: true), isReloadable: true, "Cookies that count."),
        .init(
            "device", \.hasDeviceClass, .boolean, isReloadable: true,
            "Whether a phone, a tablet, a robot or something else asks counts; the application is told in X-Device-Class."),
        .init(
            "languages", \.languages, .list("languages", of: .language, isEmptyAllowed: true), isReloadable: true,
            "The languages that the application has: the one that suits the client best counts, the first when none does; it is asked for that one."),
        .init(
            "normal_path", \.normalisesPath, .boolean, isReloadable: true,
            "Escapes of plain characters in the path do not count: %7e is ~, and %2f is %2F."),
    ]
}

extension ValueFormat where Value == String {
    /// `utm_*`
    static var parameterPattern: Self {
        Self(
            "pattern", units: "name, prefix*, *suffix",
            parse: { word in
                guard !word.isEmpty, word.utf8.count <= 128, word.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && !"&=#?".utf8.contains($0) }),
                    word.count(where: { $0 == "*" }) <= 1
                else { throw ValueProblem("\"\(word)\" is no pattern of a parameter's name such as fbclid or utm_*: one * at most") }
                return word
            }, render: { $0 })
    }

    /// `de`, `pt-BR`: what of a language tag an application tells apart.
    /// - Source: RFC 5646 §2.1.
    static var language: Self {
        Self(
            "language",
            parse: { word in
                let parts = word.split(separator: "-", omittingEmptySubsequences: false)
                guard word.utf8.count <= 35, parts.allSatisfy({ (1...8).contains($0.utf8.count) }), (parts.first?.utf8.count ?? 0) > 1,
                    word.utf8.allSatisfy({ ($0 | 0x20) &- 0x61 < 26 || $0 &- 0x30 < 10 || $0 == 0x2D })
                else { throw ValueProblem("\"\(word)\" is no language such as de or pt-BR") }
                return word
            }, render: { $0 })
    }

    /// A header field or a cookie that is part of a key.
    static var keyName: Self {
        Self(
            "name",
            parse: { word in
                guard !word.isEmpty, word.utf8.count <= 128, word.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && !"\"(),/:;<=>?@[\\]{}".utf8.contains($0) })
                else { throw ValueProblem("\"\(word)\" is no name of a header field or a cookie") }
                return word
            }, render: { $0 })
    }
}

extension ValueFormat where Value == [EdgeConfiguration.NegativeCaching] {
    /// `{404: 10s, 503: 1s}`
    static var negativeCaching: Self {
        let duration = ValueFormat<TimeAmount>.duration(.seconds(1)...(.hours(24)))
        return mapping(
            "statuses",
            of: ValueFormat<EdgeConfiguration.NegativeCaching>(
                "status", units: "status: time",
                parse: { word in
                    let parts = word.split(separator: ":", maxSplits: 1).map { $0.drop { $0 == " " } }
                    guard parts.count == 2, let status = Int(parts[0]), (200...599).contains(status), ![206, 304].contains(status) else {
                        throw ValueProblem("\"\(word)\" is no status and its time, such as 404: 10s")
                    }
                    return .init(status: status, lifetime: try duration.parse([String(parts[1])]))
                }, render: { "\"\($0.status): \(DurationText.render($0.lifetime))\"" }))
    }
}
