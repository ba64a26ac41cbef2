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

    private static func changes(_ section: RepeatedSection<Settings>, from old: Settings, to new: Settings) -> [String] {
        let before = Dictionary(section.settings(old).map { ($0.path, $0.value) }) { first, _ in first }
        let after = section.settings(new)
        let paths = Set(after.map(\.path))
        return after.filter { before[$0.path] != $0.value }.map { "\($0.path)=\($0.value)" }
            + before.keys.filter { !paths.contains($0) }.sorted().map { "\($0) is gone" }
    }
}
