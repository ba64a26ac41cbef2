import Edge
import NIOCore
import Testing

@testable import headrace

@Suite struct ConfigurationSourcesTests {
    private func load(
        _ yaml: String? = nil, environment: [String: String] = [:], set: [String] = [], secrets: [String: String] = [:]
    ) throws -> ConfigurationSources.Loaded {
        var sources = ConfigurationSources()
        sources.file = yaml.map { ("headrace.yaml", $0) }
        sources.environment = environment
        sources.flags = set.map(ConfigurationSources.assignment)
        struct NoSuchFile: Error {}
        sources.readSecret = { path in
            guard let text = secrets[path] else { throw NoSuchFile() }
            return text
        }
        return try sources.load()
    }

    private func problems(
        _ yaml: String? = nil, environment: [String: String] = [:], set: [String] = []
    ) -> String {
        do {
            _ = try load(yaml, environment: environment, set: set)
            return ""
        } catch {
            return (error as? ConfigurationProblems)?.rendered ?? "\(error)"
        }
    }

    private let application = "edge:\n  app: http://127.0.0.1:3000\n"

    @Test func `flags come before the environment, that before the file, that before the defaults`() throws {
        let file = application + "  cache: {size: 1MB, max_object_size: 1MB}\n  threads: 1\n"
        let environment = ["HEADRACE_EDGE_CACHE_SIZE": "2MB", "HEADRACE_EDGE_THREADS": "2"]
        let loaded = try load(file, environment: environment, set: ["edge.threads=3"])
        #expect(loaded.settings.edge.threads == 3)
        #expect(loaded.settings.edge.cache.bytesMax == 2 << 20)
        #expect(loaded.settings.edge.cache.objectBytesMax == 1 << 20)
        #expect(loaded.settings.edge.limits.fieldCountMax == 100)
        #expect(loaded.origins["edge.threads"] == .flag)
        #expect(loaded.origins["edge.cache.size"] == .environment)
        #expect(loaded.origins["edge.cache.max_object_size"] == .file)
        #expect(loaded.origins["edge.limits.fields"] == nil)
    }

    @Test func `lists are YAML lists in the file, and parted by commas elsewhere`() throws {
        let loaded = try load(application + "  listen: [127.0.0.1:1, '[::1]:2']\n", set: ["edge.compression.codings=gzip, br"])
        #expect(loaded.settings.edge.listen == [.tcp(host: "127.0.0.1", port: 1), .tcp(host: "::1", port: 2)])
        #expect(loaded.settings.edge.compression.codings == ["gzip", "br"])
    }

    @Test func `one value will do for a list of one`() throws {
        #expect(try load(application + "  listen: 127.0.0.1:1\n").settings.edge.listen == [.tcp(host: "127.0.0.1", port: 1)])
    }

    @Test func `a section with nothing in it but comments is empty`() throws {
        _ = try load(application + "  cache:\n    # size: 1MB\n")
    }

    @Test func `every mistake is said at once, in the order of the lines, with a caret under each`() {
        let text = problems(
            """
            edge:
              app: http://127.0.0.1:3000
              cahce:
                size: 1GB
              cache:
                size: 256
              compression:
                codings: [br, gzipp]
            """, environment: ["HEADRACE_EDGE_CACHE_SISE": "1"], set: ["edge.thread=1"])
        #expect(
            text == """
                headrace.yaml:3:3: there is no key "cahce" in edge: did you mean cache?
                  3 |   cahce:
                    |   ^~~~~
                  allowed here: access_log, access_log_fields, access_log_format, access_log_sample, app, browser_caching, cache, \
                compression, deadlines, early_hints, files, forwarded, http2, limits, listen, metrics_path, metrics_token, policies, proxies, purge, root, routes, \
                threads, tls, upstream, upstreams
                headrace.yaml:6:11: edge.cache.size: "256" has no unit: write 256MB
                  6 |     size: 256
                    |           ^~~
                headrace.yaml:8:19: edge.compression.codings: "gzipp" is none of br, zstd, gzip: did you mean gzip?
                  8 |     codings: [br, gzipp]
                    |                   ^~~~~
                environment HEADRACE_EDGE_CACHE_SISE: there is no such key: did you mean HEADRACE_EDGE_CACHE_SIZE?
                --set edge.thread: there is no key "edge.thread": did you mean edge.threads?
                """)
    }

    @Test(arguments: [
        ("edge: 3", "edge holds keys, not a value"), ("- a", "the file holds keys, not a value"),
        ("edge:\n  cache:\n    size: {a: 1}", "edge.cache.size: holds keys, but one size is expected"),
        ("edge:\n  cache:\n    size: [1MB]", "edge.cache.size: is a list, but one size is expected"),
        ("edge:\n  threads:", "edge.threads: no value; leave the line out for the default"),
        ("edge:\n  listen: [[a]]", "edge.listen: its members are single values"),
        ("edge: {threads: 1", "this is no YAML"), ("edge:\n  threads: 1\n  threads: 2", "stands here more than once"),
        ("size: 1MB", "it belongs to edge.cache.size"), ("edge:\n\tthreads: 1", "this is no YAML"),
    ])
    func `what has the wrong shape is refused with its place`(yaml: String, message: String) {
        let text = problems(yaml)
        #expect(text.contains(message), "\(text)")
        #expect(text.contains("headrace.yaml:"))
    }

    @Test(arguments: [
        (["edge.threads=1"], "there is nothing to serve"),
        (["edge.app=http://a:1", "edge.limits.head=512B", "edge.limits.request_line=1KB"], "edge.limits.request_line is larger than edge.limits.head"),
        (["edge.app=http://a:1", "edge.cache.size=1MB", "edge.cache.max_object_size=2MB"], "edge.cache.max_object_size is larger than edge.cache.size"),
        (["edge.app=http://127.0.0.1:8080"], "on which the edge itself listens"),
        (["edge.app=http://a:1", "edge.cache.negative=404: 1s,404: 2s"], "edge.cache.negative: 404 is there more than once"),
        (["edge.app=http://a:1", "edge.cache.negative=304: 1s"], "is no status and its time"),
        (["edge.app=http://a:1", "edge.cache.negative=404: 1ms"], "edge.cache.negative"),
    ])
    func `values that do not go together are refused`(set: [String], message: String) {
        #expect(problems(set: set).contains(message))
    }

    @Test func `values that do not go together are said where they stand, beside those that are wrong one by one`() {
        let text = problems(
            """
            edge:
              app: http://127.0.0.1:3000
              threads: many
              cache: {size: 1MB, max_object_size: 2MB}
              routes:
                - name: empty
                - {name: empty, upstream: shpo}
            """, set: ["keyspace.append_only=true"])
        #expect(
            text == """
                headrace.yaml:3:12: edge.threads: "many" is no whole number
                  3 |   threads: many
                    |            ^~~~
                headrace.yaml:4:39: edge.cache.max_object_size is larger than edge.cache.size
                  4 |   cache: {size: 1MB, max_object_size: 2MB}
                    |                                       ^~~
                headrace.yaml:6:7: edge.routes[1] says nothing of what requests get: one of upstream, files.root, redirect.to, page, respond.status
                  6 |     - name: empty
                    |       ^
                headrace.yaml:7:14: edge.routes[2].name: more than one route is named empty
                  7 |     - {name: empty, upstream: shpo}
                    |              ^~~~~
                headrace.yaml:7:31: edge.routes[2].upstream: there is no group "shpo" in edge.upstreams
                  7 |     - {name: empty, upstream: shpo}
                    |                               ^~~~
                --set keyspace.append_only: keyspace.append_only is on, but there is nowhere to write: keyspace.directory
                """)
    }

    @Test(arguments: [
        "edge: {app: ftp//x}", "edge: {ap: http://a:1}", "edge: 3", "edge: {routes: 3}", "edge: {threads: 1",
        "edge: {app: http://a:1, cache: {size: 1, max_object_size: 1GB}}", "edge: {app: http://a:1, cahce: {size: 4GB}, cache: {max_object_size: 1GB}}",
        "edge: {app: http://a:1, routes: [{upsteam: app}]}", "edge: {app: http://a:1, routes: [{whither: app}]}",
        "edge: {app: http//a, routes: [{upstream: app}]}", "edge: {app: http://a:1, upstreams: {shop: {members: [ftp//x]}}}",
        "edge: {app: http://a:1, routes: [{upstream: app, basic_auth: {fil: x}}]}",
    ])
    func `what hangs on a value that is wrong is left out`(yaml: String) {
        do {
            _ = try load(yaml)
            Issue.record("it has a mistake")
        } catch {
            #expect((error as? ConfigurationProblems)?.problems.count == 1, "\((error as? ConfigurationProblems)?.rendered ?? "\(error)")")
        }
    }

    @Test func `each wrong member of a list is said, with its place`() {
        let text = problems(application + "  compression: {codings: [br, gzipp, zstd, deflate]}\n  cache: {negative: {404: 1s, 304: 1s, 503: 1}}\n")
        for message in [
            "headrace.yaml:3:31: edge.compression.codings: \"gzipp\"", "headrace.yaml:3:44: edge.compression.codings: \"deflate\"",
            "headrace.yaml:4:31: edge.cache.negative: \"304: 1s\"", "headrace.yaml:4:40: edge.cache.negative: \"1\" has no unit",
        ] { #expect(text.contains(message), "\(text)") }
        #expect(problems(set: ["edge.app=http://a:1", "edge.listen=x,127.0.0.1:1,y"]).split(separator: "\n").count == 2)
    }

    @Test(arguments: [
        ("edge.access_log_sample=200", "\"200\" has no unit: a share is within 0%…100%"), ("edge.access_log_sample=20", "\"20\" has no unit: write 20%"),
        ("edge.access_log_sample=some", "\"some\" is no share such as 10%"), ("edge.cache.size=5", "\"5\" has no unit: write 5MB"),
        ("edge.cache.size=0.5", "\"0.5\" has no unit: write 0.5GB"), ("edge.cache.size=0", "\"0\" has no unit, and with none of them it is within 1MB…1024GB"),
        ("edge.compression.min_size=512", "\"512\" has no unit: write 512KB or 512B"), ("edge.deadlines.keep_alive=5", "\"5\" has no unit: write 5s or 5m"),
        ("edge.deadlines.keep_alive=24", "\"24\" has no unit: write 24s or 24m"), ("edge.limits.transfer_rate=512", "\"512\" has no unit: write 512KB/s or 512B/s"),
    ])
    func `only what the key takes is suggested`(assignment: String, message: String) {
        let text = problems(set: ["edge.app=http://a:1", assignment])
        #expect(text.hasSuffix(message), "\(text)")
    }

    @Test(arguments: [
        ("127.0.0.1:8080", "http://localhost:8080", true), ("0.0.0.0:8080", "http://127.0.0.1:8080", true), ("0.0.0.0:8080", "http://127.1.2.3:8080", true),
        ("'[::]:8080'", "http://127.0.0.1:8080", true), ("'[::]:8080'", "http://[::1]:8080", true), ("localhost:8080", "http://[::1]:8080", true),
        ("127.0.0.1:8080", "http://0.0.0.0:8080", true), ("unix:/run/a.sock", "unix:/run/a.sock", true), ("a.example:8080", "http://A.example:8080", true),
        ("127.0.0.1:8080", "http://localhost:8081", false), ("127.0.0.1:8080", "http://127.0.0.2:8080", false),
        ("127.0.0.1:8080", "http://[::1]:8080", false), ("0.0.0.0:8080", "http://10.0.0.5:8080", false), ("127.0.0.1:0", "http://127.0.0.1:8080", false),
        ("unix:/run/a.sock", "unix:/run/b.sock", false),
    ])
    func `an application that is the edge itself is found by what its address leads to`(listen: String, application: String, isItself: Bool) {
        let text = problems("edge: {listen: [\(listen)], app: \"\(application)\"}")
        #expect(text.contains("on which the edge itself listens") == isItself, "\(text)")
        #expect(isItself || text.isEmpty)
    }

    @Test func `the default address is the edge itself, too, and so is the pooler's`() {
        #expect(problems(set: ["edge.app=http://localhost:8080"]).contains("on which the edge itself listens (127.0.0.1:8080)"))
        let pooler = problems(set: ["pooler.listen=0.0.0.0:6432", "pooler.postgres=postgres://app@localhost:6432/shop"])
        #expect(pooler.contains("on which the pooler itself listens (0.0.0.0:6432)"), "\(pooler)")
    }

    @Test func `a variable of a section says that it is set in the file only`() {
        let text = problems(application, environment: ["HEADRACE_EDGE_ROUTES": "x", "HEADRACE_EDGE_UPSTREAMS_APP": "y"])
        #expect(
            text == """
                environment HEADRACE_EDGE_ROUTES: edge.routes can be set in the file only
                environment HEADRACE_EDGE_UPSTREAMS_APP: edge.upstreams can be set in the file only
                """)
    }

    @Test func `a variable that looks like a key's is warned of`() throws {
        let environment = [
            "HEADRACE_CACHE_SIZE": "1GB", "HEADRACE_EDGECACHE_SIZE": "1GB", "HEADRACE_CONFIG": "x", "HEADRACE_HISTORY": "none", "HEADRACE_BINARY": "y",
            "HEADRACE_": "z",
        ]
        let loaded = try load(application, environment: environment)
        #expect(
            loaded.warnings == ["HEADRACE_CACHE_SIZE", "HEADRACE_EDGECACHE_SIZE"].map {
                "the environment has \($0), which says nothing to headrace: did you mean HEADRACE_EDGE_CACHE_SIZE?"
            })
        #expect(SettingWarnings.all(loaded) == loaded.warnings)
    }

    @Test func `a secret comes from the environment or a file, and is never shown`() throws {
        let key = try #require(ConfigurationKeys.key("edge.metrics_token"))
        for (yaml, environment) in [
            ("  metrics_token: env:MINE\n", ["MINE": "hush"]), ("  metrics_token: file:/run/token\n", [:]),
            ("", ["HEADRACE_EDGE_METRICS_TOKEN": "hush"]),
        ] {
            let loaded = try load(application + yaml, environment: environment, secrets: ["/run/token": "hush\n"])
            #expect(loaded.settings.edge.metricsToken == "hush")
            #expect(key.shown(loaded.settings) == "(redacted)")
        }
    }

    @Test func `a secret that stands in the file itself is refused without being repeated`() {
        let text = problems(application + "  metrics_token: hunter2\n")
        #expect(text.contains("edge.metrics_token: a secret does not stand here itself"))
        #expect(!text.contains("hunter2"))
    }

    @Test func `variables of others are none of ours`() throws {
        _ = try load(application, environment: ["HEADRACE_BINARY": "x", "EDGE_THREADS": "y", "HEADRACEEDGE_X": "z"])
    }
}

@Suite struct SettingsTests {
    @Test func `the application and how it is connected to come together`() {
        var settings = Settings()
        #expect(settings.edgeConfiguration.application == nil)
        settings.application = .unix(path: "/run/app.sock")
        settings.upstream.connectTimeout = .seconds(1)
        #expect(settings.edgeConfiguration.application?.members == [.init(.unix(path: "/run/app.sock"))])
        #expect(settings.edgeConfiguration.application?.connectTimeout == .seconds(1))
    }

    @Test func `the default of a part shrinks with the whole that is set`() {
        var settings = Settings()
        settings.edge.cache.bytesMax = 1 << 20
        settings.edge.limits.headBytesMax = 512
        #expect(settings.edgeConfiguration.cache.objectBytesMax == 1 << 20)
        #expect(settings.edgeConfiguration.limits.requestLineBytesMax == 512)
    }
}
