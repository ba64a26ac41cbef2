import NIOCore
import NIOPosix

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
                    try channel.pipeline.syncOperations.addHandler(LoadConnection(workload.conversation(), isSecure: false))
                }
            }
            .connect(to: address).whenComplete { result in
                do {
                    let connection = try result.get().pipeline.syncOperations.handler(type: LoadConnection.self)
                    bound.value.connection = connection
                    connection.send(request, bytes: request.bytes, for: bound.value)
                } catch {
                    promise.fail(LoadRun.Unreachable(description: "cannot connect to \(address): \(error)"))
                }
            }
        return promise.futureResult
    }

    func requestWritten() {}

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
