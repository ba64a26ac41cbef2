import Foundation

/// What listens on this machine, for `headrace init`.
enum RunningServices {
    /// What something that listens is to us.
    enum Kind: Sendable, Equatable {
        case http
        case postgreSQL
        case pgBouncer
        case redis(RedisSettings)
        case other
    }

    /// What a Redis says of itself.
    struct RedisSettings: Sendable, Equatable {
        var needsPassword = false
        /// 0 is no bound; `nil` when it does not say.
        var bytesMax: Int?
        var policy: String?
    }

    struct Found: Sendable {
        let port: Int
        /// What to connect to: an address that reaches it, with the port.
        let authority: String
        /// The program's name, if it may be seen.
        let program: String?
        let kind: Kind

        /// Lower is likelier to be the application: application servers, then other HTTP speakers, then by port.
        var rank: Int {
            let servers = ["gunicorn", "uvicorn", "uwsgi", "python", "node", "ruby", "puma", "java", "php", "beam", "dotnet", "deno", "bun"]
            let isServer = servers.contains { (program ?? "").hasPrefix($0) }
            return (isServer ? 0 : 100_000) + port
        }

        var description: String {
            let own =
                switch kind {
                case .postgreSQL: "PostgreSQL"
                case .pgBouncer: "PgBouncer"
                case .redis: "Redis"
                case .http, .other: program ?? RunningServices.knownPorts[port] ?? "a program"
                }
            return "\(own) at \(kind == .http ? "http://" : "")\(authority)"
        }
    }

    /// Ports whose services are known by their number and would log a request in HTTP as an attack.
    static let knownPorts = [
        22: "SSH", 25: "SMTP", 53: "DNS", 3306: "MySQL", 5432: "PostgreSQL", 6379: "Redis", 6432: "PgBouncer", 11211: "memcached",
    ]

    /// Looks through the kernel's table of listening TCP sockets and asks each once.
    /// - Parameter ports: only these; all when there are none.
    static func find(ports: [Int]) async -> [Found] {
        let sockets = listening().filter { ports.isEmpty || ports.contains($0.0) }
        return await withTaskGroup(of: Found.self) { group in
            for (port, socket) in sockets.prefix(200) {
                group.addTask {
                    let program = program(inode: socket.inode)
                    let kind = await kind(LoopbackClient(port: port, isIPv6: socket.isIPv6Only, seconds: 3), program: program)
                    return Found(
                        port: port, authority: "\(socket.isIPv6Only ? "[::1]" : "127.0.0.1"):\(port)", program: program, kind: kind)
                }
            }
            return await group.reduce(into: []) { $0.append($1) }.sorted { $0.port < $1.port }
        }
    }

    /// The ports that something listens on, whether we asked it or not.
    static func takenPorts() -> Set<Int> { Set(listening().map(\.0)) }

    /// Asks in the protocol that the program speaks by its name, or by its port; whose name says nothing is asked in HTTP.
    private static func kind(_ client: LoopbackClient, program: String?) async -> Kind {
        // A container's port is held by a program that says nothing of what is in it.
        let isHidden = program == nil || ["docker", "rootless", "podman", "conmon", "slirp", "pasta"].contains { program?.hasPrefix($0) == true }
        switch (isHidden ? knownPorts[client.port] : program) ?? "" {
        case let name where name.hasPrefix("postgres") || name == "PostgreSQL": return await speaksPostgreSQL(client) ? .postgreSQL : .other
        case let name where name.lowercased() == "pgbouncer": return await speaksPostgreSQL(client) ? .pgBouncer : .other
        case let name where name.hasPrefix("redis-server") || name.hasPrefix("valkey-server") || name == "Redis":
            return await redis(client).map { .redis($0) } ?? .other
        case "headrace":
            return await speaksHTTP(client) ? .http : .other
        default:
            guard knownPorts[client.port] == nil else { return .other }
            if await speaksHTTP(client) { return .http }
            guard isHidden else { return .other }
            if await speaksPostgreSQL(client) { return .postgreSQL }
            return await redis(client).map { .redis($0) } ?? .other
        }
    }

    private static func speaksHTTP(_ client: LoopbackClient) async -> Bool { (try? await client.get("/", method: "HEAD")) != nil }

    /// Whether an SSLRequest is answered with yes or no: neither a login nor a line in the log comes of it.
    /// - Source: PostgreSQL's manual, 55.2.10, "SSL Session Encryption".
    private static func speaksPostgreSQL(_ client: LoopbackClient) async -> Bool {
        let answer = try? await client.say([0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F], bytesMax: 1)
        return answer == [UInt8(ascii: "S")] || answer == [UInt8(ascii: "N")]
    }

    /// - Returns: `nil` when it is none.
    private static func redis(_ client: LoopbackClient) async -> RedisSettings? {
        guard let answer = try? await client.say(Array("PING\r\nINFO memory\r\nQUIT\r\n".utf8), bytesMax: 64 << 10) else { return nil }
        return redisSettings(answers: String(decoding: answer, as: UTF8.self))
    }

    /// Reads the answers to `PING`, `INFO memory` and `QUIT`.
    /// - Returns: `nil` when they are not a Redis'.
    static func redisSettings(answers text: String) -> RedisSettings? {
        let lines = text.split(whereSeparator: \.isNewline)
        guard let first = lines.first, first == "+PONG" || first.hasPrefix("-NOAUTH") || first.hasPrefix("-DENIED") else { return nil }
        func field(_ name: String) -> String? { lines.first { $0.hasPrefix(name + ":") }.map { String($0.dropFirst(name.count + 1)) } }
        return RedisSettings(needsPassword: first.hasPrefix("-NOAUTH"), bytesMax: field("maxmemory").flatMap { Int($0) }, policy: field("maxmemory_policy"))
    }

    private struct ListeningSocket {
        var inode: String
        var isIPv6Only: Bool
    }

    /// Sockets that a connection to loopback reaches, by port.
    /// - Source: proc(5), /proc/net/tcp.
    private static func listening() -> [(Int, ListeningSocket)] {
        var sockets: [Int: ListeningSocket] = [:]
        for (file, isIPv6) in [("/proc/net/tcp", false), ("/proc/net/tcp6", true)] {
            guard let text = KernelFile.text(file) else { continue }
            for line in text.split(separator: "\n").dropFirst() {
                let parts = line.split(separator: " ", omittingEmptySubsequences: true)
                // 0A: listening.
                guard parts.count > 9, parts[3] == "0A" else { continue }
                let address = parts[1].split(separator: ":")
                guard address.count == 2, let port = Int(address[1], radix: 16) else { continue }
                let isAny = address[0].allSatisfy { $0 == "0" }
                let isLoopback = address[0] == "0100007F" || address[0] == "00000000000000000000000001000000"
                guard isAny || isLoopback, sockets[port] == nil else { continue }
                sockets[port] = ListeningSocket(inode: String(parts[9]), isIPv6Only: isIPv6 && !isAny)
            }
        }
        return sockets.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// The name of a process that holds the socket.
    private static func program(inode: String) -> String? {
        let manager = FileManager.default
        for process in (try? manager.contentsOfDirectory(atPath: "/proc")) ?? [] where Int(process) != nil {
            for descriptor in (try? manager.contentsOfDirectory(atPath: "/proc/\(process)/fd")) ?? [] {
                guard (try? manager.destinationOfSymbolicLink(atPath: "/proc/\(process)/fd/\(descriptor)")) == "socket:[\(inode)]",
                    let name = try? String(contentsOfFile: "/proc/\(process)/comm", encoding: .utf8)
                else { continue }
                return name.trimmingCharacters(in: .newlines)
            }
        }
        return nil
    }
}
