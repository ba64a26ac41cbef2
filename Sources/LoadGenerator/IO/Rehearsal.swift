import NIOCore
import NIOPosix
import Transport

/// Logs in and sends one request of each class, one after the other: a wrong password or a mistake in a statement is told in the server's
/// own words before the load begins, and not as ten thousand failures.
final class Rehearsal: LoadConnectionOwner {
    private let workload: Workload
    private let address: SocketAddress
    private let timeout: TimeAmount

    // Of one request, on its event loop.
    private var connection: LoadConnection?
    private var promise: EventLoopPromise<Void>?

    init(_ workload: Workload, at address: SocketAddress, timeout: Duration) {
        self.workload = workload
        self.address = address
        self.timeout = .nanoseconds(Int64(clamping: timeout.nanosecondsClamped))
    }

    /// - Throws: ``LoadRun/Unreachable``.
    func run(on group: MultiThreadedEventLoopGroup) async throws {
        let loop = group.next()
        for index in workload.classNames.indices {
            guard let request = workload.requests.first(where: { $0.classIndex == index }) else { continue }
            let (workload, address, timeout) = (self.workload, self.address, self.timeout)
            try await loop.flatSubmit { Rehearsal.ask(request, workload, at: address, timeout: timeout, on: loop) }.get()
        }
    }

    /// Makes one connection of HTTP/2: a server that speaks another protocol is told so at once. What fails otherwise is left to the load,
    /// which counts it.
    /// - Throws: ``LoadRun/Unreachable``.
    static func greet(_ address: SocketAddress, tls: TLSClient?, timeout: Duration, on loop: any EventLoop) async throws {
        let limit = TimeAmount.nanoseconds(Int64(clamping: timeout.nanosecondsClamped))
        let opening = loop.makePromise(of: HTTP2LoadConnection.Opening.self)
        let expiry = loop.scheduleTask(in: limit) { opening.succeed(.failed) }
        LoadRun.bootstrap(loop, timeout: limit, to: address)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let connection = HTTP2LoadConnection(streamsMax: 1, isSecure: tls != nil, keepsFields: false)
                    connection.onOpening = { opening.succeed($0) }
                    try channel.pipeline.syncOperations.addHandler(connection)
                    try tls?.add(to: channel)
                    opening.futureResult.whenComplete { _ in channel.close(promise: nil) }
                }
            }
            .connect(to: address).whenFailure { _ in opening.succeed(.failed) }
        let result = try await opening.futureResult.get()
        expiry.cancel()
        guard result != .otherProtocol else { throw LoadRun.Unreachable(description: "\(address) does not speak HTTP/2\(tls == nil ? " in clear text" : ": it did not choose h2 by ALPN")") }
    }

    private static func ask(
        _ request: Workload.Request, _ workload: Workload, at address: SocketAddress, timeout: TimeAmount, on loop: any EventLoop
    ) -> EventLoopFuture<Void> {
        let promise = loop.makePromise(of: Void.self)
        let limit = loop.scheduleTask(in: timeout) { promise.fail(LoadRun.Unreachable(description: "no answer in time")) }
        let rehearsal = Rehearsal(workload, at: address, timeout: .zero)
        rehearsal.promise = promise
        let bound = NIOLoopBound(rehearsal, eventLoop: loop)
        promise.futureResult.whenComplete { _ in
            limit.cancel()
            bound.value.connection?.close()
        }
        LoadRun.bootstrap(loop, timeout: timeout, to: address)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(LoadConnectionHandler(LoadConnection(workload.conversation(), isSecure: false)))
                }
            }
            .connect(to: address).whenComplete { result in
                do {
                    let connection = try result.get().pipeline.syncOperations.handler(type: LoadConnectionHandler.self).connection
                    bound.value.connection = connection
                    connection.send(request, cookies: nil, for: bound.value)
                } catch {
                    promise.fail(LoadRun.Unreachable(description: "cannot connect to \(address): \(error)"))
                }
            }
        return promise.futureResult
    }

    func requestWritten() {}

    func requestUnprocessed() { requestEnded(failure: .closed, bodyByteCount: 0, isReusable: false) }

    func requestEnded(failure: FailureKind?, bodyByteCount: Int, isReusable: Bool) {
        let words = connection?.refusal
        connection?.close()
        connection = nil
        if let failure {
            promise?.fail(LoadRun.Unreachable(description: "the server refused what would be sent (\(failure.rawValue)): \(words ?? "it closed the connection")"))
        } else {
            promise?.succeed()
        }
        promise = nil
    }
}
