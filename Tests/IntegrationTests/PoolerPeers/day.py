"""A day's traffic on a primary and its standby through the pooler, with faults, and nothing lost.

usage: day.py POOLER-PORT SECONDS SEED

How it works:
1. Clients of several kinds (psycopg2, psycopg 3 with prepared statements and pipelines, bare sockets that vanish) write rows with numbers of their own,
   each in a transaction of two inserts. A number is acknowledged when COMMIT was answered, refused when PostgreSQL or the pooler said no before
   COMMIT was sent, and open when the connection was lost while COMMIT was under way.
2. Each reply holds what was asked for: the number, and whose it is. Another client's would be seen at once.
3. Meanwhile, from one seed, faults: backends are terminated, statements cancelled, clients vanish in the middle of everything. And who started this
   is told, by a line `CONTROL word`, to stop, kill and start the primary, and at last to stop it for good and promote the standby; it answers with
   a line when it is done.
4. At the end, asked of the server that is left: each acknowledged number is there, twice, no refused one is, and an open one twice or not at all.

Prints one line of counts. A failure is an exit with what was lost.
"""
import collections
import random
import socket
import struct
import sys
import threading
import time

import psycopg
import psycopg2

PORT, SECONDS, SEED = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
URL = f"host=127.0.0.1 port={PORT} user=postgres dbname=shop sslmode=disable connect_timeout=60"
acknowledged, refused, opened = set(), set(), set()
problems, counts = [], collections.Counter()
lock = threading.Lock()
end = time.monotonic() + SECONDS


def problem(text):
    with lock:
        problems.append(text)


class Worker(threading.Thread):
    def __init__(self, kind, number):
        super().__init__(name=f"{kind} {number}", daemon=True)
        self.kind, self.base = kind, number * 10_000_000
        self.random = random.Random(SEED * 1000 + number)
        self.next = 0

    def run(self):
        connection = None
        while time.monotonic() < end:
            self.next += 1
            number = self.base + self.next
            state = ["before"]
            try:
                if connection is None:
                    connection = psycopg2.connect(URL) if self.kind == "psycopg2" else psycopg.connect(URL, prepare_threshold=1)
                    if self.kind == "pipeline":
                        connection.autocommit = True
                getattr(self, self.kind)(connection, number, state)
                acknowledged.add(number)
                counts[self.kind] += 1
            except (psycopg2.Error, psycopg.Error, OSError) as error:
                counts["told"] += 1
                (opened if state[0] == "committing" else refused).add(number)
                try:
                    connection.rollback()
                    healthy = not connection.closed
                except Exception:
                    healthy = False
                if not healthy:
                    try:
                        connection.close()
                    except Exception:
                        pass
                    connection = None
                    time.sleep(0.02)
            except Exception as error:
                return problem(f"{self.name}: {error!r}")
            if connection is not None and self.random.random() < 0.01:
                connection.close()
                connection = None

    def check(self, row, number):
        if row is None or tuple(row) != (number, self.name):
            problem(f"{self.name} asked for {number} and got {row}")

    def psycopg2(self, connection, number, state):
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s::bigint, %s::text", (number, self.name))
            self.check(cursor.fetchone(), number)
            cursor.execute("INSERT INTO day VALUES (%s)", (number,))
            if self.random.random() < 0.05:
                connection.rollback()
                raise psycopg2.OperationalError("taken back")
            cursor.execute("INSERT INTO day VALUES (%s)", (number,))
        state[0] = "committing"
        connection.commit()

    def psycopg3(self, connection, number, state):
        row = connection.execute("INSERT INTO day VALUES (%s) RETURNING n, %s::text", (number, self.name)).fetchone()
        self.check(row, number)
        if self.random.random() < 0.02:
            connection.execute("SELECT pg_sleep(0.05)")
        connection.execute("INSERT INTO day VALUES (%s)", (number,))
        state[0] = "committing"
        connection.commit()

    def pipeline(self, connection, number, state):
        # One batch, and so one transaction: the server ends it at its Sync.
        state[0] = "committing"
        with connection.pipeline():
            first = connection.execute("INSERT INTO day VALUES (%s) RETURNING n, %s::text", (number, self.name))
            connection.execute("INSERT INTO day VALUES (%s)", (number,))
            row = first.fetchone()
        self.check(row, number)


class Vanisher(threading.Thread):
    """Comes, asks, and is gone: before its query, in it, in a transaction, in COPY."""

    def __init__(self):
        super().__init__(daemon=True)
        self.random = random.Random(SEED)

    def run(self):
        def message(kind, body):
            return kind + struct.pack("!i", len(body) + 4) + body

        while time.monotonic() < end:
            try:
                with socket.create_connection(("127.0.0.1", PORT), timeout=5) as client:
                    start = b"user\0postgres\0database\0shop\0\0"
                    client.sendall(struct.pack("!ii", len(start) + 8, 196608) + start)
                    client.recv(4096)
                    text = self.random.choice([b"SELECT pg_sleep(30)", b"BEGIN; INSERT INTO day VALUES (-1)", b"COPY day FROM STDIN", b"SELECT generate_series(1, 1000000)"])
                    whole = message(b"Q", text + b"\0")
                    client.sendall(whole[:self.random.randint(0, len(whole))] if self.random.random() < 0.3 else whole)
                    counts["vanished"] += 1
                    if self.random.random() < 0.5:
                        client.settimeout(0.2)
                        client.recv(1000)
            except OSError:
                pass
            time.sleep(0.03)


def direct(sql, port):
    with psycopg2.connect(f"host=127.0.0.1 port={port} user=postgres dbname=shop connect_timeout=5") as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()


def control(word):
    # What it takes is no part of the day: until it is done the traffic goes on, and the time that was left is left afterwards.
    global end
    left, end = end - time.monotonic(), float("inf")
    print(f"CONTROL {word}", flush=True)
    counts[word] += 1
    answer = sys.stdin.readline().strip()
    end = time.monotonic() + left
    return answer


def faults():
    chance = random.Random(SEED)
    port = int(control("port"))
    # For the most part on the primary, which is stopped and killed, then on the standby.
    due = [(0.25, "stop"), (0.5, "kill"), (0.7, "promote")]
    # However slow the machine is: all of them happen, though the last of them after the day's end.
    while due or time.monotonic() < end:
        time.sleep(chance.uniform(0.1, 0.4))
        passed = 1 - (end - time.monotonic()) / SECONDS
        try:
            if due and passed > due[0][0]:
                word = due.pop(0)[1]
                if word == "promote":
                    port = int(control(word))
                else:
                    control(word)
                    time.sleep(chance.uniform(0, 0.5))
                    control("start")
            else:
                what = chance.choice(["pg_terminate_backend", "pg_cancel_backend"])
                direct(f"SELECT {what}(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 2", port)
                counts[what] += 1
        except psycopg2.Error:
            pass
    return port, not due


workers = [Worker(kind, number) for number, kind in enumerate(["psycopg2", "psycopg3", "pipeline"] * 4, 1)]
for thread in [*workers, Vanisher()]:
    thread.start()
port, promoted = faults()
for thread in workers:
    thread.join(120)
    if thread.is_alive():
        problem(f"{thread.name} hangs")
found = dict(direct("SELECT n, count(*) FROM day WHERE n > 0 GROUP BY n", port))
for number in acknowledged:
    if found.get(number) != 2:
        problem(f"{number} was acknowledged, and is there {found.get(number, 0)} times")
for number in refused:
    if number in found:
        problem(f"{number} was refused, and is there {found[number]} times")
for number in opened:
    if found.get(number, 2) != 2:
        problem(f"{number} is there {found[number]} times")
if set(found) - acknowledged - refused - opened:
    problem("numbers that nobody wrote")
# Who is left alone afterwards is served by all that there is, and nothing is held by those who are gone.
for _ in range(20):
    with psycopg2.connect(URL) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery()")
        if cursor.fetchone() != (False,):
            problem("a connection to a standby")
    connection.close()
deadline = time.monotonic() + 60
while direct("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND state <> 'idle' AND pid <> pg_backend_pid()", port) != [(0,)]:
    if time.monotonic() > deadline:
        problem("something still runs")
        break
    time.sleep(0.1)
held = direct("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()", port)[0][0]
print(f"acknowledged={len(acknowledged)} refused={len(refused)} open={len(opened)} servers={held} promoted={promoted} "
      + " ".join(f"{name}={count}" for name, count in sorted(counts.items())))
if problems:
    sys.exit("\n".join(problems[:20]) + f"\n{len(problems)} in all")
