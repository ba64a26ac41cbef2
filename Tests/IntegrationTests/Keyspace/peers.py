"""What Python applications do with a server of Redis' protocol: `peers.py redis-py|rq|django|hiredis PORT`. Exit 0: all of it worked."""

import os
import sys
import threading
import time

import redis


def check(what, is_right):
    if not is_right:
        raise SystemExit(f"wrong: {what}")


def redis_py(port):
    client = redis.Redis(port=port, decode_responses=True)
    client.flushall()
    check("a pipeline", client.pipeline().set("a", 1).incr("a").get("a").execute() == [True, 2, "2"])

    def raise_by_one(pipe):
        value = int(pipe.get("a"))
        pipe.multi()
        pipe.set("a", value + 1)

    client.transaction(raise_by_one, "a")
    check("WATCH", client.get("a") == "3")
    # Two locks on one name: the script that lets go is redis-py's own.
    lock = client.lock("lock", timeout=10)
    check("a lock", lock.acquire(blocking=False))
    check("a second lock", not client.lock("lock", timeout=10).acquire(blocking=False))
    lock.extend(5)
    lock.release()
    check("a lock that was let go", client.lock("lock", timeout=10).acquire(blocking=False))
    client.mset({f"key:{number}": number for number in range(1000)})
    check("SCAN", len(set(client.scan_iter("key:*"))) == 1000)
    client.zadd("z", {"a": 1, "b": 2.5})
    check("sorted sets", client.zrange("z", 0, -1, withscores=True) == [("a", 1.0), ("b", 2.5)])
    client.hset("h", mapping={"f": "v", "g": 2})
    check("hashes", client.hgetall("h") == {"f": "v", "g": "2"})
    check("streams", client.xrange("s") == [] and client.xadd("s", {"f": "v"}) and len(client.xread({"s": 0})[0][1]) == 1)
    script = client.register_script("return redis.call('incrby', KEYS[1], ARGV[1])")
    check("a script", script(keys=["counter"], args=[5]) == 5)
    subscriber = client.pubsub()
    subscriber.subscribe("channel")
    check("SUBSCRIBE", subscriber.get_message(timeout=5)["type"] == "subscribe")
    client.publish("channel", "message")
    check("a message", subscriber.get_message(timeout=5)["data"] == "message")
    threading.Timer(0.1, lambda: redis.Redis(port=port).rpush("list", "x")).start()
    check("BLPOP", client.blpop("list", timeout=5) == ("list", "x"))
    with client.monitor() as monitor:
        redis.Redis(port=port).set("watched", 'a "b"\n')
        seen = next(entry for entry in monitor.listen() if "watched" in entry["command"])
        check("MONITOR", seen["command"].startswith("SET watched") and seen["db"] == 0)
    check("INFO", client.info()["redis_version"].startswith("7."))
    client.acl_setuser("reader", enabled=True, passwords=["+secret"], keys=["key:*"], commands=["+get", "+@connection"])
    reader = redis.Redis(port=port, username="reader", password="secret", decode_responses=True)
    check("a user's key", reader.get("key:7") == "7")
    for forbidden in (lambda: reader.get("a"), lambda: reader.set("key:7", 1)):
        try:
            forbidden()
        except redis.exceptions.NoPermissionError:
            continue
        raise SystemExit("wrong: a user may what was not allowed")
    check("ACL LOG", {entry["reason"] for entry in client.acl_log()} == {"key", "command"})
    check("ACL DELUSER", client.acl_deluser("reader") == 1)


def add(first, second):
    return first + second


def rq(port):
    from rq import Queue, SimpleWorker
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import peers
    connection = redis.Redis(port=port)
    connection.flushall()
    queue = Queue("jobs", connection=connection)
    jobs = [queue.enqueue(peers.add, number, 1) for number in range(20)]
    failing = queue.enqueue(peers.add, "1", 1)
    SimpleWorker([queue], connection=connection).work(burst=True, logging_level="ERROR")
    check("results", [job.result for job in jobs] == list(range(1, 21)))
    check("a failed job", failing.get_status(refresh=True) == "failed" and len(queue.failed_job_registry) == 1)
    check("the queue is empty", len(queue) == 0)


def django(port):
    from django.conf import settings
    settings.configure(CACHES={"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": f"redis://127.0.0.1:{port}/3"}})
    from django.core.cache import cache
    cache.clear()
    cache.set("key", {"a": [1, 2]}, 60)
    check("get", cache.get("key") == {"a": [1, 2]})
    check("add", cache.add("new", 1) and not cache.add("new", 2))
    check("many", not cache.set_many({"x": 1, "y": 2}) and cache.get_many(["x", "y", "z"]) == {"x": 1, "y": 2})
    check("incr", cache.incr("x") == 2 and cache.decr("x", 2) == 0)
    check("a lifetime", 0 < cache.ttl("key") <= 60 and cache.touch("key", 5) and cache.ttl("key") <= 5)
    cache.set("short", 1, 0.05)
    time.sleep(0.1)
    check("an end", cache.get("short", "gone") == "gone")
    check("patterns", sorted(cache.keys("?")) == ["x", "y"] and cache.delete_pattern("?") == 2)
    with cache.lock("lock"):
        pass


def hiredis(port):
    """The C library itself, called as a C program calls it; and below redis-py in the place of its own parser."""
    import ctypes
    import ctypes.util
    name = ctypes.util.find_library("hiredis")
    check("libhiredis is installed (scripts/setup)", name)
    library = ctypes.CDLL(name)
    version = [int(part) for part in name.split(".so.")[1].split(".")]

    class Reply(ctypes.Structure):
        pass

    # hiredis.h, redisReply. What RESP3 needs came with 1.0.
    number = ("dval", ctypes.c_double)
    form = ("vtype", ctypes.c_char * 4)
    Reply._fields_ = [("type", ctypes.c_int), ("integer", ctypes.c_longlong), *([number] if version[0] >= 1 else []), ("len", ctypes.c_size_t),
                      ("str", ctypes.POINTER(ctypes.c_char)), *([form] if version[0] >= 1 else []), ("elements", ctypes.c_size_t),
                      ("element", ctypes.POINTER(ctypes.POINTER(Reply)))]
    library.redisConnect.restype = ctypes.c_void_p
    library.redisConnect.argtypes = [ctypes.c_char_p, ctypes.c_int]
    library.redisCommandArgv.restype = ctypes.POINTER(Reply)
    vector = lambda words: ((ctypes.c_char_p * len(words))(*words), (ctypes.c_size_t * len(words))(*map(len, words)))
    context = ctypes.c_void_p(library.redisConnect(b"127.0.0.1", port))
    library.freeReplyObject.argtypes = [ctypes.POINTER(Reply)]

    def value(reply):
        """hiredis.h, REDIS_REPLY_*."""
        kind = reply.type
        if kind in (1, 5, 6, 7, 13, 14):  # STRING, STATUS, ERROR, DOUBLE, BIGNUM, VERB
            return ({5: "+", 6: "-"}.get(kind, "") + ctypes.string_at(reply.str, reply.len).decode("latin-1"))
        if kind in (2, 9, 10, 12):  # ARRAY, MAP, SET, PUSH
            return [value(reply.element[index].contents) for index in range(reply.elements)]
        return {3: int(reply.integer), 4: None, 8: bool(reply.integer)}[kind]

    def taken(pointer):
        check("a reply", bool(pointer))
        found = value(pointer.contents)
        library.freeReplyObject(pointer)
        return found

    def command(*words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        return taken(library.redisCommandArgv(context, len(words), *vector(words)))

    check("SET", command("FLUSHALL") == "+OK" and command("SET", "k", b"a\x00\r\nb") == "+OK")
    check("GET of any bytes", command("GET", "k") == "a\x00\r\nb" and command("GET", "absent") is None)
    check("an integer and an error", command("INCR", "n") == 1 and command("INCR", "k").startswith("-ERR value is not an integer"))
    check("nested replies", command("EVAL", "return {1, {2, 'x', false}, redis.status_reply('S')}", 0) == [1, [2, "x", None], "+S"])
    check("a large value", command("SET", "big", b"x" * 3_000_000) == "+OK" and len(command("GET", "big")) == 3_000_000)
    for number in range(1000):
        words = [b"RPUSH", b"list", b"%d" % number]
        check("a command of a pipeline", library.redisAppendCommandArgv(context, len(words), *vector(words)) == 0)
    replies = []
    for _ in range(1000):
        pointer = ctypes.POINTER(Reply)()
        check("a reply of a pipeline", library.redisGetReply(context, ctypes.byref(pointer)) == 0)
        replies.append(taken(pointer))
    check("a pipeline", replies == list(range(1, 1001)))
    check("a long array", command("LRANGE", "list", 0, -1) == [str(number) for number in range(1000)])
    check("MULTI", [command(*words) for words in (["MULTI"], ["INCR", "n"], ["EXEC"])] == ["+OK", "+QUEUED", [2]])
    if version[0] >= 1:
        check("RESP3", isinstance(command("HELLO", "3"), list) and command("HSET", "h", "f", "v") == 1 and command("HGETALL", "h") == ["f", "v"])
        check("null, double and set", command("GET", "absent") is None and command("ZADD", "z", "1.5", "m") == 1
              and command("ZSCORE", "z", "m") == "1.5" and command("SADD", "s", "m") == 1 and command("SMEMBERS", "s") == ["m"])
    library.redisFree.argtypes = [ctypes.c_void_p]
    library.redisFree(context)
    for parser in (redis.connection.HiredisParser, redis.connection.PythonParser):
        client = redis.Redis(connection_pool=redis.ConnectionPool(port=port, parser_class=parser))
        check("redis-py's parser is the one", isinstance(client.connection_pool.get_connection("_")._parser, parser))
        client.flushall()
        check("values", client.set("k", b"\x00\r\n") and client.get("k") == b"\x00\r\n" and client.get("absent") is None)
        check("a pipeline", client.pipeline().rpush("l", *range(2000)).lrange("l", 0, -1).execute() == [2000, [b"%d" % n for n in range(2000)]])
        check("an error", client.pipeline().incr("l").execute(raise_on_error=False)[0].args[0].startswith("WRONGTYPE"))
        subscriber = client.pubsub()
        subscriber.subscribe("c")
        check("SUBSCRIBE", subscriber.get_message(timeout=5)["data"] == 1)
        check("a message", client.publish("c", "m") == 1 and subscriber.get_message(timeout=5)["data"] == b"m")


if __name__ == "__main__":
    {"redis-py": redis_py, "rq": rq, "django": django, "hiredis": hiredis}[sys.argv[1]](int(sys.argv[2]))
