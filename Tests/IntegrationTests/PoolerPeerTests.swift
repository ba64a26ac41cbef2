import Foundation
import TestSupport
import Testing

/// Programs and libraries that people have behind a pooler, which do more than a driver alone does.
@Suite(.serialized, .enabled(if: PostgresCluster.programs != nil && Command.find("psql") != nil, "PostgreSQL is not installed: run scripts/setup test"))
struct PoolerPeerTests {
    private static let folder = HeadraceProcess.repository.appending(path: "Tests/IntegrationTests/PoolerPeers")
    private static let jdbc = "/usr/share/java/postgresql.jar"
    /// Debian's: a developer's own may have none of the modules.
    private static let python = "/usr/bin/python3"
    private static let hasDjango = (try? Command.run("env", [python, "-c", "import django, psycopg2"]).status) == 0

    private let postgres: PostgresCluster

    init() throws {
        postgres = try PostgresCluster.shared.get()
    }

    /// With two server connections, so that what clients prepare and set has to follow them.
    private func pooler(_ settings: [String: String] = [:]) throws -> HeadraceProcess {
        let all = ["limits.pool_size": "2", "limits.min_pool_size": "0", "limits.reserve_pool_size": "0"].merging(settings) { $1 }
        return try HeadraceProcess(
            ["--pooler", "127.0.0.1:0", "--postgres", "postgres://127.0.0.1:\(postgres.port)"]
                + all.sorted { $0.key < $1.key }.flatMap { ["--set", "pooler.\($0.key)=\($0.value)"] }, saying: "pooler: ")
    }

    @Test(
        .enabled(
            if: Command.find("javac") != nil && FileManager.default.fileExists(atPath: jdbc),
            "a JDK or JDBC's driver for PostgreSQL is not installed: run scripts/setup test"))
    func `JDBC prepares, batches, copies, reads by portions, cancels, listens, and goes on after a migration`() throws {
        let pooler = try pooler()
        let source = Self.folder.appending(path: "Peer.java").path
        // The program is small: what the second compiler gains, it costs first.
        let result = try Command.run("timeout", ["300", "java", "-XX:TieredStopAtLevel=1", "-cp", Self.jdbc, source, "\(pooler.port)"])
        #expect(result.status == 0 && result.text == "[id, name, more]\nhello\n", "\(result.text)\(result.errors)")
    }

    @Test(.enabled(if: hasDjango, "Django is not installed: run scripts/setup test"))
    func `Django's tests of models pass, with server-side cursors and savepoints`() throws {
        if try postgres.query("SELECT count(*) FROM pg_database WHERE datname = 'test_shop'") == "0" { try postgres.query("CREATE DATABASE test_shop") }
        let (pooler, application) = (try pooler(), try TemporaryFolder())
        let script = Self.folder.appending(path: "django_peer.py").path
        let result = try Command.run("env", ["-C", application.path, "timeout", "300", Self.python, "-B", script, "\(pooler.port)"])
        #expect(result.status == 0 && result.errors.contains("Ran 6 tests"), "\(result.text)\(result.errors)")
    }

    @Test(
        .enabled(
            if: Command.find("prometheus-postgres-exporter") != nil && Command.find("curl") != nil,
            "prometheus-postgres-exporter is not installed: run scripts/setup test"))
    func `postgres_exporter has the same series as directly, and the same settings`() throws {
        let pooler = try pooler(["limits.pool_size": "5"])
        let (direct, through) = (try scrape(postgres.port), try scrape(pooler.port))
        #expect(direct.contains { $0.hasPrefix("pg_up 1") } && through.contains { $0.hasPrefix("pg_up 1") })
        #expect(through.contains { $0.hasPrefix("pg_exporter_last_scrape_error 0") })
        func series(_ lines: [String]) -> Set<String> { Set(lines.map { $0.split(separator: " ").dropLast().joined(separator: " ") }) }
        #expect(series(direct).count > 200)
        #expect(series(direct).symmetricDifference(series(through)).isEmpty, "\(series(direct).symmetricDifference(series(through)))")
        // Values too, where nothing changes from one moment to the next.
        func settings(_ lines: [String]) -> Set<String> { Set(lines.filter { $0.hasPrefix("pg_settings_") }) }
        #expect(settings(direct) == settings(through))
    }

    /// The exporter's series of PostgreSQL, sorted, without the port in their labels.
    private func scrape(_ port: Int) throws -> [String] {
        // Asked in one program with the exporter's life: it ends with it. Nobody else's tests use this address.
        let script = """
            log=$(mktemp)
            DATA_SOURCE_NAME="postgresql://postgres@127.0.0.1:\(port)/shop?sslmode=disable" prometheus-postgres-exporter --web.listen-address=127.7.0.19:0 >$log 2>&1 &
            exporter=$!
            trap 'kill $exporter; rm $log' EXIT
            for attempt in $(seq 600); do
                # Where it listens it says itself.
                listening=$(grep -o 'address=127.7.0.19:[0-9]*' $log | head -1)
                if [ -n "$listening" ] && curl -sf "http://${listening#address=}/metrics" >/dev/null; then curl -sf "http://${listening#address=}/metrics"; exit; fi
                sleep 0.1
            done
            cat $log
            exit 1
            """
        let result = try Command.run("timeout", ["120", "bash", "-c", script])
        #expect(result.status == 0, "\(result.text)\(result.errors)")
        return result.text.replacing("127.0.0.1:\(port)", with: "server").split(separator: "\n").map(String.init).filter { $0.hasPrefix("pg_") }.sorted()
    }
}
