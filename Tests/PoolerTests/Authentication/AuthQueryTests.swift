import NIOCore
import PostgresWire
import Testing

@testable import Pooler

@Suite struct AuthQueryTests {
    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test func `a row of name and password is an answer, and nothing else`() {
        func answer(_ rows: [[[UInt8]?]]) -> AuthQuery.Answer { AuthQuery.answer(user: "app", rows: rows) }
        #expect(answer([]) == .none)
        #expect(answer([[bytes("app"), bytes("secret")]]) == .found(.plain(bytes("secret"))))
        #expect(answer([[bytes("app"), nil]]) == .none)
        #expect(answer([[bytes("app"), []]]) == .none)
        #expect(answer([[bytes("app")]]) == .unusable(.columns))
        #expect(answer([[bytes("app"), bytes("a"), bytes("b")]]) == .unusable(.columns))
        #expect(answer([[bytes("root"), bytes("a")]]) == .unusable(.otherUser))
        #expect(answer([[nil, bytes("a")]]) == .unusable(.otherUser))
        #expect(answer([[bytes("app"), bytes("a")], [bytes("app"), bytes("a")]]) == .unusable(.rows))
        #expect(answer([[bytes("app"), [0xFF]]]) == .unusable(.password))
        #expect(answer([[bytes("app"), Array(repeating: 65, count: 2048)]]) == .found(.plain(Array(repeating: 65, count: 2048))))
        #expect(answer([[bytes("app"), Array(repeating: 65, count: 2049)]]) == .unusable(.password))
    }

    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
    private func key(_ user: String) -> AuthQueryAnswers.Key { .init(database: "shop", user: user) }

    @Test func `an answer is believed for its time, also that there is nobody`() {
        var answers = AuthQueryAnswers(countMax: 10, lifetime: .seconds(10))
        #expect(answers.find(key("a"), now: start) == nil)
        answers.answered(key("a"), .plain([1]), now: start)
        answers.answered(key("b"), nil, now: start)
        #expect(answers.find(key("a"), now: start + .milliseconds(9999)) == .some(.plain([1])))
        #expect(answers.find(key("b"), now: start) == .some(nil))
        #expect(answers.find(key("a"), now: start + .seconds(10)) == nil)
        answers.refused(key("a"))
        #expect(answers.find(key("a"), now: start) == nil)
    }

    @Test func `ten answers are kept, of eleven the oldest goes`() {
        var answers = AuthQueryAnswers(countMax: 10, lifetime: .seconds(10))
        for number in 0..<10 { answers.answered(key("\(number)"), nil, now: start + .milliseconds(Int64(number))) }
        #expect(answers.count == 10)
        #expect(answers.find(key("0"), now: start) != nil)
        answers.answered(key("10"), nil, now: start + .milliseconds(10))
        #expect(answers.count == 10)
        #expect(answers.find(key("0"), now: start) == nil)
        #expect(answers.find(key("1"), now: start) != nil)
    }

    @Test func `one name that comes ever again does not grow`() {
        var answers = AuthQueryAnswers(countMax: 4, lifetime: .seconds(1000))
        for number in 0..<10_000 { answers.answered(key("a"), .plain([UInt8(truncatingIfNeeded: number)]), now: start + .nanoseconds(Int64(number))) }
        #expect(answers.count == 1)
        #expect(answers.find(key("a"), now: start) == .some(.plain([UInt8(truncatingIfNeeded: 9999)])))
        #expect(answers.rememberedOrderCount <= 200)
    }

    @Test func `the file goes first, and the database is asked when it may be`() throws {
        let list = try UserList("\"app\" \"secret\"\n\"nobody\" \"\"")
        var credentials = Credentials(list: list, asksDatabase: true)
        #expect(credentials.find(key("app"), now: start) == .password(.plain(bytes("secret")), secret: nil))
        #expect(credentials.find(key("nobody"), now: start) == .none)
        #expect(credentials.find(key("other"), now: start) == .ask)
        credentials.answered(key("other"), .plain([1]), now: start)
        #expect(credentials.find(key("other"), now: start) == .password(.plain([1]), secret: nil))
        credentials.refused(key("other"))
        #expect(credentials.find(key("other"), now: start) == .ask)
        let alone = Credentials(list: list, asksDatabase: false)
        #expect(alone.find(key("other"), now: start) == .none)
    }

    @Test func `a secret is kept with its password until the file changes`() throws {
        var credentials = Credentials(list: try UserList("\"app\" \"secret\""), asksDatabase: false)
        let derivation = try #require(SCRAMKeyDerivation(password: bytes("secret"), salt: [1], iterations: 1))
        let secret = SCRAMSecret(derivation, keys: derivation.run())
        credentials.derived(secret, of: bytes("secret"))
        #expect(credentials.find(key("app"), now: start) == .password(.plain(bytes("secret")), secret: secret))
        for number in 0..<10 { credentials.derived(secret, of: [UInt8(number)]) }
        #expect(credentials.secretsCount == 1)
        credentials.reloaded(try UserList("\"app\" \"secret\""))
        #expect(credentials.find(key("app"), now: start) == .password(.plain(bytes("secret")), secret: nil))
    }
}
