import Edge
import NIOCore

/// What can be said of a table of lifetimes for browsers.
enum BrowserCachingKeys {
    static let section = RepeatedSection(
        named: "edge.policies.browser_caching", \Settings.edge.browserCachingPolicies, table, BrowserCachingPolicy.standard,
        isReloadable: true, shorthand: "types",
        example: [
            "shop:",
            "  types: {text/html: 1m, text/css: 365d immutable, text/javascript: 365d immutable, image/*: 30d}",
            "  hashed_names: [\"*.{hex}.*\", \"*-{base64:8}.*\"]",
            "  short: 10m",
        ],
        """
        Tables of lifetimes for browsers; edge.browser_caching and a route's browser_caching name them. `off` and `standard` are there \
        without being written. What a table leaves out is as in `standard`.
        """)

    private static let table = SettingTable<BrowserCachingPolicy>(keys: [
        .init(
            "types", \.rows, .mapping("lifetimes", of: .lifetime), isReloadable: true,
            """
            How long what is kept: style sheets, scripts, images and fonts while a hash in their file name or a version in their query \
            changes with them, 365d at most; everything else always, 1d at most.
            """),
        .init(
            "hashed_names", \.namePatterns, .list("patterns", of: .hashedNames, isEmptyAllowed: true), isReloadable: true,
            "File names that carry a hash of their content; only for these is anything immutable, or kept by shared caches."),
        .init(
            "version_parameters", \.versionParameters, .list("names", of: .queryParameter, isEmptyAllowed: true), isReloadable: true,
            "Parameters of the query that say which version of an asset is meant."),
        .init(
            "short", \.shortSeconds, .seconds(0...BrowserCachingPolicy.documentSecondsMax), isReloadable: true,
            "For assets whose name says nothing of their content."),
        .init(
            "override", \.overrides, .boolean, isReloadable: true,
            "Replace the application's own lifetimes, too; its no-store and private stay. `headrace check` warns of it."),
    ])
}

extension ValueFormat where Value == BrowserCachingPolicy.Row {
    /// `text/css: 365d immutable`, `image/*: 30d`.
    static var lifetime: Self {
        Self(
            "lifetime", units: "type/subtype: DURATION [immutable]",
            parse: { word in
                let parts = word.split(separator: ":", maxSplits: 1).map { $0.drop { $0 == " " } }
                guard parts.count == 2 else { throw ValueProblem("\"\(word)\" has no lifetime: write \(word): 5m") }
                let words = parts[1].split(separator: " ")
                guard let duration = words.first, words.count == 1 || words.count == 2 && words[1] == "immutable" else {
                    throw ValueProblem("\"\(parts[1])\" is no lifetime such as 5m or 365d immutable")
                }
                let type = parts[0].lowercased()
                let names = type.split(separator: "/", omittingEmptySubsequences: false)
                guard names.count == 2, names.allSatisfy({ !$0.isEmpty }), !names[0].contains("*"), names[1] == "*" || !names[1].contains("*"),
                    !type.contains(where: { " ;,\"".contains($0) })
                else { throw ValueProblem("\"\(parts[0])\" is no media type such as text/css or image/*") }
                let seconds = try ValueFormat<Int>.seconds(0...BrowserCachingPolicy.assetSecondsMax).parse([String(duration)])
                return .init(type, seconds: seconds, isImmutable: words.count == 2)
            },
            render: { row in
                "\(row.mediaType): \(DurationText.render(.seconds(Int64(row.seconds))))\(row.isImmutable ? " immutable" : "")"
            })
    }
}

extension ValueFormat where Value == Int {
    /// A duration in whole seconds: finer there is nothing in HTTP.
    static func seconds(_ range: ClosedRange<Int>) -> Self {
        let format = ValueFormat<TimeAmount>.duration(.seconds(Int64(range.lowerBound))...(.seconds(Int64(range.upperBound))))
        return Self(
            format.name, units: "s, m, h, d", range: format.range,
            parse: { word in
                let duration = try format.parse([word])
                guard duration.nanoseconds % 1_000_000_000 == 0 else { throw ValueProblem("\"\(word)\" is no number of whole seconds") }
                return Int(duration.nanoseconds / 1_000_000_000)
            }, render: { DurationText.render(.seconds(Int64($0))) })
    }
}

extension ValueFormat where Value == String {
    static var hashedNames: Self {
        Self(
            "pattern", units: "{hex}, {hex:N}, {base64}, {base64:N}, *",
            parse: { word in
                if let problem = BrowserCachingPolicy.problem(ofPattern: word) { throw ValueProblem("\"\(word)\" \(problem)") }
                return word
            }, render: { $0 })
    }

    static var queryParameter: Self {
        Self(
            "name",
            parse: { word in
                guard !word.isEmpty, word.utf8.count <= 64, word.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && !"&=#".utf8.contains($0) }) else {
                    throw ValueProblem("\"\(word)\" is no name of a parameter such as v")
                }
                return word
            }, render: { $0 })
    }
}
