import Testing

@testable import headrace

@Suite struct InitialFileTests {
    private static func found(_ port: Int, _ kind: RunningServices.Kind, _ program: String? = nil) -> RunningServices.Found {
        .init(port: port, authority: "127.0.0.1:\(port)", program: program, kind: kind)
    }

    private static let application = found(3000, .http, "gunicorn")
    private static let postgres = found(5432, .postgreSQL, "postgres")
    private static let redis = found(6379, .redis(.init(bytesMax: 512 << 20, policy: "allkeys-lru")), "redis-server")

    private static func text(_ found: [RunningServices.Found], taken: Set<Int> = []) -> String { InitialFile.make(found, taken: taken).text }

    /// The file once the user has taken the comment signs off some keys.
    private static func settings(_ text: String, uncommenting names: [String]) throws -> Settings {
        // The first of each name in its section is meant: `listen` of the edge is set or left.
        var section = ""
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            if let name = line.firstMatch(of: /^([a-z]+):$/) { section = String(name.1) }
            guard let key = line.firstMatch(of: #/^  # ([a-z_]+): /#), names.contains("\(section).\(key.1)") else { return String(line) }
            return String(line).replacing("# ", with: "", maxReplacements: 1)
        }
        var sources = ConfigurationSources()
        sources.file = ("headrace.yaml", lines.joined(separator: "\n"))
        return try sources.load().settings
    }

    @Test func `the edge stands before the application, and everything else as it was`() throws {
        let text = Self.text([Self.application, Self.postgres, Self.redis])
        #expect(text.hasPrefix("# Headrace, written by `headrace init`.\n# In front of gunicorn at http://127.0.0.1:3000.\n# Also running: PostgreSQL at 127.0.0.1:5432; Redis at 127.0.0.1:6379.\n"))
        let settings = try Self.settings(text, uncommenting: [])
        #expect(settings.application == .tcp(host: "127.0.0.1", port: 3000))
        #expect(settings.poolerConfiguration == nil && !settings.hasKeyspace)
    }

    @Test func `the pooler's lines are the ones for the PostgreSQL that runs`() throws {
        let text = Self.text([Self.application, Self.postgres])
        #expect(text.contains("\npooler:\n  # PostgreSQL at 127.0.0.1:5432: the pooler stands before it once"))
        let settings = try Self.settings(text, uncommenting: ["pooler.listen", "pooler.postgres"])
        #expect(settings.pooler.listen == [.tcp(host: "127.0.0.1", port: 6432)])
        #expect(settings.postgres?.hosts == [.tcp(host: "127.0.0.1", port: 5432)])
    }

    @Test func `the keyspace's lines have the Redis' own bound and policy, and a port that is free`() throws {
        let settings = try Self.settings(
            Self.text([Self.application, Self.redis]), uncommenting: ["keyspace.listen", "keyspace.maxmemory", "keyspace.policy"])
        #expect(settings.keyspace.listen == [.tcp(host: "127.0.0.1", port: 6380)])
        #expect(settings.keyspace.bytesMax == 512 << 20 && settings.keyspace.policy.rawValue == "allkeys-lru")
    }

    @Test func `a port that somebody has is not suggested, asked or not`() throws {
        let text = Self.text([Self.application, Self.postgres, Self.redis], taken: [8080, 8081, 6432, 6380])
        #expect(text.contains("\n  listen: [127.0.0.1:8082]\n"))
        let settings = try Self.settings(text, uncommenting: ["pooler.listen", "pooler.postgres", "keyspace.listen"])
        #expect(settings.pooler.listen == [.tcp(host: "127.0.0.1", port: 6433)])
        #expect(settings.keyspace.listen == [.tcp(host: "127.0.0.1", port: 6381)])
    }

    @Test func `PgBouncer is named, and a password of Redis'`() {
        let text = Self.text([
            Self.application, Self.postgres, Self.found(6432, .pgBouncer, "pgbouncer"), Self.found(6379, .redis(.init(needsPassword: true))),
        ])
        #expect(text.contains("  # PgBouncer at 127.0.0.1:6432 is a pooler already"))
        #expect(text.contains("  # It asks for a password: so should the keyspace"))
        #expect(text.contains("  # listen: [127.0.0.1:6433]\n"))
    }

    @Test func `without anything to stand before, all keys are at their defaults`() throws {
        let choice = InitialFile.make([Self.found(22, .other, "sshd"), Self.found(9000, .http, "headrace")], taken: [])
        #expect(choice.application == nil)
        let heading = "# Headrace, written by `headrace init`.\n# Also running: sshd at 127.0.0.1:22; headrace at http://127.0.0.1:9000.\n"
        #expect(choice.text == heading + ConfigurationReference.example().split(separator: "\n", maxSplits: 1)[1])
    }

    @Test func `a policy that is none of ours is not taken over`() {
        let text = Self.text([Self.application, Self.found(6379, .redis(.init(bytesMax: 0, policy: "fifo")))])
        #expect(text.contains("  # maxmemory: 0B\n") && text.contains("  # policy: allkeys-s3fifo\n"))
    }

    @Test(arguments: [
        ("+PONG\r\n$40\r\nmaxmemory:100\r\nmaxmemory_policy:noeviction\r\n\r\n+OK\r\n", RunningServices.RedisSettings(bytesMax: 100, policy: "noeviction")),
        ("-NOAUTH Authentication required.\r\n-NOAUTH Authentication required.\r\n+OK\r\n", .init(needsPassword: true)),
        ("-DENIED Redis is running in protected mode\r\n", .init()), ("+PONG\r\n", .init()), ("HTTP/1.1 400 Bad Request\r\n", nil), ("", nil),
    ] as [(String, RunningServices.RedisSettings?)])
    func `a Redis is known by its answers`(answers: String, settings: RunningServices.RedisSettings?) {
        #expect(RunningServices.redisSettings(answers: answers) == settings)
    }
}
