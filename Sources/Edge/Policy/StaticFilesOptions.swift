/// How the files of a folder are served.
public struct StaticFilesOptions: Sendable, Equatable {
    /// What may lie behind a symbolic link.
    public enum Links: String, Sendable, CaseIterable {
        /// Nothing: a path with a link in it is not found.
        case refuse
        /// What lies within the folder, too.
        case inside
        /// Whatever it points to: who can make links there can publish any file that the edge can read.
        case follow
    }

    /// What answers for a folder, the first that is there. Without any, folders have no page.
    public var indexNames = ["index.html"]
    /// Whether a folder without one of ``indexNames`` answers with the names in it.
    public var hasListing = false
    /// The path of the file that answers for paths that are none and have no extension: the page of a single-page application.
    public var fallback: String?
    public var links = Links.inside
    /// Codings of which a file beside the one that is asked for is served in its place, when it is not older: `app.js.br`.
    public var precompressed: [String] = []

    public init() {}

    /// What tells the files that these options find from those of others; empty for the defaults.
    var scope: String {
        guard self != Self() else { return "" }
        return "\(indexNames) \(hasListing) \(fallback ?? "") \(links) \(precompressed)"
    }

    /// Names that are listed of one folder; the rest is counted.
    static let listingMax = 1000
}
