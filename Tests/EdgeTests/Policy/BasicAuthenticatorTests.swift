import HTTPSemantics
import TestSupport
import Testing

@testable import Edge

@Suite struct BasicAuthenticatorTests {
    /// What the tools themselves make.
    @Test(.enabled(if: Command.find("htpasswd") != nil, "apache2-utils is not installed: run scripts/setup"), arguments: [
        ["-nbB", "-C", "4", "ann", "s3cret: ü"], ["-nbm", "ann", "s3cret: ü"],
        ["-nbs", "ann", "s3cret: ü"], ["-nbd", "ann", "s3cret"],
        ["-nb2", "ann", "s3cret: ü"], ["-nb5", "ann", "s3cret: ü"],
    ] as [[String]])
    func `what htpasswd makes is found right, and nothing near it`(arguments: [String]) throws {
        let text = try Command.run("htpasswd", arguments).text
        let authenticator = try BasicAuthenticator(text)
        let password = try #require(arguments.last)
        func isRight(_ user: String, _ password: String) throws -> Bool {
            let fields = try RequestHead.get("/", ["Authorization: Basic \(encoded("\(user):\(password)"))"]).fields
            guard case .unknown(let credentials) = authenticator.verdict(fields) else { return false }
            return authenticator.isRight(credentials)
        }
        #expect(try !isRight("ann", "x" + password))
        #expect(try !isRight("ann", ""))
        #expect(try !isRight("bob", password))
        #expect(try !isRight("ann", password + "\0"))
        #expect(try isRight("ann", password))
        // From now on it is known.
        #expect(authenticator.verdict(try RequestHead.get("/", ["Authorization: basic  \(encoded("ann:\(password)"))"]).fields) == .accepted(user: "ann"))
        #expect(authenticator.verdict(try RequestHead.get("/", ["Authorization: Basic \(encoded("ann:x"))"]).fields) != .accepted(user: "ann"))
    }

    private func encoded(_ text: String) -> String { String(decoding: Base64.encoded(Array(text.utf8)), as: UTF8.self) }

    @Test(arguments: [
        [], ["Authorization: Bearer YTpi"], ["Authorization: Basic"], ["Authorization: Basic ???"], ["Authorization: Basic YQ=="],
        ["Authorization: Basic YTpi", "Authorization: Basic YTpi"],
        ["Authorization: Basic " + String(repeating: "YTpi", count: 1000)],
    ])
    func `what cannot be understood is none`(fields: [String]) throws {
        let authenticator = try BasicAuthenticator("a:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=")
        #expect(authenticator.verdict(try RequestHead.get("/", fields).fields) == .missing)
    }

    @Test(arguments: [
        ("ann", "line 1 is not name:hash"), ("\n# a\nann:secret", "line 3: the hash is in no known format"), (":{SHA}x", "line 1 is not"),
        ("ann:$apr1$x$y", "line 1: the hash"), ("ann:$9$x", "line 1: the hash"),
    ])
    func `a file that cannot be understood is refused by its line, without the hash`(text: String, message: String) {
        let problem = #expect(throws: BasicAuthenticator.Problem.self) { _ = try BasicAuthenticator(text) }
        #expect(problem?.description.contains(message) == true)
        #expect(problem?.description.contains("secret") == false)
    }

    @Test(arguments: ["\n", "\r\n"]) func `lines end as they do on any system`(end: String) throws {
        let authenticator = try BasicAuthenticator(["# who", "ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "", "bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="].joined(separator: end) + end)
        for user in ["ann", "bob"] {
            guard case .unknown(let credentials) = authenticator.verdict(try RequestHead.get("/", ["Authorization: Basic \(encoded("\(user):secret"))"]).fields)
            else { throw HeadIsNotWhole() }
            #expect(authenticator.isRight(credentials))
        }
        let problem = #expect(throws: BasicAuthenticator.Problem.self) { _ = try BasicAuthenticator("# who\(end)ann:secret\(end)") }
        #expect(problem?.description.contains("line 2") == true)
    }

    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy"),
    ])
    func `Base64 of RFC 4648 §10`(plain: String, text: String) {
        #expect(Base64.encoded(Array(plain.utf8)) == Array(text.utf8))
        #expect(Base64.decoded(Array(text.utf8).span) == Array(plain.utf8))
    }

    @Test func `what is remembered has a bound, and goes all at once`() throws {
        let count = BasicAuthenticator.acceptedMax
        let authenticator = try BasicAuthenticator(
            (0...count).map { "u\($0):{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=" }.joined(separator: "\n"))
        func verdict(_ number: Int) throws -> BasicAuthenticator.Verdict {
            authenticator.verdict(try RequestHead.get("/", ["Authorization: Basic \(encoded("u\(number):secret"))"]).fields)
        }
        for number in 0..<count {
            guard case .unknown(let credentials) = try verdict(number) else { throw HeadIsNotWhole() }
            #expect(authenticator.isRight(credentials))
        }
        #expect(try verdict(0) == .accepted(user: "u0") && verdict(count - 1) == .accepted(user: "u\(count - 1)"))
        guard case .unknown(let credentials) = try verdict(count) else { throw HeadIsNotWhole() }
        #expect(authenticator.isRight(credentials))
        #expect(try verdict(count) == .accepted(user: "u\(count)") && verdict(0) != .accepted(user: "u0"))
    }

    @Test func `name and password have a bound, and so have users`() throws {
        let authenticator = try BasicAuthenticator("a:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=")
        func verdict(_ count: Int) throws -> BasicAuthenticator.Verdict {
            let text = "a:" + String(repeating: "x", count: count - 2)
            return authenticator.verdict(try RequestHead.get("/", ["Authorization: Basic \(encoded(text))"]).fields)
        }
        #expect(try verdict(BasicAuthenticator.credentialBytesMax) != .missing)
        #expect(try verdict(BasicAuthenticator.credentialBytesMax + 1) == .missing)
        func file(_ count: Int) -> String { (0..<count).map { "u\($0):{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=" }.joined(separator: "\n") }
        _ = try BasicAuthenticator(file(BasicAuthenticator.usersMax))
        #expect(throws: BasicAuthenticator.Problem.self) { _ = try BasicAuthenticator(file(BasicAuthenticator.usersMax + 1)) }
    }
}
