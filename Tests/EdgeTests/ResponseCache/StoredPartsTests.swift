import HTTPSemantics
import NIOCore
import TestSupport
import Testing

@testable import Edge

/// RFC 9111 §3.3, §3.4; RFC 9110 §15.3.7.3.
@Suite struct StoredPartsTests {
    private static let large = 1 << 20

    private func response(_ fields: [String] = ["ETag: \"v\""]) throws -> StoredResponse { try .make(fields) }

    private func body(_ text: some StringProtocol) -> StoredBody { StoredBody(ByteBuffer(string: String(text))) }

    private func text(_ slices: [ByteBuffer]?) -> String? { slices.map { $0.map { String(buffer: $0) }.joined() } }

    @Test func `a part answers what lies within it, and nothing else`() throws {
        let parts = try StoredParts(response(), count: 20, body: body("56789"), at: 5, bytesMax: Self.large)
        #expect(text(parts.slices(5..<10)) == "56789" && text(parts.slices(6..<8)) == "67")
        for beyond in [4..<6, 9..<11, 0..<5, 10..<20, 0..<20] { #expect(parts.slices(beyond) == nil, "\(beyond)") }
        #expect(parts.whole == nil && parts.runs == [5..<10])
    }

    @Test func `parts that meet or overlap are one, and the whole when nothing is missing`() throws {
        let new = try response(["ETag: \"v\"", "X: new"])
        var parts = try StoredParts(response(), count: 20, body: body("0123"), at: 0, bytesMax: Self.large)
        parts = parts.adding(body("89abc"), at: 8, response: new, bytesMax: Self.large)
        #expect(parts.runs == [0..<4, 8..<13] && parts.slices(3..<9) == nil)
        // It meets the first and overlaps the second.
        parts = parts.adding(body("456789"), at: 4, response: new, bytesMax: Self.large)
        #expect(parts.runs == [0..<13] && text(parts.slices(2..<12)) == "23456789ab" && parts.whole == nil)
        #expect(parts.response === new)
        parts = parts.adding(body("cdefghij"), at: 12, response: new, bytesMax: Self.large)
        #expect(parts.whole.map { String(buffer: $0.joined()) } == "0123456789abcdefghij")
    }

    @Test func `only what has one strong validator and one length is of one version`() throws {
        let dates = ["Last-Modified: Sat, 31 Jan 2026 10:00:00 GMT", "Date: Sat, 31 Jan 2026 12:00:00 GMT"]
        let tagged = try StoredParts(response(), count: 20, body: body("01"), at: 0, bytesMax: Self.large)
        #expect(try tagged.isSameVersion(as: response(), count: 20))
        #expect(try !tagged.isSameVersion(as: response(), count: 21))
        for other in [["ETag: \"w\""], ["ETag: W/\"v\""], [], dates] { #expect(try !tagged.isSameVersion(as: response(other), count: 20), "\(other)") }
        let dated = try StoredParts(response(dates), count: 20, body: body("01"), at: 0, bytesMax: Self.large)
        #expect(try dated.isSameVersion(as: response(dates), count: 20))
        #expect(try !dated.isSameVersion(as: response(["Last-Modified: Sat, 31 Jan 2026 10:00:01 GMT", dates[1]]), count: 20))
        #expect(try !dated.isSameVersion(as: response(dates + ["ETag: \"v\""]), count: 20))
        // A date of the very second says nothing (RFC 9110 §8.8.2.2).
        let young = try response(["Last-Modified: Sat, 31 Jan 2026 12:00:00 GMT", dates[1]])
        #expect(!StoredParts.isCombinable(young))
        for (fields, isOne) in [(["ETag: \"v\""], true), (dates, true), (["ETag: W/\"v\""], false), (["ETag: W/\"v\""] + dates, false), ([], false)] {
            #expect(try StoredParts.isCombinable(response(fields)) == isOne, "\(fields)")
        }
    }

    @Test(arguments: UInt64(1)...20) func `whatever comes in whatever order, it is the bytes that came, within its bounds`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let count = 3000
        let whole = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
        let bytesMax = random.pick([500, 2000, 5000])
        let response = try response()
        var parts: StoredParts?
        for _ in 0..<200 {
            let start = Int.random(in: 0..<count, using: &random)
            let end = min(count, start + Int.random(in: 1...random.pick([1, 20, 400]), using: &random))
            let part = StoredBody(ByteBuffer(bytes: whole[start..<end]))
            parts =
                parts?.adding(part, at: start, response: response, bytesMax: bytesMax)
                ?? StoredParts(response, count: count, body: part, at: start, bytesMax: bytesMax)
            let runs = try #require(parts?.runs)
            #expect(runs.count <= StoredParts.runsMax && runs.reduce(0) { $0 + $1.count } <= bytesMax)
            // What came last is there.
            func has(_ range: Range<Int>) -> Bool { parts?.slices(range)?.flatMap { Array($0.readableBytesView) } == Array(whole[range]) }
            #expect(has(start..<end))
            for (run, next) in zip(runs, runs.dropFirst()) { #expect(run.upperBound < next.lowerBound) }
            for run in runs { #expect(has(run)) }
            if runs == [0..<count] { #expect(parts?.whole.map { Array($0.joined().readableBytesView) } == whole) }
        }
    }

    @Test func `at its bounds it keeps what came last: n gaps and n bytes, and not one more`() throws {
        let response = try response()
        var parts = StoredParts(response, count: 1000, body: body("x"), at: 0, bytesMax: Self.large)
        for number in 1..<StoredParts.runsMax { parts = parts.adding(body("x"), at: number * 10, response: response, bytesMax: Self.large) }
        #expect(parts.runs.count == StoredParts.runsMax && parts.slices(0..<1) != nil)
        parts = parts.adding(body("x"), at: 900, response: response, bytesMax: Self.large)
        #expect(parts.runs.count == StoredParts.runsMax && parts.slices(0..<1) == nil && parts.slices(900..<901) != nil)

        var full = StoredParts(response, count: 1000, body: body("01234"), at: 0, bytesMax: 10)
        full = full.adding(body("abcde"), at: 100, response: response, bytesMax: 10)
        #expect(full.slices(0..<5) != nil && full.slices(100..<105) != nil)
        full = full.adding(body("x"), at: 200, response: response, bytesMax: 10)
        #expect(full.slices(0..<5) == nil && full.slices(100..<105) != nil && full.slices(200..<201) != nil)
    }

    @Test func `one byte after the other is a few pieces, and its memory is that of its bytes`() throws {
        let response = try response()
        var parts = StoredParts(response, count: 2000, body: body("x"), at: 0, bytesMax: Self.large)
        for position in 1..<2000 { parts = parts.adding(body("x"), at: position, response: response, bytesMax: Self.large) }
        #expect(parts.whole?.byteCount == 2000)
        #expect(parts.memoryBytes < 2000 + 400)
    }
}

/// Which ranges are asked for as such.
@Suite struct PartWishTests {
    @Test func `a range far in is, one near the beginning if it must be, and what has other conditions never`() throws {
        func wish(_ fields: String..., method: String = "GET") throws -> PartWish {
            PartWish(try .parsed("\(method) / HTTP/1.1", fields))
        }
        let far = PartWish.bytesBeforeMax
        #expect(try wish("Range: bytes=\(far)-") == .always && wish("Range: bytes=\(far - 1)-") == .ifParts)
        #expect(try wish("Range: bytes=\(far)-", "If-Range: \"v\"") == .always)
        #expect(try wish("Range: bytes=0-1") == .ifParts && wish("Range: bytes=-5") == .ifParts)
        #expect(try wish() == .none && wish("Range: bytes=0-1,5-6") == .none && wish("Range: lines=1-2") == .none)
        #expect(try wish("Range: bytes=\(far)-", method: "HEAD") == .none)
        #expect(try wish("Range: bytes=\(far)-", "Range: bytes=0-1") == .none)
        for condition in ["If-None-Match: \"v\"", "If-Match: \"v\"", "If-Modified-Since: x", "If-Unmodified-Since: x"] {
            #expect(try wish("Range: bytes=\(far)-", condition) == .none, "\(condition)")
        }
    }
}

/// Parts in the store, beside what is stored whole.
@Suite struct ShardPartsTests {
    private let t0 = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func key(_ target: String = "/") throws -> CacheKey {
        var key = CacheKey()
        key.assign(try .get(target), scope: [], seed: 7)
        return key
    }

    private func shard() -> ResponseShard { ResponseShard(bytesMax: 1 << 20, codingOrder: [.gzip]) }

    private func parts(_ text: String, at start: Int = 0, fields: [String] = ["ETag: \"v\""], received: NIODeadline = .uptimeNanoseconds(1_000_000_000)) throws -> StoredParts {
        StoredParts(try .make(fields, received: received), count: 100, body: StoredBody(ByteBuffer(string: text)), at: start, bytesMax: 1 << 20)
    }

    private func whole(_ fields: [String] = ["ETag: \"v\""]) throws -> Representation {
        Representation(
            response: try .make(fields), coding: .identity, effort: .asReceived, head: ByteBuffer(string: "HTTP/1.1 200 OK\r\n"),
            body: ByteBuffer(string: "whole"), entityTag: nil)
    }

    private let range = ["Range: bytes=0-1"]

    private func lead(_ shard: inout ResponseShard, _ request: borrowing RequestHead) throws -> ResponseShard.Lease {
        let lease = shard.leadPart(try key(), request)
        return try #require(lease)
    }

    @discardableResult
    private func store(_ shard: inout ResponseShard, _ parts: StoredParts) throws -> Bool {
        let request = try RequestHead.get("/", range)
        let lease = try lead(&shard, request)
        return shard.finish(lease, .storeParts(parts, requestFields: request.fields), now: t0).isStored
    }

    @Test func `RFC 9111 §3.3: parts are found as parts and never as the whole`() throws {
        var shard = shard()
        let stored = try parts("0123")
        #expect(try store(&shard, stored))
        #expect(try shard.findParts(key(), .get("/", range)) === stored)
        #expect(try shard.find(key(), .get("/"), accepted: .identityOnly) == nil)
        #expect(try shard.find(key(), .get("/"), accepted: AcceptedCodings(RequestHead.get("/", ["Accept-Encoding: gzip"]).fields)) == nil)
        #expect(try shard.ready(key(), .get("/")) == nil && shard.findParts(key("/b"), .get("/b")) == nil)
        // Whoever asks for all of it fetches all of it, for all.
        guard case .lead(let lease) = shard.join(try key(), try .get("/"), follower: .init { _ in }, now: t0) else {
            Issue.record("must lead")
            return
        }
        let all = try whole()
        _ = shard.finish(lease, .store(all, requestFields: try RequestHead.get("/").fields), now: t0)
        #expect(try shard.find(key(), .get("/"), accepted: .identityOnly)?.representation === all)
        #expect(try shard.findParts(key(), .get("/", range)) == nil && shard.parts.isEmpty)
    }

    @Test func `a part takes nothing from a whole, nor from what was received after it`() throws {
        var shard = shard()
        let (lease, request) = (try lead(&shard, .get("/", range)), try RequestHead.get("/"))
        guard case .lead(let other) = shard.join(try key(), request, follower: .init { _ in }, now: t0) else {
            Issue.record("must lead")
            return
        }
        let all = try whole()
        _ = shard.finish(other, .store(all, requestFields: request.fields), now: t0)
        #expect(try !shard.finish(lease, .storeParts(parts("0123"), requestFields: RequestHead.get("/", range).fields), now: t0).isStored)
        #expect(try shard.find(key(), .get("/"), accepted: .identityOnly)?.representation === all)

        var second = self.shard()
        let newer = try parts("4567", received: t0 + .seconds(2))
        #expect(try store(&second, newer))
        #expect(try !store(&second, parts("0123", received: t0 + .seconds(1))))
        #expect(try second.findParts(key(), .get("/", range)) === newer)
    }

    @Test func `who enters far from the beginning asks for a part, and everybody where the whole is too large`() throws {
        var shard = shard()
        func join(_ wish: PartWish) throws -> String {
            switch shard.join(try key(), try .get("/", range), follower: .init { _ in }, wish: wish, now: t0) {
            case .lead(let lease):
                _ = shard.finish(lease, .notStored, now: t0)
                return "lead"
            case .leadPart(let lease):
                _ = shard.finish(lease, .notStored, now: t0)
                return "part"
            case .follow: return "follow"
            case .read: return "read"
            case .pass: return "pass"
            }
        }
        #expect(try join(.ifParts) == "lead" && join(.always) == "part")
        try store(&shard, try parts("0123"))
        #expect(try join(.ifParts) == "part" && join(.always) == "part" && join(.none) == "lead")
        // A part that is under way keeps nobody from fetching the whole for all.
        let underWay = try lead(&shard, .get("/"))
        #expect(try join(.ifParts) == "lead" && join(.always) == "part")
        _ = shard.finish(underWay, .notStored, now: t0)
        // Too large as a whole: parts stay, and more of them may come.
        let lease = try lead(&shard, .get("/"))
        _ = shard.finish(lease, .tooLarge, now: t0)
        #expect(try shard.findParts(key(), .get("/", range)) != nil)
        #expect(try join(.ifParts) == "part" && join(.none) == "pass")
        // For one client alone: nothing stays.
        let other = try lead(&shard, .get("/"))
        _ = shard.finish(other, .notShareable, now: t0)
        #expect(try shard.findParts(key(), .get("/", range)) == nil)
        // Somebody fetches all of it: whoever enters in its middle reads along.
        var second = self.shard()
        _ = second.join(try key(), try .get("/"), follower: .init { _ in }, now: t0)
        guard case .follow = second.join(try key(), try .get("/", range), follower: .init { _ in }, wish: .always, now: t0) else {
            Issue.record("must follow")
            return
        }
    }

    @Test func `as many parts are under way under one key as may, and no more`() throws {
        var shard = shard()
        let request = try RequestHead.get("/", range)
        var leases: [ResponseShard.Lease] = []
        for _ in 0..<ResponseShard.fetchesMax { leases.append(try lead(&shard, request)) }
        let key = try key()
        func isFull() -> Bool { shard.leadPart(key, request) == nil }
        #expect(isFull())
        _ = shard.finish(leases[7], .notStored, now: t0)
        #expect(!isFull() && isFull())
    }

    @Test func `a purge, hard or soft, takes parts, and wins against one that is fetched`() throws {
        for isSoft in [false, true] {
            var shard = shard()
            try store(&shard, try parts("0123"))
            #expect(try shard.purge(key(), isSoft: isSoft, now: t0) == 1)
            #expect(try shard.findParts(key(), .get("/", range)) == nil && shard.entryCount == 0, "\(isSoft)")
            let request = try RequestHead.get("/", range)
            let lease = try lead(&shard, request)
            _ = shard.purge(try key(), isSoft: isSoft, now: t0)
            #expect(try !shard.finish(lease, .storeParts(parts("0123"), requestFields: request.fields), now: t0).isStored)
            #expect(try shard.findParts(key(), .get("/", range)) == nil)
        }
    }

    @Test func `its account has the parts, and nothing of them when they are gone`() throws {
        var shard = shard()
        let before = shard.memoryBytes
        // Far apart: what an array has room for may differ by some words from one time to the next, for the same elements.
        func part(_ count: Int) throws -> StoredParts {
            StoredParts(
                try .make(["ETag: \"v\""], received: t0), count: 10_000, body: StoredBody(ByteBuffer(repeating: 0x78, count: count)), at: 0, bytesMax: 1 << 20)
        }
        try store(&shard, part(80))
        let one = shard.memoryBytes
        #expect(one > before + 80)
        try store(&shard, part(5000))
        #expect(shard.memoryBytes > one && shard.entryCount == 1)
        _ = shard.purge(try key(), isSoft: false, now: t0)
        #expect(shard.memoryBytes == before && shard.parts.isEmpty)
    }
}
