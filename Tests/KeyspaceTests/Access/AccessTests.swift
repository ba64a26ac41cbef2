import Testing

@testable import Keyspace

/// `ACL`: who may do what. The texts are those of Redis 7.2.
@Suite struct AccessTests {
    /// A second client that has said who it is.
    private func talk(_ rules: String..., as user: String = "app") -> Conversation {
        let talk = Conversation()
        #expect(talk.line("ACL SETUSER \(user) on >secret \(rules.joined(separator: " "))") == "+OK|")
        #expect(talk.line("AUTH \(user) secret", by: 2) == "+OK|")
        #expect(talk.line("ACL WHOAMI", by: 2).hasSuffix("no permissions to run the 'acl' command|") || rules.contains("+@all"))
        return talk
    }

    @Test func `a password is asked for, and a wrong one or an unknown user is refused`() {
        let talk = Conversation { $0.password = "open" }
        #expect(talk.line("GET k") == "-NOAUTH Authentication required.|")
        #expect(talk.line("AUTH closed") == "-WRONGPASS invalid username-password pair or user is disabled.|")
        #expect(talk.line("AUTH nobody open") == "-WRONGPASS invalid username-password pair or user is disabled.|")
        #expect(talk.line("AUTH open") == "+OK|" && talk.line("GET k") == "$-1|")
        #expect(talk.line("CONFIG GET requirepass") == "*2|$11|requirepass|$4|open|")
        #expect(talk.line("CONFIG SET requirepass other") == "+OK|")
        #expect(talk.line("AUTH default open", by: 2).hasPrefix("-WRONGPASS") && talk.line("AUTH default other", by: 2) == "+OK|")
        #expect(talk.line("ACL SETUSER app on >secret +@all ~*") == "+OK|" && talk.line("ACL SETUSER app off") == "+OK|")
        #expect(talk.line("AUTH app secret", by: 3).hasPrefix("-WRONGPASS"))
        #expect(talk.line("CONFIG SET requirepass \"\"").hasPrefix("+OK"))
    }

    @Test func `commands are allowed by name, by category and by subcommand`() {
        let talk = talk("~*", "+@read", "-get", "+set", "+config|get")
        let refused = "-NOPERM User app has no permissions to run the"
        #expect(talk.line("SET k v", by: 2) == "+OK|" && talk.line("STRLEN k", by: 2) == ":1|")
        #expect(talk.line("GET k", by: 2) == "\(refused) 'get' command|")
        #expect(talk.line("DEL k", by: 2) == "\(refused) 'del' command|")
        #expect(talk.line("CONFIG GET maxclients", by: 2).hasPrefix("*2|"))
        #expect(talk.line("CONFIG SET maxmemory 1", by: 2) == "\(refused) 'config' command|")
        // A change is for those who are connected, too.
        #expect(talk.line("ACL SETUSER app +@all -@dangerous") == "+OK|")
        #expect(talk.line("GET k", by: 2) == "$1|v|" && talk.line("FLUSHALL", by: 2) == "\(refused) 'flushall' command|")
        #expect(talk.line("KEYS *", by: 2) == "\(refused) 'keys' command|")
        #expect(talk.line("ACL SETUSER app nocommands") == "+OK|" && talk.line("PING", by: 2) == "\(refused) 'ping' command|")
    }

    @Test func `keys are allowed by pattern, for reading, for writing or for both`() {
        let talk = talk("~app:*", "%R~shared:*", "%W~log:*", "+@all")
        let refused = "-NOPERM No permissions to access a key|"
        #expect(talk.line("SET app:1 v", by: 2) == "+OK|" && talk.line("GET app:1", by: 2) == "$1|v|")
        #expect(talk.line("GET shared:1", by: 2) == "$-1|" && talk.line("SET shared:1 v", by: 2) == refused)
        #expect(talk.line("SET log:1 v", by: 2) == "+OK|" && talk.line("GET log:1", by: 2) == refused)
        #expect(talk.line("SET log:1 w GET", by: 2) == refused && talk.line("INCR log:2", by: 2) == refused)
        #expect(talk.line("LPUSH log:3 v", by: 2) == ":1|" && talk.line("LPOP log:3", by: 2) == refused)
        #expect(talk.line("MGET app:1 other", by: 2) == refused && talk.line("GET other", by: 2) == refused)
        #expect(talk.line("COPY app:1 log:4", by: 2) == ":1|" && talk.line("COPY log:4 app:2", by: 2) == refused)
        #expect(talk.line("RENAME shared:1 app:3", by: 2) == refused)
        #expect(talk.line("SUNIONSTORE log:5 app:5 shared:5", by: 2) == ":0|")
        #expect(talk.line("SUNIONSTORE app:5 log:5", by: 2) == refused)
        // SORT reads by patterns that no rule knows of.
        #expect(talk.line("RPUSH app:list 1", by: 2) == ":1|" && talk.line("SORT app:list", by: 2) == "*1|$1|1|")
        #expect(talk.line("SORT app:list BY nosort GET secret:*", by: 2) == "-ERR GET option of SORT denied due to insufficient ACL permissions|")
        #expect(talk.line("SORT app:list BY secret:*", by: 2) == "-ERR BY option of SORT denied due to insufficient ACL permissions|")
        // In a transaction the command is refused when it is queued; in a script, when it is called.
        #expect(talk.line("MULTI", by: 2) == "+OK|" && talk.line("GET other", by: 2) == refused)
        #expect(talk.line("EXEC", by: 2) == "-EXECABORT Transaction discarded because of previous errors.|")
        #expect(talk.say("EVAL", "return redis.pcall('get', 'other')", "0", by: 2).contains("No permissions to access a key"))
        #expect(talk.say("EVAL", "return redis.call('get', KEYS[1])", "1", "app:1", by: 2) == "$1|v|")
    }

    @Test func `channels are allowed by pattern`() {
        let talk = talk("allkeys", "resetchannels", "&news:*", "+@all")
        let refused = "-NOPERM No permissions to access a channel|"
        #expect(talk.line("PUBLISH news:1 m", by: 2) == ":0|" && talk.line("PUBLISH other m", by: 2) == refused)
        #expect(talk.line("SUBSCRIBE news:1 other", by: 2) == refused)
        #expect(talk.line("PSUBSCRIBE news:1*", by: 2) == refused && talk.line("PSUBSCRIBE news:*", by: 2).hasPrefix("*3|"))
    }

    @Test func `users are listed, described, tried and deleted`() {
        let talk = Conversation()
        #expect(talk.line("ACL LIST") == "*1|$51|user default on nopass sanitize-payload ~* &* +@all|")
        #expect(talk.line("ACL SETUSER app >p ~a:* %R~b:* &c +get +@list -lpop") == "+OK|")
        let hash = AccessRules.hash(Array("p".utf8))
        #expect(hash == "148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940")
        #expect(talk.line("ACL LIST").contains("user app off sanitize-payload #\(hash) ~a:* %R~b:* resetchannels &c -@all +get +@list -lpop|"))
        #expect(talk.line("ACL GETUSER app").contains("$8|commands|$30|-@all +get +@list -lpop|") || talk.line("ACL GETUSER app").contains("-@all +get +@list -lpop"))
        #expect(talk.line("ACL GETUSER nobody") == "$-1|")
        #expect(talk.line("ACL USERS") == "*2|$3|app|$7|default|")
        #expect(talk.line("ACL DRYRUN app GET a:1") == "+OK|")
        #expect(talk.line("ACL DRYRUN app GET x") == "$58|User app has no permissions to access the 'x' key|" || talk.line("ACL DRYRUN app GET x").contains("the 'x' key"))
        #expect(talk.line("ACL SETUSER app #\(hash.dropLast())").contains("exactly 64 characters"))
        #expect(talk.line("ACL SETUSER app +nosuch") == "-ERR Error in ACL SETUSER modifier '+nosuch': Unknown command or category name in ACL|")
        #expect(talk.line("ACL SETUSER app -config|sett").hasPrefix("-ERR Error in ACL SETUSER modifier '-config|sett': Unknown command"))
        #expect(talk.line("ACL SETUSER app -CONFIG|Set") == "+OK|")
        #expect(talk.line("ACL SETUSER app ~x:* wrong") == "-ERR Error in ACL SETUSER modifier 'wrong': Syntax error|")
        #expect(!talk.line("ACL LIST").contains("~x:*"), "all rules or none")
        #expect(talk.line("ACL SETUSER app on") == "+OK|" && talk.line("AUTH app p", by: 2) == "+OK|")
        #expect(talk.line("ACL DELUSER app nobody") == ":1|" && talk.delivered() == ["closed"])
        #expect(talk.line("ACL DELUSER default") == "-ERR The 'default' user cannot be removed|")
        #expect(talk.line("ACL CAT").hasPrefix("*21|") && talk.line("ACL CAT list").contains("lpush") && talk.line("ACL CAT x").hasPrefix("-ERR Unknown category"))
        #expect(talk.line("ACL GENPASS").count == "$64||".count + 64 && talk.line("ACL GENPASS 5").hasPrefix("$2|"))
    }

    @Test func `rules that are carried over mean the same`() {
        let talk = Conversation()
        let rules = ["~a &x &y +get", "&* +@read", "skip-sanitize-payload %R~b", "on nopass allkeys allchannels allcommands", ""]
        for (number, rules) in rules.enumerated() { #expect(talk.line(rules.isEmpty ? "ACL SETUSER u\(number)" : "ACL SETUSER u\(number) \(rules)") == "+OK|") }
        let listed = talk.line("ACL LIST").split(separator: "|").map(String.init).filter { $0.hasPrefix("user u") }
        #expect(
            listed == [
                "user u0 off sanitize-payload ~a resetchannels &x &y -@all +get", "user u1 off sanitize-payload &* -@all +@read",
                "user u2 off skip-sanitize-payload %R~b resetchannels -@all", "user u3 on nopass sanitize-payload ~* &* +@all",
                "user u4 off sanitize-payload resetchannels -@all",
            ])
        #expect(talk.line("ACL GETUSER u0").contains("|$8|channels|$5|&x &y|") && talk.line("ACL GETUSER u2").contains("skip-sanitize-payload"))
        // On a user that has all channels to begin with, they come to the same.
        for line in listed {
            let words = line.split(separator: " ").dropFirst(2).joined(separator: " ")
            #expect(talk.line("ACL SETUSER other reset allchannels \(words)") == "+OK|")
            #expect(talk.line("ACL LIST").contains("user other \(words)|"))
        }
    }

    @Test func `what was refused is noted, counted and bounded`() {
        let talk = talk("~a", "+get")
        for _ in 0..<3 { _ = talk.line("GET b", by: 2) }
        _ = talk.line("AUTH app wrong", by: 3)
        let log = talk.line("ACL LOG")
        #expect(log.contains("$5|count|:3|$6|reason|$3|key|$7|context|$8|toplevel|$6|object|$1|b|$8|username|$3|app|"))
        #expect(log.contains("$6|reason|$4|auth|"))
        for number in 0..<300 { _ = talk.line("GET b\(number)", by: 2) }
        #expect(talk.line("ACL LOG 1000").hasPrefix("*\(AccessList.refusalsMax)|"))
        #expect(talk.line("ACL LOG RESET") == "+OK|" && talk.line("ACL LOG") == "*0|")
    }

    @Test func `users of the configuration are there, and mistakes in them are named`() {
        let talk = Conversation { $0.users = ["app on >secret ~app:* +@all"] }
        #expect(talk.line("AUTH app secret", by: 2) == "+OK|" && talk.line("GET x", by: 2).hasPrefix("-NOPERM"))
        #expect(KeyspaceConfiguration.problem(ofUser: "app on >secret ~app:* +@all") == nil)
        #expect(KeyspaceConfiguration.problem(ofUser: "app on +nosuch") == "+nosuch: Unknown command or category name in ACL")
        #expect(KeyspaceConfiguration.problem(ofUser: " ") == "has no name")
    }

    // MARK: MONITOR, LATENCY

    @Test func `who monitors sees all commands but administrators', and no passwords`() {
        let talk = Conversation()
        #expect(talk.line("MONITOR", by: 9) == "+OK|")
        talk.keyspace.hub.setMonitor(9, true)
        talk.now = 5_000
        _ = talk.say("SET", "k", "a \"b\"\n\u{1}")
        _ = talk.line("SELECT 3")
        _ = talk.line("AUTH password")
        _ = talk.line("AUTH me password")
        _ = talk.line("HELLO 2 SETNAME auth AUTH me password")
        _ = talk.line("RESET")
        _ = talk.line("SELECT 3")
        _ = talk.line("CONFIG GET x")
        _ = talk.say("EVAL", "return redis.call('get', 'k')", "0")
        let lines = talk.delivered().map { $0.split(separator: " ", maxSplits: 1).last.map(String.init) ?? "" }
        #expect(
            lines == [
                #"[0 127.0.0.1:1] "SET" "k" "a \"b\"\n\x01"|"#, #"[0 127.0.0.1:1] "SELECT" "3"|"#,
                #"[3 127.0.0.1:1] "AUTH" "(redacted)"|"#, #"[3 127.0.0.1:1] "AUTH" "(redacted)" "(redacted)"|"#,
                #"[3 127.0.0.1:1] "HELLO" "2" "SETNAME" "auth" "AUTH" "(redacted)" "(redacted)"|"#, #"[3 127.0.0.1:1] "RESET"|"#, #"[0 127.0.0.1:1] "SELECT" "3"|"#,
                #"[3 127.0.0.1:1] "EVAL" "return redis.call('get', 'k')" "0"|"#, #"[3 lua] "get" "k"|"#,
            ])
        talk.keyspace.hub.closed(9)
        #expect(!talk.keyspace.hub.isMonitored)
    }

    @Test func `latency is watched from a threshold on, the worst of each second`() {
        let talk = Conversation()
        #expect(talk.line("LATENCY LATEST") == "*0|" && talk.line("CONFIG SET latency-monitor-threshold 10") == "+OK|")
        let monitor = talk.keyspace.latency
        #expect(monitor.thresholdMilliseconds == 10)
        for (seconds, milliseconds) in [(1, 20), (1, 30), (1, 25), (2, 15)] { monitor.add("command", seconds: Int64(seconds), milliseconds: milliseconds) }
        #expect(talk.line("LATENCY LATEST") == "*1|*4|$7|command|:2|:15|:30|")
        #expect(talk.line("LATENCY HISTORY command") == "*2|*2|:1|:30|*2|:2|:15|" && talk.line("LATENCY HISTORY none") == "*0|")
        #expect(talk.line("LATENCY GRAPH command").contains("all time high 30 ms") && talk.line("LATENCY DOCTOR").contains("command: 2 latency spikes"))
        for second in 0..<500 { monitor.add("command", seconds: Int64(second + 3), milliseconds: 11) }
        #expect(monitor.all.first?.event.samples.count == LatencyMonitor.samplesMax)
        #expect(talk.line("LATENCY RESET none command") == ":1|" && talk.line("LATENCY LATEST") == "*0|")
    }
}
