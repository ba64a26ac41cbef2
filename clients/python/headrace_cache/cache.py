"""`RedisCache` for threads, `AsyncRedisCache` for asyncio: the drivers of what `logic.py` says."""

import asyncio
import logging
import os
import threading
import time

from . import logic
from .logic import MISSING, Away, Rules
from .serializers import serializer as chosen_serializer

log = logging.getLogger("headrace_cache")

DEFAULT_URL = "redis://127.0.0.1:6379/0"


class Stats:
    """What became of the calls, since the start. Whole numbers; several threads may lose a count now and then."""

    __slots__ = ("hits", "misses", "stale", "computed", "waited", "errors", "skipped", "unserializable", "_warned")

    def __init__(self):
        for name in self.__slots__[:-1]:
            setattr(self, name, 0)
        self._warned = 0.0

    def as_dict(self):
        return {name: getattr(self, name) for name in self.__slots__[:-1]}

    def warn(self, text):
        """At most one line in ten seconds: who fails, fails often."""
        now = time.monotonic()
        if now - self._warned >= 10 or self._warned == 0.0:
            self._warned = now
            log.warning("%s", text)


class _Unset:
    def __repr__(self):
        return "the cache's own"


_UNSET = _Unset()


class _Cache:
    """What both have: settings, names, and when a server that failed is asked again."""

    def __init__(self, url=None, *, host=None, port=None, db=None, password=None, client=None, prefix="", serializer="json", ttl=3600,
                 stale=0, negative_ttl=None, jitter=0.1, beta=1.0, lock=30.0, wait=10.0, timeout=0.5, retry_after=1.0):
        if url is None and host is None and port is None:
            url = os.environ.get("CACHE_URL") or os.environ.get("REDIS_URL") or DEFAULT_URL
        self.url = url or f"redis://{host or '127.0.0.1'}:{port or 6379}/{db or 0}"
        self.prefix = prefix
        self.serializer = chosen_serializer(serializer)
        self.stats = Stats()
        self._defaults = dict(ttl=ttl, stale=stale, negative_ttl=negative_ttl, jitter=jitter, beta=beta, lock=lock, wait=wait)
        self._password, self._timeout, self._retry_after = password, timeout, retry_after
        self._away_until = 0.0
        self._failures = 0
        self._client = client

    def _name(self, key):
        return self.prefix + key

    def _rules(self, given, tags=()):
        rules = dict(self._defaults)
        rules.update({name: value for name, value in given.items() if value is not _UNSET})
        return Rules(tags=[tags] if isinstance(tags, str) else tags, **rules)

    def _check(self):
        if time.monotonic() < self._away_until:
            self.stats.skipped += 1
            raise Away("the cache was away a moment ago")

    def _failed(self, error):
        self.stats.errors += 1
        # Twice as long each time, up to half a minute: an absent server costs a time-out now and then, not one per request. Calls that were under
        # way together fail together, which is one time.
        now = time.monotonic()
        if now >= self._away_until:
            self._failures += 1
            self._away_until = now + min(self._retry_after * 2 ** min(self._failures - 1, 10), 30.0)
        self.stats.warn(f"the cache at {_without_password(self.url)} is away, the application goes on without: {error}")
        return Away(str(error))

    def _answered(self):
        if self._failures:
            self._failures = 0
            log.warning("the cache at %s is back", _without_password(self.url))

    # What is the same for threads and asyncio: an operation, and what is given in its place when the cache is away. `_do` carries it out; that
    # of asyncio is a coroutine, so there each of these gives something to await.

    def get(self, key, default=None):
        return self._do(self._get(key, default), default)

    def _get(self, key, default):
        value = yield from logic.get(self._name, self.serializer, self.stats, key)
        return default if value is MISSING else value

    def set(self, key, value, ttl=_UNSET, *, tags=()):
        """Gives whether it was stored. Raises TypeError for what the serializer cannot say."""
        return self._do(self._told(logic.set_value(self._name, self.serializer, key, value, self._rules(dict(ttl=ttl, jitter=0), tags))), False)

    def delete(self, *keys):
        """Gives how many were there."""
        return self._do(logic.delete(self._name, keys), 0)

    def exists(self, key):
        return self._do(self._exists(key), False)

    def _exists(self, key):
        value = yield from self._get(key, MISSING)
        return value is not MISSING

    def invalidate(self, *tags):
        """What was stored under one of these tags is stored no more. Gives whether the server was told."""
        return self._do(self._told(logic.invalidate(self._name, tags)), False)

    @staticmethod
    def _told(operation):
        yield from operation
        return True

    def _connection_settings(self):
        settings = dict(socket_timeout=self._timeout, health_check_interval=0)
        if not self.url.startswith("unix:"):  # There redis-py before 5 knows no other time than this.
            settings["socket_connect_timeout"] = self._timeout
        if self._password is not None:
            settings["password"] = self._password
        return settings


def _without_password(url):
    head, at, tail = url.rpartition("@")
    return head.partition("://")[0] + "://…@" + tail if at else url


class RedisCache(_Cache):
    """A cache for threads. One for a process; it connects when it is first used, so it may be made before a fork.

    url: `redis://[[user]:password@]host:port/db`, `rediss://`, `unix://`; without one, CACHE_URL, REDIS_URL, 127.0.0.1:6379.
    prefix: before each key. serializer: "json", or "pickle" on request. ttl, stale, negative_ttl, jitter, beta, lock, wait: what
    `remember` goes by where a call says nothing else. timeout: seconds that the server may take. retry_after: seconds before a server
    that failed is asked again; twice as long each time, up to 30.
    """

    def __init__(self, url=None, **settings):
        super().__init__(url, **settings)
        self._mutex = threading.Lock()
        self._process = None
        self._flights = {}

    @property
    def client(self):
        """redis-py's client."""
        if self._client is None or self._process not in (None, os.getpid()):
            with self._mutex:
                if self._client is None or self._process not in (None, os.getpid()):
                    import redis
                    self._client = redis.Redis.from_url(self.url, **self._connection_settings())
                    self._process = os.getpid()
        return self._client

    def _commands(self, commands):
        import redis
        self._check()
        try:
            if len(commands) == 1:
                replies = [self.client.execute_command(*commands[0])]
            else:
                pipeline = self.client.pipeline(transaction=False)
                for command in commands:
                    pipeline.execute_command(*command)
                replies = pipeline.execute()
        except (redis.RedisError, OSError) as error:
            raise self._failed(error) from error
        self._answered()
        return replies

    def _run(self, operation, compute=None):
        reply, failure = None, None
        while True:
            try:
                step = operation.throw(failure) if failure is not None else operation.send(reply)
            except StopIteration as end:
                return end.value
            reply, failure = None, None
            try:
                if step[0] == "commands":
                    reply = self._commands(step[1])
                elif step[0] == "sleep":
                    time.sleep(step[1])
                else:
                    reply = compute()
            except BaseException as error:  # Goes through the operation, which gives the lock back.
                failure = error

    def _do(self, operation, away):
        try:
            return self._run(operation)
        except Away:
            return away

    def remember(self, key, compute, ttl=_UNSET, *, tags=(), stale=_UNSET, negative_ttl=_UNSET, jitter=_UNSET, beta=_UNSET,
                 lock=_UNSET, wait=_UNSET):
        """The stored value, or what `compute()` gives, which is then stored for `ttl` seconds.

        stale: for so many seconds more the old value is given to those who come while another computes the new one. negative_ttl: how
        long `None` is kept; 0 for not at all. jitter: by which share at most `ttl` is shortened. beta: how early a value is renewed
        before its end, 0 for never. lock: how long a computation may take before another begins. wait: how long who finds nothing waits
        for the one that computes.
        """
        rules = self._rules(dict(ttl=ttl, stale=stale, negative_ttl=negative_ttl, jitter=jitter, beta=beta, lock=lock, wait=wait), tags)
        with self._mutex:
            flight = self._flights.get(key)
            is_leader = flight is None
            if is_leader:
                flight = self._flights[key] = _Flight()
        if not is_leader and flight.thread != threading.get_ident():
            # Of this process' threads one asks the server; the others take what it got, or fend for themselves when it failed.
            if flight.done.wait(rules.wait) and flight.has_value:
                self.stats.hits += 1
                return self._copy(flight.value)
        try:
            value = self._run(logic.remember(self._name, self.serializer, self.stats, key, rules), compute)
            if is_leader:
                flight.value, flight.has_value = value, True
            return value
        finally:
            if is_leader:
                with self._mutex:
                    self._flights.pop(key, None)
                flight.done.set()

    def _copy(self, value):
        """Of its own for each caller, as it would be if it came from the server."""
        try:
            return self.serializer.loads(self.serializer.dumps(value))
        except (TypeError, ValueError):
            return value

    def close(self):
        if self._client is not None:
            self._client.close()


class _Flight:
    __slots__ = ("done", "value", "has_value", "thread")

    def __init__(self):
        self.done, self.value, self.has_value, self.thread = threading.Event(), None, False, threading.get_ident()


class AsyncRedisCache(_Cache):
    """The same for asyncio. `compute` may be a coroutine function or a plain one. One for an event loop."""

    @property
    def client(self):
        if self._client is None:
            import redis.asyncio
            self._client = redis.asyncio.Redis.from_url(self.url, **self._connection_settings())
        return self._client

    async def _commands(self, commands):
        import redis
        self._check()
        try:
            if len(commands) == 1:
                replies = [await self.client.execute_command(*commands[0])]
            else:
                pipeline = self.client.pipeline(transaction=False)
                for command in commands:
                    pipeline.execute_command(*command)
                replies = await pipeline.execute()
        except (redis.RedisError, OSError, asyncio.TimeoutError) as error:
            raise self._failed(error) from error
        self._answered()
        return replies

    async def _run(self, operation, compute=None):
        reply, failure = None, None
        while True:
            try:
                step = operation.throw(failure) if failure is not None else operation.send(reply)
            except StopIteration as end:
                return end.value
            reply, failure = None, None
            try:
                if step[0] == "commands":
                    reply = await self._commands(step[1])
                elif step[0] == "sleep":
                    await asyncio.sleep(step[1])
                else:
                    reply = compute()
                    if hasattr(reply, "__await__"):
                        reply = await reply
            except BaseException as error:
                failure = error

    async def _do(self, operation, away):
        try:
            return await self._run(operation)
        except Away:
            return away

    # Coroutine functions by `inspect.iscoroutinefunction`, too: frameworks ask that before they call.

    async def get(self, key, default=None):
        return await super().get(key, default)

    async def set(self, key, value, ttl=_UNSET, *, tags=()):
        """Gives whether it was stored. Raises TypeError for what the serializer cannot say."""
        return await super().set(key, value, ttl, tags=tags)

    async def delete(self, *keys):
        """Gives how many were there."""
        return await super().delete(*keys)

    async def exists(self, key):
        return await super().exists(key)

    async def invalidate(self, *tags):
        """What was stored under one of these tags is stored no more. Gives whether the server was told."""
        return await super().invalidate(*tags)

    async def remember(self, key, compute, ttl=_UNSET, *, tags=(), stale=_UNSET, negative_ttl=_UNSET, jitter=_UNSET, beta=_UNSET,
                       lock=_UNSET, wait=_UNSET):
        """See `RedisCache.remember`."""
        rules = self._rules(dict(ttl=ttl, stale=stale, negative_ttl=negative_ttl, jitter=jitter, beta=beta, lock=lock, wait=wait), tags)
        return await self._run(logic.remember(self._name, self.serializer, self.stats, key, rules), compute)

    async def close(self):
        if self._client is not None:
            await self._client.aclose() if hasattr(self._client, "aclose") else await self._client.close()
