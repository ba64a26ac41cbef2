import Logging

/// What reloads of the configuration have changed, and says so.
struct ReloadJournal {
    private let started: Settings
    /// As the last reload left them.
    private var settings: Settings
    /// What was in the files that a reload reads anew.
    private var files: [NamedFile: Int]

    init(_ settings: Settings) {
        started = settings
        self.settings = settings
        files = NamedFile.digests(settings.edgeConfiguration)
    }

    /// - Parameters:
    ///   - newFiles: as they were before anybody read them: what changes in between is said at the next reload.
    ///   - logger: `nil` where another process says it.
    /// - Returns: what has changed, in words.
    @discardableResult
    mutating func adopt(_ new: Settings, files newFiles: [NamedFile: Int]? = nil, _ logger: Logger?) -> String {
        let newFiles = newFiles ?? NamedFile.digests(new.edgeConfiguration)
        for change in SettingChanges.pending(from: started, to: new) { logger?.warning("\(change) needs a restart") }
        let changes = SettingChanges.effective(from: settings, to: new) + NamedFile.changes(from: files, to: newFiles)
        (settings, files) = (new, newFiles)
        let text = changes.isEmpty ? "no change" : changes.joined(separator: ", ")
        logger?.notice("configuration read anew: \(text)")
        return text
    }

    static func refused(_ error: any Error, _ logger: Logger) {
        let text = (error as? ConfigurationProblems)?.rendered ?? "\(error)"
        logger.error("configuration not read: it has mistakes, and the old one stays\n\(text)")
    }
}
