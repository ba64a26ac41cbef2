import Foundation
import LoadGenerator
import Testing

@testable import headrace

@Suite struct WarmTests {
    @Test(arguments: [
        (200, "headrace; fwd=uri-miss; stored", WarmOutcome.stored), (200, "headrace; hit; ttl=27", .there), (200, "headrace; fwd=uri-miss; collapsed", .stored),
        (200, "headrace; fwd=uri-miss; detail=private", .notStored), (404, "headrace; fwd=uri-miss; stored", .failed), (200, nil, .notStored),
        (200, "headrace; fwd=stale; fwd-status=304; stored", .stored), (200, "other; hit, headrace; fwd=uri-miss", .notStored),
    ] as [(Int, String?, WarmOutcome)])
    func `the outcome is what the nearest cache says`(status: Int, cacheStatus: String?, outcome: WarmOutcome) {
        #expect(WarmOutcome(status: status, cacheStatus: cacheStatus) == outcome)
    }

    @Test func `why it was not stored is the edge's own word`() {
        #expect(WarmOutcome.detail("headrace; fwd=uri-miss; detail=private") == "private")
        #expect(WarmOutcome.detail("headrace; hit; ttl=2") == nil)
        #expect(WarmOutcome.detail(nil) == nil)
    }

    @Test func `what a log asks for most comes first, each once`() throws {
        let urls = try ["/a", "/b", "/c", "/b", "/c", "/c", "/d"].map { try HTTPURL("http://a.example" + $0) }
        #expect(WarmCommand.mostAskedFor(urls).map(\.target) == ["/c", "/b", "/a", "/d"])
    }

    private func file(_ data: Data) throws -> URL {
        let file = FileManager.default.temporaryDirectory.appending(path: "sitemap-\(UUID().uuidString)")
        try data.write(to: file)
        return file
    }

    @Test func `an index is followed, compressed sitemaps too, and each page comes once`() async throws {
        let first = "<urlset><url><loc>http://a.example/1</loc></url><url><loc>http://a.example/2?x=1&amp;y=2</loc></url></urlset>"
        // gzip of "<urlset><url><loc>http://a.example/3</loc></url><url><loc>http://a.example/1</loc></url></urlset>"
        let second = try #require(Data(base64Encoded: Self.compressed))
        let index = """
            <sitemapindex><sitemap><loc>http://a.example/one.xml</loc></sitemap><sitemap><loc>http://a.example/two.xml.gz</loc></sitemap></sitemapindex>
            """
        let file = try file(Data(index.utf8))
        defer { try? FileManager.default.removeItem(at: file) }
        let pages = SitemapPages { $0.target == "/one.xml" ? Array(first.utf8) : Array(second) }
        #expect(try await pages.urls(file.path) == ["http://a.example/1", "http://a.example/2?x=1&y=2", "http://a.example/3"])
    }

    @Test func `a sitemap that is cut short is refused`() async throws {
        let whole = try #require(Data(base64Encoded: Self.compressed))
        let file = try file(whole.dropLast(10))
        defer { try? FileManager.default.removeItem(at: file) }
        await #expect(throws: SitemapPages.Failure.self) { try await SitemapPages { _ in [] }.urls(file.path) }
    }

    @Test func `the bar says how far it is`() {
        #expect(WarmProgress.line(done: 0, total: 4, failed: 0, seconds: 1).hasPrefix("░░"))
        #expect(WarmProgress.line(done: 4, total: 4, failed: 1, seconds: 2) == String(repeating: "█", count: 30) + " 4 of 4, 2/s, 1 failed")
    }

    private static let compressed = "H4sIAAAAAAACA7MpLcopTi2xswHSdjY5+cl2GSUlBVb6+ol6qRWJuQU5qfrGNvogcRt9sBLc6gxR1OlDDQYAokJCNWEAAAA="
}
