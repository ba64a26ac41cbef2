import Testing

@testable import LoadGenerator

@Suite struct RequestLineTests {
    private let base = try? HTTPURL("http://a:81/x")

    @Test(arguments: [
        ("http://b/c", "GET", "http://b/c", 1), ("3@http://b/c", "GET", "http://b/c", 3), ("  HEAD  http://b/c ", "HEAD", "http://b/c", 1),
        ("20@POST /y?z", "POST", "http://a:81/y?z", 20), ("/y", "GET", "http://a:81/y", 1),
    ])
    func `a line is weight, method and URL`(line: String, method: String, url: String, weight: Int) throws {
        let request = try #require(try RequestLine.parse(line, base: base))
        #expect(request.method == method && request.weight == weight)
        #expect(request.url == (try HTTPURL(url)))
    }

    @Test(arguments: ["", "   ", "# a comment"])
    func `a line may say nothing`(line: String) throws {
        #expect(try RequestLine.parse(line, base: base) == nil)
    }

    @Test func `what is not understood is said`() {
        #expect(throws: RequestLine.Invalid.weight("0@http://a/")) { try RequestLine.parse("0@http://a/", base: nil) }
        #expect(throws: RequestLine.Invalid.weight("1000001@http://a/")) { try RequestLine.parse("1000001@http://a/", base: nil) }
        #expect(throws: RequestLine.Invalid.weight("99999999999999999999@x")) { try RequestLine.parse("99999999999999999999@x", base: nil) }
        #expect(throws: RequestLine.Invalid.noOrigin("/y")) { try RequestLine.parse("/y", base: nil) }
        #expect(throws: RequestLine.Invalid.url(.schemeMissing("a/y"))) { try RequestLine.parse("a/y", base: base) }
    }
}

@Suite struct SitemapTests {
    @Test func `locations are read, unescaped, and nothing else is`() {
        let text = """
            <?xml version="1.0" encoding="UTF-8"?>
            <urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>http://a/?x=1&amp;y=2</loc><lastmod>2005-01-01</lastmod></url>
            <url><loc>
              http://a/b
            </loc></url><url><loc><![CDATA[http://a/c]]></loc></url><url><loc></loc></url><url><loc>http://a/d&lt;&unknown;</loc></url>
            <url><loc>unclosed
            """
        #expect(Sitemap.locations(text) == ["http://a/?x=1&y=2", "http://a/b", "http://a/c", "http://a/d<&unknown;"])
        #expect(Sitemap.locations("") == [])
    }

    @Test func `a sitemap has its bound`() {
        let one = "<loc>/</loc>"
        #expect(Sitemap.locations(String(repeating: one, count: Sitemap.locationsMax + 1)).count == Sitemap.locationsMax)
    }
}

@Suite struct RequestTemplateTests {
    @Test func `rows are read as RFC 4180 says`() throws {
        let table = try RowTable(csv: "id,name\r\n1,\"a,\"\"b\"\"\r\nc\"\r\n2,\n\n3,\"\"")
        #expect(table.columns == ["id": 0, "name": 1])
        #expect(table.rows == [["1", "a,\"b\"\r\nc"], ["2", ""], ["3", ""]])
    }

    @Test func `what is no table is refused with its line`() {
        #expect(throws: RequestTemplate.Invalid.noHeader) { try RowTable(csv: "") }
        #expect(throws: RequestTemplate.Invalid.noHeader) { try RowTable(csv: "a,,b\n") }
        #expect(throws: RequestTemplate.Invalid.columns(row: 3)) { try RowTable(csv: "a,b\n1,2\n3\n") }
        #expect(throws: RequestTemplate.Invalid.tooManyRows) { try RowTable(csv: "a\n" + String(repeating: "1\n", count: RowTable.rowsMax + 1)) }
    }

    @Test(arguments: [
        ("/scans/{{id}}?q={{name}}", "/scans/7?q=x"), ("none", "none"), ("{{", "{{"), ("{{}}", "{{}}"), ("{{id", "{{id"), ("{{id}}{{id}}", "77"),
    ])
    func `places are filled`(text: String, filled: String) throws {
        #expect(try RequestTemplate.filled(text, columns: ["id": 0, "name": 1], row: ["7", "x"]) == filled)
    }

    @Test func `a place that no column has is named`() {
        #expect(throws: RequestTemplate.Invalid.unknownColumn("x")) { try RequestTemplate.filled("{{x}}", columns: [:], row: []) }
    }
}
