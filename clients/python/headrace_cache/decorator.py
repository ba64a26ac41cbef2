"""`@cache_response`: a function's results, kept by its arguments; of a Flask or Django view, its responses."""

import functools
import hashlib
import inspect
import json
import time

from . import web
from .cache import _UNSET, AsyncRedisCache, RedisCache

_default = {}

# A page that turned out to be for one client only goes past the cache for so long: its clients would wait for each other at the lock.
PASS_SECONDS = 10
PASSED_MAX = 10_000


def set_default_cache(cache):
    """What decorated functions use that name no cache: one for threads, one for asyncio."""
    _default["async" if isinstance(cache, AsyncRedisCache) else "sync"] = cache


def _default_cache(is_async):
    kind = "async" if is_async else "sync"
    if kind not in _default:
        _default[kind] = AsyncRedisCache() if is_async else RedisCache()
    return _default[kind]


def cache_response(ttl=_UNSET, *, key=None, cache=None, tags=(), stale=_UNSET, negative_ttl=_UNSET, jitter=_UNSET, beta=_UNSET,
                   lock=_UNSET, wait=_UNSET):
    """Keeps what a function returns for `ttl` seconds, by its arguments.

        @cache_response(ttl=300)
        @cache_response(ttl=300, key="scan:{scan_id}", tags=lambda scan_id: [f"scan:{scan_id}"], stale=60)

    key: a text, in which arguments stand in braces, or a function of the arguments; without one, the function's name with all of its
    arguments, which must be what JSON can say. tags: texts, or a function of the arguments. The other settings are `RedisCache.remember`'s.

    Of a Flask view (below `@app.route`) and a Django view, GET responses are kept by the full path. A response is not kept that sets a
    cookie, depends on the session, says `private`, `no-store` or `no-cache`, or is not 200; a request with Authorization goes by.

    The function gets `cache_key(*arguments)`, `forget(*arguments)` and `uncached`.
    """
    if callable(ttl):  # @cache_response without parentheses
        return cache_response()(ttl)
    rules = dict(stale=stale, negative_ttl=negative_ttl, jitter=jitter, beta=beta, lock=lock, wait=wait)

    def decorate(function):
        is_async = inspect.iscoroutinefunction(function)
        signature = inspect.signature(function)
        name = f"{function.__module__}.{function.__qualname__}"

        passed = {}

        def pass_by(place):
            if len(passed) >= PASSED_MAX:
                passed.clear()
            passed[place] = time.monotonic() + PASS_SECONDS

        def used():
            return cache if cache is not None else _default_cache(is_async)

        def bound(args, kwargs):
            arguments = signature.bind(*args, **kwargs)
            arguments.apply_defaults()
            return arguments.arguments

        def cache_key(*args, **kwargs):
            if callable(key):
                return key(*args, **kwargs)
            if key is not None:
                return key.format(**bound(args, kwargs)) if "{" in key else key
            text = json.dumps(list(bound(args, kwargs).items()), sort_keys=True, ensure_ascii=False)
            # Keys stay short and readable; what is long is told apart by its digest.
            if len(text) > 150:
                text = hashlib.sha256(text.encode()).hexdigest()
            return f"{name}:{text}"

        def tag_names(args, kwargs):
            found = tags(*args, **kwargs) if callable(tags) else tags
            return [found] if isinstance(found, str) else list(found)

        def kept_as(args, kwargs):
            """The key, and for a view its request; no key when this call is not for the cache."""
            request = web.request_of(wrapper, args)
            if request is None:
                return cache_key(*args, **kwargs), None
            if not request.is_cacheable:
                return None, request
            place = cache_key(*args, **kwargs) if key is not None else f"{name}:{request.path}"
            return (None if passed.get(place, 0) > time.monotonic() else place), request

        if is_async:
            @functools.wraps(function)
            async def wrapper(*args, **kwargs):
                place, request = kept_as(args, kwargs)
                if place is None:
                    return await function(*args, **kwargs)
                if request is None:
                    return await used().remember(place, lambda: function(*args, **kwargs), ttl, tags=tag_names(args, kwargs), **rules)
                box = web.Box(request)

                async def compute():
                    return box.put(await function(*args, **kwargs))

                try:
                    return box.take(await used().remember(place, compute, ttl, tags=tag_names(args, kwargs), **rules))
                except web.NotStored as kept_out:
                    pass_by(place)
                    return kept_out.response
        else:
            @functools.wraps(function)
            def wrapper(*args, **kwargs):
                place, request = kept_as(args, kwargs)
                if place is None:
                    return function(*args, **kwargs)
                if request is None:
                    return used().remember(place, lambda: function(*args, **kwargs), ttl, tags=tag_names(args, kwargs), **rules)
                box = web.Box(request)
                try:
                    return box.take(used().remember(
                        place, lambda: box.put(function(*args, **kwargs)), ttl, tags=tag_names(args, kwargs), **rules))
                except web.NotStored as kept_out:
                    pass_by(place)
                    return kept_out.response

        wrapper.cache_key = cache_key
        if is_async:
            async def forget(*args, **kwargs):
                return await used().delete(cache_key(*args, **kwargs))
        else:
            def forget(*args, **kwargs):
                return used().delete(cache_key(*args, **kwargs))
        wrapper.forget = forget
        wrapper.uncached = function
        return wrapper

    return decorate
