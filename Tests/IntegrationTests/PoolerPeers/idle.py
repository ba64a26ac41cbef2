"""Clients that log in, and then ask nothing: what each costs the pooler in memory, and whether all are served when they do ask.

usage: idle.py PORT PID COUNT plain|tls

Prints bytes per client, and how many were answered.
"""
import resource
import socket
import ssl
import struct
import sys

PORT, PID, COUNT, TLS = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "tls"
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE


def resident():
    with open(f"/proc/{PID}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def until(client, end):
    received = b""
    while not received.endswith(end):
        piece = client.recv(65536)
        if not piece:
            sys.exit(f"a client is refused: {received!r}")
        received += piece
    return received


def login():
    client = socket.create_connection(("127.0.0.1", PORT), timeout=120)
    if TLS:
        client.sendall(struct.pack("!ii", 8, 80877103))
        if client.recv(1) != b"S":
            sys.exit("no TLS")
        client = context.wrap_socket(client)
    start = b"user\0postgres\0database\0shop\0\0"
    client.sendall(struct.pack("!ii", len(start) + 8, 196608) + start)
    until(client, b"Z\0\0\0\x05I")
    return client


# What the first few cost is the pooler's own.
clients = [login() for _ in range(50)]
before = resident()
clients += [login() for _ in range(COUNT - len(clients))]
each = (resident() - before) // (COUNT - 50)
# All at once: no answer is read before the last has asked.
for number, client in enumerate(clients):
    text = b"SELECT %d\0" % (1000000 + number)
    client.sendall(b"Q" + struct.pack("!i", len(text) + 4) + text)
answered = sum(str(1000000 + number).encode() in until(client, b"Z\0\0\0\x05I") for number, client in enumerate(clients))
print(each, answered)
