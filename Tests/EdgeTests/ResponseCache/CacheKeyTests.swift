import HTTPSemantics
import NIOCore
import Testing

@testable import Edge

@Suite struct CacheKeyTests {
    private func key(_ line: String, host: String = "a.example", seed: UInt64 = 7) throws -> CacheKey {
        var key = CacheKey()
        key.assign(try .parsed(line, host: host), scope: [], seed: seed)
        return key
    }

    @Test(arguments: [
        ("GET /x HTTP/1.1", "A.EXAMPLE"), ("GET /x HTTP/1.1", "a.example:80"), ("HEAD /x HTTP/1.1", "a.example"),
        ("GET http://a.example/x HTTP/1.1", "a.example"), ("GET http://a.example:80/x HTTP/1.1", "a.example"),
        ("GET /x HTTP/1.0", "a.example"), ("GET /x HTTP/1.1", "a.example:"),
    ])
    func `spellings of one target are one key`(line: String, host: String) throws {
        #expect(try key(line, host: host) == (try key("GET /x HTTP/1.1")))
    }

    @Test(arguments: [
        ("GET /X HTTP/1.1", "a.example"), ("GET /x? HTTP/1.1", "a.example"), ("GET /x HTTP/1.1", "b.example"),
        ("GET /x HTTP/1.1", "a.example:8080"), ("GET /x HTTP/1.1", "a.example:180"), ("GET /%78 HTTP/1.1", "a.example"),
    ])
    func `other targets are other keys`(line: String, host: String) throws {
        #expect(try key(line, host: host).bytes != (try key("GET /x HTTP/1.1").bytes))
    }

    @Test func `an authority cannot run into the target`() throws {
        #expect(try key("GET /b HTTP/1.1", host: "a").bytes == Array("a\n/b".utf8))
        #expect(try key("GET /b HTTP/1.1", host: "[::1]:80").bytes == Array("[::1]\n/b".utf8))
    }

    @Test func `the memory of a key is reused without a trace of the last`() throws {
        var key = CacheKey()
        key.assign(try .get("/a-very-long-target-that-was-here-before"), scope: [], seed: 1)
        key.assign(try .get("/b"), scope: [], seed: 1)
        var fresh = CacheKey()
        fresh.assign(try .get("/b"), scope: [], seed: 1)
        #expect(key == fresh)
    }
}

@Suite struct KeyHashTests {
    @Test func `the seed decides the hash, so that no client can choose collisions`() {
        let bytes = Array("a.example\n/index.html".utf8)
        #expect(KeyHash.hash(bytes.span, seed: 1) == KeyHash.hash(bytes.span, seed: 1))
        #expect(KeyHash.hash(bytes.span, seed: 1) != KeyHash.hash(bytes.span, seed: 2))
    }

    @Test func `similar keys of every length fall evenly into the shards and slots`() {
        var (low, high) = ([Int](repeating: 0, count: 16), [Int](repeating: 0, count: 16))
        var seen: Set<UInt64> = []
        for number in 0..<16_000 {
            let hash = KeyHash.hash(Array("a.example\n/item/\(number)".utf8).span, seed: 99)
            seen.insert(hash)
            low[Int(hash & 15)] += 1
            high[Int(hash >> 48 & 15)] += 1
        }
        #expect(seen.count == 16_000)
        for count in low + high { #expect((800...1200).contains(count)) }
    }

    @Test func `length counts: trailing zeros are no padding`() {
        var hashes: Set<UInt64> = []
        for count in 0..<40 { hashes.insert(KeyHash.hash([UInt8](repeating: 0, count: count).span, seed: 3)) }
        #expect(hashes.count == 40)
    }
}
