import NIOCore
import Telemetry

/// The numbers of each group and each of its members. Labels are configured names and addresses; a group has at most
/// ``UpstreamGroup/membersMax``.
enum UpstreamMetrics {
    static func append(_ groups: [(name: String, machine: UpstreamMachine)], now: NIODeadline = .now(), to text: inout PrometheusText) {
        for (name, machine) in groups {
            text.gauge(
                "headrace_upstream_connections", help: "Open connections to the group, idle and busy.", labels: [("group", name)],
                value: Double(machine.open))
        }
        for (name, machine) in groups {
            text.gauge(
                "headrace_upstream_waiting", help: "Requests that wait for a connection to the group.", labels: [("group", name)],
                value: Double(machine.waitingCount))
        }
        for (name, machine) in groups {
            text.counter(
                "headrace_upstream_retries_total", help: "Requests that were sent to another member because one failed.",
                labels: [("group", name)], value: UInt64(machine.retries))
        }
        for (name, machine) in groups {
            text.counter(
                "headrace_upstream_retries_refused_total", help: "Requests that were not sent again because the budget was used up.",
                labels: [("group", name)], value: UInt64(machine.retriesRefused))
        }
        member("requests_total", "Requests that were given to the member.", groups, counter: { UInt64($0.requests) }, to: &text)
        member("failures_total", "Requests that failed by the member's fault.", groups, counter: { UInt64($0.failures) }, to: &text)
        member(
            "ejections_total", "Times that the member was put out because its requests failed.", groups,
            counter: { UInt64($0.health.ejections) }, to: &text)
        for (name, machine) in groups {
            for (index, member) in machine.members.enumerated() where !member.isFree {
                text.gauge(
                    "headrace_upstream_member_active", help: "Requests in progress at the member.", labels: labels(name, member),
                    value: Double(machine.active(index)))
            }
        }
        for (name, machine) in groups {
            for member in machine.members where !member.isRemoved {
                text.gauge(
                    "headrace_upstream_member_up", help: "Whether the member is given requests: not ejected, and not down by its probes.",
                    labels: labels(name, member), value: member.health.isAvailable(now: now) ? 1 : 0)
            }
        }
    }

    private static func member(
        _ name: String, _ help: String, _ groups: [(name: String, machine: UpstreamMachine)],
        counter: (UpstreamMachine.Member) -> UInt64, to text: inout PrometheusText
    ) {
        for (group, machine) in groups {
            for member in machine.members where !member.isFree {
                text.counter("headrace_upstream_member_\(name)", help: help, labels: labels(group, member), value: counter(member))
            }
        }
    }

    private static func labels(_ group: String, _ member: UpstreamMachine.Member) -> PrometheusText.Labels {
        [("group", group), ("member", member.endpoint.description)]
    }
}
