import Testing

@testable import headrace

/// Each planted misconfiguration is found by its check and by no other; a good site is left in peace.
@Suite struct SiteChecksTests {
    private static func resource(_ url: String, _ type: String, bytes: Int = 5000) -> SiteEvidence.Resource {
        var resource = SiteEvidence.Resource(url: url, contentType: type, coding: "br", bytes: bytes)
        resource.variesByCoding = true
        resource.lifetime = 86_400
        resource.hasValidator = true
        resource.answersNotModified = true
        return resource
    }

    private static func good() -> SiteEvidence {
        var evidence = SiteEvidence(page: resource("https://a/", "text/html; charset=utf-8"))
        evidence.files = [resource("https://a/site.css", "text/css"), resource("https://a/site.js", "application/javascript")]
        var picture = resource("https://a/logo.png", "image/png")
        (picture.coding, picture.variesByCoding) = ("", false)
        evidence.files.append(picture)
        evidence.certificateDays = 60
        evidence.firstByteMilliseconds = [30, 40, 350, 35, 20]
        evidence.clockAheadSeconds = 0
        return evidence
    }

    private static func problems(_ evidence: SiteEvidence) -> [String] {
        SiteChecks.all.filter { if case .problem = $0.judge(evidence) { true } else { false } }.map(\.name)
    }

    @Test func `a good site is left in peace`() {
        #expect(Self.problems(Self.good()) == [])
    }

    private static let planted: [(check: String, plant: @Sendable (inout SiteEvidence) -> Void)] = [
        ("answers", { $0.page.status = 503 }),
        ("redirects", { $0.redirects = ["http://a/", "https://www.a/"] }),
        ("tls", { $0.isSecure = false }),
        ("certificate", { $0.certificateDays = 20 }),
        ("first-byte", { $0.firstByteMilliseconds = [201, 250, 300] }),
        ("page-compression", { ($0.page.coding, $0.page.gzipBytes, $0.page.brotliBytes) = ("", 1000, 900) }),
        ("file-compression", { ($0.files[0].coding, $0.files[0].gzipBytes) = ("", 1000) }),
        ("vary", { $0.files[1].variesByCoding = false }),
        ("page-cacheable", { $0.page.notStored = .setCookie }),
        ("file-lifetime", { $0.files[2].lifetime = nil }),
        ("validators", { $0.files[0].hasValidator = false }),
        ("not-modified", { $0.page.answersNotModified = false }),
        ("file-cookies", { $0.files[1].setsCookie = true }),
        ("keep-alive", { $0.page.keepsAlive = false }),
        ("broken", { $0.files.append(resource("https://a/gone.js", "text/html")); $0.files[3].status = 404 }),
        ("clock", { $0.clockAheadSeconds = -6 }),
    ]

    @Test(arguments: planted.indices)
    func `a planted misconfiguration is found, and nothing else`(index: Int) {
        var evidence = Self.good()
        Self.planted[index].plant(&evidence)
        #expect(Self.problems(evidence) == [Self.planted[index].check])
    }

    @Test func `every check has a plant`() {
        #expect(Self.planted.map(\.check) == SiteChecks.all.map(\.name))
    }

    @Test func `the worst comes first, with exact bytes, and long lists are cut`() {
        var evidence = Self.good()
        evidence.files = (0..<12).map { index in
            var file = Self.resource("https://a/\(index).css", "text/css", bytes: 1000 * (index + 1))
            (file.coding, file.gzipBytes, file.brotliBytes) = ("", 400, 300)
            return file
        }
        guard case .problem(let lines) = SiteChecks.all.first(where: { $0.name == "file-compression" })?.judge(evidence) else {
            Issue.record("not found")
            return
        }
        #expect(lines[0] == "https://a/11.css: 12000 bytes; gzip makes 400 of them, Brotli 300")
        #expect(lines.count == 10 && lines[8] == "and 4 more")
        #expect(lines[9] == "\((1...12).reduce(0) { $0 + 1000 * $1 } - 12 * 300) bytes too many")
    }

    @Test func `what is small, of no kind that shrinks, or on this machine is no problem`() {
        var evidence = Self.good()
        (evidence.files[0].coding, evidence.files[0].bytes, evidence.files[0].gzipBytes) = ("", 255, 100)
        (evidence.isSecure, evidence.isLocal) = (false, true)
        #expect(Self.problems(evidence) == [])
    }
}
