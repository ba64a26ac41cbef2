import HTTPSemantics
import NIOCore
import Testing

@testable import Edge

@Suite struct StoredFieldsTests {
    private let date = Array("Sat, 31 Jan 2026 12:00:00 GMT".utf8)

    private func text(_ fields: FieldSection) -> [String] {
        fields.lines.indices.map { "\(String(copying: fields.name(at: $0))): \(String(copying: fields.value(at: $0)))" }
    }

    private func fields(_ lines: [String], status: Int = 200) throws -> FieldSection {
        try ResponseHead.parsed(status, lines).fields
    }

    @Test func `fields of the connection and the length are not stored, and a Date always is`() throws {
        let stored = StoredFields.make(
            try fields(["Connection: X-Hop", "X-Hop: 1", "Keep-Alive: 5", "Content-Length: 5", "ETag: \"a\"", "X-Mine: 1"]),
            date: date)
        #expect(text(stored) == ["ETag: \"a\"", "X-Mine: 1", "Date: Sat, 31 Jan 2026 12:00:00 GMT"])
        #expect(stored.contains(.etag) && stored.contains(.date) && !stored.contains(.contentLength))
    }

    @Test func `the memory kept is that of the fields that are kept`() throws {
        let stored = StoredFields.make(try fields(["X: " + String(repeating: "y", count: 900), "Date: x"]), date: date)
        #expect(stored.bytes.count < 1000)
    }

    @Test func `a 304 replaces the fields that it carries (RFC 9111 §3.2)`() throws {
        let stored = try fields([
            "Cache-Control: max-age=1", "x-mine: old", "X-Mine: old2", "X-Stays: 1", "ETag: \"a\"", "Content-Type: text/html",
        ])
        let fresh = try fields(
            [
                "Cache-Control: max-age=60", "X-MINE: new", "Content-Type: text/plain", "Content-Encoding: br",
                "Content-Range: x", "X-New: 2",
            ],
            status: 304)
        #expect(
            text(StoredFields.updated(stored, by: fresh, date: date)) == [
                "X-Stays: 1", "ETag: \"a\"", "Content-Type: text/html", "Cache-Control: max-age=60", "X-MINE: new", "X-New: 2",
                "Date: Sat, 31 Jan 2026 12:00:00 GMT",
            ])
    }

    @Test func `hop-by-hop fields of a 304 change nothing`() throws {
        let stored = try fields(["X-Hop: stays", "ETag: \"a\""])
        let fresh = try fields(["Connection: x-hop", "X-Hop: gone", "Keep-Alive: 9"], status: 304)
        #expect(text(StoredFields.updated(stored, by: fresh, date: date)).dropLast() == ["X-Hop: stays", "ETag: \"a\""])
    }

    @Test(arguments: [[], ["Date: Sat, 31 Jan 2026 13:00:00 GMT"]])
    func `what a 304 confirms is as old as the 304 (RFC 9111 §4.2.3)`(said: [String]) throws {
        let stored = try fields(["Date: Sat, 31 Jan 2026 11:00:00 GMT", "Age: 40", "ETag: \"a\""])
        let updated = StoredFields.updated(stored, by: try fields(said, status: 304), date: date)
        #expect(text(updated) == ["ETag: \"a\""] + (said.isEmpty ? ["Date: Sat, 31 Jan 2026 12:00:00 GMT"] : said))
    }
}

@Suite struct StoredResponseTests {
    private let t0 = NIODeadline.uptimeNanoseconds(1_000_000_000)

    @Test func `validators are the application's own`() throws {
        let response = try StoredResponse.make(["ETag: W/\"v\"", "Last-Modified: Thu, 01 Jan 1970 00:00:09 GMT"])
        #expect(response.entityTag?.text == "W/\"v\"" && response.lastModified == 9 && response.hasValidator)
        #expect(!(try StoredResponse.make(["ETag: nonsense", "Last-Modified: nonsense"])).hasValidator)
    }

    @Test func `age grows by whole seconds from the age at receipt (RFC 9111 §4.2.3)`() throws {
        let response = try StoredResponse.make(age: 5, received: t0)
        #expect(response.ageSeconds(now: t0) == 5)
        #expect(response.ageSeconds(now: t0 + .milliseconds(999)) == 5)
        #expect(response.ageSeconds(now: t0 + .seconds(1)) == 6)
    }

    @Test func `what is of no use without asking says so`() throws {
        #expect(try StoredResponse.make(lifetime: 0).alwaysRevalidates)
        #expect(try StoredResponse.make(["Cache-Control: no-cache, max-age=60"]).alwaysRevalidates)
        #expect(!(try StoredResponse.make().alwaysRevalidates))
    }
}

@Suite struct StoredVaryTests {
    @Test(arguments: [(true, ["cookie"]), (false, ["accept-encoding", "cookie"])])
    func `an application that is asked for the plain response does not choose by Accept-Encoding`(isPlain: Bool, names: [String]) throws {
        let head = try ResponseHead.parsed(200, ["Vary: Cookie, Accept-Encoding"])
        let response = StoredResponse(
            head: head, fields: head.fields, cacheControl: CacheControl(), lifetimeSeconds: 1, initialAgeSeconds: 0, received: t0,
            codings: [], wasAskedForPlain: isPlain)
        #expect(response.vary.names.map { String(decoding: $0, as: UTF8.self) } == names)
    }

    private let t0 = NIODeadline.uptimeNanoseconds(1_000_000_000)
}

@Suite struct FillBudgetTests {
    @Test func `so much may be under way, and not a byte more`() {
        let budget = FillBudget(bytesMax: 2 << 20)
        #expect(budget.reserve(2 << 20))
        #expect(budget.refusalCount == 0)
        #expect(!budget.reserve(1))
        #expect(budget.bytes == 2 << 20, "what was refused is not held")
        #expect(budget.refusalCount == 1)
        budget.release(1)
        #expect(budget.reserve(1))
        #expect(!budget.reserve(1))
    }

    @Test func `it is a quarter of the cache, at least a megabyte, unless told otherwise`() {
        var configuration = EdgeConfiguration()
        configuration.cache.bytesMax = 8 << 20
        #expect(configuration.bufferedResponseBytesMax == 2 << 20)
        configuration.cache.bytesMax = 1000
        #expect(configuration.bufferedResponseBytesMax == 1 << 20)
        configuration.limits.bufferedResponseBytesMax = 3 << 20
        #expect(configuration.bufferedResponseBytesMax == 3 << 20)
    }
}
