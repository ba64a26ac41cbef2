"""A cache for applications, on Headrace's keyspace, Redis or Valkey.

    from headrace_cache import RedisCache, cache_response

    cache = RedisCache("redis://127.0.0.1:6379/0")
    cache.set("greeting", {"text": "hello"}, ttl=60)
    cache.get("greeting")
    cache.remember("report:7", lambda: expensive(7), ttl=300, tags=["reports"])
    cache.invalidate("reports")

    @cache_response(ttl=300)
    def report(number): ...

When the cache is away everything goes on: values are computed, the failure is counted, and the cache is tried again by itself.
"""

from .cache import AsyncRedisCache, RedisCache, Stats
from .decorator import cache_response, set_default_cache
from .serializers import JSON, Pickle

__all__ = ["AsyncRedisCache", "JSON", "Pickle", "RedisCache", "Stats", "cache_response", "set_default_cache"]
