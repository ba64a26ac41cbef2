import HTTPSemantics
import NIOCore
import Telemetry

/// One connection's worth of asking, a request at a time: a user of a closed loop, or one of the connections of an open loop.
///
/// When a request begins is the ``LoadWorker``'s business; how it is carried out (connect, send, follow, give up) is decided here.
final class LoadClient: LoadConnectionOwner {
    /// What is being asked for, and since when.
    struct Asked {
        var request: Workload.Request
        /// When the response was wanted: the intended start.
        var intended: UInt64
        /// When the first request of the chain was written; `nil` before.
        var written: UInt64?
        var isMeasured: Bool
        var redirectCount = 0
        /// How often a server has not looked at it and left.
        var resendCount = 0
        /// Of redirections that were followed.
        var bodyByteCount = 0
    }

    /// As browsers do; a longer chain is a loop.
    static let redirectsMax = 10
    /// A server that leaves each of its connections at once is one that answers nothing.
    static let resendsMax = 3

    private let worker: LoadWorker
    private var connection: (any RequestLink)?
    /// Those with whom it shares its connection, of HTTP/2.
    let group: HTTP2Group?
    private var asked: Asked?
    private var ownJar = CookieJar()
    /// The place of its next request in the workload's order, when it has an order of its own.
    var position: Int
    /// Counts connection attempts, so that one that was given up is known when it succeeds after all.
    private var attempt = 0
    private var isConnecting = false
    /// When the current request's time is up, `.max` when there is none.
    private(set) var deadline = UInt64.max

    /// A connection's, which stands for a visitor.
    private var jar: CookieJar {
        get { group?.jar ?? ownJar }
        set { if let group { group.jar = newValue } else { ownJar = newValue } }
    }

    init(worker: LoadWorker, position: Int, group: HTTP2Group?) {
        self.worker = worker
        self.group = group
        self.position = position
    }

    func begin(_ request: Workload.Request, intended: UInt64, isMeasured: Bool) {
        asked = Asked(request: request, intended: intended, written: nil, isMeasured: isMeasured)
        deadline = intended &+ worker.timeout
        send(request)
    }

    /// Asks for nothing more.
    func close() {
        connection?.close()
        connection = nil
    }

    func requestWritten() {
        if asked?.written == nil { asked?.written = MonotonicClock.nanoseconds() }
    }

    func requestUnprocessed() {
        guard var asked else { return }
        close()
        // What was never sent says nothing of the server; its time runs on.
        if asked.written != nil {
            guard asked.resendCount < Self.resendsMax else { return end(asked, .closed) }
            asked.resendCount += 1
        }
        asked.written = nil
        self.asked = asked
        connect()
    }

    func requestEnded(failure: FailureKind?, bodyByteCount: Int, isReusable: Bool) {
        guard var asked else { return }
        if worker.workload.keepsCookies, failure == nil || failure == .status { keepCookies(of: asked.request) }
        // What is expected is expected of where the redirections lead.
        let isWhole = failure == nil || failure == .status || failure == .content
        let next = isWhole && worker.workload.followsRedirects ? redirection(asked) : .none
        if !isReusable || !worker.workload.keepsAlive { close() }
        asked.bodyByteCount += bodyByteCount
        switch next {
        case .follow(let request):
            asked.redirectCount += 1
            asked.request = request
            self.asked = asked
            send(request)
        case .none: end(asked, failure)
        case .refuse: end(asked, .redirect)
        }
    }

    func deadlinePassed() {
        guard let asked else { return }
        let kind = isConnecting ? FailureKind.connect : connection?.overdueKind ?? .timeout
        isConnecting = false
        attempt += 1
        close()
        end(asked, kind)
    }

    private func end(_ asked: Asked, _ failure: FailureKind?) {
        self.asked = nil
        deadline = .max
        worker.requestEnded(asked, failure: failure, by: self)
    }

    private enum Redirection {
        case none
        case follow(Workload.Request)
        case refuse
    }

    private func redirection(_ asked: Asked) -> Redirection {
        guard let head = connection?.head, [301, 302, 303, 307, 308].contains(head.status) else { return .none }
        guard asked.redirectCount < Self.redirectsMax, let location = head.fields.string(.location),
            let request = worker.workload.redirected(asked.request, status: head.status, location: location)
        else { return .refuse }
        return .follow(request)
    }

    private func keepCookies(of request: Workload.Request) {
        guard let url = request.http?.url, let fields = connection?.head?.fields, fields.contains(.setCookie) else { return }
        let now = WallClock.nanoseconds() / 1_000_000_000
        for (index, line) in fields.lines.enumerated() where line.name == .setCookie {
            jar.received(String(copying: fields.value(at: index)), target: url.target, now: now)
        }
    }

    private func send(_ request: Workload.Request) {
        guard let connection, connection.isOpen else { return connect() }
        connection.send(request, cookies: cookies(of: request), for: self)
    }

    private func cookies(of request: Workload.Request) -> String? {
        guard !jar.isEmpty, let url = request.http?.url else { return nil }
        return jar.field(target: url.target, isSecure: worker.workload.isSecure, now: WallClock.nanoseconds() / 1_000_000_000)
    }

    private func connect() {
        attempt += 1
        isConnecting = true
        let attempt = self.attempt
        worker.connect(self) { result in
            guard attempt == self.attempt else {
                if case .success(let connection) = result { connection.close() }
                return
            }
            self.isConnecting = false
            guard let asked = self.asked else { return }
            switch result {
            case .success(let connection):
                self.connection = connection
                self.send(on: connection, asked.request)
            case .failure: self.end(asked, .connect)
            }
        }
    }

    /// On a connection that has just been made: if it has ended since, that is the request's failure, not a reason for another.
    private func send(on connection: any RequestLink, _ request: Workload.Request) {
        connection.send(request, cookies: cookies(of: request), for: self)
    }
}
