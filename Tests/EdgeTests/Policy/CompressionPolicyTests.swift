import HTTPSemantics
import Testing

@testable import Edge

@Suite struct CompressionPolicyTests {
    private func reason(
        _ fields: [String], status: Int = 200, method: Method = .get,
        _ change: (inout EdgeConfiguration.Compression) -> Void = { _ in }
    ) throws -> NotCompressedReason? {
        var configuration = EdgeConfiguration.Compression()
        change(&configuration)
        let head = try ResponseHead.parsed(status, fields, answering: method)
        return CompressionPolicy.reasonNotTo(
            head, cacheControl: CacheControl(head.fields), configuration: configuration,
            types: CompressibleTypes(extra: configuration.extraTypes))
    }

    @Test func `there are more than thirty types`() {
        #expect(CompressionPolicy.types.count > 30)
    }

    @Test(arguments: CompressionPolicy.types.sorted())
    func `every type of the table is compressed, in any case and with parameters`(type: String) throws {
        #expect(try reason(["Content-Type: \(type)", "Content-Length: 1000"]) == nil)
        #expect(try reason(["Content-Type: \(type.uppercased()) ; charset=utf-8", "Content-Length: 1000"]) == nil)
        #expect(type == type.lowercased() && type.split(separator: "/").count == 2)
    }

    @Test(arguments: [
        "text/x-invented", "application/vnd.example+json", "application/vnd.example+xml", "application/x+yaml", "a/b+text",
    ])
    func `text and structured suffixes are compressed without being listed`(type: String) throws {
        #expect(try reason(["Content-Type: \(type)", "Content-Length: 1000"]) == nil)
    }

    @Test(arguments: [
        "image/png", "image/jpeg", "image/webp", "image/avif", "video/mp4", "audio/mpeg", "font/woff", "font/woff2",
        "application/zip",
        "application/gzip", "application/zstd", "application/pdf", "application/octet-stream", "nonsense", "",
    ])
    func `what is compressed already, or unknown, is left alone`(type: String) throws {
        #expect(try reason(["Content-Type: \(type)", "Content-Length: 1000"]) == .type)
    }

    @Test func `types can be added, in any case`() throws {
        #expect(try reason(["Content-Type: application/x-mine", "Content-Length: 1000"]) == .type)
        #expect(
            try reason(["Content-Type: application/x-mine", "Content-Length: 1000"]) { $0.extraTypes = ["Application/X-Mine"] }
                == nil)
    }

    @Test(arguments: [
        (["Content-Type: text/html", "Content-Length: 255"], 200, NotCompressedReason.small),
        (["Content-Type: text/html", "Content-Length: 1000"], 204, .noBody), (["Content-Type: text/html"], 304, .noBody),
        (["Content-Type: text/html", "Content-Length: 1000"], 206, .partial),
        (["Content-Type: text/html", "Content-Range: bytes 0-1/9"], 200, .partial),
        (["Content-Type: text/html", "Content-Encoding: gzip"], 200, .encoded),
        (["Content-Type: text/html", "Content-Encoding: identity, br"], 200, .encoded),
        (["Content-Type: text/html", "Content-Encoding: x-unknown"], 200, .encoded),
        (["Content-Type: text/html", "Cache-Control: max-age=9, No-Transform"], 200, .noTransform),
        (["Content-Type: image/png"], 200, .type), (["Content-Length: 1000"], 200, .type),
    ])
    func `every reason has its case`(fields: [String], status: Int, expected: NotCompressedReason) throws {
        #expect(try reason(fields, status: status) == expected)
    }

    @Test func `switched off, or without codings, nothing is compressed`() throws {
        let fields = ["Content-Type: text/html", "Content-Length: 1000"]
        #expect(try reason(fields) { $0.isEnabled = false } == .disabled)
        #expect(try reason(fields) { $0.codings = [] } == .disabled)
        #expect(try reason(fields) == nil)
    }

    @Test func `the minimum size itself is compressed, one byte less is not`() throws {
        #expect(try reason(["Content-Type: text/html", "Content-Length: 256"]) == nil)
        #expect(try reason(["Content-Type: text/html", "Content-Length: 255"]) == .small)
        #expect(try reason(["Content-Type: text/html", "Transfer-Encoding: chunked"]) == nil, "its size is not known")
    }

    @Test func `an identity coding that is spelled out is none`() throws {
        #expect(try reason(["Content-Type: text/html", "Content-Encoding: Identity", "Content-Length: 1000"]) == nil)
    }

    @Test func `codings are offered in the configured order, and words that are none of ours are passed over`() {
        var configuration = EdgeConfiguration.Compression()
        configuration.codings = ["gzip", "deflate", "identity", "BR"]
        #expect(CompressionPolicy.serverOrder(configuration) == [.gzip, .brotli])
        configuration.isEnabled = false
        #expect(CompressionPolicy.serverOrder(configuration) == [.gzip, .brotli], "it may be switched on while the server runs")
    }

    @Test func `levels are those of the configuration`() {
        var configuration = EdgeConfiguration.Compression()
        (configuration.gzipLevelFast, configuration.brotliLevelFast, configuration.zstdLevelFast) = (2, 3, 4)
        (configuration.gzipLevelHigh, configuration.brotliLevelHigh, configuration.zstdLevelHigh) = (7, 8, 9)
        #expect([ContentCoding.gzip, .brotli, .zstd].map { CompressionPolicy.level($0, .fast, configuration) } == [2, 3, 4])
        #expect([ContentCoding.gzip, .brotli, .zstd].map { CompressionPolicy.level($0, .high, configuration) } == [7, 8, 9])
    }

    @Test func `the answer to HEAD says what the one to GET says (RFC 9110 §9.3.2)`() throws {
        #expect(try reason(["Content-Type: text/html", "Content-Length: 255"], method: .head) == .small)
        #expect(try reason(["Content-Type: text/html", "Content-Length: 256"], method: .head) == nil)
        #expect(try reason(["Content-Type: text/html"], method: .head) == nil)
    }

    @Test(arguments: [
        (206, "text/html", "bytes 0-9/1000", true), (206, "text/html", "bytes 0-9/*", true), (206, "text/html", "bytes 0-9/100", false),
        (206, "image/png", "bytes 0-9/1000", false), (416, "text/html", "bytes */1000", false),
    ])
    func `a part varies as its whole does (RFC 9110 §15.3.7)`(status: Int, type: String, range: String, isPart: Bool) throws {
        func isPartOfCoded(_ more: [String] = [], isEnabled: Bool = true) throws -> Bool {
            let fields = ["Content-Type: \(type)", "Content-Range: \(range)", "Content-Length: 10"] + more
            var configuration = EdgeConfiguration.Compression()
            configuration.isEnabled = isEnabled
            return CompressionPolicy.isPartOfCoded(
                try ResponseHead.parsed(status, fields), configuration: configuration, types: CompressibleTypes(extra: []))
        }
        #expect(try isPartOfCoded() == isPart)
        #expect(try !isPartOfCoded(isEnabled: false))
        #expect(try !isPartOfCoded(["Cache-Control: no-transform"]))
    }

    @Test func `the answer that is remembered is that of the same type`() {
        let types = CompressibleTypes(extra: ["Application/X-Mine"])
        let long = "text/plain; x=" + String(repeating: "y", count: 500)
        let asked = ["text/html", "image/png", "text/html", "image/png", "application/x-mine", "", "", long, long, "image/png", "nonsense"]
        #expect(asked.map { types.contains($0.utf8.span) } == [true, false, true, false, true, false, false, true, true, false, false])
    }
}
