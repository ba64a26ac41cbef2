import HTTPSemantics
import TestSupport
import Testing

@testable import Edge

@Suite struct LearntHintsTests {
    private func key(_ target: String, host: String = "a.example") throws -> CacheKey {
        var key = CacheKey()
        key.assign(try .parsed("GET \(target) HTTP/1.1", host: host), scope: [], seed: 1)
        return key
    }

    private func links(_ names: String...) -> [[UInt8]] { names.map { Array("</\($0)>; rel=preload".utf8) } }

    @Test func `what a page said last is said again, on its host and nowhere else`() throws {
        let hints = LearntHints()
        let (page, elsewhere, other) = (try key("/a"), try key("/a", host: "b.example"), try key("/a?"))
        #expect(hints.links(page).isEmpty)
        hints.learn(links("1"), page)
        hints.learn(links("2", "3"), page)
        #expect(hints.links(page) == links("2", "3"))
        #expect(hints.links(elsewhere).isEmpty && hints.links(other).isEmpty)
        hints.learn([], page)
        hints.learn([], other)
        #expect(hints.links(page).isEmpty)
        hints.learn(links("1"), page)
        hints.learn(links("1"), other)
        hints.forgetAll()
        #expect(hints.links(page).isEmpty && hints.links(other).isEmpty)
        hints.learn(links("1"), page)
        #expect(hints.links(page) == links("1"))
    }

    @Test func `two keys of the same hash are two`() throws {
        let hints = LearntHints()
        var (first, second) = (try key("/a"), try key("/b"))
        (first.hash, second.hash) = (7, 7)
        hints.learn(links("1"), first)
        #expect(hints.links(second).isEmpty)
        hints.learn(links("2"), second)
        #expect(hints.links(first) == links("1") && hints.links(second) == links("2"))
    }

    @Test func `a full set lets the page go that was asked for longest ago`() throws {
        let hints = LearntHints()
        let keys = try (0..<5).map { number in
            var key = try key("/\(number)")
            key.hash = 7
            return key
        }
        for key in keys[..<4] { hints.learn(links("x"), key) }
        _ = hints.links(keys[0])
        hints.learn(links("y"), keys[4])
        #expect(keys.map { hints.links($0).count } == [1, 0, 1, 1, 1])
    }

    @Test func `no more than so many pages are known, of keys that are not too long`() throws {
        let hints = LearntHints()
        var keys: [CacheKey] = []
        for number in 0..<2 * LearntHints.pageCountMax { keys.append(try key("/\(number)")) }
        for key in keys { hints.learn(links("x"), key) }
        let known = keys.count { !hints.links($0).isEmpty }
        #expect(known <= LearntHints.pageCountMax && known > LearntHints.pageCountMax / 2)
        let room = LearntHints.keyBytesMax - (try key("/").bytes.count)
        let (longest, longer) = (try key("/" + String(repeating: "p", count: room)), try key("/" + String(repeating: "p", count: room + 1)))
        hints.learn(links("x"), longest)
        hints.learn(links("x"), longer)
        #expect(hints.links(longest).count == 1 && hints.links(longer).isEmpty)
    }
}
