/// The essence of a `Content-Type`: `type/subtype` in lower case, without parameters.
/// - Source: RFC 9110 §8.3.1.
public struct MediaType: Equatable, Hashable, Sendable {
    public let essence: String

    public init?(_ contentType: Span<UInt8>) {
        var end = 0
        while end < contentType.count, contentType[end] != UInt8(ascii: ";") { end += 1 }
        let range = ASCII.trimmed(contentType, 0..<end)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(range.count)
        var slashes = 0
        for index in range {
            let byte = contentType[index]
            if byte == UInt8(ascii: "/") {
                slashes += 1
            } else if !ASCII.isToken(byte) {
                return nil
            }
            bytes.append(ASCII.lowercased(byte))
        }
        guard slashes == 1, bytes.count >= 3, bytes.first != UInt8(ascii: "/"), bytes.last != UInt8(ascii: "/") else { return nil }
        essence = String(decoding: bytes, as: UTF8.self)
    }

    /// The `Content-Type` of a file by the end of its name, in any case; `application/octet-stream` for what is not listed.
    public static func forFileName(_ name: String) -> String {
        guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return unknown }
        return byExtension[name[name.index(after: dot)...].lowercased()] ?? unknown
    }

    public static let unknown = "application/octet-stream"

    /// File name extensions and what they are. Text says its charset, so that nobody has to guess.
    public static let byExtension: [String: String] = [
        "html": "text/html; charset=utf-8", "htm": "text/html; charset=utf-8", "css": "text/css; charset=utf-8",
        "js": "text/javascript; charset=utf-8", "mjs": "text/javascript; charset=utf-8", "json": "application/json",
        "map": "application/json", "webmanifest": "application/manifest+json", "jsonld": "application/ld+json",
        "geojson": "application/geo+json", "xml": "application/xml", "rss": "application/rss+xml", "atom": "application/atom+xml",
        "xsl": "application/xml", "xhtml": "application/xhtml+xml", "svg": "image/svg+xml", "txt": "text/plain; charset=utf-8",
        "md": "text/markdown; charset=utf-8", "csv": "text/csv; charset=utf-8", "tsv": "text/tab-separated-values; charset=utf-8",
        "ics": "text/calendar; charset=utf-8", "vcf": "text/vcard; charset=utf-8", "vtt": "text/vtt; charset=utf-8",
        "yaml": "application/yaml", "yml": "application/yaml", "log": "text/plain; charset=utf-8", "wasm": "application/wasm",
        "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp",
        "avif": "image/avif", "ico": "image/vnd.microsoft.icon", "bmp": "image/bmp", "tif": "image/tiff", "tiff": "image/tiff",
        "jxl": "image/jxl", "heic": "image/heic", "woff": "font/woff", "woff2": "font/woff2", "ttf": "font/ttf", "otf": "font/otf",
        "eot": "application/vnd.ms-fontobject", "mp3": "audio/mpeg", "m4a": "audio/mp4", "ogg": "audio/ogg", "oga": "audio/ogg",
        "opus": "audio/ogg", "wav": "audio/wav", "flac": "audio/flac", "weba": "audio/webm", "mp4": "video/mp4", "m4v": "video/mp4",
        "webm": "video/webm", "ogv": "video/ogg", "mov": "video/quicktime", "avi": "video/x-msvideo", "m3u8": "application/vnd.apple.mpegurl",
        "ts": "video/mp2t", "mpd": "application/dash+xml", "pdf": "application/pdf", "zip": "application/zip",
        "gz": "application/gzip", "br": "application/octet-stream", "zst": "application/zstd", "tar": "application/x-tar",
        "7z": "application/x-7z-compressed", "rar": "application/vnd.rar", "epub": "application/epub+zip", "rtf": "application/rtf",
        "doc": "application/msword", "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xls": "application/vnd.ms-excel", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "ppt": "application/vnd.ms-powerpoint",
        "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ]
}
