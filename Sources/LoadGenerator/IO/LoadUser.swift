import NIOCore
import Telemetry

/// One user of a closed loop: wants a response, waits for it, wants the next one.
final class LoadUser {
    /// A refusal takes microseconds: without a pause a server that is down would be asked a hundred thousand times a second.
    static let pauseAfterRefusal = TimeAmount.milliseconds(50)

    private let worker: LoadWorker
    private var connection: LoadConnection?
    /// The place of the next request in the workload's rotation.
    private var position: Int
    private var began: UInt64 = 0
    /// Counts connection attempts, so that one that was given up is known when it succeeds after all.
    private var attempt = 0
    private var isConnecting = false
    /// When the current request's time is up, `.max` when there is none.
    private(set) var deadline = UInt64.max

    init(worker: LoadWorker, position: Int) {
        self.worker = worker
        self.position = position
    }

    /// Wants the next response, or stops.
    func proceed(now: UInt64) {
        guard worker.admit(now: now) != .over else {
            connection?.close()
            connection = nil
            return worker.userStopped()
        }
        began = now
        deadline = now + worker.timeout
        if let connection { send(on: connection) } else { connect() }
    }

    func requestEnded(failure: FailureKind?, bodyByteCount: Int, isReusable: Bool) {
        let now = MonotonicClock.nanoseconds()
        worker.record(failure, began: began, ended: now, bodyByteCount: bodyByteCount)
        deadline = .max
        if !isReusable || !worker.workload.keepsAlive {
            connection?.close()
            connection = nil
        }
        if failure == .connect {
            worker.afterPause(Self.pauseAfterRefusal) { self.proceed(now: MonotonicClock.nanoseconds()) }
        } else {
            proceed(now: now)
        }
    }

    func deadlinePassed() {
        let kind = isConnecting ? FailureKind.connect : .timeout
        isConnecting = false
        attempt += 1
        requestEnded(failure: kind, bodyByteCount: 0, isReusable: false)
    }

    private func send(on connection: LoadConnection) {
        let request = worker.workload.requests[position]
        position = position + 1 < worker.workload.requests.count ? position + 1 : 0
        connection.send(request, for: self)
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
            switch result {
            case .success(let connection):
                self.connection = connection
                self.send(on: connection)
            case .failure: self.requestEnded(failure: .connect, bodyByteCount: 0, isReusable: false)
            }
        }
    }
}
