import Yams

/// What a mapping of the file holds, with the place where each value stands.
struct SectionContent {
    struct Entry {
        /// From the mapping on.
        let path: String
        let words: [String]
        let place: ConfigurationProblem.Place
        /// Of each member of a list.
        var memberPlaces: [ConfigurationProblem.Place] = []
    }

    /// One of a repeated section.
    struct Element {
        /// From the file's root on: `edge.routes[2]`, `edge.upstreams.app`.
        let path: String
        /// The name, or the number from 1.
        let name: String
        let place: ConfigurationProblem.Place
        let content: SectionContent
    }

    var entries: [Entry] = []
    /// Where each section begins, an empty one too, by its path from the mapping on.
    var sections: [String: ConfigurationProblem.Place] = [:]
    /// By the path of the section from the mapping on.
    var repeated: [String: [Element]] = [:]
}

/// The YAML file: its keys with the place where each stands, and every mistake in it.
enum ConfigurationFile {
    /// No sensible file comes near it; a file of gigabytes given by mistake is not read into memory.
    static let bytesMax = 1 << 20

    /// - Returns: and the paths of what was refused: keys, and sections of which anything may have been meant; the empty path is the whole file.
    static func parse(_ text: String, name: String) -> (content: SectionContent, problems: [ConfigurationProblem], refused: Set<String>) {
        var walk = Walk(file: name)
        var content = SectionContent()
        do {
            guard let root = try Yams.compose(yaml: text) else { return (content, [], []) }
            walk.visit(root, path: [], ConfigurationKeys.shape, prefix: "", into: &content)
        } catch {
            walk.problems.append(problem(error, name: name))
            walk.refused.insert("")
        }
        return (content, walk.problems, walk.refused)
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
        var problems: [ConfigurationProblem] = []
        var refused: Set<String> = []

        /// - Parameters:
        ///   - path: the section, from the mapping on to which `shape` belongs.
        ///   - prefix: where that mapping stands: empty, or `edge.routes[2].`.
        mutating func visit(
            _ node: Node, path: [String], _ shape: SectionShape, prefix: String, into content: inout SectionContent
        ) {
            guard case .mapping(let mapping) = node else {
                // A section whose lines are all commented out is an empty one.
                if node.isNull { return }
                let section = prefix + path.joined(separator: ".")
                let own = section.hasSuffix(".") ? String(section.dropLast()) : section
                let name = own.isEmpty ? "the file" : own
                refused.insert(own)
                return refuse(node, "\(name) holds keys, not a value", allowed: shape.names(in: path))
            }
            for (keyNode, value) in mapping {
                let name = keyNode.string ?? ""
                let here = path + [name]
                let joined = here.joined(separator: ".")
                if let key = shape.keys[joined] {
                    read(joined, key, keyNode, value, prefix: prefix, into: &content)
                } else if let section = shape.repeated[joined] {
                    repeatedly(value, joined, section, prefix: prefix, into: &content)
                } else if !name.isEmpty, shape.isSection(here) {
                    content.sections[joined] = place(keyNode)
                    visit(value, path: here, shape, prefix: prefix, into: &content)
                } else {
                    unknown(keyNode, name, path, shape, prefix: prefix)
                }
            }
        }

        private mutating func repeatedly(
            _ node: Node, _ path: String, _ section: SectionShape.Repeated, prefix: String, into content: inout SectionContent
        ) {
            if node.isNull { return }
            switch node {
            case .sequence(let members) where !section.isNamed:
                content.repeated[path] = members.enumerated().map { index, member in
                    element(member, "\(prefix)\(path)[\(index + 1)]", name: "\(index + 1)", section)
                }
            case .mapping(let members) where section.isNamed:
                content.repeated[path] = members.map { key, member in
                    let name = key.string ?? ""
                    if !Self.isName(name) {
                        refuse(key, "\(prefix)\(path): \"\(name)\" is no name: letters, digits, - and _, at most \(Self.nameCountMax)")
                    }
                    return element(member, "\(prefix)\(path).\(name)", name: name, section)
                }
            case .scalar, .sequence, .mapping, .alias:
                let form = section.isNamed ? "holds names, and the keys of each below it" : "is a list, and the keys of each below its dash"
                refused.insert(prefix + path)
                refuse(node, "\(prefix)\(path) \(form)", allowed: section.element.names(in: []))
            }
        }

        private mutating func element(
            _ node: Node, _ path: String, name: String, _ section: SectionShape.Repeated
        ) -> SectionContent.Element {
            var content = SectionContent()
            if case .mapping = node {
                visit(node, path: [], section.element, prefix: path + ".", into: &content)
            } else if let shorthand = section.shorthand, let key = section.element.keys[shorthand] {
                read(shorthand, key, node, node, prefix: path + ".", into: &content)
            } else {
                visit(node, path: [], section.element, prefix: path + ".", into: &content)
            }
            return SectionContent.Element(path: path, name: name, place: place(node), content: content)
        }

        private static let nameCountMax = 64

        /// Names become labels of metrics and words of logs.
        private static func isName(_ name: String) -> Bool {
            !name.isEmpty && name.utf8.count <= nameCountMax
                && name.utf8.allSatisfy { byte in
                    (byte | 0x20) &- 0x61 < 26 || byte &- 0x30 < 10 || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
                }
        }

        private mutating func read(
            _ path: String, _ key: SectionShape.Key, _ keyNode: Node, _ value: Node, prefix: String, into content: inout SectionContent
        ) {
            let full = prefix + path
            let before = problems.count
            defer { if problems.count > before { refused.insert(full) } }
            if value.isNull {
                return refuse(keyNode, "\(full): no value; leave the line out for the default")
            }
            switch value {
            case .scalar(let scalar):
                content.entries.append(.init(path: path, words: [scalar.string], place: place(value, isHidden: key.isSecret)))
            case .sequence(let sequence):
                let words = sequence.compactMap { $0.isNull ? nil : $0.scalar?.string }
                guard key.isList, words.count == sequence.count else {
                    return refuse(
                        value, "\(full): " + (key.isList ? "its members are single values" : "is a list, but one \(key.format) is expected"))
                }
                content.entries.append(.init(path: path, words: words, place: place(value), memberPlaces: sequence.map(place)))
            case .mapping(let mapping) where key.isMapping:
                let words = mapping.compactMap { name, value -> String? in
                    guard let name = name.string else { return nil }
                    return value.isNull ? name : value.scalar.map { "\(name): \($0.string)" }
                }
                guard words.count == mapping.count else { return refuse(value, "\(full): its members are single values") }
                content.entries.append(.init(path: path, words: words, place: place(value), memberPlaces: mapping.map { place($0.key) }))
            case .mapping, .alias:
                refuse(value, "\(full): holds keys, but one \(key.format) is expected")
            }
        }

        private mutating func unknown(_ node: Node, _ name: String, _ path: [String], _ shape: SectionShape, prefix: String) {
            let names = shape.names(in: path)
            var guess = ""
            if let near = Spelling.nearest(name, in: names) {
                guess = ": did you mean \(near)?"
                refused.insert(prefix + (path + [near]).joined(separator: "."))
            } else if let elsewhere = shape.path(ofName: name) {
                guess = ": it belongs to \(prefix)\(elsewhere)"
                refused.insert(prefix + elsewhere)
            } else if !prefix.isEmpty {
                // Of a route or a group, of which much is asked together.
                refused.insert(String(prefix.dropLast()))
            }
            let section = (prefix + path.joined(separator: ".")).split(separator: ".").joined(separator: ".")
            refuse(node, "there is no key \"\(name)\"\(section.isEmpty ? "" : " in \(section)")\(guess)", allowed: names)
        }

        private mutating func refuse(_ node: Node, _ text: String, allowed: [String] = []) {
            problems.append(ConfigurationProblem(place: place(node), text: text, allowed: allowed))
        }

        private func place(_ node: Node) -> ConfigurationProblem.Place { place(node, isHidden: false) }

        private func place(_ node: Node, isHidden: Bool) -> ConfigurationProblem.Place {
            guard let mark = node.mark else { return .wholeFile(name: file) }
            let width = isHidden ? 0 : max(1, node.scalar?.string.count ?? 1)
            return .file(name: file, line: mark.line, column: mark.column, width: width)
        }
    }
}

extension Yams.Node {
    /// `~`, `null`, or nothing behind the colon; a quoted "null" is text.
    var isNull: Bool {
        guard case .scalar(let scalar) = self, scalar.style == .plain || scalar.style == .any else { return false }
        return scalar.string.isEmpty || scalar.string == "~" || scalar.string.lowercased() == "null"
    }
}
