import HTTPSemantics
import LoadGenerator

/// What a visit to a site found, as values: ``SiteChecks`` judge it.
struct SiteEvidence: Sendable {
    /// A page or one of the files that it brings.
    struct Resource: Sendable {
        var url: String
        var status = 200
        var contentType = ""
        /// Empty when it was not compressed.
        var coding = ""
        /// As they came over the wire, when every coding was acceptable.
        var bytes = 0
        /// What gzip and Brotli make of the same bytes; `nil` when it came compressed, or is of no kind that shrinks.
        var gzipBytes: Int?
        var brotliBytes: Int?
        var variesByCoding = false
        /// For how long a browser may use it again without asking, in seconds; `nil` when nothing is said.
        var lifetime: Int?
        /// Why a shared cache may not keep it; `nil` when it may.
        var notStored: NotStoredReason?
        var hasValidator = false
        /// Whether the server said "not modified" when it was asked with the validator; `nil` when it was not asked.
        var answersNotModified: Bool?
        var setsCookie = false
        var keepsAlive = true

        /// Whether compression is worth it, by its kind.
        var isText: Bool { Self.isText(contentType) }

        static func isText(_ contentType: String) -> Bool {
            let type = contentType.prefix { $0 != ";" }.lowercased().filter { $0 != " " }
            return type.hasPrefix("text/") || type.hasSuffix("+json") || type.hasSuffix("+xml")
                || ["application/json", "application/javascript", "application/xml", "application/wasm", "application/manifest+json", "font/ttf", "font/otf"]
                    .contains(type)
        }
    }

    var page: Resource
    /// Style sheets, scripts, images.
    var files: [Resource] = []
    /// URLs that led to the page.
    var redirects: [String] = []
    var isSecure = true
    /// Nobody else can listen: loopback.
    var isLocal = false
    var certificateDays: Double?
    /// Milliseconds from the request to the first byte, of each visit.
    var firstByteMilliseconds: [Double] = []
    /// By how much the server's clock is ahead of this machine's; `nil` when it sends no `Date`.
    var clockAheadSeconds: Int64?

    var all: [Resource] { [page] + files }
}
