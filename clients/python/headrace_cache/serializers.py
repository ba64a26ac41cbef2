"""How values become bytes."""

import json
import pickle


class JSON:
    """What JSON can say and nothing else: whoever can write to the cache can change values, and do no more than that.

    A value is given back as JSON has it (tuples become lists), and so it is when it was just computed: what a caller gets does not
    depend on whether it was a hit. What JSON would change silently, such as keys that are no strings, is refused.
    """

    name = "j"

    @staticmethod
    def dumps(value):
        _check(value)
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()

    @staticmethod
    def loads(data):
        return json.loads(data)


def _check(value):
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            for key in item:
                if not isinstance(key, str):
                    raise TypeError(f"JSON has no key {key!r}: keys are strings")
            stack.extend(item.values())
        elif isinstance(item, (list, tuple)):
            stack.extend(item)


class Pickle:
    """Any Python value. Who can write to the cache can run code in the application: only for a cache that nobody else writes to."""

    name = "p"

    @staticmethod
    def dumps(value):
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)

    @staticmethod
    def loads(data):
        return pickle.loads(data)


def serializer(choice):
    if choice in (None, "json"):
        return JSON
    if choice == "pickle":
        return Pickle
    if hasattr(choice, "dumps") and hasattr(choice, "loads") and hasattr(choice, "name"):
        return choice
    raise ValueError(f'serializer {choice!r}: "json", "pickle", or an object with name, dumps and loads')
