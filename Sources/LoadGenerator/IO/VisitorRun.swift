import HTTPSemantics
import NIOCore
public import Telemetry

/// How visitors come, and what each of them does.
public struct VisitorPlan: Sendable {
    /// Pages, of one origin; each visitor looks at the next one.
    public var pages: [HTTPURL]
    /// Sent with each request.
    public var fields: [Workload.Field] = []
    /// Visitors per second.
    public var rate = 2.0
    public var seconds = 10.0
    public var shape = ArrivalShape.constant
    public var seed: UInt64 = 1
    /// Views behind the first, each with what the browser kept of those before.
    public var repeatedViews = 1
    /// Between two views.
    public var pause = Duration.seconds(1)
    public var timeout = Duration.seconds(10)
    public var verifies = true
    /// Visitors at the same time; who comes when they are all there waits, and the wait counts.
    public var visitorsMax = 200
    /// Undoes a content coding, so that what a page names can be found; `nil` when it cannot.
    public var decode: @Sendable (_ body: [UInt8], _ coding: String) -> [UInt8]?

    public init(pages: [HTTPURL], decode: @escaping @Sendable ([UInt8], String) -> [UInt8]?) {
        self.pages = pages
        self.decode = decode
    }
}

/// What views of one kind came to.
public struct ViewReport: Sendable, Equatable {
    /// Whole views.
    public var views = 0
    /// Views of which something did not come.
    public var failed = 0
    /// From the intended start (of a repeated view: from its beginning) until all of it was there; of whole views.
    public var times = HistogramSnapshot()
    /// Until the page's own response was there.
    public var pageTimes = HistogramSnapshot()
    /// Sent to the server.
    public var requests = 0
    /// Of those, answered "not modified".
    public var notModified = 0
    /// Taken from the browser's cache without asking.
    public var fromCache = 0
    /// Of bodies, as transferred.
    public var bytes = 0

    public init() {}
}

public struct VisitorReport: Sendable, Equatable {
    public var first = ViewReport()
    public var repeated = ViewReport()
    /// Nanoseconds since 1970.
    public var startedAt: Int64 = 0
    public var seconds = 0.0
    public var isCutShort = false
    /// What failed, and how often; in its own words.
    public var failures: [String: Int] = [:]
    /// Kinds of failures that are told apart.
    static let failuresMax = 20

    fileprivate mutating func add(_ view: View, _ times: ViewTimes) {
        if view.isRepeated { repeated.add(view) } else { first.add(view) }
        times.add(view)
        for failure in view.failures {
            let known = failures[failure] != nil || failures.count < Self.failuresMax
            failures[known ? failure : "(others)", default: 0] += 1
        }
    }

    /// One view of one page.
    struct View: Sendable {
        var isRepeated = false
        var time: UInt64 = 0
        var pageTime: UInt64 = 0
        var requests = 0
        var notModified = 0
        var fromCache = 0
        var bytes = 0
        var failures: [String] = []
    }
}

extension ViewReport {
    fileprivate mutating func add(_ view: VisitorReport.View) {
        requests += view.requests
        notModified += view.notModified
        fromCache += view.fromCache
        bytes += view.bytes
        guard view.failures.isEmpty else {
            failed += 1
            return
        }
        views += 1
    }
}

/// The histograms of a run.
private struct ViewTimes {
    private let whole = (first: Histogram(), repeated: Histogram())
    private let page = (first: Histogram(), repeated: Histogram())

    func add(_ view: VisitorReport.View) {
        guard view.failures.isEmpty else { return }
        (view.isRepeated ? whole.repeated : whole.first).record(nanoseconds: view.time)
        (view.isRepeated ? page.repeated : page.first).record(nanoseconds: view.pageTime)
    }

    func finish(_ report: inout VisitorReport) {
        (report.first.times, report.first.pageTimes) = (whole.first.snapshot(), page.first.snapshot())
        (report.repeated.times, report.repeated.pageTimes) = (whole.repeated.snapshot(), page.repeated.snapshot())
    }
}

/// Visitors with browsers: a page with its style sheets, scripts, images and fonts, over up to six connections, and then the same page again
/// with what the browser kept of it.
///
/// Visitors come by a schedule, whatever became of those before. What a script would fetch is not seen, and nothing is drawn: a view ends with
/// the last byte that the page and its style sheets name.
public struct VisitorRun: Sendable {
    private let plan: VisitorPlan
    private let stop: LoadStop

    public init(_ plan: VisitorPlan, stop: LoadStop = LoadStop()) {
        precondition(!plan.pages.isEmpty && plan.rate > 0 && plan.seconds > 0 && plan.visitorsMax > 0)
        self.plan = plan
        self.stop = stop
    }

    /// - Throws: when the origin's TLS cannot be set up. What fails of a view is counted.
    public func run() async throws -> VisitorReport {
        var report = VisitorReport()
        let times = ViewTimes()
        report.startedAt = WallClock.nanoseconds()
        let start = MonotonicClock.nanoseconds()
        var arrivals = ArrivalSequence(RateProfile(steady: plan.rate, seconds: plan.seconds), shape: plan.shape, seed: plan.seed, start: start)
        try await withThrowingTaskGroup(of: [VisitorReport.View].self) { group in
            var number = 0
            var present = 0
            while let intended = arrivals.next(), !stop.isSet {
                while present >= plan.visitorsMax, let views = try await group.next() {
                    present -= 1
                    for view in views { report.add(view, times) }
                }
                let now = MonotonicClock.nanoseconds()
                if intended > now { try await Task.sleep(for: .nanoseconds(Int64(intended - now))) }
                let page = plan.pages[number % plan.pages.count]
                number += 1
                present += 1
                group.addTask { try await visit(page, intended: intended) }
            }
            for try await views in group {
                for view in views { report.add(view, times) }
            }
        }
        times.finish(&report)
        report.seconds = Double(MonotonicClock.nanoseconds() - start) / 1e9
        report.isCutShort = stop.isSet
        return report
    }

    private func visit(_ page: HTTPURL, intended: UInt64) async throws -> [VisitorReport.View] {
        let browser = Browser(plan, try PageSession(page, timeout: plan.timeout, verifies: plan.verifies))
        var views = [await browser.view(page, from: intended, isRepeated: false)]
        for _ in 0..<plan.repeatedViews where !stop.isSet {
            try await Task.sleep(for: plan.pause)
            views.append(await browser.view(page, from: MonotonicClock.nanoseconds(), isRepeated: true))
        }
        await browser.close()
        return views
    }
}

/// One visitor's browser.
private final class Browser: Sendable {
    /// Files of one page, and of its style sheets: more are not fetched.
    private static let filesMax = 200

    private let plan: VisitorPlan
    private let session: PageSession
    private let kept = Lock((cache: PrivateCache(), jar: CookieJar()))

    init(_ plan: VisitorPlan, _ session: PageSession) {
        self.plan = plan
        self.session = session
    }

    func close() async { await session.close() }

    func view(_ page: HTTPURL, from start: UInt64, isRepeated: Bool) async -> VisitorReport.View {
        var view = VisitorReport.View()
        view.isRepeated = isRepeated
        guard let document = await get(page, &view) else { return view }
        view.pageTime = MonotonicClock.nanoseconds() &- start
        var seen: Set<String> = [page.target]
        var found = links(document, of: page, &seen)
        while !found.isEmpty, seen.count <= Self.filesMax {
            // All at once: the session has them wait for its connections.
            var next: [HTTPURL] = []
            let parts = await withTaskGroup(of: (HTTPURL, PageFetch.Page?, VisitorReport.View).self) { group in
                for url in found {
                    group.addTask { [self] in
                        var part = VisitorReport.View()
                        let file = await self.get(url, &part)
                        return (url, file, part)
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            for (url, file, part) in parts {
                view.requests += part.requests
                view.notModified += part.notModified
                view.fromCache += part.fromCache
                view.bytes += part.bytes
                view.failures += part.failures
                // Style sheets name fonts, images and others of their kind.
                if let file, Self.isStyle(file) { next += links(file, of: url, &seen) }
            }
            found = next
        }
        view.time = MonotonicClock.nanoseconds() &- start
        return view
    }

    /// From the cache, or over the network.
    private func get(_ url: HTTPURL, _ view: inout VisitorReport.View) async -> PageFetch.Page? {
        let now = WallClock.nanoseconds() / 1_000_000_000
        var fields = plan.fields
        let cookies = kept.withLock { $0.jar.field(target: url.target, isSecure: url.isSecure, now: now) }
        if let cookies { fields.append(.init("Cookie", cookies)) }
        let name = url.origin + url.target
        var conditions: [Workload.Field] = []
        let asked = fields
        switch kept.withLock({ $0.cache.answer(name, fields: asked, now: now) }) {
        case .fresh(let page):
            view.fromCache += 1
            return page
        case .validate(let validators): conditions = validators
        case .missing: break
        }
        view.requests += 1
        do {
            let page = try await session.get(url, fields: fields + conditions)
            view.bytes += page.body.count
            if page.head.status == 304 { view.notModified += 1 }
            for (index, line) in page.head.fields.lines.enumerated() where line.name == .setCookie {
                let cookie = String(copying: page.head.fields.value(at: index))
                kept.withLock { $0.jar.received(cookie, target: url.target, now: now) }
            }
            if page.head.status >= 400 {
                view.failures.append("\(url.target): status \(page.head.status)")
                return nil
            }
            return kept.withLock { $0.cache.received(page, name, fields: asked, requestSent: now) }
        } catch let failure as PageFetch.Failure {
            view.failures.append("\(url.target): \(failure.kind.rawValue)")
        } catch {
            view.failures.append("\(url.target): \(error)")
        }
        return nil
    }

    private static func isStyle(_ page: PageFetch.Page) -> Bool { (page.head.fields.string(.contentType) ?? "").lowercased().hasPrefix("text/css") }

    /// What a document names that lies at the same origin and was not named before.
    private func links(_ page: PageFetch.Page, of url: HTTPURL, _ seen: inout Set<String>) -> [HTTPURL] {
        let type = (page.head.fields.string(.contentType) ?? "").lowercased()
        let coding = page.head.fields.string(.contentEncoding)?.lowercased() ?? "identity"
        guard type.hasPrefix("text/html") || Self.isStyle(page), let text = coding == "identity" ? page.body : plan.decode(page.body, coding) else { return [] }
        let references = Self.isStyle(page) ? PageLinks.styleReferences(text) : PageLinks.subresources(text)
        return references.compactMap { url.resolving($0) }.filter { $0.origin == url.origin && seen.insert($0.target).inserted }
    }
}
