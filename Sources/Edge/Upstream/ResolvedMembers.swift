import NIOCore
import Transport

/// What a group's members are once their names were looked up. No I/O.
struct ResolvedMembers: Equatable, Sendable {
    /// What the look-up of one name gave.
    struct Answer: Equatable, Sendable {
        var endpoints: [UpstreamMachine.Resolved]
        /// For how long it holds, if that was said.
        var seconds: UInt32?
    }

    /// The addresses that need no look-up: of Unix sockets, of IP addresses, and of `localhost`.
    ///
    /// The last one is left as a name: its two addresses are one machine's, of which the application mostly listens on one.
    static func fixed(_ address: UpstreamGroup.Address) -> SocketEndpoint? {
        switch address {
        case .endpoint(.unix(let path)): .unix(path: path)
        case .endpoint(.tcp(let host, let port)) where isAddress(host) || host.lowercased() == "localhost": .tcp(host: host, port: port)
        case .endpoint(.tcp), .service: nil
        }
    }

    static func isAddress(_ host: String) -> Bool { (try? SocketAddress(ipAddress: host, port: 0)) != nil }

    /// - Parameter answers: of the names that were looked up; one that is missing has no members.
    static func list(_ group: UpstreamGroup, _ answers: [UpstreamGroup.Address: Answer]) -> [UpstreamMachine.Resolved] {
        group.members.flatMap { member -> [UpstreamMachine.Resolved] in
            let rank = member.isBackup ? backupRank : 0
            let secureName = secureName(member, group)
            if let fixed = fixed(member.address) { return [.init(endpoint: fixed, secureName: secureName, weight: member.weight, rank: rank)] }
            return (answers[member.address]?.endpoints ?? []).map {
                let weight = $0.weight.multipliedReportingOverflow(by: member.weight)
                return .init(
                    endpoint: $0.endpoint, secureName: secureName, weight: weight.overflow ? weightMax : min(weight.partialValue, weightMax), rank: $0.rank + rank)
            }
        }
    }

    /// The name that a member's certificate has to have, empty for its address; `nil` without TLS.
    private static func secureName(_ member: UpstreamGroup.Member, _ group: UpstreamGroup) -> String? {
        guard member.isSecure else { return nil }
        if let name = group.tls.serverName { return name }
        guard case .endpoint(.tcp(let host, _)) = member.address, !isAddress(host) else { return "" }
        return host
    }

    private static let weightMax = 1 << 20
    /// Behind all that an SRV record set can have before it.
    private static let backupRank = DNSMessage.recordsMax

    /// A server of an SRV record set.
    struct Target: Equatable {
        var host: String
        var port: Int
        var weight: Int
        /// 0 for the lowest priority number that there is, 1 for the next.
        var rank: Int
    }

    /// The targets of an SRV record set.
    /// - Source: RFC 2782: a target `.` says that there is no such service; a weight of 0 is little, not nothing; who has a higher priority
    ///   number is asked when nobody of a lower one can be reached.
    static func targets(_ message: DNSMessage) -> (targets: [Target], seconds: UInt32?) {
        var found: [(priority: UInt16, target: Target)] = []
        var least: UInt32?
        for case .service(let priority, let weight, let port, let target, let seconds) in message.records where !target.isEmpty && port > 0 {
            found.append((priority, Target(host: target, port: Int(port), weight: max(1, Int(weight)), rank: 0)))
            least = min(least ?? seconds, seconds)
        }
        let priorities = Set(found.map(\.priority)).sorted()
        let targets = found.map { priority, target in
            var target = target
            target.rank = priorities.firstIndex(of: priority) ?? 0
            return target
        }
        return (targets, least)
    }

    /// When to look up again: as the records say, but not more often than every second and not more rarely than the group wants.
    static func interval(_ answers: [Answer], _ group: UpstreamGroup) -> TimeAmount {
        let least = answers.compactMap(\.seconds).min()
        guard let least else { return group.resolveInterval }
        return max(.seconds(1), min(.seconds(Int64(least)), group.resolveInterval))
    }
}
