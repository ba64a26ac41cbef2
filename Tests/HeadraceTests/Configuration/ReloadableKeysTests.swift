import Edge
import Testing

@testable import headrace

/// The `isReloadable` column against what a reload does: each row is changed, alone, and the edge's own rule of what it takes over
/// (``EdgeConfiguration/adopting(_:)``; the pooler and the keyspace take over nothing) has to agree with the column, and so has the log.
@Suite struct ReloadableKeysTests {
    /// Words that some format or other takes; the ends of a range and the words of a choice come from the row itself.
    private static let words = [
        "true", "false", "99%", "http://127.0.0.1:3999", "127.0.0.1:3999", "/srv/other", "10.0.0.0/8", "a/b", "zstd", "1h 1", "500-599", "503", "404: 10s", "alice",
        "alice on >secret ~* &* +@all", "/other", "other", "postgres://b@127.0.0.1:5999/b", "SELECT 1", "trust", "127.0.0.53", "env:OTHER", "timeout: 300",
        "</a.css>; rel=preload",
    ]

    private static var started: Settings {
        var settings = Settings()
        settings.application = .tcp(host: "127.0.0.1", port: 3000)
        return settings
    }

    /// The settings with another value of one key.
    private func changed(_ key: ConfigurationKey) throws -> Settings {
        let candidates = key.range.components(separatedBy: "…").reversed() + key.units.components(separatedBy: ", ") + Self.words
        for word in candidates {
            var settings = Self.started
            guard (try? key.assign([word], &settings)) != nil, key.render(settings) != key.render(Self.started) else { continue }
            return settings
        }
        throw ValueProblem("none of \(candidates) is another value of \(key.path), a \(key.format)")
    }

    @Test(arguments: ConfigurationKeys.all.map(\.path))
    func `a key is taken over at a reload if its row says so, and named as one that needs a restart if not`(path: String) throws {
        let key = try #require(ConfigurationKeys.key(path))
        let (old, new) = (Self.started, try changed(key))
        let adopted = old.edgeConfiguration.adopting(new.edgeConfiguration)
        let (effective, pending) = (SettingChanges.effective(from: old, to: new), SettingChanges.pending(from: old, to: new))
        let line = "\(path)=\(key.shown(new))"
        if key.isReloadable {
            let isForPooler = new.pooler.limits != old.pooler.limits || new.pooler.timeouts != old.pooler.timeouts
            #expect(new.edgeConfiguration != old.edgeConfiguration || isForPooler, "the edge or the pooler is told of it")
            #expect(adopted == new.edgeConfiguration)
            #expect(effective == [line] && pending == [])
        } else {
            #expect(adopted == old.edgeConfiguration)
            #expect(effective == [] && pending == [line])
        }
    }

    @Test func `a secret that needs a restart is not shown`() throws {
        let key = try #require(ConfigurationKeys.key("pooler.password"))
        #expect(SettingChanges.pending(from: Self.started, to: try changed(key)) == ["pooler.password=(redacted)"])
    }

    /// What the page marks with ↻ in a section is what the log says of the section.
    @Test(arguments: ConfigurationKeys.table.repeated.map(\.path))
    func `the rows of a section are as reloadable as the section`(path: String) throws {
        let section = try #require(ConfigurationKeys.table.repeated.first { $0.path == path })
        #expect(section.rows.filter { $0.isReloadable != section.isReloadable }.map(\.path) == [])
    }

    @Test func `an element of each reloadable section of the edge is taken over`() throws {
        var new = Self.started
        new.edge.routes = [RouteConfiguration()]
        new.edge.upstreams["other"] = UpstreamGroup(members: [.init(.tcp(host: "127.0.0.1", port: 3001))])
        new.edge.browserCachingPolicies["long"] = .standard
        let adopted = Self.started.edgeConfiguration.adopting(new.edgeConfiguration)
        #expect(adopted == new.edgeConfiguration && adopted != Self.started.edgeConfiguration)
        #expect(ConfigurationKeys.table.repeated.filter(\.isReloadable).map(\.path).sorted() == ["edge.policies.browser_caching", "edge.routes", "edge.upstreams"])
    }

    @Test func `an object is never allowed to be larger than the cache, whose size needs a restart`() {
        var (old, new) = (Self.started, Self.started)
        old.edge.cache.bytesMax = 1 << 20
        (new.edge.cache.bytesMax, new.edge.cache.objectBytesMax) = (1 << 30, 1 << 29)
        let adopted = old.edgeConfiguration.adopting(new.edgeConfiguration)
        #expect(adopted.cache.bytesMax == 1 << 20 && adopted.cache.objectBytesMax == 1 << 20)
    }
}
