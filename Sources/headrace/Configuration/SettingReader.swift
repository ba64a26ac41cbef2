import Foundation
import Transport

/// Puts written values into the places that a table has for them, and gathers what is wrong with them.
///
/// Reads nothing itself but the secrets that a value points to.
final class SettingReader {
    private let environment: [String: String]
    private let readSecret: (String) throws -> String
    /// By path; what is not in it is the default.
    private(set) var origins: [String: ConfigurationSources.Origin] = [:]
    /// Where each key, section and element was written, by path.
    private(set) var places: [String: ConfigurationProblem.Place] = [:]
    /// Keys whose value could not be read, and keys and sections that may have been meant by an unknown word: what they were to be nobody knows.
    private(set) var refused: Set<String> = []
    /// Where secrets were read, or looked for.
    private(set) var secretFiles: Set<String> = []
    var problems: [ConfigurationProblem] = []

    init(environment: [String: String], readSecret: @escaping (String) throws -> String) {
        self.environment = environment
        self.readSecret = readSecret
    }

    /// Takes what a file's checker found.
    func adopt(_ problems: [ConfigurationProblem], refused paths: Set<String>) {
        self.problems += problems
        refused.formUnion(paths)
    }

    /// Reads a mapping of the file.
    /// - Parameter prefix: where it stands: empty for the file itself, `edge.routes[2].`.
    func assign<Root>(_ content: SectionContent, _ table: SettingTable<Root>, prefix: String, to root: inout Root) {
        let keys = Dictionary(uniqueKeysWithValues: table.keys.map { ($0.path, $0) })
        for (path, place) in content.sections { places[prefix + path] = place }
        for entry in content.entries {
            guard let key = keys[entry.path] else { continue }
            assign(key, entry.words, .file, at: entry.place, members: entry.memberPlaces, prefix: prefix, to: &root)
        }
        for section in table.repeated {
            guard let elements = content.repeated[section.path] else { continue }
            origins[prefix + section.path] = .file
            for element in elements { places[element.path] = element.place }
            section.assign(elements, self, &root)
        }
    }

    /// - Parameter isPlain: the value of a secret stands here itself, as it may in the environment.
    func assign<Root>(
        _ key: SettingKey<Root>, _ words: [String], _ origin: ConfigurationSources.Origin, at place: ConfigurationProblem.Place,
        members: [ConfigurationProblem.Place] = [], prefix: String = "", isPlain: Bool = false, to root: inout Root
    ) {
        let path = prefix + key.path
        origins[path] = origin
        places[path] = place
        do {
            let words = key.isSecret && !isPlain ? [try secret(words.first ?? "")] : words
            try key.assign(words, &root)
        } catch {
            refused.insert(path)
            let first = error as? ValueProblem ?? ValueProblem("\(error)")
            for problem in [first] + first.others {
                let member = problem.member.flatMap { members.indices.contains($0) ? members[$0] : nil }
                problems.append(ConfigurationProblem(place: member ?? place, text: "\(path): \(problem.text)"))
            }
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
            secretFiles.insert(path)
            let text: String
            do {
                text = try readSecret(path)
            } catch {
                throw ValueProblem((error as? ConfiguredFile.Problem)?.description ?? "the file \(path) cannot be read")
            }
            let value = text.trimmingCharacters(in: .newlines)
            guard !value.isEmpty else { throw ValueProblem("the file \(path) is empty") }
            return value
        }
        // The value itself is not repeated: it may be a secret that now stands in a log.
        throw ValueProblem("a secret does not stand here itself: write env:NAME or file:/PATH")
    }
}
