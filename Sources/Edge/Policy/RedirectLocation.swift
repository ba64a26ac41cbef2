import HTTPSemantics

extension RouteConfiguration.Redirect {
    /// Where a request is sent: ``location``, and of the request's target what the route says.
    ///
    /// With ``keepsPath``, what comes behind the first of the route's path prefixes that the path begins with; the whole path if it has
    /// none. The result never begins with two slashes, which would name another host (RFC 3986 §4.2).
    func location(for request: RequestHead, of match: RouteMatch) -> String {
        let bytes = request.fields.bytes.span
        let end = RequestPath.scan(bytes, request.target).end
        var text = location ?? "/"
        if keepsPath {
            let path = String(copying: bytes.extracting(request.target.lowerBound..<end))
            let prefix = match.paths.first { CompiledMatch.Path(bytes: Array($0.utf8), isExact: false).matches(path.utf8.span) }
            let rest = path.dropFirst(prefix?.count ?? 0).drop { $0 == "/" }
            if text.hasSuffix("/") { text.removeLast() }
            if !rest.isEmpty || path.hasSuffix("/") || text.isEmpty { text += "/" + rest }
        }
        if text.hasPrefix("//") { text = "/" + text.drop { $0 == "/" } }
        if keepsQuery, end < request.target.upperBound {
            let query = String(copying: bytes.extracting(end + 1..<request.target.upperBound))
            text += (text.contains("?") ? "&" : "?") + query
        }
        return text
    }
}
