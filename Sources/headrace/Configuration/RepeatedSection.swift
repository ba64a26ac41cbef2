/// A section that may be there any number of times: a list of mappings (`edge.routes`), or names with a mapping each
/// (`edge.upstreams`). It stands in the file only: the environment and `--set` have no place for it.
///
/// Its keys are a ``SettingTable`` of their own, with the same formats, mistakes and documentation as all others.
struct RepeatedSection<Root>: Sendable {
    /// `edge.routes`.
    let path: String
    let isNamed: Bool
    let isReloadable: Bool
    /// What each of them is, for the reference.
    let help: String
    /// Lines of YAML below the section's key, for the example file; a test reads them.
    let example: [String]
    let shape: SectionShape.Repeated
    /// The rows of the reference: key, format, default, help.
    let rows: [ReferenceRow]
    let assign: @Sendable ([SectionContent.Element], SettingReader, inout Root) -> Void
    /// What is set in it, by path: `edge.routes[1].match.host`.
    let settings: @Sendable (Root) -> [(path: String, value: String)]

    /// Elements in order.
    init<Element: Sendable>(
        list path: String, _ place: any WritableKeyPath<Root, [Element]> & Sendable, _ table: SettingTable<Element>,
        _ standard: Element, isReloadable: Bool = true, shorthand: String? = nil, example: [String], _ help: String
    ) {
        self.path = path
        isNamed = false
        self.isReloadable = isReloadable
        self.help = help
        self.example = example
        shape = .init(isNamed: false, shorthand: shorthand, element: table.shape)
        rows = table.referenceRows(standard)
        assign = { elements, reader, root in
            root[keyPath: place] = elements.map { element in
                var value = standard
                reader.assign(element.content, table, prefix: element.path + ".", to: &value)
                return value
            }
        }
        settings = { root in
            root[keyPath: place].enumerated().flatMap { index, value in
                table.settings(value, standard, prefix: "\(path)[\(index + 1)].")
            }
        }
    }

    /// Elements by name.
    init<Element: Sendable>(
        named path: String, _ place: any WritableKeyPath<Root, [String: Element]> & Sendable, _ table: SettingTable<Element>,
        _ standard: Element, isReloadable: Bool = true, shorthand: String? = nil, example: [String], _ help: String
    ) {
        self.path = path
        isNamed = true
        self.isReloadable = isReloadable
        self.help = help
        self.example = example
        shape = .init(isNamed: true, shorthand: shorthand, element: table.shape)
        rows = table.referenceRows(standard)
        assign = { elements, reader, root in
            for element in elements {
                var value = standard
                reader.assign(element.content, table, prefix: element.path + ".", to: &value)
                root[keyPath: place][element.name] = value
            }
        }
        settings = { root in
            root[keyPath: place].sorted { $0.key < $1.key }.flatMap { name, value in
                table.settings(value, standard, prefix: "\(path).\(name).")
            }
        }
    }
}

/// A key as the reference shows it.
struct ReferenceRow: Sendable {
    let path: String
    let format: String
    let standard: String
    let isReloadable: Bool
    let help: String
}

extension SettingTable {
    func referenceRows(_ standard: Root) -> [ReferenceRow] {
        keys.map { key in
            let units = [key.units, key.range].filter { !$0.isEmpty }.joined(separator: "; ")
            return ReferenceRow(
                path: key.path, format: units.isEmpty ? key.format : "\(key.format): \(units)", standard: key.render(standard),
                isReloadable: key.isReloadable, help: key.isSecret ? key.help + " Secret." : key.help)
        }
            + repeated.flatMap { section in
                section.rows.map {
                    ReferenceRow(
                        path: "\(section.path)[].\($0.path)", format: $0.format, standard: $0.standard, isReloadable: $0.isReloadable,
                        help: $0.help)
                }
            }
    }

    /// The keys that differ from their default, as they would be written.
    func settings(_ root: Root, _ standard: Root, prefix: String) -> [(path: String, value: String)] {
        keys.filter { $0.render(root) != $0.render(standard) }.map { (prefix + $0.path, $0.shown(root)) }
            + repeated.flatMap { $0.settings(root) }.map { (prefix + $0.path, $0.value) }
    }
}
