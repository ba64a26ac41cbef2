import LoadGenerator
import RESPWire
import Transport
import Testing

@testable import headrace

@Suite struct KeyspaceProbeTests {
    private static let door = SocketEndpoint.tcp(host: "10.0.0.5", port: 6379)

    private func finding(_ parts: [RESPReply], isToLead: Bool = true) -> KeyspaceProbe.Finding {
        KeyspaceProbe.finding(.array(parts), Self.door, isToLead: isToLead)
    }
    private func bulk(_ text: String) -> RESPReply { .bulk(Array(text.utf8)) }

    @Test func `a master is as it should be, and any other role is said in words`() {
        #expect(finding([bulk("master"), .integer(0), .array([])]) == .init(error: nil, note: "master"))
        let replica = [bulk("slave"), bulk("10.0.0.4"), .integer(6379), bulk("connect"), .integer(-1)]
        #expect(
            finding(replica)
                == .init(error: "10.0.0.5:6379: it takes no writes: it is a replica of 10.0.0.4:6379, without it (connect), and a master is wanted", note: nil))
        #expect(finding(replica, isToLead: false) == .init(error: nil, note: "a replica of 10.0.0.4:6379, without it (connect)"))
        #expect(finding([bulk("sentinel"), .array([])]).error?.contains("it is sentinel") == true)
    }

    @Test func `what is no answer to ROLE is a failure, and what may not be asked is none`() {
        for reply in [RESPReply.array([]), .array([.integer(1)]), .null, .simple(Array("OK".utf8)), .array([.array([])])] {
            #expect(KeyspaceProbe.finding(reply, Self.door, isToLead: true).error == "10.0.0.5:6379: its answer to ROLE is none")
        }
        #expect(finding([bulk("slave"), .null]).error?.contains("it is slave") == true)
        let refused = KeyspaceProbe.finding(.error(Array("NOPERM this user may not".utf8)), Self.door, isToLead: true)
        #expect(refused.error == nil && refused.note?.contains("NOPERM") == true)
        #expect(KeyspaceProbe.finding(.error(Array("ERR no".utf8)), Self.door, isToLead: true).error == "10.0.0.5:6379: ERR no")
    }

    @Test func `a server's own words say its version and its age, and what is none is not taken for one`() {
        let redis = KeyspaceProbe.Server(Array("# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:90061\r\n".utf8))
        #expect(redis.version == "7.0.15" && redis.upSeconds == 90_061)
        #expect(KeyspaceProbe.Server(Array("redis_version:7.2.4\nserver_name:valkey\nvalkey_version:8.1.0\n".utf8)).version == "8.1.0")
        for hostile in ["", "uptime_in_seconds:-1", "uptime_in_seconds:9223372036854775807", "uptime_in_seconds", "uptime_in_seconds:1e3"] {
            #expect(KeyspaceProbe.Server(Array(hostile.utf8)) == .init(), "\(hostile)")
        }
        #expect(KeyspaceProbe.Server(Array("redis_version:\(String(repeating: "9", count: 4000))".utf8)).version?.count == 100)
    }

    @Test func `every door counts, and where there is none it is asked inside`() {
        let found = ServiceProbes.keyspaceFinding([.init(note: "master"), .init(error: "unix:/k: gone"), .init(note: "master")]) { [] }
        #expect(found.error == "unix:/k: gone" && found.notes == ["master"])
        let full = KeyspaceProbe.Finding(error: "unix:/k has closed the connection", isClosedAtOnce: true)
        let served = ServiceProbes.keyspaceFinding([.init(note: "master"), full]) { Array("+PONG\r\n".utf8) }
        #expect(served.error == nil && served.notes == ["master", "unix:/k has closed the connection at once: it takes no more of them now"])
        #expect(ServiceProbes.keyspaceFinding([full]) { Array("-LOADING".utf8) }.error == "unix:/k has closed the connection")
        let other = ServiceProbes.keyspaceFinding([full, .init(error: "unix:/l: gone")]) { Array("+PONG\r\n".utf8) }
        #expect(other.error == "unix:/l: gone" && other.notes.count == 1)
        let inside = ServiceProbes.keyspaceFinding([]) { Array("+PONG\r\n".utf8) }
        #expect(inside.error == nil && inside.notes == ["asked past its doors"])
        #expect(ServiceProbes.keyspaceFinding([]) { Array("-LOADING".utf8) }.error == "-LOADING")
    }
}
