import TestSupport
import Testing

@testable import Keyspace

@Suite(.serialized) struct ScriptTests {
    /// Scripts whose reply must be Redis' own, byte for byte.
    static let scripts: [(script: String, keys: [String], arguments: [String])] = [
        ("return 1", [], []), ("return 3.99", [], []), ("return -3.99", [], []), ("return nil", [], []), ("return false", [], []),
        ("return true", [], []), ("return 'text'", [], []), ("return {1,2,{3,'x'},nil,5}", [], []), ("return {}", [], []),
        ("return {KEYS[1],KEYS[2],ARGV[1],ARGV[2]}", ["a", "b"], ["c"]), ("return {ok='FINE'}", [], []), ("return {err='MY error'}", [], []),
        ("return redis.error_reply('MY error')", [], []), ("return redis.status_reply('S')", [], []),
        ("return redis.call('SET', KEYS[1], ARGV[1])", ["k"], ["v"]), ("return redis.call('GET', KEYS[1])", ["k"], []),
        ("return redis.call('GET', 'missing')", [], []), ("return redis.call('GET', 'missing') == false", [], []),
        ("return redis.call('INCRBY', 'n', 5)", [], []), ("return type(redis.call('INCR', 'n'))", [], []),
        ("redis.call('SET','s','x') return redis.pcall('INCR','s')", [], []), ("redis.call('SET','s','x') return redis.call('INCR','s')", [], []),
        ("return redis.pcall('INCR','s').err", [], []), ("return redis.call('NOSUCH')", [], []), ("return redis.pcall('GET')", [], []),
        ("return redis.call('MULTI')", [], []), ("return redis.call()", [], []), ("return redis.call('SET','x',{})", [], []),
        ("return redis.call('SET','f',0.1) and redis.call('GET','f')", [], []), ("redis.call('SET','f',3) return redis.call('GET','f')", [], []),
        ("redis.call('SET','f',1e15) return redis.call('GET','f')", [], []), ("x = 1", [], []), ("return y", [], []), ("error('boom')", [], []),
        ("error({err='MY table'})", [], []), ("return 1 +", [], []), ("return (nil) + 1", [], []), ("return\n\n\nnosuch()", [], []),
        ("return redis.sha1hex('abc')", [], []), ("return cjson.encode({1,2,'x',{a=true}})", [], []), ("return cjson.encode({})", [], []),
        ("return cjson.encode('a\\n\"/')", [], []), ("return cjson.decode('{\"a\":[1,2.5,null,\"x\"]}').a[2] * 2", [], []),
        ("return cjson.decode('[1,2,3]')", [], []), ("return cjson.encode(cjson.decode('[null]'))", [], []), ("return cjson.encode(0.1)", [], []),
        ("return cjson.decode('\"a\\n\\tb\"')", [], []), ("redis.setresp(3) return {true, false}", [], []),
        ("return cjson.encode(100000000000000000000)", [], []), ("return tostring(cjson.decode('\"\\\\u00e9\\\\ud83d\\\\ude00\"'))", [], []),
        ("return cmsgpack.pack({1,-1,'a',true,{x=1.5}})", [], []), ("return cmsgpack.unpack(cmsgpack.pack({1,{2,'three'},-70000}))", [], []),
        ("return {cmsgpack.unpack_one(cmsgpack.pack(1,2))}", [], []), ("return {cmsgpack.unpack_limit(cmsgpack.pack(1,2,3),2)}", [], []),
        ("return struct.pack('>I2hBc3s', 65535, -2, 7, 'abc', 'hey')", [], []),
        ("return {struct.unpack('<i4!4bi4d', struct.pack('<i4!4bi4d', -5, 1, 9, 2))}", [], []), ("return struct.size('!8bdi2')", [], []),
        ("return {bit.band(0xff,0x0f), bit.bnot(0), bit.rol(0x12345678,8), bit.arshift(-8,1), bit.tohex(255,4), bit.tohex(255,-4)}", [], []),
        ("return {bit.tobit(2^31), bit.bswap(0x01020304), bit.lshift(1,31), bit.rshift(-1,28), bit.ror(1,1)}", [], []),
        ("return {pcall(redis.call,'NOSUCH')}", [], []), ("return select('#', unpack({1,2,3}))", [], []), ("return string.rep('ab',3)", [], []),
        ("local t = {} for i = 1,10 do t[i] = i*i end return t", [], []), ("return table.concat({1,2,3},'-')", [], []),
        ("return redis.call('SELECT', 3) and redis.call('SET','other','1')", [], []), ("return redis.call('GET','other')", [], []),
        ("redis.call('SET', 'e', 'v', 'EX', 100) return redis.call('TTL','e')", [], []), ("return {map={a=1}}", [], []), ("return {double=3.5}", [], []),
        ("return #ARGV", [], ["", "x"]), ("return loadstring('return 7')()", [], []), ("return type(os.execute)", [], []),
        ("return load", [], []), ("return redis.call('get', KEYS[1]) .. ARGV[1]", ["k"], ["!"]), ("#!lua\nreturn 1", [], []),
        ("#!lua flags=no-writes\nreturn redis.call('SET','x',1)", [], []), ("#!js\nreturn 1", [], []),
        // redis-py's lock, and a rate limiter.
        ("if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end", ["k"], ["v"]),
        ("local n = redis.call('incr', KEYS[1]) if n == 1 then redis.call('pexpire', KEYS[1], ARGV[1]) end return {n, redis.call('pttl', KEYS[1]) > 0}", ["limit"], ["60000"]),
    ]

    /// What is ours on purpose: there is no `os` at all, and `load` is one that refuses bytecode.
    private static let differing: Set<String> = ["return type(os.execute)"]

    @Test(.enabled(if: RedisPeer.isInstalled, "redis-server is not installed: run scripts/setup"))
    func `scripts answer as those of Redis do`() async throws {
        let redis = try RedisPeer()
        let served = try await ServedKeyspace()
        let (theirs, ours) = (try redis.client(), try served.client())
        defer { withExtendedLifetime(redis) {} }
        for (script, keys, arguments) in Self.scripts where !Self.differing.contains(script) {
            let words = (["EVAL", script, "\(keys.count)"] + keys + arguments).map(octets)
            #expect(try ours.call(words) == theirs.call(words), "\(script)")
        }
        await served.stop()
    }

    /// What Redis 7.0 answers. A lookup that finds nothing is `false` in Lua, and has to be null for the client, whichever protocol that speaks.
    @Test func `a script's truth values hang on its own protocol, not only on the client's`() {
        let it = Conversation()
        func says(_ script: String) -> String { it.say("EVAL", script, "0") }
        #expect(says("redis.setresp(3) return true") == ":1|" && says("redis.setresp(3) return false") == ":0|")
        _ = it.line("HELLO 3")
        #expect(says("return redis.call('get', 'missing')") == "_|" && says("return true") == ":1|" && says("return {false, true}") == "*2|_|:1|")
        #expect(says("redis.setresp(3) return true") == "#t|" && says("redis.setresp(3) return false") == "#f|")
        #expect(says("return false") == "_|", "it is the script's own")
    }

    @Test func `a script by its digest, loaded, asked for and forgotten`() async throws {
        let served = try await ServedKeyspace()
        let client = try served.client()
        let digest = try #require(try client.call("SCRIPT", "LOAD", "return ARGV[1]").text)
        #expect(digest.count == 40)
        #expect(try client.call("EVALSHA", digest.uppercased(), "0", "x") == .bytes(octets("x")))
        #expect(try client.call("SCRIPT", "EXISTS", digest, String(repeating: "0", count: 40)) == .array([.integer(1), .integer(0)]))
        #expect(try client.call("SCRIPT", "FLUSH") == .status("OK"))
        #expect(try client.call("EVALSHA", digest, "0", "x") == .error("NOSCRIPT No matching script. Please use EVAL."))
        #expect(try client.call("EVAL", "return 5", "0") == .integer(5))
        #expect(try client.call("SCRIPT", "KILL") == .error("NOTBUSY No scripts in execution right now."))
        for (count, text) in [("-1", "negative"), ("2", "greater"), ("x", "integer")] {
            guard case .error(let reason) = try client.call("EVAL", "return 1", count, "a") else {
                Issue.record("no error")
                continue
            }
            #expect(reason.contains(text))
        }
        await served.stop()
    }

    @Test func `a script that was forgotten and came again before its turn runs, and no other`() throws {
        let it = Conversation()
        let interpreter = it.keyspace.scripts
        func compile(_ text: String) throws -> ScriptInterpreter.Script {
            try octets(text).withUnsafeBytes { bytes throws(CommandFailure) in try interpreter.compile(bytes, isLoaded: false) }
        }
        let script = try compile("return 'mine'")
        interpreter.flush()
        _ = try compile("return 'another''s'".replacing("''", with: "-"))
        _ = try compile("return 'mine'")
        let call = it.client(1)
        func run(source: UnsafeRawBufferPointer? = nil) -> String {
            call.out.clear()
            call.keyspace.withAllShards(call) { interpreter.run(script, source: source, call, keys: 0..<0, isReadOnly: false, milliseconds: 1000) }
            return String(decoding: call.out.bytes, as: UTF8.self)
        }
        #expect(run() == "$4\r\nmine\r\n")
        // Only who came with EVAL need not say it again.
        interpreter.flush()
        #expect(run().hasPrefix("-NOSCRIPT"))
        #expect(octets("return 'mine'").withUnsafeBytes { run(source: $0) } == "$4\r\nmine\r\n")
    }

    @Test func `scripts of EVAL are kept up to a bound, those that were loaded stay`() async throws {
        let interpreter = ScriptInterpreter()
        func compile(_ text: String, isLoaded: Bool = false) throws -> [UInt8] {
            try octets(text).withUnsafeBufferPointer { buffer throws(CommandFailure) in
                try interpreter.compile(UnsafeRawBufferPointer(buffer), isLoaded: isLoaded).digest
            }
        }
        let loaded = try compile("return 'loaded'", isLoaded: true)
        let first = try compile("return 0")
        for number in 1..<ScriptInterpreter.evaluatedCountMax { _ = try compile("return \(number)") }
        #expect(interpreter.contains(first))
        _ = try compile("return 'one more'")
        #expect(!interpreter.contains(first) && interpreter.contains(loaded))
        #expect(interpreter.figures.scriptCount == ScriptInterpreter.evaluatedCountMax + 1)
        // Loaded text has a bound of bytes.
        let large = "return '" + String(repeating: "x", count: 6 << 20) + "'"
        _ = try compile(large + " ", isLoaded: true)
        _ = try compile(large + "  ", isLoaded: true)
        #expect(throws: CommandFailure.self) { try compile(large + "   ", isLoaded: true) }
    }

    @Test func `what a script may not do ends in an error, and the next one finds all as it was`() async throws {
        let served = try await ServedKeyspace()
        let client = try served.client()
        #expect(try client.call("CONFIG", "SET", "busy-reply-threshold", "100") == .status("OK"))
        let hostile = [
            "while true do end", "while true do pcall(function() while true do end end) end",
            "local c = coroutine.wrap(function() while true do end end) c()", "return string.rep('x', 1e9)",
            "local t = {} while true do t[#t+1] = string.rep('x', 1e5) .. #t end", "local function f() return 1 + f() end return f()",
            "local t = {} t[1] = t return t", "local t = {} t.x = t return cjson.encode(t)", "return cjson.decode(string.rep('[', 1e5))",
            "return cmsgpack.unpack(string.rep('\\145', 1e5))", "return redis.call('EVAL', 'return 1', '0')", "rawset(_G, 'x', 1)",
            "string.rep = nil", "redis.call = nil", "setmetatable(_G, nil)", "getmetatable('').__index = 1", "table.insert(_G, 1)",
            "return loadstring('\\27Lua')()", "return require('os')", "return package.loaded", "return io.open('/etc/passwd')",
            "return dofile('/etc/passwd')", "return debug.getinfo(1)", "return struct.unpack('c0', 'x')", "return struct.pack('i999', 1)",
            "return unpack({}, 1, 1e8)", "redis.log(99, 'x')", "return redis.call('BLPOP', 'nothing', 0).x",
        ]
        for script in hostile {
            let reply = try client.call("EVAL", script, "0")
            if case .error = reply {} else { Issue.record("\(script): \(reply)") }
            #expect(try client.call("EVAL", "return {type(redis.call), string.rep('x', 2), x == nil}", "0") != .null)
        }
        #expect(try client.call("EVAL", "return string.rep('ok', 2)", "0") == .bytes(octets("okok")))
        let bytecode = octets("\u{1B}Lua") + [0x51, 0, 1, 4, 8, 4, 8, 0]
        if case .error = try client.call([octets("EVAL"), bytecode, octets("0")]) {} else { Issue.record("bytecode was taken") }
        await served.stop()
    }

    @Test func `a script is alone: counters that many clients raise by scripts lose nothing`() async throws {
        let served = try await ServedKeyspace(threads: 2)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    let client = try served.client()
                    for _ in 0..<200 {
                        try client.call("EVAL", "local n = tonumber(redis.call('GET','n') or '0') redis.call('SET','n',n+1)", "0")
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(try served.client().call("GET", "n") == .bytes(octets("800")))
        await served.stop()
    }
}
