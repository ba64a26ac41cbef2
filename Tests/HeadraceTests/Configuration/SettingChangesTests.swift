import Testing

@testable import headrace

/// What a reload says of elements that are added, taken away, moved and changed.
@Suite struct SettingChangesTests {
    private func changes(_ old: [String], _ new: [String], upstreams: (String, String) = ("", "")) throws -> [String] {
        func settings(_ routes: [String], _ groups: String) throws -> Settings {
            var sources = ConfigurationSources()
            sources.file = ("headrace.yaml", "edge:\n  app: http://a:1\n  upstreams: {\(groups)}\n  routes: [\(routes.joined(separator: ", "))]\n")
            return try sources.load().settings
        }
        return SettingChanges.effective(from: try settings(old, upstreams.0), to: try settings(new, upstreams.1))
    }

    private let routes = (1...16).map { "{name: r\($0), match: {path: [/\($0)]}, page: health}" }

    @Test func `a route that is put first is one change`() throws {
        #expect(try changes(routes, ["{name: first, page: ready}"] + routes) == ["edge.routes[1] (first) is new"])
        #expect(try changes(routes, Array(routes.dropFirst())) == ["edge.routes[1] (r1) is gone"])
    }

    @Test func `a route that moves is said to, and what changes in one is said alone`() throws {
        #expect(try changes(routes, [routes[15]] + routes.dropLast()) == ["edge.routes[1] (r16) has moved, from number 16"])
        #expect(
            try changes(routes, ["{page: ready}"] + routes.dropLast() + ["{name: r16, match: {method: [GET]}, page: health}"]) == [
                "edge.routes[1] (for all) is new", "edge.routes[17].match.method=[GET]", "edge.routes[17].match.path is gone",
            ])
    }

    @Test func `routes without a name are known by what they are for, and by their order where that is the same`() throws {
        let (a, b) = ("{match: {path: [/a]}, page: health}", "{match: {path: [/b]}, page: health}")
        #expect(try changes([a], [b, a]) == ["edge.routes[1] (match.path=[/b]) is new"])
        #expect(try changes([a, b], ["{match: {path: [/a]}, page: ready}", b]) == ["edge.routes[1].page=ready"])
        #expect(try changes([a, a, b], [a, a, a, b]) == ["edge.routes[3] (match.path=[/a], number 3) is new"])
        #expect(try changes([a, b], [a, b]) == [])
    }

    @Test func `groups are known by their name`() throws {
        let changes = try changes([], [], upstreams: ("b: http://b:1, c: http://c:1", "a: http://a:2, c: http://c:2"))
        #expect(Set(changes) == ["edge.upstreams.a is new", "edge.upstreams.b is gone", "edge.upstreams.c.members=[http://c:2]"])
    }
}
