import Foundation
import Transport

/// What the configuration is made of, and how it becomes ``Settings``: flags over environment over file over defaults.
///
/// Reads nothing itself but the secrets that a value points to; files and environment come in as text.
struct ConfigurationSources {
    /// The file, if there is one.
    var file: (name: String, text: String)?
    /// All variables; those that begin with `HEADRACE_` and a section's name are ours.
    var environment: [String: String] = [:]
    /// From the command line, in order: the flag as it was written, the key, and the value's words.
    var flags: [(flag: String, path: String, words: [String])] = []
    /// Reads the file that a secret is in. A parameter, so that the rest is a function of its input.
    var readSecret: (String) throws -> String = { try ConfiguredFile.text($0) }

    /// Whether the folders and files that the values name have to be there: not for who only asks what is configured.
    var looksForFiles = false

    /// Where a value came from.
    enum Origin: String, Sendable {
        case `default`, file, environment, flag
    }

    struct Loaded: Sendable {
        var settings = Settings()
        /// By path; what is not in it is the default.
        var origins: [String: Origin] = [:]
        /// Where each key, section and element of a section was written, by path.
        var places: [String: ConfigurationProblem.Place] = [:]
        /// The file that was read.
        var fileName: String?
        /// The files of secrets that were read.
        var secretFiles: Set<String> = []
        /// Variables of the environment that look like ours and are none.
        var warnings: [String] = []
    }

    /// - Throws: `ConfigurationProblems` with every mistake that there is, in the order: file, environment, command line.
    func load() throws(ConfigurationProblems) -> Loaded {
        var loaded = Loaded()
        let reader = SettingReader(environment: environment, readSecret: readSecret)
        if let file {
            loaded.fileName = file.name
            let parsed = ConfigurationFile.parse(file.text, name: file.name)
            reader.adopt(parsed.problems, refused: parsed.refused)
            reader.assign(parsed.content, ConfigurationKeys.table, prefix: "", to: &loaded.settings)
        }
        loaded.warnings = readEnvironment(reader, &loaded.settings)
        for (flag, path, words) in flags {
            guard let key = ConfigurationKeys.key(path) else {
                Self.refuse(path, at: .flag(flag), reader)
                continue
            }
            reader.assign(key, words, .flag, at: .flag(flag), to: &loaded.settings)
        }
        loaded.origins = reader.origins
        loaded.places = reader.places
        loaded.secretFiles = reader.secretFiles
        var findings = SettingFindings(places: reader.places, refused: reader.refused)
        SettingContradictions.add(loaded, to: &findings)
        if looksForFiles { NamedFile.add(loaded.settings, to: &findings) }
        let problems = reader.problems + findings.problems
        guard problems.isEmpty else { throw ConfigurationProblems(problems: problems, source: file?.text) }
        return loaded
    }

    /// - Returns: what is passed over, and looks as if it was meant for us.
    private func readEnvironment(_ reader: SettingReader, _ settings: inout Settings) -> [String] {
        let keys = Dictionary(uniqueKeysWithValues: ConfigurationKeys.all.map { ($0.environmentName, $0) })
        let prefixes = ConfigurationKeys.shape.names(in: []).map { "HEADRACE_\($0.uppercased())_" }
        var warnings: [String] = []
        for (name, value) in environment.sorted(by: { $0.key < $1.key }) where name.hasPrefix("HEADRACE_") {
            let place = ConfigurationProblem.Place.environment(name: name)
            guard keys[name] != nil || prefixes.contains(where: name.hasPrefix) else {
                if let guess = Self.misspelled(name, keys.keys.sorted()) {
                    warnings.append("the environment has \(name), which says nothing to headrace: did you mean \(guess)?")
                }
                continue
            }
            if let section = ConfigurationKeys.table.repeated.first(where: { section in
                let own = "HEADRACE_" + section.path.uppercased().replacing(".", with: "_")
                return name == own || name.hasPrefix(own + "_")
            }), keys[name] == nil {
                reader.problems.append(ConfigurationProblem(place: place, text: "\(section.path) can be set in the file only"))
                continue
            }
            guard let key = keys[name] else {
                let guess = Spelling.nearest(name, in: Array(keys.keys))
                reader.adopt(
                    [ConfigurationProblem(place: place, text: "there is no such key" + (guess.map { ": did you mean \($0)?" } ?? ""))],
                    refused: Set(guess.flatMap { keys[$0]?.path }.map { [$0] } ?? []))
                continue
            }
            let words = key.isList ? Self.words(of: value) : [value]
            // The environment is where a secret may stand as it is.
            reader.assign(key, words, .environment, at: place, isPlain: true, to: &settings)
        }
        return warnings
    }

    /// Variables of the program that set no key.
    private static let otherVariables: Set<String> = ["HEADRACE_CONFIG", "HEADRACE_HISTORY"]

    /// The key's variable that may have been meant by one whose name begins as none does: with its section left out, or misspelled.
    private static func misspelled(_ name: String, _ names: [String]) -> String? {
        guard !otherVariables.contains(name) else { return nil }
        let prefix = "HEADRACE_"
        let own = String(name.dropFirst(prefix.count))
        guard !own.isEmpty else { return nil }
        if let whole = names.first(where: { $0.hasSuffix("_" + own) }) { return whole }
        // Without what all have in common, which would make anything near.
        return Spelling.nearest(own, in: names.map { String($0.dropFirst(prefix.count)) }).map { prefix + $0 }
    }

    private static func words(of list: String) -> [String] {
        list.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    }

    /// A key that there is not, on the command line.
    private static func refuse(_ path: String, at place: ConfigurationProblem.Place, _ reader: SettingReader) {
        if let section = ConfigurationKeys.table.repeated.first(where: { path == $0.path || path.hasPrefix($0.path + ".") }) {
            return reader.problems.append(ConfigurationProblem(place: place, text: "\(section.path) can be set in the file only"))
        }
        let guess = Spelling.nearest(path, in: ConfigurationKeys.all.map(\.path))
        reader.adopt(
            [ConfigurationProblem(place: place, text: "there is no key \"\(path)\"" + (guess.map { ": did you mean \($0)?" } ?? ""))],
            refused: Set(guess.map { [$0] } ?? []))
    }

    /// The key and the words of `edge.cache.size=64MB`, as `--set` gives them.
    static func assignment(_ text: String) -> (flag: String, path: String, words: [String]) {
        let path = text.prefix { $0 != "=" }.trimmingCharacters(in: .whitespaces)
        let value = String(text.dropFirst(text.prefix { $0 != "=" }.count + 1))
        let isList = ConfigurationKeys.key(path)?.isList ?? false
        return ("--set \(path)", path, isList ? words(of: value) : [value])
    }
}
