import Foundation
import TestSupport
import Testing

/// Drivers and libraries of Python's through the pooler in transaction mode, each as its manual shows it. They share two server
/// connections, so that what they prepare and set has to follow them.
@Suite(
    .serialized,
    .enabled(if: PostgresCluster.programs != nil && PythonDrivers.missing == nil, "PostgreSQL or a driver is not installed: run scripts/setup test"))
struct PoolerDriverTests {
    private let postgres: PostgresCluster

    init() throws {
        postgres = try PostgresCluster.shared.get()
    }

    private func run(_ script: String, _ settings: [String: String] = [:]) throws -> String {
        let all = ["limits.pool_size": "2", "limits.min_pool_size": "0", "limits.reserve_pool_size": "0"].merging(settings) { $1 }
        let pooler = try HeadraceProcess(
            ["--pooler", "127.0.0.1:0", "--postgres", postgres.url(user: nil)]
                + all.sorted { $0.key < $1.key }.flatMap { ["--set", "pooler.\($0.key)=\($0.value)"] }, saying: "pooler: ")
        let result = try Command.run("timeout", ["60", Command.python, "-c", script, "\(pooler.port)"])
        #expect(result.status == 0, "\(result.errors)")
        return result.text
    }

    @Test func `psycopg 3 prepares by itself, pipelines, copies and listens`() throws {
        let text = try run(
            """
            import sys, psycopg
            url = f"host=127.0.0.1 port={sys.argv[1]} user=postgres dbname=shop"
            connections = [psycopg.connect(url, autocommit=True, prepare_threshold=1) for _ in range(4)]
            for round in range(8):
                for number, connection in enumerate(connections):
                    assert connection.execute("SELECT %s::int + %s::int", (round, number)).fetchone() == (round + number,)
            connections[0].execute("DROP TABLE IF EXISTS psycopg3; CREATE TABLE psycopg3 (n int)")
            with connections[1].pipeline() as pipeline:
                for number in range(50):
                    connections[1].execute("INSERT INTO psycopg3 VALUES (%s)", (number,))
            with connections[2].cursor().copy("COPY psycopg3 FROM STDIN") as copy:
                for number in range(1000):
                    copy.write_row((number,))
            with connections[3].transaction():
                connections[3].execute("SET LOCAL statement_timeout = '5s'")
                assert connections[3].execute("SELECT count(*) FROM psycopg3").fetchone() == (1050,)
            assert connections[3].execute("SHOW statement_timeout").fetchone() == ("0",)
            connections[0].execute("LISTEN psycopg")
            connections[1].execute("SELECT pg_notify('psycopg', 'hello')")
            print(next(connections[0].notifies()).payload)
            """)
        #expect(text == "hello\n")
    }

    /// One server connection for both: it changes hands between each request to cancel and the next.
    @Test func `a request to cancel never reaches another client's query`() throws {
        let text = try run(
            """
            import sys, threading, time, psycopg2
            from psycopg2.errors import QueryCanceled
            url = f"host=127.0.0.1 port={sys.argv[1]} user=postgres dbname=shop"
            hasty, other = psycopg2.connect(url), psycopg2.connect(url)
            hasty.autocommit = other.autocommit = True
            done = threading.Event()
            def ask():
                cursor = hasty.cursor()
                while not done.is_set():
                    try:
                        cursor.execute("SELECT 1")
                    except QueryCanceled:
                        pass
            def cancel():
                while not done.is_set():
                    hasty.cancel()
            threads = [threading.Thread(target=work) for work in (ask, cancel)]
            for thread in threads: thread.start()
            cursor, end = other.cursor(), time.monotonic() + 2
            count = 0
            while time.monotonic() < end or count < 50:
                cursor.execute("SELECT pg_sleep(0.002)")
                count += 1
            done.set()
            for thread in threads: thread.join()
            over = threading.Event()
            def insist():
                while not over.wait(0.5):
                    hasty.cancel()
            insisting = threading.Thread(target=insist)
            insisting.start()
            try:
                hasty.cursor().execute("SELECT pg_sleep(50)")
            except QueryCanceled:
                print("ok")
            over.set()
            insisting.join()
            """, ["limits.pool_size": "1", "threads": "2"])
        #expect(text == "ok\n")
    }

    @Test func `psycopg2 sets its session and keeps a cursor WITH HOLD`() throws {
        let text = try run(
            """
            import sys, psycopg2
            url = f"host=127.0.0.1 port={sys.argv[1]} user=postgres dbname=shop options='-c search_path=public'"
            first, second = psycopg2.connect(url), psycopg2.connect(url)
            first.set_session(autocommit=True, isolation_level='SERIALIZABLE')
            second.autocommit = True
            one, two = first.cursor(), second.cursor()
            one.execute("SET work_mem = '7MB'")
            two.execute("SHOW work_mem"); assert two.fetchone() == ('4MB',), 'leaks'
            one.execute("SHOW work_mem"); assert one.fetchone() == ('7MB',), 'lost'
            one.execute("SHOW default_transaction_isolation"); isolation = one.fetchone()
            held = first.cursor('held', withhold=True)
            held.itersize = 10
            held.execute("SELECT generate_series(1, 100)")
            two.execute("SELECT 1")
            print(sum(row[0] for row in held))
            held.close()
            """)
        #expect(text == "5050\n")
    }

    @Test func `asyncpg prepares, reads through a cursor and listens`() throws {
        let text = try run(
            """
            import sys, asyncio, asyncpg
            async def main():
                pool = await asyncpg.create_pool(host='127.0.0.1', port=int(sys.argv[1]), user='postgres', database='shop', min_size=4, max_size=4)
                async def work(number):
                    async with pool.acquire() as connection:
                        for round in range(10):
                            assert await connection.fetchval('SELECT $1::int * $2::int', number, round) == number * round
                await asyncio.gather(*(work(number) for number in range(16)))
                async with pool.acquire() as connection:
                    async with connection.transaction():
                        total = 0
                        async for row in connection.cursor('SELECT generate_series(1, 100) AS n', prefetch=10):
                            total += row['n']
                    assert total == 5050
                heard = asyncio.get_running_loop().create_future()
                listener = await pool.acquire()
                await listener.add_listener('asyncpg', lambda connection, process, channel, payload: heard.done() or heard.set_result(payload))
                await pool.execute("NOTIFY asyncpg, 'hello'")
                print(await asyncio.wait_for(heard, 10))
                await listener.remove_listener('asyncpg', lambda *_: None)
                await pool.release(listener)
                await pool.close()
            asyncio.run(main())
            """)
        #expect(text == "hello\n")
    }

    @Test func `asyncpg prepares anew after a migration`() throws {
        let text = try run(
            """
            import sys, asyncio, asyncpg
            async def main():
                connection = await asyncpg.connect(host='127.0.0.1', port=int(sys.argv[1]), user='postgres', database='shop')
                await connection.execute('DROP TABLE IF EXISTS migrated; CREATE TABLE migrated (a int); INSERT INTO migrated VALUES (1)')
                assert len(await connection.fetchrow('SELECT * FROM migrated')) == 1
                await connection.execute('ALTER TABLE migrated ADD b int')
                # It hears of the outdated plan, and asks again by itself: outside of a transaction.
                print(len(await connection.fetchrow('SELECT * FROM migrated')))
                await connection.close()
            asyncio.run(main())
            """)
        #expect(text == "2\n")
    }

    @Test func `SQLAlchemy maps objects, rolls back and reflects`() throws {
        let text = try run(
            """
            import sys
            from sqlalchemy import create_engine, Column, Integer, String, inspect, select
            from sqlalchemy.orm import declarative_base, Session
            engine = create_engine(f"postgresql+psycopg2://postgres@127.0.0.1:{sys.argv[1]}/shop", pool_size=4, isolation_level='REPEATABLE READ')
            Base = declarative_base()
            class Item(Base):
                __tablename__ = 'alchemy_items'
                id = Column(Integer, primary_key=True)
                name = Column(String)
            Base.metadata.drop_all(engine)
            Base.metadata.create_all(engine)
            with Session(engine) as session:
                session.add_all([Item(name=f'item {number}') for number in range(20)])
                session.commit()
                session.add(Item(name='never'))
                session.flush()
                session.rollback()
            with Session(engine) as session:
                assert session.execute(select(Item).where(Item.name == 'never')).first() is None
                print(session.query(Item).count(), [column['name'] for column in inspect(engine).get_columns('alchemy_items')])
            """)
        #expect(text == "20 ['id', 'name']\n")
    }
}

private enum PythonDrivers {
    /// What Python cannot import.
    static let missing: String? = {
        let result = try? Command.run("python3", ["-c", "import psycopg, psycopg2, asyncpg, sqlalchemy"])
        return result?.status == 0 ? nil : result?.errors ?? "python3"
    }()
}
