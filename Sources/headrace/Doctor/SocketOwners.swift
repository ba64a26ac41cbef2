import Foundation

/// Whose the TCP sockets of this machine are, as the kernel lists them. What belongs to other users is seen by root alone.
/// - Source: proc(5), /proc/net/tcp, /proc/PID/fd.
struct SocketOwners: Sendable {
    struct Socket: Sendable, Equatable {
        var localPort: Int
        var remotePort: Int
        var isListening: Bool
        var inode: String
    }

    struct Owner: Sendable, Equatable {
        var processIdentifier: Int32
        var name: String
    }

    private let sockets: [Socket]
    /// By inode.
    private let owners: [String: Owner]

    /// Reads the tables as they are now.
    init() {
        var sockets: [Socket] = []
        for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
            sockets += Self.sockets(KernelFile.text(file) ?? "")
        }
        self.init(sockets: sockets, owners: Self.owners())
    }

    init(sockets: [Socket], owners: [String: Owner]) {
        self.sockets = sockets
        self.owners = owners
    }

    /// Established (01) and listening (0A) ones.
    static func sockets(_ table: String) -> [Socket] {
        table.split(separator: "\n").dropFirst().compactMap { line in
            let parts = line.split(separator: " ", omittingEmptySubsequences: true)
            guard parts.count > 9, parts[3] == "01" || parts[3] == "0A", let local = port(parts[1]), let remote = port(parts[2]) else { return nil }
            return Socket(localPort: local, remotePort: remote, isListening: parts[3] == "0A", inode: String(parts[9]))
        }
    }

    private static func port(_ address: Substring) -> Int? { address.split(separator: ":").last.flatMap { Int($0, radix: 16) } }

    private static func owners() -> [String: Owner] {
        let manager = FileManager.default
        var owners: [String: Owner] = [:]
        for process in (try? manager.contentsOfDirectory(atPath: "/proc")) ?? [] {
            guard let identifier = Int32(process), let descriptors = try? manager.contentsOfDirectory(atPath: "/proc/\(process)/fd") else { continue }
            let inodes = descriptors.compactMap { descriptor -> String? in
                guard let target = try? manager.destinationOfSymbolicLink(atPath: "/proc/\(process)/fd/\(descriptor)"), target.hasPrefix("socket:[") else {
                    return nil
                }
                return String(target.dropFirst(8).dropLast())
            }
            guard !inodes.isEmpty, let name = try? String(contentsOfFile: "/proc/\(process)/comm", encoding: .utf8) else { continue }
            for inode in inodes { owners[inode] = Owner(processIdentifier: identifier, name: name.trimmingCharacters(in: .newlines)) }
        }
        return owners
    }

    /// Who listens on a port.
    func listener(_ port: Int) -> Owner? {
        sockets.lazy.filter { $0.isListening && $0.localPort == port }.compactMap { owners[$0.inode] }.first
    }

    /// All processes that listen on a port: workers share their parent's socket.
    static func listeners(port: Int) -> [Int32] {
        let sockets = ["/proc/net/tcp", "/proc/net/tcp6"].flatMap { Self.sockets(KernelFile.text($0) ?? "") }
        let inodes = Set(sockets.filter { $0.isListening && $0.localPort == port }.map { "socket:[\($0.inode)]" })
        guard !inodes.isEmpty else { return [] }
        let manager = FileManager.default
        return ((try? manager.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { Int32($0) }.filter { process in
            let descriptors = (try? manager.contentsOfDirectory(atPath: "/proc/\(process)/fd")) ?? []
            return descriptors.contains { (try? manager.destinationOfSymbolicLink(atPath: "/proc/\(process)/fd/\($0)")).map(inodes.contains) == true }
        }
    }

    /// Whose the near end of a connection is.
    func owner(localPort: Int, remotePort: Int) -> Owner? {
        sockets.lazy.filter { !$0.isListening && $0.localPort == localPort && $0.remotePort == remotePort }.compactMap { owners[$0.inode] }.first
    }
}
