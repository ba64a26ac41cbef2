import NIOCore
import NIOPosix
import Synchronization

/// An application that says, byte for byte, what a test tells it to: also what no decent HTTP library would send.
public final class ScriptedOrigin: Sendable {
    /// A request as it arrived.
    public struct Request: Sendable {
        public let head: String
        public let body: String
        /// How many requests came before this one on any connection.
        public let number: Int

        public var method: String { String(head.prefix { $0 != " " }) }
        public var target: String { String(head.split(separator: " ").dropFirst().first ?? "") }

        /// The value of the first field of that name.
        public func field(_ name: String) -> String? {
            for line in head.split(separator: "\r\n").dropFirst() {
                guard let colon = line.firstIndex(of: ":") else { continue }
                if line[..<colon].lowercased() == name.lowercased() {
                    return line[line.index(after: colon)...].drop { $0 == " " }.description
                }
            }
            return nil
        }
    }

    /// What the origin does, in order.
    public enum Step: Sendable {
        case send(String)
        case sendBytes([UInt8])
        case wait(milliseconds: Int)
        /// Goes on when the test opens the gate.
        case waitFor(Gate)
        case close
    }

    /// Holds steps back until it is opened, once and for all.
    public final class Gate: Sendable {
        private let state = Mutex<(isOpen: Bool, waiting: [@Sendable () -> Void])>((false, []))

        public init() {}

        public var isOpen: Bool { state.withLock { $0.isOpen } }

        public func open() {
            let waiting = state.withLock { state in
                state.isOpen = true
                defer { state.waiting = [] }
                return state.waiting
            }
            for resume in waiting { resume() }
        }

        /// - Parameter resume: called once, at once if the gate is open.
        func whenOpen(_ resume: @escaping @Sendable () -> Void) {
            let isOpen = state.withLock { state in
                if !state.isOpen { state.waiting.append(resume) }
                return state.isOpen
            }
            if isOpen { resume() }
        }
    }

    public typealias Script = @Sendable (Request) -> [Step]

    private let group: MultiThreadedEventLoopGroup
    private let channel: any Channel
    private let received: Received

    final class Received: Sendable {
        let requests = Mutex<[Request]>([])
    }

    /// - Parameter readsBodies: whether an answer waits for the whole request; if not, each connection answers one head, and what
    ///   follows it is thrown away.
    /// - Parameter afterHead: with `readsBodies` off, what is done for each piece that comes behind that head.
    /// - Parameter host: where it listens.
    public init(
        host: String = "127.0.0.1", readsBodies: Bool = true, afterHead: (@Sendable (String) -> [Step])? = nil, _ script: @escaping Script
    ) throws {
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let received = Received()
        self.received = received
        channel = try ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.backlog, value: 1024)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    // A side that sends no more may still be answered.
                    try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: afterHead != nil)
                    try channel.pipeline.syncOperations.addHandler(ScriptHandler(script: script, received: received, readsBodies: readsBodies, afterHead: afterHead))
                }
            }
            .bind(host: host, port: 0).wait()
    }

    /// Answers every request with a head of these fields and a body of known length.
    public convenience init(status: String = "200 OK", fields: [String] = [], body: String) throws {
        try self.init { _ in [.send(Self.response(status: status, fields: fields, body: body))] }
    }

    public static func response(status: String = "200 OK", fields: [String] = [], body: String) -> String {
        let lines = ["HTTP/1.1 \(status)"] + fields + ["Content-Length: \(body.utf8.count)"]
        return lines.joined(separator: "\r\n") + "\r\n\r\n" + body
    }

    deinit {
        try? channel.close().wait()
        group.shutdownGracefully { _ in }
    }

    public var port: Int { channel.localAddress?.port ?? 0 }
    public var url: String { "http://127.0.0.1:\(port)" }
    public var requests: [Request] { received.requests.withLock { $0 } }
    public var requestCount: Int { received.requests.withLock { $0.count } }
}

private final class ScriptHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let script: ScriptedOrigin.Script
    private let received: ScriptedOrigin.Received
    private var bytes: [UInt8] = []
    private var steps: [ScriptedOrigin.Step] = []
    private var isWaiting = false

    private let readsBodies: Bool
    private let afterHead: (@Sendable (String) -> [ScriptedOrigin.Step])?
    private var hasAnswered = false
    private var later: [ScriptedOrigin.Step] = []

    init(
        script: @escaping ScriptedOrigin.Script, received: ScriptedOrigin.Received, readsBodies: Bool,
        afterHead: (@Sendable (String) -> [ScriptedOrigin.Step])?
    ) {
        self.afterHead = afterHead
        self.readsBodies = readsBodies
        self.script = script
        self.received = received
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if hasAnswered, let afterHead {
            steps.append(contentsOf: afterHead(String(buffer: unwrapInboundIn(data))))
            return act(context)
        }
        bytes.append(contentsOf: unwrapInboundIn(data).readableBytesView)
        while let request = takeRequest() {
            received.requests.withLock { $0.append(request) }
            steps.append(contentsOf: script(request) + later)
            later = []
        }
        act(context)
    }

    private func act(_ context: ChannelHandlerContext) {
        guard !isWaiting else { return }
        while !steps.isEmpty {
            switch steps.removeFirst() {
            case .send(let text): context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
            case .sendBytes(let bytes): context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
            case .close: return context.close(promise: nil)
            case .waitFor(let gate):
                isWaiting = true
                let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
                let eventLoop = context.eventLoop
                gate.whenOpen {
                    eventLoop.execute {
                        bound.value.handler.isWaiting = false
                        bound.value.handler.act(bound.value.context)
                    }
                }
                return
            case .wait(let milliseconds):
                isWaiting = true
                let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
                context.eventLoop.scheduleTask(in: .milliseconds(Int64(milliseconds))) {
                    bound.value.handler.isWaiting = false
                    bound.value.handler.act(bound.value.context)
                }
                return
            }
        }
    }

    private func takeRequest() -> ScriptedOrigin.Request? {
        guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
        let head = String(decoding: bytes[..<end.lowerBound], as: UTF8.self)
        var request = ScriptedOrigin.Request(head: head, body: "", number: received.requests.withLock { $0.count })
        guard readsBodies else {
            defer { hasAnswered = true }
            let rest = String(decoding: bytes[end.upperBound...], as: UTF8.self)
            bytes = []
            if !hasAnswered, !rest.isEmpty, let afterHead { later = afterHead(rest) }
            return hasAnswered ? nil : request
        }
        if request.field("Transfer-Encoding") == "chunked" {
            guard let last = bytes[end.upperBound...].firstRange(of: Array("0\r\n".utf8)),
                let close = bytes[last.lowerBound...].firstRange(of: Array("\r\n\r\n".utf8))
            else { return nil }
            let body = String(decoding: bytes[end.upperBound..<close.upperBound], as: UTF8.self)
            request = ScriptedOrigin.Request(head: head, body: body, number: request.number)
            bytes.removeSubrange(..<close.upperBound)
            return request
        }
        let length = Int(request.field("Content-Length") ?? "0") ?? 0
        guard bytes.count >= end.upperBound + length else { return nil }
        let body = String(decoding: bytes[end.upperBound..<end.upperBound + length], as: UTF8.self)
        request = ScriptedOrigin.Request(head: head, body: body, number: request.number)
        bytes.removeSubrange(..<(end.upperBound + length))
        return request
    }
}
