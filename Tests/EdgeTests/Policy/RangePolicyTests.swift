import HTTPSemantics
import Testing

@testable import Edge

@Suite struct RangePolicyTests {
    private static let modified: Int64 = 1_769_860_800

    private func answer(_ fields: [String], count: Int = 10_000, method: String = "GET") throws -> RangePolicy.Answer {
        RangePolicy.answer(
            try .parsed("\(method) / HTTP/1.1", fields), count: count, entityTag: try EntityTag("\"a\""), lastModified: Self.modified)
    }

    @Test(
        arguments: [
            ("bytes=0-499", .part(0..<500)), ("bytes=-500", .part(9500..<10_000)), ("bytes=10000-", .unsatisfiable), ("lines=1-2", .whole),
            ("bytes=0-0,5000-5000", .parts([0..<1, 5000..<5001])), ("bytes=5000-5000,0-0", .parts([5000..<5001, 0..<1])),
            // Some that are there are enough.
            ("bytes=20000-,0-0", .part(0..<1)), ("bytes=0-9999", .part(0..<10_000)),
            // They overlap, touch, or nearly do.
            ("bytes=500-600,601-999", .part(500..<1000)), ("bytes=500-700,601-999", .part(500..<1000)), ("bytes=0-9,90-99", .part(0..<100)),
            ("bytes=0-9,91-99", .parts([0..<10, 91..<100])), ("bytes=9000-,0-1,8000-9100", .parts([0..<2, 8000..<10_000])),
        ] as [(String, RangePolicy.Answer)])
    func `each form of a range has its answer`(range: String, expected: RangePolicy.Answer) throws {
        #expect(try answer(["Range: \(range)"]) == expected)
    }

    @Test func `sixteen ranges are sent, seventeen are the whole`() throws {
        let ranges = (0..<17).map { "\($0 * 500)-\($0 * 500)" }
        guard case .parts(let parts) = try answer(["Range: bytes=" + ranges.dropLast().joined(separator: ",")]) else {
            Issue.record("not in parts")
            return
        }
        #expect(parts.count == 16)
        #expect(try answer(["Range: bytes=" + ranges.joined(separator: ",")]) == .whole)
    }

    @Test func `a thousand overlapping ranges do not make an answer longer than the file`() throws {
        let many = Array(repeating: "0-", count: 16).joined(separator: ",")
        #expect(try answer(["Range: bytes=\(many)"]) == .part(0..<10_000))
    }

    @Test(
        arguments: [
            ("\"a\"", true), ("\"b\"", false), ("W/\"a\"", false), ("\"a~gz\"", false), ("Sat, 31 Jan 2026 12:00:00 GMT", true),
            ("Sat, 31 Jan 2026 12:00:01 GMT", false), ("nonsense", false),
        ])
    func `If-Range lets a range pass only for the very bytes (RFC 9110 §13.1.5)`(value: String, isPart: Bool) throws {
        #expect(try answer(["Range: bytes=0-0", "If-Range: \(value)"]) == (isPart ? .part(0..<1) : .whole))
    }

    @Test func `only GET has ranges, and only one field of them`() throws {
        #expect(try answer(["Range: bytes=0-0"], method: "HEAD") == .whole)
        #expect(try answer(["Range: bytes=0-0", "Range: bytes=1-1"]) == .whole)
        #expect(try answer(["Range: bytes=0-"], count: 0) == .unsatisfiable)
    }

    @Test func `parts are counted to the byte`() {
        let ranges = [0..<2, 4..<8]
        let multipart = MultipartRanges(ranges, of: 10, contentType: "text/plain", number: 0xAB)
        #expect(multipart.boundary == "headrace-00000000000000ab")
        var body = ""
        for (head, range) in zip(multipart.heads, ranges + [0..<0]) {
            body += String(decoding: head, as: UTF8.self) + "0123456789".dropFirst(range.lowerBound).prefix(range.count)
        }
        #expect(
            body == """
                --headrace-00000000000000ab\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n\
                --headrace-00000000000000ab\r\nContent-Type: text/plain\r\nContent-Range: bytes 4-7/10\r\n\r\n4567\r\n\
                --headrace-00000000000000ab--\r\n
                """)
        #expect(multipart.byteCount == body.utf8.count)
    }
}

@Suite struct DirectoryListingTests {
    @Test func `names are text in the page, and paths in its links`() {
        let page = DirectoryListing.page(path: "a&b", names: ["<script>.js", "é \"x\".txt", "javascript:alert(1)", "sub/"], more: 3)
        #expect(page.contains("Index of /a&amp;b") && !page.contains("<script>"))
        #expect(page.contains("<a href=\"./%3Cscript%3E.js\">&lt;script&gt;.js</a>"))
        #expect(page.contains("<a href=\"./%C3%A9%20%22x%22.txt\">é &quot;x&quot;.txt</a>"))
        #expect(page.contains("<a href=\"./javascript%3Aalert%281%29\">") && page.contains("<a href=\"./sub/\">sub/</a>"))
        #expect(page.contains("and 3 more"))
    }
}
