import HTTPSemantics

extension RouteConfiguration.Redirect {
    /// Where a request is sent: ``location``, and of the request's target what the route says.
    ///
    /// With ``keepsPath``, what comes behind the first of the route's path prefixes that the path begins with; the whole path if it has
    /// none. It goes behind the location's own path, the request's query behind its own query, and a fragment stays last (RFC 3986 §3). The
    /// result never begins with two slashes, which would name another host (§4.2).
    func location(for request: RequestHead, of match: RouteMatch) -> String {
        let bytes = request.fields.bytes.span
        let end = RequestPath.scan(bytes, request.target).end
        let whole = location ?? "/"
        let reference = whole.prefix { $0 != "#" }
        let fragment = whole.dropFirst(reference.count)
        var text = String(reference.prefix { $0 != "?" })
        var query = String(reference.dropFirst(text.count))
        if keepsPath {
            let path = String(copying: bytes.extracting(request.target.lowerBound..<end))
            let count = match.paths.lazy.compactMap { ConfiguredPath.spelledCount(of: $0, in: path.utf8.span) }.first ?? 0
            let rest = path.utf8.dropFirst(count).drop { $0 == UInt8(ascii: "/") }
            if text.hasSuffix("/") { text.removeLast() }
            if !rest.isEmpty || path.hasSuffix("/") || text.isEmpty { text += "/" + String(Substring(rest)) }
        }
        if text.hasPrefix("//") { text = "/" + text.drop { $0 == "/" } }
        if keepsQuery, end < request.target.upperBound {
            if query.isEmpty { query = "?" } else if query != "?" { query += "&" }
            query += String(copying: bytes.extracting(end + 1..<request.target.upperBound))
        }
        return text + query + fragment
    }
}
