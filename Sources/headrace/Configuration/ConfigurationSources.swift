import Foundation

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
    var readSecret: (String) throws -> String = { try String(contentsOfFile: $0, encoding: .utf8) }

    /// Where a value came from.
    enum Origin: String, Sendable {
        case `default`, file, environment, flag
    }

    struct Loaded: Sendable {
        var settings = Settings()
        /// By path; what is not in it is the default.
        var origins: [String: Origin] = [:]
        /// The file that was read.
        var fileName: String?
    }

    /// - Throws: `ConfigurationProblems` with every mistake that there is, in the order: file, environment, command line.
    func load() throws(ConfigurationProblems) -> Loaded {
        var loaded = Loaded()
        var problems: [ConfigurationProblem] = []
        if let file {
            loaded.fileName = file.name
            let parsed = ConfigurationFile.parse(file.text, name: file.name)
            problems += parsed.problems
            for entry in parsed.entries {
                assign(entry.key, entry.words, .file, at: entry.place, members: entry.memberPlaces, &loaded, &problems)
            }
        }
        readEnvironment(&loaded, &problems)
        for (flag, path, words) in flags {
            guard let key = ConfigurationKeys.key(path) else {
                problems.append(Self.unknown(path, at: .flag(flag)))
                continue
            }
            assign(key, words, .flag, at: .flag(flag), &loaded, &problems)
        }
        if problems.isEmpty { problems += Self.contradictions(loaded) }
        guard problems.isEmpty else { throw ConfigurationProblems(problems: problems, source: file?.text) }
        return loaded
    }

    private func readEnvironment(_ loaded: inout Loaded, _ problems: inout [ConfigurationProblem]) {
        let keys = Dictionary(uniqueKeysWithValues: ConfigurationKeys.all.map { ($0.environmentName, $0) })
        let prefixes = ConfigurationKeys.names(in: []).map { "HEADRACE_\($0.uppercased())_" }
        for (name, value) in environment.sorted(by: { $0.key < $1.key }) where prefixes.contains(where: name.hasPrefix) {
            guard let key = keys[name] else {
                let guess = Spelling.nearest(name, in: Array(keys.keys)).map { ": did you mean \($0)?" } ?? ""
                problems.append(ConfigurationProblem(place: .environment(name: name), text: "there is no such key\(guess)"))
                continue
            }
            let words = key.isList ? Self.words(of: value) : [value]
            if key.isSecret {
                // The environment is where a secret may stand as it is.
                loaded.origins[key.path] = .environment
                assignPlain(key, [value], at: .environment(name: name), &loaded, &problems)
            } else {
                assign(key, words, .environment, at: .environment(name: name), &loaded, &problems)
            }
        }
    }

    private func assign(
        _ key: ConfigurationKey, _ words: [String], _ origin: Origin, at place: ConfigurationProblem.Place,
        members: [ConfigurationProblem.Place] = [], _ loaded: inout Loaded, _ problems: inout [ConfigurationProblem]
    ) {
        loaded.origins[key.path] = origin
        guard key.isSecret else { return assignPlain(key, words, at: place, members: members, &loaded, &problems) }
        do {
            assignPlain(key, [try secret(words.first ?? "")], at: place, &loaded, &problems)
        } catch {
            problems.append(ConfigurationProblem(place: place, text: "\(key.path): \(error.text)"))
        }
    }

    private func assignPlain(
        _ key: ConfigurationKey, _ words: [String], at place: ConfigurationProblem.Place,
        members: [ConfigurationProblem.Place] = [], _ loaded: inout Loaded, _ problems: inout [ConfigurationProblem]
    ) {
        do {
            try key.assign(words, &loaded.settings)
        } catch {
            let problem = error as? ValueProblem
            let member = problem?.member.flatMap { members.indices.contains($0) ? members[$0] : nil }
            problems.append(ConfigurationProblem(place: member ?? place, text: "\(key.path): \(problem?.text ?? "\(error)")"))
        }
    }

    /// What `env:NAME` or `file:PATH` points to, without the line end that editors put behind it.
    private func secret(_ word: String) throws(ValueProblem) -> String {
        if word.hasPrefix("env:") {
            let name = String(word.dropFirst(4))
            guard let value = environment[name], !value.isEmpty else { throw ValueProblem("the environment has no \(name)") }
            return value
        }
        if word.hasPrefix("file:") {
            let path = String(word.dropFirst(5))
            guard let text = try? readSecret(path) else { throw ValueProblem("the file \(path) cannot be read") }
            let value = text.trimmingCharacters(in: .newlines)
            guard !value.isEmpty else { throw ValueProblem("the file \(path) is empty") }
            return value
        }
        // The value itself is not repeated: it may be a secret that now stands in a log.
        throw ValueProblem("a secret does not stand here itself: write env:NAME or file:/PATH")
    }

    private static func words(of list: String) -> [String] {
        list.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    }

    private static func unknown(_ path: String, at place: ConfigurationProblem.Place) -> ConfigurationProblem {
        let guess = Spelling.nearest(path, in: ConfigurationKeys.all.map(\.path)).map { ": did you mean \($0)?" } ?? ""
        return ConfigurationProblem(place: place, text: "there is no key \"\(path)\"\(guess)")
    }

    /// Values that are right one by one and wrong together.
    private static func contradictions(_ loaded: Loaded) -> [ConfigurationProblem] {
        let settings = loaded.settings
        var problems: [ConfigurationProblem] = []
        func contradicts(_ text: String) { problems.append(ConfigurationProblem(place: .together, text: text)) }
        if settings.application == nil, settings.edge.root == nil {
            contradicts("there is nothing to serve: set edge.app (--app http://127.0.0.1:3000) or edge.root (--root ./public)")
        }
        // A part that nobody set shrinks with its whole: see Settings.edgeConfiguration.
        func isSet(_ path: String) -> Bool { loaded.origins[path] != nil }
        if isSet("edge.limits.request_line"), settings.edge.limits.requestLineBytesMax > settings.edge.limits.headBytesMax {
            contradicts("edge.limits.request_line is larger than edge.limits.head, of which it is a part")
        }
        if isSet("edge.cache.max_object_size"), settings.edge.cache.objectBytesMax > settings.edge.cache.bytesMax {
            contradicts("edge.cache.max_object_size is larger than edge.cache.size")
        }
        for endpoint in settings.edge.listen where endpoint == settings.application {
            contradicts("edge.app is \(endpoint), on which the edge itself listens")
        }
        return problems
    }

    /// The key and the words of `edge.cache.size=64MB`, as `--set` gives them.
    static func assignment(_ text: String) -> (flag: String, path: String, words: [String]) {
        let path = text.prefix { $0 != "=" }.trimmingCharacters(in: .whitespaces)
        let value = String(text.dropFirst(text.prefix { $0 != "=" }.count + 1))
        let isList = ConfigurationKeys.key(path)?.isList ?? false
        return ("--set \(path)", path, isList ? words(of: value) : [value])
    }
}
