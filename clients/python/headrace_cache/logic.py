"""What is asked of the server, and what follows from its answers: the same for threads and for asyncio.

Each operation is a generator. It yields what it needs and is sent what came of it:

    ("commands", [[...], ...])   the replies, in order; one round trip
    ("compute",)                 the value
    ("sleep", seconds)           nothing

The drivers in `cache.py` are a loop each, one of which awaits. A failure of the server is thrown into the generator as `Away`.
"""

import math
import random
import secrets
import time

from .envelope import Envelope

# Compares before it deletes: whoever computed for longer than the lock lasts must not take away the next one's.
UNLOCK = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"

# A tag outlives what is stored under it by far. Should it go before, what is stored under it counts as invalid: nothing worse.
TAG_SECONDS = 30 * 86400


class Away(Exception):
    """The server cannot be asked, or does not answer."""


class Missing:
    """What `get` has found when it has found nothing; `None` is a value."""


MISSING = Missing()


class Rules:
    """How one call wants its value kept. Times are seconds."""

    __slots__ = ("ttl", "stale", "negative_ttl", "jitter", "beta", "lock", "wait", "tags")

    def __init__(self, ttl, stale, negative_ttl, jitter, beta, lock, wait, tags):
        if ttl is not None and ttl <= 0:
            raise ValueError(f"ttl {ttl}: more than 0 seconds, or None for no end")
        if not 0 <= jitter < 1:
            raise ValueError(f"jitter {jitter}: a share, 0 to 1")
        self.ttl, self.stale, self.negative_ttl, self.jitter, self.beta = ttl, stale, negative_ttl, jitter, beta
        self.lock, self.wait, self.tags = lock, wait, tuple(tags)

    def lifetime(self, value):
        """`None` for no end; 0 when the value is not to be kept."""
        ttl = self.negative_ttl if value is None and self.negative_ttl is not None else self.ttl
        if not ttl:
            return ttl
        # Shorter only: what is stored at the same moment does not end at the same moment, and nothing lives longer than was asked.
        return ttl * (1 - self.jitter * random.random())


def _bytes(reply):
    """A client that was made with decode_responses gives texts."""
    return reply.encode() if isinstance(reply, str) else reply


def _token(reply):
    return (_bytes(reply) or b"").decode("ascii", "replace")


def _tag_key(names, tag):
    return names("tag:" + tag)


def _store(names, serializer, key, data, lifetime, cost, rules, tokens):
    """The command that stores a value."""
    fresh_until = time.time() + lifetime if lifetime is not None else math.inf
    command = ["SET", names(key), Envelope(serializer.name, fresh_until, cost, tokens, data).pack()]
    if lifetime is not None:
        command += ["PX", max(1, int((lifetime + rules.stale) * 1000))]
    return command


def _tokens(names, tags):
    """The tags' tokens now; a tag that has none yet gets one."""
    tags = sorted(set(tags))
    if not tags:
        return {}
    commands = [["SET", _tag_key(names, tag), secrets.token_hex(8), "NX", "EX", TAG_SECONDS] for tag in tags]
    replies = yield ("commands", commands + [["MGET"] + [_tag_key(names, tag) for tag in tags]])
    return {tag: _token(reply) for tag, reply in zip(tags, replies[-1])}


def _open(serializer, envelope, found):
    """The value in an envelope, if its tags are what they were."""
    if envelope is None or envelope.serializer != serializer.name:
        return MISSING
    if any(token != found.get(tag, "") for tag, token in envelope.tags.items()):
        return MISSING
    try:
        return serializer.loads(envelope.data)
    except Exception:  # Bytes that are no value, of whatever origin, are a miss.
        return MISSING


def _asking(names, key, tags):
    """The command whose reply `_opened` takes."""
    return ["MGET", names(key)] + [_tag_key(names, tag) for tag in sorted(set(tags))]


def _lookup(names, serializer, key, tags):
    """What is stored: the envelope and its value, or (None, MISSING)."""
    (values,) = yield ("commands", [_asking(names, key, tags)])
    return (yield from _opened(names, serializer, values, tags))


def _opened(names, serializer, values, tags):
    tags = sorted(set(tags))
    envelope = Envelope.unpack(_bytes(values[0])) if values[0] is not None else None
    if envelope is None:
        return None, MISSING
    found = {tag: _token(reply) for tag, reply in zip(tags, values[1:])}
    others = [tag for tag in envelope.tags if tag not in found]
    if others:
        (tokens,) = yield ("commands", [["MGET"] + [_tag_key(names, tag) for tag in others]])
        found.update({tag: _token(reply) for tag, reply in zip(others, tokens)})
    value = _open(serializer, envelope, found)
    return (None, MISSING) if value is MISSING else (envelope, value)


def get(names, serializer, stats, key):
    envelope, value = yield from _lookup(names, serializer, key, ())
    if envelope is None or envelope.fresh_until <= time.time():
        stats.misses += 1
        return MISSING
    stats.hits += 1
    return value


def set_value(names, serializer, key, value, rules):
    data = serializer.dumps(value)
    lifetime = rules.lifetime(value)
    if lifetime == 0:
        yield ("commands", [["DEL", names(key)]])
        return
    tokens = yield from _tokens(names, rules.tags)
    yield ("commands", [_store(names, serializer, key, data, lifetime, 0.0, rules, tokens)])


def invalidate(names, tags):
    yield ("commands", [["SET", _tag_key(names, tag), secrets.token_hex(8), "EX", TAG_SECONDS] for tag in tags])


def delete(names, keys):
    if not keys:
        return 0
    (count,) = yield ("commands", [["DEL"] + [names(key) for key in keys]])
    return count


def is_due(envelope, beta, now):
    """Whether a fresh value is renewed now already: the likelier, the nearer its end is and the longer it takes to compute.

    Source: Vattani, Chierichetti, Lowenstein, "Optimal probabilistic cache stampede prevention", VLDB 2015.
    """
    if beta <= 0 or envelope.cost <= 0 or envelope.fresh_until == math.inf:
        return False
    return now - envelope.cost * beta * math.log(1 - random.random()) >= envelope.fresh_until


def remember(names, serializer, stats, key, rules):
    """The stored value, or a computed one, which is stored.

    One computes at a time, over all processes: it holds the key's lock, which ends by itself. The others take the stale value where
    there is one, or wait for the new one; who has waited for `rules.wait` computes for itself.
    """
    try:
        envelope, value = yield from _lookup(names, serializer, key, rules.tags)
    except Away:
        stats.computed += 1
        return (yield ("compute",))
    now = time.time()
    if envelope is not None and envelope.fresh_until > now and not is_due(envelope, rules.beta, now):
        stats.hits += 1
        return value
    token = secrets.token_hex(8)
    lock = names("lock:" + key)
    end = time.monotonic() + rules.wait
    pause = 0.004
    is_mine = has_asked = False
    try:
        while True:
            # With another look in the same turn: the value may have been stored between the last one and the lock.
            look = [_asking(names, key, rules.tags)] if envelope is None else []
            has_asked = True
            replies = yield ("commands", [["SET", lock, token, "NX", "PX", max(1, int(rules.lock * 1000))]] + look)
            is_mine = replies[0] is not None
            if look:
                late, value = yield from _opened(names, serializer, replies[1], rules.tags)
                if late is not None:
                    if is_mine:
                        yield ("commands", [["EVAL", UNLOCK, 1, lock, token]])
                    stats.hits += 1
                    return value
            if is_mine:
                break
            if envelope is not None:
                if envelope.fresh_until > now:
                    stats.hits += 1
                else:
                    stats.stale += 1
                return value
            if time.monotonic() >= end:
                break
            stats.waited += 1
            yield ("sleep", pause * (0.5 + random.random()))
            pause = min(pause * 1.6, 0.1)
            envelope, value = yield from _lookup(names, serializer, key, rules.tags)
            if envelope is not None:
                stats.hits += 1
                return value
        # Before the value is computed: what is invalidated while it is, makes it invalid.
        tokens = yield from _tokens(names, rules.tags)
    except Away:
        stats.computed += 1
        try:
            return (yield ("compute",))
        finally:
            # It may have the lock all the same, and nobody is to wait until that ends by itself.
            if has_asked:
                yield from _attempt([["EVAL", UNLOCK, 1, lock, token]])
    stats.misses += 1
    stats.computed += 1
    began = time.monotonic()
    try:
        value = yield ("compute",)
    except BaseException:
        if is_mine:
            yield from _attempt([["EVAL", UNLOCK, 1, lock, token]])
        raise
    cost = time.monotonic() - began
    commands = []
    try:
        lifetime = rules.lifetime(value)
        if lifetime != 0:
            data = serializer.dumps(value)
            value = serializer.loads(data)
            commands.append(_store(names, serializer, key, data, lifetime, cost, rules, tokens))
    except (TypeError, ValueError) as error:
        stats.unserializable += 1
        stats.warn(f"{key}: the value cannot be stored: {error}")
    if is_mine:
        commands.append(["EVAL", UNLOCK, 1, lock, token])
    if commands:
        yield from _attempt(commands)
    return value


def _attempt(commands):
    """What makes no difference to the caller when it fails."""
    try:
        yield ("commands", commands)
    except Away:
        pass
