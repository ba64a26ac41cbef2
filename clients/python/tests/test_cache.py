"""Against a server: CACHE_TEST_URL=redis://127.0.0.1:6379/0 python3 -m unittest discover -s tests. Its keys are removed first."""

import asyncio
import inspect
import multiprocessing
import os
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import redis

from headrace_cache import AsyncRedisCache, RedisCache, cache_response, logic
from headrace_cache.envelope import Envelope

URL = os.environ.get("CACHE_TEST_URL")


def compute_in_process(barrier, count, key):
    cache = RedisCache(URL)

    def compute():
        with count.get_lock():
            count.value += 1
        time.sleep(0.2)
        return "computed"

    barrier.wait()
    assert cache.remember(key, compute, ttl=60) == "computed"


@unittest.skipUnless(URL, "CACHE_TEST_URL is not set")
class CacheTests(unittest.TestCase):
    def setUp(self):
        self.server = redis.Redis.from_url(URL)
        self.server.flushdb()
        self.cache = RedisCache(URL, beta=0)

    def tearDown(self):
        self.cache.close()
        self.server.close()

    def test_what_is_set_is_got_until_its_end(self):
        for value in ({"a": [1, 2.5, None, True, "ü\n"]}, None, 0, "", []):
            self.assertTrue(self.cache.set("key", value, ttl=60))
            self.assertEqual(self.cache.get("key", "default"), value)
        self.assertTrue(55_000 < self.server.pttl("key") <= 60_000)
        self.assertTrue(self.cache.set("short", 1, ttl=0.05))
        time.sleep(0.08)
        self.assertIsNone(self.cache.get("short"))
        self.assertEqual(self.cache.delete("key", "absent"), 1)
        self.assertFalse(self.cache.exists("key"))
        self.assertEqual(self.cache.get("key", 7), 7)

    def test_json_refuses_what_it_would_change_and_pickle_takes_it(self):
        for value in ({1: 2}, {"a": {3}}, float("nan")):
            with self.assertRaises((TypeError, ValueError)):
                self.cache.set("key", value)
        pickling = RedisCache(URL, serializer="pickle")
        self.assertTrue(pickling.set("key", {1: (2, {3})}))
        self.assertEqual(pickling.get("key"), {1: (2, {3})})
        # A pickle is nothing that the other one would load.
        self.assertIsNone(self.cache.get("key"))
        self.assertEqual(self.cache.remember("set", lambda: {1}), {1})
        self.assertEqual(self.cache.stats.unserializable, 1)

    def test_a_hit_and_a_computed_value_are_the_same(self):
        first = self.cache.remember("key", lambda: (1, 2), ttl=60)
        self.assertEqual((first, self.cache.remember("key", self.fail, ttl=60)), ([1, 2], [1, 2]))
        self.assertEqual((self.cache.stats.hits, self.cache.stats.misses), (1, 1))

    def test_bytes_of_others_are_a_miss(self):
        for bytes_ in (b"", b"plain", b"hr1 j 1 2\n1", b"hr1 j x y -\n1", b"hr1 j inf 0 -\n{", b"hr1 j inf 0 a=b=c\n1", b"\xff\n"):
            self.server.set("key", bytes_)
            self.assertEqual(self.cache.get("key", "none"), "none")
            self.assertEqual(self.cache.remember("key", lambda: 5), 5)

    def test_an_envelope_goes_round(self):
        tags = {"a b": "x", "ü,=": "y", "": "z"}
        back = Envelope.unpack(Envelope("j", 12.5, 0.25, tags, b"1\n2").pack())
        self.assertEqual((back.serializer, back.fresh_until, back.cost, back.tags, back.data), ("j", 12.5, 0.25, tags, b"1\n2"))

    def test_of_many_threads_one_computes(self):
        count, results = [], []

        def compute():
            count.append(1)
            time.sleep(0.1)
            return {"n": 1}

        threads = [threading.Thread(target=lambda: results.append(self.cache.remember("key", compute, ttl=60))) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual((len(count), results), (1, [{"n": 1}] * 30))
        results[0]["n"] = 2
        self.assertEqual(results[1], {"n": 1}, "each has a value of its own")

    def test_of_many_processes_one_computes(self):
        context = multiprocessing.get_context("fork")
        barrier, count = context.Barrier(6), context.Value("i", 0)
        processes = [context.Process(target=compute_in_process, args=(barrier, count, "key")) for _ in range(6)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(20)
        self.assertEqual(([process.exitcode for process in processes], count.value), ([0] * 6, 1))

    def test_who_found_nothing_and_has_the_lock_now_takes_what_was_stored_in_between(self):
        def looks():
            return self.server.info("commandstats").get("cmdstat_mget", {"calls": 0})["calls"]

        cache, results, before = RedisCache(URL, beta=0, timeout=20), [], looks()
        # Looks pass by, and the lock waits until the value is there.
        self.server.client_pause(600_000, all=False)
        thread = threading.Thread(target=lambda: results.append(cache.remember("key", lambda: "computed", ttl=60)))
        thread.start()
        end = time.monotonic() + 20
        while looks() == before and time.monotonic() < end:
            time.sleep(0.01)
        pipeline = self.server.pipeline(transaction=False)
        pipeline.execute_command("CLIENT UNPAUSE")
        pipeline.set("key", Envelope("j", float("inf"), 0.0, {}, b'"stored"').pack())
        pipeline.execute()
        thread.join()
        self.assertEqual((results, cache.stats.hits, cache.stats.computed), (["stored"], 1, 0))
        self.assertEqual(self.server.keys("lock:*"), [])
        cache.close()

    def test_an_error_is_the_callers_and_gives_the_lock_back(self):
        with self.assertRaises(ZeroDivisionError):
            self.cache.remember("key", lambda: 1 / 0)
        self.assertEqual(self.server.keys("*"), [])
        self.assertEqual(self.cache.remember("key", lambda: 1), 1)

    def test_a_lock_that_outlived_its_holder_is_waited_for_and_then_passed_by(self):
        self.server.set("lock:key", "another's", ex=60)
        began = time.monotonic()
        self.assertEqual(self.cache.remember("key", lambda: 1, wait=0.2), 1)
        self.assertTrue(0.15 < time.monotonic() - began < 2)
        self.assertEqual(self.server.get("lock:key"), b"another's")

    def test_the_stale_value_is_given_while_another_computes(self):
        self.cache.remember("key", lambda: "old", ttl=0.05, stale=60, jitter=0)
        time.sleep(0.08)
        self.server.set("lock:key", "another's", ex=60)
        self.assertEqual(self.cache.remember("key", self.fail, ttl=60, stale=60), "old")
        self.assertEqual(self.cache.stats.stale, 1)
        self.server.delete("lock:key")
        self.assertEqual(self.cache.remember("key", lambda: "new", ttl=60), "new")

    def test_a_dear_value_is_renewed_before_its_end(self):
        now = 1000.0
        envelope = Envelope("j", now + 5, 1.0, {}, b"")
        early = sum(logic.is_due(envelope, 1.0, now) for _ in range(20_000)) / 20_000
        self.assertAlmostEqual(early, 2.718281828 ** -5, delta=0.004)
        self.assertFalse(any(logic.is_due(envelope, 0, now) for _ in range(1000)))
        self.assertTrue(logic.is_due(Envelope("j", now - 1, 1.0, {}, b""), 1.0, now))

    def test_lifetimes_differ_and_none_is_longer_than_was_asked(self):
        for number in range(50):
            self.cache.remember(f"key:{number}", lambda: 1, ttl=1000, jitter=0.1)
        ends = [self.server.pttl(f"key:{number}") for number in range(50)]
        self.assertTrue(max(ends) <= 1_000_000 and min(ends) >= 890_000 and len(set(ends)) > 25)

    def test_nothing_can_be_remembered_for_another_time(self):
        self.assertIsNone(self.cache.remember("key", lambda: None, ttl=60, negative_ttl=5))
        self.assertTrue(self.server.pttl("key") <= 5000)
        self.assertIsNone(self.cache.remember("key", self.fail, ttl=60, negative_ttl=5))
        self.assertIsNone(self.cache.remember("other", lambda: None, ttl=60, negative_ttl=0))
        self.assertFalse(self.server.exists("other"))

    def test_a_tag_makes_invalid_what_is_under_it(self):
        for number in range(3):
            self.cache.remember(f"key:{number}", lambda: "old", ttl=60, tags=["all", f"one:{number}"])
        self.cache.set("set", "old", ttl=60, tags="all")
        self.cache.invalidate("one:1")
        self.assertEqual([self.cache.get(f"key:{number}") for number in range(3)], ["old", None, "old"])
        self.cache.invalidate("all")
        self.assertEqual([self.cache.get(key) for key in ("key:0", "key:1", "key:2", "set")], [None] * 4)

    def test_a_tag_that_was_evicted_makes_invalid_too(self):
        self.cache.remember("key", lambda: 1, ttl=60, tags=["t"])
        self.server.delete("tag:t")
        self.assertIsNone(self.cache.get("key"))
        self.cache.set("other", 1, tags=["t"])
        self.assertIsNone(self.cache.get("key"), "a new token is another one")

    def test_what_is_invalidated_while_it_is_computed_is_not_kept(self):
        def compute():
            self.cache.invalidate("t")
            return "of before"

        self.assertEqual(self.cache.remember("key", compute, ttl=60, tags=["t"]), "of before")
        self.assertEqual(self.cache.remember("key", lambda: "new", ttl=60, tags=["t"]), "new")

    def test_the_decorator_keeps_by_arguments(self):
        calls = []

        @cache_response(ttl=60, cache=self.cache, tags=lambda number, unit="m": [f"n:{number}"])
        def length(number, unit="m"):
            calls.append(number)
            return f"{number} {unit}"

        self.assertEqual([length(1), length(1), length(number=1), length(1, unit="m"), length(1, "km"), length(2)],
                         ["1 m"] * 4 + ["1 km", "2 m"])
        self.assertEqual(calls, [1, 1, 2])
        self.cache.invalidate("n:1")
        length(1), length(2)
        self.assertEqual(calls, [1, 1, 2, 1])
        length.forget(2)
        length(2)
        self.assertEqual(calls, [1, 1, 2, 1, 2])

        @cache_response(ttl=60, key="fixed:{x}", cache=self.cache)
        def keyed(x):
            return x

        keyed("a")
        self.assertTrue(self.server.exists("fixed:a"))

    def test_the_same_for_asyncio(self):
        async def run():
            cache = AsyncRedisCache(URL, beta=0)
            count = []

            @cache_response(ttl=60, cache=cache, tags=["t"])
            async def slow(number):
                count.append(number)
                await asyncio.sleep(0.1)
                return {"n": number}

            results = await asyncio.gather(*(slow(1) for _ in range(30)))
            self.assertEqual((results, count), ([{"n": 1}] * 30, [1]))
            await cache.invalidate("t")
            await slow(1)
            self.assertEqual(count, [1, 1])
            self.assertTrue(await cache.set("key", [1], ttl=5))
            self.assertEqual(await cache.get("key"), [1])
            self.assertEqual(await cache.delete("key"), 1)
            self.assertEqual(await cache.remember("plain", lambda: 3, ttl=5), 3)
            with self.assertRaises(ZeroDivisionError):
                await cache.remember("error", lambda: 1 / 0)
            self.assertFalse(await cache.exists("error"))
            await cache.close()

        asyncio.run(run())

    def test_what_is_to_be_awaited_is_a_coroutine_function(self):
        names = [name for name, _ in inspect.getmembers(AsyncRedisCache, inspect.isfunction) if not name.startswith("_")]
        self.assertEqual(sorted(names), ["close", "delete", "exists", "get", "invalidate", "remember", "set"])
        for name in names:
            self.assertTrue(inspect.iscoroutinefunction(getattr(AsyncRedisCache, name)), name)
            ours, theirs = (inspect.signature(getattr(kind, name)) for kind in (AsyncRedisCache, RedisCache))
            self.assertEqual(ours, theirs, name)

        async def run():
            cache = AsyncRedisCache(URL)

            @cache_response(ttl=60, cache=cache)
            async def page(number):
                return number

            self.assertTrue(inspect.iscoroutinefunction(page) and inspect.iscoroutinefunction(page.forget))
            await page(1)
            self.assertEqual((await page.forget(1), await page.forget(1)), (1, 0))
            await cache.close()

        asyncio.run(run())

    def test_the_old_name_works(self):
        os.environ["CACHE_URL"] = URL
        from redis_helper import RedisCache as old_class, cache_response as old_decorator, redis as old
        self.assertTrue(old.set("key", {"a": 1}, ttl=3600))
        self.assertEqual(old.get("key"), {"a": 1})
        self.assertIs(old_class, RedisCache)
        calls = []

        @old_decorator(ttl=300)
        def page():
            calls.append(1)
            return "page"

        self.assertEqual((page(), page(), calls), ("page", "page", [1]))

    def test_flask_views_are_kept_unless_they_are_for_one_client(self):
        try:
            import flask
        except ImportError:
            self.skipTest("Flask is not installed")
        application = flask.Flask(__name__)
        application.secret_key = "a secret"
        calls = []

        def route(path, view):
            application.get(path)(cache_response(ttl=60, cache=self.cache)(view))

        def public():
            calls.append("public")
            return flask.Response("page " + flask.request.query_string.decode(), headers={"X-A": "1"}, mimetype="text/css")

        def personal():
            calls.append("personal")
            return "hello " + flask.session.get("user", "nobody")

        def private():
            calls.append("private")
            return "mine", 200, {"Cache-Control": "private"}

        def absent():
            calls.append("absent")
            return "no", 404

        for path, view in (("/public", public), ("/personal", personal), ("/private", private), ("/absent", absent)):
            route(path, view)
        client = application.test_client()
        first, second = client.get("/public?a"), client.get("/public?a")
        self.assertEqual((second.data, second.headers["X-A"], second.mimetype), (b"page a", "1", "text/css"))
        self.assertEqual((first.data, client.get("/public?b").data, calls), (b"page a", b"page b", ["public"] * 2))
        client.get("/public?a", headers={"Authorization": "x"})
        self.assertEqual(calls, ["public"] * 3)
        for path, status in (("/personal", 200), ("/private", 200), ("/absent", 404)):
            calls.clear()
            self.assertEqual([client.get(path).status_code for _ in range(3)], [status] * 3)
            self.assertEqual(calls, [path[1:]] * 3)

    def test_django_views_are_kept(self):
        try:
            import django
        except ImportError:
            self.skipTest("Django is not installed")
        from django.conf import settings
        settings.configure(ALLOWED_HOSTS=["*"], DEFAULT_CHARSET="utf-8")
        django.setup()
        from django.http import HttpResponse
        from django.test import RequestFactory
        calls = []

        @cache_response(ttl=60, cache=self.cache)
        def view(request):
            calls.append(1)
            response = HttpResponse("page", headers={"X-A": "1"})
            if request.GET.get("cookie"):
                response.set_cookie("a", "b")
            return response

        factory = RequestFactory()
        for _ in range(2):
            response = view(factory.get("/x"))
            self.assertEqual((response.content, response.headers["X-A"]), (b"page", "1"))
        self.assertEqual(len(calls), 1)
        for _ in range(2):
            self.assertIn("a", view(factory.get("/x", {"cookie": "1"})).cookies)
        view(factory.post("/x"))
        self.assertEqual(len(calls), 4)


class AwayTests(unittest.TestCase):
    def test_without_a_server_the_application_goes_on(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        cache = RedisCache(f"redis://127.0.0.1:{port}/0", timeout=0.2)
        with self.assertLogs("headrace_cache", "WARNING") as lines:
            self.assertEqual([cache.remember("key", lambda: 5) for _ in range(100)], [5] * 100)
        self.assertEqual((len(lines.output), cache.stats.errors), (1, 1))
        self.assertEqual((cache.stats.skipped, cache.stats.computed), (99, 100))
        self.assertIsNone(cache.get("key"))
        self.assertFalse(cache.set("key", 1))
        self.assertFalse(cache.invalidate("t"))

    def test_calls_that_fail_together_are_one_failure(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(64)
            cache = RedisCache(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", timeout=0.5, retry_after=4.0)
            threads = [threading.Thread(target=cache.get, args=("key",)) for _ in range(16)]
            with self.assertLogs("headrace_cache", "WARNING"):
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
        self.assertGreater(cache.stats.errors, 1)
        # By the 16th of a row it would be 30 s.
        self.assertLess(cache._away_until - time.monotonic(), 4.1)

    def test_who_heard_nothing_of_the_lock_gives_it_back(self):
        for result in (7, KeyError("computing fails")):
            cache = RedisCache("redis://127.0.0.1:1/0")
            operation = logic.remember(cache._name, cache.serializer, cache.stats, "key", cache._rules({}))
            self.assertEqual(operation.send(None)[0], "commands")
            asked = operation.send([[None]])[1][0]
            self.assertEqual((asked[0], asked[3]), ("SET", "NX"))
            self.assertEqual(operation.throw(logic.Away()), ("compute",))
            given = operation.throw(result) if isinstance(result, Exception) else operation.send(result)
            self.assertEqual(given, ("commands", [["EVAL", logic.UNLOCK, 1, asked[1], asked[2]]]))
            # The server is still away: what was computed is the caller's all the same.
            with self.assertRaises(StopIteration if result == 7 else KeyError) as end:
                operation.throw(logic.Away())
            if result == 7:
                self.assertEqual(end.exception.value, 7)

    @unittest.skipUnless(URL, "CACHE_TEST_URL is not set")
    def test_it_comes_back_by_itself(self):
        cache = RedisCache(URL, timeout=0.2, retry_after=0.05)
        real, cache._client = cache.client, redis.Redis(port=1)
        cache._process = os.getpid()
        with self.assertLogs("headrace_cache", "WARNING"):
            self.assertEqual(cache.remember("back", lambda: 1), 1)
            cache._client = real
            time.sleep(0.1)
            self.assertEqual(cache.remember("back", lambda: 2), 2)
            self.assertEqual(cache.remember("back", lambda: 3), 2)


if __name__ == "__main__":
    unittest.main()
