import CCodecs
import Foundation
import HTTPSemantics
import LoadGenerator

/// Fetches a page and what it brings, as a browser would on a first visit, and asks once more as on a second one.
struct SiteVisit {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    static let redirectsMax = 10
    /// Of one page: more are not fetched.
    static let filesMax = 40
    private static let firstByteVisits = 5

    private let fetch: PageFetch
    private let fields: [Workload.Field]

    init(timeout: Duration, verifies: Bool, fields: [Workload.Field] = []) {
        fetch = PageFetch(timeout: timeout, verifies: verifies)
        self.fields = fields
    }

    func evidence(_ start: HTTPURL) async throws -> SiteEvidence {
        var redirects: [String] = []
        var page = try await get(start)
        while (300..<400).contains(page.head.status), page.head.status != 304, let location = page.head.fields.string(.location) {
            guard redirects.count < Self.redirectsMax else { throw Failure(description: "\(start.origin)\(start.target): more than \(Self.redirectsMax) redirections") }
            guard let next = page.url.resolving(location) else { throw Failure(description: "\(page.url.origin)\(page.url.target) leads to \(location)") }
            redirects.append(Self.text(page.url))
            page = try await get(next)
        }
        let url = page.url
        var evidence = SiteEvidence(page: try await resource(page))
        evidence.redirects = redirects
        evidence.isSecure = url.isSecure
        evidence.isLocal = url.host == "localhost" || url.host.hasPrefix("127.") || url.host == "::1"
        evidence.certificateDays = page.certificateExpiry.map { Double($0 - page.receivedAt) / 86_400 }
        evidence.clockAheadSeconds = page.clockAheadSeconds
        evidence.firstByteMilliseconds = [Double(page.firstByteTime) / 1e6]
        for _ in 1..<Self.firstByteVisits { evidence.firstByteMilliseconds.append(Double(try await get(url).firstByteTime) / 1e6) }
        // The page's text: without a coding, if it came with one.
        let plain = page.head.fields.contains(.contentEncoding) ? try await fetch.get(url, fields: fields) : page
        if SiteEvidence.Resource.isText(page.head.fields.string(.contentType) ?? "") {
            for reference in PageLinks.subresources(plain.body).prefix(Self.filesMax) {
                guard let target = url.resolving(reference), target.host == url.host else { continue }
                // A file that cannot be fetched is as good as missing.
                guard let file = try? await get(target) else {
                    evidence.files.append(.init(url: Self.text(target), status: 599))
                    continue
                }
                evidence.files.append(try await resource(file))
            }
        }
        return evidence
    }

    private func get(_ url: HTTPURL) async throws -> PageFetch.Page {
        try await fetch.get(url, fields: fields + [.init("Accept-Encoding", "gzip, br, zstd")])
    }

    private func resource(_ page: PageFetch.Page) async throws -> SiteEvidence.Resource {
        let fields = page.head.fields
        var resource = SiteEvidence.Resource(url: Self.text(page.url), status: page.head.status)
        resource.contentType = fields.string(.contentType) ?? ""
        resource.coding = fields.string(.contentEncoding).flatMap { $0.lowercased() == "identity" ? nil : $0 } ?? ""
        resource.bytes = page.body.count
        if resource.coding.isEmpty, resource.isText, !page.body.isEmpty {
            resource.gzipBytes = Self.gzipCount(page.body)
            resource.brotliBytes = Self.brotliCount(page.body)
        }
        resource.variesByCoding = fields.lines.indices.contains { index in
            fields.lines[index].name == .vary
                && String(copying: fields.value(at: index)).lowercased().split(separator: ",").contains { ["accept-encoding", "*"].contains($0.trimmingCharacters(in: .whitespaces)) }
        }
        let control = CacheControl(fields)
        if control.noStore || control.noCache {
            resource.lifetime = 0
        } else if control.maxAge != nil || fields.contains(.expires) {
            // A browser's cache is private: s-maxage is not for it.
            var own = control
            own.sMaxAge = nil
            resource.lifetime = Freshness.lifetimeSeconds(response: page.head, cacheControl: own)
        }
        var request = RequestHead()
        request.method = .get
        resource.notStored = Storability.decide(request: request, response: page.head, cacheControl: control)
        resource.setsCookie = fields.contains(.setCookie)
        resource.keepsAlive = page.head.keepsAlive
        resource.hasValidator = fields.contains(.etag) || fields.contains(.lastModified)
        if page.head.status == 200 { resource.answersNotModified = try await answersNotModified(page) }
        return resource
    }

    private func answersNotModified(_ page: PageFetch.Page) async throws -> Bool? {
        var conditions: [Workload.Field] = []
        if let tag = page.head.fields.string(.etag) { conditions.append(.init("If-None-Match", tag)) }
        if let date = page.head.fields.string(.lastModified) { conditions.append(.init("If-Modified-Since", date)) }
        guard !conditions.isEmpty else { return nil }
        return try await fetch.get(page.url, fields: fields + [.init("Accept-Encoding", "gzip, br, zstd")] + conditions).head.status == 304
    }

    private static func text(_ url: HTTPURL) -> String { url.origin + url.target }

    /// What gzip makes of it at its usual level.
    private static func gzipCount(_ bytes: [UInt8]) -> Int? {
        guard let compressor = libdeflate_alloc_compressor(6) else { return nil }
        defer { libdeflate_free_compressor(compressor) }
        var output = [UInt8](repeating: 0, count: libdeflate_gzip_compress_bound(compressor, bytes.count))
        let count = libdeflate_gzip_compress(compressor, bytes, bytes.count, &output, output.count)
        return count > 0 ? count : nil
    }

    /// What Brotli makes of it at a level that a server has the time for.
    private static func brotliCount(_ bytes: [UInt8]) -> Int? {
        var count = BrotliEncoderMaxCompressedSize(bytes.count)
        var output = [UInt8](repeating: 0, count: max(count, 1024))
        count = output.count
        let isDone = BrotliEncoderCompress(5, 22, BROTLI_MODE_TEXT, bytes.count, bytes, &count, &output)
        return isDone == BROTLI_TRUE ? count : nil
    }
}
