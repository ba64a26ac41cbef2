import Testing

@testable import Pooler

/// Conversations: what is sent, what comes back.
@Suite struct SessionStateTests {
    private enum Answer {
        case complete(String)
        case failed
        case reported(String, String)
        case ready(SessionState.TransactionPhase)
    }

    /// Sends a simple query and plays its answers.
    @discardableResult
    private func play(_ session: inout SessionState, _ sql: String, _ answers: Answer...) -> SessionState.Verdict {
        session.queryReceived(SQLClassifier.classify(sql))
        var verdict = SessionState.Verdict.keep
        for answer in answers {
            switch answer {
            case .complete(let tag): session.statementCompleted(tag: tag)
            case .failed: session.statementFailed()
            case .reported(let name, let value): session.parameterReported(name, value)
            case .ready(let phase): verdict = session.readyForQuery(phase)
            }
        }
        return verdict
    }

    private func values(_ session: SessionState) -> [String: String] { session.settings.values }

    @Test func `a setting is kept when its statement succeeds`() {
        var session = SessionState(mode: .strict, parameters: [("Extra_Float_Digits", "3")])
        #expect(play(&session, "set work_mem = '1MB'", .complete("SET"), .ready(.idle)) == .release(isKnown: true))
        #expect(values(session) == ["extra_float_digits": "3", "work_mem": "1MB"])
        play(&session, "set work_mem = 'nonsense'", .failed, .ready(.idle))
        #expect(values(session)["work_mem"] == "1MB")
        play(&session, "reset work_mem; set extra_float_digits = 0", .complete("RESET"), .complete("SET"), .ready(.idle))
        #expect(values(session) == ["extra_float_digits": "0"])
        // RESET goes back to what the client asked for when it came.
        play(&session, "reset extra_float_digits", .complete("RESET"), .ready(.idle))
        #expect(values(session) == ["extra_float_digits": "3"])
    }

    @Test func `sessions that began as one have their own settings, locks and channels from then on`() {
        let begun = SessionState(mode: .strict, parameters: [("timezone", "UTC")])
        var (first, second) = (begun, begun)
        play(&first, "set work_mem = '1MB'; listen a", .complete("SET"), .complete("LISTEN"), .ready(.idle))
        play(&second, "select pg_advisory_lock(1)", .complete("SELECT"), .ready(.idle))
        #expect(values(first) == ["timezone": "UTC", "work_mem": "1MB"] && values(second) == ["timezone": "UTC"])
        #expect(first.channels == ["a"] && second.channels.isEmpty && begun.channels.isEmpty)
        #expect(first.pinCause == .listen && second.pinCause == .advisoryLock && begun.pinCause == nil)
        play(&second, "reset timezone", .complete("RESET"), .ready(.idle))
        #expect(second.takeNewSettings() != nil && begun.settings == SessionState(mode: .strict, parameters: [("timezone", "UTC")]).settings)
    }

    @Test func `ROLLBACK takes a SET back, COMMIT keeps it`() {
        var session = SessionState(mode: .strict)
        #expect(play(&session, "begin", .complete("BEGIN"), .ready(.inTransaction)) == .keep)
        #expect(play(&session, "set a.b = 1", .complete("SET"), .ready(.inTransaction)) == .keep)
        #expect(play(&session, "rollback", .complete("ROLLBACK"), .ready(.idle)) == .release(isKnown: true))
        #expect(values(session) == [:])
        play(&session, "begin; set a.b = 1; commit", .complete("BEGIN"), .complete("SET"), .complete("COMMIT"), .ready(.idle))
        #expect(values(session) == ["a.b": "1"])
    }

    @Test func `COMMIT of a failed transaction is a ROLLBACK`() {
        var session = SessionState(mode: .strict)
        play(&session, "begin", .complete("BEGIN"), .ready(.inTransaction))
        play(&session, "set a.b = 1", .complete("SET"), .ready(.inTransaction))
        play(&session, "select 1/0", .failed, .ready(.failed))
        play(&session, "commit", .complete("ROLLBACK"), .ready(.idle))
        #expect(values(session) == [:])
    }

    @Test func `an error takes back what stood before it in the same query`() {
        var session = SessionState(mode: .strict)
        play(&session, "set a.b = 1; select 1/0; set a.c = 2", .complete("SET"), .failed, .ready(.idle))
        #expect(values(session) == [:])
        play(&session, "set a.b = 1; select 1", .complete("SET"), .complete("SELECT 1"), .ready(.idle))
        #expect(values(session) == ["a.b": "1"])
    }

    @Test func `ROLLBACK TO takes back what came after the savepoint`() {
        var session = SessionState(mode: .strict)
        play(&session, "begin", .complete("BEGIN"), .ready(.inTransaction))
        play(&session, "set a.a = 1", .complete("SET"), .ready(.inTransaction))
        play(&session, "savepoint s", .complete("SAVEPOINT"), .ready(.inTransaction))
        play(&session, "set a.b = 2", .complete("SET"), .ready(.inTransaction))
        play(&session, "select 1/0", .failed, .ready(.failed))
        play(&session, "rollback to s", .complete("ROLLBACK"), .ready(.inTransaction))
        #expect(values(session) == ["a.a": "1"])
        play(&session, "set a.c = 3", .complete("SET"), .ready(.inTransaction))
        play(&session, "release s", .complete("RELEASE"), .ready(.inTransaction))
        play(&session, "commit", .complete("COMMIT"), .ready(.idle))
        #expect(values(session) == ["a.a": "1", "a.c": "3"])
    }

    @Test func `what the server reports is believed when the transaction has ended`() {
        var session = SessionState(mode: .strict)
        play(&session, "set datestyle = 'iso'", .complete("SET"), .reported("DateStyle", "ISO, MDY"), .ready(.idle))
        #expect(values(session) == ["datestyle": "ISO, MDY"])
        // SET LOCAL is reported, and so is its end.
        play(&session, "begin", .complete("BEGIN"), .ready(.inTransaction))
        play(&session, "set local timezone = 'UTC'", .complete("SET"), .reported("TimeZone", "UTC"), .ready(.inTransaction))
        play(&session, "commit", .complete("COMMIT"), .reported("TimeZone", "Europe/Berlin"), .ready(.idle))
        #expect(values(session)["timezone"] == "Europe/Berlin")
        // Set by a function, which no text tells.
        play(&session, "select 1", .complete("SELECT 1"), .reported("application_name", "x"), .ready(.idle))
        #expect(values(session)["application_name"] == "x")
        play(&session, "select 1", .complete("SELECT 1"), .reported("is_superuser", "on"), .ready(.idle))
        #expect(values(session)["is_superuser"] == nil)
    }

    @Test func `a temporary table pins until it is gone, and ROLLBACK undoes it`() {
        var session = SessionState(mode: .strict)
        let create = "create temp table t (a int)"
        #expect(play(&session, create, .complete("CREATE TABLE"), .ready(.idle)) == .pinned(.temporaryTable))
        #expect(play(&session, "select 1", .complete("SELECT 1"), .ready(.idle)) == .pinned(.temporaryTable))
        #expect(play(&session, "drop table t", .complete("DROP TABLE"), .ready(.idle)) == .probe)
        #expect(session.probed(.init(temporaryTables: true)) == .pinned(.temporaryTable))
        #expect(play(&session, "drop table u", .complete("DROP TABLE"), .ready(.idle)) == .probe)
        #expect(session.probed(.init()) == .release(isKnown: true))
        play(&session, "begin", .complete("BEGIN"), .ready(.inTransaction))
        play(&session, create, .complete("CREATE TABLE"), .ready(.inTransaction))
        #expect(play(&session, "rollback", .complete("ROLLBACK"), .ready(.idle)) == .release(isKnown: true))
    }

    @Test func `an advisory lock outlives ROLLBACK, and goes when the server says so`() {
        var session = SessionState(mode: .strict)
        play(&session, "begin", .complete("BEGIN"), .ready(.inTransaction))
        play(&session, "select pg_advisory_lock(1)", .complete("SELECT 1"), .ready(.inTransaction))
        #expect(play(&session, "rollback", .complete("ROLLBACK"), .ready(.idle)) == .pinned(.advisoryLock))
        #expect(play(&session, "select pg_advisory_unlock(1)", .complete("SELECT 1"), .ready(.idle)) == .probe)
        #expect(session.probed(.init(advisoryLocks: true)) == .pinned(.advisoryLock))
        #expect(play(&session, "select pg_advisory_unlock_all()", .complete("SELECT 1"), .ready(.idle)) == .release(isKnown: true))
    }

    @Test func `what fails pins nothing`() {
        var session = SessionState(mode: .strict)
        #expect(play(&session, "create temp table t (a nonsense)", .failed, .ready(.idle)) == .release(isKnown: true))
        // It may have failed after it had the lock.
        #expect(play(&session, "select pg_advisory_lock(1), 1/0", .failed, .ready(.idle)) == .probe)
        #expect(session.probed(.init(advisoryLocks: true)) == .pinned(.advisoryLock))
        #expect(play(&session, "select pg_advisory_unlock_all()", .complete("SELECT 1"), .ready(.idle)) == .release(isKnown: true))
        #expect(play(&session, "select 1/0", .failed, .ready(.idle)) == .release(isKnown: true))
    }

    @Test func `after an unknown function the server is asked, and the connection is reset`() {
        var session = SessionState(mode: .strict)
        #expect(play(&session, "select my_function()", .complete("SELECT 1"), .ready(.idle)) == .probe)
        #expect(session.probed(.init()) == .release(isKnown: false))
        #expect(play(&session, "select my_function()", .complete("SELECT 1"), .ready(.idle)) == .probe)
        #expect(session.probed(.init(advisoryLocks: true)) == .pinned(.advisoryLock))
        session.functionCallReceived()
        #expect(session.readyForQuery(.idle) == .probe)
    }

    @Test func `DISCARD ALL ends everything`() {
        var session = SessionState(mode: .strict, parameters: [("timezone", "UTC")])
        play(&session, "prepare p as select 1", .complete("PREPARE"), .ready(.idle))
        play(&session, "set a.b = 1; listen x", .complete("SET"), .complete("LISTEN"), .ready(.idle))
        #expect(session.channels == ["x"])
        #expect(session.pinCause == .preparedStatement)
        #expect(play(&session, "discard all", .complete("DISCARD ALL"), .ready(.idle)) == .release(isKnown: true))
        #expect(values(session) == ["timezone": "UTC"])
        #expect(session.channels == [])
    }

    @Test func `LISTEN is transactional`() {
        var session = SessionState(mode: .strict)
        play(&session, "begin; listen a", .complete("BEGIN"), .complete("LISTEN"), .ready(.inTransaction))
        play(&session, "rollback", .complete("ROLLBACK"), .ready(.idle))
        #expect(session.channels == [])
        play(&session, "listen a; listen b; unlisten a", .complete("LISTEN"), .complete("LISTEN"), .complete("UNLISTEN"), .ready(.idle))
        #expect(session.channels == ["b"])
        play(&session, "unlisten *", .complete("UNLISTEN"), .ready(.idle))
        #expect(session.channels == [])
    }

    @Test func `RESET ALL leaves the role alone`() {
        var session = SessionState(mode: .strict)
        play(&session, "set role admin; set a.b = 1", .complete("SET"), .complete("SET"), .ready(.idle))
        play(&session, "reset all", .complete("RESET"), .ready(.idle))
        #expect(values(session) == ["role": "admin"])
    }

    @Test func `in a pipeline each answer finds its statement`() {
        var session = SessionState(mode: .strict)
        let set = { (value: Int) in [StatementEffect.set(name: "a.b", value: "\(value)")] }
        // Two units in flight: the first fails at its second statement.
        session.executeReceived([])
        session.executeReceived(set(1))
        session.executeReceived(set(2))
        session.syncReceived()
        session.executeReceived(set(3))
        session.syncReceived()
        session.statementCompleted(tag: "SELECT 1")
        session.statementFailed()
        #expect(session.readyForQuery(.idle) == .release(isKnown: true))
        #expect(values(session) == [:])
        session.statementCompleted(tag: "SET")
        #expect(session.readyForQuery(.idle) == .release(isKnown: true))
        #expect(values(session) == ["a.b": "3"])
    }

    @Test func `as loose as PgBouncer: nothing pins, only what is reported is carried`() {
        var session = SessionState(mode: .pgbouncer)
        #expect(play(&session, "create temp table t (a int)", .complete("CREATE TABLE"), .ready(.idle)) == .release(isKnown: true))
        #expect(play(&session, "set work_mem = '1MB'", .complete("SET"), .ready(.idle)) == .release(isKnown: true))
        #expect(play(&session, "select my_function()", .complete("SELECT 1"), .ready(.idle)) == .release(isKnown: true))
        play(&session, "set timezone = 'UTC'", .complete("SET"), .reported("TimeZone", "UTC"), .ready(.idle))
        #expect(values(session) == ["timezone": "UTC"])
    }

    @Test func `reset-always never trusts a connection`() {
        var session = SessionState(mode: .resetAlways)
        #expect(play(&session, "select 1", .complete("SELECT 1"), .ready(.idle)) == .release(isKnown: false))
    }

    @Test func `64 settings are carried, the 65th pins`() {
        var session = SessionState(mode: .strict)
        for number in 0..<64 { play(&session, "set a.b\(number) = 1", .complete("SET"), .ready(.idle)) }
        #expect(session.pinCause == nil)
        #expect(play(&session, "set a.b64 = 1", .complete("SET"), .ready(.idle)) == .pinned(.setting))
        #expect(values(session).count == 64)
        #expect(play(&session, "discard all", .complete("DISCARD ALL"), .ready(.idle)) == .release(isKnown: true))
    }

    @Test func `a value of 8192 bytes is carried, one of 8193 pins`() {
        var session = SessionState(mode: .strict)
        let set = { (count: Int) in "set a.b = '\(String(repeating: "x", count: count))'" }
        #expect(play(&session, set(8192), .complete("SET"), .ready(.idle)) == .release(isKnown: true))
        #expect(play(&session, set(8193), .complete("SET"), .ready(.idle)) == .pinned(.setting))
    }

    @Test func `1024 effects may wait for their answers, then the connection is kept`() {
        for (count, isPinned) in [(1024, false), (1025, true)] {
            var session = SessionState(mode: .strict)
            for _ in 0..<count { session.executeReceived([.set(name: "a.b", value: "1")]) }
            session.syncReceived()
            for _ in 0..<count { session.statementCompleted(tag: "SET") }
            _ = session.readyForQuery(.idle)
            #expect((session.pinCause == .setting) == isPinned)
        }
    }

    @Test func `64 savepoints are remembered; what is beyond makes the state unknown`() {
        for (count, verdict) in [(64, SessionState.Verdict.release(isKnown: true)), (65, .probe)] {
            var session = SessionState(mode: .strict)
            play(&session, "begin", .complete("BEGIN"), .ready(.inTransaction))
            for number in 0..<count { play(&session, "savepoint s\(number)", .complete("SAVEPOINT"), .ready(.inTransaction)) }
            #expect(play(&session, "commit", .complete("COMMIT"), .ready(.idle)) == verdict)
        }
    }

    @Test func `1024 channels are remembered`() {
        var session = SessionState(mode: .strict)
        for number in 0...1024 { play(&session, "listen c\(number)", .complete("LISTEN"), .ready(.idle)) }
        #expect(session.channels.count == 1024)
    }

    @Test func `a probe's row is four booleans and nothing else`() {
        let (yes, no) = (Array("t".utf8), Array("f".utf8))
        #expect(SessionProbe.Answer(row: [yes, no, no, yes]) == .init(advisoryLocks: true, preparedStatements: true))
        #expect(SessionProbe.Answer(row: [no, yes, yes, no]) == .init(temporaryTables: true, holdableCursors: true))
        #expect(SessionProbe.Answer(row: [yes, no, no]) == nil)
        #expect(SessionProbe.Answer(row: [yes, no, no, nil]) == nil)
        #expect(SessionProbe.Answer(row: [yes, no, no, Array("x".utf8)]) == nil)
        #expect(SessionProbe.Answer(row: [yes, no, no, yes, yes]) == nil)
    }
}
