/// Something that the edge does otherwise than nginx, and why.
struct NginxDifference: Sendable {
    /// The word for it.
    let name: String
    let nginx: String
    let headrace: String
    let reason: String
    /// What of an answer it explains.
    let parts: Set<AnswerPart>
    /// Whether it is what two answers to a request differ by.
    let holds: @Sendable (_ request: BehaviourRequest, _ nginx: BehaviourAnswer, _ ours: BehaviourAnswer) -> Bool

    /// All that an answer is, for those that are of another kind altogether.
    private static let everything = Set(AnswerPart.allCases)
    private static let ownPage: Set<AnswerPart> = [.status, .body, .contentType, .contentLength, .cacheControl, .connection]

    /// As `docs/edge.md` has it.
    static var table: String {
        let rows = all.map { "| \($0.name) | \($0.nginx) | \($0.headrace) | \($0.reason) |" }
        return (["| what | nginx 1.22 | Headrace | why |", "|---|---|---|---|"] + rows).joined(separator: "\n") + "\n"
    }

    static let all = answers + syntax + paths + ranges + conditions + codings + applications

    private static let answers: [NginxDifference] = [
        .init(
            name: "keep-alive", nginx: "`Connection: keep-alive` in each answer", headrace: "only to HTTP/1.0",
            reason: "in HTTP/1.1 a connection stays open unless something is said (RFC 9112 §9.3)", parts: [.connection]
        ) { _, nginx, ours in nginx[.connection] == "keep-alive" && ours[.connection] == "–" },
        .init(
            name: "own pages", nginx: "of errors and redirects", headrace: "others, not to be kept by any cache if they are of this moment",
            reason: "a page names the reason that the log has, too, and is the same for all", parts: [.body, .contentType, .contentLength, .cacheControl, .vary]
        ) { request, nginx, ours in
            guard nginx.status == ours.status, nginx.status >= 300 else { return false }
            let isHead = request.method == "HEAD" && nginx[.contentType].hasPrefix("text/html")
            return (nginx.isOwnPage || isHead) && (ours.isOwnPage || ours[.cacheControl] == "no-store" || ours[.location] != "–")
        },
        .init(
            name: "media types", nginx: "`application/javascript`", headrace: "`text/javascript`", reason: "RFC 9239; `/etc/nginx/mime.types` is older",
            parts: [.contentType]
        ) { _, nginx, ours in
            nginx[.contentType].hasPrefix("application/javascript") && ours[.contentType] == nginx[.contentType].replacing("application/", with: "text/")
        },
        .init(
            name: "Location", nginx: "a whole URL, with the port that it listens on", headrace: "a path",
            reason: "right behind any other proxy, too (RFC 9110 §10.2.2); `absolute_redirect off` says the same in nginx", parts: [.location]
        ) { _, nginx, ours in
            ours[.location].hasPrefix("/") && nginx[.location] == "http://a.example:PORT" + ours[.location]
        },
        .init(
            name: "Allow", nginx: "not said with 405", headrace: "`GET, HEAD`", reason: "a 405 must say it (RFC 9110 §15.5.6)", parts: [.allow]
        ) { _, _, ours in ours.status == 405 && ours[.allow] == "GET, HEAD" },
        .init(
            name: "TRACE", nginx: "405, and the connection closes", headrace: "passed on, `Max-Forwards: 0` answered; 405 for files",
            reason: "RFC 9110 §9.3.8; what an application makes of it is its affair", parts: everything
        ) { request, nginx, ours in
            request.method == "TRACE" && nginx.status == 405 && (ours.status == 200 || ours.status == 405 && ours[.connection] == "–")
        },
        .init(
            name: "methods", nginx: "400 for small letters", headrace: "an unknown method: passed on, 405 for files",
            reason: "any token is a method (RFC 9110 §9.1)", parts: everything
        ) { request, nginx, ours in request.method == "get" && nginx.status == 400 && (ours.status == 200 || ours.status == 405) },
        .init(
            name: "CONNECT", nginx: "400", headrace: "501", reason: "understood, and refused (RFC 9110 §9.3.6)", parts: ownPage
        ) { request, nginx, ours in request.method == "CONNECT" && nginx.status == 400 && ours.status == 501 },
        .init(
            name: "OPTIONS *", nginx: "400", headrace: "goes where `/` goes; 405 for files", reason: "a form of the target that there is (RFC 9112 §3.2.4)",
            parts: ownPage.union([.allow])
        ) { request, nginx, ours in request.text.hasPrefix("OPTIONS * ") && nginx.status == 400 && ours.status == 405 },
        .init(
            name: "Max-Forwards", nginx: "passed as it came", headrace: "one less", reason: "each hop counts (RFC 9110 §7.6.2)", parts: [.body]
        ) { request, nginx, ours in
            request.method == "OPTIONS" && nginx[.body].contains("Max-Forwards: 3\n") && ours[.body].contains("Max-Forwards: 2\n")
        },
        .init(
            name: "folders without an index", nginx: "403", headrace: "404", reason: "whether there is such a folder is nobody's business", parts: ownPage
        ) { request, nginx, ours in request.text.contains(" /bare/ ") && nginx.status == 403 && ours.status == 404 },
        .init(
            name: "WWW-Authenticate", nginx: "the realm", headrace: "`charset=\"UTF-8\"`, too", reason: "names are read as UTF-8 (RFC 7617 §2.1)",
            parts: [.wwwAuthenticate]
        ) { _, nginx, ours in ours.status == 401 && ours[.wwwAuthenticate] == nginx[.wwwAuthenticate] + ", charset=\"UTF-8\"" },
        .init(
            name: "answers before the body", nginx: "reads the body, the connection stays", headrace: "the connection ends, lingering",
            reason: "nobody wants the body; how long it is is the client's word", parts: [.connection]
        ) { request, nginx, ours in
            request.text.hasPrefix("POST /fixed ") && nginx[.connection] == "keep-alive" && ours[.connection] == "close"
        },
    ]

    /// What is let pass by nginx and refused here: each of these has been read in two ways by two servers in a row.
    private static let syntax: [NginxDifference] = [
        .init(
            name: "strict syntax", nginx: "lines that end in LF alone, several spaces in the first line, white space behind it, lines without a colon, control bytes in values, ports and hosts that are none: taken",
            headrace: "400", reason: "the next server may read it otherwise: request smuggling (RFC 9112 §2.2, §3, §5, §11.2)", parts: everything
        ) { request, nginx, ours in
            let odd = ["HTTP/1.1 \r\n", "HTTP/1.1\n", "GET  /", "\r\nnothing\r\n", "a\u{1}b", "a@b", "a.example:x", "ftp://"]
            return nginx.status == 200 && ours.status == 400 && odd.contains { request.text.contains($0) }
        },
        .init(
            name: "targets", nginx: "a fragment, bytes above 127: taken", headrace: "400", reason: "neither is part of a target (RFC 9112 §3.2, RFC 3986 §2)",
            parts: everything
        ) { request, nginx, ours in
            nginx.status == 200 && ours.status == 400 && (request.text.contains("#part ") || request.text.contains("/é.txt "))
        },
        .init(
            name: "two authorities", nginx: "the target's is taken, `Host` is not looked at", headrace: "400 when they differ",
            reason: "an application that looks at the other one is led astray", parts: everything
        ) { request, nginx, ours in request.text.contains("http://b.example/") && nginx.status == 200 && ours.status == 400 },
        .init(
            name: "https without TLS", nginx: "taken for http", headrace: "421, but from a trusted proxy",
            reason: "who is asked for `https` and has no TLS is not the one who was meant (RFC 9110 §7.4)", parts: everything
        ) { request, nginx, ours in request.text.contains("https://a.example/") && nginx.status == 200 && ours.status == 421 },
        .init(
            name: "transfer codings", nginx: "501 for others than `chunked`", headrace: "400", reason: "where the body ends is not known (RFC 9112 §6.3)",
            parts: ownPage
        ) { request, nginx, ours in request.text.contains("Transfer-Encoding: ") && nginx.status == 501 && ours.status == 400 },
        .init(
            name: "head limits", nginx: "8 KB for a line, 400 beyond; any number of fields", headrace: "32 KB and 100 fields, 431 beyond",
            reason: "`edge.limits.head`, `edge.limits.fields`; RFC 6585 §5", parts: everything
        ) { request, nginx, ours in
            request.text.contains("X-Test: xxxx") && nginx.status == 400 && ours.status == 200
                || request.text.contains("X-100: 1") && nginx.status == 200 && ours.status == 431
        },
        .init(
            name: "white space in values", nginx: "a tab at the end passes", headrace: "taken off", reason: "it is no part of the value (RFC 9110 §5.5)",
            parts: [.body, .contentLength]
        ) { _, nginx, ours in nginx[.body].contains("X-Test: a \t\n") && ours[.body].contains("X-Test: a\n") },
        .init(
            name: "hop-by-hop fields", nginx: "what `Connection` names and `Proxy-Authorization` pass, `TE: trailers` does not", headrace: "the other way round",
            reason: "they end with the connection, but for trailers, which are asked for anew (RFC 9110 §7.6.1, §10.1.4)", parts: [.body, .contentLength]
        ) { request, nginx, ours in
            request.text.contains("Connection: X-Test") && nginx[.body].contains("X-Test") && !ours[.body].contains("X-Test")
                || request.text.contains("Proxy-Authorization") && nginx[.body].contains("Proxy-Authorization") && !ours[.body].contains("Proxy-Authorization")
                || request.text.contains("TE: trailers") && !nginx[.body].contains("TE: ") && ours[.body].contains("TE: trailers")
        },
        .init(
            name: "underscores", nginx: "a field with one in its name is dropped",
            headrace: "passed on, unless it may be taken for one that the edge or the route sets", reason: "it is a token like any other (RFC 9110 §5.1)",
            parts: [.body, .contentLength]
        ) { request, nginx, ours in !nginx[.body].contains("x_under") && ours[.body].contains("x_under: 1\n") },
        .init(
            name: "Expect", nginx: "100 although the body is there; an unknown expectation is passed over",
            headrace: "the application is asked, 100 if the body is still to come; 417", reason: "RFC 9110 §10.1.1", parts: everything
        ) { request, nginx, ours in
            request.text.contains("Expect: 100-continue") && nginx[.interim] == "100" && ours.status == 200
                || request.text.contains("Expect: wonders") && nginx.status == 200 && ours.status == 417
        },
    ]

    private static let paths: [NginxDifference] = [
        .init(
            name: "`..` in a path", nginx: "resolved, 400 above the root", headrace: "404 for files", reason: "browsers resolve it themselves; who sends it is looking for a hole",
            parts: everything
        ) { request, nginx, ours in
            (request.text.contains("/..") || request.text.contains("/%2e%2e")) && (nginx.status == 200 || nginx.status == 400) && ours.status == 404
        },
        .init(
            name: "`%2F`, `%00`, `%zz` in a path", nginx: "a slash; 400 for the others", headrace: "404 for files", reason: "no file has such a name",
            parts: everything
        ) { request, nginx, ours in
            let odd = ["%2findex.html", "%00", "txt% ", "%zz"]
            return (nginx.status == 200 || nginx.status == 400) && ours.status == 404 && odd.contains { request.text.contains($0) }
        },
    ]

    private static let ranges: [NginxDifference] = [
        .init(
            name: "Accept-Ranges", nginx: "not with 206", headrace: "with 206 and 416, too", reason: "it is true of the file", parts: [.acceptRanges]
        ) { _, _, ours in (ours.status == 206 || ours.status == 416) && ours[.acceptRanges] == "bytes" },
        .init(
            name: "ranges of HEAD", nginx: "206", headrace: "200", reason: "only GET knows ranges (RFC 9110 §14.2)", parts: everything
        ) { request, nginx, ours in request.method == "HEAD" && nginx.status == 206 && ours.status == 200 },
        .init(
            name: "malformed ranges", nginx: "416", headrace: "passed over: 200", reason: "RFC 9110 §14.2", parts: everything
        ) { request, nginx, ours in
            nginx.status == 416 && ours.status == 200 && ["bytes=5-4\r", "bytes=-\r", "bytes=a-b", "bytes=\r"].contains { request.text.contains($0) }
        },
        .init(
            name: "odd ranges", nginx: "416 for an empty member of the list, and for a last position of more than 18 digits", headrace: "206",
            reason: "a list may have empty members (RFC 9110 §5.6.1.2), and beyond the end is beyond the end", parts: everything
        ) { request, nginx, ours in
            nginx.status == 416 && ours.status == 206 && (request.text.contains("0-1,\r") || request.text.contains("0-99999999999999999999"))
        },
        .init(
            name: "ranges side by side", nginx: "a part each; the whole if they add up to more than it", headrace: "one part for those that overlap or nearly touch",
            reason: "an answer is never much longer than the file (RFC 9110 §17.15)", parts: everything
        ) { request, nginx, ours in
            ours.status == 206 && ours[.contentRange] != "–"
                && (nginx[.contentType] == "multipart/byteranges" || request.text.contains("0-,0-") && nginx.status == 200)
        },
        .init(
            name: "more than 16 ranges", nginx: "a part each", headrace: "the whole", reason: "nobody needs them but to tire a server (RFC 9110 §17.15)",
            parts: everything
        ) { request, nginx, ours in request.text.contains("780-780") && nginx.status == 206 && ours.status == 200 },
        .init(
            name: "two `Range` fields", nginx: "the first", headrace: "neither", reason: "it is no list (RFC 9110 §5.3)", parts: everything
        ) { request, nginx, ours in request.text.contains("0-1\r\nRange: ") && nginx.status == 206 && ours.status == 200 },
        .init(
            name: "a range of nothing", nginx: "200", headrace: "416", reason: "an empty file has no first byte (RFC 9110 §14.1.2)", parts: everything
        ) { request, nginx, ours in request.text.contains("/empty.txt") && nginx.status == 200 && ours.status == 416 },
        .init(
            name: "a range of what is compressed", nginx: "the whole, compressed", headrace: "the part, as it is",
            reason: "who asks for a range can use it", parts: everything
        ) { request, nginx, ours in
            request.text.contains("Range: bytes=0-9\r\nAccept-Encoding: gzip") && nginx[.contentEncoding] == "gzip" && ours.status == 206
        },
        .init(
            name: "416 and 412 of a file", nginx: "a page", headrace: "no body, with the file's validators, if no stored copy answers",
            reason: "the client learns what there is now", parts: [.body, .contentType, .contentLength, .etag, .lastModified, .vary, .acceptRanges, .cacheControl]
        ) { _, nginx, ours in
            (nginx.status == 416 || nginx.status == 412) && ours.status == nginx.status && ours[.body] == "–" && ours[.etag] == "strong"
        },
    ]

    private static let conditions: [NginxDifference] = [
        .init(
            name: "304", nginx: "`Last-Modified`, no `Vary`", headrace: "`ETag` and `Vary`",
            reason: "what a 200 would say of keeping it, and nothing that the tag says already (RFC 9110 §15.4.5)", parts: [.lastModified, .vary, .etag]
        ) { _, nginx, ours in nginx.status == 304 && ours.status == 304 && ours[.etag] != "–" },
        .init(
            name: "If-Modified-Since", nginx: "304 for the very date alone", headrace: "304 for any later one, too", reason: "RFC 9110 §13.1.3", parts: everything
        ) { request, nginx, ours in request.text.contains("If-Modified-Since: Wed, 03 Jan 2024") && nginx.status == 200 && ours.status == 304 },
        .init(
            name: "tags before dates", nginx: "both conditions must hold", headrace: "the date is not looked at", reason: "RFC 9110 §13.2.2", parts: everything
        ) { request, nginx, ours in
            request.text.contains("-Match: {etag}\r\nIf-") && (nginx.status == 200 && ours.status == 304 || nginx.status == 412 && ours.status == 200)
        },
        .init(
            name: "If-Unmodified-Since", nginx: "412 for what is no date", headrace: "passed over", reason: "RFC 9110 §13.1.4", parts: everything
        ) { request, nginx, ours in request.text.contains("If-Unmodified-Since: yesterday") && nginx.status == 412 && ours.status == 200 },
        .init(
            name: "conditions on an application's page", nginx: "only the application answers them", headrace: "the response cache, too: 304, 412",
            reason: "it has a copy that is fresh (RFC 9111 §4.3.2)", parts: everything
        ) { request, nginx, ours in
            request.text.contains(" /app/page ") && request.text.contains("\r\nIf-") && nginx.status == 200 && (ours.status == 304 || ours.status == 412)
        },
        .init(
            name: "ranges of an application's page", nginx: "only the application answers them", headrace: "the response cache, too: 206",
            reason: "the same", parts: everything
        ) { request, nginx, ours in
            request.text.contains(" /app/page ") && request.text.contains("\r\nRange: ") && nginx.status == 200 && ours.status == 206
        },
        .init(
            name: "conditions on what may be kept", nginx: "passed on", headrace: "the first time the whole is asked for, and the condition is met here",
            reason: "it would be kept for all who ask; from the second time on the client's own conditions pass if it cannot be",
            parts: [.contentType, .contentLength, .cacheControl]
        ) { request, nginx, ours in
            request.text.contains("/app/conditional") && request.text.contains("\"c\"") && nginx.status == 304 && ours.status == 304
        },
    ]

    private static let codings: [NginxDifference] = [
        .init(
            name: "codings", nginx: "gzip alone; not to HTTP/1.0, for `*`, `x-gzip`; whatever `identity` weighs",
            headrace: "br, zstd, gzip, as the client weighs them", reason: "RFC 9110 §12.5.3",
            parts: [.contentEncoding, .contentLength, .transferEncoding, .etag, .acceptRanges]
        ) { request, nginx, ours in
            request.text.contains("Accept-Encoding: ") && nginx[.body] == ours[.body] && nginx[.contentEncoding] != ours[.contentEncoding]
        },
        .init(
            name: "compressed once", nginx: "chunked, with a weak tag", headrace: "`Content-Length`, and a strong tag of its own",
            reason: "compressed as a whole and kept: the same bytes each time", parts: [.contentLength, .transferEncoding, .etag]
        ) { request, nginx, ours in
            nginx[.contentEncoding] == "gzip" && ours[.contentEncoding] == "gzip" && ours[.contentLength] != "–"
        },
        .init(
            name: "no-transform", nginx: "compresses all the same", headrace: "leaves it alone", reason: "RFC 9111 §5.2.2.6",
            parts: [.contentEncoding, .contentLength, .transferEncoding, .vary]
        ) { request, nginx, ours in request.text.contains("/app/untransformed") && nginx[.contentEncoding] == "gzip" && ours[.contentEncoding] == "–" },
        .init(
            name: "Vary", nginx: "`Accept-Encoding` in a field before the application's", headrace: "behind the application's, in one field", reason: "the same",
            parts: [.vary]
        ) { _, nginx, ours in nginx[.vary] == "Accept-Encoding, Accept-Language" && ours[.vary] == "Accept-Language, Accept-Encoding" },
        .init(
            name: "Accept-Encoding", nginx: "the client's goes to the application", headrace: "`identity`", reason: "one plain copy, compressed here for all",
            parts: [.body, .contentLength]
        ) { _, nginx, ours in nginx[.body] == "Accept-Encoding: gzip" && ours[.body] == "Accept-Encoding: identity" },
    ]

    private static let applications: [NginxDifference] = [
        .init(
            name: "103", nginx: "takes it for the answer, and closes", headrace: "passed on, and then the answer", reason: "RFC 8297", parts: everything
        ) { request, nginx, ours in request.text.contains("/app/hints") && nginx.status == 0 && ours.status == 200 },
        .init(
            name: "trailers", nginx: "`Trailer` passes, they do not", headrace: "both pass", reason: "RFC 9110 §6.5", parts: [.trailer, .trailers]
        ) { request, nginx, ours in nginx[.trailers] == "–" && ours[.trailers] == "X-Sum: 9" && ours[.trailer] == "X-Sum" },
        .init(
            name: "large heads of an application", nginx: "502 above 4 KB", headrace: "32 KB", reason: "cookies and policies grow", parts: everything
        ) { request, nginx, ours in request.text.contains("/app/head-") && nginx.status == 502 && ours.status == 200 },
        .init(
            name: "what is no answer", nginx: "passed on: other versions, lengths that are none or contradict each other, statuses of two digits, no head at all, a 101 that nobody asked for",
            headrace: "502", reason: "where it ends, or what it means, is anybody's guess (RFC 9112 §6.3, §11.1)", parts: everything
        ) { request, nginx, ours in request.text.contains("/app/broken/") && nginx.status != 502 && ours.status == 502 },
        .init(
            name: "204 with a length", nginx: "`Content-Length` passes", headrace: "dropped", reason: "a 204 has none (RFC 9110 §8.6)", parts: [.contentLength]
        ) { _, nginx, ours in nginx.status == 204 && ours.status == 204 && ours[.contentLength] == "–" },
    ]
}
