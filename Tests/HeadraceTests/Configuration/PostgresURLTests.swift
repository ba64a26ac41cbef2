import Testing

@testable import headrace

@Suite struct PostgresURLTests {
    @Test func `each part is optional but the host, and the host has a default`() throws {
        let full = try PostgresURL("postgresql://app:p%40ss@db.example:6000/shop?sslmode=disable")
        #expect(full.hosts == [.tcp(host: "db.example", port: 6000)])
        #expect(full.user == "app" && full.password == "p@ss" && full.database == "shop")
        let short = try PostgresURL("postgres://db.example")
        #expect(short.hosts == [.tcp(host: "db.example", port: 5432)])
        #expect(short.user == nil && short.password == nil && short.database == nil)
        #expect(try PostgresURL("postgres://").hosts == [.tcp(host: "127.0.0.1", port: 5432)])
    }

    @Test func `several hosts, addresses of IPv6, and the folder of a Unix socket`() throws {
        #expect(
            try PostgresURL("postgres://a,b:6000,[::1]/shop").hosts
                == [.tcp(host: "a", port: 5432), .tcp(host: "b", port: 6000), .tcp(host: "::1", port: 5432)])
        #expect(
            try PostgresURL("postgres:///shop?host=/run/postgresql").hosts == [.unix(path: "/run/postgresql/.s.PGSQL.5432")])
    }

    @Test(arguments: [
        "mysql://a", "a:5432", "postgres://a:port/b", "postgres://a/b?sslmode=require", "postgres://a/b?unknown=1", "postgres://%zz@a/b",
        "postgres://a/%00",
    ])
    func `what cannot be kept is refused`(text: String) {
        #expect(throws: ValueProblem.self) { try PostgresURL(text) }
    }

    @Test(arguments: ["postgres://app@a:1,[::1]:2/shop", "postgres://127.0.0.1:5432/", "postgres:///shop?host=/run/postgresql", "postgres://a%20b@h:1/c%2Fd"])
    func `it is written as it was read, without the password`(text: String) throws {
        #expect(try PostgresURL(text).text == text)
        #expect(try PostgresURL("postgres://app:secret@a:1/b").text == "postgres://app@a:1/b")
    }

    @Test func `which of the hosts is meant`() throws {
        #expect(try PostgresURL("postgres://a,b/shop").offered(password: nil)["shop"]?.target == .any)
        #expect(try PostgresURL("postgres://a,b/shop?target_session_attrs=primary").offered(password: nil)["shop"]?.target == .primary)
        #expect(throws: ValueProblem.self) { try PostgresURL("postgres://a,b/shop?target_session_attrs=master") }
        let text = "postgres://a:1,b:2/shop?target_session_attrs=prefer-standby"
        #expect(try PostgresURL(text).text == text)
    }

    @Test func `with a database only that one is offered`() throws {
        let one = try PostgresURL("postgres://app@a/shop").offered(password: "x")
        #expect(Array(one.keys) == ["shop"])
        #expect(one["shop"]?.user == "app" && one["shop"]?.password == "x")
        #expect(Array(try PostgresURL("postgres://a").offered(password: nil).keys) == ["*"])
    }
}
