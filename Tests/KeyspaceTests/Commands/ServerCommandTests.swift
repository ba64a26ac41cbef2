import TestSupport
import Testing

@testable import Keyspace

/// What operators and their tools read: `INFO`, `MEMORY`, `LATENCY`, `SLOWLOG`, `COMMAND`.
@Suite struct ServerCommandTests {
    /// The same things are done to both, so that every section has something to say.
    private func use(_ client: RedisClient) throws {
        for line in [
            "SET k v", "GET k", "GET absent", "LPUSH k x", "NOSUCH", "SETEX e 1000 v", "CONFIG SET latency-monitor-threshold 100", "GET", "HSET h f v",
        ] {
            try client.call(line.split(separator: " ").map { octets(String($0)) })
        }
    }

    private struct Info {
        var sections: [String] = []
        var fields: [String: String] = [:]

        init(_ text: String) {
            for line in text.split(whereSeparator: \.isNewline) {
                if line.hasPrefix("# ") {
                    sections.append(String(line.dropFirst(2)))
                } else if let colon = line.firstIndex(of: ":") {
                    fields[String(line[..<colon])] = String(line[line.index(after: colon)...])
                }
            }
        }
    }

    /// `0`, `0.00`, `0.00%`, `1.50M`, `calls=0,usec=0`: what a parser of the field can expect.
    private func shape(_ value: String) -> String {
        if let match = value.wholeMatch(of: /-?\d+(\.\d+)?([KMGT]|B)?(%)?/) {
            if match.2 != nil { return "size" }
            return (match.1 == nil ? "integer" : "decimal") + (match.3 == nil ? "" : " %")
        }
        guard value.contains("=") else { return "word" }
        return value.split(separator: ",").map { part in
            let sides = part.split(separator: "=", maxSplits: 1)
            return "\(sides[0])=" + (sides.count == 2 && sides[1].allSatisfy { $0.isNumber || $0 == "." } ? "number" : "word")
        }.joined(separator: ",")
    }

    @Test(.enabled(if: RedisPeer.isInstalled, "redis-server is not installed: run scripts/setup"))
    func `INFO has the sections and the fields of Redis, and each looks as there`() async throws {
        let redis = try RedisPeer(["--appendonly", "yes"])
        let folder = try TemporaryFolder()
        let served = try await ServedKeyspace {
            $0.directory = folder.path
            $0.appendOnly = true
        }
        let (theirs, ours) = (try redis.client(), try served.client())
        for client in [theirs, ours] { try use(client) }
        for section in [[], ["all"], ["everything"], ["default"]] as [[String]] {
            let (expected, actual) = (
                Info(try theirs.call((["INFO"] + section).map(octets)).text ?? ""), Info(try ours.call((["INFO"] + section).map(octets)).text ?? "")
            )
            #expect(actual.sections == expected.sections, "\(section)")
            // How the C program was built; and subcommands are counted with their command here.
            let missing = Set(expected.fields.keys).subtracting(actual.fields.keys).subtracting(["gcc_version", "atomicvar_api"])
                .filter { !$0.contains("|") && !$0.hasSuffix("_ping") }
            #expect(missing.isEmpty, "\(section): \(missing.sorted())")
            for (name, value) in expected.fields where actual.fields[name] != nil {
                let mine = actual.fields[name] ?? ""
                // Empty is a word; a size is one at any magnitude.
                #expect(shape(mine) == shape(value) || value.isEmpty, "\(name): \(mine), and not like \(value)")
            }
        }
        let one = Info(try ours.call("INFO", "keyspace", "clients").text ?? "")
        #expect(one.sections == ["Clients", "Keyspace"] && one.fields["db0"]?.hasPrefix("keys=3,expires=1,") == true)
        #expect(try ours.call("INFO", "nosuch").text == "")
        await served.stop()
    }

    @Test func `commands are counted with their time, refusals and failures apart, until RESETSTAT`() {
        let it = Conversation { $0.bytesMax = 1 << 20 }
        func field(_ section: String, _ name: String) -> String? {
            it.line("INFO \(section)").split(separator: "|").first { $0.hasPrefix(name + ":") }.map { String($0.dropFirst(name.count + 1)) }
        }
        for _ in 0..<20 { _ = it.line("SET k 1") }
        _ = it.line("SET k")
        _ = it.line("LPUSH k x")
        _ = it.line("MULTI")
        _ = it.line("INCR k")
        _ = it.line("EXEC")
        _ = it.say("EVAL", "return redis.call('incr', KEYS[1])", "1", "k")
        #expect(field("commandstats", "cmdstat_set")?.hasPrefix("calls=20,") == true && field("commandstats", "cmdstat_set")?.hasSuffix("rejected_calls=1,failed_calls=0") == true)
        #expect(field("commandstats", "cmdstat_lpush")?.hasSuffix("rejected_calls=0,failed_calls=1") == true)
        #expect(field("commandstats", "cmdstat_incr")?.hasPrefix("calls=2,") == true, "one in a transaction, one in a script")
        #expect(field("commandstats", "cmdstat_exec")?.hasPrefix("calls=1,") == true)
        let totals = it.keyspace.commandTotals
        let set = CommandTable.shared.commands.firstIndex { $0.name == "set" } ?? 0
        #expect(totals.nanoseconds[set] > 0 && it.keyspace.durations(of: set).counts.reduce(0, +) == 20)
        #expect(field("latencystats", "latency_percentiles_usec_set")?.wholeMatch(of: /p50=[\d.]+,p99=[\d.]+,p99.9=[\d.]+/) != nil)
        #expect(it.line("LATENCY HISTOGRAM set nosuch get").hasPrefix("*2|$3|set|*4|$5|calls|:20|$14|histogram_usec|*"))
        #expect(it.line("LATENCY HISTOGRAM set").hasSuffix(":20|"), "the last row has all of them")
        #expect(it.line("CONFIG RESETSTAT") == "+OK|" && field("commandstats", "cmdstat_set") == nil && it.line("LATENCY HISTOGRAM set") == "*0|")
        #expect(field("stats", "total_commands_processed").flatMap { Int($0) } ?? 100 < 10)
        _ = it.line("SET k 2")
        #expect(field("commandstats", "cmdstat_set")?.hasPrefix("calls=1,") == true)
    }

    @Test func `durations fall into buckets that end where the next begins`() {
        for nanoseconds in [0, 1, 127, 128, 1023, 1024, 1151, 1152, 2047, 2048, 1_000_000, 17_000_000_000] as [UInt64] {
            let bucket = DurationScale.bucket(nanoseconds)
            #expect(nanoseconds <= DurationScale.end(bucket) && (bucket == 0 || nanoseconds > DurationScale.end(bucket - 1)), "\(nanoseconds)")
        }
        #expect(DurationScale.bucket(.max) == DurationScale.bucketCount - 1)
        for bucket in 1..<DurationScale.bucketCount { #expect(DurationScale.bucket(DurationScale.end(bucket - 1) + 1) == bucket) }
    }

    // MARK: COMMAND

    /// Containers, whose flags and rights Redis gives to their subcommands; and the one that 7.2 has changed.
    private static let otherInfo: Set<String> = [
        "client", "object", "config", "memory", "slowlog", "latency", "script", "pubsub", "acl", "zrank", "zrevrank",
    ]

    @Test(.enabled(if: RedisPeer.isInstalled, "redis-server is not installed: run scripts/setup"))
    func `COMMAND INFO says of each command what Redis says`() throws {
        let peer = try RedisPeer()
        defer { withExtendedLifetime(peer) {} }
        let redis = try peer.client()
        let it = Conversation()
        func described(_ reply: RedisClient.Reply) -> [String] {
            guard let parts = reply.array, parts.count >= 7 else { return [] }
            func words(_ part: RedisClient.Reply) -> [String] {
                (part.array ?? []).map { if case .status(let word) = $0 { word } else { $0.text ?? "" } }.sorted()
            }
            return [parts[0].text ?? "", "\(parts[1])", words(parts[2]).joined(separator: " "), "\(parts[3...5])", words(parts[6]).joined(separator: " ")]
        }
        for command in CommandTable.shared.commands where !Self.otherInfo.contains(command.name) {
            let theirs = described(try redis.call("COMMAND", "INFO", command.name).array?.first ?? .null)
            let ours = described(try reply(it.say("COMMAND", "INFO", command.name)).array?.first ?? .null)
            #expect(ours == theirs && !ours.isEmpty)
        }
        #expect(it.line("COMMAND COUNT") == ":\(CommandTable.shared.commands.count)|" && it.line("COMMAND INFO nosuch") == "*1|$-1|")
        #expect(try reply(it.line("COMMAND")).array?.count == CommandTable.shared.commands.count)
        #expect(it.line("COMMAND LIST FILTERBY PATTERN hset*") == "*2|$4|hset|$6|hsetnx|")
        #expect(it.line("COMMAND LIST FILTERBY ACLCAT scripting").contains("$7|evalsha|") && it.line("COMMAND LIST FILTERBY MODULE x") == "*0|")
        let documents = try #require(try reply(it.line("COMMAND DOCS")).array)
        #expect(documents.count == 2 * CommandTable.shared.commands.count)
        #expect(stride(from: 0, to: documents.count, by: 2).map { documents[$0].text } == CommandTable.shared.commands.map(\.name))
        #expect(it.line("COMMAND DOCS getex").contains("$5|since|$5|6.2.0|$5|group|$6|string|"))
        for question in [
            "MGET a b c", "MSET a 1 b 2", "ZUNIONSTORE d 2 a b WEIGHTS 1 2", "ZUNIONSTORE d 0 a", "EVAL x 2 a b c", "EVAL x 0", "XREAD COUNT 1 STREAMS a b 0 0",
            "SORT l STORE d", "BLMPOP 0 2 a b LEFT", "PING", "NOSUCH x", "GET", "OBJECT ENCODING k", "COPY a b", "LMPOP x a LEFT", "SET k v", "BITOP AND d a b", "",
            "OBJECT ENCODING", "OBJECT NOPE k", "OBJECT HELP", "CLIENT ID", "MEMORY USAGE k", "MEMORY DOCTOR x", "MEMORY NOPE x", "DEBUG OBJECT k",
            "XREAD COUNT 1 STREAMS a", "XREAD STREAMS a b 0", "EVAL x 5 a", "EVAL x -1 a", "ZUNION 3 a b", "SINTERCARD 0 a", "SPUBLISH c x", "SUBSCRIBE a",
            "WATCH a b", "BLPOP a b 0", "CONFIG GET",
        ] {
            let words = ("COMMAND GETKEYS " + question).split(separator: " ").map { octets(String($0)) }
            #expect(try reply(it.say(words)) == redis.call(words), "\(question)")
        }
    }

    private func reply(_ text: String) throws -> RedisClient.Reply {
        var words = text.split(separator: "|", omittingEmptySubsequences: false)[...]
        func next() -> RedisClient.Reply {
            guard let word = words.popFirst(), let kind = word.first else { return .null }
            let rest = String(word.dropFirst())
            switch kind {
            case "+": return .status(rest)
            // The name of a subcommand has a bar of its own.
            case "-":
                defer { words = [] }
                return .error(([rest] + words.dropLast().map(String.init)).joined(separator: "|"))
            case ":": return .integer(Int64(rest) ?? 0)
            case "$": return rest == "-1" ? .null : .bytes(octets(String(words.popFirst() ?? "")))
            default: return rest == "-1" ? .null : .array((0..<(Int(rest) ?? 0)).map { _ in next() })
            }
        }
        return next()
    }

    // MARK: MEMORY

    @Test(.enabled(if: RedisPeer.isInstalled, "redis-server is not installed: run scripts/setup"))
    func `MEMORY STATS has the fields of Redis, and what belongs together adds up`() async throws {
        let redis = try RedisPeer()
        let served = try await ServedKeyspace()
        let (theirs, ours) = (try redis.client(), try served.client())
        for client in [theirs, ours] { try use(client) }
        let replies = (try theirs.call("MEMORY", "STATS").array ?? [], try ours.call("MEMORY", "STATS").array ?? [])
        func names(_ reply: [RedisClient.Reply]) -> [String] { stride(from: 0, to: reply.count, by: 2).map { reply[$0].text ?? "" } }
        #expect(names(replies.1) == names(replies.0))
        func value(_ name: String) -> Int64 {
            guard let place = names(replies.1).firstIndex(of: name) else { return -1 }
            return replies.1[2 * place + 1].integer ?? -1
        }
        #expect(value("keys.count") == 3 && value("overhead.total") + value("dataset.bytes") == value("total.allocated"))
        #expect(try ours.call("MEMORY", "USAGE", "k").integer ?? 0 > 0 && ours.call("MEMORY", "USAGE", "absent") == .null)
        #expect(try ours.call("MEMORY", "USAGE", "h", "SAMPLES", "0").integer ?? 0 > 0)
        #expect(try ours.call("MEMORY", "PURGE") == .status("OK"))
        await served.stop()
    }

    @Test func `MEMORY DOCTOR says what is amiss, and nothing when nothing is`() {
        let it = Conversation { $0.bytesMax = 100 << 20 }
        func doctor(_ change: (inout MemoryFigures) -> Void) -> String {
            var figures = MemoryFigures()
            (figures.used, figures.peak, figures.resident) = (50 << 20, 50 << 20, 60 << 20)
            change(&figures)
            return MemoryReports.doctor(figures, it.client(1))
        }
        #expect(it.line("MEMORY DOCTOR").contains("very little memory"))
        #expect(doctor { _ in } == "Hi Sam, I can't find any memory issue in your instance.\n")
        #expect(doctor { $0.peak = 80 << 20 }.contains("Peak memory: it was 80.00M once and is 50.00M now"))
        #expect(doctor { $0.resident = 200 << 20 }.contains("Resident memory: the process has 200.00M"))
        #expect(doctor { $0.used = 99 << 20 }.contains("Keys make room for others by allkeys-s3fifo"))
        #expect(doctor { $0.clients = 40 << 20 }.contains("Clients: 40.00M") && doctor { $0.log = 20 << 20 }.contains("Append log: 20.00M"))
        _ = it.line("CONFIG SET maxmemory-policy noeviction")
        #expect(doctor { $0.used = 99 << 20 }.contains("writes are refused"))
        _ = it.line("CONFIG SET maxmemory 0")
        #expect(doctor { $0.used = OwnProcess.systemBytes() }.contains("No bound"))
    }

    @Test func `lfu-log-factor and lfu-decay-time rule how a frequency grows and fades`() {
        let talk = Conversation { $0.policy = .allkeysLFU }
        #expect(talk.line("CONFIG SET lfu-log-factor 0 lfu-decay-time 2") == "+OK|")
        #expect(talk.line("CONFIG GET lfu-log-factor") == "*2|$14|lfu-log-factor|$1|0|" && talk.line("CONFIG GET lfu-decay-time").hasSuffix("|$1|2|"))
        _ = talk.line("SET k v")
        for _ in 0..<20 { _ = talk.line("GET k") }
        #expect(talk.line("OBJECT FREQ k") == ":25|", "each use counts")
        talk.now += 5 * 60_000
        #expect(talk.line("OBJECT FREQ k") == ":23|")
        #expect(talk.line("CONFIG SET lfu-decay-time 0") == "+OK|" && talk.line("OBJECT FREQ k") == ":25|")
        // So rarely that it does not happen: numbers that 64 bits do not hold are as good as never.
        #expect(talk.line("CONFIG SET lfu-log-factor 2147483647 lfu-decay-time 2147483647") == "+OK|")
        for _ in 0..<100 { _ = talk.line("GET k") }
        #expect(talk.line("OBJECT FREQ k") == ":25|")
        #expect(talk.line("CONFIG SET lfu-decay-time -1").contains("argument must be between 0 and 2147483647 inclusive"))
    }

    // MARK: OBJECT, SLOWLOG, DEBUG, ROLE

    @Test func `OBJECT FREQ belongs to the LFU policies, IDLETIME to the others`() {
        let it = Conversation()
        _ = it.line("SET k v")
        for policy in EvictionPolicy.allCases {
            #expect(it.line("CONFIG SET maxmemory-policy \(policy.rawValue)") == "+OK|")
            let isFrequency = policy == .allkeysLFU || policy == .volatileLFU
            #expect(it.line("OBJECT FREQ k").hasPrefix(isFrequency ? ":" : "-ERR An LFU maxmemory policy is not selected"), "\(policy)")
            #expect(it.line("OBJECT IDLETIME k").hasPrefix(isFrequency ? "-ERR An LFU maxmemory policy is selected" : ":"), "\(policy)")
        }
        #expect(it.line("CONFIG SET maxmemory-policy allkeys-lru") == "+OK|" && it.line("GET k") == "$1|v|")
        it.now += 100_000
        #expect(it.line("OBJECT IDLETIME k") == ":99|" || it.line("OBJECT IDLETIME k") == ":100|")
        #expect(it.line("EXISTS k") == ":1|" && it.line("TTL k") == ":-1|" && it.line("TYPE k") == "+string|")
        #expect(it.line("OBJECT IDLETIME k") != ":0|", "asking about a key does not use it")
        #expect(it.line("TOUCH k") == ":1|" && it.line("OBJECT IDLETIME k") == ":0|")
        #expect(it.line("CONFIG SET maxmemory-policy allkeys-lfu") == "+OK|")
        for _ in 0..<200 { _ = it.line("GET k") }
        let often = Int(it.line("OBJECT FREQ k").dropFirst().dropLast()) ?? 0
        #expect(often > 5, "\(often)")
        it.now += 3 * 60_000
        let later = Int(it.line("OBJECT FREQ k").dropFirst().dropLast()) ?? 0
        #expect(later == often - 3, "one less for each minute without a use")
        #expect(it.line("OBJECT REFCOUNT k") == ":1|" && it.line("OBJECT FREQ absent") == "$-1|" && it.line("OBJECT NOSUCH k").hasPrefix("-ERR unknown subcommand"))
        #expect(it.line("DEBUG OBJECT k").contains("encoding:embstr") && it.line("DEBUG OBJECT absent") == "-ERR no such key|")
        #expect(it.line("DEBUG SLEEP 0") == "+OK|" && it.line("DEBUG SLEEP 1e9").hasPrefix("-ERR"))
        #expect(it.line("ROLE") == "*3|$6|master|:0|*0|" && it.line("REPLICAOF NO ONE") == "+OK|" && it.line("REPLICAOF host 1").hasPrefix("-ERR"))
        #expect(it.line("TIME").hasPrefix("*2|") && it.line("WAIT 0 0") == ":0|" && it.line("LASTSAVE").hasPrefix(":"))
    }

    @Test func `what was slow is noted, shortened, bounded and forgotten`() async throws {
        let served = try await ServedKeyspace()
        let client = try served.client()
        #expect(try client.call("CONFIG", "SET", "slowlog-log-slower-than", "0", "slowlog-max-len", "3") == .status("OK"))
        try client.call("CLIENT", "SETNAME", "me")
        try client.call("SLOWLOG", "RESET")
        for number in 0..<5 { try client.call("SET", "k\(number)", String(repeating: "v", count: 200)) }
        #expect(try client.call("SLOWLOG", "LEN") == .integer(3))
        let items = try client.call("SLOWLOG", "GET", "-1").array ?? []
        #expect(items.count == 3)
        let newest = try #require(items.first?.array)
        #expect(newest.count == 6 && newest[5].text == "me" && newest[4].text?.hasPrefix("127.0.0.1:") == true)
        let words = items.compactMap { $0.array?[3].array?.compactMap(\.text) }
        #expect(words.contains { $0.count == 3 && $0[1] == "k4" && $0[2] == String(repeating: "v", count: 128) + "... (72 more bytes)" }, "\(words)")
        try client.call("AUTH", "me", "password")
        #expect(try client.call("SLOWLOG", "GET", "1").array?.first?.array?[3].array?.compactMap(\.text) == ["AUTH", "(redacted)", "(redacted)"])
        try client.call("CONFIG", "SET", "slowlog-log-slower-than", "-1")
        try client.call("SLOWLOG", "RESET")
        try client.call("SET", "k", "v")
        #expect(try client.call("SLOWLOG", "LEN") == .integer(0))
        await served.stop()
    }
}
