import HTTPSemantics

/// What can be said of a site from outside: one row per check.
struct SiteCheck: Sendable {
    enum Outcome: Sendable, Equatable {
        case good(String)
        /// The evidence, line by line.
        case problem([String])
        /// There was nothing to check, and why.
        case notApplicable(String)
    }

    /// For `--only`, and in JSON.
    let name: String
    let title: String
    /// One line.
    let why: String
    /// To paste, or to do.
    let fix: String
    let judge: @Sendable (SiteEvidence) -> Outcome
}

enum SiteChecks {
    static let firstByteMillisecondsMax = 200.0
    static let certificateDaysMin = 21.0
    static let compressedBytesMin = 256
    static let lifetimeMin = 3600
    static let clockSecondsMax: Int64 = 5
    private static let shownMax = 8

    static let all: [SiteCheck] = [
        SiteCheck(
            name: "answers", title: "The page answers", why: "All else is about what it sends.", fix: "Look at the application's log.",
            judge: { evidence in
                evidence.page.status == 200 ? .good("200, \(evidence.page.bytes) bytes") : .problem(["\(evidence.page.url): status \(evidence.page.status)"])
            }),
        SiteCheck(
            name: "redirects", title: "It takes no detour", why: "Each redirection costs a round trip, and often a connection, before anything shows.",
            fix: "Link to the final URL, and redirect to it in one step.",
            judge: { evidence in
                evidence.redirects.count <= 1
                    ? .good(evidence.redirects.isEmpty ? "no redirection" : "one redirection")
                    : .problem(["\(evidence.redirects.count) redirections: \((evidence.redirects + [evidence.page.url]).joined(separator: " → "))"])
            }),
        SiteCheck(
            name: "tls", title: "It is encrypted", why: "Whoever is on the way reads and changes it; browsers speak HTTP/2 and Brotli over TLS alone.",
            fix: "Serve https, and redirect http to it.",
            judge: { evidence in
                if evidence.isSecure { return .good("https") }
                return evidence.isLocal ? .notApplicable("an address of this machine") : .problem(["\(evidence.page.url) is plain http"])
            }),
        SiteCheck(
            name: "certificate", title: "The certificate lasts", why: "On the day it ends, nobody comes in.", fix: "Renew it, and let something renew it by itself.",
            judge: { evidence in
                guard let days = evidence.certificateDays else { return .notApplicable("no TLS") }
                return days >= certificateDaysMin ? .good("\(Int(days)) days left") : .problem(["\(Int(days)) days left"])
            }),
        SiteCheck(
            name: "first-byte", title: "The first byte comes soon", why: "Nothing shows before it; 200 ms is where people begin to notice.",
            fix: "Let a shared cache answer: headrace serve --app URL. Find out what the application does in that time.",
            judge: { evidence in
                guard !evidence.firstByteMilliseconds.isEmpty else { return .notApplicable("not measured") }
                let sorted = evidence.firstByteMilliseconds.sorted()
                let median = sorted[sorted.count / 2]
                let text = "\(Int(median.rounded())) ms, the median of \(sorted.count) (\(Int(sorted[0].rounded())) to \(Int(sorted[sorted.count - 1].rounded())))"
                return median <= firstByteMillisecondsMax ? .good(text) : .problem([text])
            }),
        SiteCheck(
            name: "page-compression", title: "The page is compressed", why: "Text shrinks to a quarter or less; on a slow line that is the time it takes.",
            fix: "headrace serve --app URL compresses it; or in nginx: gzip on; gzip_types text/css application/javascript application/json;",
            judge: { evidence in compression([evidence.page]) }),
        SiteCheck(
            name: "file-compression", title: "Style sheets, scripts and data are compressed", why: "They are often larger than the page.",
            fix: "Compress them once when they are built, or let the edge do it: headrace serve --app URL",
            judge: { evidence in compression(evidence.files) }),
        SiteCheck(
            name: "vary", title: "Compressed responses say so to caches", why: "Without Vary a cache may give gzip to a client that cannot read it.",
            fix: "Send: Vary: Accept-Encoding",
            judge: { evidence in
                let compressed = evidence.all.filter { !$0.coding.isEmpty }
                guard !compressed.isEmpty else { return .notApplicable("nothing came compressed") }
                return listed(compressed.filter { !$0.variesByCoding }, good: "\(compressed.count) of \(compressed.count)") { "\($0.url): \($0.coding) without Vary: Accept-Encoding" }
            }),
        SiteCheck(
            name: "page-cacheable", title: "A shared cache may keep the page", why: "Else the application makes it anew for each visitor.",
            fix: "If it is the same for everybody, send: Cache-Control: public, max-age=10 and no Set-Cookie.",
            judge: { evidence in
                guard let reason = evidence.page.notStored else { return .good("it may be stored") }
                return .problem(["\(evidence.page.url): \(explained(reason))"])
            }),
        SiteCheck(
            name: "file-lifetime", title: "Browsers keep what does not change", why: "Without a lifetime it is asked for, or sent, again on each visit.",
            fix: "Put a version into the name, and send: Cache-Control: public, max-age=31536000, immutable",
            judge: { evidence in
                let files = evidence.files.filter { $0.status == 200 }
                guard !files.isEmpty else { return .notApplicable("the page brings no files") }
                let short = files.filter { ($0.lifetime ?? 0) < lifetimeMin }.sorted { $0.bytes > $1.bytes }
                let bytes = short.reduce(0) { $0 + $1.bytes }
                return listed(short, good: "\(files.count) of \(files.count) for an hour and more", total: "\(bytes) bytes asked for again on each visit") {
                    "\($0.url): \($0.lifetime.map { "\($0) s" } ?? "no lifetime"), \($0.bytes) bytes"
                }
            }),
        SiteCheck(
            name: "validators", title: "What is kept can be checked", why: "Without ETag or Last-Modified all of it is sent again when its lifetime ends.",
            fix: "Send an ETag, or Last-Modified.",
            judge: { evidence in
                let kept = evidence.all.filter { $0.status == 200 && $0.notStored != .noStore }
                guard !kept.isEmpty else { return .notApplicable("nothing may be kept") }
                return listed(kept.filter { !$0.hasValidator }, good: "\(kept.count) of \(kept.count)") { "\($0.url): neither ETag nor Last-Modified" }
            }),
        SiteCheck(
            name: "not-modified", title: "\"Not modified\" is answered", why: "A validator that is not honoured costs the whole response each time.",
            fix: "Compare If-None-Match and If-Modified-Since, and answer 304; the edge does so for what it keeps.",
            judge: { evidence in
                let asked = evidence.all.filter { $0.answersNotModified != nil }
                guard !asked.isEmpty else { return .notApplicable("no validator to ask with") }
                return listed(asked.filter { $0.answersNotModified == false }, good: "\(asked.count) of \(asked.count)") {
                    "\($0.url): sent again, \($0.bytes) bytes, although nothing has changed"
                }
            }),
        SiteCheck(
            name: "file-cookies", title: "Files set no cookies", why: "A cookie makes a file personal: shared caches leave it alone.",
            fix: "Serve files without the session's middleware.",
            judge: { evidence in
                guard !evidence.files.isEmpty else { return .notApplicable("the page brings no files") }
                return listed(evidence.files.filter(\.setsCookie), good: "none of \(evidence.files.count)") { "\($0.url): Set-Cookie" }
            }),
        SiteCheck(
            name: "keep-alive", title: "Connections are used again", why: "A new connection costs one round trip, with TLS two or three, for each file.",
            fix: "Turn keep-alive on; in front of an application that cannot: headrace serve --app URL",
            judge: { evidence in
                listed(evidence.all.filter { !$0.keepsAlive }, good: "\(evidence.all.count) of \(evidence.all.count)") { "\($0.url): the server ends the connection" }
            }),
        SiteCheck(
            name: "broken", title: "Everything that the page names is there", why: "A missing file costs a request on each visit, and often the application's slowest page.",
            fix: "Correct the reference, or remove it.",
            judge: { evidence in
                guard !evidence.files.isEmpty else { return .notApplicable("the page brings no files") }
                return listed(evidence.files.filter { $0.status >= 400 }, good: "\(evidence.files.count) of \(evidence.files.count)") { "\($0.url): status \($0.status)" }
            }),
        SiteCheck(
            name: "clock", title: "The server's clock is right", why: "Lifetimes and cookies are counted by it.", fix: "Run an NTP client.",
            judge: { evidence in
                guard let ahead = evidence.clockAheadSeconds else { return .notApplicable("it sends no Date") }
                return abs(ahead) <= clockSecondsMax ? .good("within \(clockSecondsMax) s of this machine's") : .problem(["\(abs(ahead)) s \(ahead > 0 ? "ahead of" : "behind") this machine's"])
            }),
    ]

    /// - Parameter total: a last line for a long list.
    private static func listed(
        _ resources: [SiteEvidence.Resource], good: String, total: String? = nil, _ line: (SiteEvidence.Resource) -> String
    ) -> SiteCheck.Outcome {
        guard !resources.isEmpty else { return .good(good) }
        var lines = resources.prefix(shownMax).map(line)
        if resources.count > shownMax { lines.append("and \(resources.count - shownMax) more") }
        if let total { lines.append(total) }
        return .problem(lines)
    }

    /// Worst first, with what compression would save, measured by doing it.
    private static func compression(_ resources: [SiteEvidence.Resource]) -> SiteCheck.Outcome {
        let candidates = resources.filter { $0.status == 200 && $0.isText && ($0.bytes >= compressedBytesMin || !$0.coding.isEmpty) }
        guard !candidates.isEmpty else { return .notApplicable("no text of \(compressedBytesMin) bytes or more") }
        func saved(_ resource: SiteEvidence.Resource) -> Int { resource.bytes - min(resource.gzipBytes ?? resource.bytes, resource.brotliBytes ?? resource.bytes) }
        let plain = candidates.filter { $0.coding.isEmpty && saved($0) > 0 }.sorted { saved($0) > saved($1) }
        let sum = plain.reduce(0) { $0 + saved($1) }
        return listed(plain, good: "\(candidates.count) of \(candidates.count)", total: "\(sum) bytes too many") { resource in
            "\(resource.url): \(resource.bytes) bytes; gzip makes \(resource.gzipBytes ?? resource.bytes) of them, Brotli \(resource.brotliBytes ?? resource.bytes)"
        }
    }

    private static func explained(_ reason: NotStoredReason) -> String {
        switch reason {
        case .noStore: "it says no-store"
        case .isPrivate: "it says private"
        case .setCookie: "it sets a cookie"
        case .varyAny: "it says Vary: *"
        case .noLifetime: "it has neither a lifetime nor a validator"
        case .ambiguousFields, .authorization, .buffersFull, .lengthUnknown, .method, .partial, .requestNoStore, .status, .tags, .tooLarge: reason.rawValue
        }
    }
}
