/// What a reload changes, for the log: `edge.routes[2].match.path=[/a]`, with secrets redacted.
enum SettingChanges {
    /// Changes that take effect at once.
    static func effective(from old: Settings, to new: Settings) -> [String] {
        let keys = ConfigurationKeys.all.filter { $0.isReloadable && $0.render(new) != $0.render(old) }
        return keys.map { "\($0.path)=\($0.shown(new))" }
            + ConfigurationKeys.table.repeated.filter(\.isReloadable).flatMap { changes($0, from: old, to: new) }
    }

    /// Changes that need a restart, against what the process was started with.
    static func pending(from started: Settings, to new: Settings) -> [String] {
        let keys = ConfigurationKeys.all.filter { !$0.isReloadable && $0.render(new) != $0.render(started) }
        return keys.map { "\($0.path)=\($0.shown(new))" }
            + ConfigurationKeys.table.repeated.filter { !$0.isReloadable }.flatMap { changes($0, from: started, to: new) }
    }

    /// Elements are compared by what they are known by: one that is put before others changes none of them.
    private static func changes(_ section: RepeatedSection<Settings>, from old: Settings, to new: Settings) -> [String] {
        let (before, after) = (section.elements(old), section.elements(new))
        let known = Dictionary(before.map { ($0.identity, $0) }) { first, _ in first }
        var texts: [String] = []
        // Elements of a mapping have no order of their own.
        for change in after.map(\.identity).difference(from: before.map(\.identity)).inferringMoves() {
            switch change {
            case .insert(let index, _, nil): texts.append("\(title(after[index], section)) is new")
            case .insert(let index, _, let origin?): texts.append("\(title(after[index], section)) has moved, from number \(origin + 1)")
            case .remove(let index, _, nil): texts.append("\(title(before[index], section)) is gone")
            case .remove: break
            }
        }
        for element in after {
            guard let was = known[element.identity] else { continue }
            let values = Dictionary(was.settings.map { ($0.path.dropFirst(was.path.count), $0.value) }) { first, _ in first }
            let keys = Set(element.settings.map { $0.path.dropFirst(element.path.count) })
            texts += element.settings.filter { values[$0.path.dropFirst(element.path.count)] != $0.value }.map { "\($0.path)=\($0.value)" }
            texts += values.keys.filter { !keys.contains($0) }.sorted().map { "\(element.path)\($0) is gone" }
        }
        return texts
    }

    /// `edge.routes[2] (shop)`; of what has a name in its path, the path.
    private static func title(_ element: SetElement, _ section: RepeatedSection<Settings>) -> String {
        section.isNamed ? element.path : "\(element.path) (\(element.identity))"
    }
}
