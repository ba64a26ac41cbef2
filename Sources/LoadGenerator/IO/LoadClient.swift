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
        /// Of redirections that were followed.
        var bodyByteCount = 0
    }

    /// As browsers do; a longer chain is a loop.
    static let redirectsMax = 10

    private let worker: LoadWorker
    private var connection: LoadConnection?
    private var asked: Asked?
    private var jar = CookieJar()
    /// The place of its next request in the workload's order, when it has an order of its own.
    var position: Int
    /// Counts connection attempts, so that one that was given up is known when it succeeds after all.
    private var attempt = 0
    private var isConnecting = false
    /// When the current request's time is up, `.max` when there is none.
    private(set) var deadline = UInt64.max

    init(worker: LoadWorker, position: Int) {
        self.worker = worker
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

    func requestEnded(failure: FailureKind?, bodyByteCount: Int, isReusable: Bool) {
        guard var asked else { return }
        if worker.workload.keepsCookies, failure == nil || failure == .status { keepCookies(of: asked.request) }
        let next = failure == nil && worker.workload.followsRedirects ? redirection(asked) : .none
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
        let kind = isConnecting ? FailureKind.connect : .timeout
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
        connection.send(request, bytes: bytes(of: request), for: self)
    }

    private func bytes(of request: Workload.Request) -> ByteBuffer {
        guard !jar.isEmpty, let http = request.http,
            let cookies = jar.field(
                target: http.url.target, isSecure: worker.workload.isSecure, now: WallClock.nanoseconds() / 1_000_000_000),
            let head = request.bytes.getSlice(at: 0, length: http.endOfFields),
            var rest = request.bytes.getSlice(at: http.endOfFields, length: request.bytes.writerIndex - http.endOfFields)
        else { return request.bytes }
        var bytes = head
        bytes.writeString("Cookie: \(cookies)\r\n")
        bytes.writeBuffer(&rest)
        return bytes
    }

    private func connect() {
        attempt += 1
        isConnecting = true
        let attempt = self.attempt
        worker.connect { result in
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
    private func send(on connection: LoadConnection, _ request: Workload.Request) {
        connection.send(request, bytes: bytes(of: request), for: self)
    }
}
