/// One thing that can be set: everything about it in one row.
///
/// The default is no column: it is what the root holds when nothing is said, so the reference cannot differ from the code.
/// The root is ``Settings``, or the element of a ``RepeatedSection``, whose keys are written from the element on: `match.host`.
struct SettingKey<Root>: Sendable {
    /// `edge.cache.size`: sections and name, joined by dots. In the file each is a level of the mapping, in the environment it is
    /// `HEADRACE_EDGE_CACHE_SIZE`, on the command line `--set edge.cache.size=…`.
    let path: String
    let format: String
    let units: String
    let range: String
    let isList: Bool
    /// Whether the list may be written as a mapping, too: `{X-A: b}` for `["X-A: b"]`.
    let isMapping: Bool
    /// Whether SIGHUP makes a changed value effective; otherwise it needs a restart, and the reload says so.
    let isReloadable: Bool
    /// A secret is given as `env:NAME` or `file:PATH`, never as it is, and printed as `(redacted)`.
    let isSecret: Bool
    let help: String
    /// - Throws: `ValueProblem`.
    let assign: @Sendable ([String], inout Root) throws -> Void
    /// The value as it would be written; empty when nothing is set.
    let render: @Sendable (Root) -> String

    init<Value>(
        _ path: String, _ place: any WritableKeyPath<Root, Value> & Sendable, _ format: ValueFormat<Value>, isReloadable: Bool = false,
        isSecret: Bool = false, _ help: String
    ) {
        self.path = path
        self.format = format.name
        units = format.units
        range = format.range
        isList = format.isList
        isMapping = format.isMapping
        self.isReloadable = isReloadable
        self.isSecret = isSecret
        self.help = help
        assign = { words, settings in settings[keyPath: place] = try format.parse(words) }
        render = { settings in format.render(settings[keyPath: place]) }
    }

    /// A key of a part of the root, as one of the root: `connect_timeout` as `edge.upstream.connect_timeout`.
    init<Part>(_ key: SettingKey<Part>, under prefix: String, at place: any WritableKeyPath<Root, Part> & Sendable) {
        path = "\(prefix).\(key.path)"
        format = key.format
        units = key.units
        range = key.range
        isList = key.isList
        isMapping = key.isMapping
        isReloadable = key.isReloadable
        isSecret = key.isSecret
        help = key.help
        assign = { words, root in try key.assign(words, &root[keyPath: place]) }
        render = { root in key.render(root[keyPath: place]) }
    }

    var environmentName: String {
        "HEADRACE_" + path.uppercased().replacing(".", with: "_")
    }

    /// The last part of the path.
    var name: Substring { path.split(separator: ".").last ?? "" }

    /// The value for a reader: as it would be written, secrets redacted.
    func shown(_ settings: Root) -> String {
        let text = render(settings)
        return isSecret && !text.isEmpty ? "(redacted)" : text
    }
}

/// A key of the configuration itself.
typealias ConfigurationKey = SettingKey<Settings>

/// What may stand in a mapping: keys, and sections that may be there any number of times.
struct SettingTable<Root: Sendable>: Sendable {
    let keys: [SettingKey<Root>]
    var repeated: [RepeatedSection<Root>] = []

    /// The table without its values' places: all that reading a file needs.
    var shape: SectionShape {
        SectionShape(
            keys: Dictionary(
                uniqueKeysWithValues: keys.map {
                    ($0.path, .init(format: $0.format, isList: $0.isList, isMapping: $0.isMapping, isSecret: $0.isSecret))
                }),
            repeated: Dictionary(uniqueKeysWithValues: repeated.map { ($0.path, $0.shape) }))
    }
}

/// What may stand in a mapping of the file, by path.
struct SectionShape: Sendable {
    struct Key: Sendable {
        let format: String
        let isList: Bool
        let isMapping: Bool
        let isSecret: Bool
    }

    struct Repeated: Sendable {
        let isNamed: Bool
        /// The key that a value stands for which is no mapping.
        let shorthand: String?
        let element: SectionShape
    }

    let keys: [String: Key]
    let repeated: [String: Repeated]

    private var paths: [String] { Array(keys.keys) + Array(repeated.keys) }

    /// The names that may stand in a section, sorted: `cache` and `listen` in `edge`. The empty section is the whole mapping.
    func names(in section: [String]) -> [String] {
        let prefix = section.isEmpty ? "" : section.joined(separator: ".") + "."
        return Set(paths.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count).prefix { $0 != "." }) }).sorted()
    }

    func isSection(_ path: [String]) -> Bool {
        let prefix = path.joined(separator: ".") + "."
        return paths.contains { $0.hasPrefix(prefix) }
    }

    /// The path of a key of that name in some section.
    func path(ofName name: String) -> String? {
        paths.sorted().first { $0.split(separator: ".").last.map(String.init) == name }
    }
}
