/// How long browsers may keep what says nothing about it: a table by media type, and how names that change with their content are
/// told from others.
///
/// It is safe by construction: ``BrowserCaching`` fills in only where the application is silent, lets shared caches keep nothing but
/// assets whose name changes with their content, and gives what may depend on who asks no lifetime. The table says *how long*, never
/// *whether it is safe*, so that no table can make a page of one person come out of a cache for another.
public struct BrowserCachingPolicy: Sendable, Equatable {
    /// A media type, and how long it may be kept.
    public struct Row: Sendable, Equatable {
        /// `type/subtype`, or `type/*`, in lower case.
        public var mediaType: String
        /// Of an asset: while its name changes with its content; other names get ``shortSeconds``. Of everything else: always.
        public var seconds: Int
        /// Whether browsers need not even ask when a page is loaded anew; only for assets with a hash in their file name.
        /// - Source: RFC 8246.
        public var isImmutable: Bool

        public init(_ mediaType: String, seconds: Int, isImmutable: Bool = false) {
            self.mediaType = mediaType
            self.seconds = seconds
            self.isImmutable = isImmutable
        }

        /// Style sheets, scripts, images and fonts: what a page is made of, and what build tools give a name of its own to.
        var isAsset: Bool {
            mediaType.hasPrefix("image/") || mediaType.hasPrefix("font/") || Self.otherAssets.contains(mediaType)
        }

        private static let otherAssets: Set<String> = [
            "text/css", "text/javascript", "application/javascript", "application/x-javascript", "application/ecmascript",
            "text/ecmascript", "application/vnd.ms-fontobject", "application/font-woff", "application/font-woff2",
        ]
    }

    /// The first row that matches counts; a media type without one is left alone. Without rows the policy is off.
    public var rows: [Row] = []
    /// File names that carry a hash of their content; see ``HashedNamePattern``.
    public var namePatterns = Self.standardPatterns
    /// Parameters of the query that say which version of an asset is meant: `?v=3`.
    public var versionParameters = ["v", "ver", "version", "hash"]
    /// For assets whose name says nothing of their content.
    public var shortSeconds = 300
    /// Whether the application's own lifetimes are replaced, too. Its `no-store` and `private` are not.
    public var overrides = false

    public init() {}

    /// What is no asset is kept for a day at most: nobody can call it back.
    public static let documentSecondsMax = 86_400
    /// A year; more says nothing more (RFC 9111 §5.3 had it as the most for `Expires`).
    public static let assetSecondsMax = 31_536_000
    public static let rowCountMax = 100
    public static let patternCountMax = 20

    public static let off = Self()
    public static let standardPatterns = ["*.{hex}.*", "*-{hex}.*", "*_{hex}.*", "{hex}.*"]

    /// Pages five minutes; style sheets and scripts a year, images half a year, both immutable; fonts a year.
    public static let standard: Self = {
        var policy = Self()
        policy.rows = [
            Row("text/html", seconds: 300),
            Row("text/css", seconds: 31_536_000, isImmutable: true),
            Row("text/javascript", seconds: 31_536_000, isImmutable: true),
            Row("application/javascript", seconds: 31_536_000, isImmutable: true),
            Row("image/*", seconds: 15_552_000, isImmutable: true),
            Row("font/*", seconds: 31_536_000),
            Row("application/vnd.ms-fontobject", seconds: 31_536_000),
        ]
        return policy
    }()

    public var isOn: Bool { !rows.isEmpty }

    /// What is wrong with a pattern of ``namePatterns``, as the rest of a sentence; `nil` when it is one.
    public static func problem(ofPattern pattern: String) -> String? { HashedNamePattern.problem(pattern) }

    /// What cannot be meant, as sentences for whoever wrote the table; empty when all is well.
    public var problems: [String] {
        var problems: [String] = []
        if rows.count > Self.rowCountMax { problems.append("\(rows.count) media types; \(Self.rowCountMax) is the most") }
        for row in rows {
            let most = row.isAsset ? Self.assetSecondsMax : Self.documentSecondsMax
            if row.seconds < 0 || row.seconds > most {
                problems.append("\(row.mediaType): \(row.seconds) s is not within 0…\(most) s for what is \(row.isAsset ? "an" : "no") asset")
            }
            if row.isImmutable, !row.isAsset { problems.append("\(row.mediaType) cannot be immutable: its name does not change with it") }
        }
        if shortSeconds < 0 || shortSeconds > Self.documentSecondsMax {
            problems.append("\(shortSeconds) s for names without a version is not within 0…\(Self.documentSecondsMax) s")
        }
        if namePatterns.count > Self.patternCountMax {
            problems.append("\(namePatterns.count) patterns; \(Self.patternCountMax) is the most")
        }
        for pattern in namePatterns {
            if let problem = HashedNamePattern.problem(pattern) { problems.append("\"\(pattern)\" \(problem)") }
        }
        return problems
    }
}
