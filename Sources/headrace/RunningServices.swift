import Foundation

/// What listens on this machine, for `headrace init`.
enum RunningServices {
    struct Found: Sendable {
        let port: Int
        /// What to connect to: an address that reaches it, with the port.
        let authority: String
        /// The program's name, if it may be seen.
        let program: String?
        let isHTTP: Bool

        /// Lower is likelier to be the application: application servers, then other HTTP speakers, then by port.
        var rank: Int {
            let servers = ["gunicorn", "uvicorn", "uwsgi", "python", "node", "ruby", "puma", "java", "php", "beam", "dotnet", "deno", "bun"]
            let isServer = servers.contains { (program ?? "").hasPrefix($0) }
            return (isServer ? 0 : 100_000) + port
        }

        var description: String {
            let name = program ?? RunningServices.knownPorts[port] ?? "a program"
            return "\(name) at \(isHTTP ? "http://" : "")\(authority)"
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
                    let host = socket.isIPv6Only ? "[::1]" : "127.0.0.1"
                    let speaksHTTP = knownPorts[port] == nil ? (try? await LoopbackClient(port: port, isIPv6: socket.isIPv6Only, seconds: 1).get("/", method: "HEAD")) != nil : false
                    return Found(port: port, authority: "\(host):\(port)", program: program(inode: socket.inode), isHTTP: speaksHTTP)
                }
            }
            return await group.reduce(into: []) { $0.append($1) }.sorted { $0.port < $1.port }
        }
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
            guard let text = try? String(contentsOfFile: file, encoding: .utf8) else { continue }
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
