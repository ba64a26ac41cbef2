import CCodecs
import Foundation
import LoadGenerator

/// All pages of a sitemap, of those too that an index names.
/// - Source: sitemaps.org, protocol 0.9.
struct SitemapPages {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// As the protocol bounds an index. Of an index in an index nothing is read: the protocol knows none.
    static let sitemapsMax = 50_000
    /// Of one sitemap, uncompressed, as the protocol bounds it.
    static let bytesMax = 50 << 20

    /// Gets one sitemap that an index names.
    let fetch: (HTTPURL) async throws -> [UInt8]

    /// - Parameter source: a URL or a file.
    /// - Returns: URLs in their order, each once.
    func urls(_ source: String) async throws -> [String] {
        let text: String
        if source.hasPrefix("http://") || source.hasPrefix("https://") {
            text = try await self.text(source)
        } else {
            let data: Data
            do {
                data = try Data(contentsOf: URL(filePath: source))
            } catch {
                throw Failure(description: "\(source): \(error.localizedDescription)")
            }
            text = try Self.text(Array(data), of: source)
        }
        var locations: [String] = []
        if Self.isIndex(text) {
            for sitemap in Sitemap.locations(text).prefix(Self.sitemapsMax) { locations += Sitemap.locations(try await self.text(sitemap)) }
        } else {
            locations = Sitemap.locations(text)
        }
        guard !locations.isEmpty else { throw Failure(description: "\(source) has no <loc>") }
        var seen: Set<String> = []
        return locations.filter { seen.insert($0).inserted }
    }

    private func text(_ location: String) async throws -> String {
        try Self.text(try await fetch(try HTTPURL(location)), of: location)
    }

    static func isIndex(_ text: String) -> Bool { text.contains("<sitemapindex") }

    /// A sitemap may be compressed with gzip, whatever its name.
    private static func text(_ bytes: [UInt8], of source: String) throws -> String {
        guard bytes.starts(with: [0x1F, 0x8B]) else { return String(decoding: bytes.prefix(bytesMax), as: UTF8.self) }
        guard let plain = gunzip(bytes) else { throw Failure(description: "\(source) is no whole gzip file, or larger than 50 MB") }
        return String(decoding: plain, as: UTF8.self)
    }

    private static func gunzip(_ bytes: [UInt8]) -> [UInt8]? {
        guard let decompressor = libdeflate_alloc_decompressor() else { return nil }
        defer { libdeflate_free_decompressor(decompressor) }
        // The room grows until it is enough: the length that the file itself says may be anything.
        var room = max(64 << 10, bytes.count * 8)
        while true {
            room = min(room, bytesMax)
            var result = [UInt8](repeating: 0, count: room)
            var count = 0
            switch libdeflate_gzip_decompress(decompressor, bytes, bytes.count, &result, room, &count) {
            case LIBDEFLATE_SUCCESS: return Array(result.prefix(count))
            case LIBDEFLATE_INSUFFICIENT_SPACE where room < bytesMax: room *= 2
            default: return nil
            }
        }
    }
}
