import TestSupport
import Testing

@testable import Keyspace

@Suite struct GlobPatternTests {
    @Test(arguments: [
        ("*", "", true), ("*", "anything", true), ("", "", true), ("", "a", false), ("h?llo", "hello", true), ("h?llo", "hllo", false),
        ("h*llo", "hllo", true), ("h*llo", "heeeello", true), ("h[ae]llo", "hallo", true), ("h[ae]llo", "hillo", false),
        ("h[^e]llo", "hallo", true), ("h[^e]llo", "hello", false), ("h[a-b]llo", "hbllo", true), ("h[b-a]llo", "hallo", true),
        ("\\*", "*", true), ("\\*", "a", false), ("[\\]]", "]", true), ("*a*b*c", "xaxbxc", true), ("*a*b*c", "xaxcxb", false),
        ("a\\", "a\\", true), ("[", "[", false), ("[a", "a", true), ("**", "", true), ("*?", "", false),
    ])
    func `examples`(pattern: String, text: String, matches: Bool) {
        #expect(GlobPattern(octets(pattern)).matches(octets(text)) == matches)
    }

    @Test func `many stars take no time to speak of`() {
        let pattern = [[UInt8]](repeating: octets("*a"), count: 200).flatMap(\.self) + octets("b")
        #expect(!GlobPattern(pattern).matches([UInt8](repeating: UInt8(ascii: "a"), count: 20_000)))
    }

    @Test(.enabled(if: RedisPeer.isInstalled, "redis-server is not installed: run scripts/setup"))
    func `a thousand random patterns mean what they mean to Redis`() throws {
        let redis = try RedisPeer()
        let client = try redis.client()
        defer { withExtendedLifetime(redis) {} }
        var random = SeededRandom(seed: 1)
        let letters = octets("aabb*?[]^-\\")
        for _ in 0..<1000 {
            let pattern = (0..<Int.random(in: 0...8, using: &random)).map { _ in random.pick(letters) }
            let text = (0..<Int.random(in: 0...6, using: &random)).map { _ in random.pick(octets("aab*[]-")) }
            try client.call([octets("SET"), text, octets("x")])
            let found = try client.call([octets("KEYS"), pattern]).array ?? []
            try client.call([octets("DEL"), text])
            #expect(
                found.isEmpty != GlobPattern(pattern).matches(text),
                "\(String(decoding: pattern, as: UTF8.self)) on \(String(decoding: text, as: UTF8.self))")
        }
    }
}
