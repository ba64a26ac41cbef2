"""Python's h2 as a peer of the edge: it refuses what HTTP/2 forbids, and so does this.

    peer.py origin PORT      an application, until it is ended; it ends by itself when the edge did something that is forbidden
    peer.py client PORT ID   a client of the edge at PORT, whose process ID it ends; exit 0 when all was as it should be
"""

import os
import random
import signal
import socket
import sys
import threading

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
CONTINUATION = 9


def body_of(count):
    return (b"0123456789abcdef" * (count // 16 + 1))[:count]


def fields_of(prefix, count):
    """So many fields of 1,000 characters, which no coding makes much smaller."""
    chance = random.Random(7)
    return [(f"{prefix}-{number}", "".join(chance.choices(LETTERS, k=1000))) for number in range(count)]


class Peer:
    """One connection: events in, and bodies out as the windows allow."""

    def __init__(self, connection, is_client, settings):
        self.socket = connection
        self.socket.settimeout(20)
        self.h2 = H2Connection(H2Configuration(client_side=is_client, header_encoding="utf-8"))
        self.h2.local_settings = Settings(client=is_client, initial_values=settings)
        self.h2.initiate_connection()
        self.frames = {}
        self.unread = b""
        # By stream: the bytes, and the trailers behind them.
        self.sending = {}

    def count_frames(self, data):
        """How many of each type came; of a client the preface goes first."""
        self.unread += data
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        if self.unread.startswith(preface):
            self.unread = self.unread[len(preface):]
        while len(self.unread) >= 9:
            end = 9 + int.from_bytes(self.unread[:3], "big")
            if len(self.unread) < end:
                break
            self.frames[self.unread[3]] = self.frames.get(self.unread[3], 0) + 1
            self.unread = self.unread[end:]

    def send(self, stream, body, trailers=()):
        self.sending[stream] = (body, list(trailers))

    def flush(self):
        for stream, (body, trailers) in list(self.sending.items()):
            while body:
                room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(body))
                if room <= 0:
                    break
                self.h2.send_data(stream, body[:room])
                body = body[room:]
            self.sending[stream] = (body, trailers)
            if not body:
                del self.sending[stream]
                if trailers:
                    self.h2.send_headers(stream, trailers, end_stream=True)
                else:
                    self.h2.end_stream(stream)
        data = self.h2.data_to_send()
        if data:
            self.socket.sendall(data)

    def receive(self):
        """The events of what came; `None` at the end."""
        self.flush()
        data = self.socket.recv(65536)
        if not data:
            return None
        self.count_frames(data)
        return self.h2.receive_data(data)


class Origin(Peer):
    def __init__(self, connection):
        # Small windows: the edge has to wait for more.
        super().__init__(connection, False, {SettingCodes.INITIAL_WINDOW_SIZE: 20_000, SettingCodes.MAX_CONCURRENT_STREAMS: 50, SettingCodes.HEADER_TABLE_SIZE: 100})
        self.requests = {}

    def serve(self):
        while (received := self.receive()) is not None:
            for event in received:
                if isinstance(event, events.RequestReceived):
                    self.requests[event.stream_id] = {"head": dict(event.headers), "body": b"", "trailers": {}}
                elif isinstance(event, events.DataReceived):
                    self.requests[event.stream_id]["body"] += event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, events.TrailersReceived):
                    self.requests[event.stream_id]["trailers"] = dict(event.headers)
                elif isinstance(event, events.StreamEnded):
                    if self.answer(event.stream_id, **self.requests.pop(event.stream_id)):
                        return
                elif isinstance(event, events.StreamReset):
                    self.requests.pop(event.stream_id, None)
                    self.sending.pop(event.stream_id, None)
                elif isinstance(event, events.ConnectionTerminated):
                    if event.error_code:
                        raise AssertionError(f"the edge says {event.error_code}")
                    return

    def answer(self, stream, head, body, trailers):
        """Whether this was the connection's last."""
        path, fields, after = head[":path"], [(":status", "200"), ("cache-control", "no-store")], []
        if path.startswith("/size/"):
            body = body_of(int(path[6:]))
        elif path == "/fields":
            whole = all(head.get(name) == value for name, value in fields_of("asked", 28))
            body = f"{whole} {CONTINUATION in self.frames}".encode()
            fields += fields_of("answered", 28)
        elif path == "/echo":
            after = [("x-length", str(len(body))), ("x-request-trailer", trailers.get("x-check", "none"))]
        elif path == "/goaway":
            body = b"the last"
        self.h2.send_headers(stream, fields)
        self.send(stream, body, after)
        self.flush()
        if path != "/goaway":
            return False
        self.h2.close_connection(last_stream_id=stream)
        self.flush()
        # What comes behind it is not looked at.
        while self.socket.recv(65536):
            pass
        return True


def serve(port):
    def run(connection):
        try:
            with connection:
                Origin(connection).serve()
        except OSError:
            pass
        except BaseException as error:
            print(f"origin: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)

    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            threading.Thread(target=run, args=(server.accept()[0],), daemon=True).start()


class Client(Peer):
    def __init__(self, port):
        connection = socket.create_connection(("127.0.0.1", port))
        super().__init__(connection, True, {SettingCodes.INITIAL_WINDOW_SIZE: 1000, SettingCodes.HEADER_TABLE_SIZE: 200, SettingCodes.ENABLE_PUSH: 0})
        self.answers = {}
        self.others = []

    def ask(self, path, fields=(), body=None, trailers=()):
        stream = self.h2.get_next_available_stream_id()
        head = [(":method", "GET" if body is None else "POST"), (":scheme", "http"), (":authority", "shop.test"), (":path", path), ("te", "trailers")]
        self.h2.send_headers(stream, head + list(fields), end_stream=body is None)
        if body is not None:
            self.send(stream, body, trailers)
        self.answers[stream] = {"head": {}, "body": b"", "trailers": {}, "ended": False}
        return stream

    def step(self):
        received = self.receive()
        if received is None:
            return False
        for event in received:
            answer = self.answers.get(getattr(event, "stream_id", None))
            if isinstance(event, events.ResponseReceived):
                answer["head"] = dict(event.headers)
            elif isinstance(event, events.DataReceived):
                answer["body"] += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, events.TrailersReceived):
                answer["trailers"] = dict(event.headers)
            elif isinstance(event, events.StreamEnded):
                answer["ended"] = True
            elif isinstance(event, events.StreamReset):
                raise AssertionError(f"stream {event.stream_id} was reset: {event.error_code}")
            else:
                self.others.append(event)
        return True

    def until(self, condition):
        while not condition():
            assert self.step(), "the connection has ended"

    def seen(self, kind):
        return [event for event in self.others if isinstance(event, kind)]

    def whole(self, *streams):
        self.until(lambda: all(self.answers[stream]["ended"] for stream in streams))
        answers = [self.answers[stream] for stream in streams]
        assert all(answer["head"][":status"] == "200" for answer in answers), answers
        return answers


def ask(port, process):
    client = Client(port)

    # Many streams, each with a window of 1,000 bytes.
    streams = [client.ask(f"/size/{20_000 + number}") for number in range(20)]
    for number, answer in enumerate(client.whole(*streams)):
        assert answer["body"] == body_of(20_000 + number)

    # A body that is larger than every window, and trailers in both directions.
    body = body_of(300_000)
    (echo,) = client.whole(client.ask("/echo", body=body, trailers=[("x-check", "sum")]))
    assert echo["body"] == body
    assert echo["trailers"] == {"x-length": "300000", "x-request-trailer": "sum"}, echo["trailers"]

    # Heads that are longer than a frame.
    (large,) = client.whole(client.ask("/fields", fields_of("asked", 28)))
    assert large["body"] == b"True True", large["body"]
    assert all(large["head"].get(name) == value for name, value in fields_of("answered", 28))
    assert client.frames.get(CONTINUATION, 0) > 0

    # Another table for fields, and another window, also for the stream that is open.
    held = client.ask("/size/150000")
    client.until(lambda: client.answers[held]["body"])
    client.h2.update_settings({SettingCodes.HEADER_TABLE_SIZE: 0, SettingCodes.INITIAL_WINDOW_SIZE: 50_000})
    client.until(lambda: len(client.seen(events.SettingsAcknowledged)) == 2)
    assert client.whole(held, client.ask("/size/10"))[0]["body"] == body_of(150_000)
    client.h2.update_settings({SettingCodes.HEADER_TABLE_SIZE: 4096, SettingCodes.INITIAL_WINDOW_SIZE: 100})
    client.whole(client.ask("/size/1000"), client.ask("/size/1000"))

    # A stream that is given up, a ping, a priority of RFC 7540: the rest goes on.
    given_up = client.ask("/size/1000000")
    client.until(lambda: client.answers[given_up]["body"])
    client.h2.reset_stream(given_up, 8)
    client.h2.ping(b"12345678")
    client.h2.prioritize(client.h2.get_next_available_stream_id(), weight=7)
    client.whole(client.ask("/size/5000"))
    assert client.seen(events.PingAckReceived)[0].ping_data == b"12345678"

    # The origin's GOAWAY: what it has not looked at is asked again.
    for _ in range(3):
        streams = [client.ask(path) for path in ["/size/100", "/size/3000", "/goaway"] + ["/size/2000"] * 10]
        client.whole(*streams)

    # A client's GOAWAY: the connection ends.
    other = Client(port)
    other.whole(other.ask("/size/10"))
    other.h2.close_connection()
    while other.step():
        pass

    # And the edge's.
    os.kill(process, signal.SIGTERM)
    client.until(lambda: client.seen(events.ConnectionTerminated))
    end = client.seen(events.ConnectionTerminated)[0]
    assert end.error_code == 0 and end.last_stream_id >= max(client.answers), end


if sys.argv[1] == "origin":
    serve(int(sys.argv[2]))
else:
    ask(int(sys.argv[2]), int(sys.argv[3]))
