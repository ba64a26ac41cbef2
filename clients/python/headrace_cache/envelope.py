"""What is stored: the value's bytes behind a head that says what they are worth.

    hr1 j 1764338400.125 0.0310 scan:7=9f31c2,reports=01ab44\\n<bytes>

serializer; until when it is fresh (seconds since 1970); how long it took to compute (seconds); the tags and their tokens, `-` for
none. The key's own expiry is later than `fresh until` by as long as a stale value may still be given. Tags are written as
percent-encoded words, so that none can break the line.
"""

import urllib.parse

MAGIC = b"hr1"


class Envelope:
    __slots__ = ("serializer", "fresh_until", "cost", "tags", "data")

    def __init__(self, serializer, fresh_until, cost, tags, data):
        self.serializer, self.fresh_until, self.cost, self.tags, self.data = serializer, fresh_until, cost, tags, data

    def pack(self):
        tags = ",".join(f"{urllib.parse.quote(tag, safe='')}={token}" for tag, token in self.tags.items()) or "-"
        return b"%s %s %.3f %.6f %s\n%s" % (MAGIC, self.serializer.encode(), self.fresh_until, self.cost, tags.encode(), self.data)

    @classmethod
    def unpack(cls, raw):
        """`None` for bytes that another program wrote under the key: they are no value of ours."""
        head, separator, data = raw.partition(b"\n")
        words = head.split(b" ")
        if not separator or len(words) != 5 or words[0] != MAGIC:
            return None
        try:
            tags = {}
            if words[4] != b"-":
                for pair in words[4].decode().split(","):
                    tag, token = pair.split("=")
                    tags[urllib.parse.unquote(tag)] = token
            return cls(words[1].decode(), float(words[2]), float(words[3]), tags, data)
        except ValueError:
            return None
