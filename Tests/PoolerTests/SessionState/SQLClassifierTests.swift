import Testing

@testable import Pooler

@Suite struct SQLClassifierTests {
    private func one(_ text: String) throws -> [StatementEffect] {
        let statements = SQLClassifier.classify(text)
        #expect(statements.count == 1)
        return try #require(statements.first)
    }

    @Test(arguments: [
        "", "select 1", "SELECT a, count(*), max(b) FROM t WHERE c IN ($1, $2) AND d = ANY($3) GROUP BY a HAVING (count(*) > 1)",
        "insert into orders (id, total) values (nextval('orders_id_seq'), round($1, 2)) on conflict (id) do update set (a, b) = (1, 2) returning id",
        "insert into shop.orders(id) select generate_series(1, 10)", "update t set a = coalesce(b, now()) where id = $1", "delete from t where id in (select 1)",
        "with x as (select 1) select * from x", "select cast(a as numeric(10, 2)), extract(epoch from now()) from t",
        "select row_number() over (partition by a order by b) from t", "create table t (id int primary key, b numeric(1, 2) check (b > 0))",
        "create index on t (lower(a), myfunction(b))", "alter table t add column x varchar(10)", "begin", "commit", "rollback", "start transaction",
        "end", "explain select 1", "select 'pg_advisory_lock(1)', \"temp\" from t -- set_config('a', 'b', false)", "lock table t",
        "set local search_path = x", "set transaction isolation level serializable", "set constraints all deferred", "show timezone", "fetch 1 from c",
        "declare c cursor for select 1", "declare c cursor without hold for select 1", "prepare transaction 'x'", "select set_config('a.b', 'c', true)",
        "select pg_advisory_xact_lock(1)", "discard plans", "copy t (a, b) from stdin", "copy (select a from t) to stdout", "notify x, 'y'",
        "select pg_notify('a', 'b')", "values (1), (2)", "merge into t using s on (t.id = s.id) when matched then update set a = 1", "truncate t",
        "select a.b.c from temp a", "explain (analyze, buffers) select 1", "reset transaction isolation level",
        "create table t as select lower(a) from u", "create view v as select my_function()", "create table t (a int default my_function())",
        "alter table t alter a set default lower('x')", "declare c cursor for select lower(a) from t", "update t set pg_setting = 1",
    ])
    func `what is harmless leaves nothing`(text: String) throws {
        #expect(try one(text) == [], "\(text)")
    }

    @Test(arguments: [
        ("SET search_path TO a, \"B c\", 'd', \"$user\"", "search_path", "a, \"B c\", d, \"$user\""), ("set Session TimeZone = 'Europe/Berlin'", "timezone", "Europe/Berlin"),
        ("SET TIME ZONE 'UTC'", "timezone", "UTC"), ("SET TIME ZONE -7", "timezone", "-7"), ("set time zone PST8PDT", "timezone", "pst8pdt"),
        ("SET statement_timeout = 5000", "statement_timeout", "5000"), ("set work_mem to '64MB';", "work_mem", "64MB"),
        ("SET enable_seqscan = off", "enable_seqscan", "off"), ("SET DateStyle = ISO, DMY", "datestyle", "iso, dmy"), ("SET names 'LATIN1'", "client_encoding", "LATIN1"),
        ("SET app.user_id = '42'", "app.user_id", "42"), ("set \"App\".\"User\" = 'x''y'", "app.user", "x'y"), ("SET ROLE admin", "role", "admin"),
        ("SET SESSION ROLE 'Admin'", "role", "Admin"), ("SET schema 'shop'", "search_path", "shop"), ("SET xml option document", "xmloption", "document"),
        ("SET geqo_threshold = -1.5", "geqo_threshold", "-1.5"), ("select set_config('App.X', 'y z', false)", "app.x", "y z"),
        ("SELECT pg_catalog.set_config('search_path', '', false)", "search_path", ""), ("SET search_path = ''", "search_path", "\"\""),
        ("SET a = $tag$it's$tag$", "a", "it's"),
    ])
    func `a setting is read with the value that set_config takes`(text: String, name: String, value: String) throws {
        #expect(try one(text) == [.set(name: name, value: value)])
    }

    @Test(arguments: [
        ("SET search_path TO DEFAULT", [StatementEffect.reset(name: "search_path")]), ("set time zone local", [.reset(name: "timezone")]),
        ("RESET ALL", [.resetAll]), ("RESET work_mem", [.reset(name: "work_mem")]), ("RESET app.x", [.reset(name: "app.x")]), ("RESET ROLE", [.reset(name: "role")]),
        ("SET ROLE NONE", [.reset(name: "role")]), ("reset time zone", [.reset(name: "timezone")]), ("SET NAMES", [.reset(name: "client_encoding")]),
        ("RESET SESSION AUTHORIZATION", [.reset(name: "session_authorization"), .reset(name: "role")]),
        ("SET SESSION AUTHORIZATION DEFAULT", [.reset(name: "session_authorization"), .reset(name: "role")]),
        ("SET SESSION AUTHORIZATION 'bob'", [.set(name: "session_authorization", value: "bob"), .reset(name: "role")]),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY, NOT DEFERRABLE",
            [
                .set(name: "default_transaction_isolation", value: "repeatable read"), .set(name: "default_transaction_read_only", value: "on"),
                .set(name: "default_transaction_deferrable", value: "off"),
            ]
        ),
        ("DISCARD ALL", [.discardAll]), ("DISCARD TEMP", [.unpin(.temporaryTable)]), ("LISTEN \"Jobs\"", [.listen("Jobs")]), ("listen Jobs", [.listen("jobs")]),
        ("UNLISTEN jobs", [.unlisten("jobs")]), ("UNLISTEN *", [.unlistenAll]), ("PREPARE p (int) AS SELECT $1", [.pin(.preparedStatement)]),
        ("DEALLOCATE p", [.mayUnpin(.preparedStatement)]), ("DEALLOCATE ALL", [.unpin(.preparedStatement)]), ("deallocate prepare all", [.unpin(.preparedStatement)]),
        ("EXECUTE p(1)", [.unknown]), ("CREATE TEMP TABLE t (a int)", [.pin(.temporaryTable)]), ("create local temporary view v as select 1", [.pin(.temporaryTable)]),
        ("CREATE OR REPLACE TEMP VIEW v AS SELECT 1", [.pin(.temporaryTable)]), ("CREATE TEMPORARY SEQUENCE s", [.pin(.temporaryTable)]),
        ("select * into temp t from x", [.pin(.temporaryTable)]), ("DROP TABLE t", [.mayUnpin(.temporaryTable)]), ("select pg_advisory_lock(1)", [.pin(.advisoryLock)]),
        ("SELECT pg_catalog.pg_try_advisory_lock ( 1 , 2 )", [.pin(.advisoryLock)]), ("select pg_advisory_unlock(1)", [.mayUnpin(.advisoryLock)]),
        ("select \"pg_advisory_lock\"(1)", [.pin(.advisoryLock)]), ("select pg_advisory_unlock_all()", [.unpin(.advisoryLock)]),
        ("DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT 1", [.pin(.holdableCursor)]), ("CLOSE c", [.mayUnpin(.holdableCursor)]), ("CLOSE ALL", [.unpin(.holdableCursor)]),
        ("LOAD 'auto_explain'", [.pin(.library)]), ("DO $$ begin end $$", [.unknown]), ("CALL p(1)", [.unknown]), ("select my_function(1)", [.unknown]),
        ("select \"lower\"(a) from t", [.unknown]), ("select shop.total(o) from orders o", [.unknown]), ("insert into t (a) values (my_function())", [.unknown]),
        ("select set_config('a', $1, false)", [.pin(.setting)]), ("select set_config(name, 'x', false) from t", [.pin(.setting)]),
        ("select set_config('a', 'b', 1 = 2)", [.pin(.setting)]), ("SET TIME ZONE INTERVAL '1' HOUR", [.pin(.setting)]), ("SET a = E'\\\\x'", [.pin(.setting)]),
        ("SET a", [.pin(.setting)]), ("SET a =", [.pin(.setting)]), ("SET a = 1,", [.pin(.setting)]), ("SAVEPOINT \"S\"", [.savepoint("S")]),
        ("RELEASE SAVEPOINT s", [.release("s")]), ("release s", [.release("s")]), ("ROLLBACK TO SAVEPOINT s", [.rollbackTo("s")]), ("rollback work to s", [.rollbackTo("s")]),
        ("select my_function(1), pg_advisory_lock(2), other()", [.unknown, .pin(.advisoryLock)]),
        ("select query_to_xml('select 1', true, true, '')", [.unknown]), ("select setseed(0.5)", [.unknown]),
        ("explain analyze select my_function()", [.unknown]), ("CREATE TABLE t AS SELECT pg_advisory_lock(1)", [.pin(.advisoryLock)]),
        ("create unlogged table if not exists t (a) as select my_function()", [.unknown]), ("create table t as execute p", [.unknown]),
        ("CREATE MATERIALIZED VIEW v AS SELECT set_config('a', 'b', false)", [.set(name: "a", value: "b")]), ("refresh materialized view v", [.unknown]),
        ("alter table t add a int default my_function()", [.unknown]), ("alter table t alter a type text using my_function(a)", [.unknown]),
        ("DECLARE c CURSOR FOR SELECT pg_advisory_lock(1)", [.pin(.advisoryLock)]), ("declare c cursor with hold for select my_function()", [.pin(.holdableCursor), .unknown]),
        ("create table pg_temp.t (a int)", [.pin(.temporaryTable)]), ("create function \"pg_temp\".f() returns int language sql as 'select 1'", [.pin(.temporaryTable)]),
        ("select 1 as a into pg_temp.t", [.pin(.temporaryTable)]), ("SET search_path = pg_temp", [.set(name: "search_path", value: "pg_temp"), .pin(.temporaryTable)]),
        ("select U&\"set_config\"('a', 'b', false)", [.unknown]), ("UPDATE pg_settings SET setting = 'x' WHERE name = 'search_path'", [.unknown]),
    ])
    func `every kind of state is seen`(text: String, effects: [StatementEffect]) throws {
        #expect(try one(text) == effects, "\(text)")
    }

    @Test func `each statement of a text has its own entry, an empty one none`() {
        #expect(SQLClassifier.classify("begin; set a = 1;; select 1; commit;") == [[], [.set(name: "a", value: "1")], [], []])
        #expect(SQLClassifier.classify(" ; -- x") == [[]])
    }

    @Test func `1000 statements are read one by one, 1001 are not`() {
        let text = { (count: Int) in Array(repeating: "set a = 1", count: count).joined(separator: ";") }
        #expect(SQLClassifier.classify(text(1000)).allSatisfy { $0 == [.set(name: "a", value: "1")] })
        let beyond = SQLClassifier.classify(text(1001))
        #expect(beyond.count == 1000)
        #expect(beyond.last == [.unknown])
    }

    @Test func `a utility statement of 256 tokens is understood, one of 257 is not`() throws {
        let text = { (count: Int) in "set search_path = " + Array(repeating: "a", count: count).joined(separator: ",") }
        // The name, the sign, and 127 values with 126 commas: 255.
        #expect(try one(text(127)) == [.set(name: "search_path", value: Array(repeating: "a", count: 127).joined(separator: ", "))])
        #expect(try one(text(128)) == [.unknown])
    }

    @Test(arguments: ["lower", "now", "count", "nextval", "coalesce", "jsonb_build_object", "pg_advisory_xact_lock", "values"])
    func `harmless functions are known`(name: String) {
        #expect(HarmlessFunctions.contains(name))
    }

    @Test(arguments: ["set_config", "pg_advisory_lock", "setseed", "dblink", "query_to_xml", "cursor_to_xml", "pg_replication_origin_session_setup", "ts_stat", "ts_rewrite"])
    func `what leaves something behind is not among them`(name: String) {
        #expect(!HarmlessFunctions.contains(name))
    }
}
