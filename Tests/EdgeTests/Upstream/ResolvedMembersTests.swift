import NIOCore
import Testing

@testable import Edge

@Suite struct ResolvedMembersTests {
    @Test func `addresses, sockets and localhost need no look-up`() {
        #expect(ResolvedMembers.fixed(.endpoint(.tcp(host: "10.0.0.1", port: 80))) != nil)
        #expect(ResolvedMembers.fixed(.endpoint(.tcp(host: "::1", port: 80))) != nil)
        #expect(ResolvedMembers.fixed(.endpoint(.tcp(host: "LocalHost", port: 80))) != nil)
        #expect(ResolvedMembers.fixed(.endpoint(.unix(path: "/run/a"))) == .unix(path: "/run/a"))
        #expect(ResolvedMembers.fixed(.endpoint(.tcp(host: "app.internal", port: 80))) == nil)
        #expect(ResolvedMembers.fixed(.service("_http._tcp.app.internal")) == nil)
    }

    @Test func `each address of a name is a member with its weight; a service's weights are multiplied`() {
        var group = UpstreamGroup(members: [
            .init(.tcp(host: "app.internal", port: 80), weight: 3), .init(service: "_http._tcp.x", weight: 2),
            .init(.unix(path: "/run/a")), .init(.tcp(host: "unknown.internal", port: 1)),
        ])
        let answers: [UpstreamGroup.Address: ResolvedMembers.Answer] = [
            group.members[0].address: .init(endpoints: [.init(endpoint: .tcp(host: "10.0.0.1", port: 80)), .init(endpoint: .tcp(host: "fd00::1", port: 80))]),
            group.members[1].address: .init(endpoints: [.init(endpoint: .tcp(host: "10.0.0.9", port: 81), weight: 5)]),
        ]
        #expect(ResolvedMembers.list(group, answers).map(\.weight) == [3, 3, 10, 1])
        group.members[1].weight = .max
        #expect(ResolvedMembers.list(group, answers)[2].weight == 1 << 20, "a product that is too large is only large")
    }

    @Test func `a backup ranks behind all others, and its service's own ranks stay`() {
        let group = UpstreamGroup(members: [
            .init(service: "_http._tcp.x", isBackup: true), .init(.unix(path: "/run/a"), isBackup: true), .init(service: "_http._tcp.x"), .init(.unix(path: "/run/b")),
        ])
        let endpoints = (0..<2).map { UpstreamMachine.Resolved(endpoint: .tcp(host: "10.0.0.\($0)", port: 80), rank: $0) }
        let ranks = ResolvedMembers.list(group, [group.members[0].address: .init(endpoints: endpoints)]).map(\.rank)
        #expect(ranks == [256, 257, 256, 0, 1, 0])
    }

    @Test func `records are looked up again when they say, within bounds`() {
        var group = UpstreamGroup(members: [])
        group.resolveInterval = .seconds(30)
        func interval(_ seconds: [UInt32?]) -> TimeAmount {
            ResolvedMembers.interval(seconds.map { .init(endpoints: [], seconds: $0) }, group)
        }
        #expect(interval([]) == .seconds(30) && interval([nil]) == .seconds(30))
        #expect(interval([5, 20, nil]) == .seconds(5))
        #expect(interval([0]) == .seconds(1) && interval([86_400]) == .seconds(30))
    }
}
