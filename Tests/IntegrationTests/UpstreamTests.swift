import Foundation
import TestSupport
import Testing

/// Groups of servers: who is asked, who is asked next when that one fails, and what a client sees of it, which is nothing.
@Suite struct UpstreamTests {
    /// An edge before a group of these origins.
    private func edge(_ origins: [ScriptedOrigin], _ lines: [String] = [], _ more: [String] = []) throws -> HeadraceProcess {
        try edge(members: origins.map(\.url), lines, more)
    }

    private func edge(members: [String], _ lines: [String] = [], _ more: [String] = []) throws -> HeadraceProcess {
        let file = try TemporaryFile(Self.configuration(members: members, lines))
        return try HeadraceProcess(["--config", file.path] + more)
    }

    private static func configuration(members: [String], _ lines: [String]) -> String {
        let group = ["edge:", "  upstreams:", "    app:", "      members: [\(members.map { "\"\($0)\"" }.joined(separator: ", "))]"]
        return (group + lines.map { "      " + $0 }).joined(separator: "\n") + "\n"
    }

    private func named(_ name: String) throws -> ScriptedOrigin {
        try ScriptedOrigin(fields: ["Cache-Control: no-store"], body: name)
    }

    /// A port on which nobody listens.
    private func deadPort() throws -> Int { try StalledOrigin().port }

    private func ask(_ edge: HeadraceProcess, _ count: Int, _ fields: [String] = []) throws -> [String] {
        try (0..<count).map { _ in try RawClient.get(port: edge.port, "/", fields).text }
    }

    // MARK: Balancing

    @Test func `requests go round the members by weight`() throws {
        let origins = try ["a", "b"].map(named)
        let edge = try edge(members: [origins[0].url + " weight=3", origins[1].url])
        let answers = try ask(edge, 40)
        #expect(answers.count { $0 == "a" } == 30 && answers.count { $0 == "b" } == 10)
        let text = try RawClient.getOwnPage(port: edge.port, "/metrics").text
        #expect(text.contains("headrace_upstream_member_requests_total{group=\"app\",member=\"127.0.0.1:\(origins[0].port)\"} 30\n"))
    }

    @Test func `the same session goes to the same member`() throws {
        let origins = try ["a", "b", "c"].map(named)
        let edge = try edge(origins, ["balancing: hash-cookie:sid"])
        var places: Set<String> = []
        for session in 0..<12 {
            let answers = Set(try ask(edge, 3, ["Cookie: x=y; sid=\(session)"]))
            #expect(answers.count == 1)
            places.formUnion(answers)
        }
        #expect(places.count > 1)
    }

    @Test(arguments: ["least-connections", "random-of-two"])
    func `who is busy gets less`(balancing: String) throws {
        let gate = ScriptedOrigin.Gate()
        let busy = try ScriptedOrigin { _ in [.waitFor(gate), .send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: "busy"))] }
        let free = try named("free")
        let edge = try edge([busy, free], ["balancing: \(balancing)"])
        // The first may have gone to either; from when one of them is held up, all others go to the free one.
        var clients: [RawClient] = []
        while busy.requestCount == 0, clients.count < 100 {
            clients.append(try RawClient(port: edge.port))
            clients.last?.send("GET /w HTTP/1.1\r\nHost: a\r\n\r\n")
            let asked = clients.count
            #expect(eventually { busy.requestCount + free.requestCount == asked })
        }
        #expect(busy.requestCount == 1)
        #expect(try Set(ask(edge, 10)) == ["free"])
        gate.open()
    }

    // MARK: Failure

    @Test(arguments: ["GET", "POST"])
    func `a member that nobody answers at costs no client anything, whatever the method`(method: String) throws {
        let origin = try named("alive")
        let edge = try edge(members: ["http://127.0.0.1:\(deadPort())", origin.url])
        for _ in 0..<10 {
            let response = try RawClient.exchange(port: edge.port, "\(method) / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
            #expect(response.status == 200 && response.text == "alive")
        }
        #expect(origin.requests.allSatisfy { $0.body == "hi" })
        #expect(try edge.metric("headrace_upstream_retries_total{group=\"app\"}") > 0)
    }

    @Test func `a member that closes without an answer is made up for, but never for a POST`() throws {
        let broken = try ScriptedOrigin { _ in [.close] }
        let origin = try named("alive")
        let edge = try edge([broken, origin], ["health: {enabled: false}"])
        #expect(try Set(ask(edge, 6)) == ["alive"])
        let put = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
        for _ in 0..<4 { #expect(try RawClient.exchange(port: edge.port, put).text == "alive") }
        #expect(origin.requests.suffix(4).allSatisfy { $0.body == "body" }, "the body is sent again with it")
        let statuses = try (0..<4).map { _ in
            try RawClient.exchange(port: edge.port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").status
        }
        #expect(statuses.sorted() == [200, 200, 502, 502])
    }

    @Test func `a member whose requests fail is put out`() throws {
        let broken = try ScriptedOrigin { _ in [.close] }
        let origin = try named("alive")
        let edge = try edge([broken, origin], ["health: {failures: 3, ejection: 1h, max_ejection: 1h}"])
        _ = try ask(edge, 30)
        #expect(broken.requestCount == 3)
        #expect(try edge.metric("headrace_upstream_member_up{group=\"app\",member=\"127.0.0.1:\(broken.port)\"}") == 0)
        #expect(try edge.metric("headrace_upstream_member_ejections_total{group=\"app\",member=\"127.0.0.1:\(broken.port)\"}") == 1)
    }

    @Test func `a status may be made up for by another member, and the last one's is the client's`() throws {
        let unwell = try ScriptedOrigin(status: "503 Service Unavailable", body: "unwell")
        let origin = try named("alive")
        let edge = try edge([unwell, origin], ["retry: {statuses: [503]}"])
        #expect(try Set(ask(edge, 6)) == ["alive"])
        let only = try self.edge([unwell], ["retry: {statuses: [503]}"])
        let response = try RawClient.get(port: only.port, "/")
        #expect(response.status == 503 && response.text == "unwell")
    }

    @Test func `retries have a budget`() throws {
        let broken = try (0..<2).map { _ in try ScriptedOrigin { _ in [.close] } }
        let edge = try edge(broken, ["health: {enabled: false}", "retry: {budget: 0%, budget_min: 0}"])
        #expect(try RawClient.get(port: edge.port, "/").status == 502)
        #expect(broken[0].requestCount + broken[1].requestCount == 1)
        #expect(try edge.metric("headrace_upstream_retries_refused_total{group=\"app\"}") == 1)
    }

    @Test func `a member that its probes call down gets nothing, and something again when it is well`() throws {
        let isWell = ScriptedOrigin.Gate()
        let sick = try ScriptedOrigin { request in
            guard request.target == "/up" else { return [.send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: "sick"))] }
            return [.send(ScriptedOrigin.response(status: isWell.isOpen ? "200 OK" : "500 Oh", body: ""))]
        }
        let origin = try named("alive")
        let edge = try edge([sick, origin], ["probe: {path: /up, interval: 50ms, rise: 2, fall: 2}"])
        let up = "headrace_upstream_member_up{group=\"app\",member=\"127.0.0.1:\(sick.port)\"}"
        #expect(try eventually { try edge.metric(up) == 0 })
        #expect(try Set(ask(edge, 6)) == ["alive"])
        isWell.open()
        #expect(try eventually { try edge.metric(up) == 1 })
        #expect(try Set(ask(edge, 6)) == ["alive", "sick"])
    }

    @Test func `who comes back begins slowly where that is said`() throws {
        let isWell = ScriptedOrigin.Gate()
        let back = try ScriptedOrigin { request in
            guard request.target == "/up" else { return [.send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: "back"))] }
            return [.send(ScriptedOrigin.response(status: isWell.isOpen ? "200 OK" : "500 Oh", body: ""))]
        }
        let other = try named("other")
        let edge = try edge([back, other], ["slow_start: 1h", "probe: {path: /up, interval: 50ms, rise: 1, fall: 1}"])
        let up = "headrace_upstream_member_up{group=\"app\",member=\"127.0.0.1:\(back.port)\"}"
        #expect(try eventually { try edge.metric(up) == 0 })
        isWell.open()
        #expect(try eventually { try edge.metric(up) == 1 })
        // A twentieth of the other's share.
        let answers = try ask(edge, 42)
        #expect(answers.count { $0 == "back" } == 2, "\(answers)")
    }

    // MARK: Deadlines and limits

    @Test func `an exchange as a whole has its deadline, all attempts together`() throws {
        let slow = try (0..<3).map { _ in try ScriptedOrigin { _ in [.wait(milliseconds: 20_000)] } }
        let edge = try edge(slow, ["first_byte_timeout: 500ms", "total_timeout: 800ms"])
        let response = try RawClient.get(port: edge.port, "/")
        #expect(response.status == 504 && response.text.contains("total-timeout"))
        #expect(slow.reduce(0) { $0 + $1.requestCount } == 2)
    }

    /// From where the client reads on its time is counted anew, also when all that it sent has been read by then: of these sizes one is
    /// just more than what a socket keeps for a client that does not read (tcp(7), `tcp_wmem`: 4 MiB).
    @Test func `an application that falls silent is given up also behind a client that was slow`() throws {
        let piece = String(repeating: "x", count: 64 << 10)
        let origin = try ScriptedOrigin { request in
            let count = Int(request.target.dropFirst()) ?? 0
            return [.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 1000000000\r\n\r\n")] + (0..<count).flatMap { _ in [.send(piece), .wait(milliseconds: 1)] }
        }
        let edge = try edge([origin], ["read_timeout: 500ms"])
        let clients = try (32..<80).map { count in
            let client = try RawClient(port: edge.port, receiveBuffer: 4096)
            client.send("GET /\(count) HTTP/1.1\r\nHost: a\r\n\r\n")
            return client
        }
        Thread.sleep(forTimeInterval: 2)
        let open = clients.enumerated().filter { !$0.element.isClosed(seconds: 20) }.map { $0.offset + 32 }
        #expect(open == [], "behind so many pieces of 64 KiB")
    }

    /// Word on the way to the answer is no answer, and the client takes its time.
    @Test func `an application that has said 103 is not late while the request is still coming`() throws {
        let origin = try ScriptedOrigin(
            readsBodies: false,
            afterHead: { $0.contains("z") ? [.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")] : [] },
            { _ in [.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")] })
        let edge = try edge([origin], ["read_timeout: 300ms"])
        let client = try RawClient(port: edge.port)
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
        #expect(try client.readResponse().status == 103)
        Thread.sleep(forTimeInterval: 1.5)
        client.send("z")
        #expect(try client.readResponse().text == "ok")
    }

    @Test func `a limit of connections holds for all event loops together, and who waits is served`() throws {
        let origin = try ScriptedOrigin { _ in
            [.wait(milliseconds: 20), .send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: "x"))]
        }
        let edge = try edge([origin], ["max_connections: 1"], ["--set", "edge.threads=3"])
        let clients = try (0..<12).map { _ in try RawClient(port: edge.port) }
        for client in clients { client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n") }
        for client in clients { #expect(try client.readResponse().text == "x") }
        #expect(try edge.metric("headrace_upstream_connections{group=\"app\"}") == 1)
        #expect(try edge.metric("headrace_edge_upstream_failures_total{reason=\"queue-timeout\"}") == 0)
    }

    @Test func `a limit of connections to each member holds, and so does that of who may wait`() throws {
        let gate = ScriptedOrigin.Gate()
        let origins = try (0..<2).map { _ in
            try ScriptedOrigin { _ in [.waitFor(gate), .send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: "x"))] }
        }
        let edge = try edge(origins, ["max_member_connections: 1", "max_waiting: 3"])
        let clients = try (0..<5).map { _ in try RawClient(port: edge.port) }
        for client in clients { client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n") }
        #expect(try eventually { try edge.metric("headrace_upstream_waiting{group=\"app\"}") == 3 })
        let refused = try RawClient.get(port: edge.port, "/one-more")
        #expect(refused.status == 503 && refused.text.contains("queue-full"))
        #expect(origins.map(\.requestCount) == [1, 1])
        gate.open()
        for client in clients { #expect(try client.readResponse().text == "x") }
        #expect(try edge.metric("headrace_upstream_connections{group=\"app\"}") <= 2)
    }

    /// As many connections as it takes wait for the application to accept them; from the next on the kernel does not answer.
    @Test func `an application that does not accept connections is not waited for longer than it may take`() throws {
        let stalled = try StalledOrigin()
        let full = try (0...StalledOrigin.waitingMax).map { _ in try RawClient(port: stalled.port) }
        defer { _ = full }
        let edge = try edge(members: ["http://127.0.0.1:\(stalled.port)"], ["connect_timeout: 300ms", "retry: {attempts: 1}"])
        let response = try RawClient.get(port: edge.port, "/")
        #expect(response.status == 504 && response.text.contains("connect-timeout"), "\(response.text)")
    }

    @Test func `a connection that nobody needs for a while is closed`() throws {
        let origin = try named("x")
        let edge = try edge([origin], ["idle_timeout: 1s"], ["--set", "edge.threads=1"])
        _ = try ask(edge, 1)
        #expect(try edge.metric("headrace_edge_upstream_connects_total") == 1)
        #expect(try eventually { try edge.metric("headrace_upstream_connections{group=\"app\"}") == 0 })
        _ = try ask(edge, 1)
        #expect(try edge.metric("headrace_edge_upstream_connects_total") == 2)
    }

    @Test func `a connection that grew too old is replaced`() throws {
        let origin = try named("x")
        let edge = try edge([origin], ["connection_lifetime: 100ms"], ["--set", "edge.threads=1"])
        let client = try RawClient(port: edge.port)
        func ask() throws {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readResponse().text == "x")
        }
        try ask()
        #expect(try eventually { try ask(); return try edge.metric("headrace_edge_upstream_connects_total") > 1 })
    }

    // MARK: Kept-alive connections

    /// Of a POST whose connection ends nobody knows whether it was carried out: that is the client's to decide (RFC 9110 §9.2.2).
    @Test func `a kept-alive connection that the application closed is nobody's error`() throws {
        let origin = try ScriptedOrigin { _ in
            [.send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: "x")), .close]
        }
        let edge = try edge([origin])
        let client = try RawClient(port: edge.port)
        for _ in 0..<50 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readResponse().status == 200)
        }
        #expect(try edge.metric("headrace_upstream_member_failures_total{group=\"app\",member=\"127.0.0.1:\(origin.port)\"}") == 0)
    }

    // MARK: Names

    @Test func `a name's addresses are the members, and change when it does`() throws {
        let origin = try named("x")
        let names = try ScriptedNameServer(["app.test": [.address("127.0.0.1")]])
        let edge = try edge(members: ["http://app.test:\(origin.port)"], ["nameserver: 127.0.0.1:\(names.port)"])
        #expect(try RawClient.get(port: edge.port, "/").text == "x")
        #expect(origin.requests[0].field("Host") == "a.example")
        names.set(["app.test": [.address("127.0.0.2")]])
        let member = { (address: String) in "headrace_upstream_member_up{group=\"app\",member=\"\(address):\(origin.port)\"}" }
        #expect(try eventually { try edge.metric(member("127.0.0.2")) == 1 && edge.metric(member("127.0.0.1")) == 0 })
        // What cannot be looked up is no reason to forget what was known.
        names.set([:])
        let asked = names.queries.count
        #expect(eventually { names.queries.count > asked + 2 })
        #expect(try edge.metric(member("127.0.0.2")) == 1)
    }

    @Test func `a name's IPv6 addresses are members, too`() throws {
        let origin = try ScriptedOrigin(host: "::1") { _ in [.send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: "six"))] }
        let names = try ScriptedNameServer(["app.test": [.address6]])
        let edge = try edge(members: ["http://app.test:\(origin.port)"], ["nameserver: 127.0.0.1:\(names.port)"])
        #expect(try ask(edge, 3) == ["six", "six", "six"])
    }

    @Test func `the targets of a service are the members, with their ports and weights`() throws {
        let origins = try ["a", "b", "c"].map(named)
        let names = try ScriptedNameServer([
            "_http._tcp.app.test": [
                .service(priority: 1, weight: 3, port: origins[0].port, target: "one.test"),
                .service(priority: 1, weight: 1, port: origins[1].port, target: "two.test"),
                .service(priority: 2, weight: 9, port: origins[2].port, target: "two.test"),
            ],
            "one.test": [.address("127.0.0.1")], "two.test": [.address("127.0.0.1")],
        ])
        let edge = try edge(members: ["srv:_http._tcp.app.test"], ["nameserver: 127.0.0.1:\(names.port)"])
        let answers = try ask(edge, 20)
        #expect(answers.count { $0 == "a" } == 15 && answers.count { $0 == "b" } == 5)
    }

    @Test func `targets of a lower priority are asked while nobody of a higher one is there, and backups likewise`() throws {
        let origins = try ["first", "second"].map(named)
        let dead = try deadPort()
        func service(_ port: Int, _ priority: Int) -> ScriptedNameServer.Record { .service(priority: priority, weight: 1, port: port, target: "one.test") }
        let names = try ScriptedNameServer([
            "_http._tcp.app.test": [service(dead, 10), service(origins[1].port, 20)], "one.test": [.address("127.0.0.1")],
        ])
        let edge = try edge(members: ["srv:_http._tcp.app.test"], ["nameserver: 127.0.0.1:\(names.port)"])
        #expect(try Set(ask(edge, 12)) == ["second"], "no request fails for it")
        names.set(["_http._tcp.app.test": [service(origins[0].port, 10), service(origins[1].port, 20)], "one.test": [.address("127.0.0.1")]])
        #expect(try eventually { try RawClient.get(port: edge.port, "/").text == "first" })
        #expect(try Set(ask(edge, 12)) == ["first"])

        let standby = try self.edge(members: ["\(origins[1].url) backup", "http://127.0.0.1:\(dead)"])
        #expect(try Set(ask(standby, 6)) == ["second"])
        let unused = try self.edge(members: ["\(origins[1].url) weight=3 backup", origins[0].url])
        #expect(try Set(ask(unused, 6)) == ["first"])
    }

    @Test func `a name that is not there yet is a 503 until it is`() throws {
        let origin = try named("x")
        let names = try ScriptedNameServer([:])
        let edge = try edge(members: ["http://app.test:\(origin.port)"], ["nameserver: 127.0.0.1:\(names.port)"])
        let response = try RawClient.get(port: edge.port, "/")
        #expect(response.status == 503 && response.text.contains("no-member"))
        names.set(["app.test": [.address("127.0.0.1")]])
        #expect(try eventually { try RawClient.get(port: edge.port, "/").status == 200 })
    }

    // MARK: Reload

    @Test func `a reload brings members and takes them, and what is known of the others stays`() throws {
        let origins = try ["a", "b", "c"].map(named)
        let file = try TemporaryFile(Self.configuration(members: origins[0...1].map(\.url), []))
        let edge = try HeadraceProcess(["--config", file.path])
        #expect(try Set(ask(edge, 6)) == ["a", "b"])
        try file.replace(Self.configuration(members: origins[1...2].map(\.url), []))
        kill(edge.processIdentifier, SIGHUP)
        #expect(try eventually { try RawClient.get(port: edge.port, "/").text == "c" })
        #expect(try Set(ask(edge, 6)) == ["b", "c"])
        let requests = "headrace_upstream_member_requests_total{group=\"app\",member=\"127.0.0.1:\(origins[1].port)\"}"
        #expect(try edge.metric(requests) >= 6)
    }

    // MARK: A real peer

    @Test(.enabled(if: Command.find("nginx") != nil, "nginx is not installed: run scripts/setup"))
    func `two nginx serve in turn, and one alone when the other is stopped`() throws {
        let servers = try ["one", "two"].map(Nginx.init)
        let edge = try edge(members: servers.map(\.url), ["probe: {path: /, interval: 50ms, fall: 2}"])
        #expect(try Set(ask(edge, 6)) == ["one", "two"])
        servers[0].stop()
        #expect(try Set(ask(edge, 10)) == ["two"], "no request fails while it is not known")
        #expect(try edge.metric("headrace_edge_upstream_failures_total{reason=\"connect-failed\"}") == 0)
    }
}
