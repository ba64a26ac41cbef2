import Testing

@testable import PostgresWire

@Suite struct MD5PasswordTests {
    @Test func `the stored form is PostgreSQL's`() throws {
        // rolpassword of PostgreSQL 15 for the user "old".
        let stored = "md5b15721e6326bc6e9a7c72a38963ec03d"
        let password = MD5Password(password: Array("pencil".utf8), user: "old")
        #expect(password.text == stored)
        #expect(MD5Password(stored: stored) == password)
        #expect(password.matches(password: Array("pencil".utf8), user: "old"))
        #expect(!password.matches(password: Array("pencil".utf8), user: "other"))
    }

    @Test(arguments: ["", "md5", "md5b15721e6326bc6e9a7c72a38963ec03", "md5B15721e6326bc6e9a7c72a38963ec03d", "MD5b15721e6326bc6e9a7c72a38963ec03d", "md5b15721e6326bc6e9a7c72a38963ec03dd"])
    func `other texts are no MD5 passwords`(text: String) {
        #expect(MD5Password(stored: text) == nil)
    }

    @Test func `a response is good for one salt`() {
        let password = MD5Password(password: Array("pencil".utf8), user: "old")
        let response = password.response(salt: [1, 2, 3, 4])
        // By md5sum: (b15721e6326bc6e9a7c72a38963ec03d 01 02 03 04)
        #expect(response == "md541c257d8e050c92343468036b5e6270d")
        #expect(password.accepts(Array(response.utf8), salt: [1, 2, 3, 4]))
        #expect(!password.accepts(Array(response.utf8), salt: [1, 2, 3, 5]))
        #expect(!password.accepts(Array(response.utf8.dropLast()), salt: [1, 2, 3, 4]))
        #expect(!password.accepts([], salt: [1, 2, 3, 4]))
    }
}
