import HTTPSemantics
import Testing

@testable import Edge

@Suite struct SharingForecastTests {
    private func ask(_ forecast: SharingForecast, _ target: String, cookie: Bool = true, host: String = "a.example") throws -> Bool {
        let (key, request) = try make(target, cookie: cookie, host: host)
        return forecast.isForOneClient(key, request)
    }

    private func make(_ target: String, cookie: Bool, host: String = "a.example") throws -> (CacheKey, RequestHead) {
        let request = try RequestHead.parsed("GET \(target) HTTP/1.1", host: host, cookie ? ["Cookie: a=b"] : [])
        var key = CacheKey()
        key.assign(request, scope: [], seed: 7)
        return (key, request)
    }

    private func note(_ forecast: SharingForecast, _ target: String, isForOneClient: Bool, cookie: Bool = true) throws {
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
        #expect(try !ask(forecast, "/account/c", cookie: false) && !ask(forecast, "/account/c", host: "b.example"))
    }

    @Test func `what is stored says the contrary, and answers without a cookie say nothing`() throws {
        let forecast = SharingForecast()
        for _ in 0..<50 { try note(forecast, "/a/b", isForOneClient: true, cookie: false) }
        #expect(try !ask(forecast, "/a/b"))
        for _ in 0..<50 { try note(forecast, "/a/b", isForOneClient: true) }
        #expect(try ask(forecast, "/a/b"))
        try note(forecast, "/a/c", isForOneClient: false)
        #expect(try ask(forecast, "/a/b"))
        try note(forecast, "/a/c", isForOneClient: false)
        #expect(try !ask(forecast, "/a/b"), "however many were private before")
    }
}
