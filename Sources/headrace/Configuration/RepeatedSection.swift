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
    /// Its elements with what is set in each.
    let elements: @Sendable (Root) -> [SetElement]

    /// What is set in it, by path: `edge.routes[1].match.host`.
    func settings(_ root: Root) -> [(path: String, value: String)] { elements(root).flatMap(\.settings) }

    /// Elements in order.
    /// - Parameter identity: what an element is known by, wherever it stands; of several with the same, their order among them counts.
    init<Element: Sendable>(
        list path: String, _ place: any WritableKeyPath<Root, [Element]> & Sendable, _ table: SettingTable<Element>,
        _ standard: Element, isReloadable: Bool = true, shorthand: String? = nil, example: [String],
        identity: @escaping @Sendable (Element) -> String, _ help: String
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
        elements = { root in
            var counts: [String: Int] = [:]
            return root[keyPath: place].enumerated().map { index, value in
                let identity = identity(value)
                let count = counts[identity, default: 0] + 1
                counts[identity] = count
                let own = "\(path)[\(index + 1)]"
                return SetElement(
                    identity: count == 1 ? identity : "\(identity), number \(count)", path: own,
                    settings: table.settings(value, standard, prefix: own + "."))
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
        elements = { root in
            root[keyPath: place].sorted { $0.key < $1.key }.map { name, value in
                SetElement(identity: name, path: "\(path).\(name)", settings: table.settings(value, standard, prefix: "\(path).\(name)."))
            }
        }
    }
}

/// One element of a repeated section as it is set.
struct SetElement: Sendable {
    /// What it is known by from one reading of the file to the next; no two elements of a section have the same.
    let identity: String
    /// `edge.routes[1]`.
    let path: String
    /// By path: `edge.routes[1].match.host`.
    let settings: [(path: String, value: String)]
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
