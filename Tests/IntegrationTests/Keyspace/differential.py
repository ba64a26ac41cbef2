#!/usr/bin/env python3
"""Sends the same seeded random commands to two servers and compares their replies byte for byte.

usage: differential.py EXPECTED ACTUAL SEED COUNT      servers as HOST:PORT or the path of a Unix socket

How it works:
1. A command is drawn from the table below, with keys of a small set, so that types meet each other, and with arguments weighted to
   edges: empty, huge, negative, not a number, infinite, out of range, wrong type.
2. Both servers get it, in pieces of several commands at a time. Replies are compared as they stand but for what has no order (members
   of sets, fields of hashes) or depends on the moment (deadlines and what remains to them), and for how a double is printed:
   Redis 7.2 writes the shortest text, 7.0 writes 17 digits.
3. Every few hundred commands all keys are compared: type, deadline, content; and what MONITOR shows of some, and what keys tell of some, on another
   connection.
4. At the beginning what saves is compared, where both have a directory and a log, and of INFO the names of sections and fields.
A difference ends with status 1, the command, both replies and the commands on the same keys before it.
"""
import random, re, socket, sys, time


class Connection:
    def __init__(self, address):
        if address.startswith("/"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(address)
        else:
            host, port = address.rsplit(":", 1)
            self.socket = socket.create_connection((host, int(port)))
        self.socket.settimeout(60)
        self.file = self.socket.makefile("rb")

    def send(self, commands):
        out = bytearray()
        for words in commands:
            out += b"*%d\r\n" % len(words)
            for word in words:
                out += b"$%d\r\n%s\r\n" % (len(word), word)
        self.socket.sendall(out)

    def reply(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError("the connection was closed")
        kind, rest = line[:1], line[1:-2]
        if kind in b"+-:,#(":
            return (kind, rest)
        if kind == b"_":
            return None
        if kind in b"$=":
            if rest == b"-1":
                return None
            data = self.file.read(int(rest) + 2)
            return data[:-2]
        if kind in b"*~>":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        if kind == b"%":
            return [self.reply() for _ in range(2 * int(rest))]
        raise ValueError(line)

    def ask(self, *words):
        self.send([[w if isinstance(w, bytes) else str(w).encode() for w in words]])
        return self.reply()


R = random.Random()
KEYS = [b"a", b"b", b"c", b"d", b"e", b"f", b"", b"key:with:more:bytes:than:sixteen"]


DUMPED = bytes.fromhex("0001760a009108ceb219388ace")  # v, as Redis 7.0 dumps it.


def key(): return R.choice(KEYS)
def member(): return R.choice([b"", b"0", b"1", b"2", b"m", b"n", b"abc", b"x" * 70, b"\x01\xff\r\n\x00z", b"%d" % R.randint(0, 300)])
def value(): return R.choice([b"", b"0", b"10", b"-1", b"9223372036854775807", b"-9223372036854775808", b"3.5", b"1e5", b"abc", b" 1", b"01", b"v" * 45, b"v" * 200, member()])
def integer(): return R.choice([b"0", b"1", b"-1", b"2", b"5", b"-5", b"100", b"-100", b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808", b"abc", b"", b"1.5", b"007", b"+1", b" 1"])
def small(): return R.choice([b"0", b"1", b"2", b"3", b"-1", b"-2", b"-3", b"5", b"-5", b"10", b"100", b"-100"]) if R.random() < .9 else integer()
def score(): return R.choice([b"0", b"1", b"-1", b"1.5", b"2", b"3", b"inf", b"-inf", b"+inf", b"nan", b"abc", b"1e10", b"-0.5", b"0.1", b"1e400", b"", b"5", b"infinity", b"-0"]) if R.random() < .4 else b"%d" % R.randint(-10, 10)
def bound(): return R.choice([b"", b"("]) + R.choice([b"-inf", b"+inf", b"inf", b"0", b"1", b"2", b"-3", b"1.5", b"abc", b"5"])
def lex(): return R.choice([b"-", b"+", b"[a", b"(a", b"[m", b"(m", b"[", b"(", b"[z", b"a", b"", b"(n"])
def some(make, low=1, high=4): return [make() for _ in range(R.randint(low, high))]
def word(*words): return R.choice(words)
def level(): return R.choice([b"level1", b"level2"])
def maybe(words, chance=.3): return list(words) if R.random() < chance else []
def cased(w): return w if R.random() < .9 else w.lower()
def lifetime(): return b"%d" % (1_000_000 + 1000 * R.randint(0, 90_000))  # Seldom the same twice: GT and LT then hang on the millisecond at which a server had the first.
def ttl(): return lifetime() if R.random() < .4 else R.choice([b"0", b"-1", b"9223372036854775807", b"abc", b"-9223372036854775808"])
def at(): return R.choice([b"4102444800", b"4102444800000", b"1", b"0", b"-1", b"abc", b"9223372036854775807"])
def moment(): return R.choice([[b"EXAT", b"4102444800"], [b"PXAT", b"4102444800000"], [word(b"EXAT", b"PXAT"), word(b"0", b"-1", b"abc")]])  # None gone by: Redis counts such a key until it finds out.
def pairs(first, second, low=1, high=3): return [x for _ in range(R.randint(low, high)) for x in (first(), second())]
def many(): return R.choice([b"1000", b"1000", b"0", b"abc", b"9223372036854775808", b"9223372036854775807", b"-9223372036854775808", b"-9223372036854775809"])
def cursor(): return R.choice([b"0", b"0", b"0", b"0", b"-0", b"+0", b"", b"abc", b" 0", b"-", b"--1", b"18446744073709551616", b"-18446744073709551616"])
def limit(): return maybe([b"LIMIT", small(), small()], .4)


# name: arguments. Repeated entries are drawn more often.
TABLE = {
    "SET": lambda: [key(), value()] + maybe([word(b"NX", b"XX", b"GET", b"KEEPTTL")], .3) + maybe([word(b"EX", b"PX"), ttl()], .15) + maybe(moment(), .1) + maybe([word(b"GET", b"NX", b"KEEPTTL")], .1),
    "GET": lambda: [key()], "GETDEL": lambda: [key()], "GETSET": lambda: [key(), value()], "SETNX": lambda: [key(), value()],
    "GETEX": lambda: [key()] + maybe([word(b"EX", b"PX"), ttl()], .4) + maybe([b"PERSIST"], .2),
    "SETEX": lambda: [key(), ttl(), value()], "PSETEX": lambda: [key(), ttl(), value()],
    "APPEND": lambda: [key(), value()], "STRLEN": lambda: [key()],
    "INCR": lambda: [key()], "DECR": lambda: [key()], "INCRBY": lambda: [key(), integer()], "DECRBY": lambda: [key(), integer()],
    "INCRBYFLOAT": lambda: [key(), score()],
    "MGET": lambda: some(key), "MSET": lambda: pairs(key, value) + maybe([key()], .1), "MSETNX": lambda: pairs(key, value),
    "GETRANGE": lambda: [key(), small(), small()], "SUBSTR": lambda: [key(), small(), small()],
    "SETRANGE": lambda: [key(), R.choice([b"0", b"1", b"5", b"-1", b"536870912", b"abc", b"20"]), value()],
    "LCS": lambda: [key(), key()] + maybe([b"LEN"]) + maybe([b"IDX"]) + maybe([b"MINMATCHLEN", small()]) + maybe([b"WITHMATCHLEN"]),
    "SETBIT": lambda: [key(), R.choice([b"0", b"1", b"7", b"8", b"100", b"-1", b"4294967296", b"abc"]), R.choice([b"0", b"1", b"2", b"a"])],
    "GETBIT": lambda: [key(), R.choice([b"0", b"1", b"7", b"8", b"100", b"-1", b"4294967295", b"abc"])],
    "BITCOUNT": lambda: [key()] + maybe([small(), small()] + maybe([word(b"BYTE", b"BIT", b"x")]), .6),
    "BITPOS": lambda: [key(), R.choice([b"0", b"1", b"2"])] + maybe([small()] + maybe([small()] + maybe([word(b"BYTE", b"BIT", b"x")])), .6),
    "BITOP": lambda: [word(b"AND", b"OR", b"XOR", b"NOT", b"nand"), key()] + some(key, 1, 3),
    "DEL": lambda: some(key, 1, 2), "UNLINK": lambda: [key()], "EXISTS": lambda: some(key), "TOUCH": lambda: some(key), "TYPE": lambda: [key()],
    "EXPIRE": lambda: [key(), ttl()] + maybe([word(b"NX", b"XX", b"GT", b"LT", b"zz")]) + maybe([word(b"GT", b"XX")], .1),
    "PEXPIRE": lambda: [key(), R.choice([lifetime(), ttl()])], "EXPIREAT": lambda: [key(), at()] + maybe([word(b"NX", b"XX", b"GT", b"LT")]),
    "PEXPIREAT": lambda: [key(), at()], "TTL": lambda: [key()], "PTTL": lambda: [key()], "EXPIRETIME": lambda: [key()], "PEXPIRETIME": lambda: [key()],
    "PERSIST": lambda: [key()], "RENAME": lambda: [key(), key()], "RENAMENX": lambda: [key(), key()],
    "COPY": lambda: [key(), key()] + maybe([b"REPLACE"], .5) + maybe([b"DB", R.choice([b"0", b"1", b"99", b"x"])], .2),
    "MOVE": lambda: [key(), R.choice([b"0", b"1", b"16", b"a"])],
    "KEYS": lambda: [R.choice([b"*", b"a*", b"?", b"[a-c]", b"[^a]", b"*b*", b"\\a", b"", b"[", b"key*n"])], "DBSIZE": lambda: [],
    "HSET": lambda: [key()] + pairs(member, value) + maybe([member()], .05), "HMSET": lambda: [key()] + pairs(member, value), "HSETNX": lambda: [key(), member(), value()],
    "HGET": lambda: [key(), member()], "HMGET": lambda: [key()] + some(member), "HDEL": lambda: [key()] + some(member), "HLEN": lambda: [key()],
    "HSTRLEN": lambda: [key(), member()], "HEXISTS": lambda: [key(), member()], "HGETALL": lambda: [key()], "HKEYS": lambda: [key()], "HVALS": lambda: [key()],
    "HINCRBY": lambda: [key(), member(), integer()], "HINCRBYFLOAT": lambda: [key(), member(), score()],
    "LPUSH": lambda: [key()] + some(value), "RPUSH": lambda: [key()] + some(value), "LPUSHX": lambda: [key()] + some(value, 1, 2), "RPUSHX": lambda: [key()] + some(value, 1, 2),
    "LPOP": lambda: [key()] + maybe([small()]), "RPOP": lambda: [key()] + maybe([small()]), "LLEN": lambda: [key()], "LINDEX": lambda: [key(), small()],
    "LSET": lambda: [key(), small(), value()], "LINSERT": lambda: [key(), word(b"BEFORE", b"AFTER", b"x"), value(), value()],
    "LRANGE": lambda: [key(), small(), small()], "LTRIM": lambda: [key(), R.choice([b"0", b"1", b"-10", b"-100"]), R.choice([b"-1", b"10", b"-2", b"100", b"0"])],
    "LREM": lambda: [key(), small(), value()],
    "LPOS": lambda: [key(), value()] + maybe([b"RANK", word(b"0", b"1", b"2", b"-1", b"-3", b"abc")]) + maybe([b"COUNT", small()]) + maybe([b"MAXLEN", small()]),
    "LMOVE": lambda: [key(), key(), word(b"LEFT", b"RIGHT"), word(b"LEFT", b"RIGHT", b"UP")], "RPOPLPUSH": lambda: [key(), key()],
    "LMPOP": lambda: [R.choice([b"1", b"2", b"0", b"-1", b"a"]), key(), key(), word(b"LEFT", b"RIGHT", b"x")] + maybe([b"COUNT", small()]),
    "SADD": lambda: [key()] + some(member), "SREM": lambda: [key()] + some(member), "SISMEMBER": lambda: [key(), member()], "SMISMEMBER": lambda: [key()] + some(member),
    "SCARD": lambda: [key()], "SMEMBERS": lambda: [key()], "SMOVE": lambda: [key(), key(), member()], "SINTER": lambda: some(key), "SUNION": lambda: some(key), "SDIFF": lambda: some(key),
    "SINTERSTORE": lambda: [key()] + some(key), "SUNIONSTORE": lambda: [key()] + some(key), "SDIFFSTORE": lambda: [key()] + some(key),
    "SINTERCARD": lambda: [R.choice([b"1", b"2", b"0", b"3", b"a"]), key(), key()] + maybe([b"LIMIT", small()]), "SPOP": lambda: [key(), R.choice([b"0", b"1000", b"-1", b"a"])],
    "zadd": lambda: [level()] + pairs(lambda: b"0", member),
    "ZADD": lambda: [key()] + maybe([word(b"NX", b"XX", b"GT", b"LT")]) + maybe([word(b"CH", b"INCR", b"GT")], .2) + pairs(score, member) + maybe([score()], .05),
    "ZINCRBY": lambda: [key(), score(), member()], "ZREM": lambda: [key()] + some(member), "ZSCORE": lambda: [key(), member()], "ZMSCORE": lambda: [key()] + some(member),
    "ZCARD": lambda: [key()], "ZRANK": lambda: [key(), member()], "ZREVRANK": lambda: [key(), member()], "ZCOUNT": lambda: [key(), bound(), bound()], "ZLEXCOUNT": lambda: [level(), lex(), lex()],
    "ZRANGE": lambda: R.choice([lambda: [key(), small(), small()] + maybe([b"REV"]) + maybe([b"WITHSCORES"]) + maybe(limit(), .1),
                                lambda: [key(), bound(), bound(), b"BYSCORE"] + maybe([b"REV"]) + limit() + maybe([b"WITHSCORES"]),
                                lambda: [level(), lex(), lex(), b"BYLEX"] + maybe([b"REV"]) + limit() + maybe([b"WITHSCORES"], .1)])(),
    "ZREVRANGE": lambda: [key(), small(), small()] + maybe([b"WITHSCORES"]), "ZRANGEBYSCORE": lambda: [key(), bound(), bound()] + maybe([b"WITHSCORES"]) + limit(),
    "ZREVRANGEBYSCORE": lambda: [key(), bound(), bound()] + limit(), "ZRANGEBYLEX": lambda: [level(), lex(), lex()] + limit(), "ZREVRANGEBYLEX": lambda: [level(), lex(), lex()] + limit(),
    "ZRANGESTORE": lambda: [key()] + R.choice([lambda: [key(), small(), small()], lambda: [key(), bound(), bound(), b"BYSCORE"] + limit(), lambda: [level(), lex(), lex(), b"BYLEX"]])() + maybe([b"REV"]),
    "ZREMRANGEBYRANK": lambda: [key(), small(), small()], "ZREMRANGEBYSCORE": lambda: [key(), bound(), bound()], "ZREMRANGEBYLEX": lambda: [level(), lex(), lex()],
    "ZPOPMIN": lambda: [key()] + maybe([small()]), "ZPOPMAX": lambda: [key()] + maybe([small()]),
    "ZMPOP": lambda: [R.choice([b"1", b"2", b"0", b"a"]), key(), key(), word(b"MIN", b"MAX", b"x")] + maybe([b"COUNT", small()]),
    "ZUNION": lambda: algebra([]), "ZINTER": lambda: algebra([]), "ZDIFF": lambda: [b"2", key(), key()] + maybe([b"WITHSCORES"]),
    "ZUNIONSTORE": lambda: algebra([key()]), "ZINTERSTORE": lambda: algebra([key()]), "ZDIFFSTORE": lambda: [key(), b"2", key(), key()],
    "ZINTERCARD": lambda: [R.choice([b"1", b"2", b"0"]), key(), key()] + maybe([b"LIMIT", small()]),
    "BLPOP": lambda: some(key, 1, 2) + [R.choice([b"-1", b"abc", b"-0.5"])], "OBJECT": lambda: [word(b"x", b"FREQ", b"IDLETIME", b"FREQ"), key()],
    "SELECT": lambda: [R.choice([b"0", b"0", b"0", b"1", b"16", b"a", b"-1"])], "PING": lambda: some(value, 0, 2), "ECHO": lambda: [value()],
    # So short that the wait for an absent key is one of milliseconds.
    "BRPOP": lambda: some(key, 1, 2) + [R.choice([b"-1", b"abc", b"0.001"])], "BRPOPLPUSH": lambda: [key(), key(), R.choice([b"-1", b"x", b"0.001"])],
    "BLMOVE": lambda: [key(), key(), word(b"LEFT", b"RIGHT"), word(b"LEFT", b"RIGHT", b"UP"), R.choice([b"-1", b"x", b"0.001"])],
    "BLMPOP": lambda: [R.choice([b"-1", b"x", b"0.001"]), R.choice([b"1", b"2", b"0"]), key(), key(), word(b"LEFT", b"RIGHT", b"x")] + maybe([b"COUNT", small()]),
    "BZPOPMIN": lambda: some(key, 1, 2) + [R.choice([b"-1", b"abc", b"0.001"])], "BZPOPMAX": lambda: [key(), R.choice([b"-1", b"abc", b"0.001"])],
    "BZMPOP": lambda: [R.choice([b"-1", b"x", b"0.001"]), R.choice([b"1", b"2", b"0"]), key(), key(), word(b"MIN", b"MAX", b"x")] + maybe([b"COUNT", small()]),
    # More than there are: all of them, in any order.
    "HRANDFIELD": lambda: [key(), many()] + maybe([word(b"WITHVALUES", b"x")]),
    "SRANDMEMBER": lambda: [key(), many()],
    "ZRANDMEMBER": lambda: [key(), many()] + maybe([word(b"WITHSCORES", b"x")]),
    "SCAN": lambda: [cursor(), b"COUNT", word(b"1000", b"0", b"x")] + maybe([b"MATCH", R.choice([b"*", b"a*", b"?"])]) + maybe([b"TYPE", word(b"string", b"zset", b"nosuch")]),
    "HSCAN": lambda: scan(), "SSCAN": lambda: scan(), "ZSCAN": lambda: scan(), "RANDOMKEY": lambda: [],
    "DUMP": lambda: [key()], "RESTORE": lambda: [key(), R.choice([b"0", b"-1", b"x", b"9223372036854775807"]), R.choice([b"", b"garbage", b"\x00" * 12, DUMPED])] + maybe([word(b"REPLACE", b"x")]),
    "SORT_RO": lambda: [key(), b"ALPHA", b"BY", b"nosort", b"STORE", key()] if R.random() < .1 else [key()] + limit() + maybe([b"GET", R.choice([b"#", b"*"])], .3),
    "EVAL": lambda: R.choice(SCRIPTS)() if R.random() < .9 else [b"return 1", R.choice([b"-1", b"x", b"5"])],
    "EVAL_RO": lambda: [b"return redis.call(ARGV[1], KEYS[1])", b"1", key(), word(b"get", b"incr", b"type", b"nosuch")],
    "EVALSHA": lambda: [word(b"0" * 40, b"abc"), b"0"], "EVALSHA_RO": lambda: [b"f" * 40, b"0"],
    "SCRIPT": lambda: R.choice([[b"EXISTS", b"0" * 40, b"x"], [b"LOAD", b"return 7"], [b"LOAD", b"return return"], [b"FLUSH", word(b"SYNC", b"ASYNC", b"x")], [b"KILL"]]),
    "CONFIG": lambda: R.choice([[b"GET", word(b"hash-max-listpack-entries", b"databases", b"appendonly", b"nosuch", b"set-max-intset*")], [b"SET", b"nosuch", b"1"],
                                [b"SET", b"databases", b"2"], [b"SET", b"timeout"], [b"REWRITE"]]),
    "COMMAND": lambda: getkeys(), "INFO": lambda: some(lambda: word(*SECTIONS), 0, 2), "SAVE": lambda: [b"x"], "BGSAVE": lambda: [b"x"], "BGREWRITEAOF": lambda: [b"x"],
    "MONITOR": lambda: [b"x"], "FLUSHALL": lambda: [b"x"], "TIME": lambda: [], "LASTSAVE": lambda: [b"x"],
    "MEMORY": lambda: [b"USAGE", key()] + maybe([b"SAMPLES", word(b"5", b"-1", b"x")]), "SLOWLOG": lambda: [b"GET", word(b"-2", b"x")], "ROLE": lambda: [],
    "LATENCY": lambda: [word(b"HISTORY", b"GRAPH"), b"none"], "REPLICAOF": lambda: [b"NO", b"ONE"], "LOLWUT": lambda: [b"VERSION", b"x"], "DEBUG": lambda: [b"SLEEP", b"0"],
    "CLIENT": lambda: R.choice([[b"GETNAME"], [b"SETNAME", word(b"me", b"a b", b"")], [b"NO-EVICT", word(b"ON", b"OFF", b"x")], [b"KILL", b"ID", word(b"0", b"x", b"99999")],
                                [b"LIST", b"TYPE", b"x"], [b"TRACKING", b"OFF"], [b"GETREDIR"], [b"CACHING", b"YES"], [b"UNBLOCK", b"99999"], [b"PAUSE", word(b"x", b"-1")],
                                [b"KILL", b"1.1.1.1:1"], [b"REPLY", b"x"], [b"TRACKING", b"ON", word(b"BCAST", b"x", b"PREFIX"), b"OPTIN"],
                                [b"ID"], [b"INFO"], [b"LIST"], [b"LIST", b"ID", word(b"99999", b"0", b"-1", b"9223372036854775808")], [b"TRACKING", b"ON", b"OPTIN", b"OPTOUT"], [b"LIST", b"ID", b"x"], [b"TRACKINGINFO"], [b"UNPAUSE"], [b"REPLY", b"ON"],
                                [b"PAUSE", b"0", word(b"WRITE", b"ALL", b"x")], [b"CACHING", b"x"], [b"UNBLOCK", word(b"99999", b"x"), word(b"TIMEOUT", b"ERROR", b"x")],
                                [b"KILL", b"TYPE", word(b"pubsub", b"x")], [b"KILL", b"SKIPME", b"x"], [b"KILL", b"USER", b"nobody"], [b"KILL", b"LADDR", b"1.1.1.1:1"],
                                [b"TRACKING", b"ON", b"REDIRECT", word(b"99999", b"x")], [b"TRACKING", word(b"x", b"OFF"), b"NOLOOP"], [b"SETNAME"], [b"GETNAME", b"x"]]),
    "HELLO": lambda: [word(b"x", b"4", b"1")], "AUTH": lambda: [word(b"a", b"nobody"), b"wrong"], "RESET": lambda: [],
    "ACL": lambda: R.choice([[b"WHOAMI"], [b"CAT", b"nosuch"], [b"GETUSER", b"nobody"], [b"DELUSER", b"nobody"], [b"DRYRUN", b"nobody", b"get", b"a"]]),
    "PUBLISH": lambda: [key(), value()], "SPUBLISH": lambda: [key(), value()],
    "PUBSUB": lambda: R.choice([[b"CHANNELS"], [b"NUMSUB"] + some(key, 0, 2), [b"NUMPAT"], [b"SHARDCHANNELS"], [b"SHARDNUMSUB"] + some(key, 0, 2)]),
    "UNSUBSCRIBE": lambda: [key()], "PUNSUBSCRIBE": lambda: [key()], "SUNSUBSCRIBE": lambda: [key()],
    "UNWATCH": lambda: [], "WATCH": lambda: some(key, 1, 2), "EXEC": lambda: [], "DISCARD": lambda: [], "SHUTDOWN": lambda: [word(b"x", b"ABORT")],
    "FLUSHDB": lambda: [b"x"], "NOSUCH": lambda: some(value, 0, 3), "SWAPDB": lambda: [b"0", R.choice([b"0", b"16", b"a"])], "WAIT": lambda: [b"0", b"0"],
    "XADD": lambda: [key(), R.choice([b"0-0", b"abc", b"1-x"]), member(), value()] if R.random() < .2 else [key(), b"%d-%d" % (R.randint(1, 50), R.randint(0, 3))] + pairs(member, value) + maybe([member()], .05),
    "XLEN": lambda: [key()], "XRANGE": lambda: [key(), xid(b"-"), xid(b"+")] + maybe([b"COUNT", small()]), "XREVRANGE": lambda: [key(), xid(b"+"), xid(b"-")] + maybe([b"COUNT", small()]),
    "XDEL": lambda: [key()] + some(lambda: xid(b"5-1"), 1, 3), "XTRIM": lambda: [key(), b"MAXLEN", small()] if R.random() < .5 else [key(), b"MINID", xid(b"7")],
    "XREAD": lambda: maybe([b"COUNT", small()]) + [b"STREAMS", key(), R.choice([xid(b"0"), b">", b"+"])],
    "SORT": lambda: [key()] + maybe([b"ALPHA"], .6) + maybe([word(b"DESC", b"ASC")]) + limit() + maybe([b"GET", R.choice([b"#", b"*", b"*->m"])], .2)
        if R.random() < .8 else [key(), b"BY", R.choice([b"*", b"w_*", b"*->m"])] + (limit() if R.random() < .5 else [b"ALPHA"])
        if R.random() < .9 else [key(), b"ALPHA", b"STORE", key()],
}


# What INFO knows; what is in modules and replication is the same for want of both.
SECTIONS = [b"server", b"clients", b"memory", b"persistence", b"stats", b"replication", b"cpu", b"modules", b"errorstats", b"cluster", b"keyspace", b"default", b"all",
            b"everything", b"nosuch", b"commandstats", b"latencystats", b"STATS"]

# Settings that both can change, and values; those that are no values come last.
SETTINGS = [(b"slowlog-log-slower-than", [b"-1", b"1000000", b"10000", b"x", b"-2"]), (b"slowlog-max-len", [b"128", b"0", b"1000", b"x"]), (b"timeout", [b"0", b"3600", b"-1", b"x"]),
            (b"latency-monitor-threshold", [b"0", b"1000", b"-1", b"x"]), (b"notify-keyspace-events", [b"", b"KEA", b"Kx", b"AKE", b"g$lshzxetdm", b"KEmn", b"q"]),
            (b"maxmemory", [b"1gb", b"512MB", b"1000000000", b"1x", b"-1", b""]), (b"maxmemory-policy", [b"allkeys-lru", b"volatile-ttl", b"noeviction"]),
            (b"appendfsync", [b"no", b"everysec", b"NO", b"never"]), (b"auto-aof-rewrite-percentage", [b"100", b"0", b"-1", b"x"]),
            (b"auto-aof-rewrite-min-size", [b"64mb", b"1gb", b"x"]), (b"save", [b"3600 1", b"", b"3600 1 300 100", b"x", b"0 1", b"1"]), (b"acllog-max-len", [b"128"]),
            (b"tracking-table-max-keys", [b"1000000", b"7", b"x"]), (b"maxclients", [b"10000", b"9000", b"x"]), (b"hash-max-listpack-entries", [b"512"]),
            (b"requirepass", [b""]), (b"lfu-log-factor", [b"10", b"0", b"-1", b"x"]), (b"lfu-decay-time", [b"1", b"0", b"60", b"-1", b"2147483648"]), (b"acl-pubsub-default", [b"resetchannels"]), (b"busy-reply-threshold", [b"5000", b"x"]), (b"databases", [b"17"]), (b"dir", [b"/nosuch"]),
            (b"proto-max-bulk-len", [b"536870912"]), (b"nosuch", [b"1"])]


def setting():
    """Set, and asked for."""
    name, values = R.choice(SETTINGS)
    chosen = R.choice(values)
    again = [name, R.choice(values)] if R.random() < .05 else []
    asked = [[b"CONFIG", b"GET", name]] if name not in (b"dir", b"maxmemory", b"maxmemory-policy") else []
    restored = [[b"CONFIG", b"SET", b"notify-keyspace-events", b""], [b"CONFIG", b"SET", b"maxmemory-policy", b"noeviction"], [b"CONFIG", b"SET", b"save", b""]]
    return [[b"CONFIG", cased(b"SET"), name, chosen] + again] + asked + restored


def counted_uses():
    """Where uses are counted, the time of the last one is not known, and the other way round."""
    return [[b"CONFIG", b"SET", b"maxmemory-policy", b"allkeys-lfu"], [b"OBJECT", b"FREQ", key()], [b"OBJECT", b"IDLETIME", key()],
            [b"CONFIG", b"SET", b"maxmemory-policy", b"noeviction"], [b"OBJECT", b"FREQ", key()]]


# Commands that belong together: subscriptions, in which little else may be said, and transactions.
def subscription():
    kind = word(b"", b"p", b"s")
    return [[kind + b"subscribe", b"ch"], [b"PING"], [b"GET", key()], [kind + b"unsubscribe", b"ch"]]


def caching():
    """What CLIENT CACHING says is said of the next command alone."""
    mode, said = R.choice([(b"OPTIN", b"YES"), (b"OPTOUT", b"NO")])
    return [[b"CLIENT", b"TRACKING", b"ON", mode], [b"CLIENT", b"CACHING", said], [b"CLIENT", b"TRACKINGINFO"], [b"GET", key()], [b"CLIENT", b"TRACKINGINFO"], [b"CLIENT", b"TRACKING", b"OFF"]]


def user():
    """A user's rules, as they are said again. Of commands one rule: of several Redis 7.0 says what they come to."""
    rules = some(lambda: word(b"on", b"off", b"nopass", b"~a", b"%R~b", b"~*", b"&x", b"&y*", b"&*", b"resetchannels", b"resetkeys", b"reset"), 0, 5)
    rules += maybe([word(b"+get", b"+@all", b"-@all", b"+@read")], .5)
    return [[b"ACL", b"SETUSER", b"u"] + rules, [b"ACL", b"GETUSER", b"u"], [b"ACL", b"LIST"], [b"ACL", b"DELUSER", b"u"]]


def transaction(names):
    commands = [[name.encode()] + TABLE[name]() for name in R.choices(names, k=R.randint(0, 5)) if name not in ("WATCH", "EXEC", "DISCARD", "RESET")]
    return [[b"MULTI"]] + commands + [[word(b"EXEC", b"EXEC", b"EXEC", b"DISCARD")]]


# These would do what they say without the word that is wrong: an end, a file, another moment, another server's name.
WHOLE = {"SHUTDOWN", "SAVE", "BGSAVE", "BGREWRITEAOF", "MONITOR", "LASTSAVE", "INFO", "LOLWUT", "SPOP", "SRANDMEMBER"}


# Shown by both, but the effects in another order, or with what hangs on the moment: scripts and what they call; RESET, which ends all of it.
UNMONITORED = {"EVAL", "EVAL_RO", "EVALSHA", "EVALSHA_RO", "SCRIPT", "EXEC", "RESET", "MONITOR", "WATCH", "SELECT"}


# Who look keys up in the order of a table, or draw elements; and settings, among which is what keys tell.
UNTOLD = UNMONITORED | {"CONFIG", "SPOP", "CLIENT", "SORT", "SORT_RO"}


def getkeys():
    name = R.choice([name for name in TABLE if name not in ("COMMAND", "NOSUCH")])
    arguments = TABLE[name]()
    if R.random() < .1 and arguments: arguments.pop()
    return [b"GETKEYS", name.encode()] + arguments


def scan(): return [key(), cursor(), b"COUNT", word(b"1000", b"1000", b"0", b"x")] + maybe([b"MATCH", R.choice([b"*", b"m*", b"?"])])


def json(depth=0):
    """JSON, and what is nearly JSON."""
    pieces = [b"1", b"-0", b"1e3", b"007", b"0x1f", b"nan", b"-inf", b"tru", b"null", b"true", b"\"a\"", b"\"\\u00e9\"", b"\"\\ud800\"", b"\"\\x", b"", b" ", b"]", b"+1", b"1.5"]
    if depth > 3 or R.random() < .4: return R.choice(pieces)
    inner = [json(depth + 1) for _ in range(R.randint(0, 3))]
    return R.choice([b"[" + b",".join(inner) + b"]", b"{" + b" , ".join(b"\"k%d\" : " % n + x for n, x in enumerate(inner)) + b"}", b"[" + b" ".join(inner)])


def packed(): return bytes(R.choice([1, 127, 0x80, 0x81, 0x91, 0x92, 0xA1, 0xC0, 0xC2, 0xC3, 0xCA, 0xCC, 0xCF, 0xD0, 0xD3, 0xD9, 0xDC, 0xFF, 0]) for _ in range(R.randint(0, 12)))
def integer(): return word(b"-1", b"0", b"1", b"2", b"3", b"14", b"15", b"1000", b"4294967296", b"1e300", b"1.9", b"x")
def choice(): return word(b"true", b"false", b"nil", b"'on'", b"'off'", b"'null'", b"1")
def with_settings(body):
    """A script that sets what it likes of cjson, and sets it back: what it raised comes as a value."""
    sets = R.choice([b"cjson.encode_max_depth(%s)" % integer(), b"cjson.decode_max_depth(%s)" % integer(), b"cjson.encode_number_precision(%s)" % integer(),
        b"cjson.encode_invalid_numbers(%s)" % choice(), b"cjson.decode_invalid_numbers(%s)" % choice(), b"cjson.encode_keep_buffer(%s)" % choice(),
        b"cjson.encode_sparse_array(%s, %s, %s)" % (choice(), integer(), integer()), b"1, 2"])
    return (b"local x = '*' local r = {pcall(function() local a = {%s} return tostring(a[1]) .. tostring(a[2]), %s end)} "
        b"cjson.encode_max_depth(1000) cjson.decode_max_depth(1000) cjson.encode_number_precision(14) cjson.encode_invalid_numbers(false) "
        b"cjson.decode_invalid_numbers(true) cjson.encode_keep_buffer(true) cjson.encode_sparse_array(false, 2, 10) return {tostring(r[1]), r[2], r[3]}") % (sets, body)



SCRIPTS = [
    lambda: [b"return redis.pcall('xread', 'block', ARGV[1], 'streams', KEYS[1], '$')", b"1", key(), word(b"0", b"x")],
    lambda: [b"return redis.call('get', KEYS[1])", b"1", key()], lambda: [b"return {redis.pcall('incr', KEYS[1]), ARGV[1], 3.7, false, true}", b"1", key(), value()],
    lambda: [b"return redis.pcall('lpush', KEYS[1], ARGV[1])", b"1", key(), value()], lambda: [b"return redis.error_reply('MY ' .. ARGV[1])", b"0", b"words"],
    lambda: [b"return redis.status_reply('FINE')", b"0"], lambda: [b"return redis.sha1hex(ARGV[1])", b"0", value()],
    lambda: [b"return cjson.encode({1, 2, ARGV[1]})", b"0", word(b"x", b"\"", b"1")], lambda: [b"return {#KEYS, #ARGV, KEYS, ARGV}", b"2", key(), key(), value()],
    lambda: [b"redis.call('set', KEYS[1], ARGV[1]) return redis.call('type', KEYS[1])", b"1", key(), value()],
    lambda: [with_settings(b"cjson.encode(cjson.decode(ARGV[1]))"), b"0", json()], lambda: [b"return cjson.decode(ARGV[1])", b"0", json()],
    lambda: [with_settings(b"cjson.encode({%s})" % word(b"1.23456, 2, {3}", b"[3]=1", b"[11]=1", b"[0]=1, x=2", b"1/0, -1/0, 0/0", b"{{{}}}", b"[2^31]=1", b"x", b"1,2,3,4,5,[11]=1")), b"0"],
    lambda: [b"return {cmsgpack.unpack_limit(ARGV[1], ARGV[2], ARGV[3])}", b"0", packed(), integer(), integer()], lambda: [b"return {cmsgpack.unpack(ARGV[1])}", b"0", packed()],
    lambda: [b"math.randomseed(ARGV[1]) return {tostring(math.random()), math.random(ARGV[2])}", b"0", integer(), integer()], lambda: [b"return tostring(math.random())", b"0"],
    lambda: [b"return redis.acl_check_cmd(unpack(ARGV))", b"0"] + maybe([word(b"get", b"SET", b"config", b"nosuch", b""), word(b"a", b"get", b"nosuch")], .9),
    lambda: [b"return redis.%s(%s)" % (word(b"error_reply", b"status_reply"), word(b"1", b"", b"'a'", b"'-a'", b"'-a b'", b"{}", b"'a','b'")), b"0"], lambda: [b"return tostring(bit.band(255, 15)) .. struct.pack('>I2', 258)", b"0"],
]


def xid(edge): return R.choice([edge, b"5", b"10-1", b"0", b"20-0", b"(5", b"(10-1", b"abc", b"1-2-3"])
def algebra(front):
    count = R.randint(1, 3)
    keys = [key() for _ in range(count)]
    declared = b"%d" % count if R.random() < .95 else R.choice([b"0", b"9", b"a"])
    return front + [declared] + keys + maybe([b"WEIGHTS"] + [score() for _ in range(count)], .3) + maybe([b"AGGREGATE", word(b"SUM", b"MIN", b"MAX", b"x")], .3) + ([] if front else maybe([b"WITHSCORES"], .5))


UNORDERED = {"SRANDMEMBER", "SMEMBERS", "SINTER", "SUNION", "SDIFF", "HKEYS", "HVALS", "KEYS", "SPOP"}
DOUBLES = {"ZSCORE", "ZINCRBY", "ZMSCORE", "ZADD", "ZRANGE", "ZRANGEBYSCORE", "ZREVRANGE", "ZPOPMIN", "ZPOPMAX", "ZMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP", "ZUNION", "ZINTER", "ZDIFF"}


def number(item):
    """A double as a double; anything else as it is."""
    if isinstance(item, list):
        return [number(x) for x in item]
    if isinstance(item, bytes) and item and (item[0] in b"-0123456789" or item in (b"inf", b"-inf")):
        try:
            return float(item) + 0.0  # −0 is 0: Redis keeps its sign in large sorted sets only.
        except ValueError:
            return item
    return item


def normal(command, reply):
    name = command[0].decode()
    if name == "SORT" and b"ALPHA" in command and b"BY" in command and isinstance(reply, list):  # Equal texts have no order.
        return sorted(reply, key=repr)
    if name in ("HGETALL",) and isinstance(reply, list):
        return sorted(zip(reply[::2], reply[1::2]))
    if name in ("HRANDFIELD", "ZRANDMEMBER") and len(command) == 2:
        return "something" if isinstance(reply, bytes) else reply
    if name in ("HRANDFIELD", "ZRANDMEMBER") and isinstance(reply, list):
        return sorted(map(repr, number(reply) if name == "ZRANDMEMBER" else reply))
    if name in ("SCAN", "HSCAN", "SSCAN", "ZSCAN") and isinstance(reply, list):
        return [reply[0], sorted(map(repr, number(reply[1]) if name == "ZSCAN" else reply[1]))]
    if name == "RANDOMKEY" or name == "DUMP" or name == "TIME":  # Another one, other bytes for the same, another moment: but none is none.
        return reply if reply is None or isinstance(reply, tuple) else "something"
    if name == "SLOWLOG" and isinstance(reply, list):  # What took long, on a machine that has more to do.
        return "a list"
    if name == "INFO" and isinstance(reply, bytes):
        return fields(reply)
    if name == "CLIENT" and command[1:2] in ([b"INFO"], [b"LIST"]) and isinstance(reply, bytes):
        return [client(line) for line in reply.splitlines()]
    if (name == "CLIENT" and command[1:] == [b"ID"] or name == "OBJECT" or name == "LASTSAVE") and isinstance(reply, tuple) and reply[0] == b":":
        return "a number"
    if name == "HELLO" and isinstance(reply, list):  # Versions and numbers.
        return reply[:2]
    if name == "MEMORY" and isinstance(reply, tuple) and reply[0] == b":":
        return "a size"
    if name == "ACL" and isinstance(reply, list):
        # Redis 7.2 says of each user that payloads are looked through.
        return repr(reply).replace("sanitize-payload ", "").replace(", b'sanitize-payload'", "")
    if name == "CONFIG" and isinstance(reply, list):
        return sorted(zip(reply[::2], reply[1::2]))
    if name in UNORDERED and isinstance(reply, list):
        return sorted(reply, key=repr)
    return number(reply) if name in DOUBLES else reply


# gcc_version and atomicvar_api describe a C program; pubsub_clients is Redis 7.2's. What is counted of commands and errors hangs on where it began.
NOT_COMPARED = re.compile(rb"gcc_version|atomicvar_api|pubsub_clients|cmdstat_|errorstat_|latency_percentiles|db[0-9]|aof_|mem_aof|current_|rdb_current")


def fields(text):
    """The names of INFO's sections and fields, in their order."""
    return [line if line.startswith(b"#") else line.split(b":")[0] for line in text.splitlines() if line and not NOT_COMPARED.match(line)]


def client(line):
    """What CLIENT INFO says of a connection that does not hang on buffers, addresses and the moment; lib-name and lib-ver are Redis 7.2's, whose RESET
    also ends NO-EVICT (flag e). What is watched and has changed (d) is not shown."""
    words = [w.partition(b"=") for w in line.split(b" ")]
    said = {b"name", b"db", b"sub", b"psub", b"ssub", b"multi", b"user", b"redir", b"resp", b"flags", b"cmd"}
    return [name + b"=" + (value.translate(None, b"deN") if name == b"flags" else value) if name in said else name for name, _, value in words if name not in (b"lib-name", b"lib-ver")]


# Redis 7.0 also says so of numbers, where a command before left ERANGE in errno: strtod does not take it away.
NOT_A_DOUBLE = (b"-", b"ERR One or more scores can't be converted into double")


def saturated(expected, actual):
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(saturated, expected, actual))
    return expected == actual or (expected, actual) == ((b":", b"-9223372036854775808"), (b":", b"9223372036854775807"))


def same(command, expected, actual):
    expected, actual = normal(command, expected), normal(command, actual)
    if expected == actual:
        return True
    name = command[0].decode()
    if name in ("SORT", "SORT_RO") and expected == NOT_A_DOUBLE and isinstance(actual, list):
        return True
    # A script's number that no integer holds: what C makes of it hangs on the processor.
    if name == "EVAL" and saturated(expected, actual):
        return True
    if name in ("PTTL", "TTL", "PEXPIRETIME", "EXPIRETIME") and isinstance(expected, tuple) and isinstance(actual, tuple) and expected[0] == actual[0] == b":":
        tolerance = PATIENCE if name in ("TTL", "EXPIRETIME") else 1000 * PATIENCE
        return abs(int(expected[1]) - int(actual[1])) <= tolerance and int(expected[1]) >= 0
    return False


def dump(connection):
    """Everything in the database, by key."""
    found = {}
    for k in connection.ask("KEYS", "*"):
        kind = connection.ask("TYPE", k)[1]
        content = {b"string": ("GET", k), b"list": ("LRANGE", k, 0, -1), b"set": ("SMEMBERS", k), b"hash": ("HGETALL", k),
                   b"zset": ("ZRANGE", k, 0, -1, "WITHSCORES"), b"stream": ("XRANGE", k, "-", "+")}[kind]
        found[k] = (kind, normal([content[0].encode()], connection.ask(*content)), int(connection.ask("PEXPIRETIME", k)[1]))
    return found


def alike(first, second):
    """Of one key in both, or of none: type and content, and deadlines as near as two servers that are asked one after the other can be."""
    if first is None or second is None:
        return first is second
    return first[:2] == second[:2] and (first[2] < 0) == (second[2] < 0) and abs(first[2] - second[2]) <= 1000 * PATIENCE


PATIENCE = 5  # Seconds by which one server may be behind the other on a busy machine. The shortest lifetime is 1,000 s.


def shown(address, watched, commands):
    """What MONITOR says of some commands: their databases and words."""
    monitor = Connection(address)
    if monitor.ask("MONITOR") != (b"+", b"OK"): raise ValueError("no MONITOR")
    watched.send(commands + [[b"ECHO", b"the last of them"]])
    for _ in range(len(commands) + 1): watched.reply()
    lines = []
    while True:
        line = monitor.reply()[1]
        lines.append(re.sub(rb"^[0-9.]+ \[([0-9]+) [^\]]*\]", rb"\1", line))
        if b"the last of them" in line: break
    monitor.socket.close()
    return lines


def told(address, asking, commands):
    """What keys tell of some commands: events and keys, but of what has expired, which is found out when it is."""
    hearing = Connection(address)
    hearing.ask("PSUBSCRIBE", "__keyevent@*__:*")
    asking.send([[b"CONFIG", b"SET", b"notify-keyspace-events", b"EAmn"]] + commands + [[b"PUBLISH", b"__keyevent@0__:end", b""], [b"CONFIG", b"SET", b"notify-keyspace-events", b""]])
    for _ in range(len(commands) + 3): asking.reply()
    events = []
    while True:
        _, _, event, k = hearing.reply()
        if event.endswith(b":end"): break
        if not event.endswith(b":expired"): events.append((event, k))
    hearing.ask("PUNSUBSCRIBE")  # Else PUBSUB NUMPAT counts it until the end of the connection is seen.
    hearing.socket.close()
    return events


def saving(expected, actual):
    """SAVE and its kin, one after the other: what is under way is waited for."""
    def settled(connection):
        while True:
            text = connection.ask("INFO", "persistence")
            if all(name + b":0" in text for name in (b"rdb_bgsave_in_progress", b"aof_rewrite_in_progress", b"aof_rewrite_scheduled")): return
            time.sleep(.01)
    for words in (["SAVE"], ["LASTSAVE"], ["BGSAVE"], ["BGSAVE", "SCHEDULE"], ["BGSAVE", "x"], ["BGREWRITEAOF"], ["WAIT", "0", "10"], ["WAIT", "x", "1"], ["WAIT", "0", "-1"],
                  ["ROLE"], ["REPLICAOF", "NO", "ONE"], ["REPLICAOF", "x"], ["SAVE", "x"], ["LASTSAVE"], ["INFO"], ["INFO", "everything"], ["INFO", "persistence"]):
        replies = []
        for connection in (expected, actual):
            settled(connection)
            replies.append(connection.ask(*words))
        command = [w.encode() for w in words]
        near = words != ["LASTSAVE"] or abs(int(replies[0][1]) - int(replies[1][1])) <= PATIENCE
        if not same(command, *replies) or not near:
            print(f"{words}\n  expected {normal(command, replies[0])}\n  actual   {normal(command, replies[1])}", file=sys.stderr)
            return False
    for connection in (expected, actual): settled(connection)
    return True


def main():
    expected, actual = Connection(sys.argv[1]), Connection(sys.argv[2])
    seed, total = int(sys.argv[3]), int(sys.argv[4])
    R.seed(seed)
    for connection in (expected, actual):
        connection.ask("FLUSHALL")
    if "--saving" in sys.argv and not saving(expected, actual): return 1
    known = {c[0].decode().upper() for c in actual.ask("COMMAND")}
    names = [n for n in TABLE if n.upper() in known or n == "NOSUCH"]
    history, done, queued, compared = [], 0, [], 0
    keep_going = "--all" in sys.argv
    differences = {}
    while done < total:
        commands = []
        for _ in range(20):
            if R.random() < .03:
                commands += R.choice([subscription, setting, counted_uses, caching, user, lambda: transaction(names), lambda: transaction(names)])()
                continue
            name = R.choice(names)
            arguments = TABLE[name]()
            if R.random() < .02 and arguments and name not in WHOLE: arguments.pop()
            commands.append([name.encode()] + arguments)
        for connection in (expected, actual):
            connection.send(commands)
        for command in commands:
            history.append(command)
            want, got = expected.reply(), actual.reply()
            name = command[0].decode()
            if name.upper() == "MULTI" and want == (b"+", b"OK"):
                queued = []
            elif want == (b"+", b"QUEUED"):
                queued.append(command)
            if name == "EXEC" and isinstance(want, list) and isinstance(got, list) and len(want) == len(got) == len(queued):
                pairs_ = list(zip(queued, want, got))
            else:
                pairs_ = [(command, want, got)]
            if not all(same(*pair) for pair in pairs_):
                if keep_going:
                    differences.setdefault((name, str(want)[:60], str(got)[:60]), command)
                    continue
                print(f"seed {seed}, command {len(history)}: {command}\n  expected {want}\n  actual   {got}", file=sys.stderr)
                for old in [c for c in history[-400:] if set(c[1:]) & set(command[1:])][-12:]:
                    print("   ", old, file=sys.stderr)
                return 1
        done += len(commands)
        if R.random() < .01:
            commands = [[name.encode()] + TABLE[name]() for name in R.choices([n for n in names if n not in UNMONITORED], k=20)]
            lines = [shown(sys.argv[place], connection, commands) for place, connection in ((1, expected), (2, actual))]
            if lines[0] != lines[1]:
                different = next((pair for pair in zip(*lines) if pair[0] != pair[1]), "one has more")
                print(f"seed {seed}, after {done}: MONITOR shows of {commands}\n  {different}", file=sys.stderr)
                return 1
        if R.random() < .02:
            commands = [[name.encode()] + TABLE[name]() for name in R.choices([n for n in names if n not in UNTOLD], k=20)]
            events = [told(sys.argv[place], connection, commands) for place, connection in ((1, expected), (2, actual))]
            if events[0] != events[1]:
                print(f"seed {seed}, after {done}: keys tell of {commands}\n  expected {events[0]}\n  actual   {events[1]}", file=sys.stderr)
                if not keep_going: return 1
        if len(history) - compared >= 400:
            compared = len(history)
            first, second = dump(expected), dump(actual)
            different = [k for k in sorted(set(first) | set(second)) if not alike(first.get(k), second.get(k))]
            if different:
                for k in different:
                    print(f"seed {seed}, after {done}: key {k}\n  expected {first.get(k)}\n  actual   {second.get(k)}", file=sys.stderr)
                    for old in [c for c in history[-400:] if k in c][-15:]:
                        print("   ", old, file=sys.stderr)
                    if not keep_going: return 1
                for connection in (expected, actual):
                    connection.ask("FLUSHALL")
            if R.random() < .3:
                for connection in (expected, actual):
                    connection.ask("FLUSHALL")
    for (name, want, got), command in differences.items():
        print(f"{command}\n   want {want}\n   got  {got}")
    print(f"{done} commands of {len(names)} kinds, no difference" if not differences else f"{len(differences)} kinds of difference")
    return 1 if differences else 0


sys.exit(main())
