/// What routes need and all event loops share, made before a configuration takes effect, so that one that cannot be run changes nothing.
struct RouteResources: Sendable {
    /// By folder.
    let files: [String: StaticFiles]

    /// - Parameter previous: What it has already is used again.
    /// - Throws: when a folder cannot be read.
    init(_ configuration: EdgeConfiguration, previous: RouteResources?) throws {
        var files: [String: StaticFiles] = [:]
        for root in configuration.routeTable.compactMap(\.files.root) where files[root] == nil {
            files[root] = try previous?.files[root] ?? StaticFiles(root: root)
        }
        self.files = files
    }
}
