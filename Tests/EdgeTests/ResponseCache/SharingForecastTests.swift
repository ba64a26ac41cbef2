import HTTPSemantics
import Testing

@testable import Edge

@Suite struct SharingForecastTests {
    private func ask(_ forecast: SharingForecast, _ target: String, cookie: String? = "a=b", host: String = "a.example") throws -> Bool {
        let (key, request) = try make(target, cookie: cookie, host: host)
        return forecast.isForOneClient(key, request)
    }

    private func make(_ target: String, cookie: String?, host: String = "a.example") throws -> (CacheKey, RequestHead) {
        let request = try RequestHead.parsed("GET \(target) HTTP/1.1", host: host, cookie.map { ["Cookie: \($0)"] } ?? [])
        var key = CacheKey()
        key.assign(request, scope: [], seed: 7)
        return (key, request)
    }

    private func note(_ forecast: SharingForecast, _ target: String, isForOneClient: Bool, cookie: String? = "a=b") throws {
        let (key, request) = try make(target, cookie: cookie)
        forecast.noted(key, request, isForOneClient: isForOneClient)
    }

    @Test func `two private answers of a folder say that its next one is private, for who has a cookie`() throws {
        let forecast = SharingForecast()
        try note(forecast, "/account/a", isForOneClient: true)
        #expect(try !ask(forecast, "/account/b"))
        try note(forecast, "/account/b?x=/y/z", isForOneClient: true)
        #expect(try ask(forecast, "/account/c") && ask(forecast, "/account/") && ask(forecast, "/account/d?next=/news/1"))
        for other in ["/", "/news/1", "/account", "/account/more/x"] { #expect(try !ask(forecast, other), "\(other)") }
        #expect(try !ask(forecast, "/account/c", cookie: nil) && !ask(forecast, "/account/c", host: "b.example"))
    }

    @Test func `what is stored says the contrary, and answers without a cookie say nothing`() throws {
        let forecast = SharingForecast()
        for _ in 0..<50 { try note(forecast, "/a/b", isForOneClient: true, cookie: nil) }
        #expect(try !ask(forecast, "/a/b"))
        for _ in 0..<50 { try note(forecast, "/a/b", isForOneClient: true) }
        #expect(try ask(forecast, "/a/b"))
        try note(forecast, "/a/c", isForOneClient: false)
        #expect(try ask(forecast, "/a/b"))
        try note(forecast, "/a/c", isForOneClient: false)
        #expect(try !ask(forecast, "/a/b"), "however many were private before")
    }

    @Test(arguments: [
        "sessionid=1", "a=b; PHPSESSID=2", "JSESSIONID=1", "connect.sid=s", "ASP.NET_SessionId=x", "wordpress_logged_in_1=a", "remember_token=1", "SID=1",
        "csrftoken=1; access_token=2",
    ]) func `of a folder that nobody knows, a session says that it is private`(cookie: String) throws {
        let forecast = SharingForecast()
        #expect(try ask(forecast, "/account/a", cookie: cookie) && !ask(forecast, "/account/a", cookie: "_ga=GA1.1"))
        try note(forecast, "/account/a", isForOneClient: true, cookie: cookie)
        #expect(try ask(forecast, "/account/b", cookie: cookie) && ask(forecast, "/account/b"), "a session's private page settles it for all")
        try note(forecast, "/news/a", isForOneClient: false, cookie: cookie)
        #expect(try !ask(forecast, "/news/b", cookie: cookie), "one that was stored does, too")
        try note(forecast, "/news/b", isForOneClient: true, cookie: cookie)
        #expect(try !ask(forecast, "/news/c", cookie: cookie), "one private page among others")
    }

    @Test(arguments: ["csrftoken=1", "XSRF-TOKEN=2", "_ga=1; theme=dark", "consent=session", "side=1", ""])
    func `what everybody carries is no session`(cookie: String) throws {
        #expect(try !ask(SharingForecast(), "/a", cookie: cookie))
    }
}
