import TestSupport
import Testing

@testable import Keyspace

/// `CLIENT`, `RESET`, `QUIT`: what a client says about itself, and about others.
@Suite(.serialized) struct ClientCommandTests {
    @Test func `CLIENT TRACKINGINFO says what CLIENT CACHING said`() {
        let talk = Conversation()
        let flags = { (talk.line("CLIENT TRACKINGINFO").split(separator: "|").map(String.init)).filter { !$0.hasPrefix("$") && !$0.hasPrefix("*") } }
        #expect(talk.line("CLIENT TRACKING ON OPTIN OPTOUT") == "-ERR You can't specify both OPTIN mode and OPTOUT mode|")
        #expect(talk.line("CLIENT TRACKING ON OPTIN NOLOOP") == "+OK|" && talk.line("CLIENT CACHING YES") == "+OK|")
        #expect(flags() == ["flags", "on", "optin", "caching-yes", "noloop", "redirect", ":0", "prefixes"])
        _ = talk.line("GET k")
        #expect(flags() == ["flags", "on", "optin", "noloop", "redirect", ":0", "prefixes"])
        #expect(talk.line("CLIENT TRACKING OFF") == "+OK|" && talk.line("CLIENT TRACKING ON OPTOUT") == "+OK|" && talk.line("CLIENT CACHING NO") == "+OK|")
        #expect(flags() == ["flags", "on", "optout", "caching-no", "redirect", ":0", "prefixes"])
    }

    @Test func `CLIENT LIST takes any number for an ID`() {
        let talk = Conversation()
        #expect(talk.line("CLIENT LIST ID 0").hasSuffix("|") && !talk.line("CLIENT LIST ID 0 -1").contains("id="))
        #expect(talk.line("CLIENT LIST ID 0 1").contains("id=1 ") && talk.line("CLIENT LIST ID x") == "-ERR Invalid client ID|")
    }

    private func fields(_ line: String) -> [String: String] {
        Dictionary(
            line.split(separator: " ").map { word in
                let sides = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                return (String(sides[0]), sides.count == 2 ? String(sides[1]) : "")
            }, uniquingKeysWith: { $1 })
    }

    /// As another client sees it.
    private func seen(_ it: Conversation, _ id: Int) -> [String: String] {
        let text = it.line("CLIENT LIST ID \(id)", by: 99)
        return fields(String(text.split(separator: "|").last ?? "").trimmingCharacters())
    }

    @Test func `who asks about itself is at this command, and in a transaction at its EXEC`() {
        let it = Conversation()
        #expect(it.line("CLIENT INFO").contains(" multi=-1 ") && it.line("CLIENT INFO").contains(" cmd=client|info "))
        for command in ["MULTI", "SET a 1", "CLIENT INFO"] { _ = it.line(command) }
        let text = it.line("EXEC")
        #expect(text.contains(" flags=x ") && text.contains(" multi=2 ") && text.contains(" cmd=exec "), "\(text)")
        #expect(it.line("CLIENT INFO").contains(" flags=N ") && it.line("CLIENT INFO").contains(" multi=-1 "))
    }

    @Test func `CLIENT LIST tells what each is doing`() {
        let it = Conversation()
        #expect(it.line("CLIENT SETNAME app") == "+OK|" && it.line("CLIENT GETNAME") == "$3|app|")
        #expect(it.line("CLIENT SETINFO lib-name redis-py") == "+OK|" && it.line("CLIENT SETINFO lib-ver 8.0") == "+OK|")
        #expect(it.line("CLIENT SETNAME \u{7}").hasPrefix("-ERR Client names cannot contain") && it.line("CLIENT SETINFO lib x").hasPrefix("-ERR Unrecognized option"))
        #expect(it.line("SELECT 3") == "+OK|" && it.line("CLIENT ID") == ":1|")
        var line = seen(it, 1)
        #expect(line["name"] == "app" && line["lib-name"] == "redis-py" && line["lib-ver"] == "8.0" && line["db"] == "3" && line["user"] == "default")
        #expect(line["flags"] == "N" && line["multi"] == "-1" && line["resp"] == "2" && line["redir"] == "-1")
        for command in ["MULTI", "SET a 1", "SET b 2"] { _ = it.line(command) }
        line = seen(it, 1)
        #expect(line["flags"] == "x" && line["multi"] == "2")
        #expect(it.line("RESET") == "+RESET|" && it.line("CLIENT NO-EVICT ON") == "+OK|" && it.line("CLIENT NO-TOUCH ON") == "+OK|")
        line = seen(it, 1)
        #expect(line["flags"] == "eT" && line["multi"] == "-1" && line["name"] == "" && line["db"] == "0")
        _ = it.line("SUBSCRIBE a b", by: 2)
        _ = it.line("PSUBSCRIBE c*", by: 2)
        _ = it.line("SSUBSCRIBE d", by: 2)
        line = seen(it, 2)
        #expect(line["flags"] == "P" && line["sub"] == "2" && line["psub"] == "1" && line["ssub"] == "1")
        #expect(it.line("CLIENT TRACKING ON BCAST REDIRECT 1", by: 3) == "+OK|")
        line = seen(it, 3)
        #expect(line["flags"] == "tB" && line["redir"] == "1")
        #expect(it.line("CLIENT TRACKINGINFO", by: 3) == "*6|$5|flags|*2|$2|on|$5|bcast|$8|redirect|:1|$8|prefixes|*1|$0||")
        #expect(it.line("INFO clients", by: 99).contains("tracking_clients:1|"))
        _ = it.line("MONITOR", by: 4)
        #expect(seen(it, 4)["flags"] == "O")
        #expect(it.line("CLIENT LIST TYPE pubsub", by: 99).contains("id=2 ") && !it.line("CLIENT LIST TYPE pubsub", by: 99).contains("id=1 "))
        #expect(it.line("CLIENT LIST TYPE x", by: 99) == "-ERR Unknown client type 'x'|" && it.line("CLIENT LIST ID x", by: 99) == "-ERR Invalid client ID|")
    }

    @Test func `CLIENT NO-TOUCH reads without a trace, TOUCH leaves one`() {
        let it = Conversation()
        _ = it.line("SET k v")
        it.now += 50_000
        #expect(it.line("CLIENT NO-TOUCH ON", by: 2) == "+OK|")
        #expect(it.line("GET k", by: 2) == "$1|v|" && it.say("EVAL", "return redis.call('get', 'k')", "0", by: 2) == "$1|v|")
        #expect(it.line("APPEND k w", by: 2) == ":2|", "what is written changes, and counts as no use")
        #expect(it.line("OBJECT IDLETIME k") == ":49|" || it.line("OBJECT IDLETIME k") == ":50|")
        #expect(it.line("TOUCH k", by: 2) == ":1|" && it.line("OBJECT IDLETIME k") == ":0|")
        it.now += 50_000
        #expect(it.line("CLIENT NO-TOUCH OFF", by: 2) == "+OK|" && it.line("CLIENT NO-TOUCH MAYBE", by: 2) == "-ERR syntax error|")
        #expect(it.line("GET k", by: 2).hasPrefix("$") && it.line("OBJECT IDLETIME k") == ":0|")
    }

    @Test func `RESET is a new connection on the old one`() {
        let it = Conversation { $0.password = "secret" }
        #expect(it.line("AUTH secret") == "+OK|" && it.line("HELLO 3").hasPrefix("%7|") && it.line("SELECT 5") == "+OK|")
        _ = it.line("WATCH k")
        _ = it.line("CLIENT TRACKING ON")
        _ = it.line("SUBSCRIBE c")
        _ = it.line("MULTI")
        #expect(it.line("RESET") == "+RESET|")
        let session = it.client(1).session
        #expect(session.database == 0 && !session.isRESP3 && session.transaction == nil && session.watched.isEmpty && !session.isTracking && !session.isSubscribed)
        #expect(it.keyspace.shards.allSatisfy { $0.watches.isEmpty } && it.keyspace.hub.tracking.withLock { $0.isOff } && it.keyspace.hub.pubSub.withLock { $0.isQuiet })
        #expect(it.line("GET k") == "-NOAUTH Authentication required.|")
    }

    @Test func `CLIENT REPLY OFF answers nothing, SKIP leaves one out, ON is back`() async throws {
        let served = try await ServedKeyspace()
        let client = try RawClient(port: served.port)
        client.send("SET a 1\r\nCLIENT REPLY OFF\r\nSET a 2\r\nNOSUCH\r\nBLPOP none 0.01\r\nCLIENT REPLY ON\r\nGET a\r\n")
        client.send("CLIENT REPLY SKIP\r\nINCR a\r\nINCR a\r\nECHO end\r\n")
        #expect(eventually(seconds: 30) { client.peek().contains("end") })
        #expect(client.peek() == "+OK\r\n+OK\r\n$1\r\n2\r\n:4\r\n$3\r\nend\r\n")
        await served.stop()
    }

    @Test func `who speaks HTTP is closed, and nothing of what it sent is carried out`() throws {
        for line in ["POST / HTTP/1.1", "Host: localhost", "post x"] {
            let it = Conversation()
            #expect(it.line(line) == "" && it.client(1).session.isClosing, "\(line)")
            #expect(it.line("POSTS x", by: 2).hasPrefix("-ERR unknown command") && !it.client(2).session.isClosing)
        }
    }

    @Test func `CLIENT PAUSE WRITE is also about scripts, transactions and messages`() {
        let pause = ClientPause()
        pause.begin(until: .max, isForWrites: true)
        func concerns(_ name: String) -> Bool { Array(name.utf8).withUnsafeBytes { pause.concerns(CommandTable.shared.command($0)) } }
        for name in ["set", "exec", "eval", "evalsha", "publish", "spublish"] { #expect(concerns(name), "\(name)") }
        for name in ["get", "eval_ro", "evalsha_ro", "multi", "subscribe", "client"] { #expect(!concerns(name), "\(name)") }
    }

    @Test func `who asks for nothing is closed after timeout, and not who listens or waits`() async throws {
        let served = try await ServedKeyspace()
        let (idle, listener, waiter) = (try RawClient(port: served.port), try RawClient(port: served.port), try RawClient(port: served.port))
        listener.send("SUBSCRIBE c\r\n")
        waiter.send("BLPOP q 0\r\n")
        #expect(eventually(seconds: 30) { listener.peek().contains("subscribe") })
        #expect(try served.client().call("CONFIG", "SET", "timeout", "1") == .status("OK"))
        #expect(
            eventually(seconds: 30) {
                _ = idle.peek()
                return idle.isClosedByPeer
            })
        #expect(try served.client().call("RPUSH", "q", "v") == .integer(1))
        #expect(eventually(seconds: 30) { waiter.peek().contains("$1\r\nv\r\n") })
        #expect(try served.client().call("PUBLISH", "c", "m") == .integer(1))
        await served.stop()
    }

    @Test func `CLIENT INFO has both ends of the connection`() async throws {
        let served = try await ServedKeyspace()
        let client = try served.client()
        #expect(eventually { (try? client.call("CLIENT", "INFO"))?.text?.contains(" laddr=127.0.0.1:\(served.port) ") == true })
        #expect(try client.call("CLIENT", "KILL", "LADDR", "127.0.0.1:1", "SKIPME", "no") == .integer(0))
        await served.stop()
    }

    @Test func `CLIENT PAUSE keeps writes waiting, or all commands, until its end or UNPAUSE`() async throws {
        let served = try await ServedKeyspace()
        let (operator_, client) = (try served.client(), try RawClient(port: served.port))
        let reader = try served.client()
        #expect(try operator_.call("CLIENT", "PAUSE", "600000", "WRITE") == .status("OK"))
        client.send("SET k v\r\n")
        #expect(try reader.call("GET", "k") == .null, "reads go on")
        // Somebody else's write, which came later, waits as well; then both are done.
        #expect(client.peek() == "")
        #expect(try operator_.call("CLIENT", "UNPAUSE") == .status("OK"))
        #expect(eventually(seconds: 30) { client.peek() == "+OK\r\n" })
        #expect(try operator_.call("CLIENT", "PAUSE", "600000") == .status("OK"))
        client.send("GET k\r\n")
        #expect(try operator_.call("CLIENT", "LIST").text?.contains("id=") == true, "CLIENT goes on, so that somebody can end it")
        #expect(client.peek() == "+OK\r\n")
        #expect(try operator_.call("CLIENT", "PAUSE", "1", "ALL") == .status("OK"))
        #expect(eventually(seconds: 30) { client.peek() == "+OK\r\n$1\r\nv\r\n" }, "the pause ends by itself")
        for words in [["x"], ["-1"], ["1", "SOME"]] {
            guard case .error = try operator_.call((["CLIENT", "PAUSE"] + words).map(octets)) else {
                Issue.record("\(words) was taken")
                continue
            }
        }
        await served.stop()
    }

    @Test func `CLIENT UNBLOCK ends another's wait, as a timeout or with an error`() async throws {
        let served = try await ServedKeyspace()
        let (waiter, other) = (try served.client(), try served.client())
        let id = try waiter.call("CLIENT", "ID").integer ?? 0
        for (reason, answer) in [(["TIMEOUT"], RedisClient.Reply.null), (["ERROR"], .error("UNBLOCKED client unblocked via CLIENT UNBLOCK")), ([], .null)] {
            try waiter.send(["BLPOP", "none", "0"].map(octets))
            #expect(try eventually(seconds: 30) { try other.call("CLIENT", "LIST", "ID", "\(id)").text?.contains("flags=b ") == true })
            #expect(try other.call((["CLIENT", "UNBLOCK", "\(id)"] + reason).map(octets)) == .integer(1))
            #expect(try waiter.reply() == answer)
        }
        #expect(try other.call("CLIENT", "UNBLOCK", "\(id)") == .integer(0), "who does not wait is not unblocked")
        await served.stop()
    }

    @Test func `CLIENT KILL ends connections by their address, ID, user and type, QUIT its own`() async throws {
        let served = try await ServedKeyspace()
        let killer = try served.client()
        func gone(_ victim: RedisClient) -> Bool { eventually(seconds: 30) { (try? victim.call("PING")) == nil } }
        let first = try served.client()
        let id = try first.call("CLIENT", "ID").integer ?? 0
        #expect(try killer.call("CLIENT", "KILL", "ID", "\(id)") == .integer(1) && gone(first))
        let second = try served.client()
        let info = fields(try second.call("CLIENT", "INFO").text ?? "")
        #expect(try killer.call("CLIENT", "KILL", info["addr"] ?? "") == .status("OK") && gone(second))
        #expect(try killer.call("CLIENT", "KILL", "1.2.3.4:5") == .error("ERR No such client"))
        let subscriber = try served.client()
        try subscriber.call("SUBSCRIBE", "c")
        #expect(try killer.call("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes") == .integer(1) && gone(subscriber))
        try killer.call("ACL", "SETUSER", "app", "on", "nopass", "~*", "+@all")
        let user = try served.client()
        #expect(try user.call("AUTH", "app", "any") == .status("OK"))
        #expect(try killer.call("CLIENT", "KILL", "USER", "app", "ADDR", fields(try user.call("CLIENT", "INFO").text ?? "")["addr"] ?? "") == .integer(1) && gone(user))
        #expect(try killer.call("CLIENT", "KILL", "ID", "0") == .error("ERR client-id should be greater than 0"))
        let leaving = try served.client()
        #expect(try leaving.call("QUIT") == .status("OK") && gone(leaving))
        #expect(try killer.call("PING") == .status("PONG"))
        await served.stop()
    }

    @Test func `HELLO says who is there, names and authenticates in one go`() {
        let it = Conversation { $0.password = "secret" }
        #expect(it.line("HELLO 3").hasPrefix("-NOAUTH HELLO must be called"))
        #expect(it.line("HELLO 3 AUTH default wrong").hasPrefix("-WRONGPASS"))
        #expect(it.line("HELLO 3 AUTH default secret SETNAME me").contains("$7|version|$5|7.2.5|$5|proto|:3|"))
        #expect(it.line("CLIENT GETNAME") == "$2|me|" && it.line("HELLO x") == "-ERR Protocol version is not an integer or out of range|")
        #expect(it.line("HELLO 2 NOSUCH") == "-ERR Syntax error in HELLO option 'NOSUCH'|")
    }
}

extension String {
    /// Without the newline that ends a line of `CLIENT LIST`.
    fileprivate func trimmingCharacters() -> String { String(drop { $0.isNewline }).split(whereSeparator: \.isNewline).first.map(String.init) ?? "" }
}
