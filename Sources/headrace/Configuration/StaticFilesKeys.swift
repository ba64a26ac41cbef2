import Edge

/// How a folder of files is served: of `edge.root`, and of a route.
enum StaticFilesKeys {
    static func keys<Root>(
        _ section: String, index: any WritableKeyPath<Root, [String]> & Sendable, listing: any WritableKeyPath<Root, Bool> & Sendable,
        fallback: any WritableKeyPath<Root, String?> & Sendable, links: any WritableKeyPath<Root, StaticFilesOptions.Links> & Sendable,
        precompressed: any WritableKeyPath<Root, [String]> & Sendable
    ) -> [SettingKey<Root>] {
        [
            .init(
                section + ".index", index, .list("file names", of: .fileName, isEmptyAllowed: true),
                isReloadable: true, "What answers for a folder: the first of these that is there."),
            .init(
                section + ".listing", listing, .boolean, isReloadable: true,
                "Answer for a folder without one with the names in it."),
            .init(
                section + ".fallback", fallback, .optional(.urlPath), isReloadable: true,
                "The file that answers for paths that are none and have no extension: /index.html for a single-page application."),
            .init(
                section + ".links", links, .links, isReloadable: true,
                "Symbolic links: refuse all, follow those that stay inside the folder, or follow all."),
            .init(
                section + ".precompressed", precompressed,
                .list("codings", of: .choice(["br", "zstd", "gzip"]), isEmptyAllowed: true), isReloadable: true,
                "Serve app.js.br, app.js.zst or app.js.gz in the place of app.js to clients that accept it, when it is not older."),
        ]
    }
}

extension ValueFormat where Value == StaticFilesOptions.Links {
    static var links: Self {
        let word = ValueFormat<String>.choice(Value.allCases.map(\.rawValue))
        return Self(word.name, units: word.units, parse: { Value(rawValue: try word.parse([$0])) ?? .inside }, render: { $0.rawValue })
    }
}

extension ValueFormat where Value == String {
    static var fileName: Self {
        Self(
            "file name",
            parse: { word in
                guard !word.isEmpty, !word.hasPrefix("."), !word.contains("/"), word.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
                    throw ValueProblem("\"\(word)\" is no name of a file in a folder, such as index.html")
                }
                return word
            }, render: { $0 })
    }
}
