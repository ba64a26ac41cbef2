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
            if let fixed = fixed(member.address) { return [.init(endpoint: fixed, weight: member.weight)] }
            return (answers[member.address]?.endpoints ?? []).map {
                let weight = $0.weight.multipliedReportingOverflow(by: member.weight)
                return .init(endpoint: $0.endpoint, weight: weight.overflow ? weightMax : min(weight.partialValue, weightMax))
            }
        }
    }

    private static let weightMax = 1 << 20

    /// The targets that are to be used of an SRV record set: those of the lowest priority number.
    /// - Source: RFC 2782: a target `.` says that there is no such service; a weight of 0 is little, not nothing.
    static func targets(_ message: DNSMessage) -> (targets: [(host: String, port: Int, weight: Int)], seconds: UInt32?) {
        var best = UInt16.max
        for case .service(let priority, _, _, _, _) in message.records { best = min(best, priority) }
        var targets: [(host: String, port: Int, weight: Int)] = []
        var least: UInt32?
        for case .service(let priority, let weight, let port, let target, let seconds) in message.records
        where priority == best && !target.isEmpty && port > 0 {
            targets.append((target, Int(port), max(1, Int(weight))))
            least = min(least ?? seconds, seconds)
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
