import Testing

@testable import Keyspace

@Suite struct CommandTests {
    @Test func `numbers at the ends of what is allowed are taken and refused as in Redis`() {
        let talk = Conversation()
        _ = talk.line("ZADD z 1 a")
        let range = "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807|"
        for name in ["ZRANDMEMBER", "HRANDFIELD", "SRANDMEMBER"] { #expect(talk.line("\(name) nosuch -9223372036854775808") == range) }
        #expect(talk.line("ZRANDMEMBER z 9223372036854775807") == "*1|$1|a|")
        #expect(talk.line("ZRANDMEMBER z 4611686018427387904 WITHSCORES") == "-ERR value is out of range|")
        #expect(talk.line("ZRANDMEMBER z -4611686018427387904 WITHSCORES") == "-ERR value is out of range|")
        for cursor in ["-1", "+18446744073709551615", "-18446744073709551615"] { #expect(talk.line("SCAN \(cursor)").hasPrefix("*2|"), "\(cursor)") }
        #expect(talk.line("SCAN ") == "*2|$1|0|*1|$1|z|" && talk.line("SCAN -0") == "*2|$1|0|*1|$1|z|")
        for cursor in ["x", "-", "+", "--1", "1x", "18446744073709551616", "-18446744073709551616"] {
            #expect(talk.line("SCAN \(cursor)") == "-ERR invalid cursor|", "\(cursor)")
            #expect(talk.line("ZSCAN z \(cursor)") == "-ERR invalid cursor|", "\(cursor)")
        }
        for name in ["HSCAN", "SSCAN", "ZSCAN"] { #expect(talk.line("\(name) nosuch -1") == "*2|$1|0|*0|") }
        #expect(talk.line("ZSCAN z -1").hasPrefix("*2|"))
        _ = talk.line("SET k v")
        let payload = DumpPayload.make(.string(Array("v".utf8)))
        #expect(talk.say([Array("RESTORE".utf8), Array("r".utf8), Array("9223372036854775807".utf8), payload]) == "+OK|" && talk.line("EXISTS r") == ":0|")
        #expect(talk.say([Array("RESTORE".utf8), Array("r".utf8), Array("9223372036854775807".utf8), payload, Array("ABSTTL".utf8)]) == "+OK|")
        #expect(talk.line("PEXPIRETIME r") == ":9223372036854775807|" && talk.line("TTL r").hasPrefix(":92"))
    }

    @Test func `XREAD says what it does not do`() {
        let talk = Conversation()
        _ = talk.line("XADD s 1-1 f v")
        let group = "-ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.|"
        #expect(talk.line("XREAD STREAMS s >") == group && talk.line("XREAD STREAMS nosuch s > x") == group)
        let script = "return redis.pcall('xRead', 'BLOCK', ARGV[1], 'STREAMS', KEYS[1], ARGV[2])"
        for (time, id) in [("0", "$"), ("x", "0")] {
            #expect(talk.say("EVAL", script, "1", "s", time, id) == "-ERR xRead command is not allowed with BLOCK option from scripts|")
        }
        #expect(talk.say("EVAL", "return redis.call('XREAD', 'STREAMS', KEYS[1], '0')", "1", "s").hasPrefix("*1|"))
    }

    @Test func `strings, numbers and their errors`() {
        let it = Conversation()
        #expect(it.line("SET a 10") == "+OK|")
        #expect(it.line("INCRBY a 5") == ":15|")
        #expect(it.line("GET a") == "$2|15|")
        #expect(it.line("INCRBYFLOAT a 0.1") == "$4|15.1|")
        #expect(it.line("INCR a") == "-ERR value is not an integer or out of range|")
        #expect(it.line("LPUSH a x") == "-WRONGTYPE Operation against a key holding the wrong kind of value|")
        #expect(it.line("GET") == "-ERR wrong number of arguments for 'get' command|")
        #expect(it.line("FOO a b") == "-ERR unknown command 'FOO', with args beginning with: 'a' 'b' |")
        #expect(it.line("SET n 9223372036854775807") == "+OK|")
        #expect(it.line("INCR n") == "-ERR increment or decrement would overflow|")
        it.checkInvariants()
    }

    @Test func `what Redis reads first it complains of first`() {
        let it = Conversation()
        #expect(it.line("ZADD z 1 a 2 b") == ":2|")
        #expect(it.line("ZRANGE z 0 -1 LIMIT 1 1").hasPrefix("-ERR syntax error, LIMIT is only supported"))
        #expect(it.line("ZRANGE z x -1 LIMIT 1 -1") == "-ERR value is not an integer or out of range|")
        #expect(it.line("ZRANGE z 0 -1 LIMIT 1 -1") == "*2|$1|a|$1|b|")
        #expect(it.line("SET s ab") == "+OK|")
        #expect(it.line("BITPOS s 0 0 x y") == "-ERR syntax error|")
        #expect(it.line("BITCOUNT s 0 x y") == "-ERR value is not an integer or out of range|")
        #expect(it.line("BITCOUNT s -1 -2 y") == ":0|")
        #expect(it.line("BITPOS s 0 x -1 bit z") == "-ERR syntax error|")
    }

    @Test func `SORT that sorts nothing hands out a list as it is, or turned round`() {
        let it = Conversation()
        _ = it.line("RPUSH l 3 1 2")
        #expect(it.line("SORT l BY nosort") == "*3|$1|3|$1|1|$1|2|" && it.line("SORT l BY nosort DESC LIMIT 0 2") == "*2|$1|2|$1|1|")
    }

    @Test func `a key is gone the moment its deadline has come, read or not`() {
        let it = Conversation()
        #expect(it.line("SET a 1 PX 100") == "+OK|")
        it.now += 99
        #expect(it.line("PTTL a") == ":1|")
        it.now += 1
        #expect(it.line("GET a") == "$-1|")
        #expect(it.line("SET b 1 PX 100") == "+OK|")
        #expect(it.line("DBSIZE") == ":1|")
        it.now += 100
        for shard in it.keyspace.shards { #expect(!it.keyspace.expireDue(shard, now: it.now, countMax: 10)) }
        #expect(it.line("DBSIZE") == ":0|")
        it.checkInvariants()
    }

    @Test func `expiry goes in batches: n at a time, and says that there is more`() {
        let it = Conversation()
        for number in 0..<1000 { _ = it.line("SET k\(number) v PX 1") }
        it.now += 1
        let shard = it.keyspace.shards[0]
        let count = shard[0].count
        #expect(it.keyspace.expireDue(shard, now: it.now, countMax: count - 1))
        #expect(shard[0].count == 1)
        #expect(!it.keyspace.expireDue(shard, now: it.now, countMax: 1))
    }

    @Test func `EXEC does all or nothing of what was queued`() {
        let it = Conversation()
        #expect(it.line("WATCH a") == "+OK|")
        #expect(it.line("MULTI") == "+OK|")
        #expect(it.line("SET a 1") == "+QUEUED|")
        #expect(it.line("INCR a") == "+QUEUED|")
        #expect(it.line("LPOP a") == "+QUEUED|")
        #expect(it.line("EXEC") == "*3|+OK|:2|-WRONGTYPE Operation against a key holding the wrong kind of value|")
        #expect(it.line("WATCH a") == "+OK|")
        #expect(it.line("SET a 7", by: 2) == "+OK|")
        #expect(it.line("MULTI") == "+OK|")
        #expect(it.line("SET a 1") == "+QUEUED|")
        #expect(it.line("EXEC") == "*-1|")
        #expect(it.line("MULTI") == "+OK|")
        #expect(it.line("NOSUCH") == "-ERR unknown command 'NOSUCH', with args beginning with: |")
        #expect(it.line("EXEC") == "-EXECABORT Transaction discarded because of previous errors.|")
        #expect(it.line("GET a") == "$1|7|")
        #expect(it.keyspace.shards.allSatisfy { $0.watches.isEmpty })
    }

    @Test func `what one client watches has a bound in bytes`() {
        let it = Conversation()
        func long(_ number: UInt8) -> [UInt8] { [number] + [UInt8](repeating: 97, count: 1 << 20) }
        for number in 0..<15 as Range<UInt8> { #expect(it.say([Array("WATCH".utf8), long(number)]) == "+OK|") }
        #expect(it.say([Array("WATCH".utf8), long(15)]) == "-ERR too many watched keys|")
        // Nothing twice.
        #expect(it.say([Array("WATCH".utf8), long(14)]) == "+OK|")
        #expect(it.line("UNWATCH") == "+OK|")
        #expect(it.say([Array("WATCH".utf8), long(15)]) == "+OK|")
        #expect(it.line("UNWATCH") == "+OK|")
        #expect(it.keyspace.shards.allSatisfy { $0.watches.isEmpty })
    }

    @Test func `who waited longest is served first`() {
        let it = Conversation()
        #expect(it.line("BLPOP a b 0", by: 1) == "(waits)")
        #expect(it.line("BRPOP b 0", by: 2) == "(waits)")
        #expect(it.line("BLMOVE b c LEFT RIGHT 0", by: 3) == "(waits)")
        #expect(it.line("RPUSH b 1 2 3 4", by: 9) == ":4|")
        #expect(it.delivered() == ["1: *2|$1|b|$1|1|", "2: *2|$1|b|$1|4|", "3: $1|2|"])
        #expect(it.line("LRANGE b 0 -1") == "*1|$1|3|")
        #expect(it.line("LRANGE c 0 -1") == "*1|$1|2|")
        #expect(it.keyspace.shards.allSatisfy { $0.waiters.isEmpty })
        it.checkInvariants()
    }

    @Test(arguments: ["CLIENT KILL ID 1", "CLIENT KILL 127.0.0.1:1", "CLIENT KILL USER other", "ACL DELUSER other"])
    func `an element that comes behind a client's end is not given to it`(end: String) {
        for isTogether in [false, true] {
            let it = Conversation()
            _ = it.line("ACL SETUSER other on nopass +@all ~* &*")
            _ = it.line("AUTH other -", by: 1)
            #expect(it.line("BLPOP a b 0", by: 1) == "(waits)")
            if isTogether { _ = it.line("MULTI", by: 2) }
            for line in [end, "RPUSH a x"] { _ = it.line(line, by: 2) }
            if isTogether { _ = it.line("EXEC", by: 2) }
            #expect(it.delivered() == ["closed"])
            #expect(it.line("LRANGE a 0 -1", by: 2) == "*1|$1|x|")
            #expect(it.keyspace.shards.allSatisfy { $0.waiters.isEmpty })
        }
    }

    @Test func `CLIENT UNBLOCK ends a wait also in a transaction`() {
        let it = Conversation()
        #expect(it.line("BLPOP a 0", by: 1) == "(waits)")
        for line in ["MULTI", "CLIENT UNBLOCK 1", "RPUSH a x"] { _ = it.line(line, by: 2) }
        #expect(it.line("EXEC", by: 2) == "*2|:1|:1|")
        #expect(it.delivered() == ["1: *-1|"])
        #expect(it.line("LLEN a", by: 2) == ":1|")
    }

    @Test func `what a served client pushes serves the next`() {
        let it = Conversation()
        #expect(it.line("BLPOP c 0", by: 1) == "(waits)")
        #expect(it.line("BLMOVE b c LEFT RIGHT 0", by: 2) == "(waits)")
        #expect(it.line("RPUSH b x", by: 9) == ":1|")
        #expect(it.delivered() == ["2: $1|x|", "1: *2|$1|c|$1|x|"])
    }

    @Test func `what leaves a watched key as it was does not end a transaction`() {
        let it = Conversation()
        for (change, isOne) in [("SETBIT k 1 1", false), ("SETBIT k 1 0", true), ("SETBIT k 64 0", true), ("SWAPDB 0 0", false), ("SWAPDB 0 1", true)] {
            _ = it.line("SETBIT k 1 1")
            _ = it.line("WATCH k")
            _ = it.line(change, by: 2)
            _ = it.line("MULTI")
            #expect(it.line("EXEC") == (isOne ? "*-1|" : "*0|"), "\(change)")
        }
    }

    @Test func `in a transaction nobody waits`() {
        let it = Conversation()
        _ = it.line("MULTI")
        _ = it.line("BLPOP a 0")
        #expect(it.line("EXEC") == "*1|*-1|")
    }

    @Test(arguments: EvictionPolicy.allCases)
    func `memory is held within 2 % of its bound, whatever grows`(policy: EvictionPolicy) {
        let it = Conversation {
            $0.bytesMax = 4 << 20
            $0.policy = policy
        }
        var refused = 0
        let value = String(repeating: "v", count: 900)
        for number in 0..<8000 {
            let place = number % 10
            // Every type grows, element by element, beside keys that come new.
            let answer =
                switch number % 9 {
                case 0: it.line("APPEND grows\(place) \(value)")
                case 1: it.line("RPUSH list\(place) \(value)")
                case 2: it.line("HSET hash\(place) \(number) \(value)")
                case 3: it.line("SADD set\(place) \(number)\(value)")
                case 4: it.line("ZADD zset\(place) \(number) \(number)\(value)")
                case 5: it.line("XADD stream\(place) * f \(value)")
                case 6: it.line("SETRANGE grows\(place) \(number * 3) \(value)")
                default: it.line("SET key\(number) \(value) EX 1000")
                }
            if answer.hasPrefix("-OOM") { refused += 1 }
            guard number % 50 == 0 else { continue }
            #expect(it.keyspace.shards.reduce(0) { $0 + $1.bytes } < (4 << 20) * 102 / 100 + (64 << 10))
        }
        // A volatile policy, too, refuses once all that is left never expires.
        if !policy.isVolatile { #expect((refused > 0) == (policy == .noeviction)) }
        it.checkInvariants()
    }

    @Test func `a password is asked for`() {
        let it = Conversation { $0.password = "secret" }
        #expect(it.line("GET a") == "-NOAUTH Authentication required.|")
        #expect(it.line("AUTH wrong") == "-WRONGPASS invalid username-password pair or user is disabled.|")
        #expect(it.line("AUTH secret") == "+OK|")
        #expect(it.line("GET a") == "$-1|")
        #expect(it.line("AUTH default secret", by: 2) == "+OK|")
    }

    @Test func `a client that asks for RESP3 gets it`() {
        let it = Conversation()
        #expect(it.line("HELLO 3").hasPrefix("%7|$6|server|$5|redis|"))
        _ = it.line("HSET h f v")
        #expect(it.line("HGETALL h") == "%1|$1|f|$1|v|")
        #expect(it.line("GET none") == "_|")
        #expect(it.line("HELLO 4") == "-NOPROTO unsupported protocol version|")
    }

    @Test func `every command of the table is found in any case, and refuses too few arguments`() {
        let it = Conversation()
        for command in CommandTable.shared.commands {
            var upper = command.name.uppercased()
            #expect(upper.withUTF8 { CommandTable.shared.index(UnsafeRawBufferPointer($0)) } != nil)
            guard command.arity != -1, command.arity != 1 else { continue }
            #expect(it.line(upper) == "-ERR wrong number of arguments for '\(command.name)' command|")
        }
    }

    @Test func `bytes that are not the letters of a name are those of no command`() {
        for command in CommandTable.shared.commands {
            for (place, byte) in command.name.utf8.enumerated() {
                for bit: UInt8 in [0x20, 0x40, 0x80] {
                    var name = Array(command.name.utf8)
                    name[place] ^= bit
                    let isUpperCase = bit == 0x20 && (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                    let found = name.withUnsafeBytes { CommandTable.shared.index($0) }
                    #expect(found.map { CommandTable.shared.commands[$0].name } == (isUpperCase ? command.name : nil))
                }
            }
        }
    }

    @Test func `a command begins when the one before it ended, those of a transaction when it is their turn`() {
        let it = Conversation()
        let call = it.client(1)
        // A long time ago, as far as the clock knows.
        call.started = 1
        _ = it.line("SET a 1")
        #expect(call.nanoseconds == call.ended - 1 && call.started == 0)
        _ = it.line("SET a 1")
        #expect(call.nanoseconds < call.ended - 1)
        let row = Array("incr".utf8).withUnsafeBytes { CommandTable.shared.index($0) } ?? 0
        _ = it.line("MULTI")
        _ = it.line("INCR a")
        call.started = 1
        _ = it.line("EXEC")
        #expect(call.counters.nanoseconds.value(row) < call.ended - 1 && call.nanoseconds == call.ended - 1)
        // What is refused has no end, and room is made before a command begins.
        call.ended = 0
        _ = it.line("INCR")
        #expect(call.ended == 0)
    }

    @Test func `a CONFIG SET that is refused evicts nothing, one that is taken does`() {
        let it = Conversation()
        let value = String(repeating: "v", count: 10_000)
        for number in 0..<400 { #expect(it.say("SET", "k:\(number)", value) == "+OK|") }
        #expect(it.say("CONFIG", "SET", "maxmemory", "1mb", "timeout", "x").hasPrefix("-ERR CONFIG SET failed"))
        #expect(it.say("DBSIZE") == ":400|" && it.keyspace.bytesLimit == 256 << 20)
        #expect(it.say("CONFIG", "SET", "maxmemory", "1mb", "timeout", "7") == "+OK|")
        #expect(it.keyspace.usedBytes <= 1 << 20)
    }

    @Test func `a setting is written once, whichever of its names was said`() {
        let it = Conversation {
            $0.settings = [
                .init(name: "hash-max-listpack-entries", value: "100"), .init(name: "timeout", value: "5"), .init(name: "hash-max-ziplist-entries", value: "90"),
            ]
        }
        #expect(it.say("CONFIG", "SET", "hash-max-listpack-entries", "200", "lua-time-limit", "300") == "+OK|")
        let expected: [KeyspaceConfiguration.Setting] = [
            .init(name: "hash-max-listpack-entries", value: "200"), .init(name: "timeout", value: "5"), .init(name: "busy-reply-threshold", value: "300"),
        ]
        #expect(it.keyspace.currentConfiguration.settings == expected)
    }
}
