import HTTPSemantics

/// Cookies by whose names one can tell that they carry a session or a login, as frameworks name them: `PHPSESSID`, `JSESSIONID`, `sessionid`,
/// `connect.sid`, `ASP.NET_SessionId`, `laravel_session`, `wordpress_logged_in_…`, `remember_token`, `access_token`.
///
/// A guess, for the sake of speed alone: what is private is told by the application's own fields. Tokens against cross-site requests
/// (`csrftoken`, `XSRF-TOKEN`) are none: everybody has them.
enum SessionCookie {
    private static let parts = ["sess", "auth", "login", "logged", "jwt", "token", "remember"].map { Array($0.utf8) }
    private static let tokensOfEverybody = ["csrf", "xsrf"].map { Array($0.utf8) }
    private static let end = Array("sid".utf8)

    static func isIn(_ fields: borrowing FieldSection) -> Bool {
        var pairs = CookiePairs()
        while let pair = pairs.next(in: fields) {
            if isSession(fields.bytes[pair.name].map(ASCII.lowercased)) { return true }
        }
        return false
    }

    private static func isSession(_ name: [UInt8]) -> Bool {
        if name.suffix(end.count).elementsEqual(end) { return true }
        return parts.contains { name.contains($0) } && !tokensOfEverybody.contains { name.contains($0) }
    }
}
