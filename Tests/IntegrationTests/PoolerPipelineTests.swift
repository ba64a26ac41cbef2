import Foundation
import TestSupport
import Testing

/// Bare messages of the protocol: what drivers may say, and mostly do not. PostgreSQL itself is asked the same.
@Suite(.enabled(if: PostgresCluster.programs != nil && Command.find("psql") != nil, "PostgreSQL is not installed: run scripts/setup test"))
struct PoolerPipelineTests {
    private let postgres: PostgresCluster

    init() throws {
        postgres = try PostgresCluster.shared.get()
    }

    private func run(_ script: String, _ settings: [String: String] = [:]) throws -> String {
        let all = ["limits.pool_size": "1", "limits.min_pool_size": "0", "limits.reserve_pool_size": "0"].merging(settings) { $1 }
        let pooler = try HeadraceProcess(
            ["--pooler", "127.0.0.1:0", "--postgres", postgres.url(user: nil)]
                + all.sorted { $0.key < $1.key }.flatMap { ["--set", "pooler.\($0.key)=\($0.value)"] }, saying: "pooler: ")
        let result = try Command.run("timeout", ["120", Command.python, "-c", Self.client + script, "\(pooler.port)", "\(postgres.port)", "\(pooler.processIdentifier)"])
        #expect(result.status == 0, "\(result.text)\(result.errors)")
        return result.text
    }

    private static let client = """
        import os, re, signal, socket, struct, sys, time
        def query(text): return b'Q' + struct.pack('!i', len(text) + 5) + text + b'\\0'
        def message(kind, body=b''): return kind + struct.pack('!i', len(body) + 4) + body
        def parse(name, text): return message(b'P', name + b'\\0' + text + b'\\0\\0\\0')
        def bind(name): return message(b'B', b'\\0' + name + b'\\0\\0\\0\\0\\0\\0\\0')
        def describe(name): return message(b'D', b'S' + name + b'\\0')
        def close(name): return message(b'C', b'S' + name + b'\\0')
        execute, sync = message(b'E', b'\\0\\0\\0\\0\\0'), message(b'S')
        class Client:
            def __init__(self, port, database=b'shop'):
                self.socket = socket.create_connection(('127.0.0.1', int(port)), timeout=60)
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                start = b'user\\0postgres\\0database\\0' + database + b'\\0\\0'
                self.socket.sendall(struct.pack('!ii', len(start) + 8, 196608) + start)
                self.buffer = b''
                self.answers(1)
            def answers(self, count):
                told = []
                while count:
                    while len(self.buffer) < 5 or len(self.buffer) < 1 + struct.unpack('!i', self.buffer[1:5])[0]:
                        piece = self.socket.recv(65536)
                        if not piece: return told + ['gone']
                        self.buffer += piece
                    length = 1 + struct.unpack('!i', self.buffer[1:5])[0]
                    answer, self.buffer = self.buffer[:length], self.buffer[length:]
                    kind = answer[:1].decode()
                    if kind == 'E': told.append('E' + answer.split(b'\\0C')[1][:5].decode())
                    elif kind == 'D': told.append(answer[11:160].decode())
                    elif kind not in 'NSKR': told.append(kind)
                    count -= kind == 'Z'
                return told

        """

    @Test func `batches behind one that fails are answered as by PostgreSQL itself`() throws {
        let text = try run(
            """
            bad, one, two = b'SELEC', b"SELECT 'one'", b"SELECT 'two'"
            run = lambda name: bind(name) + execute + sync
            # Each with the number of its Syncs.
            conversations = [
                (parse(b'', bad) + parse(b'a', one) + sync + run(b'a'), 2),
                (parse(b'a', one) + sync + run(b'a') + run(b'a'), 3),
                (parse(b'', bad) + close(b'a') + parse(b'a', two) + sync + run(b'a'), 2),
                (parse(b'', bad) + parse(b'b', one) + sync + parse(b'c', one) + run(b'c'), 2),
                (run(b'b') + run(b'c'), 2),
                (parse(b'', bad) + close(b'c') + sync + close(b'c') + sync + run(b'c'), 3),
                (parse(b'', bad) + describe(b'') + sync + run(b''), 2),
                (parse(b'', two) + describe(b'') + sync + run(b''), 2),
                (parse(b'', bad) + close(b'a') + sync + query(b'DEALLOCATE a') + run(b'a'), 3),
                (query(b'BEGIN') + parse(b'd', one) + run(b'd') + parse(b'', bad) + bind(b'd') + sync + run(b'd') + query(b'ROLLBACK') + run(b'd'), 6),
            ]
            through, direct = Client(sys.argv[1]), Client(sys.argv[2])
            for number, (messages, count) in enumerate(conversations):
                for client in (through, direct): client.socket.sendall(messages)
                got, expected = through.answers(count), direct.answers(count)
                if got != expected: print(number, got, expected)
            print('end')
            """)
        #expect(text == "end\n", "\(text)")
    }

    @Test func `each query of a pipeline is counted, and its time once`() throws {
        let text = try run(
            """
            client = Client(sys.argv[1])
            began = time.monotonic()
            # A statement, and BEGIN with its COMMIT; a Sync each.
            client.socket.sendall(query(b'SELECT 1') * 400 + (query(b'BEGIN') + query(b'COMMIT')) * 50 + (parse(b'', b'SELECT 1') + bind(b'') + execute + sync) * 400)
            answers = client.answers(900)
            console = Client(sys.argv[1], b'pgbouncer')
            console.socket.sendall(query(b'SHOW STATS_TOTALS'))
            rows = [re.split('\\0\\0\\0.', row, flags=re.DOTALL) for row in console.answers(1)]
            # The pooler looks at the clock after it has sent the answers.
            microseconds = (time.monotonic() - began) * 1e6
            figures = [row for row in rows if row[0] == 'shop'][0]
            print(answers.count('Z'), *figures[2:4], 0 < int(figures[6]) <= microseconds, 0 < int(figures[7]) <= microseconds)
            """, ["auth.admins": "postgres"])
        #expect(text == "900 850 900 True True\n", "\(text)")
    }

    @Test func `a transaction that its client leaves takes what is prepared along only if it has left something behind`() throws {
        let text = try run(
            """
            named = parse(b's', b'SELECT 1') + bind(b's') + execute + sync
            for statement in (b'SELECT 2', b"SET work_mem = '1234kB'", b'SELECT pg_advisory_lock(7)', b'COMMIT AND CHAIN', b'SELECT 1/0', b'LISTEN x'):
                client, other = Client(sys.argv[1]), Client(sys.argv[1])
                for message in (query(b'BEGIN'), named, query(statement)):
                    client.socket.sendall(message)
                    client.answers(1)
                client.socket.close()
                other.socket.sendall(query(b"SELECT (SELECT count(*) FROM pg_prepared_statements) || current_setting('work_mem') || (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') || (SELECT count(*) FROM pg_listening_channels())"))
                print(other.answers(1)[1], end=' ')
                other.socket.close()
            """)
        #expect(text == "14MB00 04MB00 04MB00 14MB00 04MB00 14MB00 ", "\(text)")
    }

    @Test func `with mode statement a transaction block is refused, wherever its answers are cut`() throws {
        let text = try run(
            """
            client = Client(sys.argv[1])
            client.socket.sendall(query(b'SELECT pg_sleep(0.3)') + query(b'BEGIN') + query(b'COMMIT'))
            time.sleep(0.15)
            # What the server says meanwhile comes in one read.
            os.kill(int(sys.argv[3]), signal.SIGSTOP)
            time.sleep(0.3)
            os.kill(int(sys.argv[3]), signal.SIGCONT)
            print(client.answers(4)[-2:])
            """, ["mode": "statement"])
        #expect(text == "['E0A000', 'gone']\n", "\(text)")
    }

    @Test func `a request may come in any pieces, and holds up nobody`() throws {
        let text = try run(
            """
            slow, other = Client(sys.argv[1]), Client(sys.argv[1])
            long = b"SELECT '" + b'x' * 40 + b"', length('" + b'y' * 50_000 + b"')"
            longer = b"SELECT length('" + b'y' * 300_000 + b"')"
            requests = [
                (query(b"SELECT 'quick'"), [1, 7]), (parse(b's', b"SELECT 'named'") + bind(b's') + execute + sync, [1, 3, 11]), (bind(b's') + execute + sync, [1, 9]),
                (parse(b'', b"SELECT 'none'") + bind(b'') + execute + sync, [1, 10]), (query(long), [1_000, 20_000]), (query(longer), [10_000, 70_000]),
                (parse(b'l', longer) + bind(b'l') + execute + sync, [9_000, 70_000]), (close(b'l') + sync, [2]), (close(b's') + sync, [1]),
            ]
            for request, sizes in requests:
                told = []
                for size in sizes:
                    for start in range(0, len(request), size):
                        slow.socket.sendall(request[start:start + size])
                        # The pooler has read it when it has answered somebody who came later; a batch that has begun has the only server connection.
                        if start < 60 and request[:1] == b'Q' and len(request) < 60_000:
                            other.socket.sendall(query(b"SELECT 'other'"))
                            assert other.answers(1) == ['T', 'other', 'C', 'Z']
                    told.append(slow.answers(1))
                    if request[:1] == b'P' and request[5:6] != b'\\0':
                        slow.socket.sendall(close(request[5:6]) + sync)
                        slow.answers(1)
                        if size == sizes[-1]: slow.socket.sendall(request); slow.answers(1)
                if any(answer != told[0] for answer in told) or not told[0] or 'gone' in told[0] or any(word.startswith('E') for word in told[0]):
                    print(request[:30], told)
            print('end')
            """)
        #expect(text == "end\n", "\(text)")
    }

    @Test func `a long message that does not end keeps a server connection for no longer than others wait for one`() throws {
        let text = try run(
            """
            slow, other = Client(sys.argv[1]), Client(sys.argv[1])
            slow.socket.sendall(parse(b'l', b"SELECT '" + b'x' * 200_000 + b"'")[:100_000])
            slow.socket.settimeout(0.05)
            told = b''
            for _ in range(1_000):
                try:
                    told = slow.socket.recv(65536)
                    break
                # It is never idle for long.
                except TimeoutError: slow.socket.sendall(b'x')
            other.socket.sendall(query(b"SELECT 'other'"))
            print(b'C57014' in told, b'the rest of a message did not come' in told, other.answers(1))
            """, ["timeouts.query_wait": "500ms"])
        #expect(text == "True True ['T', 'other', 'C', 'Z']\n", "\(text)")
    }
}
