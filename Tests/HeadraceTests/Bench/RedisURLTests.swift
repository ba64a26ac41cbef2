import LoadGenerator
import Testing
import Transport

@testable import headrace

@Suite struct RedisURLTests {
    @Test func `each part but the host may be left out`() throws {
        let bare = try RedisURL("redis://")
        #expect(bare.endpoint == .tcp(host: "127.0.0.1", port: 6379) && bare.login == KeyspaceLogin())
        let whole = try RedisURL("redis://app:s%40crt@cache.example:7000/3")
        #expect(whole.endpoint == .tcp(host: "cache.example", port: 7000))
        #expect(whole.login == KeyspaceLogin(user: "app", password: "s@crt", database: 3))
        #expect(try RedisURL("redis://:pw@[::1]:1").login == KeyspaceLogin(password: "pw"))
    }

    @Test(arguments: ["http://x", "redis://h/abc", "redis://h/-1", "redis://h:99999"]) func `what is no address says what one is`(_ text: String) {
        #expect(throws: ValueProblem.self) { try RedisURL(text) }
    }

    @Test func `no password is shown`() {
        #expect(RedisURL.withoutPassword("redis://app:secret@h/1") == "redis://app:***@h/1")
        #expect(RedisURL.withoutPassword("postgres://app:se:cr@et@h/db") == "postgres://app:***@h/db")
        #expect(RedisURL.withoutPassword("http://h/a:b@c") == "http://h/a:b@c")
    }
}
