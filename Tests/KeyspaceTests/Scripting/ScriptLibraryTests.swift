import TestSupport
import Testing

@testable import Keyspace

/// What Redis gives to scripts besides Lua: `cjson`, `cmsgpack`, random numbers and what `redis` has.
@Suite(.serialized) struct ScriptLibraryTests {
    /// Scripts whose reply must be Redis' own, byte for byte. What one sets of `cjson` it sets back.
    static let scripts = [
        "return {redis.error_reply(1), redis.error_reply(), redis.error_reply('a', 'b'), redis.status_reply(1), redis.status_reply()}",
        "return redis.error_reply(1)", "return redis.error_reply(1).err", "return redis.status_reply({})", "return {err='-x y'}",
        "local r = {} for _, s in ipairs({'A b', '-A b', 'A', '-A', '', '-', '--x', ' x', 'A b\\r\\n', 'A\\r\\n', 'a\\nb', 'a b\\0c'}) do r[#r+1] = redis.error_reply(s).err end return r",
        "return {redis.status_reply('').ok, redis.status_reply('a b\\0c').ok}", "return redis.log(1)", "return redis.log('x', 1)", "return redis.log(9, 1)",
        "return redis.set_repl()", "return redis.set_repl(9)", "return {redis.set_repl(3), redis.set_repl('x'), 1}",
        "return redis.acl_check_cmd()", "return redis.acl_check_cmd({})", "return redis.acl_check_cmd('get', {})", "return redis.acl_check_cmd('nosuch', 'x')",
        "return redis.acl_check_cmd('')", "return redis.acl_check_cmd('get|x')", "return redis.acl_check_cmd('config', 'nosuch', 'y')",
        "return {redis.acl_check_cmd('GET'), redis.acl_check_cmd('get', 1), redis.acl_check_cmd('config'), redis.acl_check_cmd('config', 'get', 'y')}",

        "return {cmsgpack._NAME, cmsgpack._VERSION, cjson._NAME, cjson._VERSION}",
        "local p, r = cmsgpack.pack(1, 2, 3), {} for _, l in ipairs({0, 1, 2, 9, 1.9, 2^33}) do for o = 0, 3 do r[#r+1] = {cmsgpack.unpack_limit(p, l, o)} end end return r",
        "local r = {} for _, a in ipairs({{-1}, {1, -1}, {1, 9}, {1e300}, {1, 1e300}, {1, 2^32}, {'x'}, {}}) do r[#r+1] = select(2, pcall(cmsgpack.unpack_limit, '\\1\\2\\3', unpack(a))) end return r",
        "local r = {} for _, o in ipairs({0, 2, 3, 4, -1, -4}) do r[#r+1] = {pcall(cmsgpack.unpack_one, '\\1\\2\\3', o)} end return r",
        "return {{cmsgpack.unpack('')}, {cmsgpack.unpack_one('')}, {cmsgpack.unpack_limit('', 0)}, {cmsgpack.unpack_limit('', 1)}}",
        "local r = {} for _, s in ipairs({'\\207\\255\\255\\255\\255\\255\\255\\255\\255', '\\207\\255\\255\\255\\255\\255\\255\\255\\254', '\\207\\128\\0\\0\\0\\0\\0\\0\\0', '\\207\\127\\255\\255\\255\\255\\255\\255\\255', '\\206\\255\\255\\255\\255'}) do r[#r+1] = tostring(cmsgpack.unpack(s)) end return r",
        "return cmsgpack.pack(2^63, 2^64, -2^63, 2^64-2048, 2^53, -2^64, 1e300, 1/0, -1/0, 1.5, 1.1)",
        "return cmsgpack.unpack('\\129\\192\\1')", "return cmsgpack.unpack('\\129\\203\\127\\248\\0\\0\\0\\0\\0\\0\\1')", "return cmsgpack.unpack('\\193')",
        "return cmsgpack.unpack(string.rep('\\1', 9000))", "return select('#', cmsgpack.unpack(string.rep('\\1', 7900)))",

        "return {tostring(math.random()), tostring(math.random()), math.random(10), math.random(5, 9)}", "return {tostring(math.random()), math.random(2^31-1)}",
        "local r = {} for _, s in ipairs({0, 1, -1, 1.9, 2^31, 2^32+5, 1e10, -1e10, 1e300, '7'}) do math.randomseed(s) r[#r+1] = tostring(math.random()) r[#r+1] = math.random(1000) end return r",
        "return math.random(0)", "return math.random(5, 1)", "return math.random(1, 2, 3)", "return math.random('x')", "return math.random(2^31)",
        "return {math.random(2.9), math.random(1.5, 3.9), math.random(-2^31, 2^31-1)}", "return math.random(1, 2^33)", "return math.randomseed()",

        "return {tostring(cjson.encode_sparse_array()), select('#', cjson.encode_sparse_array()), select(2, cjson.encode_sparse_array())}",
        "return {cjson.encode_max_depth(), cjson.decode_max_depth(), cjson.encode_number_precision(), tostring(cjson.encode_keep_buffer()), tostring(cjson.encode_invalid_numbers()), tostring(cjson.decode_invalid_numbers())}",
        """
        local r = {}
        for _, n in ipairs({'encode_max_depth', 'decode_max_depth', 'encode_number_precision', 'encode_keep_buffer', 'encode_invalid_numbers', 'decode_invalid_numbers', 'encode_sparse_array'}) do
            for _, a in ipairs({{0}, {-1}, {15}, {14}, {'14'}, {14.9}, {2^31}, {'x'}, {{}}, {1, 2, 3, 4}, {true, -1}, {true, 1, 'x'}, {'on'}, {'null'}, {false}, {'off', 2, 10}, {true}}) do
                r[#r+1] = n .. tostring(select(2, pcall(cjson[n], unpack(a))))
            end
        end
        cjson.encode_max_depth(1000) cjson.decode_max_depth(1000) cjson.encode_invalid_numbers(false) cjson.encode_sparse_array(false, 2, 10)
        return r
        """,
        "return cjson.encode_max_depth(0)", "return cjson.encode_number_precision(15)", "return cjson.encode_keep_buffer({})", "return cjson.encode_max_depth(1, 2)",
        "cjson.encode_sparse_array(true) local r = {cjson.encode({[1]=1, [100]=2}), cjson.encode({[5]=1}), cjson.encode({[10]=1}), cjson.encode({[11]=1}), cjson.encode({[2^33]=1})} cjson.encode_sparse_array(false) return r",
        "cjson.encode_sparse_array(false, 0) local r = cjson.encode({[30]=1}) cjson.encode_sparse_array(false, 2) return r",
        "cjson.encode_sparse_array(false, 2, 3) local r = {pcall(cjson.encode, {[4]=1})} cjson.encode_sparse_array(false, 2, 10) return r[2]",
        "return {cjson.encode({1,2,3,4,5,[11]=1}), cjson.encode({[0]=1}), cjson.encode({[-1]=1}), cjson.encode({[1.5]=1}), cjson.encode({[2^31]=1})}",
        "return cjson.encode({1,2,3,4,[11]=1})", "return cjson.encode({[true]=1})", "return cjson.encode({redis.call})", "return cjson.encode({[1/0]=1})", "return cjson.encode(0/0)",
        "return cjson.encode()", "return cjson.decode()", "return cjson.decode({})", "return cjson.decode(1)",
        "cjson.encode_invalid_numbers(true) local r = {cjson.encode({1/0, -1/0, 0/0, -(0/0)})} cjson.encode_invalid_numbers('null') r[2] = cjson.encode({1/0, 0/0, 1}) cjson.encode_invalid_numbers(false) return r",
        "cjson.encode_number_precision(3) local r = cjson.encode({3.14159, 123456}) cjson.encode_number_precision(14) return r",
        "local c = cjson.new() c.encode_number_precision(2) return {c.encode(1.234), cjson.encode(1.234), c._NAME}",
        "local t = {} for i = 1, 999 do t = {x = t} end return #cjson.encode(t)", "local t = {} for i = 1, 1000 do t = {t} end return #cjson.encode(t)",
        "return #cjson.decode(string.rep('[', 1000) .. string.rep(']', 1000))", "return #cjson.decode(string.rep('[', 1001) .. string.rep(']', 1001))",
        "return cjson.decode(string.rep('{\"a\":', 1001) .. '1' .. string.rep('}', 1001))",
        "cjson.decode_max_depth(3) local r = {pcall(cjson.decode, '[[[]]]'), pcall(cjson.decode, '[[[[]]]]')} cjson.decode_max_depth(1000) return r[3]",
        "local r = {} for _, s in ipairs({'nan', 'inf', '-inf', 'Infinity', '-NaN', '0x10', '+1', '007', '0x1p4', '1.', '-', '-x', '+', '.5', '1e', '1e5', '-0'}) do r[#r+1] = tostring(select(2, pcall(cjson.decode, s))) end return r",
        "cjson.decode_invalid_numbers(false) local r = {} for _, s in ipairs({'nan', '-inf', '0x10', '+1', '007', '-0', '1.', '-', '-x', '1e5'}) do r[#r+1] = tostring(select(2, pcall(cjson.decode, s))) end cjson.decode_invalid_numbers(true) return r",
        """
        local r = {}
        for _, s in ipairs({'', ' ', 'n', 'nul', 'tru', 'truex', 'f', 'N', 'Nan', '1 2', '1x', '[1 2]', '[1,]', '[,1]', '{', '{1', '{"a"', '{"a" 1', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}',
            '[', '[1', '[1,', '"a', '"a\\\\', '"a\\\\x', '"a\\\\u12', '"\\\\udc00"', '"\\\\ud800"', '"\\\\ud800\\\\u0041"', '"\\\\ud800x"', '{]', '[}', '}', ':', '[:]', '{"a":1:2}', 'a', '[1] x', '[1] [', '"a" "b"',
            '{"a":tru}', '[nul]', '{null:1}', '{"a",1}', '[1 "a\\\\x"]', '12\\0x', '1\\0', '\\0', '[1\\0]', '"a\\0b"', '\\239\\187\\191[]'}) do
            r[#r+1] = tostring(select(2, pcall(cjson.decode, s)))
        end
        return r
        """,
    ]

    @Test(.enabled(if: RedisPeer.isInstalled, "redis-server is not installed: run scripts/setup"))
    func `the libraries of scripts answer as those of Redis do`() async throws {
        let redis = try RedisPeer()
        let served = try await ServedKeyspace()
        let (theirs, ours) = (try redis.client(), try served.client())
        defer { withExtendedLifetime(redis) {} }
        for script in Self.scripts { #expect(try ours.call("EVAL", script, "0") == theirs.call("EVAL", script, "0"), "\(script)") }
        // A script asks of the client that called it.
        for client in [theirs, ours] {
            try client.call("ACL", "SETUSER", "ann", "on", "nopass", "~a*", "+get", "+set", "+eval")
            #expect(try client.call("AUTH", "ann", "x") == .status("OK"))
        }
        for words in ["'get', 'a'", "'get', 'b'", "'get'", "'set', 'a'", "'set', 'b'", "'del', 'a'", "'auth', 'x'", "'sort'", "'eval', 'x', '1', 'b'", "'eval', 'x'"] {
            let script = "return redis.acl_check_cmd(\(words))"
            #expect(try ours.call("EVAL", script, "0") == theirs.call("EVAL", script, "0"), "\(script)")
        }
        await served.stop()
    }

    /// Redis goes on until Lua's stack ends, some 2,600 levels deep: each takes a frame of C's stack.
    @Test func `JSON and MessagePack go a thousand levels deep, whatever a script sets`() {
        let it = Conversation()
        func says(_ script: String) -> String { it.say("EVAL", script, "0") }
        #expect(says("cjson.encode_max_depth(1e6) cjson.decode_max_depth(1e6) return cjson.encode_max_depth()") == ":1000000|")
        let nested = "local t = {} for i = 2, tonumber(ARGV[1]) do t = {t} end "
        func encodes(_ levels: Int) -> String { it.say("EVAL", nested + "return #cjson.encode(t)", "0", "\(levels)") }
        #expect(encodes(1000) == ":2000|" && encodes(1001).contains("excessive nesting (1001)") && encodes(100_000).contains("excessive nesting (1001)"))
        func decodes(_ levels: Int) -> String { it.say("EVAL", "return #cjson.decode(string.rep('[', ARGV[1]) .. string.rep(']', ARGV[1]))", "0", "\(levels)") }
        #expect(decodes(1000) == ":1|" && decodes(1001).contains("structures (1001) at character 1001") && decodes(100_000).contains("(1001)"))
        func unpacks(_ levels: Int) -> String { it.say("EVAL", "return #cmsgpack.unpack(string.rep('\\145', ARGV[1]) .. '\\1')", "0", "\(levels)") }
        #expect(unpacks(1000) == ":1|" && unpacks(1001).contains("too many nested tables") && unpacks(100_000).contains("too many nested tables"))
    }

    @Test func `what a script sets of cjson stays until SCRIPT FLUSH`() {
        let it = Conversation()
        #expect(it.say("EVAL", "return cjson.encode_number_precision(3)", "0") == ":3|")
        #expect(it.say("EVAL", "return cjson.encode(3.14159)", "0") == "$4|3.14|")
        _ = it.line("SCRIPT FLUSH")
        #expect(it.say("EVAL", "return cjson.encode(3.14159)", "0") == "$7|3.14159|")
    }

    /// An index is a number that a script made up: what it says must not be written down in full.
    @Test func `an array of which almost all is missing is bounded by Lua's memory`() {
        let it = Conversation()
        let reply = it.say("EVAL", "cjson.encode_sparse_array(false, 0) return #cjson.encode({[2^31-1] = 1})", "0")
        #expect(reply.contains("not enough memory"), "\(reply)")
    }
}
