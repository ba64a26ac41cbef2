import Yams

/// The YAML file: its keys with the place where each stands, and every mistake in it.
enum ConfigurationFile {
    struct Entry {
        let key: ConfigurationKey
        let words: [String]
        let place: ConfigurationProblem.Place
        /// Of each member of a list.
        var memberPlaces: [ConfigurationProblem.Place] = []
    }

    /// No sensible file comes near it; a file of gigabytes given by mistake is not read into memory.
    static let bytesMax = 1 << 20

    static func parse(_ text: String, name: String) -> (entries: [Entry], problems: [ConfigurationProblem]) {
        var walk = Walk(file: name)
        do {
            guard let root = try Yams.compose(yaml: text) else { return ([], []) }
            walk.visit(root, path: [])
        } catch {
            walk.problems.append(problem(error, name: name))
        }
        return (walk.entries, walk.problems)
    }

    /// What the YAML reader could not read.
    private static func problem(_ error: any Error, name: String) -> ConfigurationProblem {
        switch error as? YamlError {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _), .composer(_, let problem, let mark, _):
            return ConfigurationProblem(
                place: .file(name: name, line: mark.line, column: mark.column, width: 1), text: "this is no YAML: \(problem)")
        case .duplicatedKeysInMapping(let duplicates, let context):
            let keys = duplicates.map { "\"\($0)\"" }.joined(separator: ", ")
            return ConfigurationProblem(
                place: .file(name: name, line: context.mark.line, column: context.mark.column, width: 1),
                text: "\(keys) stands here more than once")
        default:
            return ConfigurationProblem(place: .wholeFile(name: name), text: "this is no YAML: \(error)")
        }
    }

    private struct Walk {
        let file: String
        var entries: [Entry] = []
        var problems: [ConfigurationProblem] = []

        mutating func visit(_ node: Node, path: [String]) {
            guard case .mapping(let mapping) = node else {
                // A section whose lines are all commented out is an empty one.
                if node.isNull { return }
                let section = path.isEmpty ? "the file" : path.joined(separator: ".")
                problems.append(
                    ConfigurationProblem(
                        place: place(node), text: "\(section) holds keys, not a value", allowed: ConfigurationKeys.names(in: path)))
                return
            }
            for (keyNode, value) in mapping {
                let name = keyNode.string ?? ""
                let here = path + [name]
                if let key = ConfigurationKeys.key(here.joined(separator: ".")) {
                    read(key, keyNode, value)
                } else if !name.isEmpty, ConfigurationKeys.isSection(here) {
                    visit(value, path: here)
                } else {
                    unknown(keyNode, name, path)
                }
            }
        }

        private mutating func read(_ key: ConfigurationKey, _ keyNode: Node, _ value: Node) {
            if value.isNull {
                problems.append(
                    ConfigurationProblem(place: place(keyNode), text: "\(key.path): no value; leave the line out for the default"))
                return
            }
            switch value {
            case .scalar(let scalar):
                entries.append(Entry(key: key, words: [scalar.string], place: place(value, isHidden: key.isSecret)))
            case .sequence(let sequence):
                let words = sequence.compactMap { $0.isNull ? nil : $0.scalar?.string }
                guard key.isList, words.count == sequence.count else {
                    let text = key.isList ? "its members are single values" : "is a list, but one \(key.format) is expected"
                    problems.append(ConfigurationProblem(place: place(value), text: "\(key.path): \(text)"))
                    return
                }
                entries.append(Entry(key: key, words: words, place: place(value), memberPlaces: sequence.map(place)))
            case .mapping, .alias:
                problems.append(
                    ConfigurationProblem(place: place(value), text: "\(key.path): holds keys, but one \(key.format) is expected"))
            }
        }

        private mutating func unknown(_ node: Node, _ name: String, _ path: [String]) {
            let names = ConfigurationKeys.names(in: path)
            var guess = Spelling.nearest(name, in: names).map { ": did you mean \($0)?" } ?? ""
            if guess.isEmpty, let elsewhere = ConfigurationKeys.all.first(where: { $0.name == name }) {
                guess = ": it belongs to \(elsewhere.path)"
            }
            let section = path.isEmpty ? "" : " in \(path.joined(separator: "."))"
            problems.append(
                ConfigurationProblem(place: place(node), text: "there is no key \"\(name)\"\(section)\(guess)", allowed: names))
        }

        private func place(_ node: Node) -> ConfigurationProblem.Place { place(node, isHidden: false) }

        private func place(_ node: Node, isHidden: Bool) -> ConfigurationProblem.Place {
            guard let mark = node.mark else { return .wholeFile(name: file) }
            let width = isHidden ? 0 : max(1, node.scalar?.string.count ?? 1)
            return .file(name: file, line: mark.line, column: mark.column, width: width)
        }
    }
}

extension Node {
    /// `~`, `null`, or nothing behind the colon; a quoted "null" is text.
    fileprivate var isNull: Bool {
        guard case .scalar(let scalar) = self, scalar.style == .plain || scalar.style == .any else { return false }
        return scalar.string.isEmpty || scalar.string == "~" || scalar.string.lowercased() == "null"
    }
}
