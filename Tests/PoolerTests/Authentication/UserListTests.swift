import PostgresWire
import Testing

@testable import Pooler

@Suite struct UserListTests {
    private func plain(_ text: String) -> StoredPassword { .plain(Array(text.utf8)) }

    @Test func `a file in PgBouncer's format is read`() throws {
        let list = try UserList(
            #"""
            ; users
            # of the shop

            "app" "secret"
              "anna"\#t"md5b15721e6326bc6e9a7c72a38963ec03d" "and whatever"
            "quo""te" "pass ""word"""
            "nobody" ""
            "s" "SCRAM-SHA-256$4096:QQ==$nOdo1TQdNvszq5Gj69JdbOUcLgO5ZnDnuKeSwLzAtGY=:kzERjG2PtkUnV/l27DW/x81lyFc5nTpQkrEom8WNoGg="\#r
            "almost" "SCRAM-SHA-256$4096"
            "app" "later"
            """#)
        #expect(list.passwords.count == 6)
        #expect(list.passwords["app"] == .some(plain("later")))
        #expect(list.passwords["quo\"te"] == .some(plain("pass \"word\"")))
        #expect(list.passwords["nobody"] == .some(nil))
        #expect(list.passwords["almost"] == .some(plain("SCRAM-SHA-256$4096")))
        guard case .md5?? = list.passwords["anna"], case .scram?? = list.passwords["s"] else {
            Issue.record("a stored password is not known by its form")
            return
        }
    }

    @Test(arguments: [
        ("app secret", 1), ("\n\"app\"", 2), ("\"app\" \"sec", 1), ("\"app", 1), ("\"\" \"x\"", 1), ("\"a\" \"b\"\nx", 2), ("\"a\" b", 1),
    ])
    func `a broken line is named`(text: String, line: Int) {
        #expect {
            _ = try UserList(text)
        } throws: {
            ($0 as? UserList.Problem)?.line == line
        }
    }

    @Test func `127 bytes are a name and 2048 a password, one more is not`() throws {
        let line = { (name: Int, password: Int) in
            "\"\(String(repeating: "n", count: name))\" \"\(String(repeating: "p", count: password))\""
        }
        #expect(try UserList(line(127, 2048)).passwords.count == 1)
        #expect(throws: UserList.Problem.self) { try UserList(line(128, 1)) }
        #expect(throws: UserList.Problem.self) { try UserList(line(1, 2049)) }
    }
}
