"""The old name, for applications that were written for it:

    from redis_helper import RedisCache, cache_response, redis

    redis.set("key", value, ttl=3600)
    redis.get("key")

    @cache_response(ttl=300)
    def view(): ...

`redis` connects when it is first used, to CACHE_URL, REDIS_URL, or REDIS_HOST, REDIS_PORT, REDIS_DB and REDIS_PASSWORD, or
127.0.0.1:6379.
"""

import os

from headrace_cache import RedisCache, cache_response, set_default_cache

__all__ = ["RedisCache", "cache_response", "redis"]


def _from_environment():
    names = ("REDIS_HOST", "REDIS_PORT", "REDIS_DB")
    if os.environ.get("CACHE_URL") or os.environ.get("REDIS_URL") or not any(name in os.environ for name in names):
        return RedisCache(password=os.environ.get("REDIS_PASSWORD"))
    host, port, db = (os.environ.get(name) for name in names)
    return RedisCache(host=host, port=port, db=db, password=os.environ.get("REDIS_PASSWORD"))


redis = _from_environment()
set_default_cache(redis)
