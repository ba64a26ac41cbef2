import HTTPSemantics

/// Why a response goes out as it is. The raw value is the word in logs and metrics.
enum NotCompressedReason: String, CaseIterable, Sendable {
    /// Compression is switched off, or no coding is configured.
    case disabled
    /// No body, or one that says nothing about a representation (1xx, 204, 304).
    case noBody = "no-body"
    /// A part of a representation: parts of different codings do not fit together.
    case partial
    /// The application encoded it already.
    case encoded
    /// The application said `no-transform`.
    case noTransform = "no-transform"
    /// The type does not get smaller, or there is none.
    case type
    /// Smaller than what is worth the work.
    case small
}

/// What is compressed, in which codings, at which level.
enum CompressionPolicy {
    /// The codings in which a response may go out besides identity; empty when it stays as it is.
    static func codings(
        for response: ResponseHead, cacheControl: CacheControl, configuration: EdgeConfiguration.Compression, types: CompressibleTypes
    ) -> CodingSet {
        guard reasonNotTo(response, cacheControl: cacheControl, configuration: configuration, types: types) == nil else { return [] }
        return serverOrder(configuration).reduce(into: CodingSet()) { $0.insert(CodingSet($1)) }
    }

    /// - Returns: `nil` when the response may be compressed.
    static func reasonNotTo(
        _ response: ResponseHead, cacheControl: CacheControl, configuration: EdgeConfiguration.Compression, types: CompressibleTypes
    ) -> NotCompressedReason? {
        guard configuration.isEnabled, !configuration.codings.isEmpty else { return .disabled }
        let status = response.status
        if status < 200 || status == 204 || status == 304 || status == 205 { return .noBody }
        if status == 206 || response.fields.contains(.contentRange) { return .partial }
        return reasonNotToCode(response.fields, byteCount: byteCount(response), cacheControl, configuration, types)
    }

    /// How long the body is or, in an answer to HEAD, would be: it says of itself what the one to GET says (RFC 9110 §9.3.2).
    private static func byteCount(_ response: ResponseHead) -> Int? {
        if case .length(let count) = response.framing { return count }
        guard case .none = response.framing, let index = response.fields.firstIndex(of: .contentLength) else { return nil }
        return Int(String(copying: response.fields.value(at: index)))
    }

    /// Whether a part (206) is of something that is compressed as a whole: it says so in `Vary`, as the whole does.
    /// - Source: RFC 9110 §15.3.7.
    static func isPartOfCoded(
        _ response: ResponseHead, configuration: EdgeConfiguration.Compression, types: CompressibleTypes
    ) -> Bool {
        guard configuration.isEnabled, !configuration.codings.isEmpty, response.status == 206,
            let index = response.fields.firstIndex(of: .contentRange)
        else { return false }
        // "bytes 0-99/1000"; what is no number is not known.
        let whole = Int(String(copying: response.fields.value(at: index)).split(separator: "/").last ?? "")
        return reasonNotToCode(response.fields, byteCount: whole, CacheControl(response.fields), configuration, types) == nil
    }

    private static func reasonNotToCode(
        _ fields: FieldSection, byteCount: Int?, _ cacheControl: CacheControl, _ configuration: EdgeConfiguration.Compression,
        _ types: CompressibleTypes
    ) -> NotCompressedReason? {
        if fields.contains(.contentEncoding), !isIdentity(fields) { return .encoded }
        if cacheControl.noTransform { return .noTransform }
        guard let index = fields.firstIndex(of: .contentType), types.contains(fields.value(at: index)) else { return .type }
        if let byteCount, byteCount < configuration.bytesMin { return .small }
        return nil
    }

    private static func isIdentity(_ fields: FieldSection) -> Bool {
        guard fields.count(of: .contentEncoding) == 1, let index = fields.firstIndex(of: .contentEncoding) else { return false }
        return ContentCoding(token: fields.value(at: index)) == .identity
    }

    /// Whether a type gets smaller: by the table, by `text/`, or by a structured syntax suffix (RFC 6838 §4.2.8).
    static func isCompressible(_ type: MediaType, extra: [String]) -> Bool {
        if types.contains(type.essence) || extra.contains(where: { $0.lowercased() == type.essence }) { return true }
        if type.essence.hasPrefix("text/") { return true }
        return type.essence.hasSuffix("+json") || type.essence.hasSuffix("+xml") || type.essence.hasSuffix("+text")
            || type.essence.hasSuffix("+yaml")
    }

    /// Types that are text, or as regular as text. What is not here — images but SVG and BMP, sound, films, archives, WOFF — is
    /// compressed already.
    static let types: Set<String> = [
        "application/atom+xml", "application/dash+xml", "application/eot", "application/font-sfnt", "application/geo+json",
        "application/graphql", "application/graphql-response+json", "application/javascript", "application/json",
        "application/ld+json", "application/manifest+json", "application/msword", "application/opentype", "application/otf",
        "application/postscript", "application/problem+json", "application/rdf+xml", "application/rss+xml", "application/rtf",
        "application/sql", "application/ttf", "application/vnd.api+json", "application/vnd.apple.mpegurl",
        "application/vnd.ms-fontobject", "application/wasm", "application/x-font-opentype", "application/x-font-truetype",
        "application/x-font-ttf", "application/x-httpd-cgi", "application/x-javascript", "application/x-ndjson",
        "application/x-web-app-manifest+json", "application/xhtml+xml", "application/xml", "application/xml-dtd", "application/yaml",
        "font/collection", "font/otf", "font/sfnt", "font/ttf", "image/bmp", "image/svg+xml", "image/vnd.microsoft.icon",
        "image/x-icon", "model/gltf+json", "text/cache-manifest", "text/calendar", "text/css", "text/csv",
        "text/event-stream", "text/html", "text/javascript", "text/markdown", "text/plain", "text/richtext", "text/vcard",
        "text/vtt", "text/x-component", "text/xml",
    ]

    /// The configured codings, best first; words that are none of ours are refused with the configuration.
    static func serverOrder(_ configuration: EdgeConfiguration.Compression) -> [ContentCoding] {
        configuration.codings.compactMap { ContentCoding(token: Array($0.utf8).span) }.filter { $0 != .identity }
    }

    static func level(_ coding: ContentCoding, _ effort: Representation.Effort, _ configuration: EdgeConfiguration.Compression) -> Int {
        let isHigh = effort == .high
        return switch coding {
        case .identity: 0
        case .gzip: isHigh ? configuration.gzipLevelHigh : configuration.gzipLevelFast
        case .brotli: isHigh ? configuration.brotliLevelHigh : configuration.brotliLevelFast
        case .zstd: isHigh ? configuration.zstdLevelHigh : configuration.zstdLevelFast
        }
    }
}
