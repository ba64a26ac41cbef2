import Testing

@testable import Pooler

@Suite struct StatementTextTests {
    private func passes(_ sql: String) -> Bool {
        Array(sql.utf8).withUnsafeBytes { HarmlessGlance.passes($0) }
    }

    @Test(arguments: [
        "SELECT abalance FROM pgbench_accounts WHERE aid = 1;", " begin", "COMMIT ; \n", "END", "update t set a = a + 1 where b = 'x'",
        "delete from t", "select a.te from t",
    ])
    func `frequent statements are told harmless at a glance`(sql: String) {
        #expect(passes(sql))
    }

    @Test(arguments: [
        "", "set a = 1", "listen x", "select f(1)", "select * into temp t from u", "SELECT * INTO TEMPORARY t FROM u", "select 1; set a = 1", "rollback to s",
        "selec 1", "selecta 1", "-- x\nselect 1", "create temp table t", "explain select 1", "sel\u{E9}ct", "UPDATE pg_settings SET setting = 'x'",
    ])
    func `all else is looked at`(sql: String) {
        #expect(!passes(sql))
    }

    /// Whatever passes at a glance has no effects when it is read.
    @Test func `the glance never says harmless where reading finds an effect`() {
        let heads = ["select ", "insert into ", "update ", "begin", "commit", "end ", "table ", "show "]
        let tails = ["1", "t", "* into temp t from u", "1;", "1; set a = 1", "f(1)", "'(' || g(2)", " to s", "/* ; */ set_config('a','b',false)", "pg_settings set setting = 'x'"]
        for head in heads {
            for tail in tails where passes(head + tail) {
                #expect(SQLClassifier.classify(head + tail) == [[]], "\(head + tail)")
            }
        }
    }

    @Test func `1000 texts are remembered, of 4096 bytes each`() {
        let texts = StatementTexts()
        func find(_ sql: String) -> StatementText? { Array(sql.utf8).withUnsafeBytes { texts.find($0) } }
        for number in 0..<StatementTexts.countMax { _ = find("set a.b = \(number)") }
        #expect(texts.count == StatementTexts.countMax)
        #expect(find("set a.b = 5")?.statements == [[.set(name: "a.b", value: "5")]])
        #expect(find("listen x\0")?.beginning == "listen x")
        #expect(texts.count == 1)
        _ = find("set a.b = '\(String(repeating: "x", count: StatementTexts.bytesMax))'")
        #expect(texts.count == 1)
    }
}
