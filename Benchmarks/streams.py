"""What is no rate of requests: memory of connections that wait, and large bodies in both directions.

Each figure is taken of Headrace and of nginx in turn, round by round, as the CPU time and the resident memory of their processes.
"""

import os
import pathlib
import re
import resource
import socket
import statistics
import subprocess
import sys
import time

IDLE_CONNECTIONS = 10_000
STREAM_BYTES = 1 << 30

# An application that sends a body of so many bytes for GET, and takes whatever a PUT brings; one connection at a time suffices.
APPLICATION = r"""
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
piece, room = bytes(1 << 18), bytearray(1 << 18)
while True:
    peer, _ = listener.accept()
    with peer:
        head = b""
        while b"\r\n\r\n" not in head:
            part = peer.recv(65536)
            if not part:
                break
            head += part
        if not head:
            continue
        if head.startswith(b"GET"):
            peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: image/png\r\nCache-Control: no-store\r\nContent-Length: %d\r\n\r\n" % int(sys.argv[2]))
            for _ in range(int(sys.argv[2]) // len(piece)):
                peer.sendall(piece)
        else:
            left = int(sys.argv[2]) - len(head.split(b"\r\n\r\n", 1)[1])
            while left > 0:
                got = peer.recv_into(room)
                if not got:
                    break
                left -= got
            peer.sendall(b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" if left == 0 else b"")
"""


def resident_bytes(pids):
    return sum(int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids) * os.sysconf("SC_PAGE_SIZE")


def peak_bytes(pids):
    return sum(int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) for pid in pids) << 10


def idle_bytes(port, family):
    """Resident memory per kept-alive connection that has had one response, of so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(IDLE_CONNECTIONS, hard - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 200, hard))
    before, clients = resident_bytes(family()), []
    try:
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", port))
            client.sendall(b"GET /blob.png HTTP/1.1\r\nHost: a\r\n\r\n")
            clients.append(client)
        for client in clients:
            left = None
            data = b""
            while left is None or left > 0:
                part = client.recv(65536)
                if not part:
                    raise OSError("the server closed")
                data += part
                if b"\r\n\r\n" in data:
                    head, _, body = data.partition(b"\r\n\r\n")
                    left = int(re.search(rb"(?i)content-length: (\d+)", head)[1]) - len(body)
        time.sleep(1)
        return (resident_bytes(family()) - before) / count
    finally:
        for client in clients:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def stream(port, direction):
    """Moves a body of STREAM_BYTES through a proxy with curl."""
    url = f"http://127.0.0.1:{port}/stream"
    if direction == "download":
        command = ["curl", "-sS", "--fail", "-o", "/dev/null", "-w", "%{size_download}", url]
        done = subprocess.run(["taskset", "-c", "1", *command], capture_output=True, text=True, timeout=300, check=True)
        return int(float(done.stdout)) == STREAM_BYTES
    head = subprocess.Popen(["head", "-c", str(STREAM_BYTES), "/dev/zero"], stdout=subprocess.PIPE)
    # Of its own accord curl would say chunked besides, which is refused.
    command = ["curl", "-sS", "--fail", "-X", "PUT", "-H", f"Content-Length: {STREAM_BYTES}", "-H", "Transfer-Encoding:", "-H", "Expect:",
               "-T", "-", "-o", "/dev/null", "-w", "%{http_code}", url]
    done = subprocess.run(["taskset", "-c", "1", *command], stdin=head.stdout, capture_output=True, text=True, timeout=300, check=True)
    head.wait()
    return done.stdout == "201"


def measure(bench, make, cpu_seconds, family, wait_for_port, free_port, rounds):
    """The lines of the report.

    make(kind, origin_port) starts a server of that kind ("headrace" or "nginx") and gives its process and port.
    """
    origin_port = free_port()
    origin = bench.spawn("stream-origin", [sys.executable, "-c", APPLICATION, origin_port, STREAM_BYTES], "1")
    wait_for_port(origin_port, origin)
    servers = {kind: make(kind, origin_port) for kind in ("headrace", "nginx")}
    names = {"headrace": "Headrace", "nginx": "nginx proxy_pass, unbuffered"}
    lines = [f"### A body of {STREAM_BYTES >> 30} GiB through", "",
             "| server | direction | s CPU | peak memory, MB | Headrace / server | must be |", "|---|---|---:|---:|---:|---:|"]
    for direction in ("download", "upload"):
        cpu = {kind: [] for kind in servers}
        for _ in range(rounds):
            for kind, (process, port) in servers.items():
                before = cpu_seconds(process.pid)
                if not stream(port, direction):
                    raise OSError(f"{names[kind]} did not pass the whole {direction}")
                cpu[kind].append(cpu_seconds(process.pid) - before)
        ratio = statistics.median(mine / theirs for mine, theirs in zip(cpu["headrace"], cpu["nginx"]))
        for kind, (process, _) in servers.items():
            goal = f"{ratio:.3f} | ≤ 1: {'yes' if ratio <= 1 else '**no**'}" if kind == "nginx" else " | "
            lines.append(f"| {names[kind]} | {direction} | {statistics.median(cpu[kind]):.2f} | {peak_bytes(family(process.pid)) / 1e6:,.0f} | {goal} |")
    lines += ["", "### Connections that wait", "", "| server | bytes per kept-alive connection | must be | moonshot |", "|---|---:|---:|---:|"]
    for kind in ("headrace-static", "nginx-static"):
        process, port = make(kind, origin_port)
        count = idle_bytes(port, lambda: family(process.pid))
        goals = " | " if kind != "headrace-static" else " | ".join(
            f"≤ {bound:,}: {'yes' if count <= bound else '**no**'}" for bound in (8192, 4096))
        lines.append(f"| {'Headrace' if kind == 'headrace-static' else 'nginx'} | {count:,.0f} | {goals} |")
    return lines + [""]
