import PostgresWire
import Testing

@testable import Pooler

@Suite struct ParameterSetTests {
    private typealias Parameter = StartupMessage.Parameter

    @Test func `equal sets are equal, whatever the order and the case of names`() {
        var sets = ParameterSets()
        let first = sets.make([Parameter("TimeZone", "UTC"), Parameter("a.b", "1")])
        #expect(sets.make([Parameter("a.b", "1"), Parameter("timezone", "UTC")]) == first)
        #expect(sets.make([Parameter("a.b", "2"), Parameter("timezone", "UTC")]) != first)
        #expect(sets.make([]) == .empty)
        #expect(sets.make(sets.make([Parameter("a.b", "1")]), setting: "TimeZone", to: "UTC") == first)
    }

    @Test func `only what differs is changed, and what the client did not ask for is reset`() {
        var sets = ParameterSets()
        let a = sets.make([Parameter("search_path", "a, b"), Parameter("timezone", "UTC")])
        let b = sets.make([Parameter("timezone", "UTC"), Parameter("my.thing", "it's \\ here")])
        #expect(a.statement(from: a) == nil)
        #expect(a.statement(from: .empty) == "SELECT pg_catalog.set_config(E'search_path',E'a, b',false),pg_catalog.set_config(E'timezone',E'UTC',false)")
        #expect(b.statement(from: a) == #"RESET "search_path";SELECT pg_catalog.set_config(E'my.thing',E'it''s \\ here',false)"#)
        #expect(ParameterSet.empty.statement(from: b) == #"RESET "my"."thing";RESET "timezone""#)
    }

    @Test func `who the session is comes off first and on last`() {
        var sets = ParameterSets()
        let other = sets.make([Parameter("role", "other"), Parameter("session_authorization", "app"), Parameter("work_mem", "1MB")])
        let role = sets.make([Parameter("role", "other")])
        #expect(
            other.statement(from: .empty)
                == "SELECT pg_catalog.set_config(E'work_mem',E'1MB',false);SELECT pg_catalog.set_config(E'session_authorization',E'app',false);"
                + "SELECT pg_catalog.set_config(E'role',E'other',false)")
        #expect(ParameterSet.empty.statement(from: other) == #"RESET SESSION AUTHORIZATION;RESET ROLE;RESET "work_mem""#)
        #expect(
            role.statement(from: other)
                == #"RESET SESSION AUTHORIZATION;RESET ROLE;RESET "work_mem";SELECT pg_catalog.set_config(E'role',E'other',false)"#)
    }

    @Test(arguments: [
        ("-c a=b", [("a", "b")]), ("-ca=b --c-d=e", [("a", "b"), ("c_d", "e")]), ("  -c  search_path=a\\ b,c ", [("search_path", "a b,c")]),
        ("-c a=1 -c a=2", [("a", "2")]), ("", []), ("-c a=\\\\", [("a", "\\")]),
    ] as [(String, [(String, String)])])
    func `options are a command line`(text: String, expected: [(String, String)]) {
        #expect(StartupOptions.parameters(text) == expected.map { Parameter($0.0, $0.1) })
    }

    @Test(arguments: ["-c", "-c a", "-c =b", "-d 5", "a=b", "-E"]) func `other switches are not understood`(text: String) {
        #expect(StartupOptions.parameters(text) == nil)
    }
}
